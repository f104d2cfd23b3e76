"""Names to ids, given the tenant directory's answers: which names to look up, and what the rows become.

A row that gives an id keeps it, whatever its name. A row whose name means nobody, or several, gets a problem in place
of the id, and a rule then rejects the row.
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
from batch.validate.prepare import IDENTITY_PROBLEM, ITEM_PROBLEM, ITEM_SEPARATOR, MOST_SHOWN, blank_to_null

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Name = tuple[str, str]
"""A kind, `identity` or the value of an ItemType, and a name as written, without surrounding space."""

IDENTITY: Final = "identity"

_ITEM_TYPES: Final = frozenset(item_type.value for item_type in ItemType)

_PROBLEMS_SHOWN: Final = 3
"""Problems of one cell that a message shows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NameCounts:
    """How the names of an input were resolved.

    Attributes:
        calls: Calls to the tenant.
        found: Distinct names that mean exactly one identity or item.
        unknown: Distinct names that mean none.
        ambiguous: Distinct names that may mean several.
        remembered: How many of all these came from the ledger instead of the tenant.
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
"""For an input with ids only, or whose names were not looked up."""


def count_names(meanings: Mapping[Name, NameMeaning], calls: int, remembered: int = 0) -> NameCounts:
    """Count names by outcome; `calls` and `remembered` as in NameCounts."""
    outcomes = [meaning.outcome for meaning in meanings.values()]
    return NameCounts(
        calls=calls,
        found=outcomes.count(NameOutcome.FOUND),
        unknown=outcomes.count(NameOutcome.UNKNOWN),
        ambiguous=outcomes.count(NameOutcome.AMBIGUOUS),
        remembered=remembered,
    )


def names_to_look_up(rows: pl.DataFrame, by: IdentityBy) -> tuple[Name, ...]:
    """The distinct names to look up, sorted by kind and text.

    Args:
        rows: As read.
        by: The kind of the identity names. Under `auto`, text with the shape of an id is an id; under `id` all is.
    """
    people = {(IDENTITY, name) for name in _identity_names(rows) if not _is_identity_id(name, by)}
    items = {
        (item_type, name)
        for item_type, cell in _item_cells(rows)
        if item_type in _ITEM_TYPES
        for name in split_items(item_type, cell)
        if name and not is_id(name) and not _is_malformed(item_type, name)
    }
    return tuple(sorted(people | items))


def resolve(rows: pl.DataFrame, meanings: Mapping[Name, NameMeaning] | None, by: IdentityBy) -> pl.DataFrame:
    """Replace names by ids.

    Args:
        rows: As read.
        meanings: The meaning of each name from `names_to_look_up`; None if no tenant was asked: a stand-in id then
            replaces each name, and the rows must not be sent.
        by: The kind of the identity names.

    Returns:
        The rows with blank `identity_id` and `item_id` filled from the names, and the names' problems in columns
        IDENTITY_PROBLEM and ITEM_PROBLEM; unchanged if no row has a name.

    Raises:
        BrokenPromiseError: The meaning of a name is missing.
    """
    if IDENTITY in rows.columns:
        people = [(name, *_resolve_identity(name, meanings, by)) for name in _identity_names(rows)]
        rows = _filled(rows, people, key=[IDENTITY], target="identity_id", problem=IDENTITY_PROBLEM)
    if "item" in rows.columns:
        items = [(*cell, *_resolve_items(*cell, meanings)) for cell in _item_cells(rows)]
        rows = _filled(rows, items, key=["item_type", "item"], target="item_id", problem=ITEM_PROBLEM)
    return rows


def _identity_names(rows: pl.DataFrame) -> list[str]:
    """Distinct identity names in rows without an identity id."""
    return _named_cells(rows, "identity_id", IDENTITY).get_column(IDENTITY).to_list()


def _item_cells(rows: pl.DataFrame) -> list[tuple[str, str]]:
    """Distinct pairs of item type and cell of item names, in rows without an item id."""
    return _named_cells(rows, "item_id", "item_type", "item").rows()


def _named_cells(rows: pl.DataFrame, id_column: str, *columns: str) -> pl.DataFrame:
    """The distinct canonical cells of rows that have a name in the last of `columns`, no id, and no row problem."""
    if columns[-1] not in rows.columns:
        return pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
    has_name = pl.col(columns[-1]).is_not_null()
    needs_id = _is_blank(rows, id_column) & _is_blank(rows, "_row_problem")
    return rows.select(_key(rows, column) for column in columns).filter(has_name & needs_id).unique()


def _key(rows: pl.DataFrame, column: str) -> pl.Expr:
    """A column in the canonical form by which names are looked up."""
    if column == "item_type":
        cells = blank_to_null(pl.col(column)).str.to_uppercase() if column in rows.columns else pl.lit(None, pl.String)
        return cells.fill_null("").alias(column)
    return blank_to_null(pl.col(column)).alias(column)


def _is_blank(rows: pl.DataFrame, column: str) -> pl.Series:
    if column not in rows.columns:
        return pl.repeat(value=True, n=rows.height, eager=True)
    return rows.select(blank_to_null(pl.col(column)).is_null()).to_series()


def _filled(
    rows: pl.DataFrame, resolved: Sequence[tuple[str, ...]], *, key: list[str], target: str, problem: str
) -> pl.DataFrame:
    """The rows with `target` and `problem` filled from `resolved`: tuples of the key, an id and a problem."""
    table = pl.DataFrame(resolved, schema=dict.fromkeys([*key, "_id", "_problem"], pl.String), orient="row")
    joined = rows.select(_key(rows, column) for column in key).join(
        table, on=key, how="left", maintain_order="left", nulls_equal=False
    )
    given = rows.get_column(target) if target in rows.columns else pl.Series(target, [None] * rows.height, pl.String)
    fill = _is_blank(rows, target) & ~_is_blank(rows, key[-1])
    return rows.with_columns(
        joined.select(
            pl.when(fill).then(blank_to_null(pl.col("_id"))).otherwise(given).alias(target),
            pl.when(fill).then(blank_to_null(pl.col("_problem"))).alias(problem),
        )
    )


def _is_identity_id(name: str, by: IdentityBy) -> bool:
    return by is IdentityBy.ID or (by is IdentityBy.AUTO and is_id(name))


def _resolve_identity(name: str, meanings: Mapping[Name, NameMeaning] | None, by: IdentityBy) -> tuple[str, str]:
    """The id and the problem of an identity name; one of them is empty."""
    if _is_identity_id(name, by):
        return name, ""
    return _id_and_problem((IDENTITY, name), meanings)


def _resolve_items(item_type: str, cell: str, meanings: Mapping[Name, NameMeaning] | None) -> tuple[str, str]:
    """The joined ids and the problems of a cell of item names; one of them is empty."""
    if item_type not in _ITEM_TYPES:
        # The row is rejected for its item type; a missing id would only add noise.
        return _stand_in((item_type, cell)), ""
    resolved = [_resolve_item(item_type, name, meanings) for name in split_items(item_type, cell)]
    problems = list(dict.fromkeys(problem for _, problem in resolved if problem))
    if problems:
        more = [f"and {len(problems) - _PROBLEMS_SHOWN} more"] if len(problems) > _PROBLEMS_SHOWN else []
        return "", "; ".join([*problems[:_PROBLEMS_SHOWN], *more])
    return ITEM_SEPARATOR.join(id_ for id_, _ in resolved), ""


def _resolve_item(item_type: str, name: str, meanings: Mapping[Name, NameMeaning] | None) -> tuple[str, str]:
    if not name:
        return "", "an item has no name: remove the extra separator"
    if is_id(name):
        return name, ""
    if _is_malformed(item_type, name):
        return "", f"'{name[:MOST_SHOWN]}' is no entitlement: write Source|attribute|value or Source|name"
    return _id_and_problem((item_type, name), meanings)


def _is_malformed(item_type: str, name: str) -> bool:
    return item_type == ItemType.ENTITLEMENT and entitlement_name(name) is None


def _id_and_problem(name: Name, meanings: Mapping[Name, NameMeaning] | None) -> tuple[str, str]:
    if meanings is None:
        return _stand_in(name), ""
    if name not in meanings:
        raise BrokenPromiseError(f"A name was not looked up: {name[0]} {name[1]!r}.", next_step="Nothing was sent.")
    return meanings[name].id, meanings[name].problem


def _stand_in(name: Name) -> str:
    """A stand-in for an unknown id: the same for the same name, so that repeats are recognised."""
    return hashlib.sha256("\n".join(name).casefold().encode()).hexdigest()[:32]
