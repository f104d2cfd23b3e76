"""The tenant's last report on each accepted change."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import sqlalchemy as sa

from batch.ledger import tables as t
from batch.ledger.bulk import insert_frame, intern, select_among, select_frame, spellings
from batch.ledger.engine import reading, writing
from batch.ledger.events import ACCESS_REQUESTS, ATTEMPT
from batch.ledger.facts import link_findings
from batch.ledger.messages import write
from batch.ledger.repeating import repeated
from batch.model import StatusGroup, TrackSummary
from batch.states import Event, State

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection, Engine

    from batch.api.status_row import ChangeStatus
    from batch.model import Run

TRACK_SCHEMA: Final = {
    "request": pl.Int64,
    "operation": pl.String,
    "identity_id": pl.String,
    "item_type": pl.String,
    "item_id": pl.String,
    "start_date": pl.String,
    "remove_date": pl.String,
    "comment": pl.String,
    "metadata": pl.String,
    "account": pl.String,
    "selection": pl.String,
    "accepted_at": pl.String,
    "state": pl.String,
    "who": pl.String,
    "said": pl.String,
    "since": pl.String,
    "access_request": pl.String,
}
"""Columns of `TrackStore.of_run`. The last five are null if the tenant has not reported on the change yet."""


AUDIT_SCHEMA: Final = {
    "run": pl.String,
    "request": pl.Int64,
    "tag": pl.String,
    "parent": pl.Int64,
    "operation": pl.String,
    "request_state": pl.String,
    "state_at": pl.String,
    "identity_id": pl.String,
    "item_type": pl.String,
    "item_id": pl.String,
    "state": pl.String,
    "said": pl.String,
    "access_request": pl.String,
}
"""Columns of `TrackStore.lines`. The last three are null if the tenant has not reported on the change yet."""

CHANGES: Final = (
    sa.join(t.request, t.recipient, t.recipient.c.request == t.request.c.number)
    .join(t.identity, t.identity.c.id == t.recipient.c.identity)
    .join(t.request_item, t.request_item.c.request == t.request.c.number)
    .join(t.item, t.item.c.id == t.request_item.c.item)
    .join(t.detail, t.detail.c.id == t.request_item.c.detail)
    .outerjoin(
        t.track,
        (t.track.c.request == t.request.c.number)
        & (t.track.c.identity == t.recipient.c.identity)
        & (t.track.c.item == t.request_item.c.item),
    )
    .outerjoin(t.finding, t.finding.c.id == t.track.c.finding)
)
"""Every change of every request, with the tenant's last report."""


@repeated
class TrackStore:
    """The tenant's reports that a ledger keeps."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def of_run(self, run: Run) -> pl.DataFrame:
        """Every accepted change of a run with the tenant's last report, by TRACK_SCHEMA."""
        q, k, f = t.request.c, t.track.c, t.finding.c
        query = (
            sa.select(
                q.number,
                q.operation,
                t.identity.c.external_id,
                t.item.c.type,
                t.item.c.external_id,
                t.detail.c.start_date,
                t.detail.c.remove_date,
                t.detail.c.comment,
                t.detail.c.metadata,
                t.detail.c.account,
                t.detail.c.selection,
                q.state_at,
                f.state,
                f.who,
                f.said,
                k.since,
                k.access_request,
            )
            .select_from(CHANGES)
            .where(q.run == t.number_of_run(run.id), q.state == State.ACCEPTED.value)
            .order_by(q.number)
        )
        with reading(self._engine) as connection:
            return select_frame(connection, query, TRACK_SCHEMA)

    def attempt_ids(self, run: Run) -> tuple[dict[int, set[str]], dict[int, set[str]]]:
        """The ids of the run's attempts, and the access requests that settling found, by numbers of requests."""
        attempts: defaultdict[int, set[str]] = defaultdict(set)
        found: defaultdict[int, set[str]] = defaultdict(set)
        told = (Event.CLAIMED.value, Event.FOUND.value, Event.TAKEN_OVER.value)
        query = sa.select(t.event.c.request, t.event.c.detail).where(
            t.event.c.run == t.number_of_run(run.id), t.event.c.event.in_(told)
        )
        with reading(self._engine) as connection:
            for row in connection.execute(query):
                detail = json.loads(row.detail)
                if attempt := detail.get(ATTEMPT):
                    attempts[row.request].add(attempt)
                found[row.request].update(detail.get(ACCESS_REQUESTS, ()))
        return attempts, found

    def lines(self, run: Run) -> pl.DataFrame:
        """Every change of each request of a run, in whichever state, by AUDIT_SCHEMA."""
        q, k, f = t.request.c, t.track.c, t.finding.c
        query = (
            sa.select(
                sa.literal(run.id),
                q.number,
                q.tag,
                q.parent,
                q.operation,
                q.state,
                q.state_at,
                t.identity.c.external_id,
                t.item.c.type,
                t.item.c.external_id,
                f.state,
                f.said,
                k.access_request,
            )
            .select_from(CHANGES)
            .where(q.run == t.number_of_run(run.id))
            .order_by(q.number)
        )
        with reading(self._engine) as connection:
            return select_frame(connection, query, AUDIT_SCHEMA)

    def summary(self, run: Run) -> TrackSummary:
        """The tenant's last reports on a run's accepted changes, summed up."""
        with reading(self._engine) as connection:
            rows = connection.execute(_GROUPS, {"of_run": run.id}).all()
            total = int(connection.execute(_ACCEPTED, {"of_run": run.id}).scalar_one())
            looked_at = connection.execute(_LOOKED, {"of_run": run.id}).scalar() or ""
        reported = [
            StatusGroup(state=state, who=who, said=said, since=since, changes=int(changes))
            for state, who, said, since, changes, _ in rows
            if changes
        ]
        silent = total - sum(int(number) for *_, number in rows)
        return TrackSummary(reported=tuple(reported), silent=silent, looked_at=looked_at)

    def write(self, run: Run, statuses: Sequence[ChangeStatus], now: datetime) -> None:
        """Keeps new reports on changes of a run; they replace the earlier ones."""
        if not statuses:
            return
        with writing(self._engine) as connection:
            write_statuses(connection, run.tenant, statuses, now)


LOOKED: Final = "looked for a run"
"""In the tenants' cached answers, by a run's id: when its list was last searched for all changes. Only to be shown."""
_LOOKED: Final = sa.select(t.cached.c.at).where(
    t.cached.c.tenant == sa.select(t.run.c.tenant).where(t.run.c.id == sa.bindparam("of_run")).scalar_subquery(),
    t.cached.c.kind == LOOKED,
    t.cached.c.key == sa.bindparam("of_run"),
)


def _summing() -> tuple[sa.Select[*tuple[Any, ...]], sa.Select[int]]:
    """Queries for the groups of reports on a run's accepted changes, and for how many changes were accepted."""
    q, k, f, r, i = t.request.c, t.track.c, t.finding.c, t.recipient.c, t.request_item.c
    accepted = (q.run == t.RUN_NUMBER) & (q.state == State.ACCEPTED.value)
    newer, detail, own, of_own = (one.alias() for one in (t.request, t.detail, t.request_item, t.detail))
    account = (
        sa.select(of_own.c.account)
        .join(own, own.c.detail == of_own.c.id)
        .where(own.c.request == k.request, own.c.item == k.item)
        # By itself, it would only see the tables of the query around it.
        .correlate(t.track)
        .scalar_subquery()
    )
    submitted_again = sa.exists(
        sa.select(r.request)
        .select_from(t.recipient)
        .join(t.request_item, i.request == r.request)
        .join(newer, newer.c.number == r.request)
        .join(detail, detail.c.id == i.detail)
        .where(
            r.identity == k.identity,
            r.request > k.request,
            i.item == k.item,
            detail.c.account == account,
            # The additions keep the database from searching all requests of the run for each row.
            newer.c.run + 0 == q.run,
            newer.c.state + "" == State.ACCEPTED.value,
        )
    )
    current = sa.case((submitted_again, 0), else_=1)
    since = sa.func.min(sa.case((submitted_again, None), else_=k.since))
    groups = (
        sa.select(f.state, f.who, f.said, since, sa.func.sum(current), sa.func.count())
        .select_from(t.request)
        .join(t.track, k.request == q.number)
        .join(t.finding, f.id == k.finding)
        .where(accepted)
        .group_by(f.id, f.state, f.who, f.said)
        .order_by(f.id)
    )
    every = sa.select(sa.func.coalesce(sa.func.sum(q.recipient_count * q.item_count), 0)).where(accepted)
    return groups, every


_GROUPS, _ACCEPTED = _summing()


def write_statuses(connection: Connection, tenant: str, statuses: Sequence[ChangeStatus], now: datetime) -> None:
    """Keeps new reports, in the caller's transaction; the last of several on one change counts.

    One event for each run covers them, however many there are.
    """
    number: int = connection.execute(sa.select(t.tenant_at(tenant))).scalar_one()
    frame = pl.DataFrame(
        [
            (x.request, x.identity, x.item_type, x.item, x.state, x.who, x.said, x.since, x.access_request)
            for x in statuses
        ],
        schema={"request": pl.Int64, **dict.fromkeys(_FINDING, pl.String)},
        orient="row",
    ).unique(["request", "identity", "item_type", "item"], keep="last", maintain_order=True)
    people = frame.select(external_id="identity").unique().sort("external_id")
    items = frame.select(external_id="item", type="item_type").unique().sort("external_id", "type")
    said = frame.select("state", "who", "said").unique().sort("state", "who", "said")
    known = spellings(connection, t.identity, people, number).rename({"external_id": "identity", "id": "p"})
    these = spellings(connection, t.item, items, number).rename({"external_id": "item", "type": "item_type", "id": "i"})
    words = intern(connection, t.finding, said, {}).rename({"id": "f"})
    changes = frame.join(known.drop("spelled"), on="identity").join(these.drop("spelled"), on=["item", "item_type"])
    if changes.height > frame.height:
        # An id has several spellings: the one that its request has is meant.
        own = _changes_of(connection, frame.get_column("request").unique().sort())
        changes = changes.join(own, on=["request", "p", "i"], how="semi")
    rows = (
        changes.join(words, on=["state", "who", "said"])
        .select(
            "request",
            pl.col("p").alias("identity"),
            pl.col("i").alias("item"),
            pl.col("f").alias("finding"),
            "since",
            "access_request",
        )
        .sort("request", "identity", "item")
    )
    write(
        connection,
        _FORGET,
        [
            {"of_request": request, "of_identity": identity, "of_item": item}
            for request, identity, item in rows.select("request", "identity", "item").rows()
        ],
    )
    insert_frame(connection, t.track, rows)
    requests = rows.get_column("request").unique().sort()
    link_findings(connection, requests, now, partly=_partly(connection, requests, rows))


def _partly(connection: Connection, requests: pl.Series, rows: pl.DataFrame) -> frozenset[int]:
    """Those of the requests on whose changes the ledger has more reports than the rows just written."""
    k = t.track.c
    kept = select_among(connection, sa.select(k.request), k.request, requests, {"request": pl.Int64})
    more = kept.group_by("request").len("kept").join(rows.group_by("request").len("written"), on="request")
    return frozenset(more.filter(pl.col("kept") > pl.col("written")).get_column("request"))


def _changes_of(connection: Connection, requests: pl.Series) -> pl.DataFrame:
    """The numbers of `request`, identity `p` and item `i` of the requests' changes, as the requests spell them."""
    q, i = t.request.c, t.request_item.c
    schema = {"request": pl.Int64, "p": pl.String}
    people = select_among(connection, sa.select(q.number, q.recipients), q.number, requests, schema)
    items = select_among(
        connection, sa.select(i.request, i.item), i.request, requests, {"request": pl.Int64, "i": pl.Int64}
    )
    return people.with_columns(pl.col("p").str.split(" ")).explode("p").cast({"p": pl.Int64}).join(items, on="request")


_FINDING: Final = ("identity", "item_type", "item", "state", "who", "said", "since", "access_request")
_FORGET: Final = sa.delete(t.track).where(
    t.track.c.request == sa.bindparam("of_request"),
    t.track.c.identity == sa.bindparam("of_identity"),
    t.track.c.item == sa.bindparam("of_item"),
)
