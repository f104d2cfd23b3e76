"""Names to ids against what the tenant's directory has said of them: which names are sought, and what rows become.

A row that gives an id keeps it, whatever it is named. A row whose name means nobody, or more than one, has a problem
in place of the id, which a rule then rejects.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from batch.api.dialects import ItemType
from batch.errors import BrokenPromiseError
from batch.model import IdentityBy
from batch.names.meaning import NameMeaning, NameOutcome, is_id
from batch.read.item_names import entitlement_name, split_items
from batch.validate.prepare import IDENTITY_PROBLEM, ITEM_PROBLEM, ITEM_SEPARATOR, blank_to_null

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Name = tuple[str, str]
"""What is named, `identity` or the value of an ItemType, and its name as written without surrounding space."""

IDENTITY: Final = "identity"

_ITEM_TYPES: Final = frozenset(item_type.value for item_type in ItemType)

_SHOWN_PROBLEMS: Final = 3
"""Problems of one cell that are told."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NameCounts:
    """How the names of an input were resolved.

    Attributes:
        calls: Calls to the tenant that it took.
        found: Distinct names that mean exactly one.
        unknown: Those that mean nobody and nothing.
        ambiguous: Those that may mean several.
        remembered: Of all these, those that nobody had to be asked about.
    """

    calls: int = 0
    found: int = 0
    unknown: int = 0
    ambiguous: int = 0
    remembered: int = 0

    @property
    def looked_up(self) -> int:
        """All distinct names."""
        return self.found + self.unknown + self.ambiguous


NO_NAMES: Final = NameCounts()
"""Of an input that gives ids only, or whose names were not looked up."""


def count_names(verdicts: Mapping[Name, NameMeaning], calls: int, remembered: int = 0) -> NameCounts:
    """How many names came to what, in how many calls, and how many of them were known without."""
    outcomes = [verdict.outcome for verdict in verdicts.values()]
    return NameCounts(
        calls=calls,
        found=outcomes.count(NameOutcome.FOUND),
        unknown=outcomes.count(NameOutcome.UNKNOWN),
        ambiguous=outcomes.count(NameOutcome.AMBIGUOUS),
        remembered=remembered,
    )


def names_to_look_up(rows: pl.DataFrame, by: IdentityBy) -> tuple[Name, ...]:
    """The distinct names that have to be looked up, in the order of their kind and text.

    Args:
        rows: As read.
        by: What the names of identities are. Under `auto`, what has the shape of an id is one; under `id` all are.
    """
    people = {(IDENTITY, name) for name in _identities(rows) if not _means_itself(name, by)}
    items = {
        (item_type, piece)
        for item_type, cell in _cells(rows)
        if item_type in _ITEM_TYPES
        for piece in split_items(item_type, cell)
        if piece and not is_id(piece) and not _malformed(item_type, piece)
    }
    return tuple(sorted(people | items))


def resolve(rows: pl.DataFrame, verdicts: Mapping[Name, NameMeaning] | None, by: IdentityBy) -> pl.DataFrame:
    """Puts ids in the place of names.

    Args:
        rows: As read.
        verdicts: The meaning of each name from `names_to_look_up`; None if no tenant was asked: a stand-in id then
            replaces each name, and the rows must not be sent.
        by: What the names of identities are.

    Returns:
        The rows with `identity_id` and `item_id` filled where they were blank and the row has a name, and with what
        is wrong with the name in columns IDENTITY_PROBLEM and ITEM_PROBLEM; unchanged where no row has a name.

    Raises:
        BrokenPromiseError: A name has no verdict.
    """
    if IDENTITY in rows.columns:
        people = [(name, *_of_identity(name, verdicts, by)) for name in _identities(rows)]
        rows = _filled(rows, people, key=[IDENTITY], target="identity_id", problem=IDENTITY_PROBLEM)
    if "item" in rows.columns:
        items = [(*cell, *_of_cell(*cell, verdicts)) for cell in _cells(rows)]
        rows = _filled(rows, items, key=["item_type", "item"], target="item_id", problem=ITEM_PROBLEM)
    return rows


def _identities(rows: pl.DataFrame) -> Iterator[str]:
    """Distinct names of identities in rows without an id."""
    for (name,) in _named(rows, "identity_id", IDENTITY).unique().rows():
        yield name


def _cells(rows: pl.DataFrame) -> Iterator[tuple[str, str]]:
    """Distinct item types and cells of item names in rows without an id."""
    yield from _named(rows, "item_id", "item_type", "item").unique().rows()


def _named(rows: pl.DataFrame, id_column: str, *columns: str) -> pl.DataFrame:
    """The cells in canonical form of rows that have a name in the last of `columns`, no id, and no other problem."""
    if columns[-1] not in rows.columns:
        return pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
    named = pl.col(columns[-1]).is_not_null()
    wanted = _blank(rows, id_column) & _blank(rows, "_row_problem")
    return rows.select(_key(rows, column) for column in columns).filter(named & wanted)


def _key(rows: pl.DataFrame, column: str) -> pl.Expr:
    """A column as verdicts are told apart by it."""
    if column == "item_type":
        cells = blank_to_null(pl.col(column)).str.to_uppercase() if column in rows.columns else pl.lit(None, pl.String)
        return cells.fill_null("").alias(column)
    return blank_to_null(pl.col(column)).alias(column)


def _blank(rows: pl.DataFrame, column: str) -> pl.Series:
    if column not in rows.columns:
        return pl.repeat(value=True, n=rows.height, eager=True)
    return rows.select(blank_to_null(pl.col(column)).is_null()).to_series()


def _filled(
    rows: pl.DataFrame, answers: Sequence[tuple[str, ...]], *, key: list[str], target: str, problem: str
) -> pl.DataFrame:
    """The rows with `target` and `problem` filled from `answers`, which hold the key, an id and a problem."""
    table = pl.DataFrame(answers, schema=dict.fromkeys([*key, "_id", "_problem"], pl.String), orient="row")
    joined = rows.select(_key(rows, column) for column in key).join(
        table, on=key, how="left", maintain_order="left", nulls_equal=False
    )
    blank = _blank(rows, target)
    given = rows.get_column(target) if target in rows.columns else pl.Series(target, [None] * rows.height, pl.String)
    named = rows.select(_key(rows, key[-1]).is_not_null()).to_series()
    fill = blank & named
    return rows.with_columns(
        joined.select(
            pl.when(fill).then(blank_to_null(pl.col("_id"))).otherwise(given).alias(target),
            pl.when(fill).then(blank_to_null(pl.col("_problem"))).alias(problem),
        )
    )


def _means_itself(name: str, by: IdentityBy) -> bool:
    return by is IdentityBy.ID or (by is IdentityBy.AUTO and is_id(name))


def _of_identity(name: str, verdicts: Mapping[Name, NameMeaning] | None, by: IdentityBy) -> tuple[str, str]:
    """The id that a name stands for, or what is wrong with it."""
    if _means_itself(name, by):
        return name, ""
    return _id_or_problem((IDENTITY, name), verdicts)


def _of_cell(item_type: str, cell: str, verdicts: Mapping[Name, NameMeaning] | None) -> tuple[str, str]:
    """The ids that a cell of item names stands for, joined; or what is wrong with it."""
    if item_type not in _ITEM_TYPES:
        # The row is rejected for its item type, and nothing is to be said of an id that is missing besides.
        return _stand_in((item_type, cell)), ""
    pieces = split_items(item_type, cell)
    found = [_of_piece(item_type, piece, verdicts) for piece in pieces]
    problems = list(dict.fromkeys(problem for _, problem in found if problem))
    more = [f"and {len(problems) - _SHOWN_PROBLEMS} more"] if len(problems) > _SHOWN_PROBLEMS else []
    if problems:
        return "", "; ".join([*problems[:_SHOWN_PROBLEMS], *more])
    return ITEM_SEPARATOR.join(id_ for id_, _ in found), ""


def _of_piece(item_type: str, piece: str, verdicts: Mapping[Name, NameMeaning] | None) -> tuple[str, str]:
    if not piece:
        return "", "one of the items has no name"
    if is_id(piece):
        return piece, ""
    if _malformed(item_type, piece):
        return "", f"'{piece[:80]}' names no entitlement: write Source|attribute|value or Source|name"
    return _id_or_problem((item_type, piece), verdicts)


def _malformed(item_type: str, piece: str) -> bool:
    return item_type == ItemType.ENTITLEMENT and entitlement_name(piece) is None


def _id_or_problem(name: Name, verdicts: Mapping[Name, NameMeaning] | None) -> tuple[str, str]:
    if verdicts is None:
        return _stand_in(name), ""
    if name not in verdicts:
        raise BrokenPromiseError(f"A name was not looked up: {name[0]} {name[1]!r}.", next_step="Nothing was sent.")
    return verdicts[name].id, verdicts[name].problem


def _stand_in(name: Name) -> str:
    """In the place of an id where none was looked up: the same for the same name, so that repeats are seen."""
    return hashlib.sha256("\n".join(name).casefold().encode()).hexdigest()[:32]
