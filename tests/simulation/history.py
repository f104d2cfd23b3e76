"""One history: faults of any kind, then none, and then everything must come to its end."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import uuid
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final
from unittest import mock

from batch.ledger.store import Ledger
from tests.simulation import checkers
from tests.simulation.host import Host
from tests.simulation.network import Network
from tests.simulation.process import BEGIN, Machine
from tests.simulation.seams import simulated
from tests.simulation.tenant import SimulatedTenant, pair_key
from tests.simulation.world import HangsError, World

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.options import Options
    from tests.simulation.process import SimulatedProcess
    from tests.simulation.tenant import Pair

MOST_RUNS: Final = 8
"""How often the same command is run once faults have ended."""

_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a folder in memory, if the system has one


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a history ended.

    Attributes:
        options: What its seed chose.
        problems: What is wrong; empty if nothing is.
        events: What happened.
        hash: Identifies what happened.
    """

    options: Options
    problems: tuple[str, ...]
    events: tuple[str, ...]
    hash: str


class History:
    """One history.

    Args:
        options: What happens in it.
        folder: For its files.
    """

    def __init__(self, options: Options, folder: Path, *, linger: bool = True) -> None:
        self.options = options
        self.world = world = World(options, folder)
        self.tenant = SimulatedTenant(world)
        self.network = Network(world, self.tenant, linger=linger)
        self.host = Host(world, folder)
        self.host.prepare = self._fate  # type: ignore[method-assign]
        self.problems: list[str] = []
        chance, faults = world.random, options.faults
        names = ["alpha", "beta"] if "other_machine" in faults else ["alpha"]
        self.machines = [
            Machine(
                world,
                name,
                drift=chance.uniform(-5e-4, 5e-4) if "drift" in faults else 0.0,
                ahead=chance.choice((0.0, 40.0, -3600.0)) if "wall" in faults else chance.uniform(-2.0, 2.0),
                up=chance.uniform(100.0, 1e6),
            )
            for name in names
        ]
        everything = [
            (f"2c9180{person:026x}", f"2c9181{item:026x}")
            for person in range(options.people)
            for item in range(options.items)
        ]
        self.pairs = [pair for pair in everything if chance.random() < options.density] or everything[:1]
        # People with one comment share requests.
        self.comments = {person: f"group {chance.randrange(options.groups)}" for person, _ in everything}
        self.wanted: set[Pair] = {pair_key(*pair) for pair in self.pairs}
        self._running = 0

    def live(self) -> Outcome:
        """Let it happen; check it."""
        world = self.world
        shutil.copy(_empty_ledger(), self.host.ledger)
        with simulated(world, self.network):
            try:
                self._safety()
                self._liveness()
            except HangsError as error:
                self.problems.append(f"it hangs: {error}")
            world.current = None
            world.close()
            self._check()
        self.problems += [f"unseen: {error}" for error in world.errors]
        return Outcome(options=self.options, problems=tuple(self.problems), events=tuple(world.events), hash=world.hash)

    # Any faults.

    def _safety(self) -> None:
        world, options = self.world, self.options
        self._input = self.host.write_input("input.csv", self.pairs, self.comments)
        lines = 2 if {"second_process", "other_machine"} & options.faults else 1
        remaining = [options.starts, options.starts // 2][:lines]
        for line, starts in enumerate(remaining):
            if starts:
                self._start_later(line, starts, world.random.uniform(0.0, 20.0) * line)
        if "others" in options.faults:
            for _ in range(world.random.randint(1, 5)):
                world.after(
                    world.random.uniform(0.0, 100.0), lambda: self.tenant.someone_else_requests("other", "thing")
                )
        if "wall" in options.faults:
            for _ in range(world.random.randint(1, 3)):
                world.after(world.random.expovariate(1 / 30.0), self._jump)
        world.drive(lambda: self._running == 0)

    def _start_later(self, line: int, starts: int, delay: float) -> None:
        self._running += 1

        def start() -> None:
            world = self.world
            machine = world.random.choice(self.machines)
            code = self.host.submit(machine, f"{machine.name}.{line}.{starts}", self._input)
            self._ended(code, self.wanted)
            self._running -= 1
            if starts > 1 and (code != 0 or "rows" in self.options.faults):
                self._start_later(line, starts - 1, world.random.choice((0.1, 1.0, 20.0, 100.0)))

        self.world.after(delay, start)

    def _jump(self) -> None:
        machine = self.world.random.choice(self.machines)
        seconds = self.world.random.choice((-3600.0, -30.0, -2.0, 2.0, 60.0, 120.0, 86400.0))
        self.world.note(machine.name, f"its wall clock jumps by {seconds:g} s")
        machine.ahead += seconds

    def _fate(self, process: SimulatedProcess) -> None:
        """Decide when a process is killed or frozen."""
        world, faults = self.world, self.options.faults
        if not world.faults:
            return
        chance = world.random
        if "kill" in faults and chance.random() < 0.7:
            how = chance.choice(("time", "commit", "post"))
            if how == "time":
                world.after(chance.expovariate(1 / 10.0), lambda: process.kill("at any time"))
            elif how == "commit":
                process.dies_at_commit = (chance.randint(1, 25), chance.choice(("before", "after")))
            else:
                process.dies_at_post = (chance.randint(1, 6), chance.choice(("before", "after")))
        if "freeze" in faults and chance.random() < 0.5:
            seconds = chance.choice((3.0, 70.0, 200.0, 1500.0))
            world.after(chance.expovariate(1 / 5.0), lambda: self._freeze(process, seconds))

    def _freeze(self, process: SimulatedProcess, seconds: float) -> None:
        if not (process.dead or process.ended):
            self.world.note(process.name, f"is frozen for {seconds:g} s")
            process.frozen_until = self.world.now + seconds

    def _ended(self, code: int, wanted: set[Pair]) -> None:
        """Check what a process's exit code promises."""
        if code == 0:
            self.problems += checkers.missing(self.tenant.books, wanted)
        if code == 1:
            self.problems.append(f"a bug: {self.world.events[-1]}")

    # No faults.

    def _liveness(self) -> None:
        world = self.world
        world.note("world", "faults end")
        world.faults = False
        code = None
        for number in range(MOST_RUNS):
            begun = world.now + world.random.choice((0.1, 30.0))
            world.drive(self._waiting_until(begun))
            code = self.host.submit(self.machines[0], f"last.{number}", self._input)
            self._ended(code, self.wanted)
            if code in {0, 3}:
                break
        if code != 0:
            self.problems.append(f"it does not finish: {world.events[-1]}")

    def _waiting_until(self, moment: float) -> Callable[[], bool]:
        self.world.at(moment, lambda: None)
        return lambda: self.world.now >= moment

    def _check(self) -> None:
        books = self.tenant.books
        self.problems += checkers.submitted_twice(books)
        self.problems += checkers.unwanted(books, self.wanted)
        self.problems += checkers.too_fast(self.tenant.counted, self.options.rate)
        with Ledger.open(str(self.host.ledger), sandbox=False, now=BEGIN, new_id=lambda: "nobody") as ledger:
            self.problems += [f"verify: {one}" for one in ledger.verify()]
        with closing(sqlite3.connect(self.host.ledger)) as connection:
            rows = connection.execute("SELECT identity_id, item_id, state FROM changes").fetchall()
        changes = [(pair_key(identity, item), state) for identity, item, state in rows]
        self.problems += checkers.ledger_disagrees(changes, books)


@cache
def _empty_ledger() -> Path:
    """A ledger without runs: making one takes longer than a history."""
    path = Path(tempfile.mkdtemp(prefix="simulation-", dir=_MEMORY if _MEMORY.is_dir() else None)) / "empty.db"
    with mock.patch.object(uuid, "uuid4", return_value=uuid.UUID(int=13)):
        Ledger.open(str(path), sandbox=False, now=BEGIN, new_id=lambda: "nobody").close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


def live(options: Options, *, linger: bool = True) -> Outcome:
    """Let one history happen, and check it."""
    with tempfile.TemporaryDirectory(prefix="simulation-", dir=_MEMORY if _MEMORY.is_dir() else None) as folder:
        return History(options, Path(folder), linger=linger).live()
