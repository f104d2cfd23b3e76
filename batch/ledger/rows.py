"""Requests read from the ledger."""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from batch.api.dialects import ItemType, Operation
from batch.ledger import tables as t
from batch.ledger.bulk import Among
from batch.ledger.messages import ask
from batch.model import IMPORT, Request, RequestItem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy.engine import Connection

REQUEST: Final = sa.select(t.request, t.run.c.id.label("run_id"), t.run.c.metadata.label("run_metadata")).join(
    t.run, t.run.c.number == t.request.c.run
)
"""Rows of requests, with the id of the run and its metadata."""

IMPORTS: Final = sa.select(t.run.c.id).where(t.run.c.input_digest.startswith(IMPORT))
"""The ids of the runs of imported requests."""

_AT_ONCE: Final = 500
"""Identities asked for in one statement."""

_NUMBERED: Final = REQUEST.where(t.request.c.number.in_(sa.bindparam("numbers", expanding=True))).order_by(
    t.request.c.number
)
_IDENTITIES: Final = sa.select(t.identity.c.id, t.identity.c.external_id).where(Among(t.identity.c.id, "numbers"))
_ITEMS: Final = (
    sa.select(t.request_item, t.item.c.type, t.item.c.external_id, t.detail)
    .join(t.item, t.item.c.id == t.request_item.c.item)
    .join(t.detail, t.detail.c.id == t.request_item.c.detail)
    .where(t.request_item.c.request.in_(sa.bindparam("requests", expanding=True)))
    .order_by(t.request_item.c.request, t.request_item.c.item)
)


def requests_of(connection: Connection, numbers: Iterable[int]) -> Iterator[Request]:
    """The requests with these numbers, some at a time, in ascending order if the numbers are."""
    remaining = iter(numbers)
    while some := list(islice(remaining, _AT_ONCE)):
        yield from load_requests(connection, connection.execute(_NUMBERED, {"numbers": some}).all())


def last_sent(connection: Connection, run_id: str) -> int:
    """See `Head.sent`."""
    claimed = (t.request.c.run == t.number_of_run(run_id)) & (t.request.c.attempts > 0) & t.request.c.parent.is_(None)
    return connection.execute(sa.select(sa.func.max(t.request.c.number)).where(claimed)).scalar() or 0


def load_requests(connection: Connection, rows: Sequence[Any]) -> tuple[Request, ...]:
    """The requests in rows of REQUEST, in their order."""
    identities = _identities(connection, {number for row in rows for number in recipients_of(row)})
    items = _items(connection, [row.number for row in rows])
    names = identities()
    return tuple(
        Request(
            number=row.number,
            run=row.run_id,
            operation=Operation(row.operation),
            recipients=tuple(names[number] for number in recipients_of(row) if number in names),
            items=tuple(_request_item(item) for item in items[row.number]),
            attempts=row.attempts,
            parent=row.parent,
            tag=row.tag or "",
            metadata=_metadata(row.run_metadata),
        )
        for row in rows
    )


def recipients_of(row: Any) -> list[int]:
    """Numbers of a request's identities, in order."""
    return sorted(int(number) for number in row.recipients.split())


def item_rows(connection: Connection, number: int) -> Sequence[Any]:
    """The rows of a request's items, in order."""
    return _items(connection, [number])[number]


def _identities(connection: Connection, numbers: set[int]) -> Callable[[], dict[int, str]]:
    """Asks for the ids of identities."""
    ordered = sorted(numbers)
    asked = [
        ask(connection, _IDENTITIES, {"numbers": ordered[start : start + _AT_ONCE]})
        for start in range(0, len(ordered), _AT_ONCE)
    ]
    return lambda: {row.id: row.external_id for some in asked for row in some()}


def _items(connection: Connection, requests: Sequence[int]) -> defaultdict[int, list[Any]]:
    found: defaultdict[int, list[Any]] = defaultdict(list)
    for start in range(0, len(requests), _AT_ONCE):
        for row in connection.execute(_ITEMS, {"requests": requests[start : start + _AT_ONCE]}):
            found[row.request].append(row)
    return found


def _request_item(row: Any) -> RequestItem:
    return RequestItem(
        type=ItemType(row.type),
        id=row.external_id,
        comment=row.comment,
        start_date=row.start_date,
        remove_date=row.remove_date,
        metadata=_metadata(row.metadata),
        account=row.account,
        selection=row.selection,
    )


def _metadata(kept: str | None) -> Mapping[str, str]:
    return json.loads(kept) if kept else {}
