"""A plan takes over changes that other runs have planned and not sent; the rest of their requests stays with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import polars as pl
import sqlalchemy as sa

from batch.dedupe.overlap import KEY, overlapping
from batch.errors import StoppedError
from batch.ledger import events
from batch.ledger import tables as t
from batch.ledger.bulk import select_among
from batch.ledger.events import NEW_RUN, Entry
from batch.ledger.holders import busy_runs, kept_runs
from batch.ledger.moving import divide
from batch.ledger.rows import REQUEST, item_rows, load_requests, recipients_of
from batch.model import Part
from batch.states import Event, State, advance
from batch.text import id_key, instant

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from batch.ledger.process import Process

_REQUESTS: Final = {
    "request": pl.Int64,
    "run": pl.String,
    "state": pl.String,
    "recipients": pl.String,
    "changes": pl.Int64,
}


class LedgerMovedError(Exception):
    """Another process has changed the ledger since a plan was made from it; it must be read again."""


MOST_PLANS: Final = 100
"""How often an input is planned while the ledger changes each time."""

_Plan = TypeVar("_Plan")


def until_it_stands(plan: Callable[[], _Plan], start_anew: Callable[[], None]) -> _Plan:
    """What `plan` returns, once it no longer raises LedgerMovedError; `start_anew` is called each time it does.

    Raises:
        StoppedError: It always did.
    """
    for _ in range(MOST_PLANS):
        try:
            return plan()
        except LedgerMovedError:
            start_anew()
    raise StoppedError(
        f"Other commands kept changing the ledger: this input was planned {MOST_PLANS} times, each time in vain.",
        next_step="Nothing more was sent. Run the same command again once they have ended.",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class TakenOver:
    """Requests of other runs from which a plan takes changes over.

    Attributes:
        requests: Their numbers.
        process: This process: from a run on which another one works nothing is taken.
        waiting: Whether something is taken from a run that waits on purpose.
    """

    requests: tuple[int, ...]
    process: Process
    waiting: bool = False


def take_over(
    connection: Connection,
    run_id: str,
    wanted: pl.DataFrame,
    taken: TakenOver,
    now: datetime,
    *,
    tag: str,
) -> None:
    """Takes the wanted changes out of requests of other runs, in the transaction that plans them anew.

    Args:
        connection: In that transaction.
        run_id: The run that plans them.
        wanted: The plan's changes, with dedupe's KEY; ids are compared by their keys.
        taken: The requests, which must still be planned and free.
        now: When.
        tag: The random part of the ids of requests that stay with the other runs.

    Raises:
        LedgerMovedError: A request was sent meanwhile, or another process works on its run.
    """
    if not taken.requests:
        return
    q = t.request.c
    query = sa.select(q.number, t.run.c.id, q.state, q.recipients, q.recipient_count * q.item_count)
    numbers = pl.Series("request", sorted(taken.requests), dtype=pl.Int64)
    requests = select_among(connection, query.join(t.run, t.run.c.number == q.run), q.number, numbers, _REQUESTS)
    busy = (busy_runs if taken.waiting else kept_runs)(connection, taken.process, now)
    if not requests.select((pl.col("state") == State.PLANNED.value) & ~pl.col("run").is_in([*busy])).to_series().all():
        raise LedgerMovedError
    changes = _changes(connection, requests)
    by_key = wanted.select(KEY).with_columns(id_key(pl.col("identity_id")), id_key(pl.col("item_id")))
    going = overlapping(changes, by_key)
    take_changes(connection, run_id, requests, going, now, tag=tag)


def take_changes(
    connection: Connection, run_id: str, requests: pl.DataFrame, going: pl.DataFrame, now: datetime, *, tag: str
) -> None:
    """Takes changes out of planned requests, of which nothing may have been sent.

    Args:
        connection: In a transaction.
        run_id: The run that has them from now on.
        requests: `request`, `run` and `changes`: the number of a request, the id of its run, and how many it asks for.
        going: The changes that go: numbers of `request`, `identity` and `item`, in this order, each once.
        now: When.
        tag: The random part of the ids of requests that stay.

    Raises:
        LedgerMovedError: A request was sent meanwhile.
    """
    counts = going.group_by("request").len("going")
    whole = requests.join(counts, on="request").filter(pl.col("going") == pl.col("changes")).sort("request")
    _take_whole(connection, run_id, whole, now)
    for (number,), pairs in going.join(whole, on="request", how="anti").group_by("request", maintain_order=True):
        _take_some(connection, run_id, int(str(number)), frozenset(pairs.select("identity", "item").rows()), now, tag)


def _changes(connection: Connection, requests: pl.DataFrame) -> pl.DataFrame:
    """The changes of requests: numbers of `request`, `identity`, `item`, and dedupe's KEY with the ids' keys."""
    i = t.request_item.c
    people = requests.select("request", pl.col("recipients").str.split(" ").alias("identity")).explode("identity")
    items = select_among(
        connection,
        sa.select(i.request, i.item, t.detail.c.account).join(t.detail, t.detail.c.id == i.detail),
        i.request,
        requests.get_column("request").sort(),
        {"request": pl.Int64, "item": pl.Int64, "account": pl.String},
    )
    changes = people.cast({"identity": pl.Int64}).join(items, on="request")
    person, item = t.identity.c, t.item.c
    of_person = select_among(
        connection,
        sa.select(person.id, person.key),
        person.id,
        changes.get_column("identity").unique().sort(),
        {"identity": pl.Int64, "identity_id": pl.String},
    )
    of_item = select_among(
        connection,
        sa.select(item.id, item.type, item.key),
        item.id,
        changes.get_column("item").unique().sort(),
        {"item": pl.Int64, "item_type": pl.String, "item_id": pl.String},
    )
    return changes.join(of_person, on="identity").join(of_item, on="item").sort("request", "identity", "item")


def _take_whole(connection: Connection, run_id: str, whole: pl.DataFrame, now: datetime) -> None:
    """Leaves nothing of requests to their runs."""
    state = advance(State.PLANNED, Event.TAKEN_OVER).value
    values = [{"of_number": number, "at": instant(now), "new": state} for number in whole.get_column("request")]
    if values and connection.execute(_SPLIT, values).rowcount != len(values):
        raise LedgerMovedError
    for (run,), requests in whole.group_by("run", maintain_order=True):
        entries = [
            Entry(event=Event.TAKEN_OVER, at=now, request=number, detail={"by": [], NEW_RUN: run_id})
            for number in requests.get_column("request")
        ]
        events.append(connection, str(run), entries)


_SPLIT: Final = (
    sa.update(t.request)
    .where(t.request.c.number == sa.bindparam("of_number"), t.request.c.state == State.PLANNED.value)
    .values(state=sa.bindparam("new"), state_at=sa.bindparam("at"))
)


def _take_some(
    connection: Connection, run_id: str, number: int, going: Collection[tuple[int, int]], now: datetime, tag: str
) -> None:
    """Leaves new requests to a request's run, with the changes that are not going."""
    row: Any = connection.execute(REQUEST.where(t.request.c.number == number)).one()
    (request,) = load_requests(connection, [row])
    recipients = recipients_of(row)
    items = [item.item for item in item_rows(connection, number)]
    places = [(r, i) for r, p in enumerate(recipients) for i, item in enumerate(items) if (p, item) in going]
    parts = parts_without(len(recipients), len(items), frozenset(places))
    divide(connection, request, parts, State.PLANNED, now, {NEW_RUN: run_id}, tag=tag, elsewhere=places)


def parts_without(recipients: int, items: int, going: Collection[tuple[int, int]]) -> tuple[Part, ...]:
    """Divides the rest of a product into products: recipients who keep the same items stay together."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for recipient in range(recipients):
        kept = tuple(item for item in range(items) if (recipient, item) not in going)
        groups.setdefault(kept, []).append(recipient)
    return tuple(Part(recipients=tuple(people), items=kept) for kept, people in groups.items() if kept)
