"""From cells as they were written to cells in canonical form, ready for the rules.

A cell that can't be brought into its form becomes null beside its original, and a rule then rejects the row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from batch.dialects import Operation
from batch.read.columns import METADATA_PREFIX

if TYPE_CHECKING:
    from collections.abc import Sequence

ITEM_SEPARATOR: Final = "|"
"""Parts the items of one cell."""

_ISO: Final = (
    r"^(?<date>\d{4}-\d{2}-\d{2})"
    r"(?:[Tt ](?<clock>\d{2}:\d{2})(?::(?<seconds>\d{2})(?<fraction>[.,]\d{1,9})?)?)?"
    r"\s*(?<zone>[Zz]|[+-]\d{2}(?::?\d{2})?)?$"
)
"""ISO 8601 as people and programs write it: a date, or a date and a time of day with or without a zone."""

DATE_COLUMNS: Final = ("start_date", "remove_date")


def prepare(rows: pl.DataFrame) -> pl.LazyFrame:
    """Brings the known columns of `rows` into canonical form.

    Returns:
        One line per row, in order: `row` (position), `operation`, `identity_id`, `item_type`, `item_id` (still with
        `|`), `comment`, `metadata` (a JSON object, or null), `metadata_control` (whether it has control characters),
        and for both dates `…_text` (as written), `…` (an instant in UTC, or null), `…_zoneless` (a time of day without
        a zone).
    """
    present = set(rows.columns)

    def column(name: str) -> pl.Expr:
        return blank_to_null(pl.col(name)) if name in present else pl.lit(None, dtype=pl.String)

    keys = [name for name in rows.columns if name.startswith(METADATA_PREFIX)]
    return (
        rows.lazy()
        .select(
            pl.int_range(pl.len(), dtype=pl.UInt32).alias("row"),
            column("operation").str.to_uppercase().fill_null(Operation.GRANT.value).alias("operation"),
            column("identity_id").alias("identity_id"),
            column("item_type").str.to_uppercase().alias("item_type"),
            column("item_id").alias("item_id"),
            column("comment").alias("comment"),
            metadata_json(keys).alias("metadata"),
            pl.any_horizontal(pl.lit(value=False), *(has_control(pl.col(key)) for key in keys)).alias(
                "metadata_control"
            ),
            *(column(name).alias(f"{name}_text") for name in DATE_COLUMNS),
        )
        .with_columns(expression for name in DATE_COLUMNS for expression in _dates(name))
    )


def has_control(cell: pl.Expr) -> pl.Expr:
    """Whether the cell holds control characters other than tabs and line ends."""
    return cell.str.contains(r"[\p{Cc}&&[^\t\r\n]]").fill_null(value=False)


def blank_to_null(cell: pl.Expr) -> pl.Expr:
    """The cell without surrounding space; null when nothing is left."""
    stripped = cell.str.strip_chars()
    return pl.when(stripped != "").then(stripped)


def metadata_json(columns: Sequence[str]) -> pl.Expr:
    """The metadata columns of a row as one JSON object of text, keys in the columns' order; null when all are blank."""
    if not columns:
        return pl.lit(None, dtype=pl.String)
    members = [
        pl.when(blank_to_null(pl.col(name)).is_not_null()).then(
            pl.struct(blank_to_null(pl.col(name)).alias(name.removeprefix(METADATA_PREFIX)))
            .struct.json_encode()
            .str.slice(1)
            .str.head(-1)
        )
        for name in columns
    ]
    joined = pl.concat_str(members, separator=",", ignore_nulls=True)
    return pl.when(joined != "").then(pl.concat_str(pl.lit("{"), joined, pl.lit("}")))


def _dates(name: str) -> tuple[pl.Expr, pl.Expr]:
    parts = pl.col(f"{name}_text").str.extract_groups(_ISO).struct
    part = parts.field
    zone = part("zone").str.to_uppercase().replace("Z", "+0000").str.replace(":", "", literal=True).str.pad_end(5, "0")
    text = pl.concat_str(
        part("date"),
        pl.lit("T"),
        part("clock").fill_null("00:00"),
        pl.lit(":"),
        part("seconds").fill_null("00"),
        part("fraction").fill_null("").str.replace(",", ".", literal=True),
        pl.when(part("clock").is_null()).then(zone.fill_null("+0000")).otherwise(zone),
    )
    return (
        text.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%z", strict=False, time_unit="us", time_zone="UTC").alias(name),
        (part("clock").is_not_null() & part("zone").is_null()).fill_null(value=False).alias(f"{name}_zoneless"),
    )


def rfc3339(instant: pl.Expr) -> pl.Expr:
    """An instant as the API takes it, `2026-11-23T00:00:00Z`, with milliseconds where there are any; `""` for null."""
    whole = instant.dt.to_string("%Y-%m-%dT%H:%M:%SZ")
    fractional = instant.dt.to_string("%Y-%m-%dT%H:%M:%S%.3fZ")
    return pl.when(instant.dt.millisecond() == 0).then(whole).otherwise(fractional).fill_null("")
