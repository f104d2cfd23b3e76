"""Imported changes, which the tenant had before this ledger. Each tenant has one run for them, already accepted."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import sqlalchemy as sa

from batch.api.status_row import ChangeStatus
from batch.ledger import events
from batch.ledger import tables as t
from batch.ledger.bulk import greatest, insert_frame, intern, select_among, spellings
from batch.ledger.engine import writing
from batch.ledger.events import Entry
from batch.ledger.facts import about
from batch.ledger.history import earlier
from batch.ledger.holders import require_held
from batch.ledger.lost import restored
from batch.ledger.plans import run_id_of
from batch.ledger.products import distinct
from batch.ledger.repeating import repeated
from batch.ledger.runs import RUN, NewRun, as_run, begin_run
from batch.ledger.seals import root, write_seals
from batch.ledger.tables import number_of_tenant
from batch.ledger.track import write_statuses
from batch.model import IMPORT, IMPORTED_INPUT
from batch.states import State
from batch.status.adopt import AdoptionOutcome, plan_adoption
from batch.status.matching import LedgerChange
from batch.text import RequestId, instant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection, Engine

    from batch.ledger.process import Process
    from batch.model import Run
    from batch.status.adopt import Key, ListedChange

_SAID: Final = ("state", "who", "said", "since", "access_request")
_TRACKED: Final = {"request": pl.Int64, "identity": pl.Int64, "item": pl.Int64, **dict.fromkeys(_SAID, pl.String)}
_LINE: Final = ("identity", "item", "request", "run", "state", "account")


@repeated
class Imported:
    """The imported changes of a ledger."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def begin(self, tenant: str, dialect: str, now: datetime) -> Run:
        """The run that a tenant's imported changes belong to; it is added if it does not exist."""
        run_id = run_id_of(self._engine, tenant, IMPORT)
        new = NewRun(tenant=tenant, input_digest=IMPORT, inputs=(IMPORTED_INPUT,), dialect=dialect, started_at=now)
        with writing(self._engine) as connection:
            begin_run(connection, run_id, number_of_tenant(connection, tenant), new, 0)
            return as_run(connection.execute(RUN.where(t.run.c.id == run_id)).one())

    def take(
        self,
        run: Run,
        process: Process,
        listed: Sequence[ListedChange],
        now: datetime,
        *,
        beside_runs: bool = False,
    ) -> Mapping[AdoptionOutcome, int]:
        """Imports the rows that the ledger does not have, in one transaction.

        Args:
            run: From `begin`.
            process: It must hold the run.
            listed: Rows, in the order of the list.
            now: When.
            beside_runs: Whether to import a change also if a run has another change of the same access.

        Returns:
            How many rows had which outcome.

        Raises:
            RunHeldError: The process does not hold the run (any more).
        """
        with writing(self._engine) as connection:
            require_held(connection, run.id, process)
            known, instead = _lines(connection, run.tenant, listed), restored(connection)
            listed = [replace(one, named=_in_place(one.named, instead)) for one in listed] if instead else listed
            found = plan_adoption(listed, known, imported=run.id, beside_runs=beside_runs)
            new = _insert(connection, run, found.new, now) if found.new else []
            if new or found.statuses:
                write_statuses(connection, run.tenant, [*found.statuses, *new], now)
        return found.outcomes


def _in_place(named: str, instead: Mapping[RequestId, RequestId]) -> str:
    """The id of the request that stands in the place of the named one."""
    name = RequestId.read(named)
    return str(instead.get(name, name)) if name is not None else named


def _lines(connection: Connection, tenant: str, listed: Sequence[ListedChange]) -> dict[Key, list[LedgerChange]]:
    """The ledger's changes of the rows' keys, oldest first."""
    keys = pl.DataFrame(
        [one.key for one in listed], schema=dict.fromkeys(("p", "type", "i"), pl.String), orient="row"
    ).unique()
    number = number_of_tenant(connection, tenant)
    people = spellings(connection, t.identity, _entries(keys, external_id="p"), number)
    items = spellings(connection, t.item, _entries(keys, external_id="i", type="type"), number)
    people = people.rename({"external_id": "p", "id": "identity"})
    items = items.rename({"external_id": "i", "id": "item"})
    pairs = keys.join(people, on="p").join(items, on=["i", "type"])
    if pairs.is_empty():
        return {}
    changes = earlier(connection, distinct(pairs, "identity", "item")).sort("request")
    said = _tracked(connection, changes.get_column("request").unique().sort())
    names: dict[tuple[int, int], list[Key]] = {}
    for p, kind, i, identity, item in pairs.select("p", "type", "i", "identity", "item").rows():
        names.setdefault((identity, item), []).append((p, kind, i))
    lines: dict[Key, list[LedgerChange]] = {}
    for identity, item, request, run, state, account in changes.select(_LINE).rows():
        for key in names[identity, item]:
            status = _status(request, key, said.get((request, identity, item)))
            lines.setdefault(key, []).append(
                LedgerChange(run=run, request=request, state=state, account=account, status=status)
            )
    return lines


def _tracked(connection: Connection, requests: pl.Series) -> dict[tuple[int, int, int], tuple[str, ...]]:
    """The tenant's last reports on the changes of requests, by numbers of request, identity and item."""
    k, f = t.track.c, t.finding.c
    query = sa.select(k.request, k.identity, k.item, f.state, f.who, f.said, k.since, k.access_request).join(
        t.finding, f.id == k.finding
    )
    found = select_among(connection, query, k.request, requests, _TRACKED)
    return {row[:3]: row[3:] for row in found.rows()}


def _status(request: int, key: Key, said: tuple[str, ...] | None) -> ChangeStatus | None:
    if said is None:
        return None
    identity, item_type, item = key
    texts = dict(zip(_SAID, said, strict=True))
    return ChangeStatus(request=request, identity=identity, item_type=item_type, item=item, **texts)


def _insert(connection: Connection, run: Run, listed: Sequence[ListedChange], now: datetime) -> list[ChangeStatus]:
    """Writes requests for rows: one for each access request, identity, operation and pair of dates."""
    first = greatest(connection, t.request.c.number) + 1
    numbers: dict[tuple[str, ...], int] = {}
    lines: list[tuple[Any, ...]] = []
    for one in listed:
        whole = (one.access_request, one.identity, one.operation.value, one.start_date, one.remove_date)
        request = numbers.setdefault(whole, first + len(numbers))
        lines.append((request, *whole[1:], one.item_type, one.item, one.created or instant(now)))
    texts = ("p", "operation", "start_date", "remove_date", "type", "i", "created")
    frame = pl.DataFrame(lines, schema={"request": pl.Int64, **dict.fromkeys(texts, pl.String)}, orient="row")
    tenant = number_of_tenant(connection, run.tenant)
    people = intern(connection, t.identity, _entries(frame, external_id="p"), {"tenant": tenant})
    items = intern(connection, t.item, _entries(frame, external_id="i", type="type"), {"tenant": tenant})
    empty = [pl.lit("").alias(name) for name in ("metadata", "account", "selection")]
    dates = frame.select(pl.lit("").alias("comment"), "start_date", "remove_date", *empty)
    details = intern(connection, t.detail, dates.unique().sort("start_date", "remove_date"), {})
    details = details.select("start_date", "remove_date", pl.col("id").alias("detail"))
    numbered = (
        frame.join(people.rename({"external_id": "p", "id": "identity"}), on="p")
        .join(items.rename({"external_id": "i", "id": "item"}), on=["i", "type"])
        .join(details, on=["start_date", "remove_date"])
    )
    run_number: int = connection.execute(sa.select(t.number_of_run(run.id))).scalar_one()
    requests = numbered.group_by("request").agg(
        pl.col("operation").first(),
        pl.col("created").min().alias("state_at"),
        pl.col("identity").first().cast(pl.String).alias("recipients"),
        pl.len().cast(pl.Int64).alias("item_count"),
    )
    insert_frame(
        connection,
        t.request,
        requests.sort("request").select(
            pl.col("request").alias("number"),
            pl.lit(run_number).alias("run"),
            "operation",
            pl.lit(State.ACCEPTED.value).alias("state"),
            "state_at",
            pl.lit(1).alias("recipient_count"),
            "item_count",
            pl.lit(1).alias("attempts"),
            "recipients",
        ),
    )
    insert_frame(connection, t.recipient, distinct(numbered, "identity", "request"))
    insert_frame(connection, t.request_item, distinct(numbered, "request", "item", "detail"))
    seals = root(write_seals(connection, sorted(numbers.values())))
    written: dict[str, Any] = {"first": first, "requests": len(numbers), "changes": len(listed), events.SEALS: seals}
    written[events.ABOUT] = about(connection, run.id)
    events.append(connection, run.id, [Entry(event=events.IMPORTED, at=now, detail=written)])
    return [one.status(line[0]) for one, line in zip(listed, lines, strict=True)]


def _entries(frame: pl.DataFrame, **columns: str) -> pl.DataFrame:
    """The distinct entries of a dictionary, sorted."""
    return frame.select(**columns).unique().sort(*columns)
