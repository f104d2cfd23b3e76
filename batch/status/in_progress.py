"""Which wanted changes are in progress at the tenant or held already.

The tenant's answers can only set changes aside: a change that they don't mention is submitted.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from batch.api.accounts import is_selected
from batch.api.dialects import INDEX_LAG, REQUEST_TYPES, Operation
from batch.api.end_dates import NO_END, sent_end
from batch.api.tenant_outcome import TenantOutcome, tenant_outcome
from batch.dedupe.classify import INTENTION, TENANT_VERDICTS, age
from batch.dedupe.overlap import ACCESS, KEY, not_overlapping
from batch.model import RowClass
from batch.states import VOID
from batch.status.matching import (
    ids_change_with_requests,
    ids_cover_several_items,
    listed_item,
    named_item,
    with_rows,
)
from batch.status.pending import joined
from batch.text import key_of, moment, on_one_line

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from batch.api.status_row import StatusRow
    from batch.status.tenant_facts import PersonFacts

Item = tuple[str, str]
"""Type and id of an access item."""

_LONGEST_NAME: Final = 80
_OPERATIONS: Final = {api: operation.value for operation, api in REQUEST_TYPES.items()}
_HELD: Final = "held already, by the tenant's search index"
NOT_HELD: Final = "not held, by the tenant's search index"
_GRANTED_NOTHING: Final = (TenantOutcome.REJECTED, TenantOutcome.CANCELLED)
"""Outcomes of a grant without access. A duplicate shows that the access was held at that time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InProgress:
    """One identity and one item of a request in progress at the tenant; a field that the tenant leaves out is empty.

    Attributes:
        identity: Id of the identity.
        item_type: Kind of access item.
        item: Id of the item.
        operation: `GRANT` or `REVOKE`; empty for anything else.
        start_date: In RFC 3339, as the tenant writes it.
        remove_date: In the same form.
        requester: Name of the requester.
        since: When it was requested, in ISO 8601.
        sure: Whether everything suggests that `item` is the item's id and not the request's, or another row has it.
        approver: Name of the approver that it waits for; empty if it waits for none, or that is not known.
        waits_since: The day since when, in ISO 8601.
        accounts: As in StatusRow, sorted.
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
    approver: str = ""
    waits_since: str = ""
    accounts: tuple[str, ...] = ()

    def as_list(self) -> list[Any]:
        """The fields as a list, for JSON."""
        return [*astuple(self)[:-1], list(self.accounts)]

    @classmethod
    def from_list(cls, fields: Sequence[Any]) -> InProgress:
        """The reverse of `as_list`."""
        # Answers that an older version has cached name no accounts.
        read = dict(zip(cls.__slots__, fields, strict=False))
        return cls(**{**read, "accounts": tuple(read.get("accounts", ()))})


@dataclass(frozen=True, kw_only=True, slots=True)
class TenantView:
    """What the tenant shows for some identities.

    Attributes:
        in_progress: What is in progress, by identity; a missing identity was not asked about.
        held: The wanted items that an identity holds; a missing identity is not in the index or was not asked about.
        granted: By identity, from `granted_since`, the items that it may have got since the index was brought up to
            date; a missing identity was not asked about, or its list could not be read in full.
        unchecked: Identities whose list was not read because it would have taken too many calls.
        indexed: When the oldest answer of `held` was given; None if there is none.
        people: What the tenant says of each identity; of one that it does not show, that it is not listed.
        unrevocable: The held items of each identity that no request can revoke, as far as the index shows.
        crowded: The keys of the sources on which an identity has several accounts, as far as the index shows.
        ends: The end dates of an identity's assignments of each role, by the role's key, empty for none; a missing
            identity was not asked about.
    """

    in_progress: Mapping[str, Sequence[InProgress]] = field(default_factory=lambda: MappingProxyType({}))
    held: Mapping[str, Collection[Item]] = field(default_factory=lambda: MappingProxyType({}))
    granted: Mapping[str, Collection[str]] = field(default_factory=lambda: MappingProxyType({}))
    unchecked: Collection[str] = frozenset()
    indexed: datetime | None = None
    people: Mapping[str, PersonFacts] = field(default_factory=lambda: MappingProxyType({}))
    unrevocable: Mapping[str, Collection[Item]] = field(default_factory=lambda: MappingProxyType({}))
    crowded: Mapping[str, Collection[str]] = field(default_factory=lambda: MappingProxyType({}))
    ends: Mapping[str, Mapping[str, Collection[str]]] = field(default_factory=lambda: MappingProxyType({}))


def open_rows(rows: Iterable[StatusRow], approvals: Iterable[StatusRow] = ()) -> list[InProgress]:
    """What is in progress, by rows of the status list that were listed together and by the pending approvals.

    If the rows show that their `id` is not the item's (see status.matching), rows that have no other id are not `sure`.
    """
    listed = [row for row in rows if tenant_outcome(row.state, row.said) is TenantOutcome.OPEN]
    found = ((one, one.row) for one in joined(listed, approvals))
    return [
        InProgress(
            identity=row.identity,
            item_type=row.item_type,
            item=one.item,
            operation=_OPERATIONS.get(row.request_type, ""),
            start_date=row.start_date,
            remove_date=row.remove_date,
            requester=on_one_line(row.requester, most=_LONGEST_NAME),
            since=f"{row.created:%Y-%m-%dT%H:%M:%SZ}" if row.created else "",
            sure=one.sure,
            approver=on_one_line(row.who, most=_LONGEST_NAME),
            waits_since=f"{row.since:%Y-%m-%d}" if row.who and row.since else "",
            accounts=tuple(sorted(row.accounts)),
        )
        for one, row in found
    ]


ANY_ITEM: Final = ""
"""In place of an item's id: it may be any item."""


def granted_since(rows: Iterable[StatusRow], since: datetime) -> frozenset[str]:
    """The items that an identity may have got at some time or later, as ids are compared; or ANY_ITEM.

    Args:
        rows: The identity's complete list.
        since: By the tenant's clock.
    """
    listed = list(rows)
    ids_are_items = not ids_cover_several_items(listed) and not ids_change_with_requests(listed)
    return frozenset(
        key_of(named_item(row) or (listed_item(row) if ids_are_items else ANY_ITEM))
        for row in listed
        if row.request_type != REQUEST_TYPES[Operation.REVOKE]
        and tenant_outcome(row.state, row.said) not in _GRANTED_NOTHING
        and (_is_since(since, row.created, row.since) or _begins_since(since, row.start_date))
    )


def _is_since(since: datetime, *times: datetime | None) -> bool:
    """Whether something may have happened then or later, by the times known of it: none proves nothing."""
    known = [time for time in times if time is not None]
    return not known or max(known) >= since


def _begins_since(since: datetime, start_date: str) -> bool:
    return bool(start_date) and ((start := moment(start_date)) is None or start >= since)


def count_unclear(tenant_view: TenantView, wanted: pl.DataFrame) -> int:
    """How many rows in progress may or may not be of a wanted item.

    Args:
        tenant_view: What the tenant shows.
        wanted: Changes, with dedupe's KEY.
    """
    items = set(map(key_of, wanted.get_column("item_id")))
    rows = (row for some in tenant_view.in_progress.values() for row in some)
    return sum(not row.sure and key_of(row.item) not in items for row in rows)


def plain_grants(changes: pl.DataFrame) -> pl.DataFrame:
    """Grants without dates: the only changes that need no request if they are held."""
    without_dates = (pl.col("start_date") == "") & (pl.col("remove_date") == "")
    return changes.filter(without_dates & (pl.col("operation") == Operation.GRANT.value))


def revokes(changes: pl.DataFrame) -> pl.DataFrame:
    """Revokes, which need no request if the access is not held."""
    return changes.filter(pl.col("operation") == Operation.REVOKE.value)


def tenant_verdicts(fresh: pl.DataFrame, known: pl.DataFrame, tenant_view: TenantView) -> pl.DataFrame:
    """Which fresh changes need no request, or must wait, because of what the tenant shows.

    Args:
        fresh: Changes that the ledger does not rule out, one of each key: dedupe's KEY and INTENTION.
        known: What the ledger has of their keys, by dedupe's KNOWN_SCHEMA.
        tenant_view: What the tenant shows.

    Returns:
        By dedupe's TENANT_VERDICTS, the changes that are set aside:

        | the tenant shows of the key | the change is |
        |---|---|
        | the same operation and dates in progress | `already_submitted` |
        | other dates, the opposite or an unknown operation in progress | `held_back` |
        | something in progress, perhaps for another account than the change names | `held_back` |
        | the item is held, and a grant without dates is wanted | `already_held` |
        | the item is not held, and a revoke is wanted | `not_held` |

        A held item does not count if the newest change of the key in the ledger is a revoke or a grant with dates: the
        index may lag by hours, and it shows no end date, which a grant without dates would remove. Nor does it count
        if the change names one of several accounts: another one may hold it. See `not_held` for the last line.
    """
    in_progress = pl.DataFrame(list(_in_progress(fresh, tenant_view)), schema=TENANT_VERDICTS, orient="row")
    held = pl.DataFrame(
        [(person, *item) for person, items in tenant_view.held.items() for item in items],
        schema=dict.fromkeys(ACCESS, pl.String),
        orient="row",
    ).unique()
    newest = (
        known.filter(~pl.col("state").is_in([state.value for state in VOID]))
        .sort(*age(*KEY))
        .unique(KEY, keep="last", maintain_order=True)
    )
    lasting = plain_grants(newest.with_columns(pl.col("remove_date").replace(NO_END, "")))
    without_account = plain_grants(fresh).filter(pl.col("account") == "").select(KEY).join(held, on=ACCESS, how="semi")
    already_held = (
        not_overlapping(without_account, newest.join(lasting, on=KEY, how="anti"))
        .join(in_progress, on=KEY, how="anti")
        .with_columns(tenant_class=pl.lit(RowClass.ALREADY_HELD.value), tenant_reason=pl.lit(_HELD))
    )
    unneeded = (
        not_held(fresh, known, tenant_view)
        .filter("proven")
        .join(in_progress, on=KEY, how="anti")
        .select(*KEY, tenant_class=pl.lit(RowClass.NOT_HELD.value), tenant_reason=pl.lit(NOT_HELD))
    )
    return pl.concat([in_progress, already_held, unneeded]).sort(KEY)


def not_held(fresh: pl.DataFrame, known: pl.DataFrame, tenant_view: TenantView) -> pl.DataFrame:
    """The revokes of access that the search index does not show, see `not_shown`."""
    return not_shown(revokes(fresh), known, tenant_view)


def not_shown(changes: pl.DataFrame, known: pl.DataFrame, tenant_view: TenantView) -> pl.DataFrame:
    """The changes of access that the search index does not show, and whether it is `proven` that it is not held.

    It is not if the ledger, or the identity's own list, knows a grant that may be newer than the index: a needless
    revoke is harmless, a missing one is not. Arguments as for `tenant_verdicts`.
    """
    people = {person: (frozenset(items), tenant_view.granted.get(person)) for person, items in tenant_view.held.items()}
    by_ledger = _granted_by_ledger(known, tenant_view.indexed and tenant_view.indexed - INDEX_LAG)
    found = []
    for key in changes.select(KEY).rows():
        person, item_type, item, _ = key
        items, granted = people.get(person, (frozenset(), None))
        if person in people and (item_type, item) not in items:
            lately = granted is None or ANY_ITEM in granted or key_of(item) in granted
            found.append((*key, not lately and key[:-1] not in by_ledger))
    return pl.DataFrame(found, schema={**dict.fromkeys(KEY, pl.String), "proven": pl.Boolean}, orient="row")


def _granted_by_ledger(known: pl.DataFrame, since: datetime | None) -> frozenset[tuple[str, ...]]:
    """The accesses that the ledger knows as granted at some time or later; every access if that time is not known."""
    if since is None:
        return frozenset(known.select(ACCESS).rows())
    grants = known.filter(
        (pl.col("operation") == Operation.GRANT.value) & ~pl.col("state").is_in([state.value for state in VOID])
    ).select(*ACCESS, "at", "tenant_since", "tenant_state", "tenant_comment", "start_date")
    return frozenset(
        tuple(key)
        for *key, at, ended, state, said, starts in grants.rows()
        if tenant_outcome(state, said) not in _GRANTED_NOTHING
        # Without the time of its end, an accepted grant may have been provisioned at any time until now.
        and (not ended or _is_since(since, moment(at), moment(ended)) or _begins_since(since, starts))
    )


def _in_progress(fresh: pl.DataFrame, tenant_view: TenantView) -> Iterator[tuple[str, ...]]:
    """TENANT_VERDICTS for what is in progress."""
    rows = [row for some in tenant_view.in_progress.values() for row in some]
    changes = fresh.select(*KEY, *INTENTION)
    matches = with_rows(changes, ((row.identity, row.item, row.item_type) for row in rows))
    for *key, operation, start_date, remove_date, positions in matches.rows():
        wanted = (operation, _instant(start_date), _instant(sent_end(remove_date)))
        found = sorted((rows[position] for position in positions), key=lambda row: row.since)
        about = [is_selected(key[-1], frozenset(row.accounts)) if key[-1] else True for row in found]
        found = [row for row, is_same in zip(found, about, strict=True) if is_same is not False]
        if not found:
            continue
        if None in about:
            yield *key, RowClass.HELD_BACK.value, _unclear(found[0])
            continue
        other = [row for row in found if (row.operation, *map(_instant, (row.start_date, row.remove_date))) != wanted]
        if other:
            yield *key, RowClass.HELD_BACK.value, _conflict(_most_telling(other))
        else:
            row = _most_telling(found)
            yield *key, RowClass.ALREADY_SUBMITTED.value, f"requested by {_who(row)}, {_waits(row) or 'in progress'}"


def _most_telling(rows: Sequence[InProgress]) -> InProgress:
    """The first row that names an approver, or else the first."""
    return next((row for row in rows if row.approver), rows[0])


def _instant(text: str) -> datetime | str:
    """A date to compare: the tenant writes fractions of a second, and may write something that is no date."""
    return moment(text) or text


def _who(row: InProgress) -> str:
    return f"{row.requester or 'somebody'}{f' since {row.since}' if row.since else ''}"


def _waits(row: InProgress) -> str:
    since = f" since {row.waits_since}" if row.waits_since else ""
    return f"waits for {row.approver}{since}" if row.approver else ""


_LATER: Final = "when it has ended, run the same command again"


def _unclear(row: InProgress) -> str:
    return (
        f"in_progress_conflict: a request by {_who(row)} is in progress, perhaps for another account than this row's; "
        f"{_LATER}"
    )


def _conflict(row: InProgress) -> str:
    begins = f" from {row.start_date}" if row.start_date else ""
    ends = f" until {row.remove_date}" if row.remove_date else ""
    what = f"a {row.operation.lower()}{begins}{ends} of it" if row.operation else "a request of an unknown kind for it"
    return f"in_progress_conflict: requested by {_who(row)}, {what} {_waits(row) or 'is in progress'}; {_LATER}"
