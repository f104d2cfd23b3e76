"""Runs the program as its users do, and reads the files that it writes."""

from __future__ import annotations

import csv
import faulthandler
import functools
import io
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from typer.main import get_command

from batch.cli import app, main
from batch.cli.boundary import run
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from multiprocessing.process import BaseProcess

    import pytest

    from batch.sandbox.server import RunningSandbox

FAST = "5000/1"
"""A rate so high that tests need not wait."""

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["tests.end_to_end.preloaded"])

Pair = tuple[str, str, str, str]
"""Operation, identity, item type and item id of a change."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The JSON object that is all of stdout."""
        document = json.loads(self.out)
        assert isinstance(document, dict)
        return document


def environment(sandbox: RunningSandbox) -> dict[str, str]:
    """The settings that a user needs to reach a tenant."""
    return {
        "SAIL_BASE_URL": sandbox.base_url,
        "SAIL_CLIENT_ID": sandbox.client_id,
        "SAIL_CLIENT_SECRET": sandbox.client_secret,
        "ACCESS_BATCH_RATE": FAST,
        # A server that forks the program may have been started by another test.
        "XDG_CONFIG_HOME": os.environ["XDG_CONFIG_HOME"],
    }


class Program:
    """Runs the command line in this process: fast, with the real error boundary."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        self._monkeypatch = monkeypatch

    def __call__(self, *arguments: str | Path, env: Mapping[str, str] | None = None) -> Ended:
        words = [str(argument) for argument in arguments]
        with self._monkeypatch.context() as patch:
            for name, value in (env or {}).items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["access-batch", *words])
            code = run(lambda: _command_line()(words))
        captured = self._capsys.readouterr()
        return Ended(code=code, out=captured.out, err=captured.err)


@functools.cache
def _command_line() -> Callable[[list[str]], object]:
    """The program's commands and options. Typer would make them anew for every call, which takes longer than many."""
    return get_command(app)


class Forked:
    """The program as a process of its own, with the interface of `subprocess.Popen`.

    Attributes:
        pid: Its process id.
    """

    def __init__(
        self, arguments: Iterable[str | Path], env: Mapping[str, str], streams: Mapping[int, Path | None]
    ) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="program", dir=Path.home()))
        streams = {0: Path(os.devnull), 1: self._folder / "out", 2: self._folder / "err", **streams}
        self._process: BaseProcess = _forks.Process(
            target=_run, args=([str(argument) for argument in arguments], {**os.environ, **env}, streams)
        )
        self._process.start()
        self.pid = self._process.pid or 0

    @property
    def returncode(self) -> int | None:
        """The exit code, or a signal's negative number; None while the process runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """The same."""
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        """Sends a signal, if the process runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kills the process."""
        self.send_signal(signal.SIGKILL)

    def errors(self) -> str:
        """What it has printed on stderr until now."""
        return (self._folder / "err").read_text("utf-8") if (self._folder / "err").exists() else ""

    def communicate(self, timeout: float = LIMIT) -> tuple[str, str]:
        """Waits for the end, and returns what the process printed on stdout and stderr."""
        self._process.join(timeout)
        assert self.poll() is not None
        out = self._folder / "out"
        return out.read_text("utf-8") if out.exists() else "", self.errors()


def fork(
    *arguments: str | Path, env: Mapping[str, str], streams: Mapping[int, Path | None] = MappingProxyType({})
) -> Forked:
    """Starts the program as a process that a test can interrupt or kill.

    A server that has already imported the program forks it, which takes a tenth of the time that `start` takes.

    Args:
        arguments: Of its command line.
        env: Its environment, beside that of the tests.
        streams: Other files for standard input (0), output (1) or error (2); None for a closed one.
    """
    return Forked(arguments, env, streams)


def _run(words: list[str], env: dict[str, str], streams: Mapping[int, Path | None]) -> None:
    """Runs in the forked process, which begins with what its server has: the program, and nothing else of ours."""
    os.environ.clear()
    os.environ.update(env)
    for number, path in streams.items():
        if path is not None:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT if number else os.O_RDONLY, 0o600)
            os.dup2(handle, number)
            os.close(handle)
    # As the interpreter does at its start: a closed stream is None, and its number is free.
    closed = [number for number, path in streams.items() if path is None]
    sys.stdin = None if 0 in closed else open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for good
    sys.stdout = None if 1 in closed else open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - for good
    sys.stderr = None if 2 in closed else open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115 - for good
    for number in closed:
        os.close(number)
    if env.get("PYTHONFAULTHANDLER"):
        faulthandler.enable()
    sys.argv = ["access-batch", *words]
    main()


class Terminal(io.TextIOWrapper):
    """A terminal with typed answers, for `sys.stdin`."""

    def __init__(self, typed: str) -> None:
        super().__init__(io.BytesIO(typed.encode()))

    def isatty(self) -> bool:
        return True


def start(*arguments: str | Path, env: Mapping[str, str]) -> subprocess.Popen[str]:
    """Starts the program as its users do: for tests of the interpreter's own start, and of pipes."""
    words = [str(argument) for argument in arguments]
    return subprocess.Popen(
        [sys.executable, "-m", "batch", *words],
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def accepted(sandbox: RunningSandbox) -> dict[Pair, int]:
    """How often the tenant has accepted each change, by its own records."""
    counts = sandbox.tenant.audit.change_counts()
    return {(str(c.operation), c.identity, c.item_type, c.item_id): number for c, number in counts.items()}


def once(pairs: Iterable[Pair]) -> dict[Pair, int]:
    """The records of a tenant that accepted each pair exactly once and nothing else."""
    return dict.fromkeys(pairs, 1)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Reads a CSV file with Python's own reader."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_rows(path: Path, rows: Iterable[Mapping[str, str]]) -> Path:
    """Writes a CSV file with Python's own writer."""
    listed = list(rows)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(listed[0]))
        writer.writeheader()
        writer.writerows(listed)
    return path


def identity(number: int) -> str:
    """A made-up identity id."""
    return f"{number:032x}"


def item(number: int) -> str:
    """A made-up item id."""
    return f"{number + 0xABC000:032x}"


def grant(person: int, thing: int, **more: str) -> dict[str, str]:
    """A row that grants."""
    return {
        "operation": "GRANT",
        "identity_id": identity(person),
        "item_type": "ROLE",
        "item_id": item(thing),
        "comment": "",
        **more,
    }


def pair_of(row: Mapping[str, str]) -> Pair:
    """The pair that a plain row requests."""
    return (row["operation"], row["identity_id"], row["item_type"], row["item_id"])
