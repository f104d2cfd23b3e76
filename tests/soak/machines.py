"""The machines of a team: each with a clock, a host name, a way to the database and files of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.benchmarks.sandbox_process import clean_environment
from tests.end_to_end.program import Pair, grant, pair_of, write_rows
from tests.soak.server import ADDRESS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from random import Random

    from tests.soak.proxy import Proxy

ROWS: Final = (40, 160)
"""Fewest and most rows of an input."""

OVERLAP: Final = 0.3
"""Share of an input's rows that earlier inputs have too."""

TAKEN_OVER: Final = "has taken over run"


@dataclass(kw_only=True)
class Input:
    """A file of wanted changes.

    Attributes:
        path: The file.
        pairs: The changes in it.
        done: Whether the program has ended with 0 for it.
        said: What it printed on stderr the last time.
    """

    path: Path
    pairs: tuple[Pair, ...]
    done: bool = False
    said: str = ""


class Inputs:
    """Files that overlap partly: no two people share an item, so that each row is a request of its own."""

    def __init__(self, folder: Path, random: Random) -> None:
        self._folder = folder
        self._random = random
        self._rows: list[dict[str, str]] = []
        self.all: list[Input] = []

    def new(self) -> Input:
        """Write another file."""
        size = self._random.randint(*ROWS)
        again = self._random.sample(self._rows, min(len(self._rows), int(size * OVERLAP)))
        first = len(self._rows)
        fresh = [grant(number, number) for number in range(first, first + size - len(again))]
        self._rows += fresh
        rows = self._random.sample([*again, *fresh], size)
        path = write_rows(self._folder / f"wanted {len(self.all)}.csv", rows)
        self.all.append(Input(path=path, pairs=tuple(map(pair_of, rows))))
        return self.all[-1]

    @property
    def wanted(self) -> frozenset[Pair]:
        """The changes of all files."""
        return frozenset(pair_of(row) for row in self._rows)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A command that has ended.

    Attributes:
        words: Its command line.
        code: Its exit code, or a signal's negative number.
        out: What it printed on stdout.
        err: What it printed on stderr.
        seconds: How long it took.
        cut_off: Seconds for which it was stopped, or had no way to the database.
    """

    words: tuple[str, ...]
    code: int
    out: str
    err: str
    seconds: float
    cut_off: float

    @property
    def killed(self) -> bool:
        """Whether it was killed."""
        return self.code == -signal.SIGKILL

    @property
    def is_json(self) -> bool:
        """Whether its stdout is exactly one JSON object."""
        try:
            return isinstance(json.loads(self.out), dict)
        except ValueError:
            return False


@dataclass(kw_only=True)
class Machine:
    """A machine on which one command runs at a time.

    Attributes:
        name: Its host name.
        shift: Seconds that its wall clock is ahead.
        proxy: Its way to the database.
        folder: For its own files.
        database: Name of the database.
        environment: Of its commands.
        group: The process group of its commands.
        cut_off: Seconds for which the command was stopped, or had no way to the database.
        disturbed_until: Until when no other fault may happen here, by the monotonic clock.
    """

    name: str
    shift: float
    proxy: Proxy
    folder: Path
    database: str
    environment: Mapping[str, str]
    group: int
    cut_off: float = 0.0
    disturbed_until: float = 0.0
    input: Input | None = None
    stopped: bool = False
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _began: float = 0.0
    _words: tuple[str, ...] = ()

    @property
    def is_busy(self) -> bool:
        """Whether a command runs."""
        return self._process is not None

    def begin(self, *words: str, wanted: Input | None = None) -> None:
        """Start a command of the program."""
        folder = self.folder
        folder.mkdir(exist_ok=True)
        ledger = ADDRESS.format(port=self.proxy.port, database=self.database).replace("postgresql:", _DRIVER)
        own = {name: str(folder) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME")}
        self.input, self._words, self._began, self.cut_off = wanted, words, time.monotonic(), 0.0
        with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.soak.worker", self.name, str(self.shift), *words, "--ledger", ledger],
                env={
                    **clean_environment(),
                    **own,
                    **self.environment,
                    "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
                },
                process_group=self.group,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    def ended(self) -> Ended | None:
        """The command, if it has ended since the last question."""
        if self._process is None or (code := self._process.poll()) is None:
            return None
        self._process, self.input, self.stopped = None, None, False
        out, err = ((self.folder / name).read_text("utf-8", "replace") for name in ("out", "err"))
        took = time.monotonic() - self._began
        return Ended(words=self._words, code=code, out=out, err=err, seconds=took, cut_off=self.cut_off)

    def send(self, number: signal.Signals) -> None:
        """Send the command a signal, if one runs."""
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, number)
            self.stopped = number == signal.SIGSTOP

    def wait(self) -> None:
        """Wait until the command has ended."""
        if self._process is not None:
            self._process.wait()

    def end(self) -> None:
        """Kill the command, if one runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


_DRIVER: Final = "postgresql+psycopg:"
