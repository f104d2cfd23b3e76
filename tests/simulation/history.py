"""One history: faults of any kind, then none, and then everything must come to its end."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import uuid
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final
from unittest import mock

from batch.commands.audit import audit
from batch.ledger.chain import CLOCK
from batch.ledger.store import Ledger
from batch.status.audit import Mismatch
from tests.ledger.ledger_helpers import rows
from tests.simulation import checkers
from tests.simulation.acts import MOST_CONTROLS, act_of
from tests.simulation.disk import Disk, in_memory, kept
from tests.simulation.host import KILLED, NAMES, Host
from tests.simulation.network import Network
from tests.simulation.person import Person
from tests.simulation.process import BEGIN, Machine
from tests.simulation.protections import without
from tests.simulation.seams import simulated
from tests.simulation.tenant import SimulatedTenant, pair_key
from tests.simulation.world import HangsError, World

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from batch.commands.runtime import Runtime
    from batch.commands.screen import Screen
    from batch.ledger.machine_key import MachineKey
    from batch.settings import Settings
    from tests.simulation.acts import Act
    from tests.simulation.options import Options
    from tests.simulation.process import SimulatedProcess
    from tests.simulation.tenant import Accepted, Pair

MOST_RUNS: Final = 3
"""How often the same command is run once faults have ended."""

MOST_WAVES: Final = 200
"""How often a command is run again that waits for its next wave; some come too early."""

WAITS: Final = 4
"""The exit code of a command that waits."""

SOME_REFUSED: Final = 3
"""The exit code of a command of which some changes were refused."""

REFUSED: Final = 2
"""The exit code of a command that its user has to change."""

SILENT: Final = 70.0
"""Seconds after which a process of another machine counts as dead."""


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
        database: URL of a database with an empty ledger and the simulation's clock; empty for a file.
    """

    def __init__(self, options: Options, folder: Path, database: str = "") -> None:
        self.options = options
        self.world = world = World(options, folder)
        self.tenant = SimulatedTenant(world)
        self.network = Network(world, self.tenant)
        self.host = Host(world, folder, database)
        self.host.prepare = self._fate  # type: ignore[method-assign]
        self.problems: list[str] = []
        chance, faults = world.chance("beginning"), options.faults
        given = random.Random(f"rows {options.input}")  # noqa: S311 - to be repeatable
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
        self.pairs = [pair for pair in everything if given.random() < options.density] or everything[:1]
        # People with one comment share requests.
        self.comments = {person: f"group {given.randrange(options.groups)}" for person, _ in everything}
        self.wanted: set[Pair] = {pair_key(*pair) for pair in self.pairs}
        self.poisoned = {self.pairs[0]} if "poison" in faults else set()
        for pair in sorted(self.poisoned):
            self.tenant.poison[pair_key(*pair)] = chance.choice(("400", "403", "500"))
        self.revoked = {pair_key(*pair) for pair in self.pairs if given.random() < options.revoked}
        more = world.chance("operations")
        granted = sorted(self.wanted - self.revoked - set(self.tenant.poison))
        self.tenant.held = {pair for pair in granted if more.random() < options.held}
        self.act = act_of(0, self.host.write_input, self.pairs, self.comments, self.revoked)
        self.acts = [self.act]
        self.disk = Disk(world, folder / "ledger.db")
        self.person = Person(world, self.host, self.tenant)
        self._running = 0
        self._begun: set[str] = set()
        self._waiting = False
        self._in_order = options.wave is None
        self._stopped = False

    def live(self, protection: str) -> Outcome:
        """Let it happen, with one protection switched off; check it."""
        world, options = self.world, self.options
        if isinstance(self.host.ledger, Path):
            shutil.copy(_empty_ledger(), self.host.ledger)
        with simulated(world, self.network, protection), without(protection, self.network, self.machines):
            try:
                self._safety()
                self._liveness()
                while len(self.acts) < options.acts and not (self.problems or self._stopped):
                    self._next_act()
                    self._safety()
                    self._liveness()
                if "too_late" in options.faults:
                    self._audit()
            except HangsError as error:
                self.problems.append(f"it hangs: {error}")
            world.current = None
            world.close()
            self._check()
        self.problems += [f"unseen: {error}" for error in world.errors]
        if world.hung:
            # A process may have hidden the error that says so.
            self.problems.insert(0, f"it hangs: {world.hung}")
        return Outcome(options=self.options, problems=tuple(self.problems), events=tuple(world.events), hash=world.hash)

    def _next_act(self) -> None:
        """Begin to undo what the last act did, once the tenant has done and listed it."""
        world, since = self.world, len(self.tenant.books)
        world.drive(self._waiting_until(world.now + self.options.settle_after + 2 * self.options.lag))
        self.tenant.provision()
        self.act = act_of(len(self.acts), self.host.write_input, self.pairs, self.comments, self.revoked, since=since)
        self.acts.append(self.act)
        world.note("world", self.act.named("begins"))
        world.faults = True
        self._begun.clear()

    # Any faults.

    def _safety(self) -> None:
        world, options = self.world, self.options
        chance = world.chance("faults")
        lines = 2 if {"second_process", "other_machine"} & options.faults else 1
        remaining = [options.starts, options.starts][:lines]
        for line, starts in enumerate(remaining):
            if starts:
                self._start_later(line, starts, chance.choice((0.5, 20.0, 70.0)) * line)
        if "others" in options.faults:
            for _ in range(chance.choice((3, 30))):
                world.after(chance.expovariate(1 / 300.0), lambda: self.tenant.someone_else_requests("other", "thing"))
        if "wall" in options.faults:
            for _ in range(chance.randint(1, 3)):
                world.after(chance.expovariate(1 / 30.0), self._jump)
            if options.team and chance.random() < 0.3:
                world.after(chance.expovariate(1 / 30.0), self._database_jumps)
        world.drive(lambda: self._running == 0)

    def _start_later(self, line: int, starts: int, delay: float) -> None:
        self._running += 1

        def start() -> None:
            faults = self.options.faults
            chance = self.world.chance(self.act.named(f"start {starts} of {line}"))
            machine = self.machines[line % len(self.machines)]
            name, wanted = chance.choice(self.act.inputs) if "rows" in faults else self.act.inputs[-1]
            self._begun.add(name.name)
            who = self.act.named(f"{machine.name}.{line}.{starts}")
            if "by_hand" in faults and not (self.host.alive or self.network.under_way):
                self.person.act(machine, who)
            if self.act.number:
                self.person.follow(machine, who)
            code = self.host.submit(machine, who, name)
            self._ended(code, wanted)
            self._running -= 1
            if not self.host.alive:
                self._damage(code)
            if starts > 1 and (code != 0 or {"rows", "restore", "backups", "by_hand"} & faults):
                self._start_later(line, starts - 1, chance.choice((0.1, 1.0, 20.0, 70.0)))

        self.world.after(delay, start)

    def _damage(self, code: int) -> None:
        """Put the disk back, while no process uses it, after one that ended with this code."""
        chance, faults = self.world.chance("disk"), self.options.faults
        if "backups" in faults and self.world.chance("backups").random() < 0.5:
            self.disk.restore_any()
        if code != KILLED:
            return
        if "lose_wal" in faults and chance.random() < 0.5:
            self.disk.lose_wal()
        elif "restore" in faults and chance.random() < 0.7:
            self.disk.restore()

    def _jump(self) -> None:
        chance = self.world.chance("jumps")
        machine = chance.choice(self.machines)
        seconds = chance.choice((-3600.0, -30.0, -2.0, 2.0, 60.0, 120.0, 86400.0))
        self.world.note(machine.name, f"its wall clock jumps by {seconds:g} s")
        machine.ahead += seconds

    def _database_jumps(self) -> None:
        """The clock of a team's database is set, or the database is started anew on another machine."""
        chance, world = self.world.chance("database"), self.world
        if not world.faults:
            return
        seconds = chance.choice((-3600.0, -20.0, -2.0, 2.0, 20.0, 3600.0))
        world.note("database", f"its clock jumps by {seconds:g} s")
        world.database_ahead += seconds
        if chance.random() < 0.3:
            world.note("database", "is started anew")
            world.database_started = world.database_time()

    def _fate(self, process: SimulatedProcess) -> None:
        """Decide when a process is killed or frozen."""
        world, faults = self.world, self.options.faults
        if not world.faults:
            return
        chance = world.chance(f"fate of {process.name}")
        if "kill" in faults and chance.random() < 0.8:
            how = chance.choice(("time", "commit", "post", "post"))
            if how == "time":
                seconds = chance.expovariate(1 / chance.choice((0.3, 3.0, 30.0)))
                world.after(seconds, lambda: process.kill("at any time"))
            elif how == "commit":
                process.dies_at_commit = (chance.randint(1, 15), chance.choice(("before", "after")))
            else:
                process.dies_at_post = (chance.randint(1, 5), chance.choice(("before", "after")))
        if "interrupt" in faults:
            self._interrupt(process)
        if "restore" in faults and chance.random() < 0.7:
            process.acts_at_commit[chance.randint(1, 10)] = self.disk.save
        if "backups" in faults:
            self._back_up(process)
        if "freeze" in faults and chance.random() < 0.7:
            seconds = chance.choice((3.0, 70.0, 200.0, 400.0, 1500.0))
            if chance.random() < 0.7:
                process.freezes_at_post = (chance.randint(1, 3), seconds)
            else:
                world.after(chance.expovariate(1 / 5.0), lambda: process.freeze(seconds))

    def _back_up(self, process: SimulatedProcess) -> None:
        """Decide when a backup is made while a process works, and how many are."""
        chance = self.world.chance(f"backups of {process.name}")
        for _ in range(chance.randint(0, 3)):
            process.acts_at_commit[int(chance.expovariate(1 / chance.choice((3.0, 15.0))))] = self.disk.save

    def _interrupt(self, process: SimulatedProcess) -> None:
        """Decide when somebody presses Ctrl-C, and whether once more."""
        chance = self.world.chance(f"interrupts of {process.name}")
        if chance.random() >= self.options.interrupted:
            return
        if chance.random() < 0.3:
            process.interrupted_at_commit = chance.randint(0, 12)
            return
        first = chance.expovariate(1 / chance.choice((0.1, 1.0, 10.0)))
        self.world.after(first, process.interrupt)
        if chance.random() < 0.5:
            self.world.after(first + chance.expovariate(1 / 2.0), process.interrupt)

    def _ended(self, code: int, wanted: set[Pair]) -> None:
        """Check what a process's exit code promises."""
        if code == 0:
            self.problems += checkers.missing(self.act.books(self.tenant.books), wanted, self.tenant.held)
        if code == 1:
            self.problems.append(f"a bug: {self.world.events[-1]}")

    # No faults.

    def _liveness(self) -> None:
        world = self.world
        world.note("world", "faults end")
        world.faults = False
        for given in self.act.inputs[:-1]:
            if self.options.wave is not None and given[0].name in self._begun:
                # Its run keeps its place, so that nobody else sends what it has planned.
                code = self._run_until_it_ends(f"last of {given[0].stem}", MOST_RUNS, given, self.machines[0])
                self._waiting = self._waiting or code == WAITS
        self._in_order = True
        code = self._finish(self.machines[0], self.act.controls[:MOST_CONTROLS])
        if code == 4 and "on the machine with that key" in world.events[-1]:
            # What only the other machine has settled, and replaced since, it alone can finish.
            code = self._finish(self.machines[-1], self.act.controls[MOST_CONTROLS:])
        holds_back = code == SOME_REFUSED and self.act.number > 0 and checkers.may_not_follow(self.options)
        self._stopped = code == 4 or holds_back
        expected = {0, SOME_REFUSED} if self.tenant.poison or holds_back else {0}
        if code not in expected and not (code == 4 and checkers.may_stay_open(self.options, self.tenant)):
            self.problems.append(f"it does not finish: {world.events[-1]}")
        if code == 0 and world.chance("again").random() < 0.3:
            self._once_more()

    def _finish(self, machine: Machine, controls: Sequence[tuple[Path, set[Pair]]]) -> int:
        """Run the same command, with later requests as controls, until nothing is left to do or nothing helps."""
        who = "" if machine is self.machines[0] else " elsewhere"
        most = 1 if checkers.nothing_is_recognised(self.options) else MOST_RUNS
        code = self._run_until_it_ends(f"last{who}", most, self.act.inputs[-1], machine)
        for number, control in enumerate(controls):
            # One control is enough if a doubt may stay open for good.
            if code != 4 or self.problems or (number and checkers.may_stay_open(self.options, self.tenant)):
                break
            # A later accepted request of any run is a control; what it settles may lead to another doubt's first look.
            self._run_until_it_ends(f"control {number}{who}", 2, control, machine)
            code = self._run_until_it_ends(f"after control {number}{who}", 2, self.act.inputs[-1], machine)
        return code

    def _once_more(self) -> None:
        """The same command again changes nothing."""
        calls = self.network.calls
        self._run_until_it_ends("again", 1, self.act.inputs[-1], self.machines[0])
        # An earlier call may arrive now, in a history that breaks the assumption.
        if any(one.body > calls for one in self.tenant.books):
            self.problems.append("the same command submits something although everything is submitted")

    def _run_until_it_ends(self, who: str, most: int, given: tuple[Path, set[Pair]], machine: Machine) -> int:
        """Run the same command until nothing is left to do, or until it has left doubts so many times."""
        world, code = self.world, 4
        poison = self.tenant.poison
        pause = max(self.options.settle_after, SILENT if len(self.machines) > 1 else 0.0)
        for number in range(MOST_RUNS + 1):
            if number == MOST_RUNS and code != SOME_REFUSED:
                break
            # What failed twice because of faults stands refused, and the next command sends it.
            before = code
            begun = world.now + world.chance("last").choice((0.1, 30.0)) + number * pause
            world.drive(self._waiting_until(begun))
            if self.act.number:
                self.person.follow(machine, self.act.named(f"{who}.{number}"))
            code = self._submit_in_waves(machine, self.act.named(f"{who}.{number}"), given[0])
            for again, address in enumerate(NAMES if "two_names" in self.options.faults else ()):
                if code != REFUSED:
                    break
                # A ledger that was put back may not know that both names are one tenant's: use the other name.
                name = self.act.named(f"{who}.{number}.{again}")
                code = self.host.submit(machine, name, given[0], base_url=address)
            self._ended(code, given[1])
            # What was refused while faults happened is submitted again; then only poison may be refused.
            if code == before == SOME_REFUSED and poison and self._in_order and not self._waiting:
                self.problems += checkers.missing(self.tenant.books, given[1], self.tenant.held.union(poison))
            if (
                code not in {SOME_REFUSED, 4}
                or (code == before == SOME_REFUSED and poison)
                or (code == 4 and number + 1 >= most)
            ):
                break
        return code

    def _submit_in_waves(self, machine: Machine, name: str, given: Path) -> int:
        """Run the command, and again after each wait for the next wave."""
        code = self.host.submit(machine, name, given)
        for wave in range(MOST_WAVES):
            if self.options.wave is None or code != WAITS or "WaitingError" not in self.world.events[-1]:
                break
            _, seconds = self.options.wave
            pause = self.world.chance("waves").choice((0.02, 0.3, 1.0)) * seconds
            self.world.drive(self._waiting_until(self.world.now + pause))
            code = self.host.submit(machine, f"{name} wave {wave}", given)
        return code

    def _waiting_until(self, moment: float) -> Callable[[], bool]:
        self.world.at(moment, lambda: None)
        return lambda: self.world.now >= moment

    def _audit(self) -> None:
        """What arrived later than assumed may be there twice, but `audit` must report it."""
        world = self.world
        world.drive(self._waiting_until(world.now + self.options.settle_after + 2 * self.options.lag))
        reported: set[Pair] = set()

        def work(settings: Settings, screen: Screen, runtime: Runtime) -> int:
            summary = audit("", settings, screen, runtime)
            reported.update(pair_key(one.identity, one.item) for one in summary.findings if one.kind is Mismatch.TWICE)
            return summary.exit_code

        code = self.host.run(self.machines[0], "audit", work)
        self.problems += checkers.unreported(self.tenant.books, reported, code)

    def _check_count(self) -> list[str]:
        """A ledger that was put back has forgotten calls."""
        processes = self.world.processes
        return checkers.miscounted(
            sum(calls for (calls,) in rows(self.host.ledger, "SELECT calls FROM monthly_calls")),
            len(self.tenant.all_counted),
            self.network.begun,
            abrupt=sum(one.dead or one.cancelled or one.interrupted_at_commit >= 0 for one in processes),
            most=self.options.rate[0],
            processes=len(processes),
        )

    def _check(self) -> None:
        books = self.tenant.books
        if "too_late" not in self.options.faults:
            restored = self.disk.restored_at if "other_machine" in self.options.faults else ()
            dated = self.options.sends_date or not self.options.tenant_ahead
            for act, done in self._books_by_act():
                self.problems += checkers.submitted_twice(done, restored, dated=dated)
                self.problems += checkers.wrong_operation(done, act.revoked)
                self.problems += checkers.unwanted(done, act.wanted.union(*(wanted for _, wanted in act.controls)))
        self.problems += checkers.too_fast(self.tenant.counted, self.options.rate, self.disk.restored_at)
        if not self.disk.restored_at:
            self.problems += self._check_count()
        if self.options.wave is not None:
            self.problems += self._check_waves(*self.options.wave)
        with Ledger.open(
            str(self.host.ledger), sandbox=False, now=BEGIN, new_id=lambda: "nobody", key=nobody
        ) as ledger:
            self.problems += [f"verify: {one}" for one in checkers.untrue(ledger.verify(), books, self.tenant.held)]
        found = rows(self.host.ledger, "SELECT identity_id, item_id, state FROM changes")
        changes = [(pair_key(identity, item), state) for identity, item, state in found]
        forgets = self.options.forgets
        # What is held is never listed: if it was accepted last, nothing proves that the list is current.
        hidden = self._stopped and bool(self.tenant.hides)
        stays_stale = forgets and (hidden or checkers.nothing_is_recognised(self.options))
        self.problems += checkers.ledger_disagrees(
            changes, books, self.tenant.held, forgets=forgets, stays_stale=stays_stale
        )

    def _books_by_act(self) -> list[tuple[Act, Sequence[Accepted]]]:
        ends = [act.since for act in self.acts[1:]] + [len(self.tenant.books)]
        return [(act, self.tenant.books[act.since : end]) for act, end in zip(self.acts, ends, strict=True)]

    def _check_waves(self, most: int, seconds: float) -> list[str]:
        """No period has more changes than a wave: neither by the ledger's claims, nor by the tenant's books."""
        machines, options = {machine.name: machine for machine in self.machines}, self.options
        pairs: dict[int, set[Pair]] = {}
        for request, *pair in rows(self.host.ledger, "SELECT request, identity_id, item_id FROM changes"):
            pairs.setdefault(request, set()).add(pair_key(*pair))
        claims: dict[int, list[tuple[float, set[Pair]]]] = {}
        query = "SELECT run, request, detail FROM event WHERE event = 'claimed' ORDER BY run, number"
        for run, request, detail in rows(self.host.ledger, query):
            # What was lost and found again has no clock.
            if CLOCK in (said := json.loads(detail)):
                boot, monotonic = said[CLOCK]
                claims.setdefault(run, []).append((machines[boot].true_time(monotonic), pairs[request]))
        # By the wall clocks of several machines, which differ by some seconds; a database's may be set.
        if not (options.team and "wall" in options.faults):
            apart = 5.0 if len(machines) > 1 else 0.01
            for made in claims.values():
                self.problems += checkers.too_many(made, most, seconds - apart)
        if len(machines) > 1 or "rows" in options.faults:
            return []
        late = options.arrives_within if {"late", "too_late"} & options.faults else 0.0
        arrived = [(one.at, {one.pair}) for one in self.tenant.books if one.pair in self.wanted]
        return checkers.too_many(arrived, most, seconds - 45.0 - options.timeout - late, self.disk.restored_at)


def nobody() -> MachineKey:
    """Whoever only looks at a ledger signs nothing."""
    raise AssertionError


@cache
def _empty_ledger() -> Path:
    """A ledger without runs: making one takes longer than a history."""
    path = kept() / "empty.db"
    with mock.patch.object(uuid, "uuid4", return_value=uuid.UUID(int=13)):
        Ledger.open(str(path), sandbox=False, now=BEGIN, new_id=lambda: "nobody", key=nobody).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


def live(options: Options, *, protection: str = "", database: str = "") -> Outcome:
    """Let one history happen, without one protection if it is named, and check it."""
    with in_memory() as folder:
        return History(options, Path(folder), database).live(protection)
