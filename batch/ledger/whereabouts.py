"""Where a ledger is: in one place at a time, even while it moves.

A ledger that has left a place names the next one there. A copy that has not arrived yet names the place that it comes
from. Only the mark of the place that was left decides: as soon as it is committed, the copy with the same move is the
ledger, and it is told so by the next command that opens it, if not by the move itself.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from batch.errors import LedgerLostError, LedgerRefusedError
from batch.ledger import events
from batch.ledger import tables as t
from batch.ledger.address import ledger_url, place
from batch.ledger.engine import connect, ledger_exists, reading, writing
from batch.ledger.events import Entry

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy.engine import Connection, Engine

    from batch.ledger.machine_key import LedgerMemory, MachineKey

MOVED: Final = "moved"
"""Of a run as a whole: its ledger has moved, `to` another place or `from` one. No transition."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Whereabouts:
    """Where a ledger is, as one place tells.

    Attributes:
        ledger: Its id.
        moves: How often it had moved until it came to this place.
        move: The id of its last move; empty if it never moved.
        moved_to: The place where it is now; empty if it has not left this one.
        moving_from: The place that it comes from; empty if it has arrived.
    """

    ledger: str
    moves: int
    move: str
    moved_to: str
    moving_from: str


def whereabouts(connection: Connection) -> Whereabouts:
    """What this place tells."""
    found = connection.execute(_WHEREABOUTS).one()
    last = connection.execute(_LAST_EVENT).first()
    # Whoever takes the mark away has not taken the link away, which is signed.
    linked = json.loads(last.detail).get("to") if last is not None and last.event == MOVED else None
    return Whereabouts(
        ledger=found.ledger,
        moves=found.moves,
        move=found.move or "",
        moved_to=found.moved_to or linked or "",
        moving_from=found.moving_from or "",
    )


_LAST_EVENT: Final = (
    sa.select(t.event.c.event, t.event.c.detail)
    .where(t.event.c.run == sa.select(sa.func.max(t.run.c.number)).scalar_subquery())
    .order_by(t.event.c.number.desc())
    .limit(1)
)
_WHEREABOUTS: Final = sa.select(*(t.about.c[name] for name in ("ledger", "moves", "move", "moved_to", "moving_from")))


def refuse_moved(connection: Connection) -> None:
    """Refuses to go on in a ledger that has moved since this process opened it.

    Raises:
        LedgerRefusedError: It has.
    """
    if to := whereabouts(connection).moved_to:
        raise _has_moved(place(connection.engine.url), to)


def _has_moved(where: str, to: str) -> LedgerRefusedError:
    return LedgerRefusedError(
        f"The ledger {where} has moved to {to}.",
        next_step=f"Nothing was sent. Run the same command with --ledger {to}. Here, only `runs`, `status`, `ledger "
        "verify` and `track --offline` still work.",
    )


def require_here(
    engine: Engine,
    memory: LedgerMemory | None,
    *,
    key: Callable[[], MachineKey] | None,
    now: datetime,
    only_read: bool,
) -> tuple[str, ...]:
    """Refuses a place where a ledger no longer is, or not yet.

    Args:
        engine: To the place.
        memory: What this machine knows of ledgers.
        key: Returns this machine's key, which signs that the ledger has arrived.
        now: This moment.
        only_read: Whether it will only be read: then a notice will do.

    Returns:
        Sentences for the user.

    Raises:
        LedgerRefusedError: It is in another place.
    """
    with reading(engine) as connection:
        found = whereabouts(connection)
    where = place(engine.url)
    if found.moving_from and has_left(found):
        if not only_read:
            arrive(engine.url, key=key, now=now)
        return (f"The ledger has moved here from {found.moving_from}.",)
    known = memory.moves(found.ledger) if memory is not None else None
    if found.moved_to:
        if memory is not None and known is not None and known.number <= found.moves:
            memory.keep_moves(found.ledger, found.moves + 1, found.moved_to)
        refusal = _has_moved(where, found.moved_to)
    elif found.moving_from:
        refusal = LedgerRefusedError(
            f"The ledger {where} is a copy of {found.moving_from}, and its move has not ended.",
            next_step=f"Nothing was sent. Run `access-batch ledger move {found.moving_from} {where}`: it goes on. "
            f"Until then, {found.moving_from} is the ledger, if it does not say otherwise.",
        )
    elif known is not None and known.number > found.moves:
        refusal = LedgerRefusedError(
            f"The ledger {where} is an old copy: the ledger has moved to {known.place} since.",
            next_step=f"Nothing was sent. Run the same command with --ledger {known.place}. If that one is lost, with "
            f"all its backups, remove {known.file} and run the same command again: requests sent since then are looked "
            "up at the tenant first.",
        )
    else:
        if memory is not None and known is not None and found.moves > known.number:
            memory.keep_moves(found.ledger, found.moves, where)
        return ()
    if only_read:
        return (f"{refusal.message} What it shows may be out of date.",)
    raise refusal


def has_left(copy: Whereabouts) -> bool:
    """Whether the place that a copy comes from says that the ledger has left it, by the same move."""
    try:
        url = ledger_url(copy.moving_from)
        if not ledger_exists(url):
            return False
        engine = connect(url, only_look=True)
        try:
            with reading(engine) as connection:
                there = whereabouts(connection)
        finally:
            engine.dispose()
    except (LedgerRefusedError, LedgerLostError):
        return False
    return bool(there.moved_to) and (there.ledger, there.move) == (copy.ledger, copy.move)


def leave(connection: Connection, to: str, move: str, now: datetime) -> None:
    """Marks a place as one that its ledger has left, in the transaction that has compared it with the copy.

    Each run gets a last link. No process that is still there can go on: its hold on a run ends.
    """
    connection.execute(sa.delete(t.holder))
    link(connection, now, to=to)
    connection.execute(sa.update(t.about).values(moved_to=to, move=move))


def arrive(url: sa.URL, *, key: Callable[[], MachineKey] | None, now: datetime) -> None:
    """Marks a copy as the ledger, unless that was done meanwhile."""
    engine = connect(url, key=key)
    try:
        with writing(engine) as connection:
            if come_from := whereabouts(connection).moving_from:
                link(connection, now, **{"from": come_from})
                connection.execute(sa.update(t.about).values(moving_from=None))
    finally:
        engine.dispose()


def link(connection: Connection, now: datetime, **detail: str) -> None:
    """Adds a move to the chain of each run."""
    for run in connection.execute(sa.select(t.run.c.id).order_by(t.run.c.number)).scalars().all():
        events.append(connection, run, [Entry(event=MOVED, at=now, detail=detail)])
