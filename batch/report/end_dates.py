"""What is said of changed end dates, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from batch.status.end_dates import erased, untold
from batch.status.in_progress import TenantView
from batch.text import count, moment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import polars as pl

    from batch.api.dialects import Dialect
    from batch.api.tenant_settings import Unshown
    from batch.status.end_dates import Erased

_LISTED: Final = 5
"""Rows that a sentence names."""


def describe_end_dates(changes: pl.DataFrame, tenant_view: TenantView | None = None) -> tuple[str, ...]:
    """What is said of the end dates that a plan changes.

    Args:
        changes: Classified changes; the fresh ones are sent.
        tenant_view: What the tenant shows; None if it was not asked.
    """
    planned = changes.filter("fresh")
    return (*describe_erased(erased(planned, tenant_view or TenantView())), *describe_untold(untold(planned)))


def describe_erased(rows: Sequence[Erased]) -> Iterator[str]:
    """Which end dates the plan removes, and in which lines; nothing if it removes none."""
    if rows:
        several = len({one.file for one in rows}) > 1
        places = [_place(one, several=several) for one in rows[:_LISTED]]
        more = f" and {len(rows) - _LISTED:,} more" if len(rows) > _LISTED else ""
        verb = "removes" if len(rows) == 1 else "remove"
        yield f"{count(len(rows), 'row')} {verb} the end date of access, which then lasts: {'; '.join(places)}{more}."


def describe_untold(untold: int) -> Iterator[str]:
    """That end dates are changed which are in no list of the tenant."""
    if untold:
        yield (
            f"{count(untold, 'EXTEND')} of access profiles and entitlements: no list of the tenant tells their present "
            "end dates, so a date that is there already is sent again."
        )


def describe_closed_end_dates(closed: Unshown | None, left_out: int, dialect: Dialect) -> Iterator[str]:
    """Why the tenant does not tell the end dates of roles, and how many people nobody asked about."""
    if closed:
        yield f"The tenant does not tell the end dates of some roles ({closed.why}){_takes(closed, dialect)}."
    if left_out:
        yield (
            f"The end dates of the roles of {count(left_out, 'identity')} were not asked for, as that takes a call "
            "each: a date that is there already is sent again. --check-tenant always asks for all of them."
        )


def describe_closed_assignments(closed: Unshown | None, dialect: Dialect) -> Iterator[str]:
    """Why the tenant does not tell for which accounts roles are assigned; nothing if it does."""
    if closed:
        yield f"The tenant does not tell on which accounts some roles are ({closed.why}){_takes(closed, dialect)}."


def _takes(closed: Unshown, dialect: Dialect) -> str:
    return f": that takes the scope {dialect.role_assignments_scopes[0]}" if closed.forbidden else ""


def _place(one: Erased, *, several: bool) -> str:
    file = f" of {one.file}" if several else ""
    dates = [f"{date:%Y-%m-%dT%H:%M:%SZ}" for date in map(moment, one.dates) if date]
    return f"{', '.join(dates) or 'a date that the tenant does not tell'} (line {one.line}{file})"
