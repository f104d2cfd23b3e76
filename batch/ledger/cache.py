"""The tenant's answers about people and items with their age, so that a recent answer is not asked for again.

Nothing depends on them: the table can be emptied at any time, and the tenant is asked again. Answers that another
machine has kept are ignored: anybody who can write to the ledger could make a name mean somebody else.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import polars as pl
import sqlalchemy as sa

from batch.ledger import tables as t
from batch.ledger.bulk import insert_frame, select_among
from batch.ledger.engine import reading, writing
from batch.ledger.machine_key import KEY
from batch.ledger.repeating import repeated
from batch.text import instant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy.engine import Engine

    from batch.ledger.machine_key import MachineKey


@dataclass(frozen=True, kw_only=True, slots=True)
class Cached:
    """An answer of the tenant.

    Attributes:
        value: As it was kept, from JSON.
        at: When it came.
    """

    value: Any
    at: datetime


@repeated
class Cache:
    """The tenants' answers that a ledger keeps."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def get(self, tenant: str, kind: str, keys: Iterable[str], *, since: datetime) -> dict[str, Cached]:
        """The answers about the keys that came at `since` or later.

        Args:
            tenant: An address of the tenant.
            kind: What was asked, such as `access held`.
            keys: The ids or names that the question was about.
            since: Older answers are left out.
        """
        c = t.cached.c
        wanted = pl.Series("key", sorted(set(keys)), dtype=pl.String)
        if wanted.is_empty():
            return {}
        with reading(self._engine) as connection:
            number = connection.execute(sa.select(t.tenant_at(tenant))).scalar()
            if number is None:
                return {}
            query = sa.select(c.key, c.at, c.value, c.mac).where(
                c.tenant == number, c.kind == kind, c.at >= instant(since)
            )
            schema = dict.fromkeys(("key", "at", "value", "mac"), pl.String)
            found = select_among(connection, query, c.key, wanted, schema)
        return {
            key: Cached(value=json.loads(value), at=datetime.fromisoformat(at))
            for key, at, value, mac in found.unique("key").rows()
            if hmac.compare_digest(mac, self._mac(number, kind, key, at, value))
        }

    def put(self, tenant: str, kind: str, values: Mapping[str, Any], *, at: datetime) -> None:
        """Keeps answers by their keys; they replace earlier answers about the same keys."""
        if not values:
            return
        texts = {key: json.dumps(value, ensure_ascii=False) for key, value in values.items()}
        with writing(self._engine) as connection:
            number = t.number_of_tenant(connection, tenant)
            lines = [(key, text, self._mac(number, kind, key, instant(at), text)) for key, text in texts.items()]
            frame = pl.DataFrame(lines, schema=dict.fromkeys(("key", "value", "mac"), pl.String), orient="row").sort(
                "key"
            )
            connection.execute(_FORGET, [{"of_tenant": number, "of_kind": kind, "of_key": key} for key in values])
            fixed = {"tenant": pl.lit(number), "kind": pl.lit(kind), "at": pl.lit(instant(at))}
            insert_frame(
                connection, t.cached, frame.with_columns(**fixed).select("tenant", "kind", "key", "at", "value", "mac")
            )

    def _mac(self, tenant: int, *texts: str) -> str:
        key: MachineKey = self._engine.get_execution_options()[KEY]()
        return key.mac(str(tenant), *texts)


_FORGET = sa.delete(t.cached).where(
    t.cached.c.tenant == sa.bindparam("of_tenant"),
    t.cached.c.kind == sa.bindparam("of_kind"),
    t.cached.c.key == sa.bindparam("of_key"),
)
