"""What a ledger knows of how a tenant treats some items: its refusals of single changes, and what it accepted last."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from batch.ledger import tables as t
from batch.ledger.events import REASON_COLUMN, WITHIN_COLUMN
from batch.states import Event, State
from batch.status.refused_before import Experience, Refusal

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from sqlalchemy.engine import Connection

    from batch.status.refused_before import Subject

_AT_ONCE: Final = 300
"""Items asked for in one statement."""

_BAD_REQUEST: Final = 400
_WORDS: Final = re.compile(r"the tenant answered \d+: (?P<words>.*?)(?: \(tracking id [^()]*\))?", re.DOTALL)
_OF_ITEMS: Final = (
    t.run.c.tenant == t.tenant_at(sa.bindparam("url")),
    t.item.c.tenant == t.run.c.tenant,
    t.item.c.key.in_(sa.bindparam("keys", expanding=True)),
)
# A refused request is SPLIT once its run is planned again.
_REFUSED: Final = (
    sa.select(
        t.request.c.number,
        t.request.c.operation,
        t.item.c.type,
        t.item.c.key.label("item"),
        t.identity.c.key.label("person"),
        t.detail.c.comment,
        t.detail.c.remove_date,
        t.event.c.at,
        REASON_COLUMN.label("reason"),
    )
    .select_from(t.run)
    .join(t.request, t.request.c.run == t.run.c.number)
    .join(t.request_item, t.request_item.c.request == t.request.c.number)
    .join(t.item, t.item.c.id == t.request_item.c.item)
    .join(t.detail, t.detail.c.id == t.request_item.c.detail)
    .join(t.recipient, t.recipient.c.request == t.request.c.number)
    .join(t.identity, t.identity.c.id == t.recipient.c.identity)
    .join(t.event, t.event.c.request == t.request.c.number)
    .where(
        *_OF_ITEMS,
        t.request.c.state.in_([State.REFUSED.value, State.SPLIT.value]),
        t.request.c.recipient_count == 1,
        t.request.c.item_count == 1,
        t.event.c.event == Event.REFUSED.value,
        t.event.c.status == _BAD_REQUEST,
        WITHIN_COLUMN.is_(None),
    )
    .order_by(t.event.c.at, t.request.c.number)
)
_LEADERS: Final = sa.select(WITHIN_COLUMN).where(
    t.event.c.run.in_(
        sa.select(t.request.c.run).where(t.request.c.number.in_(sa.bindparam("numbers", expanding=True)))
    ),
    t.event.c.event == Event.CLAIMED.value,
    WITHIN_COLUMN.in_(sa.bindparam("numbers", expanding=True)),
)
"""Of these requests, those in whose body others have travelled: its refusal may be about one of the others."""
_ACCEPTED: Final = (
    sa.select(
        t.request.c.operation, t.item.c.type, t.item.c.key.label("item"), sa.func.max(t.request.c.state_at).label("at")
    )
    .select_from(t.item)
    .join(t.request_item, t.request_item.c.item == t.item.c.id)
    .join(t.request, t.request.c.number == t.request_item.c.request)
    .join(t.run, t.run.c.number == t.request.c.run)
    .where(*_OF_ITEMS, t.request.c.state.in_([State.ACCEPTED.value, State.SENDING.value, State.UNCONFIRMED.value]))
    .group_by(t.request.c.operation, t.item.c.type, t.item.c.key)
)
"""What is in doubt may be accepted."""


def experience(connection: Connection, tenant: str, subjects: Collection[Subject]) -> Experience:
    """What the ledger knows of some operations and items.

    Args:
        connection: In a transaction.
        tenant: An address of the tenant.
        subjects: Operations and items.
    """
    wanted = frozenset(subjects)
    keys = sorted({item for _, _, item in wanted})
    refused = [row for row in _rows(connection, _REFUSED, tenant, keys) if _subject(row) in wanted]
    if not refused:
        return Experience()
    leaders = _leaders(connection, sorted({row.number for row in refused}))
    refused = [row for row in refused if row.number not in leaders]
    keys = sorted({row.item for row in refused})
    return Experience(
        refusals=tuple(
            Refusal(
                subject=_subject(row),
                identity=row.person,
                comment=row.comment,
                remove_date=row.remove_date,
                words=found["words"],
                at=row.at,
            )
            for row in refused
            if (found := _WORDS.fullmatch(row.reason or ""))
        ),
        accepted={_subject(row): row.at for row in _rows(connection, _ACCEPTED, tenant, keys)},
    )


def _rows(
    connection: Connection, query: sa.Select[*tuple[Any, ...]], tenant: str, keys: Sequence[str]
) -> Iterator[Any]:
    for start in range(0, len(keys), _AT_ONCE):
        yield from connection.execute(query, {"url": tenant, "keys": keys[start : start + _AT_ONCE]})


def _leaders(connection: Connection, numbers: Sequence[int]) -> frozenset[int]:
    portions = (numbers[start : start + _AT_ONCE] for start in range(0, len(numbers), _AT_ONCE))
    return frozenset(
        leader for some in portions for leader in connection.execute(_LEADERS, {"numbers": some}).scalars()
    )


def _subject(row: Any) -> Subject:
    return row.operation, row.type, row.item
