"""The changes that the answer to a submit lists as requested already (`existingRequests`).

Source: `AccessRequestTracking` of the vendor's OpenAPI documents; beta of 2024 answers `{}`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from batch.model import Existing
from batch.text import HIDDEN

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_EXISTING: Final = 1_000
"""Most changes read from one answer, several times what a request may hold."""

_LONGEST_ID: Final = 256


def existing_requests(document: dict[str, Any]) -> tuple[Existing, ...]:
    """The changes that an answer lists as requested already; malformed entries are left out.

    Args:
        document: The body of a 202.
    """
    listed = document.get("existingRequests")
    if not listed or not isinstance(listed, list):
        return ()
    found = (change for entry in listed[:MOST_EXISTING] for change in _changes(entry))
    return tuple(change for change, _ in zip(found, range(MOST_EXISTING), strict=False))


def _changes(entry: object) -> Iterator[Existing]:
    if not isinstance(entry, dict):
        return
    # The documents have one identity; we also accept a list, as in requests.
    identities = [one for one in _listed(entry.get("requestedFor")) if _is_id(one)]
    named = [one for one in _listed(entry.get("accessRequestIds")) if _is_id(one)]
    for item in _listed(entry.get("requestedItemsDetails")):
        if isinstance(item, dict) and _is_id(item.get("id")) and _is_id(item.get("type")):
            for identity in identities:
                yield Existing(
                    identity=identity,
                    item_type=item["type"],
                    item=item["id"],
                    access_request=named[0] if named else "",
                )


def _listed(value: object) -> list[Any]:
    return value[:MOST_EXISTING] if isinstance(value, list) else [value]


def _is_id(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_ID and value.isprintable() and value != HIDDEN
