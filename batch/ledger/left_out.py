"""Planned changes that are left out of a run, as ledger or tenant have moved since it was planned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from batch.dedupe.overlap import KEY
from batch.ledger import events
from batch.ledger.decisions import set_aside_of, write_set_aside
from batch.ledger.events import Entry
from batch.ledger.holders import require_held
from batch.ledger.moving import divide, move
from batch.ledger.rows import requests_of
from batch.ledger.take_over import parts_without
from batch.model import Part
from batch.states import Event, State
from batch.text import key_of

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from batch.ledger.process import Process
    from batch.model import Request, Run


def leave_out(
    connection: Connection,
    run: Run,
    numbers: Collection[int],
    moved: pl.DataFrame,
    process: Process,
    now: datetime,
    *,
    tag: str,
) -> int:
    """Takes changes out of planned requests of a run, and keeps why; the rest of each request stays planned.

    Args:
        connection: In a transaction.
        run: The run, which `process` must hold.
        numbers: The requests.
        moved: The changes, by dedupe's TENANT_VERDICTS.
        process: This process.
        now: When.
        tag: The random part of the ids of the parts that stay.

    Returns:
        How many changes were left out.

    Raises:
        RunHeldError: The process does not hold the run (any more).
        BrokenPromiseError: A request is no longer planned.
    """
    require_held(connection, run.id, process)
    keys = {(key_of(person), kind, key_of(item), account) for person, kind, item, account in moved.select(KEY).rows()}
    gone, left = [], 0
    for request in [*requests_of(connection, sorted(numbers))]:
        going = _places(request, keys)
        left += len(going)
        if len(going) == request.changes:
            gone.append(request)
        elif going:
            kept = parts_without(len(request.recipients), len(request.items), going)
            alone = [Part(recipients=(person,), items=(item,)) for person, item in going]
            parts = divide(connection, request, [*kept, *alone], State.PLANNED, now, tag=tag)
            gone += requests_of(connection, parts[len(kept) :])
    if gone:
        move(connection, gone, State.PLANNED, Event.DISCARDED, now)
        events.append(connection, run.id, [Entry(event=Event.DISCARDED, at=now, request=one.number) for one in gone])
    before = set_aside_of(connection, run.id).join(moved, on=KEY, how="anti")
    write_set_aside(connection, run.id, pl.concat([before, moved.select(before.columns)]), now)
    return left


def _places(request: Request, keys: Collection[tuple[str, str, str, str]]) -> list[tuple[int, int]]:
    """The positions of recipient and item of the changes with these keys."""
    return [
        (person, item)
        for person, recipient in enumerate(request.recipients)
        for item, wanted in enumerate(request.items)
        if (key_of(recipient), wanted.type.value, key_of(wanted.id), wanted.account) in keys
    ]
