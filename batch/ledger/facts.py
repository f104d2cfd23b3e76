"""Facts beside a run's requests that its chain covers: whose the run is, and what the tenant reports on its changes."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import sqlalchemy as sa

from batch.ledger import events
from batch.ledger import tables as t
from batch.ledger.bulk import select_among, select_frame
from batch.ledger.events import ABOUT, FINDINGS, PARTLY, Entry
from batch.ledger.machine_key import KEY, key_name
from batch.model import IMPORT
from batch.text import id_key

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection

_DIGEST_LENGTH: Final = 32
"""Hexadecimal digits: nobody finds other reports with the same 128 bits."""


def about(connection: Connection, run_id: str) -> Mapping[str, Any]:
    """What a run is and whose.

    Returns:
        `input`: its digest; `run`: what else stands in it; `name`, `token` and `urls` of its tenant. Nothing if
        somebody has taken its tenant away.
    """
    run = connection.execute(_RUN, {"of_run": run_id}).first()
    if run is None:
        return {}
    urls = connection.execute(_URLS, {"of_tenant": run.tenant}).scalars().all()
    return {
        "input": run.input_digest,
        "run": [run.inputs, run.dialect, run.started_at, *filter(None, [run.metadata])],
        "name": run.name,
        "token": run.token_name,
        "urls": list(urls),
    }


def waves_of(connection: Connection, run_id: str) -> dict[str, Any]:
    """How a run is sent in waves, as the table `wave` says, with the canary as a list; empty if it is not."""
    found = connection.execute(_WAVES, {"of_run": run_id}).mappings().first()
    if found is None:
        return {}
    canary = found["canary"]
    return {**found, "canary": None if canary is None else [int(number) for number in canary.split()]}


def wave_faults(connection: Connection, run_id: str, said: Mapping[str, Any]) -> Iterator[str]:
    """Differences between how a run is sent in waves, and what its newest event of that kind has said."""
    if said != waves_of(connection, run_id):
        yield "its waves were changed"


_WAVES: Final = sa.select(*(column for column in t.wave.c if column is not t.wave.c.run)).where(
    t.wave.c.run == t.RUN_NUMBER
)
_RUN: Final = (
    sa.select(t.run, t.tenant.c.name, t.tenant.c.token_name)
    .join(t.tenant, t.tenant.c.id == t.run.c.tenant)
    .where(t.run.c.id == sa.bindparam("of_run"))
)
_URLS: Final = (
    sa.select(t.address.c.url).where(t.address.c.tenant == sa.bindparam("of_tenant")).order_by(t.address.c.url)
)
REPORT_TEXTS: Final = ("p", "type", "i", "state", "who", "said", "since", "access_request", "imported_at")
_SCHEMA: Final = {"request": pl.Int64, **dict.fromkeys(REPORT_TEXTS, pl.String)}
_REPORTS: Final = (
    sa.select(
        t.track.c.request,
        t.identity.c.external_id.label("p"),
        t.item.c.type,
        t.item.c.external_id.label("i"),
        t.finding.c.state,
        t.finding.c.who,
        t.finding.c.said,
        t.track.c.since,
        t.track.c.access_request,
        # Of imported requests, which have no other events, the later one counts.
        sa.case((t.run.c.input_digest.startswith(IMPORT), t.request.c.state_at), else_="").label("imported_at"),
    )
    .select_from(t.track)
    .join(t.request, t.request.c.number == t.track.c.request)
    .join(t.run, t.run.c.number == t.request.c.run)
    .join(t.identity, t.identity.c.id == t.track.c.identity)
    .join(t.item, t.item.c.id == t.track.c.item)
    .join(t.finding, t.finding.c.id == t.track.c.finding)
)
_OF_RUN: Final = _REPORTS.where(t.request.c.run == t.RUN_NUMBER)


def findings_of(connection: Connection, run_id: str) -> dict[int, str]:
    """By request, the hash of the tenant's reports on the changes of a run; requests without any are left out."""
    return report_digests(select_frame(connection, _OF_RUN, _SCHEMA, {"of_run": run_id}))


def findings_among(connection: Connection, requests: pl.Series) -> dict[int, str]:
    """Like `findings_of`, for requests with these numbers, distinct and sorted."""
    return report_digests(select_among(connection, _REPORTS, t.track.c.request, requests, _SCHEMA))


def report_digests(reports: pl.DataFrame) -> dict[int, str]:
    """By request, the hash of the tenant's reports on its changes, whose columns are `request` and REPORT_TEXTS."""
    if reports.is_empty():
        return {}
    # Each text follows its length, so that two different reports never read alike.
    lines = pl.concat_str(
        *(part for name in REPORT_TEXTS for part in (pl.col(name).str.len_bytes(), pl.lit(":"), name))
    )
    texts = reports.select("request", line=lines).group_by("request").agg(pl.col("line").sort().str.join("\n"))
    return {
        request: hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_LENGTH]
        for request, text in zip(texts.get_column("request"), texts.get_column("line"), strict=True)
    }


def link_findings(connection: Connection, requests: pl.Series, now: datetime, *, partly: Collection[int] = ()) -> None:
    """Adds what the tenant reports on the changes of requests to their runs' chains, in the transaction that writes it.

    Args:
        connection: In that transaction.
        requests: Their numbers, distinct and sorted.
        now: When.
        partly: Those of them of which earlier reports on other changes stay.
    """
    runs = select_among(connection, _RUNS, t.request.c.number, requests, {"request": pl.Int64, "run": pl.String})
    digests = findings_among(connection, requests)
    for (run,), these in runs.sort("request").group_by("run", maintain_order=True):
        found = {str(number): digests.get(number, "") for number in these.get_column("request")}
        some = [int(number) for number in found if int(number) in partly]
        detail = {FINDINGS: found, **({PARTLY: some} if some else {})}
        events.append(connection, str(run), [Entry(event=events.TRACKED, at=now, detail=detail)])


def file_faults(connection: Connection) -> Sequence[str]:
    """What SQLite itself finds wrong with a ledger's file: tables and indexes that are damaged, or do not match."""
    if connection.dialect.name != "sqlite":
        return ()
    found = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
    return [str(fault) for fault in found if fault != "ok"]


def gap_faults(connection: Connection) -> Iterator[str]:
    """Runs, requests and signatures that were taken away, if later ones are left: their numbers have no gaps."""
    for what, numbers in _NUMBERS.items():
        count, greatest = connection.execute(numbers).one()
        if count != (greatest or 0):
            yield f"{count:,} of {greatest:,} {what}s are left"
    for public, count, greatest in connection.execute(_PLACES):
        if count != (greatest or 0) or not count:
            yield f"{count:,} of {greatest or 'its'} signatures of the key {key_name(public)} are left"


def claim_faults(connection: Connection, greatest: int) -> Iterator[str]:
    """Whether the ledger counts fewer claims than it has.

    Args:
        connection: In a transaction.
        greatest: The greatest number of a claim that an event of any run has.
    """
    # Claims of older versions are in no event.
    kept = connection.execute(sa.select(sa.func.max(t.request.c.claimed))).scalar() or 0
    if (connection.execute(sa.select(t.about.c.claims)).scalar() or 0) < max(kept, greatest):
        yield "the number of claims was changed"


_NUMBERS: Final = {table.name: sa.select(sa.func.count(), sa.func.max(table.c.number)) for table in (t.run, t.request)}
_PLACES: Final = (
    sa.select(t.signer.c.public, sa.func.count(t.event.c.place), sa.func.max(t.event.c.place))
    .outerjoin(t.event, t.event.c.signer == t.signer.c.id)
    .group_by(t.signer.c.id, t.signer.c.public)
)


def seen_of_others(connection: Connection) -> Mapping[str, Any] | None:
    """The newest event of each run that another key has signed: `runs` has their places, `hash` covers their hashes.

    Each covers all events of its run before, so nobody can change or remove them afterwards without being found.
    None if there are no others.

    Raises:
        LedgerChangedError: What this machine had seen of them before was changed: the new record would hide that.
    """
    public: str = connection.get_execution_options()[KEY]().public
    if faults := [*faults_of_others(connection, public)]:
        raise events.changed("", faults)
    places = [list(row) for row in connection.execute(_SIGNED_BY_OTHERS, {"of_public": public})]
    return {"runs": places, "hash": _hash_of(connection, places)} if places else None


def _hash_of(connection: Connection, places: Iterable[Sequence[int]]) -> str:
    digest = hashlib.sha256()
    for run, number in places:
        digest.update(f"{connection.execute(_HASH_AT, {'of_number': number, 'in_run': run}).scalar()}\n".encode())
    return digest.hexdigest()


def faults_of_others(connection: Connection, public: str) -> Iterator[str]:
    """Whether what a key had seen of other keys at its newest plan is as it was.

    That covers its older plans: each was checked in the transaction that made the next one.
    """
    plan = connection.execute(_OWN_PLAN, {"of_public": public}).first()
    seen = json.loads(plan.detail).get(events.OTHERS) if plan else None
    if seen and _hash_of(connection, seen["runs"]) != seen["hash"]:
        yield f"the record that the key {key_name(public)} last made of others' signatures was changed"


_SIGNED_BY_OTHERS: Final = (
    sa.select(t.event.c.run, sa.func.max(t.event.c.number))
    .join(t.signer, t.signer.c.id == t.event.c.signer)
    .where(t.signer.c.public != sa.bindparam("of_public"))
    .group_by(t.event.c.run)
    .order_by(t.event.c.run)
)
_HASH_AT: Final = sa.select(t.event.c.hash).where(
    t.event.c.run == sa.bindparam("in_run"), t.event.c.number == sa.bindparam("of_number")
)
_OWN_PLAN: Final = (
    sa.select(t.event.c.detail)
    .join(t.signer, t.signer.c.id == t.event.c.signer)
    .where(t.signer.c.public == sa.bindparam("of_public"), t.event.c.event == events.PLANNED)
    .order_by(t.event.c.place.desc())
    .limit(1)
)


def dictionary_faults(connection: Connection) -> Iterator[str]:
    """Faults that hide earlier changes: ids with another key or tenant, and lost recipients."""
    tenants = connection.execute(sa.select(t.tenant.c.id)).scalars().all()
    for table in (t.identity, t.item):
        schema = {"id": pl.Int64, "tenant": pl.Int64, "external_id": pl.String, "key": pl.String}
        entries = select_frame(connection, sa.select(*(table.c[name] for name in schema)), schema)
        for name in entries.filter(id_key(pl.col("external_id")) != pl.col("key")).get_column("external_id"):
            yield f"the key by which {table.name} {name} is compared was changed"
        if len(tenants) > 1 or not entries.get_column("tenant").is_in(tenants).all():
            uses, column = (t.recipient, "identity") if table is t.identity else (t.request_item, "item")
            strange = (
                sa.select(table.c.external_id)
                .join(uses, uses.c[column] == table.c.id)
                .join(t.request, t.request.c.number == uses.c.request)
                .join(t.run, t.run.c.number == t.request.c.run)
                .where(t.run.c.tenant != table.c.tenant)
                .distinct()
            )
            for name in connection.execute(strange).scalars():
                yield f"the tenant of {table.name} {name} was changed"
    numbers = {"request": pl.Int64, "identity": pl.Int64}
    pairs = select_frame(connection, sa.select(t.recipient.c.request, t.recipient.c.identity), numbers)
    lists = select_frame(
        connection,
        sa.select(t.request.c.number, t.request.c.recipients),
        {"request": pl.Int64, "identity": pl.String},
    )
    listed = lists.with_columns(pl.col("identity").str.split(" ")).explode("identity").cast(pl.Int64, strict=False)
    for one, other in ((pairs, listed), (listed, pairs)):
        for number in one.join(other, on=[*numbers], how="anti").get_column("request").unique().sort():
            yield f"the list of recipients of request {number} differs from its recipients"


_RUNS: Final = sa.select(t.request.c.number, t.run.c.id).join(t.run, t.run.c.number == t.request.c.run)


def link_tenant(connection: Connection, tenant: int, now: datetime) -> None:
    """Adds what a tenant is called now to the chains of its runs, in the transaction that changes it."""
    runs = connection.execute(sa.select(t.run.c.id).where(t.run.c.tenant == tenant).order_by(t.run.c.number))
    for run in runs.scalars().all():
        events.append(connection, run, [Entry(event=events.LINKED, at=now, detail={ABOUT: about(connection, run)})])
