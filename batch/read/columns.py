"""Header names → canonical column names. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

KNOWN_COLUMNS = (
    "operation",
    "identity_id",
    "identity",
    "item_type",
    "item_id",
    "item",
    "comment",
    "start_date",
    "remove_date",
)
METADATA_PREFIX = "metadata."
RESERVED_COLUMNS = frozenset(
    {
        "_file", "_line", "_rule", "_message", "_raw", "_identity_id", "_item_id", "_class", "_reason", "_request",
        "_state", "_run", "_dates", "_row_problem", "_identity_problem", "_item_problem",
        "_tenant_state", "_tenant_said",
    }
)  # fmt: skip
_AROUND_NAMES = re.compile(r'^[\s"\ufeff]+|[\s"\ufeff]+\Z')


def canonical_name(header: str, position: int) -> str:
    """The name under which a column is known.

    Args:
        header: As written.
        position: 1-based, names a column without a name.
    """
    name = bare_name(header)
    lowered = name.lower()
    if lowered in KNOWN_COLUMNS or lowered in RESERVED_COLUMNS:
        return lowered
    if lowered.startswith(METADATA_PREFIX):
        return METADATA_PREFIX + bare_name(name[len(METADATA_PREFIX) :])
    return name or f"column_{position}"


def bare_name(header: str) -> str:
    """A header's name without what spreadsheets and people put around it: space, quotes, byte-order marks."""
    return _AROUND_NAMES.sub("", header)


def count_known(headers: Sequence[str], others: Collection[str] = ()) -> int:
    """How many of the names are ours, or among the `others` (in small letters): the measure of a delimiter."""
    names = {canonical_name(header, position) for position, header in enumerate(headers, 1)}
    return sum(name in KNOWN_COLUMNS or name in RESERVED_COLUMNS or name.lower() in others for name in names)
