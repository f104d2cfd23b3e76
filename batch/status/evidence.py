"""What the tenant's status list proves about an unconfirmed request.

A row proves a change by the request's id in its clientMetadata. Only if a row has no clientMetadata at all do identity,
item, operation and time stand in for it.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from batch.api.dialects import REQUEST_ID_KEY
from batch.api.tenant_outcome import EXISTING, EXISTING_SAID
from batch.model import ChangeStatus, Part
from batch.status.matching import has_operation, pair_of, was_created_since

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable, Mapping, Sequence
    from datetime import datetime

    from batch.model import Doubt, Existing, Request, StatusRow
    from batch.status.matching import Pair

LOOK_BACK: Final = timedelta(hours=25)
"""How long before the first attempt the list begins, in case our clock was wrong: the request's id is what decides."""

SKEW: Final = timedelta(minutes=5)
"""How much earlier than the first attempt a row without clientMetadata may be created."""

_FOREIGN: Final = "another's"


class Settlement(StrEnum):
    """What became of an unconfirmed request."""

    FOUND = "found"
    NOT_FOUND = "not found"
    PARTLY = "partly found"
    OPEN = "open"


def window_start(doubt: Doubt) -> datetime:
    """The time from which on rows are listed."""
    return doubt.first_attempt - LOOK_BACK


def by_request(rows: Iterable[StatusRow]) -> Mapping[str, Sequence[StatusRow]]:
    """Rows by the request id in their clientMetadata; rows without any clientMetadata under `""`."""
    groups: dict[str, list[StatusRow]] = {}
    for row in rows:
        groups.setdefault(row.metadata.get(REQUEST_ID_KEY, _FOREIGN) if row.metadata else "", []).append(row)
    return groups


def found_pairs(doubt: Doubt, rows: Mapping[str, Sequence[StatusRow]], offset: timedelta) -> Mapping[Pair, str]:
    """The request's changes that the rows prove, each with the tenant's id of its access request.

    Args:
        doubt: The request.
        rows: From `by_request`.
        offset: How far the tenant's clock is ahead of ours.
    """
    request = doubt.request
    wanted = {(identity, item.id) for identity in request.recipients for item in request.items}
    since = doubt.first_attempt + offset - SKEW
    proven = {pair_of(row): row.access_request for row in rows.get(request.id, ())}
    for row in rows.get("", ()):
        if has_operation(row, request.operation) and was_created_since(row, since):
            proven[row.identity, row.item] = row.access_request
    return {pair: access_request for pair, access_request in proven.items() if pair in wanted}


def judge(doubt: Doubt, found: Collection[Pair], *, waited: bool) -> Settlement:
    """What follows from the changes that were found.

    Args:
        doubt: The request.
        found: From `found_pairs`, over everything that the list shows of its recipients.
        waited: Whether everything that arrived must be visible by now.
    """
    if len(found) == doubt.request.changes:
        return Settlement.FOUND
    if not waited:
        return Settlement.OPEN
    return Settlement.PARTLY if found else Settlement.NOT_FOUND


def parts_by_arrival(request: Request, found: Container[Pair]) -> tuple[Part, ...]:
    """Divides a partly found request into products of what arrived and products of what did not.

    Recipients for whom the same items arrived stay together.
    """
    groups: dict[tuple[int, ...], list[int]] = {}
    for position, identity in enumerate(request.recipients):
        arrived = tuple(i for i, item in enumerate(request.items) if (identity, item.id) in found)
        groups.setdefault(arrived, []).append(position)
    everything = range(len(request.items))
    parts = []
    for arrived, recipients in groups.items():
        missing = tuple(i for i in everything if i not in arrived)
        parts += [
            Part(recipients=tuple(recipients), items=items, arrived=is_there)
            for items, is_there in ((arrived, True), (missing, False))
            if items
        ]
    return tuple(parts)


def requested_already(request: Request, existing: Iterable[Existing]) -> tuple[ChangeStatus, ...]:
    """The statuses of changes that the answer lists as requested already: the tenant created nothing for them.

    Args:
        request: The request that was answered.
        existing: From the answer; entries that are no change of the request are left out.
    """
    wanted = {(identity, item.type.value, item.id) for identity in request.recipients for item in request.items}
    return tuple(
        ChangeStatus(
            request=request.number,
            identity=one.identity,
            item_type=one.item_type,
            item=one.item,
            state=EXISTING,
            said=EXISTING_SAID,
            access_request=one.access_request,
        )
        for one in existing
        if (one.identity, one.item_type, one.item) in wanted
    )
