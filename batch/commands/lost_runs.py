"""Runs that a ledger has lost altogether, because it was put back to a time before they were planned.

For a run that it still has, the ledger knows the plan. For a lost one, only the file beside its head tells which
requests were on their way. They are planned again, in a run of their own, and put in doubt.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import polars as pl

from batch.errors import StoppedError
from batch.ledger.runs import NewRun
from batch.ledger.take_over import LedgerMovedError, TakenOver
from batch.model import Head
from batch.plan import Plan
from batch.states import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from batch.commands.runtime import Runtime
    from batch.ledger.store import Ledger
    from batch.model import Request

LOST_RUN: Final = "lost "
"""Begins the digest of a run that has what a lost run had in doubt."""


def restore_doubts(ledger: Ledger, doubtful: Iterable[Request], tenant: str, api: str, runtime: Runtime) -> int:
    """Puts the requests of lost runs in doubt again.

    If an earlier command was killed while it did so, this one finishes the work.

    Args:
        ledger: The ledger that was put back.
        doubtful: Requests that were in doubt, of any runs; those of runs that the ledger has are left alone.
        tenant: An address of their tenant.
        api: The API version.
        runtime: Clock and process.

    Returns:
        How many requests are in doubt again.

    Raises:
        StoppedError: Another process is planning or sending some of it.
        RunHeldError: Another process works on the run.
    """
    known = {run.id for run in ledger.runs.all()}
    by_run: dict[str, list[Request]] = {}
    for request in doubtful:
        if request.run not in known:
            by_run.setdefault(request.run, []).append(request)
    doubted = 0
    for name, requests in sorted(by_run.items()):
        new = NewRun(
            tenant=tenant,
            input_digest=f"{LOST_RUN}{name}",
            inputs=(f"requests of run {name} that were on their way",),
            dialect=api,
            started_at=runtime.now(),
            metadata=requests[0].metadata,
        )
        restored = ledger.plans.run_id(tenant, new.input_digest)
        if restored not in known:
            _plan(ledger, new, requests, runtime)
        numbers = sorted(ledger.requests.ids(ledger.runs.named(restored)))
        sent_as = {number: request.id for number, request in zip(numbers, requests, strict=False)}
        every = Head(run=restored, number=0, hash="", sent=max(numbers))
        doubted += ledger.gaps.doubt_claimed([every], runtime.process, runtime.now(), sent_as=sent_as)
    return doubted


def _plan(ledger: Ledger, new: NewRun, requests: Sequence[Request], runtime: Runtime) -> None:
    changes = _changes_of(requests)
    known = ledger.plans.known(new.tenant, changes)
    # The lost run may have taken changes over from a run that still has them as planned.
    planned = known.changes.filter(pl.col("state") == State.PLANNED.value).get_column("request").unique().sort()
    taken = TakenOver(requests=tuple(planned), process=runtime.process)
    plan = Plan(changes=changes, requests=len(requests), lower_bound=len(requests))
    try:
        ledger.plans.write(new, plan, upto=known.upto, now=runtime.now(), taken=taken)
    except LedgerMovedError as error:
        raise StoppedError(
            "The ledger was put back, and another process is planning or sending with it.",
            next_step="Nothing was sent. Run the same command again once that has ended.",
        ) from error


def _changes_of(requests: Sequence[Request]) -> pl.DataFrame:
    """The changes of requests as a plan has them, with the requests' positions."""
    rows = [
        {
            "request": position,
            "operation": request.operation.value,
            "identity_id": identity,
            "item_type": item.type.value,
            "item_id": item.id,
            "comment": item.comment,
            "start_date": item.start_date,
            "remove_date": item.remove_date,
            "metadata": json.dumps(dict(item.metadata), ensure_ascii=False, sort_keys=True) if item.metadata else "",
            "account": item.account,
            "selection": item.selection,
        }
        for position, request in enumerate(requests)
        for identity in request.recipients
        for item in request.items
    ]
    return pl.DataFrame(rows, schema_overrides={"request": pl.Int64})
