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
from batch.text import key_of, moment
from batch.validate.rows import EXTENDS

if TYPE_CHECKING:
    from collections.abc import Collection

    from batch.status.in_progress import Item, TenantView

_ASSIGNED: Final = "by the tenant's role assignments"


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


def unshown_first(fresh: pl.DataFrame, tenant_view: TenantView) -> list[str]:
    """The same people; first those whose role the search index does not show, which only an assignment can."""
    wanted = extensions(fresh).filter(pl.col("item_type") == ItemType.ROLE.value).select("identity_id", "item_id")
    unshown = {
        person for person, role in wanted.rows() if (ItemType.ROLE, role) not in tenant_view.held.get(person, ())
    }
    return sorted(people_to_ask(fresh), key=lambda person: person not in unshown)


def untold(fresh: pl.DataFrame) -> int:
    """How many end dates are to be changed that the tenant does not tell."""
    return extensions(fresh).filter(pl.col("item_type") != ItemType.ROLE.value).height


def extension_verdicts(fresh: pl.DataFrame, tenant_view: TenantView) -> pl.DataFrame:
    """Which changes of end dates need no request.

    Args:
        fresh: Changes as in in_progress.tenant_verdicts, with EXTENDS.
        tenant_view: What the tenant shows.

    Returns:
        By dedupe's TENANT_VERDICTS: `already_held` if all assignments of a role end as wanted. What is in progress
        counts more.
    """
    lines = []
    for *key, wanted in extensions(fresh).select(*KEY, "remove_date").rows():
        dates = _dates(tenant_view, key)
        if dates and {moment(date) for date in dates} == {moment(sent_end(wanted))}:
            ends = "without an end date" if wanted == NO_END else f"until {wanted}"
            lines.append((*key, RowClass.ALREADY_HELD.value, f"held {ends} already, {_ASSIGNED}"))
    return pl.DataFrame(lines, schema=TENANT_VERDICTS, orient="row")


def not_shown_as_held(fresh: pl.DataFrame, tenant_view: TenantView) -> dict[str, list[Item]]:
    """By identity, the access whose end date is to be changed, and which the tenant does not show: it would be granted.

    Which of several accounts has some access, the tenant does not show.
    """
    found: dict[str, list[Item]] = {}
    for *key, account in extensions(fresh).select(KEY).rows():
        person, item_type, item = key
        shown = (item_type, item) in tenant_view.held.get(person, ()) or _dates(tenant_view, (*key, account))
        if account or not shown:
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


def _dates(tenant_view: TenantView, key: Collection[str]) -> Collection[str] | None:
    """The end dates of a person's assignments of a role; None if they are not known."""
    person, item_type, item, _ = key
    roles = tenant_view.ends.get(person)
    return None if roles is None or item_type != ItemType.ROLE else roles.get(key_of(item), ())
