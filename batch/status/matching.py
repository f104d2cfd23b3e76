"""Whether the `id` of the status list's rows is the item's: by what rows show that were listed together. Pure.

At some tenants it is the item's id, by the documents of later API versions it is the request's, and the documents'
examples have that of the account activity's item (see dialects.ITEM_ID_KEY).
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from batch.api.dialects import ITEM_ID_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable

    from batch.model import StatusRow


def named_item(row: StatusRow) -> str:
    """The item's id that we have sent along; empty where there is none."""
    return (row.metadata or {}).get(ITEM_ID_KEY, "")


def item_of(row: StatusRow) -> str:
    """The item's id that we have sent along; else the row's `id`, whosever that is."""
    return (row.metadata or {}).get(ITEM_ID_KEY, row.item)


def listed_item(row: StatusRow) -> str:
    """The row's `id`; empty where that is plainly not the item's."""
    return "" if row.item in {row.access_request, row.activity} else row.item


def change_with_requests(rows: Iterable[StatusRow]) -> bool:
    """Whether rows show that the ids are not the items'.

    That is so where a row of ours has another id than its item, and where items of one type and name that were
    requested several times had another id each time. One such name that kept its id is enough to trust them: items are
    renamed, and made anew under an old name.
    """
    seen: defaultdict[tuple[str, str], defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for row in rows:
        if (named := named_item(row)) and named != row.item:
            return True
        if row.item and row.item_name:
            seen[row.item_type, row.item_name][row.item].add(row.access_request)
    kept = any(len(requests) > 1 for ids in seen.values() for requests in ids.values())
    return not kept and any(len(ids) > 1 for ids in seen.values())
