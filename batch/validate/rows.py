"""Divides rows into valid changes and rejected rows; a rejected row names every rule that it breaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from batch.text import phrase
from batch.validate.prepare import DATE_COLUMNS, ITEM_SEPARATOR, MOST_SHOWN, prepare, rfc3339
from batch.validate.rules import EXCLUSIVE_RULES, MESSAGES, schema

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

_SENTENCES: Final = frozenset({"identity_problem", "item_problem"})
"""Columns that already hold short sentences."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Validated:
    """Valid changes and rejected rows.

    Attributes:
        changes: `row` (position of the row), then CHANGE_COLUMNS; a row with several items gives several changes.
        rejected: `row`, `rule` and `message`; `; ` separates several broken rules and their messages.
    """

    changes: pl.DataFrame
    rejected: pl.DataFrame


def validate(rows: pl.DataFrame, *, dialect: Dialect, now: datetime) -> Validated:
    """Apply the rules to rows.

    Args:
        rows: One line per row; the known columns in their canonical names, as text.
        dialect: The API version to submit to.
        now: Dates must be later than this.
    """
    good, failure = schema(dialect, now).filter(prepare(rows).collect())
    return Validated(changes=_changes(good), rejected=_rejected(failure.details()))


def _changes(good: pl.DataFrame) -> pl.DataFrame:
    changes = good.select(
        "row",
        "operation",
        "identity_id",
        "item_type",
        "item_id",
        pl.col("comment").fill_null(""),
        *(_date(good, name).alias(name) for name in DATE_COLUMNS),
        pl.col("metadata").fill_null(""),
    )
    if not changes.get_column("item_id").str.contains(ITEM_SEPARATOR, literal=True).any():
        return changes
    return (
        changes.with_columns(pl.col("item_id").str.split(ITEM_SEPARATOR))
        .explode("item_id")
        .with_columns(pl.col("item_id").str.strip_chars())
    )


def _date(good: pl.DataFrame, name: str) -> pl.Expr:
    is_empty = good.get_column(name).null_count() == good.height
    return pl.lit("") if is_empty else rfc3339(pl.col(name))


def _rejected(details: pl.DataFrame) -> pl.DataFrame:
    broken = {rule: pl.col(rule).cast(pl.String) == "invalid" for rule in MESSAGES if rule in details.columns}
    is_exclusive = pl.any_horizontal(broken[rule] for rule in EXCLUSIVE_RULES)
    broken = {
        rule: is_broken if rule in EXCLUSIVE_RULES else is_broken & ~is_exclusive for rule, is_broken in broken.items()
    }

    def joined(parts: list[pl.Expr]) -> pl.Expr:
        return pl.concat_str(parts, separator="; ", ignore_nulls=True)

    return details.select(
        pl.col("row"),
        joined([pl.when(is_broken).then(pl.lit(rule)) for rule, is_broken in broken.items()]).alias("rule"),
        joined([pl.when(is_broken).then(_message(rule)) for rule, is_broken in broken.items()]).alias("message"),
    )


def _message(rule: str) -> pl.Expr:
    columns, sentence = MESSAGES[rule]
    if not columns:
        return pl.lit(sentence)
    if columns in _SENTENCES:
        return pl.col(columns)
    return phrase(sentence, *(_shortened(column) for column in columns.split()))


def _shortened(column: str) -> pl.Expr:
    ellipsis = pl.when(pl.col(column).str.len_chars() > MOST_SHOWN).then(pl.lit("…")).otherwise(pl.lit(""))
    return pl.concat_str(pl.col(column).str.head(MOST_SHOWN), ellipsis)
