r"""The names of access items in one cell: several items, and an entitlement's source, attribute and value. Pure.

`|` separates the names of roles or access profiles: `Name|Name`. An entitlement is `Source|attribute|value` or
`Source|name`, and `||` separates entitlements; the vendor's editor extension writes `;` instead, see `with_bars`. A `|`
in a name is written `\|`. A backslash is an escape only before a `|`: `\\|` is a backslash at the end of a name, and
`DOMAIN\group` is itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from batch.api.dialects import ItemType

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PART_SEPARATOR: Final = "|"
"""Separates the names of roles and access profiles, and the parts of an entitlement."""

ENTITLEMENT_SEPARATOR: Final = "||"
"""Separates the entitlements of one cell."""

_FEWEST_PARTS: Final = 2
_MOST_PARTS: Final = 3
_PIPES: Final = re.compile(r"(\\*)(\|+)")
_LAST_BACKSLASHES: Final = re.compile(r"\\+\Z")


@dataclass(frozen=True, kw_only=True, slots=True)
class EntitlementName:
    """An entitlement as people name it.

    Attributes:
        source: The source's name.
        attribute: The attribute's name; empty if `value` is the entitlement's name.
        value: The attribute's value, or the entitlement's name.
    """

    source: str
    attribute: str
    value: str

    @property
    def text(self) -> str:
        """The name as written in a cell."""
        parts = (self.source, self.attribute, self.value) if self.attribute else (self.source, self.value)
        return _joined(parts, PART_SEPARATOR, escaped=False)


def split_items(item_type: str, cell: str) -> tuple[str, ...]:
    """The items of one cell, without surrounding space; an item between two adjacent separators is empty.

    Args:
        item_type: Value of an ItemType.
        cell: As written.

    Returns:
        Names of roles or access profiles; entitlements as written, for `entitlement_name`.
    """
    return _split(cell, ENTITLEMENT_SEPARATOR if item_type == ItemType.ENTITLEMENT else PART_SEPARATOR)


def entitlement_name(text: str) -> EntitlementName | None:
    """The parts of one entitlement from `split_items`; None unless it has two or three parts, all filled."""
    parts = _split(text, PART_SEPARATOR)
    if not _FEWEST_PARTS <= len(parts) <= _MOST_PARTS or not all(parts):
        return None
    return EntitlementName(source=parts[0], attribute=parts[1] if len(parts) == _MOST_PARTS else "", value=parts[-1])


def with_bars(cell: str) -> str | None:
    """A cell of entitlements in our form if the vendor's editor extension wrote it: `S|a|v;S|a|v`; None otherwise.

    Only what would be no entitlement is split at `;`, and only into entitlements with source, attribute and value.
    """
    items = split_items(ItemType.ENTITLEMENT, cell)
    pieces = [_semicolon_parts(item) for item in items]
    if pieces == [(item,) for item in items]:
        return None
    return join_items(ItemType.ENTITLEMENT, [part for piece in pieces for part in piece])


def _semicolon_parts(item: str) -> tuple[str, ...]:
    if entitlement_name(item) is None:
        parts = tuple(part.strip() for part in item.split(";"))
        names = [entitlement_name(part) for part in parts]
        if all(name and name.attribute for name in names):
            return parts
    return (item,)


def join_items(item_type: str, items: Iterable[str]) -> str:
    """The cell that `split_items` splits into `items`."""
    if item_type == ItemType.ENTITLEMENT:
        return _joined(tuple(items), ENTITLEMENT_SEPARATOR, escaped=True)
    return _joined(tuple(items), PART_SEPARATOR, escaped=False)


def _split(text: str, separator: str) -> tuple[str, ...]:
    """Split at unescaped separators.

    A split at `|` resolves the escapes; a split at `||` keeps them for the split at `|` that follows.
    """
    resolves = separator == PART_SEPARATOR
    pieces, piece, start = [], "", 0
    for match in _PIPES.finditer(text):
        slashes, pipes = match.group(1), match.group(2)
        piece += text[start : match.start()]
        start = match.end()
        if len(slashes) % 2:
            # The first `|` belongs to a name.
            piece += slashes[: len(slashes) // 2] + "|" if resolves else slashes + "|"
            slashes, pipes = "", pipes[1:]
        while len(pipes) >= len(separator):
            pieces.append(piece + slashes[: len(slashes) // 2])
            piece, slashes, pipes = "", "", pipes[len(separator) :]
        piece += slashes + pipes
    pieces.append(piece + text[start:])
    return tuple(piece.strip() for piece in pieces)


def _joined(parts: Sequence[str], separator: str, *, escaped: bool) -> str:
    """Join parts so that `_split` restores them.

    Args:
        parts: Without surrounding space.
        separator: One of the two above.
        escaped: Whether each `|` within the parts is escaped already.
    """
    if not escaped:
        parts = [_PIPES.sub(_escaped, part) for part in parts]
    ended = [_LAST_BACKSLASHES.sub(lambda match: match.group() * 2, part) for part in parts[:-1]]
    return separator.join([*ended, *parts[-1:]])


def _escaped(match: re.Match[str]) -> str:
    return match.group(1) * 2 + r"\|" * len(match.group(2))
