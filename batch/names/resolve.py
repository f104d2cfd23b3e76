"""Names to ids, given the tenant directory's answers: which names to look up, and what the rows become.

A row whose name means nobody, or several, gets a problem in place of the id, and a rule then rejects the row. A row
that gives an id keeps it; if it gives a name too that is not the name of this id, a rule rejects it for this conflict.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from unicodedata import category

import polars as pl

from batch.api.dialects import ItemType
from batch.errors import BrokenPromiseError
from batch.model import IdentityBy
from batch.names.meaning import NameMeaning, NameOutcome, composed, is_id, shown_name
from batch.read.columns import ITEM_TYPES, as_word
from batch.read.item_names import entitlement_name, split_items
from batch.text import key_of, tidy
from batch.validate.prepare import (
    IDENTITY_CONFLICT,
    IDENTITY_PROBLEM,
    ITEM_CONFLICT,
    ITEM_PROBLEM,
    ITEM_SEPARATOR,
    MOST_SHOWN,
    blank_to_null,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Name = tuple[str, str]
"""A kind, `identity` or the value of an ItemType, and a name as written, without surrounding space."""

IDENTITY: Final = "identity"

_ITEM_TYPES: Final = frozenset(item_type.value for item_type in ItemType)

MOST_NAME_BYTES: Final = 2_000
"""In UTF-8. Nothing has a longer name, and the ledger could not keep it: databases limit what an index may hold."""

_PROBLEMS_SHOWN: Final = 3
"""Problems of one cell that a message shows."""

_MOST_BYTES_EACH: Final = 4
"""Of a character in UTF-8."""

_IDS_SHOWN: Final = 2 * MOST_SHOWN
"""Characters of a cell of ids that a message shows."""


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
    names = _identities(rows).get_column(IDENTITY)
    people = {
        (IDENTITY, name)
        for name in (tidy(cell) for cell in names if not _is_identity_id(cell, by))
        if name and not _why_no_name(name)
    }
    items = {
        (item_type, name)
        for item_type, cell in _items(rows).select("item_type", "item").unique().rows()
        if item_type in _ITEM_TYPES
        for name in map(tidy, split_items(item_type, cell))
        if name and not is_id(name) and not _is_malformed(item_type, name) and not _why_no_name(name)
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
        IDENTITY_PROBLEM and ITEM_PROBLEM; in IDENTITY_CONFLICT and ITEM_CONFLICT why a name and an id don't go
        together; unchanged if no row has a name.

    Raises:
        BrokenPromiseError: The meaning of a name is missing.
    """
    if IDENTITY in rows.columns:
        cells = _identities(rows)
        people = [
            (name, *_id_and_problem([_identity_meaning(name, meanings, by)]))
            for name in cells.filter(pl.col("identity_id").is_null()).get_column(IDENTITY)
        ]
        conflicts = [
            (given, name, _conflict(IDENTITY, name, given, [_identity_meaning(name, meanings, by)]))
            for given, name in cells.drop_nulls().rows()
        ]
        rows = _with_conflicts(rows, conflicts, key=cells.columns, conflict=IDENTITY_CONFLICT)
        rows = _filled(rows, people, key=[IDENTITY], target="identity_id", problem=IDENTITY_PROBLEM)
    if "item" in rows.columns:
        cells = _items(rows)
        items = [
            (item_type, cell, *_id_and_problem(_item_meanings(item_type, cell, meanings)))
            for item_type, cell in cells.filter(pl.col("item_id").is_null()).select("item_type", "item").rows()
        ]
        contradictions = [
            (given, item_type, cell, _conflict("item", cell, given, _item_meanings(item_type, cell, meanings)))
            for given, item_type, cell in cells.drop_nulls().rows()
        ]
        rows = _with_conflicts(rows, contradictions, key=cells.columns, conflict=ITEM_CONFLICT)
        rows = _filled(rows, items, key=["item_type", "item"], target="item_id", problem=ITEM_PROBLEM)
    return rows


def _identities(rows: pl.DataFrame) -> pl.DataFrame:
    """The distinct pairs of an identity's id, or null, and its name."""
    return _named_cells(rows, "identity_id", IDENTITY)


def _items(rows: pl.DataFrame) -> pl.DataFrame:
    """The distinct triples of an item's id, or null, its type and its name."""
    return _named_cells(rows, "item_id", "item_type", "item")


def _named_cells(rows: pl.DataFrame, *columns: str) -> pl.DataFrame:
    """The distinct canonical cells of rows that have a name in the last of `columns`, and no row problem."""
    if columns[-1] not in rows.columns:
        return pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
    has_name = pl.col(columns[-1]).is_not_null()
    is_readable = _is_blank(rows, "_row_problem")
    return rows.select(_key(rows, column) for column in columns).filter(has_name & is_readable).unique()


def _key(rows: pl.DataFrame, column: str) -> pl.Expr:
    """A column in the canonical form by which names are looked up."""
    cells = pl.col(column) if column in rows.columns else pl.lit(None, pl.String)
    if column == "item_type":
        return as_word(cells, ITEM_TYPES).fill_null("").alias(column)
    return blank_to_null(cells).alias(column)


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


def _with_conflicts(
    rows: pl.DataFrame, found: Sequence[tuple[str, ...]], *, key: list[str], conflict: str
) -> pl.DataFrame:
    """The rows with the column `conflict` filled from `found`: tuples of the key and a sentence; unchanged if none."""
    table = pl.DataFrame(found, schema=dict.fromkeys([*key, conflict], pl.String), orient="row")
    table = table.filter(pl.col(conflict) != "")
    if table.is_empty():
        return rows
    cells = rows.select(_key(rows, column) for column in key)
    return rows.with_columns(
        cells.join(table, on=key, how="left", maintain_order="left", nulls_equal=False).get_column(conflict)
    )


def _conflict(column: str, name: str, given: str, meanings: Sequence[NameMeaning]) -> str:
    """Why a name and the id in its row don't go together; empty if they do, or if nothing is known of the name.

    Args:
        column: Of the name.
        name: As written; several of items.
        given: The id as written; several of items.
        meanings: Of each name.
    """
    ids = [part.strip() for part in given.split(ITEM_SEPARATOR)]
    if not all(map(is_id, ids)):
        # The row is rejected for that.
        return ""
    keys = set(map(key_of, ids))
    known = [_keys(meaning) for meaning in meanings]
    wrong = [one for one, may_be in zip(meanings, known, strict=True) if may_be is not None and not may_be & keys]
    unnamed = [] if None in known else keys.difference(*filter(None, known))
    if not wrong and not unnamed:
        return ""
    why = _listed([one.problem for one in wrong])
    if not why:
        found = ITEM_SEPARATOR.join(meaning.id for meaning in meanings if meaning.id)
        means = f"has the id {found[:_IDS_SHOWN]}" if found else "does not name each of them"
        why = f"{column} is '{name}'" if found == name else f"{column} '{shown_name(name)}' {means}"
    return f"{why}, but {column}_id is '{given[:_IDS_SHOWN]}': correct one of them, or clear it"


def _keys(meaning: NameMeaning) -> frozenset[str] | None:
    """The keys of the ids that a name may mean; None if that is not known."""
    if meaning.candidates is None or (meaning.outcome is NameOutcome.AMBIGUOUS and not meaning.candidates):
        return None
    return frozenset(map(key_of, filter(None, (meaning.id, *meaning.candidates))))


def _listed(problems: Sequence[str]) -> str:
    """The problems of one cell, each once; the rest of many are counted."""
    distinct = list(dict.fromkeys(filter(None, problems)))
    more = [f"and {len(distinct) - _PROBLEMS_SHOWN} more"] if len(distinct) > _PROBLEMS_SHOWN else []
    return "; ".join([*distinct[:_PROBLEMS_SHOWN], *more])


def _id_and_problem(meanings: Sequence[NameMeaning]) -> tuple[str, str]:
    """The joined ids and the problems of a cell of names; one of them is empty."""
    problems = _listed([meaning.problem for meaning in meanings])
    return ("", problems) if problems else (ITEM_SEPARATOR.join(meaning.id for meaning in meanings), "")


def _is_identity_id(name: str, by: IdentityBy) -> bool:
    return by is IdentityBy.ID or (by is IdentityBy.AUTO and is_id(name))


def _identity_meaning(name: str, meanings: Mapping[Name, NameMeaning] | None, by: IdentityBy) -> NameMeaning:
    if _is_identity_id(name, by):
        return _found(name)
    tidied = tidy(name)
    if not tidied:
        return _unknown("the identity's name has no visible character")
    if why := _why_no_name(tidied):
        return _unknown(f"the identity's name '{shown_name(tidied)}' {why}")
    return _meaning((IDENTITY, tidied), meanings)


def _item_meanings(item_type: str, cell: str, meanings: Mapping[Name, NameMeaning] | None) -> list[NameMeaning]:
    """The meaning of each name in a cell of item names."""
    if item_type not in _ITEM_TYPES:
        # The row is rejected for its item type; a missing id would only add noise.
        return [_stand_in((item_type, cell))]
    return [_item_meaning(item_type, tidy(name), meanings) for name in split_items(item_type, cell)]


def _item_meaning(item_type: str, name: str, meanings: Mapping[Name, NameMeaning] | None) -> NameMeaning:
    if not name:
        return _unknown("an item has no name: remove the extra separator")
    if is_id(name):
        return _found(name)
    if _is_malformed(item_type, name):
        return _unknown(f"'{shown_name(name)}' is not an entitlement: write Source|attribute|value or Source|name")
    if why := _why_no_name(name):
        return _unknown(f"the item's name '{shown_name(name)}' {why}")
    return _meaning((item_type, name), meanings)


def _why_no_name(text: str) -> str:
    """Why nothing can have this name; empty if something may."""
    if not text.isprintable() and any(category(one) == "Cc" for one in text):
        return "contains control characters: remove them"
    if len(text) > MOST_NAME_BYTES // _MOST_BYTES_EACH and len(text.encode()) > MOST_NAME_BYTES:
        return f"is longer than {MOST_NAME_BYTES:,} bytes: shorten it"
    return ""


def _is_malformed(item_type: str, name: str) -> bool:
    return item_type == ItemType.ENTITLEMENT and entitlement_name(name) is None


def _meaning(name: Name, meanings: Mapping[Name, NameMeaning] | None) -> NameMeaning:
    if meanings is None:
        return _stand_in(name)
    if name not in meanings:
        raise BrokenPromiseError(f"A name was not looked up: {name[0]} {name[1]!r}.", next_step="Nothing was sent.")
    return meanings[name]


def _found(id_: str) -> NameMeaning:
    return NameMeaning(outcome=NameOutcome.FOUND, id=id_)


def _unknown(problem: str) -> NameMeaning:
    return NameMeaning(outcome=NameOutcome.UNKNOWN, problem=problem)


def _stand_in(name: Name) -> NameMeaning:
    """A stand-in for an unknown id: the same for the same name, so that repeats are recognised."""
    id_ = hashlib.sha256(composed("\n".join(name).casefold()).encode()).hexdigest()[:32]
    return NameMeaning(outcome=NameOutcome.FOUND, id=id_, candidates=None)
