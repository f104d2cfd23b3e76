"""A file's header: its columns, and what is wrong with them. Pure."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batch.errors import InputFileError
from batch.read.columns import KNOWN_COLUMNS, METADATA_PREFIX, RESERVED_COLUMNS, bare_name, canonical_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batch.read.interpretation import ColumnMap, Interpretation

_REQUIRED = (("identity_id", "identity"), ("item_type",), ("item_id", "item"))


_OF_REJECTED_FILE = frozenset({"_line", "_rule", "_message"})


_APOSTROPHE_BEFORE_FORMULA = re.compile(r"^'(?='*[=+\-@\t\r])")


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A column of the input.

    Attributes:
        name: The canonical name, as in `Table.rows`.
        header: The name as written in the file where the column first appears.
    """

    name: str
    header: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """A file's header.

    Attributes:
        columns: Every field of the header in the file's order, also those to drop.
        dropped: Names of the columns that our own result files add, when this file is one.
        notices: Sentences for the user.
        maps: The user's maps that found their column here.
    """

    columns: tuple[Column, ...]
    dropped: frozenset[str]
    notices: tuple[str, ...]
    maps: tuple[ColumnMap, ...]

    @property
    def is_own_file(self) -> bool:
        """Whether this is a `rejected.csv` of ours coming back."""
        return bool(self.dropped)

    @property
    def kept(self) -> tuple[Column, ...]:
        """The columns that are the user's."""
        return tuple(column for column in self.columns if column.name not in self.dropped)


def read_header(headers: Sequence[str], file: str, wanted: Interpretation) -> Header:
    """Give every column its canonical name. Whether the columns suffice is for `check_columns` to say.

    Args:
        headers: The header's cells, as written.
        file: How messages call the file.
        wanted: Which of the columns are to be read as ours.

    Raises:
        InputFileError: Two columns have one name, a name is reserved, or a map can't be followed.
    """
    names = [canonical_name(header, position) for position, header in enumerate(headers, 1)]
    is_own_file = _OF_REJECTED_FILE.issubset(names)
    if is_own_file:
        headers = [_APOSTROPHE_BEFORE_FORMULA.sub("", header) for header in headers]
        names = [canonical_name(header, position) for position, header in enumerate(headers, 1)]
    reserved = [name for name in names if name in RESERVED_COLUMNS]
    names, maps = _mapped(names, headers, file, wanted)
    columns = tuple(Column(name=name, header=header) for name, header in zip(names, headers, strict=True))
    _check_unique(columns, file, maps)
    _check_metadata_keys(columns, file)
    if reserved and not is_own_file:
        raise InputFileError(
            f"{file} has columns named as in our own result files: {_listed(reserved)}.",
            next_step="Remove or rename them. Of the result files only `rejected.csv` can be submitted again.",
        )
    came_back = (
        f"{file} is a result file of access-batch: its columns {_listed(reserved)} were left out, "
        "and apostrophes that kept cells from being formulas were removed."
    )
    notices = (came_back,) if is_own_file else ()
    return Header(columns=columns, dropped=frozenset(reserved), notices=notices, maps=maps)


def check_columns(found: Sequence[str], file: str) -> tuple[str, ...]:
    """Whether a file has the columns that every row needs; returns what the user should know of the others.

    Args:
        found: Canonical names of the user's columns.
        file: How messages call the file.

    Raises:
        InputFileError: A required column is missing, or a name is nearly ours.
    """
    _check_required(found, file)
    check_misspelt(found, file)
    return _nearly_known(found, file)


def _mapped(
    names: Sequence[str], headers: Sequence[str], file: str, wanted: Interpretation
) -> tuple[list[str], tuple[ColumnMap, ...]]:
    """The names with the user's maps followed, and the maps that found their column."""
    mapped, followed = list(names), []
    for one in wanted.maps:
        places = [
            place
            for place, (name, header) in enumerate(zip(names, headers, strict=True))
            if one.key == (bare_name(header) or name).lower()
        ]
        if not places and wanted.maps_required:
            shown = _listed([name for name in names if name not in RESERVED_COLUMNS])
            raise InputFileError(
                f"{file} has no column `{one.theirs}` to read as `{one.ours}`. Its columns are {shown}.",
                next_step=f"Mend the map or leave it out: `--map {one.text}`.",
            )
        if len(places) > 1:
            raise InputFileError(
                f"{file} has {len(places)} columns `{one.theirs}`, so `--map {one.text}` is not clear.",
                next_step="Remove or rename all of them but one.",
            )
        if places:
            mapped[places[0]] = one.ours
            followed.append(one)
    return mapped, tuple(followed)


def _check_unique(columns: tuple[Column, ...], file: str, maps: Sequence[ColumnMap]) -> None:
    mapped = {one.ours: one.text for one in maps}
    seen: dict[str, tuple[int, Column]] = {}
    for position, column in enumerate(columns, 1):
        if column.name in seen:
            other_position, other = seen[column.name]
            raise InputFileError(
                f"{file} has two columns for `{column.name}`: column {other_position} (`{other.header}`) and "
                f"column {position} (`{column.header}`).",
                next_step=f"Leave out `--map {mapped[column.name]}`, or remove or rename one of them."
                if column.name in mapped
                else "Remove or rename one of them.",
            )
        seen[column.name] = (position, column)


def _check_metadata_keys(columns: tuple[Column, ...], file: str) -> None:
    if any(column.name == METADATA_PREFIX for column in columns):
        raise InputFileError(
            f"{file} has a column `{METADATA_PREFIX}` without a key.",
            next_step=f"Name the column `{METADATA_PREFIX}<key>`, for example `{METADATA_PREFIX}ticket`.",
        )


def _check_required(found: Sequence[str], file: str) -> None:
    missing = [choices for choices in _REQUIRED if not set(choices) & set(found)]
    if not missing:
        return
    wanted = ", ".join(" or ".join(f"`{name}`" for name in choices) for choices in missing)
    unknown = [name for name in found if not _is_ours(name)]
    hints = []
    for choices in missing:
        near = [(name, match) for name in choices for match in _nearest(name, unknown, cutoff=0.6)]
        hints += [f"`{match}` looks like `{name}`: rename it." for name, match in near[:1]]
    raise InputFileError(
        f"{file} has no column {wanted}. Its columns are {_listed(found)}.",
        next_step=" ".join(hints) or "Add what is missing; the first line must hold the column names.",
    )


def check_misspelt(found: Sequence[str], file: str) -> None:
    """Whether no column's name is ours but for how it is written.

    Args:
        found: Canonical names of the user's columns.
        file: How messages call the file.

    Raises:
        InputFileError: One is.
    """
    # `removeDate` carried along as an unknown column would mean access without an end: too dangerous for a notice.
    absent = {_squashed(name): name for name in KNOWN_COLUMNS if name not in found}
    for name in found:
        meant = None if _is_ours(name) else absent.get(_squashed(name))
        if meant:
            raise InputFileError(
                f"{file} has a column `{name}`, which would have no effect; it looks like `{meant}`.",
                next_step=f"Rename it to `{meant}`, or to something quite different if it is not meant.",
            )


def _nearly_known(found: Sequence[str], file: str) -> tuple[str, ...]:
    absent = [name for name in KNOWN_COLUMNS if name not in found]
    pairs = [(name, match) for name in found if not _is_ours(name) for match in _nearest(name, absent, cutoff=0.8)]
    return tuple(
        f"{file}: column `{name}` is not one that access-batch acts on (did you mean `{match}`?) and is only carried "
        "through to the result files."
        for name, match in pairs
    )


def _nearest(name: str, candidates: Sequence[str], *, cutoff: float) -> list[str]:
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    return [by_lower[match] for match in difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=cutoff)]


def _is_ours(name: str) -> bool:
    return name in KNOWN_COLUMNS or name.startswith(METADATA_PREFIX)


def _squashed(name: str) -> str:
    return re.sub(r"[\W_]", "", name.lower())


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:30])
    return shown + (f" and {len(names) - 30} more" if len(names) > 30 else "")  # noqa: PLR2004 - the same 30
