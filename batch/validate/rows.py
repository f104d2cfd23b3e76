"""Parts rows into valid changes and rejected rows; a rejected row names all the rules that it breaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from batch.text import phrase
from batch.validate.prepare import DATE_COLUMNS, ITEM_SEPARATOR, prepare, rfc3339
from batch.validate.rules import ALONE, MESSAGES, schema

if TYPE_CHECKING:
    from datetime import datetime

    from batch.api.dialects import Dialect

CHANGE_COLUMNS: Final = (
    "operation",
    "identity_id",
    "item_type",
    "item_id",
    "comment",
    "start_date",
    "remove_date",
    "metadata",
)
"""Columns of a change, all text, `""` for absent; dates in RFC 3339, metadata as a JSON object."""


MOST_SHOWN: Final = 80
"""Characters of a cell that a message shows."""

_SENTENCES: Final = frozenset({"identity_problem", "item_problem"})
"""Columns that hold sentences, which are short where they are made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Validated:
    """What the rules made of the rows.

    Attributes:
        changes: `row` (position of the row), then CHANGE_COLUMNS; a row with several items gives several changes.
        rejected: `row`, `rule` and `message`, both joined by `; ` where several rules are broken.
    """

    changes: pl.DataFrame
    rejected: pl.DataFrame


def validate(rows: pl.DataFrame, *, dialect: Dialect, now: datetime) -> Validated:
    """Applies the rules to rows as read.

    Args:
        rows: One line per row; the known columns in their canonical names, as text.
        dialect: The API version that the rows are meant for.
        now: The moment that dates must come after.
    """
    good, failure = schema(dialect, now).filter(prepare(rows).collect())
    return Validated(changes=_changes(good), rejected=_rejected(failure.details()))


def _changes(good: pl.DataFrame) -> pl.DataFrame:
    table = good.select(
        "row",
        "operation",
        "identity_id",
        "item_type",
        "item_id",
        pl.col("comment").fill_null(""),
        *(_date(good, name).alias(name) for name in DATE_COLUMNS),
        pl.col("metadata").fill_null(""),
    )
    if not table.get_column("item_id").str.contains(ITEM_SEPARATOR, literal=True).any():
        return table
    return (
        table.with_columns(pl.col("item_id").str.split(ITEM_SEPARATOR))
        .explode("item_id")
        .with_columns(pl.col("item_id").str.strip_chars())
    )


def _date(good: pl.DataFrame, name: str) -> pl.Expr:
    is_empty = good.get_column(name).null_count() == good.height
    return pl.lit("") if is_empty else rfc3339(pl.col(name))


def _rejected(details: pl.DataFrame) -> pl.DataFrame:
    broken = {rule: pl.col(rule).cast(pl.String) == "invalid" for rule in MESSAGES if rule in details.columns}
    is_alone = pl.any_horizontal(broken[rule] for rule in ALONE)
    broken = {rule: is_broken if rule in ALONE else is_broken & ~is_alone for rule, is_broken in broken.items()}

    def joined(parts: list[pl.Expr]) -> pl.Expr:
        return pl.concat_str(parts, separator="; ", ignore_nulls=True)

    return details.select(
        pl.col("row"),
        joined([pl.when(is_broken).then(pl.lit(rule)) for rule, is_broken in broken.items()]).alias("rule"),
        joined([pl.when(is_broken).then(_sentence(rule)) for rule, is_broken in broken.items()]).alias("message"),
    )


def _sentence(rule: str) -> pl.Expr:
    shown, sentence = MESSAGES[rule]
    if not shown:
        return pl.lit(sentence)
    if shown in _SENTENCES:
        return pl.col(shown)
    return phrase(sentence, *(_shortened(column) for column in shown.split()))


def _shortened(column: str) -> pl.Expr:
    long = pl.when(pl.col(column).str.len_chars() > MOST_SHOWN).then(pl.lit("…")).otherwise(pl.lit(""))
    return pl.concat_str(pl.col(column).str.head(MOST_SHOWN), long)
