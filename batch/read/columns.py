"""Header names → canonical column names, and the words of the columns that hold one of a few. Pure."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import polars as pl

from batch.api.dialects import ItemType, Operation
from batch.api.end_dates import EXTEND

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    "account",
    "source",
    "ticket",
)
FEWEST_COLUMNS = 3
"""An input needs the identity, the item's type, and the item."""

METADATA_PREFIX = "metadata."
RESERVED_COLUMNS = frozenset(
    {
        "_file", "_line", "_rule", "_message", "_raw", "_identity_id", "_item_id", "_class", "_reason", "_request",
        "_state", "_run", "_dates", "_row_problem", "_identity_problem", "_item_problem",
        "_identity_conflict", "_item_conflict", "_ticket_problem",
        "_tenant_state", "_tenant_said", "_identity_name", "_item_name", "_input", "_owner",
    }
)  # fmt: skip
SAYS_NOTHING = (
    r"(?i)^\s*(?:[\p{P}\p{Sm}\p{Sk}\s]+|null|nil|none|nan|n/?a|n\.\s?a\.?"
    r"|#(?:n/a|null!|ref!|value!|name\?|div/0!|num!))\s*$"
)
"""Comments in place of a comment: what databases and spreadsheets write for none, and punctuation alone."""

_AROUND_NAMES = re.compile(r'^[\s"\ufeff]+|[\s"\ufeff]+\Z')


def canonical_name(header: str, position: int) -> str:
    """The canonical name of a column.

    Args:
        header: As written.
        position: From 1; names a column whose header is blank.
    """
    name = bare_name(header)
    lowered = name.lower()
    if lowered in KNOWN_COLUMNS or lowered in RESERVED_COLUMNS:
        return lowered
    if ours := _BY_LETTERS.get(letters(name)):
        return ours
    if lowered.startswith(METADATA_PREFIX):
        return METADATA_PREFIX + bare_name(name[len(METADATA_PREFIX) :])
    return name or f"column_{position}"


def letters(name: str) -> str:
    """A name without case and blanks: `removeDate` and `Remove Date:` are `remove_date`; `Item #` is something else."""
    return re.sub(r"[\s_.:*/-]", "", name.lower())


_BY_LETTERS: Final = {
    **{letters(name): name for name in KNOWN_COLUMNS},
    "accountname": "account",
    "sourcename": "source",
    "sourceid": "source",
}


def as_word(cell: pl.Expr, words: Mapping[str, str]) -> pl.Expr:
    """A cell that holds one of a few words, in its usual spelling; any other in upper case, null if blank.

    Args:
        cell: As written.
        words: OPERATIONS or ITEM_TYPES.
    """
    upper = cell.str.strip_chars().str.to_uppercase()
    bare = upper.str.replace_all(r"[\s_\-\p{Cf}]+", "")
    return pl.coalesce(
        bare.replace_strict(dict(words), default=None, return_dtype=pl.String), pl.when(upper != "").then(upper)
    )


OPERATIONS: Final = MappingProxyType(
    {word: one for one in (*(operation.value for operation in Operation), EXTEND) for word in (one, f"{one}ACCESS")}
)
"""Operations by their letters; the API's own words have `_ACCESS` at the end. EXTEND is a grant for the API."""

ITEM_TYPES: Final = MappingProxyType({one.value.replace("_", ""): one.value for one in ItemType})
"""Types of items by their letters."""


def bare_name(header: str) -> str:
    """The header without surrounding space, quotes and byte-order marks."""
    return _AROUND_NAMES.sub("", header)


def has_effect(name: str) -> bool:
    """Whether access-batch acts on a column of this canonical name."""
    return name in KNOWN_COLUMNS or (name.startswith(METADATA_PREFIX) and name != METADATA_PREFIX)
