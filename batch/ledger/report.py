"""What the ledger knows of a run, for its report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl
import sqlalchemy as sa

from batch.ledger import tables as t
from batch.ledger.bulk import select_frame
from batch.ledger.engine import reading
from batch.ledger.events import ACCESS_REQUESTS, REASON_COLUMN, WITHIN_COLUMN
from batch.ledger.machine_key import key_name
from batch.ledger.track import CHANGES
from batch.states import Event

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from batch.model import Run

CHANGES_SCHEMA: Final = {
    "request": pl.Int64,
    "tag": pl.String,
    "parent": pl.Int64,
    "operation": pl.String,
    "state": pl.String,
    "state_at": pl.String,
    "identity_id": pl.String,
    "item_type": pl.String,
    "item_id": pl.String,
    "account": pl.String,
    "selection": pl.String,
    "comment": pl.String,
    "start_date": pl.String,
    "remove_date": pl.String,
    "metadata": pl.String,
    "tenant_state": pl.String,
    "who": pl.String,
    "said": pl.String,
    "since": pl.String,
    "access_request": pl.String,
}
"""Columns of RunRecords.changes. The last five are null if the tenant has not reported on the change yet."""

EVENTS_SCHEMA: Final = {
    "number": pl.Int64,
    "at": pl.String,
    "request": pl.Int64,
    "event": pl.String,
    "status": pl.Int64,
    "reason": pl.String,
    "within": pl.Int64,
    "found": pl.String,
}
"""Columns of RunRecords.events. `found`: the detail of what settling found, as JSON, if it names access requests."""

_CHANGES: Final = (
    sa.select(
        *(t.request.c[name] for name in ("number", "tag", "parent", "operation", "state", "state_at")),
        t.identity.c.external_id,
        t.item.c.type,
        t.item.c.external_id,
        *(t.detail.c[name] for name in ("account", "selection", "comment", "start_date", "remove_date", "metadata")),
        *(t.finding.c[name] for name in ("state", "who", "said")),
        t.track.c.since,
        t.track.c.access_request,
    )
    .select_from(CHANGES)
    .where(t.request.c.run == t.RUN_NUMBER)
    .order_by(t.request.c.number, t.identity.c.id, t.item.c.id)
)
_IS_FOUND: Final = (t.event.c.event == Event.FOUND.value) & t.event.c.detail.contains(f'"{ACCESS_REQUESTS}": ')
_EVENTS: Final = (
    sa.select(
        *(t.event.c[name] for name in ("number", "at", "request", "event", "status")),
        REASON_COLUMN,
        WITHIN_COLUMN,
        sa.case((_IS_FOUND, t.event.c.detail)),
    )
    .where(t.event.c.run == t.RUN_NUMBER)
    .order_by(t.event.c.number)
)
_REQUESTERS: Final = (
    sa.select(t.requester.c.identity)
    .join(t.run, t.run.c.tenant == t.requester.c.tenant)
    .where(t.run.c.id == sa.bindparam("of_run"))
    .order_by(t.requester.c.identity)
)
_SIGNERS: Final = (
    sa.select(t.signer.c.public)
    .where(t.signer.c.id.in_(sa.select(t.event.c.signer).where(t.event.c.run == t.RUN_NUMBER)))
    .order_by(t.signer.c.id)
)


class RunRecords(NamedTuple):
    """Everything that a report says of a run, as it is at one moment.

    Attributes:
        changes: Every change of every request, also of those that others have replaced, by CHANGES_SCHEMA.
        events: By EVENTS_SCHEMA.
        requesters: Ids of all users with whose tokens requests were sent to the run's tenant.
        machines: The short names of the keys that have signed events of the run.
    """

    changes: pl.DataFrame
    events: pl.DataFrame
    requesters: tuple[str, ...] = ()
    machines: tuple[str, ...] = ()


def records_of(engine: Engine, run: Run) -> RunRecords:
    """What the ledger knows of a run."""
    of_run = {"of_run": run.id}
    with reading(engine) as connection:
        return RunRecords(
            changes=select_frame(connection, _CHANGES, CHANGES_SCHEMA, of_run),
            events=select_frame(connection, _EVENTS, EVENTS_SCHEMA, of_run),
            requesters=tuple(connection.execute(_REQUESTERS, of_run).scalars()),
            machines=tuple(key_name(one) for one in connection.execute(_SIGNERS, of_run).scalars()),
        )
