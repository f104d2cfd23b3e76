"""Requests that were on their way, and that a ledger has lost, because it was put back to a time before.

What a ledger still has as planned, it can put in doubt itself. Of anything else that was on its way, only the file
beside the head of its run tells. That is planned again, in a run of its own, and put in doubt.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from batch.errors import StoppedError
from batch.ledger.runs import NewRun
from batch.ledger.take_over import LedgerMovedError, TakenOver, parts_without
from batch.plan import Plan
from batch.states import State
from batch.status.compare import LOST_RUN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from batch.commands.runtime import Runtime
    from batch.ledger.store import Ledger
    from batch.model import Request


def restore_doubts(ledger: Ledger, doubtful: Iterable[Request], tenant: str, api: str, runtime: Runtime) -> int:
    """Puts requests in doubt again that the ledger has lost, or that somebody has given up since it was put back.

    If an earlier command was killed while it did so, this one finishes the work.

    Args:
        ledger: The ledger that was put back.
        doubtful: Requests that were in doubt, of any runs, by the ids that were sent.
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
    doubted = 0
    for requests in _together(_left(ledger, tenant, ledger.lost.missing(doubtful))):
        name = requests[0].run
        asked = json.dumps([(one.id, one.recipients, [item.id for item in one.items]) for one in requests])
        new = NewRun(
            tenant=tenant,
            # One and the same run can be lost several times, with other requests on their way each time.
            input_digest=LOST_RUN + hashlib.sha256(asked.encode()).hexdigest()[:32],
            inputs=(f"requests of run {name} that were on their way",),
            dialect=api,
            started_at=runtime.now(),
            metadata=requests[0].metadata,
        )
        restored = ledger.plans.run_id(tenant, new.input_digest)
        if restored not in known:
            _plan(ledger, new, requests, runtime)
        numbers = sorted(ledger.requests.ids(ledger.runs.named(restored)))
        sent_as = {number: request.id for number, request in zip(numbers, requests, strict=True)}
        doubted += ledger.lost.doubt(restored, sent_as, runtime.process, runtime.now())
    return doubted


def _left(ledger: Ledger, tenant: str, requests: Iterable[Request]) -> Iterator[Request]:
    """Requests without the changes that the ledger has as accepted in later ones, in parts if these are no product.

    Another command has found them at the tenant, or sent them itself: no doubt is needed to keep them from being sent.
    """
    for request in requests:
        changes = ledger.plans.known(tenant, _changes_of([request])).changes.filter(
            pl.col("state") == State.ACCEPTED.value,
            pl.col("operation") == request.operation.value,
            pl.col("request") > request.number,
        )
        has = set(changes.select("identity_id", "item_id", "start_date", "remove_date").rows())
        places = [
            (r, i)
            for r, identity in enumerate(request.recipients)
            for i, item in enumerate(request.items)
            if (identity, item.id, item.start_date, item.remove_date) in has
        ]
        for part in parts_without(len(request.recipients), len(request.items), places):
            yield replace(
                request,
                recipients=tuple(request.recipients[r] for r in part.recipients),
                items=tuple(request.items[i] for i in part.items),
            )


def _together(requests: Iterable[Request]) -> Sequence[Sequence[Request]]:
    """The requests that go into one run: all of them are of one run, and no two ask for the same change."""
    groups: list[tuple[str, set[tuple[str, str]], list[Request]]] = []
    for request in requests:
        pairs = {(identity, item.id) for identity in request.recipients for item in request.items}
        for run, taken, members in groups:
            if run == request.run and taken.isdisjoint(pairs):
                taken.update(pairs)
                members.append(request)
                break
        else:
            groups.append((request.run, pairs, [request]))
    return [members for _, _, members in groups]


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
