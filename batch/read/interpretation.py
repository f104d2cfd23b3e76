"""The user's reading options: column maps, the date format, the default comment, and the kind of identity names.

Pure. These options change the meaning of an input's bytes, so they are part of the input's digest.
"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from batch.errors import UsageError
from batch.read.columns import (
    KNOWN_COLUMNS,
    METADATA_PREFIX,
    RESERVED_COLUMNS,
    bare_name,
    canonical_name,
    has_effect,
)
from batch.read.comment import check_pattern, check_template, has_ticket
from batch.read.date_forms import ISO, date_form, in_zone
from batch.read.limits import LIMITS, Limits
from batch.text import on_one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_NOTHING_SENT: Final = "Nothing was sent."
_MOST_SHOWN: Final = 80
_CONDITION: Final = re.compile(r"\s*([^=~]*?[^=~!\s])\s*(!=|=|~)(.*)", re.DOTALL)


@dataclass(frozen=True, kw_only=True, slots=True)
class ColumnMap:
    """Reads one of the user's columns as one of ours.

    Attributes:
        theirs: The user's header, without surrounding space.
        ours: A canonical name.
    """

    theirs: str
    ours: str

    @property
    def text(self) -> str:
        """The map as the user writes it."""
        return f"{self.theirs}={self.ours}"

    @property
    def key(self) -> str:
        """Equal for two spellings of one header."""
        return self.theirs.lower()


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """What a row must have. Cells are compared as written, without surrounding blanks; an empty cell is an empty text.

    Attributes:
        column: The user's header, or the name that it is read as; case does not matter.
        operator: `=` (is), `!=` (is not) or `~` (contains).
        value: The text to compare with; case matters.
    """

    column: str
    operator: str
    value: str

    @property
    def text(self) -> str:
        """The condition as the user writes it."""
        return f"{self.column}{self.operator}{self.value}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Interpretation:
    """How to read input files.

    Attributes:
        maps: Columns to read as ours.
        maps_required: Whether every map must match a column. Maps from the environment or config file need not.
        date_format: The dates' form, see `date_form`; empty for the usual form of each kind of file.
        time_zone: The name of the zone of dates and times that name none. Empty: dates are in UTC, times are rejected.
        comment: For every row without a comment of its own, or a template for all rows; empty for none.
        ticket_pattern: That each row's ticket must match; empty for any, or none.
        identity_by: The kind of the identity names; empty if every kind is tried.
        sheet: The name of the sheet to read from each workbook; empty for the only one.
        where: What a row must have to be taken.
        limits: How large the files may be; no part of the digest.
    """

    maps: tuple[ColumnMap, ...] = ()
    maps_required: bool = False
    date_format: str = ""
    time_zone: str = ""
    comment: str = ""
    ticket_pattern: str = ""
    identity_by: str = ""
    sheet: str = ""
    where: tuple[Condition, ...] = ()
    limits: Limits = LIMITS

    @property
    def wants_tickets(self) -> bool:
        """Whether tickets are checked or sent."""
        return bool(self.ticket_pattern) or has_ticket(self.comment)

    def dates(self, usual: str) -> str:
        """The name of the dates' form and zone, for `date_form`; `usual` is the form if none is given."""
        return in_zone(self.date_format or usual, self.time_zone)

    def digest_part(self, applied: Sequence[Sequence[ColumnMap]]) -> str:
        """What the options add to an input's digest; empty if nothing.

        Args:
            applied: For each file, the maps that matched a column: the others change nothing.
        """
        pairs = [sorted([column_map.key, column_map.ours] for column_map in maps) for maps in applied]
        parts = {
            "map": pairs if any(pairs) else None,
            "date_format": date_form(self.dates(ISO)).layout if self.date_format else None,
            "time_zone": self.time_zone or None,
            "comment": self.comment or None,
            "identity_by": self.identity_by or None,
            "where": sorted(one.text for one in self.where),
        }
        given = {name: value for name, value in parts.items() if value}
        return json.dumps(given, sort_keys=True) if given else ""


AS_WRITTEN: Final = Interpretation()
"""Reads files as they are."""


def make_interpretation(
    *,
    maps: Sequence[str] = (),
    maps_required: bool = False,
    date_format: str = "",
    time_zone: str = "",
    comment: str = "",
    ticket_pattern: str = "",
    identity_by: str = "",
    sheet: str = "",
    where: Sequence[str] = (),
    limits: Limits = LIMITS,
) -> Interpretation:
    """Parse the reading options.

    Args:
        maps: Each `their_column=our_column`.
        maps_required: As in `Interpretation`, like the following.
        date_format: As given by the user.
        time_zone: As given by the user.
        comment: As given by the user.
        ticket_pattern: As given by the user.
        identity_by: Value of an IdentityBy, or empty.
        sheet: As given by the user.
        where: Each `column=value`, `column!=value` or `column~part`.
        limits: How large the files may be.

    Raises:
        UsageError: A map, a condition, the date format, the comment or the pattern of tickets is malformed, or the time
            zone is unknown.
    """
    if time_zone:
        _check_zone(time_zone)
    if date_format:
        date_form(in_zone(date_format, time_zone))
    if comment and not comment.strip():
        raise UsageError("--comment is blank.", next_step=f"{_NOTHING_SENT} Give it a text, or leave it out.")
    check_template(comment)
    check_pattern(ticket_pattern)
    return Interpretation(
        maps=_column_maps(maps),
        maps_required=maps_required,
        date_format=date_format.strip(),
        time_zone=time_zone,
        comment=comment.strip(),
        ticket_pattern=ticket_pattern,
        identity_by=identity_by,
        sheet=sheet,
        where=tuple(map(_condition, where)),
        limits=limits,
    )


def _check_zone(name: str) -> None:
    try:
        pl.select(pl.datetime(2027, 1, 31).dt.replace_time_zone(name))
    except pl.exceptions.PolarsError:
        raise UsageError(
            f"--time-zone: {on_one_line(name, most=_MOST_SHOWN)!r} is not a time zone.",
            next_step=f"{_NOTHING_SENT} Give the name of one, such as Europe/Berlin, America/New_York or UTC.",
        ) from None


def _condition(text: str) -> Condition:
    found = _CONDITION.fullmatch(text)
    if not found:
        raise UsageError(
            f"--where: {on_one_line(text, most=_MOST_SHOWN)!r} is not a condition.",
            next_step=f"{_NOTHING_SENT} Write it as --where 'Department=Finance'; != stands for “is not”, and ~ for "
            "“contains”.",
        )
    return Condition(column=bare_name(found[1]), operator=found[2], value=found[3].strip())


def _column_maps(texts: Iterable[str]) -> tuple[ColumnMap, ...]:
    maps: dict[str, ColumnMap] = {}
    for text in texts:
        column_map = _column_map(text)
        if column_map.key in maps:
            raise UsageError(
                f"--map: the column `{_shown(column_map.theirs)}` is mapped twice, to `{maps[column_map.key].ours}` "
                f"and to `{_shown(column_map.ours)}`.",
                next_step=f"{_NOTHING_SENT} Map every column once.",
            )
        maps[column_map.key] = column_map
    return tuple(maps.values())


def _column_map(text: str) -> ColumnMap:
    # The user's header may contain `=`, and so may a metadata key: split at the last `=` before one of our names.
    splits = [at for at, character in enumerate(text) if character == "="]
    for at in reversed(splits):
        theirs, ours = bare_name(text[:at]), canonical_name(text[at + 1 :], 0)
        if theirs and has_effect(ours):
            if theirs.lower() in RESERVED_COLUMNS:
                raise UsageError(
                    f"--map: access-batch itself writes the column `{theirs}`.",
                    next_step=f"{_NOTHING_SENT} Rename the column in the file, or leave the map out.",
                )
            return ColumnMap(theirs=theirs, ours=ours)
    shown = _shown(text)
    if not splits or not bare_name(text[: splits[-1]]):
        raise UsageError(
            f"--map: {shown!r} is not a mapping.",
            next_step=f"{_NOTHING_SENT} Write it as their_column=our_column, such as `--map User=identity`.",
        )
    ours = bare_name(text[splits[-1] + 1 :])
    near = difflib.get_close_matches(ours.lower(), KNOWN_COLUMNS, n=1)
    raise UsageError(
        f"--map: {shown!r} maps to {_shown(ours)!r}, which is not a column of access-batch"
        f"{f' (did you mean {near[0]!r}?)' if near else ''}.",
        next_step=f"{_NOTHING_SENT} The columns are {', '.join(KNOWN_COLUMNS)} and {METADATA_PREFIX}KEY.",
    )


def _shown(text: str) -> str:
    return on_one_line(text, most=_MOST_SHOWN)
