"""Proves that nobody has changed a ledger: events are unbroken chains, signed, and cover the content of requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl
import sqlalchemy as sa

from batch.api.dialects import Rate
from batch.api.rate_window import repaired
from batch.ledger import tables as t
from batch.ledger.bulk import select_frame, with_digest
from batch.ledger.chain import read_chain
from batch.ledger.events import signed_text
from batch.ledger.facts import claim_faults, dictionary_faults, faults_of_others, gap_faults
from batch.ledger.machine_key import KEY, has_signed, key_name
from batch.ledger.seals import fact_faults, root, seals_and_contents
from batch.model import Head

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection


def signatures(connection: Connection) -> Iterator[str]:
    """Signatures that are wrong or missing. Each key's signatures are a chain over all runs."""
    ledger: str = connection.execute(sa.select(t.about.c.ledger)).scalar_one()
    e = t.event.c
    signed = (
        sa.select(t.run.c.id, e.number, e.hash, t.signer.c.public, e.place, e.signature)
        .join(t.run, t.run.c.number == e.run)
        .outerjoin(t.signer, t.signer.c.id == e.signer)
        .where(e.signature.is_not(None))
        .order_by(e.signer, e.place)
    )
    key, place, before = "", 0, ""
    for row in connection.execute(signed):
        if (row.public or "") != key:
            key, place, before = row.public or "", 0, ""
        expected, place = place + 1, row.place or 0
        text = signed_text(ledger, place, before, Head(run=row.id, number=row.number, hash=row.hash))
        if place != expected:
            yield f"key {key_name(key)}: its signatures {expected} to {place - 1} are missing"
        elif not has_signed(key, text, row.signature):
            yield f"key {key_name(key)}: its signature {place}, of event {row.number} of run {row.id}, is wrong"
        before = row.signature
    newest = sa.select(e.run, sa.func.max(e.number).label("number")).group_by(e.run).subquery()
    unsigned = (
        sa.select(t.run.c.id, e.number)
        .join(t.run, t.run.c.number == e.run)
        .join(newest, (newest.c.run == e.run) & (newest.c.number == e.number))
        .where(e.signature.is_(None))
    )
    for event in connection.execute(unsigned):
        yield f"run {event.id}: its newest event {event.number} is not signed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Signer:
    """A key that has signed events of a ledger.

    Attributes:
        public: The public key.
        name: Its short name, as messages show it.
        ours: Whether it is this machine's.
        events: How many transactions it has signed.
        runs: Of how many runs.
        first: When the first of these events happened; empty if there is none.
        last: When the last did.
    """

    public: str
    name: str
    ours: bool
    events: int
    runs: int
    first: str
    last: str


def signers(connection: Connection) -> tuple[Signer, ...]:
    """Who has signed what; this machine's key is among them even if it has signed nothing."""
    e, ours = t.event.c, connection.get_execution_options()[KEY]().public
    query = (
        sa.select(
            t.signer.c.public,
            sa.func.count(e.number).label("events"),
            sa.func.count(e.run.distinct()).label("runs"),
            sa.func.coalesce(sa.func.min(e.at), "").label("first"),
            sa.func.coalesce(sa.func.max(e.at), "").label("last"),
        )
        .outerjoin(t.event, e.signer == t.signer.c.id)
        .group_by(t.signer.c.id, t.signer.c.public)
        .order_by(t.signer.c.id)
    )
    found = [
        Signer(**row, name=key_name(row["public"]), ours=row["public"] == ours)
        for row in connection.execute(query).mappings()
    ]
    if not any(one.ours for one in found):
        found.append(Signer(public=ours, name=key_name(ours), ours=True, events=0, runs=0, first="", last=""))
    return tuple(found)


def has_head(connection: Connection, number: int, digits: str) -> bool:
    """Whether some run has an event with this number whose hash begins with these digits."""
    begins = t.event.c.hash.startswith(digits, autoescape=True)
    query = sa.select(t.event.c.run).where(t.event.c.number == number, begins)
    return connection.execute(query.limit(1)).first() is not None


def _digest_faults(connection: Connection) -> Iterator[str]:
    for table in (t.detail, t.finding):
        names = [column.name for column in table.columns if isinstance(column.type, sa.Text)]
        schema = {"id": pl.Int64, **dict.fromkeys(names, pl.String)}
        entries = select_frame(connection, sa.select(*(table.c[name] for name in schema)), schema)
        right = with_digest(entries.select(name for name in names if name != "digest")).get_column("digest")
        for number in entries.filter(pl.col("digest") != right).get_column("id"):
            yield f"table {table.name}: the digest of row {number} was changed"


def contents(connection: Connection) -> Iterator[str]:
    """Differences between runs' events and what they cover: requests, names, tenants, and the tenants' reports.

    No event covers the pace of calls, but numbers that no process writes are reported.
    """
    yield from gap_faults(connection)
    for public in connection.execute(sa.select(t.signer.c.public)).scalars().all():
        yield from faults_of_others(connection, public)
    yield from dictionary_faults(connection)
    yield from _digest_faults(connection)
    greatest_claim = 0
    for run_id in connection.execute(sa.select(t.run.c.id).order_by(t.run.c.number)).scalars().all():
        chain, found = read_chain(connection, run_id), dict(seals_and_contents(connection, run_id))
        sealed = {number for birth in chain.births for number in birth.numbers}
        yield from (f"run {run_id}: {fault}" for fault in (*chain.faults, *fact_faults(connection, chain)))
        greatest_claim = max(greatest_claim, chain.greatest_claim)
        for birth in chain.births:
            if root(found[number][0] for number in birth.numbers if number in found) != birth.root:
                yield f"run {run_id}: requests that event {birth.event} added have other seals"
        for number, (kept, seal) in found.items():
            if number not in sealed:
                yield f"request {number}: no seal of run {run_id} covers it"
            elif kept != seal:
                yield f"request {number}: its content was changed"
    yield from claim_faults(connection, greatest_claim)
    paces = sa.select(t.pace, t.tenant.c.name).join(t.tenant, t.tenant.c.id == t.pace.c.tenant)
    for pace in connection.execute(paces):
        if repaired(pace, Rate()):
            yield f"the pace of calls to {pace.name} holds numbers that no process writes: the next call repairs them"
