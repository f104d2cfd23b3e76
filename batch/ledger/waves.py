"""Runs that are sent in waves: what they may claim, and what became of what they have claimed."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import sqlalchemy as sa

from batch.ledger import events
from batch.ledger import tables as t
from batch.ledger.bulk import select_among, select_frame
from batch.ledger.chain import CLOCK, WAVES
from batch.ledger.engine import reading, writing
from batch.ledger.events import Entry
from batch.ledger.facts import waves_of
from batch.ledger.holders import require_held
from batch.ledger.moving import divide
from batch.ledger.repeating import repeated
from batch.ledger.rows import requests_of
from batch.model import Part
from batch.plan.wave_requests import blocks, choose_canary, ends_of
from batch.plan.waves import Claim, Limit, Moment, Planned, Progress, fitting
from batch.states import IN_DOUBT, Event, State

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from sqlalchemy.engine import Connection, Engine

    from batch.ledger.process import Process
    from batch.model import Run
    from batch.plan.waves import Ends

_CLAIMS: Final = (
    sa.select(
        t.event.c.number,
        t.event.c.request,
        t.event.c.at,
        t.event.c.detail,
        (t.request.c.recipient_count * t.request.c.item_count).label("changes"),
        t.request.c.parent,
    )
    .join(t.request, t.request.c.number == t.event.c.request)
    .where(
        t.event.c.run == t.RUN_NUMBER,
        t.event.c.number > sa.bindparam("since"),
        t.event.c.event == Event.CLAIMED.value,
    )
    .order_by(t.event.c.number)
)
_FOUND: Final = (
    sa.select(t.event.c.number, t.event.c.at, t.event.c.detail)
    .where(
        t.event.c.run == t.RUN_NUMBER,
        t.event.c.number > sa.bindparam("since"),
        t.event.c.event == Event.TAKEN_OVER.value,
        t.event.c.detail.contains(f'"{events.LOST}": true'),
    )
    .order_by(t.event.c.number)
)
"""Changes that had arrived by claims that the ledger has lost."""
_SIZES: Final = sa.select(
    t.request.c.number, (t.request.c.recipient_count * t.request.c.item_count).label("changes"), t.request.c.parent
).where(t.request.c.number.in_(sa.bindparam("numbers", expanding=True)))
_PLANNED: Final = (
    sa.select(
        t.request.c.number,
        (t.request.c.recipient_count * t.request.c.item_count).label("changes"),
        t.request.c.parent,
    )
    .where(t.request.c.run == t.RUN_NUMBER, t.request.c.state == State.PLANNED.value)
    .order_by(t.request.c.number)
)
_DOUBTS: Final = sa.select(sa.func.count()).where(
    t.request.c.run == t.RUN_NUMBER, t.request.c.state.in_(sorted(state.value for state in IN_DOUBT))
)
_EVENT: Final = sa.select(t.event.c.at, t.event.c.detail).where(
    t.event.c.run == t.RUN_NUMBER, t.event.c.number == sa.bindparam("of_number")
)
_PARTS: Final = sa.select(t.request.c.number, t.request.c.parent).where(
    t.request.c.run == t.RUN_NUMBER, t.request.c.parent.is_not(None)
)
_OF_WAVE: Final = {"request": pl.Int64, "state": pl.String, "changes": pl.Int64}
_REPORTS: Final = {"request": pl.Int64, "state": pl.String, "said": pl.String, "changes": pl.Int64}


@repeated
class WaveStore:
    """The waves of a ledger's runs."""

    def __init__(self, engine: Engine, new_id: Callable[[], str]) -> None:
        self._engine = engine
        self._new_id = new_id

    def progress(self, run: Run) -> Progress | None:
        """How far a run has come that is sent in waves; None for another one."""
        with reading(self._engine) as connection:
            row = waves_of(connection, run.id)
            return _progress(connection, run.id, row) if row else None

    def limit(self, run: Run) -> Limit | None:
        """What the waves of a run are; None if it is not sent in waves."""
        with reading(self._engine) as connection:
            row = waves_of(connection, run.id)
            return _limit_in(row) if row else None

    def agree(
        self,
        run: Run,
        process: Process,
        now: Moment,
        *,
        changes: int | None = None,
        seconds: float = 0.0,
        canary: int | None = None,
        kept: bool = False,
    ) -> bool:
        """Keeps how a run is to be sent. Durable when this returns.

        Args:
            run: The run.
            process: It must hold the run.
            now: This moment.
            changes: The most changes in a wave, 0 for any number; None to leave the waves as they are.
            seconds: The period of a wave.
            canary: How many planned requests go first if none did yet, 0 for none; None to leave that as it is.
            kept: Whether nobody may take over what it has planned, even if nothing else makes it wait.

        Returns:
            Whether the run is sent in waves.

        Raises:
            RunHeldError: The process does not hold the run (any more).
        """
        with writing(self._engine) as connection:
            require_held(connection, run.id, process)
            before = waves_of(connection, run.id)
            row = {"changes": 0, "seconds": 0.0, "canary": None, "begun": 0, "before": 0, **before}
            if changes is not None:
                row |= {"changes": changes, "seconds": seconds if changes else 0.0}
            if canary is not None and (not canary or row["canary"] is None):
                chosen = choose_canary(_items_of_planned(connection, run.id), canary) if canary else None
                row["canary"] = None if chosen is None else sorted(chosen)
            if kept and row["canary"] is None:
                row["canary"] = []
            after = row if row["changes"] or row["canary"] is not None else {}
            if after != before:
                _keep(connection, run.id, after, now)
            return bool(after)

    def begin(self, run: Run, process: Process, now: Moment) -> None:
        """Records that a wave begins.

        Raises:
            RunHeldError: The process does not hold the run (any more).
        """
        with writing(self._engine) as connection:
            require_held(connection, run.id, process)
            row = waves_of(connection, run.id)
            # What it claims comes after this event, which `_keep` adds.
            number = events.newest(connection, run.id).number + 1
            _keep(connection, run.id, {**row, "before": row["begun"], "begun": number}, now)

    def passed(self, run: Run, process: Process, now: Moment) -> None:
        """Records that the canary has passed.

        Raises:
            RunHeldError: The process does not hold the run (any more).
        """
        with writing(self._engine) as connection:
            require_held(connection, run.id, process)
            _keep(connection, run.id, {**waves_of(connection, run.id), "canary": []}, now)

    def end(self, run: Run, process: Process, now: Moment) -> None:
        """Records that everything was sent.

        Raises:
            RunHeldError: The process does not hold the run (any more).
        """
        with writing(self._engine) as connection:
            require_held(connection, run.id, process)
            end_waves(connection, run.id, now)

    def divide(self, run: Run, number: int, most: int, process: Process, now: datetime) -> None:
        """Divides a planned request into parts of at most so many changes.

        Raises:
            RunHeldError: The process does not hold the run (any more).
            BrokenPromiseError: The request is no longer PLANNED.
        """
        with writing(self._engine) as connection:
            require_held(connection, run.id, process)
            (request,) = requests_of(connection, [number])
            parts = [
                Part(recipients=people, items=items)
                for people, items in blocks(len(request.recipients), len(request.items), most)
            ]
            divide(connection, request, parts, State.PLANNED, now, tag=self._new_id())


def end_waves(connection: Connection, run_id: str, now: Moment) -> None:
    """A run is not sent in waves any more, in the caller's transaction."""
    if waves_of(connection, run_id):
        _keep(connection, run_id, {}, now)


def rows_within(connection: Connection, run_id: str, rows: Sequence[Any], limit: Limit, now: Moment) -> Sequence[Any]:
    """Those of some rows of requests, in their order, that may be claimed now: in the transaction that claims them."""
    if not limit.changes or not rows:
        return rows
    lineages = _lineages(connection, {row.number: row.parent for row in rows})
    planned = [
        Planned(number=row.number, changes=row.recipient_count * row.item_count, lineage=lineages[row.number])
        for row in rows
    ]
    fit = frozenset(fitting(planned, _claims(connection, run_id, limit.before), limit, now))
    return [row for row in rows if row.number in fit]


def _progress(connection: Connection, run_id: str, row: Mapping[str, Any]) -> Progress:
    limit, canary, of_run = _limit_in(row), frozenset(row["canary"] or ()), {"of_run": run_id}
    planned = connection.execute(_PLANNED, of_run).all()
    lineages = _lineages(connection, {one.number: one.parent for one in planned})
    begun = connection.execute(_EVENT, {**of_run, "of_number": row["begun"]}).first() if row["begun"] else None
    claims = _claims(connection, run_id, limit.before)
    of_wave = {claim.number for claim in claims if claim.event > row["begun"]}
    parts = connection.execute(_PARTS, of_run).all()
    of_canary = _with_parts(canary, parts)
    sent = [claim.at for claim in (_claims(connection, run_id, 0) if canary else ()) if claim.number in of_canary]
    return Progress(
        limit=limit,
        planned=[Planned(number=one.number, changes=one.changes, lineage=lineages[one.number]) for one in planned],
        claims=claims,
        begun=None if begun is None else _moment_of(begun.at, begun.detail),
        wave=_ends(connection, _with_parts(of_wave, parts)),
        canary=canary,
        canary_sent=sent[-1] if sent else None,
        canary_ends=_ends(connection, of_canary),
        doubts=int(connection.execute(_DOUBTS, of_run).scalar_one()),
    )


def _limit_in(row: Mapping[str, Any]) -> Limit:
    return Limit(changes=row["changes"], seconds=row["seconds"], before=row["before"])


def _keep(connection: Connection, run_id: str, row: Mapping[str, Any], now: Moment) -> None:
    """Writes the row of a run, or removes it if it is empty, with the event that says so."""
    number = connection.execute(sa.select(t.number_of_run(run_id))).scalar_one()
    connection.execute(sa.delete(t.wave).where(t.wave.c.run == number))
    if row:
        canary = None if row["canary"] is None else " ".join(map(str, row["canary"]))
        connection.execute(sa.insert(t.wave), {**row, "run": number, "canary": canary})
    detail = {WAVES: row, CLOCK: clock_of(now)}
    events.append(connection, run_id, [Entry(event=WAVES, at=now.wall, detail=detail)])


def clock_of(now: Moment) -> list[Any] | None:
    """The clock of a moment for the detail of an event; None if it is not known."""
    return [now.boot, now.monotonic] if now.boot else None


def _moment_of(at: str, detail: str) -> Moment:
    """When an event happened."""
    wall = datetime.fromisoformat(at)
    try:
        boot, monotonic = json.loads(detail)[CLOCK]
        return Moment(wall=wall, monotonic=float(monotonic), boot=str(boot))
    except (KeyError, TypeError, ValueError):
        return Moment(wall=wall)


def _claims(connection: Connection, run_id: str, since: int) -> list[Claim]:
    """The requests that a run has claimed since an event, each with its last claim, in the order of these.

    What has arrived by a claim that the ledger has lost counts from when it was found.
    """
    rows: dict[int, Any] = {}
    for row in connection.execute(_CLAIMS, {"of_run": run_id, "since": since}):
        rows.pop(row.request, None)
        rows[row.request] = (row, row)
    for found in connection.execute(_FOUND, {"of_run": run_id, "since": since}).all():
        arrived = json.loads(found.detail).get(events.ARRIVED, [])
        for size in connection.execute(_SIZES, {"numbers": arrived}):
            rows[size.number] = (found, size)
    lineages = _lineages(connection, {number: size.parent for number, (_, size) in rows.items()})
    claims = [
        Claim(
            number=number,
            changes=size.changes,
            lineage=lineages[number],
            at=_moment_of(event.at, event.detail),
            event=event.number,
        )
        for number, (event, size) in rows.items()
    ]
    return sorted(claims, key=lambda claim: claim.event)


def _lineages(connection: Connection, parents: Mapping[int, int | None]) -> dict[int, tuple[int, ...]]:
    """Of each request its number, and those of the requests that it is a part of."""
    known = dict(parents)
    while missing := {parent for parent in known.values() if parent is not None} - known.keys():
        q = t.request.c
        numbers = pl.Series("number", sorted(missing), dtype=pl.Int64)
        found = select_among(
            connection, sa.select(q.number, q.parent), q.number, numbers, {"number": pl.Int64, "parent": pl.Int64}
        )
        known |= dict.fromkeys(missing) | dict(found.rows())
    lineages = {}
    for number in parents:
        lineage, parent = [number], known[number]
        while parent is not None:
            lineage.append(parent)
            parent = known[parent]
        lineages[number] = tuple(lineage)
    return lineages


def _with_parts(numbers: Collection[int], parts: Iterable[Any]) -> frozenset[int]:
    """Requests with all their parts, of every generation: a part has a greater number than the whole."""
    found = set(numbers)
    for number, parent in sorted((row.number, row.parent) for row in parts):
        if parent in found:
            found.add(number)
    return frozenset(found)


def _ends(connection: Connection, numbers: Collection[int]) -> Ends:
    """How the changes of requests have ended."""
    q, k, f = t.request.c, t.track.c, t.finding.c
    wanted = pl.Series("request", sorted(numbers), dtype=pl.Int64)
    states = sa.select(q.number, q.state, q.recipient_count * q.item_count)
    requests = select_among(connection, states, q.number, wanted, _OF_WAVE)
    said = sa.select(k.request, f.state, f.said, sa.literal(1)).join(t.finding, f.id == k.finding)
    found = select_among(connection, said, k.request, wanted, _REPORTS)
    reports: dict[int, list[tuple[str, str, int]]] = {}
    for request, *report in found.group_by("request", "state", "said").agg(pl.col("changes").sum()).rows():
        reports.setdefault(request, []).append((report[0], report[1], report[2]))
    return ends_of((state, changes, reports.get(number, ())) for number, state, changes in requests.rows())


def _items_of_planned(connection: Connection, run_id: str) -> dict[int, tuple[int, frozenset[int]]]:
    """Of each planned request of a run how many changes it has, and its items."""
    query = (
        sa.select(t.request.c.number, t.request.c.recipient_count * t.request.c.item_count, t.request_item.c.item)
        .join(t.request_item, t.request_item.c.request == t.request.c.number)
        .where(t.request.c.run == t.number_of_run(run_id), t.request.c.state == State.PLANNED.value)
    )
    schema = {"request": pl.Int64, "changes": pl.Int64, "item": pl.Int64}
    found = select_frame(connection, query, schema).group_by("request", "changes").agg("item")
    return {request: (changes, frozenset(items)) for request, changes, items in found.rows()}
