"""Proves that nothing in a ledger was submitted twice for one intention. Reads only."""

from __future__ import annotations

import json
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from batch.api.tenant_outcome import RESUBMITTABLE, TenantOutcome, tenant_outcome
from batch.ledger import tables as t
from batch.ledger.doubts import BY_HAND
from batch.ledger.events import LOST
from batch.model import IMPORT
from batch.states import VOID, Event, State
from batch.status.compare import LOST_RUN

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

    from sqlalchemy.engine import Connection

_IDENTITIES_AT_ONCE: Final = 100_000
_IS_IMPORT: Final = t.run.c.input_digest.startswith(IMPORT)
_IS_LOST: Final = t.run.c.input_digest.startswith(LOST_RUN)
_LOST_ATTEMPTS: Final = sa.select(t.event.c.request).where(
    t.event.c.event == Event.CLAIMED.value, t.event.c.detail.contains(f'"{LOST}": ', autoescape=True)
)
_BY_HAND: Final = sa.select(t.event.c.request).where(
    t.event.c.event == Event.FOUND.value, t.event.c.detail == json.dumps(dict(BY_HAND))
)
"""Requests of which a person says that they arrived: they saw the change, and can't tell by which request."""


def repeats(connection: Connection) -> Iterator[str]:
    """Changes that were submitted again although the same was wanted last. Searched in parts, to bound the memory.

    Ids with the same key are one id, by the number of its first spelling.
    """
    person, item = _first_spellings(connection, t.identity), _first_spellings(connection, t.item)
    last: int = connection.execute(sa.select(sa.func.coalesce(sa.func.max(t.identity.c.id), 0))).scalar_one()
    by_hand = frozenset(connection.execute(_BY_HAND).scalars())
    for first in range(1, last + 1, _IDENTITIES_AT_ONCE):
        part = person.c.first.between(first, first + _IDENTITIES_AT_ONCE - 1)
        yield from _repeats_of(connection, person, item, part, by_hand)


def _first_spellings(connection: Connection, table: sa.Table) -> sa.Subquery:
    """The `id` of every entry of `identity` or `item`, and the `first` that has the same key."""
    c, kind = table.c, [table.c.type] if "type" in table.c else []
    key = (c.tenant, *kind, c.key)
    several = connection.execute(sa.select(c.key).group_by(*key).having(sa.func.count() > 1).limit(1)).first()
    first = c.id if several is None else sa.func.min(c.id).over(partition_by=key)
    return sa.select(c.id, first.label("first"), c.external_id).subquery()


def _repeats_of(
    connection: Connection,
    person: sa.Subquery,
    item: sa.Subquery,
    part: sa.ColumnElement[bool],
    by_hand: Container[int],
) -> Iterator[str]:
    live = t.request.c.state.not_in([state.value for state in VOID])
    r, i, k, p, a = t.recipient.c, t.request_item.c, t.track.c, person.c, item.c
    changes = (
        t.recipient.join(person, p.id == r.identity)
        .join(t.request, t.request.c.number == r.request)
        .join(t.request_item, i.request == r.request)
        .join(item, a.id == i.item)
    )
    pairs = sa.select(p.first, a.first).select_from(changes).where(live, part)
    several = pairs.group_by(p.first, a.first).having(sa.func.count() > 1).subquery()
    history = (
        sa.select(
            p.first.label("identity_number"),
            a.first.label("item_number"),
            p.external_id.label("identity"),
            a.external_id.label("item"),
            t.request.c.number,
            t.request.c.state_at,
            t.request.c.operation,
            t.detail.c.start_date,
            t.detail.c.remove_date,
            t.detail.c.account,
            t.finding.c.state.label("tracked"),
            t.finding.c.said,
            _IS_IMPORT.label("imported"),
            _IS_LOST.label("lost"),
            (t.request.c.attempts == 0).label("listed"),
        )
        .select_from(changes)
        .join(several, (several.c[0] == p.first) & (several.c[1] == a.first))
        .join(t.run, t.run.c.number == t.request.c.run)
        .join(t.detail, t.detail.c.id == i.detail)
        .outerjoin(t.track, (k.request == r.request) & (k.identity == r.identity) & (k.item == i.item))
        .outerjoin(t.finding, t.finding.c.id == k.finding)
        # Another machine may have sent the same as a request that is in doubt for an attempt that the ledger has lost.
        .where(live, part, ~(t.request.c.number.in_(_LOST_ATTEMPTS) & (t.request.c.state == State.UNCONFIRMED.value)))
        .order_by(p.first, a.first, t.detail.c.account, t.request.c.number)
    )
    before: tuple[object, ...] = ()
    is_listed = False
    for row in _oldest_first(connection.execute(history)):
        wanted = (row.identity_number, row.item_number, row.account, row.operation, row.start_date, row.remove_date)
        # Changes that were submitted again before this ledger began are not its fault. What only the list shows may
        # have been sent in a request that the ledger has lost.
        if wanted == before and not (row.imported or row.number in by_hand or (row.lost and is_listed)):
            yield f"request {row.number}: it submits {row.item} for {row.identity} again"
        # A change that came to nothing may be submitted again, and leaves the change before it in force.
        came_to = tenant_outcome(row.tracked, row.said) if row.tracked else TenantOutcome.OPEN
        if came_to not in RESUBMITTABLE:
            before, is_listed = wanted, row.imported or row.listed or row.number in by_hand
        elif came_to is TenantOutcome.FAILED:
            before = ()


def _oldest_first(rows: Iterable[Any]) -> Iterator[Any]:
    """The requests for each pair in the order of their numbers; those of one import in the order of their times."""

    def together(row: Any) -> tuple[object, ...]:
        return (row.identity_number, row.item_number, row.account, bool(row.imported))

    for (*_, is_imported), some in groupby(rows, together):
        if is_imported:
            yield from sorted(some, key=lambda row: (str(row.state_at), row.number))
        else:
            yield from some
