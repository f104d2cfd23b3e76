"""The faults of a soak: what happens to machines, networks and database servers, at random and by the seed."""

from __future__ import annotations

import heapq
import itertools
import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from random import Random

    from tests.postgresql import Server
    from tests.soak.machines import Machine

LEASE: Final = 60.0
"""Seconds after which a machine that does not report counts as dead."""

_PATIENCE: Final = 4.0
"""For how many seconds a machine is stopped and looked at until it is found within a transaction."""

_STOPS: Final = {"fast": signal.SIGINT, "crash": signal.SIGQUIT}

_IDLE_IN_TRANSACTION: Final = (
    "SELECT pid FROM pg_stat_activity WHERE pid = ANY(%s) AND state = 'idle in transaction' LIMIT 1"
)


@dataclass(kw_only=True)
class Faults:
    """Makes faults happen, one at a time on each machine, and ends them.

    Attributes:
        server: The database's.
        machines: That share it.
        random: Decides.
        say: Takes one line for each fault.
        kinds: Those that happen.
        counts: How often each kind has happened.
    """

    server: Server
    machines: Sequence[Machine]
    random: Random
    say: Callable[[str], None]
    kinds: Collection[str]
    counts: dict[str, int] = field(default_factory=dict)
    _agenda: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _order: itertools.count[int] = field(default_factory=itertools.count)
    _down: bool = False

    def happen(self) -> None:
        """Let a fault happen."""
        kinds = [kind for kind in KINDS for _ in range(KINDS[kind][0]) if kind in self.kinds]
        now = time.monotonic()
        ready = [one for one in self.machines if one.is_busy and one.disturbed_until < now]
        if self._down or not ready or not kinds:
            return
        kind, machine = self.random.choice(kinds), self.random.choice(ready)
        told = KINDS[kind][1](self, machine)
        if told:
            self.counts[kind] = self.counts.get(kind, 0) + 1
            self.say(f"{kind}: {told}")

    def go_on(self) -> None:
        """End the faults whose time is over."""
        while self._agenda and self._agenda[0][0] <= time.monotonic():
            heapq.heappop(self._agenda)[2]()

    def end(self) -> None:
        """End all faults."""
        while self._agenda:
            heapq.heappop(self._agenda)[2]()

    def _for(self, machine: Machine, least: float, most: float, end: Callable[[], None]) -> float:
        """Until when a fault of a machine lasts; returns its seconds, in which the machine is cut off."""
        seconds = self.random.uniform(least, most)
        # What it needs afterwards to find out what has become of its run.
        machine.disturbed_until = time.monotonic() + seconds + 3
        machine.cut_off += seconds
        heapq.heappush(self._agenda, (time.monotonic() + seconds, next(self._order), end))
        return seconds

    def kill(self, machine: Machine) -> str:
        machine.send(signal.SIGKILL)
        return machine.name

    def freeze(self, machine: Machine) -> str:
        return self._freeze(machine, 1, LEASE / 3)

    def freeze_for_long(self, machine: Machine) -> str:
        return self._freeze(machine, LEASE + 5, LEASE + 20)

    def _freeze(self, machine: Machine, least: float, most: float) -> str:
        machine.send(signal.SIGSTOP)
        seconds = self._for(machine, least, most, lambda: machine.send(signal.SIGCONT))
        return f"{machine.name} for {seconds:.0f} s"

    def freeze_in_transaction(self, machine: Machine) -> str:
        """Stop a machine at a moment at which one of its sessions waits for it within a transaction."""
        give_up_at = time.monotonic() + _PATIENCE
        with self.server.connect() as connection:
            while time.monotonic() < give_up_at:
                machine.send(signal.SIGSTOP)
                # Answers that are on the way arrive.
                time.sleep(0.005 + machine.proxy.delay)
                if connection.execute(_IDLE_IN_TRANSACTION, (machine.proxy.sessions,)).fetchone():
                    seconds = self._for(machine, 20, LEASE + 20, lambda: machine.send(signal.SIGCONT))
                    return f"{machine.name} for {seconds:.0f} s"
                machine.send(signal.SIGCONT)
                time.sleep(self.random.uniform(0.001, 0.02))
        return ""

    def drop(self, machine: Machine) -> str:
        machine.proxy.drop()
        machine.cut_off += 1
        return f"the connections of {machine.name}"

    def swallow(self, machine: Machine) -> str:
        machine.proxy.swallow()
        seconds = self._for(machine, 0.5, 10, machine.proxy.heal)
        return f"what the database answers {machine.name}, for {seconds:.0f} s"

    def stand_still(self, machine: Machine) -> str:
        machine.proxy.stand_still()
        return f"{machine.name} for {self._for(machine, 1, LEASE + 10, machine.proxy.heal):.0f} s"

    def slow(self, machine: Machine) -> str:
        usual, machine.proxy.delay = machine.proxy.delay, self.random.uniform(0.05, 0.4)

        def heal() -> None:
            machine.proxy.delay = usual

        before = machine.cut_off
        seconds = self._for(machine, 5, 30, heal)
        machine.cut_off = before
        return f"{machine.proxy.delay * 1000:.0f} ms to {machine.name} for {seconds:.0f} s"

    def _stop(self) -> str:
        """Stop the server; returns how. A crash loses what was committed asynchronously."""
        how = self.random.choice(list(_STOPS))
        self.server.stop(_STOPS[how])
        return how

    def restart(self, _machine: Machine) -> str:
        how = self._stop()
        self.server.start()
        for one in self.machines:
            one.cut_off += 1
        return f"the database ({how})"

    def outage(self, machine: Machine) -> str:
        how = self._stop()
        self._down = True
        for other in self.machines:
            if other is not machine:
                other.cut_off += 12

        def heal() -> None:
            self.server.start()
            self._down = False

        return f"of the database ({how}) for {self._for(machine, 5, 12, heal):.0f} s"


KINDS: Final[dict[str, tuple[int, Callable[[Faults, Machine], str]]]] = {
    "kill": (4, Faults.kill),
    "freeze": (2, Faults.freeze),
    "freeze for long": (2, Faults.freeze_for_long),
    "freeze in a transaction": (3, Faults.freeze_in_transaction),
    "drop": (3, Faults.drop),
    "swallow": (3, Faults.swallow),
    "stand still": (2, Faults.stand_still),
    "slow": (2, Faults.slow),
    "restart": (3, Faults.restart),
    "outage": (1, Faults.outage),
}
"""Each kind of fault: how often it comes in comparison, and what it does."""
