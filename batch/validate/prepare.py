"""From cells as written to cells in canonical form, ready for the rules.

A cell that has no canonical form becomes null beside its original, and a rule then rejects the row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal
from unicodedata import category

import polars as pl

from batch.api.dialects import RESERVED_KEYS, Operation
from batch.api.end_dates import NO_END
from batch.read.columns import ITEM_TYPES, METADATA_PREFIX, OPERATIONS, as_word
from batch.read.comment import TICKET_PROBLEM
from batch.read.date_forms import EXCEL, FIRST_DAY, ISO, MONTHS, date_form
from batch.text import phrase

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from batch.read.date_forms import DateForm

"""Metadata keys that access-batch itself sends."""

ID_PATTERN: Final = r"(?:[0-9A-Fa-f]{32}|[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12})"
"""The shape of a tenant's id: 32 hex digits or a UUID."""

MOST_SHOWN: Final = 80
"""Characters of a cell that a message shows."""

ITEM_SEPARATOR: Final = "|"
"""Separates the items of one cell."""

IDENTITY_PROBLEM: Final = "_identity_problem"
ITEM_PROBLEM: Final = "_item_problem"
"""Columns with the reason why a name has no id."""

IDENTITY_CONFLICT: Final = "_identity_conflict"
ITEM_CONFLICT: Final = "_item_conflict"
"""Columns with the reason why a name and an id of one row don't go together."""

DATE_COLUMNS: Final = ("start_date", "remove_date")

ACCOUNT_COLUMNS: Final = ("account", "source")
"""Which of a person's several accounts is meant: its name or native identity, and its source if that is unclear."""

_LAST_YEAR: Final = 9999
_LETTERS_OF_A_MONTH: Final = 3
_MONTH_NUMBERS: Final = {name[:_LETTERS_OF_A_MONTH]: f"{number:02}" for number, name in enumerate(MONTHS, 1)}


def prepare(rows: pl.DataFrame) -> pl.LazyFrame:
    """Bring the known columns of `rows` into canonical form.

    Returns:
        One line per row, in order: `row` (position), `operation`, `identity_id`, `item_type`, `item_id` (still with
        `|`), `identity_problem` and `item_problem` (why a name has no id, or null), `identity_conflict` and
        `item_conflict` (why a name and an id don't go together, or null), `ticket_problem` (what is wrong with the
        ticket, or null), `comment`, `metadata` (a JSON object, or null), `metadata_control` (whether it contains
        control characters), `metadata_reserved` (whether it uses a reserved key), `row_problem` (why the row can't be
        read, see `read.Table`), `date_example` (the form
        that its dates must have), and for both dates `…_text` (as written), `…` (an instant in UTC, or null),
        `…_zoneless` (whether it has a time of day without a zone) and `…_clock` (if that is a time that the clocks of
        the given zone never or twice show: a phrase that says so; or null).
    """

    def column(name: str, words: Mapping[str, str] | None = None) -> pl.Expr:
        return _canonical(rows, name, words)

    keys = [name for name in rows.columns if name.startswith(METADATA_PREFIX)]
    dates = [name for name in DATE_COLUMNS if name in rows.columns and rows[name].null_count() < rows.height]
    forms = _date_forms(rows)
    written = pl.lit(rows.get_column("_dates").fill_null(ISO) if len(forms) > 1 else ISO)
    return (
        rows.lazy()
        .select(
            pl.int_range(pl.len(), dtype=pl.UInt32).alias("row"),
            column("operation", OPERATIONS).fill_null(Operation.GRANT.value).alias("operation"),
            column("identity_id").alias("identity_id"),
            column("item_type", ITEM_TYPES).alias("item_type"),
            column("item_id").alias("item_id"),
            column(IDENTITY_PROBLEM).alias("identity_problem"),
            column(ITEM_PROBLEM).alias("item_problem"),
            column(IDENTITY_CONFLICT).alias("identity_conflict"),
            column(ITEM_CONFLICT).alias("item_conflict"),
            column(TICKET_PROBLEM).alias("ticket_problem"),
            column("comment").alias("comment"),
            _metadata_json(keys).alias("metadata"),
            _any(_has_control_anywhere(key) for key in keys).alias("metadata_control"),
            _any(_is_filled(key) for key in keys if _key(key) in RESERVED_KEYS).alias("metadata_reserved"),
            column("_row_problem").alias("row_problem"),
            _date_example(forms).alias("date_example"),
            column("start_date").alias("start_date_text"),
            _word_for_no_end(column("remove_date")).alias("remove_date_text"),
        )
        .with_columns(
            expression
            for name in DATE_COLUMNS
            for expression in (_dates(name, forms, written) if name in dates else _no_dates(name))
        )
    )


def _word_for_no_end(cell: pl.Expr) -> pl.Expr:
    """The cell, with the word for no end date in its usual spelling."""
    return pl.when(cell.str.to_lowercase() == NO_END).then(pl.lit(NO_END)).otherwise(cell)


def _date_forms(rows: pl.DataFrame) -> dict[str, DateForm]:
    """The forms of the rows' dates, by their names in `_dates`."""
    if "_dates" not in rows.columns:
        return {ISO: date_form(ISO)}
    return {name: date_form(name) for name in rows.get_column("_dates").fill_null(ISO).unique(maintain_order=True)}


def _date_example(forms: dict[str, DateForm]) -> pl.Expr:
    if len(forms) == 1:
        return pl.lit(next(iter(forms.values())).example)
    examples = {name: form.example for name, form in forms.items()}
    return pl.col("_dates").fill_null(ISO).replace_strict(examples, default=None, return_dtype=pl.String)


def _canonical(rows: pl.DataFrame, name: str, words: Mapping[str, str] | None) -> pl.Expr:
    """A column without surrounding space, as one of `words` if they are given; null if blank or absent.

    A column that is canonical already is used as it is: copying all cells takes time and memory.
    """
    if name not in rows.columns:
        return pl.lit(None, dtype=pl.String)
    cells = rows.get_column(name)
    if words:
        known = cells.is_in(list(words.values())).all()
        return pl.col(name) if known else as_word(pl.col(name), words)
    lengths = cells.str.len_bytes()
    trimmed = ((lengths > 0) & (lengths == cells.str.strip_chars().str.len_bytes())).all()
    return pl.col(name) if trimmed else blank_to_null(pl.col(name))


def _any(conditions: Iterable[pl.Expr]) -> pl.Expr:
    return pl.any_horizontal(pl.lit(value=False), *conditions)


def _key(column: str) -> str:
    return column.removeprefix(METADATA_PREFIX)


def _is_filled(column: str) -> pl.Expr:
    return blank_to_null(pl.col(column)).is_not_null()


def _has_control_anywhere(column: str) -> pl.Expr:
    """Whether a cell of a metadata column contains control characters, or is filled and the key contains some."""
    bad_key = any(category(character) == "Cc" and character not in "\t\r\n" for character in _key(column))
    return has_control(pl.col(column)) | (pl.lit(bad_key) & _is_filled(column))


def has_control(cell: pl.Expr) -> pl.Expr:
    """Whether the cell contains control characters other than tabs and line ends."""
    return cell.str.contains(r"[\p{Cc}&&[^\t\r\n]]").fill_null(value=False)


def blank_to_null(cell: pl.Expr) -> pl.Expr:
    """The cell without surrounding space; null if nothing is left."""
    stripped = cell.str.strip_chars()
    return pl.when(stripped != "").then(stripped)


def _metadata_json(columns: Sequence[str]) -> pl.Expr:
    """A row's metadata columns as one JSON object of text, keys in the columns' order; null if all are blank."""
    if not columns:
        return pl.lit(None, dtype=pl.String)
    members = [
        pl.when(_is_filled(name)).then(
            pl.struct(blank_to_null(pl.col(name)).alias(_key(name))).struct.json_encode().str.slice(1).str.head(-1)
        )
        for name in columns
    ]
    joined = pl.concat_str(members, separator=",", ignore_nulls=True)
    return pl.when(joined != "").then(pl.concat_str(pl.lit("{"), joined, pl.lit("}")))


def _dates(name: str, forms: Mapping[str, DateForm], written: pl.Expr) -> tuple[pl.Expr, ...]:
    """The instant of a row's date, whether it is a time of day without a zone, and what the clocks make of that.

    Args:
        name: Of the column.
        forms: By their names.
        written: The name of each row's form.
    """
    first, *others = forms.items()
    instant, zoneless, clock = _read_date(name, first[1])
    for form_name, form in others:
        has_form = written == form_name
        other_instant, other_zoneless, other_clock = _read_date(name, form)
        instant = pl.when(has_form).then(other_instant).otherwise(instant)
        zoneless = pl.when(has_form).then(other_zoneless).otherwise(zoneless)
        clock = pl.when(has_form).then(other_clock).otherwise(clock)
    # Compare milliseconds, as they are sent. The API's dates end with the year 9999.
    instant = instant.dt.truncate("1ms")
    return (
        pl.when(instant.dt.year() <= _LAST_YEAR).then(instant).alias(name),
        zoneless.fill_null(value=False).alias(f"{name}_zoneless"),
        clock.alias(f"{name}_clock"),
    )


def _read_date(name: str, form: DateForm) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    field = pl.col(f"{name}_text").str.extract_groups(form.pattern).struct.field

    def part(group: str) -> pl.Expr:
        return field(group) if group in form.groups else pl.lit(None, pl.String)

    if form.layout == EXCEL:
        return _read_spreadsheet_date(part("days"), part("fraction"), form)
    if form.layout == ISO:
        day, clock, seconds = part("date"), part("clock"), part("seconds").str.replace(",", ".", literal=True)
    else:
        month_name = part("month_name").str.to_lowercase().str.head(_LETTERS_OF_A_MONTH)
        day = pl.concat_str(
            pl.coalesce(part("year"), pl.lit("20") + part("short_year")),
            pl.coalesce(part("month").str.zfill(2), month_name.replace_strict(_MONTH_NUMBERS, default=None)),
            part("day").str.zfill(2),
            separator="-",
        )
        hour, minute, second = part("hour"), part("minute"), part("second")
        clock = pl.concat_str(hour.str.zfill(2), minute.str.zfill(2).fill_null("00"), separator=":")
        # Optional parts may allow minutes without hours, or seconds without minutes: that is no time of day.
        has_gap = (hour.is_null() & minute.is_not_null()) | (minute.is_null() & second.is_not_null())
        clock = pl.when(has_gap).then(pl.lit("?")).otherwise(clock)
        seconds = part("second").str.zfill(2)
    zone = part("zone").str.to_uppercase().str.replace("^(?:Z|UTC|GMT)", "").str.replace(":", "", literal=True)
    text = pl.concat_str(
        day,
        pl.lit("T"),
        clock.fill_null("00:00"),
        pl.lit(":"),
        seconds.fill_null("00"),
        pl.when(zone != "").then(zone.str.pad_end(5, "0")).otherwise(pl.lit("+0000")),
    )
    parsed = text.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%z", strict=False, time_unit="us", time_zone="UTC")
    return _in_default_zone(parsed, part("zone").is_null(), clock.is_not_null(), form.time_zone)


def _read_spreadsheet_date(days: pl.Expr, fraction: pl.Expr, form: DateForm) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    number = days.cast(pl.Int64)
    # Spreadsheets show seconds, and their fractions are not exact.
    seconds = (fraction.cast(pl.Float64) * 86_400).round().cast(pl.Int64).fill_null(0)
    instant = pl.datetime(1899, 12, 30, time_zone="UTC") + pl.duration(days=number, seconds=seconds)
    instant = pl.when(number >= FIRST_DAY).then(instant)
    return _in_default_zone(instant, pl.lit(value=True), seconds > 0, form.time_zone)


def _in_default_zone(
    instant: pl.Expr, is_zoneless: pl.Expr, has_clock: pl.Expr, time_zone: str
) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    """An instant that was read as if it were in UTC, whether its zone is missing, and why the default is none for it.

    Args:
        instant: As read.
        is_zoneless: Whether it names no zone.
        has_clock: Whether it has a time of day.
        time_zone: The zone of those that name none, or empty. A time that a clock there shows twice or never has none.
    """
    if not time_zone:
        return instant, is_zoneless & has_clock, pl.lit(None, pl.String)

    def local(ambiguous: Literal["earliest", "null"]) -> pl.Expr:
        there = instant.dt.replace_time_zone(time_zone, ambiguous=ambiguous, non_existent="null")
        return there.dt.convert_time_zone("UTC")

    only = local("null")
    is_off = is_zoneless & instant.is_not_null() & only.is_null()
    of_day = pl.when(has_clock).then(pl.lit("a time that")).otherwise(pl.lit("at 00:00, which"))
    fault = pl.when(local("earliest").is_null()).then(pl.lit("skip")).otherwise(pl.lit("show twice"))
    return (
        pl.when(is_zoneless).then(pl.coalesce(only, instant)).otherwise(instant),
        is_off,
        pl.when(is_off).then(phrase("{} the clocks in {} {}", of_day, pl.lit(time_zone), fault)),
    )


def _no_dates(name: str) -> tuple[pl.Expr, ...]:
    """The result of `_dates` for an empty or absent column."""
    return (
        pl.lit(None, dtype=pl.Datetime("us", "UTC")).alias(name),
        pl.lit(value=False).alias(f"{name}_zoneless"),
        pl.lit(None, dtype=pl.String).alias(f"{name}_clock"),
    )


def rfc3339(instant: pl.Expr) -> pl.Expr:
    """An instant in the API's form `2026-11-23T00:00:00Z`, with milliseconds unless they are 0; `""` for null."""
    whole = instant.dt.to_string("%Y-%m-%dT%H:%M:%SZ")
    fractional = instant.dt.to_string("%Y-%m-%dT%H:%M:%S%.3fZ")
    return pl.when(instant.dt.millisecond() == 0).then(whole).otherwise(fractional).fill_null("")
