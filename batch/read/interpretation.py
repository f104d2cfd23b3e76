"""How the user wants input files to be read: whose column is which of ours, how dates are written, what goes without.

Pure. All of it changes what the same bytes mean, so it belongs to what identifies an input.
"""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from batch.errors import UsageError
from batch.read.columns import KNOWN_COLUMNS, METADATA_PREFIX, RESERVED_COLUMNS, bare_name, canonical_name
from batch.read.date_forms import date_form
from batch.text import on_one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_NOTHING_SENT: Final = "Nothing was sent."


@dataclass(frozen=True, kw_only=True, slots=True)
class ColumnMap:
    """One of their columns, to be read as one of ours.

    Attributes:
        theirs: The header's name, without surrounding space.
        ours: A canonical name.
    """

    theirs: str
    ours: str

    @property
    def text(self) -> str:
        """As the user writes it."""
        return f"{self.theirs}={self.ours}"

    @property
    def key(self) -> str:
        """What is equal for two ways to write one header."""
        return self.theirs.lower()


@dataclass(frozen=True, kw_only=True, slots=True)
class Interpretation:
    """How to read input files.

    Attributes:
        maps: Columns to be read as ours.
        maps_required: Whether every map must match a column. Maps from the environment or config file need not.
        date_format: Name of the form that dates have, see `date_form`; empty for each kind of file's usual one.
        comment: For every row without a comment of its own; empty for none.
        identity_by: What names of identities are, where the user fixes that; empty where all is tried.
    """

    maps: tuple[ColumnMap, ...] = ()
    maps_required: bool = False
    date_format: str = ""
    comment: str = ""
    identity_by: str = ""

    def digest_part(self, maps_found: Sequence[Sequence[ColumnMap]]) -> str:
        """What this adds to an input's identity; empty where it adds nothing.

        Args:
            maps_found: Of each file the maps that found their column: the others change nothing.
        """
        pairs = [sorted([one.key, one.ours] for one in maps) for maps in maps_found]
        meant = {
            "map": pairs if any(pairs) else None,
            "date_format": date_form(self.date_format).layout if self.date_format else None,
            "comment": self.comment or None,
            "identity_by": self.identity_by or None,
        }
        given = {name: value for name, value in meant.items() if value}
        return json.dumps(given, sort_keys=True) if given else ""


PLAIN: Final = Interpretation()
"""Files are read as they are."""


def interpretation(
    *,
    maps: Sequence[str] = (),
    maps_required: bool = False,
    date_format: str = "",
    comment: str = "",
    identity_by: str = "",
) -> Interpretation:
    """Makes sense of what the user gave.

    Args:
        maps: Each `their_column=our_column`.
        maps_required: See `Interpretation`.
        date_format: Likewise.
        comment: Likewise.
        identity_by: Likewise.

    Raises:
        UsageError: A map or the date format is none, or the comment is blank.
    """
    if date_format:
        date_form(date_format)
    if comment and not comment.strip():
        raise UsageError("--comment is blank.", next_step=f"{_NOTHING_SENT} Give it a text, or leave it out.")
    return Interpretation(
        maps=column_maps(maps),
        maps_required=maps_required,
        date_format=date_format.strip(),
        comment=comment.strip(),
        identity_by=identity_by,
    )


def column_maps(texts: Iterable[str]) -> tuple[ColumnMap, ...]:
    """Reads maps.

    Raises:
        UsageError: One of them is none, or two are of one column.
    """
    maps: dict[str, ColumnMap] = {}
    for text in texts:
        one = _column_map(text)
        if one.key in maps:
            raise UsageError(
                f"--map: the column `{_shown(one.theirs)}` is mapped twice, to `{maps[one.key].ours}` and to "
                f"`{_shown(one.ours)}`.",
                next_step=f"{_NOTHING_SENT} Map every column once.",
            )
        maps[one.key] = one
    return tuple(maps.values())


def _column_map(text: str) -> ColumnMap:
    # Their name may hold a `=`, and so may a metadata key: the last one that leaves a name of ours is meant.
    cuts = [at for at, character in enumerate(text) if character == "="]
    for at in reversed(cuts):
        theirs, ours = bare_name(text[:at]), canonical_name(text[at + 1 :], 0)
        if theirs and _is_ours(ours):
            if theirs.lower() in RESERVED_COLUMNS:
                raise UsageError(
                    f"--map: `{theirs}` is a column that access-batch writes itself.",
                    next_step=f"{_NOTHING_SENT} Rename the column in the file, or leave the map out.",
                )
            return ColumnMap(theirs=theirs, ours=ours)
    shown = _shown(text)
    if not cuts or not bare_name(text[: cuts[-1]]):
        raise UsageError(
            f"--map: {shown!r} is no map.",
            next_step=f"{_NOTHING_SENT} Write it as their_column=our_column, such as `--map User=identity`.",
        )
    wanted = bare_name(text[cuts[-1] + 1 :])
    near = difflib.get_close_matches(wanted.lower(), KNOWN_COLUMNS, n=1)
    raise UsageError(
        f"--map: {shown!r} maps to {_shown(wanted)!r}, which is no column of access-batch"
        f"{f' (did you mean {near[0]!r}?)' if near else ''}.",
        next_step=f"{_NOTHING_SENT} There are {', '.join(KNOWN_COLUMNS)} and {METADATA_PREFIX}KEY.",
    )


def _is_ours(name: str) -> bool:
    return name in KNOWN_COLUMNS or (name.startswith(METADATA_PREFIX) and name != METADATA_PREFIX)


def _shown(text: str) -> str:
    return on_one_line(text, most=80)
