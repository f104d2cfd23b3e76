"""What the tenant said of people and items, with its age: so that the same is not asked again too soon.

Beside that it has, without age, what each run was planned by: which ids names stood for, and what the tenant's word has
set aside.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import sqlalchemy as sa

from batch.ledger import tables as t
from batch.ledger.bulk import insert_frame, select_among
from batch.ledger.engine import reading, writing
from batch.ledger.tables import number_of_tenant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from sqlalchemy.engine import Connection, Engine

NAMES_OF_RUN: Final = "names of run "
"""Begins the kind of what the names in a run's input were resolved to, which has no age and is not forgotten."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cached:
    """Something that the tenant said.

    Attributes:
        value: As it was kept, from JSON.
        at: When it was said.
    """

    value: Any
    at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """What is to be kept together with something else.

    Attributes:
        kind: Of what kind it is.
        values: By their keys.
        alone: Whether that is then all that there is of the kind.
    """

    kind: str
    values: Mapping[str, Any]
    alone: bool = False


class Cache:
    """What a ledger keeps of a tenant's answers."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def get(self, tenant: str, kind: str, keys: Iterable[str], *, since: datetime) -> dict[str, Cached]:
        """What was said of the keys at `since` or later.

        Args:
            tenant: Name of the tenant.
            kind: What was asked, such as `access held`.
            keys: Of what: an id, or a name.
            since: What is older counts for nothing.
        """
        c = t.cached.c
        wanted = pl.Series("key", sorted(set(keys)), dtype=pl.String)
        if wanted.is_empty():
            return {}
        with reading(self._engine) as connection:
            number = connection.execute(sa.select(t.tenant.c.id).where(t.tenant.c.name == tenant)).scalar()
            if number is None:
                return {}
            query = sa.select(c.key, c.at, c.value).where(c.tenant == number, c.kind == kind, c.at >= t.instant(since))
            found = select_among(connection, query, c.key, wanted, dict.fromkeys(("key", "at", "value"), pl.String))
        return {key: Cached(value=json.loads(value), at=t.moment(at)) for key, at, value in found.unique("key").rows()}

    def put(self, tenant: str, kind: str, values: Mapping[str, Any], *, at: datetime) -> None:
        """Keeps what was said, in place of what was said before of the same keys."""
        if not values:
            return
        with writing(self._engine) as connection:
            keep(connection, number_of_tenant(connection, tenant), Kept(kind=kind, values=values), at)

    def all_of(self, tenant: str, kind: str) -> dict[str, Cached]:
        """Everything that is kept of a kind, however old, by its key."""
        c = t.cached.c
        query = (
            sa.select(c.key, c.at, c.value)
            .join(t.tenant, t.tenant.c.id == c.tenant)
            .where(t.tenant.c.name == tenant, c.kind == kind)
            .order_by(c.key)
        )
        with reading(self._engine) as connection:
            rows = connection.execute(query).all()
        return {row.key: Cached(value=json.loads(row.value), at=t.moment(row.at)) for row in rows}

    def replace(self, tenant: str, kind: str, values: Mapping[str, Any], *, at: datetime) -> None:
        """Keeps the values as all that there is of a kind."""
        with writing(self._engine) as connection:
            keep(connection, number_of_tenant(connection, tenant), Kept(kind=kind, values=values, alone=True), at)


def keep(connection: Connection, tenant: int, kept: Kept, at: datetime) -> None:
    """Keeps values, in a transaction of the caller's; `tenant` is the tenant's number."""
    if kept.alone:
        c = t.cached.c
        connection.execute(sa.delete(t.cached).where(c.tenant == tenant, c.kind == kept.kind))
    elif kept.values:
        _forget(connection, tenant, kept.kind, list(kept.values))
    _insert(connection, tenant, kept.kind, kept.values, at)


_FORGET = sa.delete(t.cached).where(
    t.cached.c.tenant == sa.bindparam("of_tenant"),
    t.cached.c.kind == sa.bindparam("of_kind"),
    t.cached.c.key == sa.bindparam("of_key"),
)


def _forget(connection: Connection, tenant: int, kind: str, keys: list[str]) -> None:
    connection.execute(_FORGET, [{"of_tenant": tenant, "of_kind": kind, "of_key": key} for key in keys])


def _insert(connection: Connection, tenant: int, kind: str, values: Mapping[str, Any], at: datetime) -> None:
    frame = pl.DataFrame(
        {"key": list(values), "value": [json.dumps(value, ensure_ascii=False) for value in values.values()]},
        schema={"key": pl.String, "value": pl.String},
    ).sort("key")
    fixed = {"tenant": tenant, "kind": kind, "at": t.instant(at)}
    columns = ["tenant", "kind", "key", "at", "value"]
    insert_frame(
        connection,
        t.cached,
        frame.with_columns(pl.lit(value).alias(name) for name, value in fixed.items()).select(columns),
    )
