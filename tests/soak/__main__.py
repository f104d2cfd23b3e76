"""`python -m tests.soak --minutes 10 --seed 1`: three machines share a ledger on PostgreSQL, and everything goes wrong.

Their clocks are apart. By the seed, machines are killed, frozen and cut off, and the database's server is restarted.
Then the faults stop, and every input is submitted until the program ends with 0. In the end nothing may have been
submitted twice, nothing may be missing, and the tenant may never have counted more calls than its limit.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import time
from collections import Counter, deque
from random import Random
from typing import TYPE_CHECKING, Final

from tests.soak.faults import KINDS, Faults
from tests.soak.machines import Inputs, Machine
from tests.soak.proxy import Proxy
from tests.soak.server import kept_together, new_database, new_server
from tests.soak.tenant import tenant_process
from tests.soak.verdict import most_counted, problems_at_the_tenant, problems_of, summary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.benchmarks.sandbox_process import SandboxProcess
    from tests.postgresql import Server
    from tests.soak.machines import Ended, Input

SHIFTS: Final = (1.0, 120.0, 7200.0)
"""Seconds by which the clocks of the machines are wrong, forward or back."""

SETTINGS: Final = {
    "synchronous_commit": "off",
    "wal_writer_delay": "10s",
    "default_transaction_isolation": "repeatable read",
    "fsync": "off",
}
"""A server that is set up badly. Without fsync its files survive its own crash all the same."""

_TICK: Final = 0.05
_BETWEEN: Final = (2.0, 9.0)
"""Fewest and most seconds between two faults."""

_OPEN: Final = 6
"""No new input is begun while more are open."""

_SPARE: Final = 6
"""In the end, after so many attempts since an input was finished a new one comes."""

_LAST_LINES: Final = 3

_SUBMIT: Final = ("--yes", "--json", "--settle-after", "5", "--timeout", "10")


class Soak:
    """A team at work.

    Attributes:
        problems: What may not happen, and has.
    """

    def __init__(
        self, server: Server, tenant: SandboxProcess, machines: Sequence[Machine], inputs: Inputs, random: Random
    ) -> None:
        self._server = server
        self._tenant = tenant
        self._machines = machines
        self._inputs = inputs
        self._random = random
        self._began = time.monotonic()
        self._codes: Counter[int] = Counter()
        self.problems: list[str] = []

    def say(self, line: str) -> None:
        """Print a line with the seconds since the beginning."""
        sys.stdout.write(f"{time.monotonic() - self._began:6.1f} s  {line}\n")
        sys.stdout.flush()

    def work(self, faults: Faults, seconds: float) -> None:
        """Let machines work and faults happen for so long."""
        end = time.monotonic() + seconds
        # The first run makes the ledger's tables.
        next_fault = time.monotonic() + 5
        while (now := time.monotonic()) < end:
            for machine in self._machines:
                self._look(machine)
                if not machine.is_busy:
                    self._submit(machine, self._next_input())
            faults.go_on()
            if now >= next_fault:
                faults.happen()
                next_fault = time.monotonic() + self._random.uniform(*_BETWEEN)
            time.sleep(_TICK)
        faults.end()

    def finish(self, seconds: float) -> None:
        """Submit every input until it is done, without faults; a problem if that takes longer than so many seconds."""
        end = time.monotonic() + seconds
        waiting = deque(one for one in self._inputs.all if not one.done)
        vain, done = 0, self._done()
        while time.monotonic() < end:
            for machine in self._machines:
                wanted = machine.input
                self._look(machine)
                if wanted is not None and not machine.is_busy and not wanted.done:
                    waiting.append(wanted)
                if machine.is_busy or not waiting:
                    continue
                vain, done = (vain + 1, done) if self._done() == done else (1, self._done())
                if vain % _SPARE == 0:
                    # Something that is accepted later shows what became of the requests in doubt.
                    waiting.appendleft(self._inputs.new())
                self._submit(machine, waiting.popleft())
            if not waiting and not any(machine.is_busy for machine in self._machines):
                return
            time.sleep(_TICK)
        undone = [one for one in self._inputs.all if not one.done]
        names = ", ".join(one.path.name for one in undone)
        self.problems.append(f"not done {seconds:.0f} s after the last fault: {names}")
        for one in undone:
            self.say(f"  the last that was said of {_name(one)}: {one.said}")
        for machine in self._machines:
            machine.end()

    def judge(self, wanted: frozenset[tuple[str, str, str, str]]) -> None:
        """Compare the tenant's audit log, the ledger and what the program says about both."""
        for machine in self._machines:
            for words in (("ledger", "verify"), ("audit", "--json")):
                machine.begin(*words)
                machine.wait()
                ended = machine.ended()
                assert ended is not None
                if ended.code:
                    self.problems.append(f"`{' '.join(words)}` on {machine.name}: {ended.code}, {ended.err}{ended.out}")
        audit = self._tenant.audit()
        self.problems += problems_at_the_tenant(audit, wanted)
        codes = ", ".join(f"{count} times {code}" for code, count in sorted(self._codes.items()))
        self.say(f"{len(wanted)} changes in {len(self._inputs.all)} inputs; exit codes: {codes}")
        self.say(f"{audit['posts']} requests arrived, at most {most_counted(audit)} calls in 10 s")

    def _look(self, machine: Machine) -> None:
        """Take notice of a command that has ended."""
        wanted, ended = machine.input, machine.ended()
        if ended is None:
            return
        self._codes[ended.code] += 1
        if wanted is not None:
            wanted.done = wanted.done or ended.code == 0
            wanted.said = ended.err
        self.say(f"  {machine.name}: {_name(wanted)} ended with {ended.code}{_why(ended)}")
        for problem in problems_of(ended):
            self.say(f"PROBLEM: {problem}")
            self.problems.append(problem)

    def _done(self) -> int:
        return sum(one.done for one in self._inputs.all)

    def _next_input(self) -> Input:
        undone = [one for one in self._inputs.all if not one.done]
        if len(undone) > _OPEN or (undone and self._random.random() < 0.5):
            return self._random.choice(undone)
        return self._inputs.new()

    def _submit(self, machine: Machine, wanted: Input) -> None:
        machine.begin("submit", str(wanted.path), *_SUBMIT, wanted=wanted)


def _name(wanted: Input | None) -> str:
    return wanted.path.stem if wanted else "command"


def _why(ended: Ended) -> str:
    """The last lines of a command that has not done everything."""
    return f": {' | '.join(ended.err.splitlines()[-_LAST_LINES:])}" if ended.code > 0 else ""


def main() -> int:
    """Run a soak; 0 if everything is as it must be."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="time in which faults happen")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", help=f"only these, with commas between them: {', '.join(KINDS)}; or none")
    parser.add_argument("--finish", type=float, default=10, help="most minutes for the rest, without faults")
    chosen = parser.parse_args()
    kinds = frozenset(KINDS if chosen.faults is None else chosen.faults.split(",")) - {"none"}
    if unknown := kinds - frozenset(KINDS):
        parser.error(f"unknown faults: {', '.join(unknown)}")
    for ended_by in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # It ends in order then. Its machines and servers end with it anyway.
        signal.signal(ended_by, lambda number, _frame: sys.exit(128 + number))
    random = Random(chosen.seed)  # noqa: S311 - repeatable
    with contextlib.ExitStack() as stack:
        folder, group = stack.enter_context(kept_together())
        server = new_server(folder, group, SETTINGS)
        database = new_database(server, "team")
        tenant = stack.enter_context(tenant_process(chosen.seed, group))
        machines = []
        for number, shift in enumerate(SHIFTS):
            proxy = stack.enter_context(Proxy(server.socket, delay=random.choice([0.0, 0.02, 0.06])))
            machines.append(
                Machine(
                    name=f"machine-{'abc'[number]}",
                    shift=random.choice([-1, 1]) * shift,
                    proxy=proxy,
                    folder=folder / "abc"[number],
                    database=database,
                    environment=tenant.settings,
                    group=group,
                )
            )
            stack.callback(machines[-1].end)
        soak = Soak(server, tenant, machines, inputs := Inputs(folder, random), random)
        soak.say(f"seed {chosen.seed}; {', '.join(f'{one.name} {one.shift:+g} s' for one in machines)}")
        faults = Faults(server=server, machines=machines, random=random, say=soak.say, kinds=kinds)
        soak.work(faults, chosen.minutes * 60)
        soak.say("no more faults")
        soak.finish(chosen.finish * 60)
        soak.judge(inputs.wanted)
    happened = ", ".join(f"{kind} {count}" for kind, count in faults.counts.items())
    soak.say(f"faults: {happened or 'none'}")
    for problem in summary(soak.problems):
        soak.say(f"PROBLEM: {problem}")
    soak.say("NOT SOUND" if soak.problems else "SOUND: nothing twice, nothing missing, never above the limit")
    return bool(soak.problems)


if __name__ == "__main__":
    sys.exit(main())
