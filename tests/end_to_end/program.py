"""Runs the program as its users do, and reads the files that it writes."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from batch.cli import app
from batch.cli.boundary import run

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import pytest

    from batch.sandbox.server import RunningSandbox

FAST = "5000/1"
"""A rate so high that tests need not wait."""

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
            code = run(lambda: app(words))
        captured = self._capsys.readouterr()
        return Ended(code=code, out=captured.out, err=captured.err)


def start(*arguments: str | Path, env: Mapping[str, str]) -> subprocess.Popen[str]:
    """Starts the program as a process that a test can interrupt or kill."""
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
