"""What the tenant shows of the access whose end dates rows want to change. Pure.

Only the assignments of roles tell an end date. That of an access profile or entitlement is in no list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from batch.api.dialects import ItemType
from batch.api.end_dates import NO_END, sent_end
from batch.dedupe.classify import TENANT_VERDICTS
from batch.dedupe.overlap import KEY
from batch.model import RowClass
from batch.status.in_progress import NOT_HELD, not_shown
from batch.text import key_of, moment
from batch.validate.rows import EXTENDS

if TYPE_CHECKING:
    from collections.abc import Collection

    from batch.status.in_progress import Item, TenantView

_ASSIGNED: Final = "by the tenant's role assignments"
_NOT_ASSIGNED: Final = "nor by its role assignments"


class Erased(NamedTuple):
    """A row that removes the end date of some access.

    file: Name of the row's file.
    line: Its line there.
    dates: The end dates that it removes; empty if the tenant does not tell them.
    """

    file: str
    line: int
    dates: tuple[str, ...]


def extensions(changes: pl.DataFrame) -> pl.DataFrame:
    """The changes that only want another end date of access that is held."""
    return changes.filter(EXTENDS)


def people_to_ask(fresh: pl.DataFrame) -> list[str]:
    """Whose role assignments matter, in order."""
    wanted = extensions(fresh).filter(pl.col("item_type") == ItemType.ROLE.value)
    return wanted.get_column("identity_id").unique().sort().to_list()


def extended(fresh: pl.DataFrame) -> dict[str, list[Item]]:
    """The items whose end dates are to be changed, by identity."""
    found: dict[str, list[Item]] = {}
    for person, item_type, item in extensions(fresh).select(KEY[:3]).sort(KEY[:3]).rows():
        found.setdefault(person, []).append((item_type, item))
    return found


def untold(fresh: pl.DataFrame) -> int:
    """How many end dates are to be changed that the tenant does not tell."""
    return extensions(fresh).filter(pl.col("item_type") != ItemType.ROLE.value).height


def extension_verdicts(fresh: pl.DataFrame, known: pl.DataFrame, tenant_view: TenantView) -> pl.DataFrame:
    """Which changes of end dates need no request.

    Args:
        fresh: Changes as in in_progress.tenant_verdicts, with EXTENDS.
        known: What the ledger has of their keys.
        tenant_view: What the tenant shows.

    Returns:
        By dedupe's TENANT_VERDICTS: `already_held` if all assignments of a role end as wanted, and `not_held` if it is
        proven that the access is not held. What is in progress counts more.
    """
    lines = []
    for *key, wanted in extensions(fresh).select(*KEY, "remove_date").rows():
        dates = _dates(tenant_view, key)
        if dates and {moment(date) for date in dates} == {moment(sent_end(wanted))}:
            ends = "without an end date" if wanted == NO_END else f"until {wanted}"
            lines.append((*key, RowClass.ALREADY_HELD.value, f"held {ends} already, {_ASSIGNED}"))
    unheld = _unheld(fresh, known, tenant_view).filter("proven")
    lines += [(*key, RowClass.NOT_HELD.value, _reason(tenant_view, key)) for key in unheld.select(KEY).rows()]
    return pl.DataFrame(lines, schema=TENANT_VERDICTS, orient="row")


def perhaps_not_held(fresh: pl.DataFrame, known: pl.DataFrame, tenant_view: TenantView) -> dict[str, list[Item]]:
    """The access, by identity, that the tenant does not show, though it may be held: a grant would give it."""
    found: dict[str, list[Item]] = {}
    for person, item_type, item, _ in _unheld(fresh, known, tenant_view).filter(~pl.col("proven")).select(KEY).rows():
        found.setdefault(person, []).append((item_type, item))
    return found


def erased(planned: pl.DataFrame, tenant_view: TenantView) -> tuple[Erased, ...]:
    """The rows that remove an end date, in the order of the input.

    Args:
        planned: The changes that are sent, with `file` and `line` of their rows.
        tenant_view: What the tenant shows.
    """
    removing = extensions(planned).filter(pl.col("remove_date") == NO_END)
    return tuple(
        Erased(file, line, tuple(sorted({date for date in _dates(tenant_view, key) or () if date})))
        for file, line, *key in removing.select("file", "line", *KEY).rows()
    )


def _unheld(fresh: pl.DataFrame, known: pl.DataFrame, tenant_view: TenantView) -> pl.DataFrame:
    """The changes of end dates of access that neither the search index nor the role assignments show."""
    found = not_shown(extensions(fresh), known, tenant_view)
    assigned = [bool(_dates(tenant_view, key)) for key in found.select(KEY).rows()]
    return found.filter(~pl.Series(assigned, dtype=pl.Boolean))


def _dates(tenant_view: TenantView, key: Collection[str]) -> Collection[str] | None:
    """The end dates of a person's assignments of a role; None if they are not known."""
    person, item_type, item, _ = key
    roles = tenant_view.ends.get(person)
    return None if roles is None or item_type != ItemType.ROLE else roles.get(key_of(item), ())


def _reason(tenant_view: TenantView, key: Collection[str]) -> str:
    return NOT_HELD if _dates(tenant_view, key) is None else f"{NOT_HELD}, {_NOT_ASSIGNED}"
