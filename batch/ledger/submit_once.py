"""A change that two requests ask for is submitted by one of them only.

Within one tenant, plans see to that. Two addresses that prove to be one tenant may have been sent the same changes, and
a run that the ledger had lost is planned again beside whatever was planned since.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl
import sqlalchemy as sa

from batch.dedupe.again import left_to_others
from batch.dedupe.classify import INTENTION, KNOWN_SCHEMA
from batch.dedupe.overlap import ACCESS, KEY, may_be_one
from batch.ledger import tables as t
from batch.ledger.bulk import select_among, select_frame, spellings
from batch.ledger.history import earlier
from batch.ledger.products import distinct
from batch.ledger.rows import IMPORTS
from batch.ledger.take_over import take_changes
from batch.states import VOID, State

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime

    from sqlalchemy.engine import Connection


def submit_once(connection: Connection, kept: int, gone: int, now: datetime, new_id: Callable[[], str]) -> None:
    """Takes out of planned requests the changes that the other tenant's runs have sent; of two planned, one stays."""
    for planned, other, void in ((kept, gone, {*VOID, State.PLANNED}), (gone, kept, VOID)):
        p, q = _changes_of(planned).subquery(), _changes_of(other).subquery()
        same = sa.and_(*(p.c[name] == q.c[name] for name in _SAME))
        numbers, texts = ("request", "identity", "item", "changes"), ("run", "account")
        columns = (*(p.c[name] for name in (*numbers, *texts)), q.c.run.label("by"), q.c.account.label("other"))
        is_sent = q.c.state.not_in([state.value for state in void])
        query = sa.select(*columns).join(q, same).where(p.c.state == State.PLANNED.value, is_sent)
        schema = dict.fromkeys(numbers, pl.Int64) | dict.fromkeys((*texts, "by", "other"), pl.String)
        found = select_frame(connection, query, schema)
        found = found.filter(may_be_one(pl.col("account"), pl.col("other"))).drop("account", "other")
        _take(connection, found, now, new_id)


def leave_to_others(
    connection: Connection, run_id: str, numbers: Collection[int], now: datetime, new_id: Callable[[], str]
) -> None:
    """Takes out of requests that are planned again the changes that others ask for: see dedupe.left_to_others.

    Args:
        connection: In the transaction that plans them again.
        run_id: Their run.
        numbers: Their numbers.
        now: When.
        new_id: Makes the random part of the ids of what stays.
    """
    if not numbers:
        return
    planned = pl.Series("request", sorted(numbers), dtype=pl.Int64)
    again = select_among(connection, _AGAIN, t.request.c.number, planned, _AGAIN_SCHEMA)
    tenant = connection.execute(_TENANT, {"of_run": run_id}).scalar_one()
    people = again.select(external_id="identity_id").unique()
    items = again.select(external_id="item_id", type="item_type").unique()
    pairs = (
        again.select(ACCESS)
        .unique()
        .join(spellings(connection, t.identity, people, tenant).select(_PERSON), on="identity_id")
        .join(spellings(connection, t.item, items, tenant).select(_ITEM), on=["item_id", "item_type"])
    )
    known = earlier(connection, distinct(pairs, "identity", "item")).join(pairs, on=["identity", "item"])
    imports = connection.execute(IMPORTS).scalars().all()
    going = left_to_others(again.drop("identity", "item"), known.select(list(KNOWN_SCHEMA)), imports)
    _take(connection, again.join(going, on=["request", *KEY]), now, new_id)


def _take(connection: Connection, going: pl.DataFrame, now: datetime, new_id: Callable[[], str]) -> None:
    # A request is divided once, even if several runs have parts of it: which run is named is for people only.
    named = going.with_columns(pl.col("by").min().over("request")).unique().sort("request", "identity", "item")
    for (by,), changes in named.group_by("by", maintain_order=True):
        requests = changes.select("request", "run", "changes").unique(maintain_order=True)
        take_changes(connection, str(by), requests, changes.select("request", "identity", "item"), now, tag=new_id())


def have_common(connection: Connection, run: str, tenant: int) -> bool:
    """Whether a run has planned anything for an identity and item for which something was sent to another tenant."""
    void = [state.value for state in {*VOID, State.PLANNED}]
    planned = _changes().where(t.run.c.id == run, t.request.c.state == State.PLANNED.value).subquery().c
    sent = _changes_of(tenant).where(t.request.c.state.not_in(void)).subquery().c
    same = sa.and_(*(planned[name] == sent[name] for name in ("person", "type", "thing")))
    return connection.execute(sa.select(planned.request).where(same).limit(1)).first() is not None


_SAME: Final = ("person", "type", "thing", *INTENTION)


def _changes_of(tenant: int) -> sa.Select[*tuple[Any, ...]]:
    """Every change that the ledger has of a tenant."""
    return _changes().where(t.run.c.tenant == tenant)


def _changes() -> sa.Select[*tuple[Any, ...]]:
    q = t.request.c
    return (
        sa.select(
            q.number.label("request"),
            q.state,
            q.operation,
            (q.recipient_count * q.item_count).label("changes"),
            t.run.c.id.label("run"),
            t.recipient.c.identity,
            t.request_item.c.item,
            t.identity.c.key.label("person"),
            t.item.c.type,
            t.item.c.key.label("thing"),
            *(t.detail.c[name] for name in ("start_date", "remove_date", "account")),
        )
        .join(t.run, t.run.c.number == q.run)
        .join(t.recipient, t.recipient.c.request == q.number)
        .join(t.identity, t.identity.c.id == t.recipient.c.identity)
        .join(t.request_item, t.request_item.c.request == q.number)
        .join(t.item, t.item.c.id == t.request_item.c.item)
        .join(t.detail, t.detail.c.id == t.request_item.c.detail)
    )


_TENANT: Final = sa.select(t.run.c.tenant).where(t.run.c.id == sa.bindparam("of_run"))
_PERSON: Final = (pl.col("external_id").alias("identity_id"), pl.col("id").alias("identity"))
_ITEM: Final = (pl.col("external_id").alias("item_id"), pl.col("type").alias("item_type"), pl.col("id").alias("item"))
_AGAIN_SCHEMA: Final = (
    dict.fromkeys(("request", "changes", "identity", "item"), pl.Int64)
    | {"run": pl.String}
    | dict.fromkeys((*KEY, *INTENTION), pl.String)
)
_AGAIN: Final = _changes().with_only_columns(
    t.request.c.number,
    t.request.c.recipient_count * t.request.c.item_count,
    t.recipient.c.identity,
    t.request_item.c.item,
    t.run.c.id,
    t.identity.c.external_id,
    t.item.c.type,
    t.item.c.external_id,
    t.detail.c.account,
    t.request.c.operation,
    t.detail.c.start_date,
    t.detail.c.remove_date,
)
