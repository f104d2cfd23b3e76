"""Joins what two lists of the tenant show of requests in progress: the status list and the pending approvals.

The status list shows everything that is not finished. The pending approvals show what waits for an approver, for whom,
and always the item's id, which the status list's `id` may not be. A row of each that are about one item of one request
are one.

| the rows of the two lists | together they are |
|---|---|
| of one request and item, with the same operation, dates and accounts, or one without them | one row, with all of it |
| of one request and item, with other dates, another operation or other accounts | both: the lists disagree |
| of one request, with one type and name, but another id | one row with the item's id, and the status list's own |
| anything else | both |

So nothing that one of the lists shows of an item is ever lost.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from batch.status.matching import (
    ids_change_with_requests,
    ids_cover_several_items,
    listed_item,
    named_item,
    request_id,
)
from batch.text import key_of, moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from batch.api.status_row import StatusRow

_AT_ONCE: Final = timedelta(seconds=5)
"""Rows without ids of their requests are of one request if it was created so much apart, by the tenant's clock."""

_LONGEST: Final = 300
"""Characters kept of the names of several approvers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenRow:
    """One identity and one item of a request in progress.

    Attributes:
        row: What is known of it; `who` is whom it waits for.
        item: The item's id, or another id in its place.
        sure: Whether it is known which item it is about: by `item`, or by another row.
    """

    row: StatusRow
    item: str
    sure: bool


def joined(listed: Sequence[StatusRow], approvals: Iterable[StatusRow]) -> list[OpenRow]:
    """What both lists show together.

    Args:
        listed: Unfinished rows of the status list that were listed together.
        approvals: Pending approvals, as rows.
    """
    pending = _one_for_each_request(approvals)
    of_item = _same_item(listed, pending)
    renamed = _same_name(listed, pending, of_item)
    # A row whose id is not the one in the approvals shows that the list's ids are not the items'.
    ids_are_items = not (
        any(map(listed_item, (listed[n] for n in renamed)))
        or ids_cover_several_items(listed)
        or ids_change_with_requests(listed)
    )
    told: set[int] = set()
    found = []
    for n, row in enumerate(listed):
        if n in renamed:
            row_and_approval = _together(row, pending, [renamed[n]], told)
            found.append(OpenRow(row=row_and_approval, item=pending[renamed[n]].item, sure=True))
            if not listed_item(row):
                continue
        is_sure = bool(named_item(row) or of_item[n] or n in renamed) or (ids_are_items and bool(listed_item(row)))
        found.append(
            OpenRow(row=_together(row, pending, of_item[n], told), item=named_item(row) or row.item, sure=is_sure)
        )
    rest = (row for n, row in enumerate(pending) if n not in told)
    return [*found, *(OpenRow(row=row, item=row.item, sure=bool(row.item)) for row in rest)]


def _one_for_each_request(approvals: Iterable[StatusRow]) -> list[StatusRow]:
    """The pending approvals, of which those of one request and item that wait for several approvers are one."""
    found: defaultdict[tuple[object, ...], list[StatusRow]] = defaultdict(list)
    for row in approvals:
        mark = row.access_request or request_id(row) or (row.requester, row.created)
        what = key_of(row.identity), row.item_type, key_of(row.item), row.request_type, row.start_date, row.remove_date
        found[mark, *what, row.accounts].append(row)
    return list(map(waiting_for, found.values()))


def waiting_for(rows: Sequence[StatusRow]) -> StatusRow:
    """The first row, waiting for the approvers of all rows since the first of them was asked."""
    names = dict.fromkeys(row.who for row in rows if row.who)
    times = [row.since for row in rows if row.who and row.since is not None]
    return replace(rows[0], who=", ".join(names)[:_LONGEST], since=min(times, default=rows[0].since))


def _same_item(listed: Sequence[StatusRow], pending: Sequence[StatusRow]) -> list[list[int]]:
    """For each listed row the positions of the approvals of the same request and item."""
    of_pair: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for n, approval in enumerate(pending):
        of_pair[key_of(approval.identity), key_of(approval.item)].append(n)
    return [
        [
            n
            for n in of_pair.get((key_of(row.identity), key_of(named_item(row) or listed_item(row))), ())
            if pending[n].item and pending[n].item_type == row.item_type and _same_request(row, pending[n])
        ]
        for row in listed
    ]


def _same_name(
    listed: Sequence[StatusRow], pending: Sequence[StatusRow], of_item: Sequence[Sequence[int]]
) -> dict[int, int]:
    """The listed rows that one approval of their access request calls by another id, each with its position."""
    taken = {n for positions in of_item for n in positions}
    approvals: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for n, approval in enumerate(pending):
        if n not in taken and approval.item:
            approvals[_likeness(approval)].append(n)
    rows: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for n, row in enumerate(listed):
        rows[_likeness(row)].append(n)
    # Several items of one name can't be told apart.
    return {
        those[0]: approvals[likeness][0]
        for likeness, those in rows.items()
        if all(likeness) and len(those) == len(approvals.get(likeness, ())) == 1 and not named_item(listed[those[0]])
    }


def _likeness(row: StatusRow) -> tuple[str, ...]:
    return key_of(row.identity), row.access_request, row.item_type, row.item_name


def _same_request(row: StatusRow, approval: StatusRow) -> bool:
    """Whether two rows of one item are of one request, by its ids, or by its time if one of them has none."""
    for ours, theirs in ((row.access_request, approval.access_request), (request_id(row), request_id(approval))):
        if ours and theirs:
            return ours == theirs
    if row.created is None or approval.created is None:
        return False
    return abs(row.created - approval.created) <= _AT_ONCE


def _together(row: StatusRow, pending: Sequence[StatusRow], positions: Iterable[int], told: set[int]) -> StatusRow:
    """A row with what approvals of its request and item say of it; those that agree with it are added to `told`."""
    for n in positions:
        approval = pending[n]
        if _agree(row, approval):
            told.add(n)
            row = replace(
                row,
                request_type=row.request_type or approval.request_type,
                start_date=row.start_date or approval.start_date,
                remove_date=row.remove_date or approval.remove_date,
                accounts=row.accounts | approval.accounts,
                requester=row.requester or approval.requester,
                created=row.created or approval.created,
                who=approval.who or row.who,
                since=approval.since if approval.who else row.since,
            )
    return row


def _agree(row: StatusRow, approval: StatusRow) -> bool:
    """Whether nothing that both rows say of operation, dates and accounts is different."""
    if row.accounts and approval.accounts and row.accounts.isdisjoint(approval.accounts):
        return False
    return all(
        not ours or not theirs or (moment(ours) or ours) == (moment(theirs) or theirs)
        for ours, theirs in (
            (row.request_type, approval.request_type),
            (row.start_date, approval.start_date),
            (row.remove_date, approval.remove_date),
        )
    )
