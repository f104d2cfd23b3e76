"""Somebody who gives up and settles runs between commands, and says only what is true."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from batch.commands.import_ import import_
from batch.commands.runs import discard, settle_by_hand
from batch.commands.settling import settle_run
from batch.commands.track import track
from batch.model import IMPORTED_INPUT
from tests.ledger.ledger_helpers import rows
from tests.simulation.tenant import pair_key

if TYPE_CHECKING:
    from batch.commands.runtime import Runtime
    from batch.commands.screen import Screen
    from batch.settings import Settings
    from tests.simulation.host import Host
    from tests.simulation.process import Machine
    from tests.simulation.tenant import SimulatedTenant
    from tests.simulation.world import World

_RUNS: Final = "SELECT id FROM run ORDER BY number"
_INPUTS: Final = "SELECT id, inputs FROM run ORDER BY number"
_DOUBTFUL: Final = "SELECT identity_id, item_id FROM changes WHERE run = '{}' AND state IN ('SENDING', 'UNCONFIRMED')"


class Person:
    """Whoever works with the ledger by hand, while nothing is on its way to the tenant.

    Args:
        world: Where.
        host: Runs the commands.
        tenant: They see everything that it has, whatever its list shows.
    """

    def __init__(self, world: World, host: Host, tenant: SimulatedTenant) -> None:
        self._world = world
        self._host = host
        self._tenant = tenant

    def act(self, machine: Machine, before: str) -> None:
        """Do something with some run, or nothing, before a command with this name."""
        chance = self._world.chance("by hand")
        runs = [run for (run,) in rows(self._host.ledger, _RUNS)]
        if not runs or chance.random() < 0.3:
            return
        run, what = chance.choice(runs), chance.choice(("discard", "settle", "by hand", "by hand"))

        def work(settings: Settings, screen: Screen, runtime: Runtime) -> int:
            if what == "discard":
                discard(settings, run, runtime, screen.say)
            elif what == "settle":
                settled = settle_run(run, settings, screen, runtime)
                return 4 if settled.stopped or settled.unconfirmed else 0
            else:
                doubtful = {pair_key(*pair) for pair in rows(self._host.ledger, _DOUBTFUL.format(run))}
                arrived = doubtful & {one.pair for one in self._tenant.books}
                if doubtful and arrived in (doubtful, set()):
                    settle_by_hand(settings, run, runtime, screen.say, arrived=bool(arrived))
            return 0

        self._world.note("person", f"{what} {run}")
        self._host.run(machine, f"{before} {what}", work)

    def follow(self, machine: Machine, before: str) -> None:
        """Let the ledger learn how requests have ended, before a command with this name."""
        imported = {run for run, inputs in rows(self._host.ledger, _INPUTS) if IMPORTED_INPUT in inputs}
        for (run,) in rows(self._host.ledger, _RUNS):

            def work(settings: Settings, screen: Screen, runtime: Runtime, run: str = run) -> int:
                track(settings.model_copy(update={"track_for": 0.0, "out": None}), run, screen, runtime)
                return 0

            if run not in imported:
                self._host.run(machine, f"{before} track {run}", work)

        def bring_in(settings: Settings, screen: Screen, runtime: Runtime) -> int:
            import_(settings, screen, runtime, since=None, everybody=False)
            return 0

        if imported:
            self._host.run(machine, f"{before} import", bring_in)
