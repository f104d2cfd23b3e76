"""What a ledger remembers of the changes that rows of a tenant's list may be about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from batch.api.dialects import Operation
from batch.ledger import tables as t
from batch.ledger.rows import REQUEST
from batch.states import VOID, State
from batch.status.compare import Remembered, pair_keys
from batch.status.matching import request_id
from batch.text import RequestId

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy.engine import Connection

    from batch.api.status_row import StatusRow

_AT_ONCE: Final = 300
"""Identities asked for in one statement."""


def runs_elsewhere(connection: Connection, url: str) -> Mapping[str, str]:
    """The names of other tenants that may be the one with this address, by their runs: no token has named them yet."""
    if connection.execute(_IS_NAMED, {"url": url}).first() is None:
        return {}
    return dict(connection.execute(_UNNAMED_RUNS).all())


_IS_NAMED: Final = sa.select(1).where(
    t.tenant.c.id == t.tenant_at(sa.bindparam("url", type_=sa.Text())), t.tenant.c.token_name.is_not(None)
)
_UNNAMED_RUNS: Final = (
    sa.select(t.run.c.id, t.tenant.c.name)
    .join(t.tenant, t.tenant.c.id == t.run.c.tenant)
    .where(t.tenant.c.token_name.is_(None))
)


def rows_elsewhere(
    connection: Connection, rows: Sequence[StatusRow], elsewhere: Mapping[str, str]
) -> tuple[str, Sequence[StatusRow]]:
    """The other tenant for which the ledger has the change of one of the rows, in the run whose id the row shows.

    Args:
        connection: In a transaction.
        rows: Rows that a tenant's changes do not account for as known.
        elsewhere: From `runs_elsewhere`.

    Returns:
        Its name, and all rows that show its runs; an empty name if there is none.
    """
    by_tenant: dict[str, list[StatusRow]] = {}
    for row in rows:
        name = RequestId.read(request_id(row))
        if name is not None and name.run in elsewhere:
            by_tenant.setdefault(elsewhere[name.run], []).append(row)
    for other, shown in by_tenant.items():
        changes = remembered_of(connection, other, {pair_keys(row)[0] for row in shown})
        if any(change.state not in VOID for row in shown for change in changes.get(pair_keys(row), ())):
            return other, shown
    return "", ()


def remembered_of(
    connection: Connection, url: str, identities: Iterable[str]
) -> Mapping[tuple[str, str], Sequence[Remembered]]:
    """What the ledger has of identities, by the keys of identity and item."""
    keys = sorted(identities)
    found: dict[tuple[str, str], list[Remembered]] = {}
    for start in range(0, len(keys), _AT_ONCE):
        query = (
            sa.select(
                t.identity.c.key.label("person"),
                t.item.c.key.label("thing"),
                t.run.c.id,
                t.request.c.number,
                t.request.c.tag,
                t.request.c.operation,
                t.request.c.state,
                t.detail.c.start_date,
                t.detail.c.remove_date,
                t.detail.c.account,
                t.track.c.access_request,
            )
            .select_from(t.identity)
            .join(t.recipient, t.recipient.c.identity == t.identity.c.id)
            .join(t.request, t.request.c.number == t.recipient.c.request)
            .join(t.run, t.run.c.number == t.request.c.run)
            .join(t.request_item, t.request_item.c.request == t.request.c.number)
            .join(t.item, t.item.c.id == t.request_item.c.item)
            .join(t.detail, t.detail.c.id == t.request_item.c.detail)
            .outerjoin(
                t.track,
                (t.track.c.request == t.request.c.number)
                & (t.track.c.identity == t.identity.c.id)
                & (t.track.c.item == t.item.c.id),
            )
            .where(t.identity.c.tenant == t.tenant_at(url), t.identity.c.key.in_(keys[start : start + _AT_ONCE]))
        )
        for row in connection.execute(query):
            found.setdefault((row.person, row.thing), []).append(_one(row))
    return found


def _one(row: Any) -> Remembered:
    return Remembered(
        id=RequestId(row.id, row.number, row.tag or ""),
        operation=Operation(row.operation),
        start_date=row.start_date,
        remove_date=row.remove_date,
        account=row.account,
        state=State(row.state),
        access_request=row.access_request or "",
    )


def forgotten_of(
    connection: Connection, accounts: Iterable[tuple[StatusRow, object]], runs: Iterable[str]
) -> tuple[str, ...]:
    """The runs, of some, in which a change has arrived that the ledger can't have sent.

    A request is claimed before it is sent. So if its change is planned, or the ledger has no such request, the ledger
    has lost the claim, whoever works on the run.

    Args:
        connection: In a transaction that began after the rows were read.
        accounts: Rows, each with the change that has arrived with it.
        runs: Ids of runs.
    """
    forgotten: set[str] = set()
    doubted: dict[RequestId, str] = {}
    for row, account in accounts:
        if isinstance(account, Remembered):
            name = RequestId.read(request_id(row))
            if account.state is State.PLANNED:
                forgotten.add(account.id.run)
            elif name is not None:
                doubted[name] = account.id.run
    numbers = sorted({name.number for name in doubted})
    query = REQUEST.where(t.request.c.number.in_(numbers))
    known = (
        {RequestId(row.run_id, row.number, row.tag or "") for row in connection.execute(query)} if numbers else set()
    )
    forgotten |= {run for name, run in doubted.items() if name not in known}
    return tuple(run for run in runs if run in forgotten)
