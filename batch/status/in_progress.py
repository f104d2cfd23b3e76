"""What the tenant said of wanted changes, and what follows: which are in progress, and which are held already.

What the tenant says only sets changes aside, never more: a change of which it says nothing is submitted.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from batch.api.dialects import REQUEST_TYPES, Operation
from batch.api.tenant_outcome import TenantOutcome, tenant_outcome
from batch.dedupe.classify import INTENTION, KEY, TENANT_VERDICTS, age
from batch.model import RowClass
from batch.states import VOID
from batch.status.matching import (
    ids_change_with_requests,
    ids_cover_several_items,
    listed_item,
    named_item,
    with_rows,
)
from batch.text import moment, on_one_line

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from batch.model import StatusRow

Item = tuple[str, str]
"""Type and id of an access item."""

_LONGEST_NAME: Final = 80
_OPERATIONS: Final = {api: operation.value for operation, api in REQUEST_TYPES.items()}
_HELD: Final = "held, as the tenant's index says"


@dataclass(frozen=True, kw_only=True, slots=True)
class InProgress:
    """One identity and one item of a request that is in progress at the tenant; what it does not say is empty.

    Attributes:
        identity: Id of the identity.
        item_type: Kind of access item.
        item: Id of the item.
        operation: `GRANT` or `REVOKE`; empty for anything else.
        start_date: In RFC 3339, as the tenant writes it.
        remove_date: Likewise.
        requester: Name of who requested it.
        since: When it was requested, in ISO 8601.
        sure: Whether `item` is the item's id as far as anybody can tell, and not the request's.
    """

    identity: str
    item_type: str
    item: str
    operation: str
    start_date: str = ""
    remove_date: str = ""
    requester: str = ""
    since: str = ""
    sure: bool = True

    def as_list(self) -> list[Any]:
        """Its fields, for JSON."""
        return list(astuple(self))

    @classmethod
    def from_list(cls, fields: Sequence[Any]) -> InProgress:
        """The same again."""
        return cls(**dict(zip(cls.__slots__, fields, strict=True)))


@dataclass(frozen=True, kw_only=True, slots=True)
class TenantView:
    """What the tenant said.

    Attributes:
        in_progress: What is in progress by identity; an identity that is missing was not asked about.
        held: What an identity holds of the wanted items; one that is missing is unknown to the index, or was not
            asked about.
    """

    in_progress: Mapping[str, Sequence[InProgress]] = field(default_factory=lambda: MappingProxyType({}))
    held: Mapping[str, Collection[Item]] = field(default_factory=lambda: MappingProxyType({}))


def open_rows(rows: Iterable[StatusRow]) -> list[InProgress]:
    """What is in progress, by rows that the status list gave together.

    The list's `id` is the item's at some tenants and the request's at others (see dialects.ITEM_ID_KEY). Where rows
    show that it is not the item's, whatever rests on it alone is not `sure`.
    """
    listed = [row for row in rows if tenant_outcome(row.state, row.said) is TenantOutcome.OPEN]
    ids_are_items = not ids_cover_several_items(listed) and not ids_change_with_requests(listed)
    return [
        InProgress(
            identity=row.identity,
            item_type=row.item_type,
            item=named_item(row) or row.item,
            operation=_OPERATIONS.get(row.request_type, ""),
            start_date=row.start_date,
            remove_date=row.remove_date,
            requester=on_one_line(row.requester, most=_LONGEST_NAME),
            since=f"{row.created:%Y-%m-%dT%H:%M:%SZ}" if row.created else "",
            sure=bool(named_item(row)) or (ids_are_items and bool(listed_item(row))),
        )
        for row in listed
    ]


def not_understood(tenant_view: TenantView, wanted: pl.DataFrame) -> int:
    """How many rows in progress can't be told to be of a wanted item or of another.

    Args:
        tenant_view: What the tenant said.
        wanted: Changes, with dedupe's KEY.
    """
    items = set(wanted.get_column("item_id"))
    return sum(not one.sure and one.item not in items for rows in tenant_view.in_progress.values() for one in rows)


def asked_about(fresh: pl.DataFrame) -> pl.DataFrame:
    """Of fresh changes those of which it matters whether they are held: grants without dates."""
    plain = (pl.col("start_date") == "") & (pl.col("remove_date") == "")
    return fresh.filter(plain & (pl.col("operation") == Operation.GRANT.value))


def tenant_verdicts(fresh: pl.DataFrame, known: pl.DataFrame, tenant_view: TenantView) -> pl.DataFrame:
    """Which fresh changes need no request, or must wait, by the tenant's word.

    Args:
        fresh: Changes that the ledger has nothing against, one of each key: dedupe's KEY and INTENTION.
        known: What the ledger remembers of their keys, by dedupe's KNOWN_SCHEMA.
        tenant_view: What the tenant said.

    Returns:
        By dedupe's TENANT_VERDICTS, for each change that is set aside:

        | the tenant says of the key | the change is |
        |---|---|
        | the same operation and dates are in progress | `already_submitted` |
        | other dates, the opposite or an unknown operation are in progress | `held_back` |
        | it is held, and a grant without dates is wanted | `already_held` |

        What is held does not count where the ledger's newest knowledge of the key is a revoke or a grant with dates:
        the index may lag by hours, and it shows no end date, which a grant without one would take away.
    """
    told = pl.DataFrame(list(_of_progress(fresh, tenant_view)), schema=TENANT_VERDICTS, orient="row")
    held = pl.DataFrame(
        [(person, *item) for person, items in tenant_view.held.items() for item in items],
        schema=dict.fromkeys(KEY, pl.String),
        orient="row",
    ).unique()
    newest = (
        known.filter(~pl.col("state").is_in([state.value for state in VOID]))
        .sort(*age(*KEY))
        .unique(KEY, keep="last", maintain_order=True)
    )
    already = (
        asked_about(fresh)
        .select(KEY)
        .join(held, on=KEY, how="semi")
        .join(told, on=KEY, how="anti")
        .join(newest.join(asked_about(newest), on=KEY, how="anti"), on=KEY, how="anti")
        .with_columns(tenant_class=pl.lit(RowClass.ALREADY_HELD.value), tenant_reason=pl.lit(_HELD))
    )
    return pl.concat([told, already]).sort(KEY)


def _of_progress(fresh: pl.DataFrame, tenant_view: TenantView) -> Iterator[tuple[str, ...]]:
    """Lines of TENANT_VERDICTS for what is in progress."""
    rows = [one for some in tenant_view.in_progress.values() for one in some]
    matches = with_rows(fresh.select(*KEY, *INTENTION), ((one.identity, one.item, one.item_type) for one in rows))
    for *key, operation, start_date, remove_date, numbers in matches.rows():
        wanted = (operation, _instant(start_date), _instant(remove_date))
        found = sorted((rows[number] for number in numbers), key=lambda one: one.since)
        other = [one for one in found if (one.operation, *map(_instant, (one.start_date, one.remove_date))) != wanted]
        if other:
            yield *key, RowClass.HELD_BACK.value, _conflict(other[0])
        else:
            yield *key, RowClass.ALREADY_SUBMITTED.value, f"requested by {_who(found[0])}, in progress"


def _instant(text: str) -> datetime | str:
    """What dates are compared by: the tenant writes fractions of a second, and may write what is no date."""
    return moment(text) or text


def _who(one: InProgress) -> str:
    return f"{one.requester or 'somebody'}{f' since {one.since}' if one.since else ''}"


def _conflict(one: InProgress) -> str:
    begins = f" from {one.start_date}" if one.start_date else ""
    ends = f" until {one.remove_date}" if one.remove_date else ""
    what = f"a {one.operation.lower()}{begins}{ends} of it" if one.operation else "something else with it"
    return f"in_progress_conflict: requested by {_who(one)}, {what} is in progress"
