"""Envelopes: the requests that share a body.

Only members in the same state are sent together, so that no member is sent that should not be. A part of an envelope is
as legal as the whole. A ledger without envelopes pays for one read of an empty table.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from batch.api.dialects import DIALECTS
from batch.ledger import tables as t
from batch.ledger.rows import REQUEST, requests_of
from batch.states import State

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable, Mapping, Sequence

    from sqlalchemy.engine import Connection

    from batch.model import Request

MOST_MEMBERS: Final = max(dialect.limits.items for dialect in DIALECTS.values())
"""The most requests that a body can hold, as each has at least one item."""

_AT_ONCE: Final = 300
"""Requests asked for in one statement."""

_RUN: Final = sa.select(t.run.c.number).where(t.run.c.id == sa.bindparam("run_id")).scalar_subquery()
_NEXT: Final = (
    REQUEST.add_columns(t.envelope.c.number.label("envelope"))
    .outerjoin(t.envelope, t.envelope.c.request == t.request.c.number)
    .where(t.request.c.run == _RUN, t.request.c.state == sa.bindparam("in_state"))
    .order_by(t.request.c.number)
)
_SOME: Final = (
    sa.select(t.request)
    .where(t.request.c.run == _RUN, t.request.c.state == sa.bindparam("in_state"))
    .order_by(t.request.c.number)
    .limit(sa.bindparam("most"))
    .subquery("some")
)
# Else PostgreSQL looks for the run and the envelope of every request that is left, and takes the first ones after that.
_FIRST: Final = (
    sa.select(
        _SOME,
        t.run.c.id.label("run_id"),
        t.run.c.metadata.label("run_metadata"),
        t.envelope.c.number.label("envelope"),
    )
    .join(t.run, t.run.c.number == _SOME.c.run)
    .outerjoin(t.envelope, t.envelope.c.request == _SOME.c.number)
    .order_by(_SOME.c.number)
)
_IN_ANOTHER_ORDER: Final = (
    _NEXT.where(t.request.c.number.not_in(sa.bindparam("but", expanding=True)))
    .order_by(None)
    .order_by(sa.case((t.request.c.number.in_(sa.bindparam("first", expanding=True)), 0), else_=1), t.request.c.number)
    .limit(sa.bindparam("most"))
)
_ONLY: Final = t.request.c.number.in_(sa.bindparam("only", expanding=True))
_ANY: Final = sa.select(t.envelope.c.request).limit(1)
_EXTRA: Final = (
    sa.select(t.request.c.state, sa.func.count() - sa.func.count(t.envelope.c.number.distinct()))
    .select_from(t.envelope)
    .join(t.request, t.request.c.number == t.envelope.c.request)
    .where(t.request.c.run == _RUN)
    .group_by(t.request.c.state)
)
_PART: Final = sa.delete(t.envelope).where(t.envelope.c.request == sa.bindparam("member"))


def next_bodies(
    connection: Connection,
    run_id: str,
    state: str,
    most: int,
    *,
    first: Collection[int] = (),
    but: Collection[int] = (),
    only: Collection[int] | None = None,
) -> Sequence[Any]:
    """Rows of the requests in the first bodies of a run that are in a state, each with its `envelope`.

    Members of a body follow one another, so that many bodies need no more rows than they can hold.

    Args:
        connection: In a transaction.
        run_id: The run's id.
        state: Their state.
        most: How many bodies at most.
        first: Numbers of requests that come before others.
        but: Numbers of requests that are left out.
        only: Numbers of the requests that are not; None for all.
    """
    asked: dict[str, Any] = {"run_id": run_id, "in_state": state}
    query = _FIRST
    if first or but or only is not None:
        query = _IN_ANOTHER_ORDER
        asked |= {"first": sorted(first), "but": sorted(but)}
    if only is not None:
        query = query.where(_ONLY)
        asked["only"] = sorted(only)
    rows = connection.execute(query, {**asked, "most": most}).all()
    if all(row.envelope is None for row in rows):
        return rows
    rows = connection.execute(query, {**asked, "most": most * MOST_MEMBERS}).all()
    chosen = frozenset(list(dict.fromkeys(_body(row) for row in rows))[:most])
    return [row for row in rows if _body(row) in chosen]


def all_in_state(connection: Connection, run_id: str, state: str) -> Sequence[Any]:
    """Rows of all requests of a run that are in a state, each with its `envelope`."""
    return connection.execute(_NEXT, {"run_id": run_id, "in_state": state}).all()


def with_bodies(requests: Iterable[Request], rows: Iterable[Any]) -> tuple[Request, ...]:
    """Requests in one state, with `within` set to the first request of their envelope in that state.

    Args:
        requests: Sorted by number.
        rows: Their rows, with `envelope`.
    """
    leaders: dict[int, int] = {}
    placed = []
    for request, row in zip(requests, rows, strict=True):
        leader = leaders.setdefault(_body(row), request.number)
        placed.append(request if leader == request.number else replace(request, within=leader))
    return tuple(placed)


def planned_companions(connection: Connection, numbers: Sequence[int], arrived: Container[int]) -> tuple[Request, ...]:
    """The planned requests that share an envelope with any of these, and that no row shows.

    They need not have been sent with it, nor with one another: a refused body is sent again in parts.
    """
    found: set[int] = set()
    mine = t.envelope.alias("mine")
    for start in range(0, len(numbers), _AT_ONCE):
        query = (
            sa.select(t.request.c.number)
            .join(t.envelope, t.envelope.c.request == t.request.c.number)
            .join(mine, mine.c.number == t.envelope.c.number)
            .where(mine.c.request.in_(numbers[start : start + _AT_ONCE]), t.request.c.state == State.PLANNED.value)
        )
        found.update(number for number in connection.execute(query).scalars() if number not in arrived)
    return tuple(requests_of(connection, sorted(found)))


def in_excess(connection: Connection, run_id: str) -> Mapping[str, int]:
    """How many more requests than bodies a run has, by state."""
    # First, since the other query reads all requests of the run.
    if connection.execute(_ANY).first() is None:
        return {}
    return dict(connection.execute(_EXTRA, {"run_id": run_id}).all())


def part(connection: Connection, requests: Sequence[Request]) -> None:
    """Makes requests travel alone from now on."""
    connection.execute(_PART, [{"member": request.number} for request in requests])


def count_bodies(rows: Iterable[Any]) -> int:
    """How many bodies the requests in these rows make, each with its `envelope`."""
    return len({_body(row) for row in rows})


def _body(row: Any) -> int:
    """A number for each body. It is negative for a request alone, which may have the number of its former envelope."""
    number: int = -row.number if row.envelope is None else row.envelope
    return number
