"""Changes that have arrived in requests which the ledger has lost, as rows of the tenant's list show."""

from __future__ import annotations

from collections import defaultdict
from itertools import product
from typing import TYPE_CHECKING

import sqlalchemy as sa

from batch.api.status_row import ChangeStatus
from batch.ledger import doubts, events
from batch.ledger import tables as t
from batch.ledger.attempts import ended
from batch.ledger.events import Entry
from batch.ledger.lost import restored
from batch.ledger.moving import divide, move
from batch.ledger.remembered import remembered_of
from batch.ledger.track import write_statuses
from batch.states import Event, State
from batch.status.compare import Account, Remembered, accounts_for, pair_keys
from batch.status.evidence import parts_by_arrival
from batch.status.progress import UNNAMED
from batch.text import instant, key_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from batch.api.status_row import StatusRow
    from batch.ledger.process import Process
    from batch.model import Request


def accounts_of(
    connection: Connection, url: str, rows: Sequence[StatusRow], *, is_behind: bool
) -> list[tuple[StatusRow, Remembered | Account]]:
    """Rows that show no accepted request, each with how a tenant's changes account for it."""
    remembered = remembered_of(connection, url, {pair_keys(row)[0] for row in rows})
    runs = frozenset(connection.execute(sa.select(t.run.c.id)).scalars())
    instead = restored(connection)
    of_pair: defaultdict[tuple[str, str], list[StatusRow]] = defaultdict(list)
    for row in rows:
        of_pair[pair_keys(row)].append(row)
    found = {
        pair: iter(accounts_for(some, remembered.get(pair, ()), runs, is_behind=is_behind, restored=instead))
        for pair, some in of_pair.items()
    }
    return [(row, next(found[pair_keys(row)])) for row in rows]


def record_elsewhere(
    connection: Connection, url: str, request: Request, rows: Sequence[StatusRow], now: datetime, *, tag: str
) -> int | None:
    """Records which changes of an UNCONFIRMED request have arrived in requests that the ledger has lost.

    Args:
        connection: In a transaction.
        url: An address of the tenant.
        request: The request. What has not arrived stays in doubt.
        rows: All rows of its changes.
        now: When.
        tag: The random part of the ids of the requests that take over, new for each call.

    Returns:
        How many changes have arrived; None if rows show that changes of other requests have, which comparing records.

    Raises:
        BrokenPromiseError: The request is no longer UNCONFIRMED.
    """
    accounts = accounts_of(connection, url, rows, is_behind=False)
    arrived = [(row, account.id.number) for row, account in accounts if isinstance(account, Remembered)]
    listed = {pair_keys(row): row for row, number in arrived if number == request.number}
    if not listed:
        return None if arrived else 0
    return record(connection, url, request, listed, now, state=State.UNCONFIRMED, tag=tag)


def record(
    connection: Connection,
    url: str,
    request: Request,
    listed: Mapping[tuple[str, str], StatusRow],
    now: datetime,
    *,
    state: State,
    tag: str,
    gone: Process | None = None,
    whole: bool = False,
) -> int:
    """Records the changes of a request that have arrived as accepted. The others go into requests of their own.

    Args:
        connection: In a transaction.
        url: An address of the tenant.
        request: The request.
        listed: Rows, by the keys of identity and item.
        now: When.
        state: The request's.
        tag: See `record_elsewhere`.
        gone: The run's last holder, if it is known to be gone.
        whole: Whether all of the request has arrived if one row is listed.

    Returns:
        How many changes have arrived.
    """
    rows = {
        (r, i): listed.get((key_of(identity), key_of(item.id)))
        for r, identity in enumerate(request.recipients)
        for i, item in enumerate(request.items)
    }
    found = {place for place, row in rows.items() if whole or row is not None}
    accesses = sorted({row.access_request for row in listed.values()} - {""})
    detail = {events.ACCESS_REQUESTS: accesses, events.LOST: True}
    parts = parts_by_arrival(request, found)
    if state is State.SENDING:
        move(connection, [request], state, Event.ABANDONED, now)
        has_ended = bool(ended(connection, [request.number], gone))
        doubts.begin(connection, [request.number], fenced=not has_ended)
        entry = Entry(
            event=Event.ABANDONED,
            at=now,
            request=request.number,
            detail={events.GONE: True} if has_ended else None,
        )
        events.append(connection, request.run, [entry])
        state = State.UNCONFIRMED
    children = divide(connection, request, parts, state, now, detail, tag=tag)
    # It arrived in a request that the ledger has lost, not in the body that is in doubt.
    arrived = [child for child, part in zip(children, parts, strict=True) if part.arrived]
    connection.execute(sa.update(t.request).where(t.request.c.number.in_(arrived)).values(claimed=None))
    # A later comparison reads the same rows again, and must know that they are accounted for.
    statuses = [
        _status(request, child, place, row)
        for child, part in zip(children, parts, strict=True)
        for place in product(part.recipients, part.items)
        if (row := rows[place]) is not None
    ]
    if statuses:
        write_statuses(connection, url, statuses, now)
    return len(found)


def _status(request: Request, number: int, place: tuple[int, int], row: StatusRow) -> ChangeStatus:
    item = request.items[place[1]]
    return ChangeStatus(
        request=number,
        identity=request.recipients[place[0]],
        item_type=item.type.value,
        item=item.id,
        state=row.state or UNNAMED,
        who=row.who,
        said=row.said,
        since=instant(row.since),
        access_request=row.access_request,
    )
