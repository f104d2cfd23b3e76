"""What only another machine's key says, and would make changes be sent again: this machine asks the tenant itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from batch.commands.runs import keys_in
from batch.dedupe.classify import TENANT_VERDICTS
from batch.dedupe.reasons import SECOND_HAND
from batch.errors import LedgerChangedError
from batch.ledger.machine_key import key_name
from batch.ledger.take_over import LedgerMovedError
from batch.loops.second_hand import not_shown
from batch.model import RowClass
from batch.pipeline import sent_before, to_take_over
from batch.status.matching import RunChanges, accepted_changes
from batch.status.second_hand import second_hand
from batch.text import count

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from batch.api.tenant_outcome import TenantOutcome
    from batch.commands.precheck import CommandPrecheck
    from batch.commands.runtime import Runtime
    from batch.commands.screen import Screen
    from batch.ledger.store import Ledger
    from batch.model import Run
    from batch.pipeline import Classified
    from batch.settings import Settings
    from batch.status.second_hand import Report


class Mistrust:
    """Lets nothing be sent again on the word of another machine alone.

    Args:
        settings: Which other keys the user trusts.
        screen: For messages.
        runtime: Clock, randomness and process.
    """

    def __init__(self, settings: Settings, screen: Screen, runtime: Runtime) -> None:
        self._screen = screen
        self._runtime = runtime
        self._width = settings.concurrency
        self._trusted = {*map(key_name, keys_in(settings.trust))} if settings.trust else set()

    def held_back(
        self, ledger: Ledger, classified: Classified, resubmit: Collection[TenantOutcome], check: CommandPrecheck
    ) -> pl.DataFrame:
        """Check that the ledger may call changes fresh.

        Returns:
            Those of them that wait, as only another machine's record makes them fresh and the tenant's list does not
            show the same: by dedupe's TENANT_VERDICTS.

        Raises:
            LedgerChangedError: Somebody has changed the ledger.
            LedgerMovedError: Requests were doubted again: the ledger must be read again.
            RunHeldError: Another process works on a run that must be doubted again.
            StoppedError: The tenant can't be asked.
        """
        if not classified.changes.get_column("fresh").any():
            return pl.DataFrame(schema=TENANT_VERDICTS)
        sealed = ledger.plans.check_all()
        before = sent_before(classified)
        unsure = {run: changes for run, changes in before.items() if sealed[run].mistrusted.keys() & changes.keys()}
        planned = [*to_take_over(classified, classified.changes.filter("fresh"))]
        if doubt_again(ledger, unsure, self._screen, self._runtime, planned=planned):
            raise LedgerMovedError
        tracked = {
            request: key
            for one in sealed.values()
            for request, key in one.tracked_by.items()
            if key not in self._trusted
        }
        reports = second_hand(
            classified.changes,
            classified.known,
            tracked.keys(),
            run=classified.run,
            resubmit=resubmit,
            busy=classified.busy,
        )
        if not reports:
            return pl.DataFrame(schema=TENANT_VERDICTS)
        runs = {name: _changes_of(ledger, name) for name in {one.run for one in reports}}
        left = check.look(ledger, lambda listing: not_shown(listing, reports, runs, width=self._width))
        if left:
            self._screen.say(_describe(left, {tracked[one.request] for one in left}))
        found = [
            (one.identity, one.item_type, one.item, one.account, RowClass.HELD_BACK.value, _reason(one)) for one in left
        ]
        return pl.DataFrame(found, schema=TENANT_VERDICTS, orient="row")

    def drop_what_others_planned(self, ledger: Ledger, run: Run) -> bool:
        """Drop what another machine has planned in this run, so that it is planned anew from the input at hand.

        Returns:
            Whether there was anything.

        Raises:
            LedgerChangedError: Somebody has changed the ledger.
            LedgerMovedError: A third machine has planned the same anew meanwhile.
        """
        sealed = ledger.requests.check(run)
        may_have_arrived = {number: (number,) for number in sealed.mistrusted if number in sealed.ours}
        doubt_again(ledger, {run.id: may_have_arrived}, self._screen, self._runtime)
        again = {*sealed.others, *sealed.revived}
        if again:
            ledger.plans.drop(run, again, self._runtime.process, self._runtime.now())
        if others := sealed.others:
            names = ", ".join(sorted(set(others.values())))
            self._screen.say(
                f"Another machine, with the key {names}, has planned {count(len(others), 'request')} of run "
                f"{run.id}: planning them anew from this input."
            )
        return bool(again)


def _changes_of(ledger: Ledger, name: str) -> RunChanges:
    changes = accepted_changes(ledger.tracks.of_run(ledger.runs.named(name)))
    return RunChanges(name, changes, ledger.lost.restored())


def _reason(report: Report) -> str:
    return f"{SECOND_HAND}the {report.operation.lower()} of run {report.run} ended: the tenant's list does not show it"


def _describe(left: Sequence[Report], keys: Collection[str]) -> str:
    changes, runs = count(len(left), "earlier change"), sorted({one.run for one in left})
    return (
        f"Only another machine, with the key {', '.join(sorted(keys))}, has recorded how {changes} ended, and the "
        "tenant's list does not confirm it: changes that depend on that record are held back. "
        f"`access-batch track {runs[0]}` shows the states in the list. If these requests are too old for the "
        "list, and the "
        "key is a colleague's, put it in a file and add --trust FILE: `access-batch ledger verify` shows the whole key."
    )


def doubt_again(
    ledger: Ledger,
    changes: Mapping[str, Mapping[int, Collection[object]]],
    screen: Screen,
    runtime: Runtime,
    *,
    planned: Sequence[int] = (),
) -> int:
    """Doubt requests again that only another machine has settled as not arrived; return how many.

    Args:
        ledger: Has the requests.
        changes: By run and request: its changes that are about to be sent.
        screen: For messages.
        runtime: Clock, randomness and process.
        planned: Requests of other runs that have planned these changes since.

    Raises:
        LedgerChangedError: Somebody has changed the ledger.
        LedgerMovedError: What was planned since was sent meanwhile.
        RunHeldError: Another process works on one of the runs.
    """
    total = 0
    for name, some in changes.items():
        run, now = ledger.runs.named(name), runtime.now()
        found, keys = ledger.plans.mistrust(run, some, runtime.process, now, planned=planned)
        total += found
        if found:
            screen.say(
                f"{count(found, 'request')} of run {name} may have arrived: only another machine, with the key "
                f"{keys}, says that they did not. This machine does not trust that key, and asks the tenant itself."
            )
    return total


def not_asked_for(run: Run, unwanted: pl.DataFrame) -> LedgerChangedError:
    """The error that a run has planned changes that no row asks for."""
    operation, identity, item = unwanted.select("operation", "identity_id", "item_id").row(0)
    return LedgerChangedError(
        f"Run {run.id} has planned {count(unwanted.height, 'change')} that no row of this input asks for, such "
        f"as {operation} {item} for {identity}.",
        next_step="Nothing was sent. `access-batch ledger verify` may show the cause. "
        f"`access-batch settle {run.id}` settles unconfirmed requests, and `access-batch discard "
        f"{run.id}` drops "
        "the plan; then the same command plans this input anew.",
    )
