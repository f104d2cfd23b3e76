"""Divides rows into valid changes and rejected rows; a rejected row names every rule that it breaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from batch.api.dialects import Operation
from batch.api.end_dates import EXTEND, NO_END
from batch.text import phrase, written_out
from batch.validate.prepare import ITEM_SEPARATOR, MOST_SHOWN, prepare, rfc3339
from batch.validate.rules import EXCLUSIVE_RULES, rules, schema

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from batch.api.dialects import Dialect
    from batch.validate.rules import Rule

CHANGE_COLUMNS: Final = (
    "operation",
    "identity_id",
    "item_type",
    "item_id",
    "comment",
    "start_date",
    "remove_date",
    "metadata",
    "account",
    "selection",
)
"""Columns of a change, all text, `""` for absent; dates in RFC 3339, metadata as a JSON object. `account` and
`selection` are empty until the row's account was looked up; `account` stays so if it is the only one there."""


EXTENDS: Final = "extends"
"""Beside CHANGE_COLUMNS, whether the row only wants to change the end date of access that is held. For the API that is
a grant, and so it is for the ledger."""

_REJECTED: Final = {"row": pl.UInt32, "rule": pl.String, "message": pl.String}


@dataclass(frozen=True, kw_only=True, slots=True)
class Validated:
    """Valid changes and rejected rows.

    Attributes:
        changes: `row` (position of the row), CHANGE_COLUMNS and EXTENDS; one of each item of a row.
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
    declared = rules(dialect, now)
    good, failure = schema(declared).filter(prepare(rows).collect())
    rejected = _rejected(failure.details(), declared) if len(failure) else pl.DataFrame(schema=_REJECTED)
    return Validated(changes=_changes(good), rejected=rejected)


def _changes(good: pl.DataFrame) -> pl.DataFrame:
    changes = good.select(
        "row",
        pl.col("operation").replace(EXTEND, Operation.GRANT.value),
        "identity_id",
        "item_type",
        "item_id",
        pl.col("comment").fill_null(""),
        _date(good, "start_date").alias("start_date"),
        pl.when(pl.col("remove_date_text") == NO_END)
        .then(pl.lit(NO_END))
        .otherwise(_date(good, "remove_date"))
        .alias("remove_date"),
        pl.col("metadata").fill_null(""),
        account=pl.lit(""),
        selection=pl.lit(""),
    ).with_columns((good.get_column("operation") == EXTEND).alias(EXTENDS))
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


def _rejected(details: pl.DataFrame, declared: Mapping[str, Rule]) -> pl.DataFrame:
    broken = {name: pl.col(name).cast(pl.String) == "invalid" for name in declared}
    is_exclusive = pl.any_horizontal(broken[name] for name in EXCLUSIVE_RULES)
    broken = {
        name: is_broken if name in EXCLUSIVE_RULES else is_broken & ~is_exclusive for name, is_broken in broken.items()
    }

    def joined(parts: list[pl.Expr]) -> pl.Expr:
        return pl.concat_str(parts, separator="; ", ignore_nulls=True)

    return details.select(
        pl.col("row"),
        joined([pl.when(is_broken).then(pl.lit(name)) for name, is_broken in broken.items()]).alias("rule"),
        joined([pl.when(is_broken).then(_message(declared[name])) for name, is_broken in broken.items()]).alias(
            "message"
        ),
    )


def _message(rule: Rule) -> pl.Expr:
    if not rule.shown:
        return pl.lit(rule.message)
    if rule.message == "{}":
        # The column holds a whole message.
        return pl.col(rule.shown[0])
    return phrase(rule.message, *(_shortened(column) for column in rule.shown))


def _shortened(column: str) -> pl.Expr:
    ellipsis = pl.when(pl.col(column).str.len_chars() > MOST_SHOWN).then(pl.lit("…")).otherwise(pl.lit(""))
    shown = pl.col(column).str.head(MOST_SHOWN)
    # A line break or an odd blank may be the very reason why the row is rejected.
    odd = pl.when(shown.str.contains(r"[\p{C}\p{Z}&&[^ ]]")).then(shown)
    return pl.concat_str(pl.coalesce(odd.map_elements(written_out, return_dtype=pl.String), shown), ellipsis)
