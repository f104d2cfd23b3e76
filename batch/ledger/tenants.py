"""The tenants that a ledger knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from batch.ledger import tables as t

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


def number_of_tenant(connection: Connection, name: str) -> int:
    """The tenant's number in the ledger, which gets to know it where it does not."""
    number: int | None = connection.execute(sa.select(t.tenant.c.id).where(t.tenant.c.name == name)).scalar()
    if number is None:
        number = connection.execute(sa.insert(t.tenant).returning(t.tenant.c.id), {"name": name}).scalar_one()
    return number
