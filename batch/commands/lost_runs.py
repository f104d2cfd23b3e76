"""Requests that were on their way, and that a ledger has lost, because it was put back to a time before.

What a ledger still has as planned, it can put in doubt itself. Of anything else that was on its way, only the file
beside the head of its run tells. That is planned again, in a run of its own, and put in doubt.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import polars as pl

from batch.errors import StoppedError
from batch.ledger.runs import NewRun
from batch.ledger.take_over import LedgerMovedError, TakenOver
from batch.plan import Plan
from batch.states import State
from batch.status.compare import LOST_RUN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from batch.commands.runtime import Runtime
    from batch.ledger.standing import Sent
    from batch.ledger.store import Ledger
    from batch.model import Request


def restore_doubts(ledger: Ledger, doubtful: Iterable[Sent], tenant: str, api: str, runtime: Runtime) -> int:
    """Puts requests in doubt again that the ledger has lost, or that somebody has given up since it was put back.

    Args:
        ledger: The ledger that was put back.
        doubtful: Requests that were in doubt, of any runs.
        tenant: An address of their tenant.
        api: The API version.
        runtime: Clock and process.

    Returns:
        How many requests are in doubt again.

    Raises:
        StoppedError: Another process is planning or sending some of it.
    """
    missing = ledger.lost.missing(doubtful)
    for sent in _together(missing):
        asked = json.dumps(
            [
                (one.request.id, one.body, one.request.recipients, [item.id for item in one.request.items])
                for one in sent
            ]
        )
        new = NewRun(
            tenant=tenant,
            # One and the same run can be lost several times, with other requests on their way each time.
            input_digest=LOST_RUN + hashlib.sha256(asked.encode()).hexdigest()[:32],
            inputs=(f"requests of run {sent[0].request.run} that were on their way",),
            dialect=api,
            started_at=runtime.now(),
            metadata=sent[0].request.metadata,
        )
        _plan(ledger, new, sent, runtime)
    return len(missing)


def _together(lost: Iterable[Sent]) -> Sequence[Sequence[Sent]]:
    """The requests that go into one run: all of them are of one run, and no two ask for the same change."""
    groups: list[tuple[str, set[tuple[str, str]], list[Sent]]] = []
    for sent in lost:
        request = sent.request
        pairs = {(identity, item.id) for identity in request.recipients for item in request.items}
        for run, taken, members in groups:
            if run == request.run and taken.isdisjoint(pairs):
                taken.update(pairs)
                members.append(sent)
                break
        else:
            groups.append((request.run, pairs, [sent]))
    return [members for _, _, members in groups]


def _plan(ledger: Ledger, new: NewRun, sent: Sequence[Sent], runtime: Runtime) -> None:
    changes = _changes_of([one.request for one in sent])
    known = ledger.plans.known(new.tenant, changes)
    # The lost run may have taken changes over from a run that still has them as planned.
    planned = known.changes.filter(pl.col("state") == State.PLANNED.value).get_column("request").unique().sort()
    taken = TakenOver(requests=tuple(planned), process=runtime.process, waiting=True)
    plan = Plan(changes=changes, requests=len(sent), lower_bound=len(sent))
    try:
        ledger.plans.write(new, plan, upto=known.upto, now=runtime.now(), taken=taken, doubted=sent)
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
