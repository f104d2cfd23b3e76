"""How many calls each client makes in each month, and the budget for them.

A call is counted with its permit, in the same transaction, so before it leaves: the count is never lower than the
tenant's own. A permit that was not used is taken off again. Only a process that is killed leaves permits behind that
count although their calls were never made.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from batch.errors import BudgetSpentError
from batch.ledger import tables as t
from batch.ledger.messages import count_written, write
from batch.text import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection

MONTH_CALLS: Final = t.monthly_calls.c.calls.label("month_calls")
"""Of a row of OF_MONTH; null if no call was counted in that month."""

_CLIENT: Final = sa.bindparam("of_client", type_=sa.Text())
_MONTH: Final = sa.bindparam("of_month", type_=sa.Text())
OF_MONTH: Final = sa.and_(
    t.monthly_calls.c.tenant == t.pace.c.tenant,
    t.monthly_calls.c.client == t.pace.c.client,
    t.monthly_calls.c.month == sa.bindparam("month", type_=sa.Text()),
)
"""Joins a row of `pace` with the count of the parameter `month`."""

_PACE: Final = sa.bindparam("of", type_=sa.Integer())
_COUNTED: Final = (
    t.monthly_calls.c.tenant == sa.bindparam("of_tenant", type_=sa.Integer()),
    t.monthly_calls.c.client == _CLIENT,
    t.monthly_calls.c.month == _MONTH,
)
_CHANGED: Final = sa.bindparam("change", type_=sa.Integer())
_MORE: Final = sa.update(t.monthly_calls).where(*_COUNTED).values(calls=t.monthly_calls.c.calls + _CHANGED)
_FEWER: Final = (
    sa.update(t.monthly_calls)
    .where(*_COUNTED, t.monthly_calls.c.calls >= _CHANGED)
    .values(calls=t.monthly_calls.c.calls - _CHANGED)
)
_UNUSED: Final = sa.delete(t.call).where(t.call.c.pace == _PACE, t.call.c.number == sa.bindparam("this"))


@dataclass(frozen=True, kw_only=True, slots=True)
class MonthCount:
    """The calls of one client in one month.

    Attributes:
        month: Such as 2026-11.
        calls: How many the ledger has counted.
    """

    month: str
    calls: int


def month_of(epoch: float) -> str:
    """The month of an instant in UTC, such as 2026-11."""
    return f"{datetime.fromtimestamp(epoch, UTC):%Y-%m}"


def next_month(month: str) -> str:
    """The day on which the next month begins."""
    year, number = map(int, month.split("-"))
    return f"{year + number // 12:04}-{number % 12 + 1:02}-01"


def month_ends(month: str) -> str:
    """When a month is over, in words."""
    return f"{next_month(month)} 00:00 UTC"


class MonthlyBudget:
    """Counts one process's calls of one client by months, in transactions that others begin.

    Args:
        client: Id of the client.
        most: Calls of a month that all processes together may make; None for any number.
    """

    def __init__(self, client: str, most: int | None) -> None:
        self._client = client
        self._most = most
        self._tenant: int | None = None
        self._month = ""
        self._first = 0

    def left(self, used: int | None) -> int | None:
        """How many calls of a month may still be made, if so many were; None for any number."""
        return None if self._most is None else max(0, self._most - (used or 0))

    def count(self, connection: Connection, pace: Any, numbers: Sequence[int], month: str) -> None:
        """Counts calls that are permitted.

        Args:
            connection: In the transaction that permits them.
            pace: The row of the rate key, with `month_calls`.
            numbers: Of the permits.
            month: In which they are made.
        """
        if month != self._month:
            self._month, self._first = month, numbers[0]
        self._tenant = pace.tenant
        if pace.month_calls is None:
            row = {"tenant": pace.tenant, "client": self._client, "month": month, "calls": len(numbers)}
            write(connection, sa.insert(t.monthly_calls), [row])
        else:
            write(connection, _MORE, [self._change(len(numbers))])

    def give_back(self, connection: Connection, pace: int, numbers: Sequence[int]) -> None:
        """Forgets permits that were not used, and no longer counts those of this month's calls.

        One that is no longer there is not taken off: it was reported before, or others have counted its call.
        """
        ours = [{"of": pace, "this": number} for number in numbers if number >= self._first]
        others = [{"of": pace, "this": number} for number in numbers if number < self._first]
        if ours and (gone := count_written(connection, _UNUSED, ours)):
            write(connection, _FEWER, [self._change(gone)])
        if others:
            write(connection, _UNUSED, others)

    def spent(self, used: int | None, month: str) -> BudgetSpentError:
        """The error that ends a command, because the month's calls are made."""
        return BudgetSpentError(
            f"The budget of {count(self._most or 0, 'call')} a month is used up: the ledger has counted "
            f"{count(used or 0, 'call')} of this client in {month}, so no more are made. Everything sent is recorded.",
            next_step=f"The month ends at {month_ends(month)}. Run the same command again then; or, if the contract "
            "allows more, now with a higher --monthly-calls N, which `monthly_calls` in the config file sets for good.",
        )

    def _change(self, calls: int) -> dict[str, Any]:
        return {"of_tenant": self._tenant, "of_client": self._client, "of_month": self._month, "change": calls}


def calls_in(connection: Connection, url: str, client: str, month: str) -> int:
    """How many calls of a client the ledger has counted in a month.

    Args:
        connection: Of the ledger.
        url: An address of the tenant.
        client: Id of the client.
        month: Such as 2026-11.
    """
    found: int | None = connection.execute(
        sa.select(t.monthly_calls.c.calls).where(
            t.monthly_calls.c.tenant == t.tenant_at(url),
            t.monthly_calls.c.client == client,
            t.monthly_calls.c.month == month,
        )
    ).scalar()
    return found or 0


def join_months(connection: Connection, kept: int, gone: int) -> None:
    """Makes the calls of both tenants count together."""
    of_gone = sa.select(t.monthly_calls).where(t.monthly_calls.c.tenant == gone)
    for row in connection.execute(of_gone).all():
        same = (t.monthly_calls.c.client == row.client, t.monthly_calls.c.month == row.month)
        into = sa.update(t.monthly_calls).where(t.monthly_calls.c.tenant == kept, *same)
        both = connection.execute(into.values(calls=t.monthly_calls.c.calls + row.calls)).rowcount
        ours = t.monthly_calls.c.tenant == gone
        if both:
            connection.execute(sa.delete(t.monthly_calls).where(ours, *same))
        else:
            connection.execute(sa.update(t.monthly_calls).where(ours, *same).values(tenant=kept))
