"""Parquet bytes → rows of text: every type becomes the text that a CSV file would hold, or is refused."""

from __future__ import annotations

import io
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

import polars as pl

from batch.errors import AccessBatchError, InputFileError
from batch.read.columns import ITEM_TYPES, as_word, has_effect
from batch.read.file_rows import REJECTED_SCHEMA, FileRows
from batch.read.header import read_header
from batch.read.item_names import PART_SEPARATOR, join_items
from batch.read.parquet_size import check_parquet
from batch.text import restored

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from batch.read.interpretation import Interpretation
    from batch.read.limits import Limits

LIST_ITEM_UNREADABLE = "list_item_unreadable"
_ID_COLUMNS = frozenset({"identity_id", "identity", "item_id", "item"})
_LIST_COLUMNS = ("item_id", "item")
_DATE = "%Y-%m-%d"
_NAIVE = "%Y-%m-%dT%H:%M:%S%.f"
_LISTS = (pl.List, pl.Array)


def read_parquet(data: bytes, name: str, interpretation: Interpretation) -> FileRows:
    """Read one Parquet file; `_line` is the row's number, from 1.

    Args:
        data: The whole file.
        name: The file's name for messages.
        interpretation: The user's reading options.

    Raises:
        InputFileError: The file is damaged, its columns are unusable, or a type can't be text without loss.
    """
    limits = interpretation.limits
    with _explained_file(name):
        check_parquet(data, name, limits)
        frame = pl.read_parquet(io.BytesIO(data), glob=False, hive_partitioning=False)
        # A dictionary holds each value once, however often it stands in the column.
        limits.check(name, rows=frame.height, columns=frame.width, unpacked=sum(map(_text_bytes, frame.get_columns())))
    header = read_header(frame.columns, name, interpretation)
    frame.columns = [column.name for column in header.columns]
    frame = frame.select(column.name for column in header.kept)
    lists = [column for column in _LIST_COLUMNS if column in frame and isinstance(frame.schema[column], _LISTS)]
    text = frame.select(_as_text(frame[column], name) for column in frame.columns)
    if header.is_own_file:
        text = text.with_columns(restored(pl.all()))
    if "item" in lists:
        text = text.with_columns(_named_items(frame["item"], text))
    longest = text.select(pl.sum_horizontal(pl.lit(0), pl.all().str.len_bytes()).max()).item() or 0
    if longest > limits.row:
        raise limits.row_exceeded(f"A row of {name} is")
    unreadable = pl.repeat(False, frame.height, dtype=pl.Boolean, eager=True)
    for column in lists:
        unreadable |= _has_unreadable_member(frame[column])
    rows = text.insert_column(0, pl.int_range(1, frame.height + 1, dtype=pl.Int64, eager=True).alias("_line"))
    return FileRows(
        rows=rows.filter(~unreadable),
        rejected=_rejected(frame, unreadable, lists),
        columns=header.kept,
        notices=header.notices,
        typed=frozenset(column for column in frame.columns if isinstance(frame.schema[column], (pl.Date, pl.Datetime))),
    )


def parquet_headers(data: bytes, name: str, limits: Limits) -> list[str]:
    """The names of a Parquet file's columns.

    Raises:
        InputFileError: The file is damaged, or too large.
    """
    with _explained_file(name):
        check_parquet(data, name, limits)
        return list(pl.read_parquet_schema(io.BytesIO(data)))


@contextmanager
def explained(problem: str, *, next_step: str) -> Iterator[None]:
    """Turn what a library raises into an InputFileError: almost any exception, and a BaseException if Rust panics."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, AccessBatchError):
        raise
    except BaseException as error:
        raise InputFileError(f"{problem}: {first_line(error)}.", next_step=next_step) from error


def _explained_file(name: str) -> AbstractContextManager[None]:
    return explained(f"{name} is not a readable Parquet file", next_step="Write the file again, or save it as CSV.")


def first_line(error: BaseException) -> str:
    """The first line of an error's message."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def _text_bytes(column: pl.Series) -> int:
    """How many bytes a column takes as text, at least."""
    kind = column.dtype
    if isinstance(kind, pl.Struct):
        return sum(map(_text_bytes, column.struct.unnest().get_columns()))
    if isinstance(kind, _LISTS):
        return _text_bytes(column.explode())
    if isinstance(kind, (pl.Categorical, pl.Enum)):
        column = column.cast(pl.String)
    if isinstance(column.dtype, pl.String):
        return int(column.str.len_bytes().sum())
    return int(column.bin.size().sum()) if isinstance(kind, pl.Binary) else column.len()


def _as_text(column: pl.Series, file: str) -> pl.Series:
    kind = column.dtype
    if isinstance(kind, pl.String):
        text = column
    elif isinstance(kind, pl.Date):
        text = column.dt.strftime(_DATE)
    elif isinstance(kind, pl.Datetime):
        text = column.dt.strftime(_NAIVE)
        if kind.time_zone is not None:
            text = column.dt.convert_time_zone("UTC").dt.strftime(_NAIVE + "Z")
    elif column.name in _ID_COLUMNS and _loses_digits(kind):
        raise InputFileError(
            f"Column `{column.name}` of {file} holds {kind}: ids can't be numbers with a fraction, which lose digits.",
            next_step="Write the column as strings.",
        )
    elif kind.is_numeric() or isinstance(kind, (pl.Boolean, pl.Categorical, pl.Enum, pl.Null)):
        text = column.cast(pl.String)
    elif column.name in _LIST_COLUMNS and _is_list_of_text(kind):
        text = _members(column).list.join(PART_SEPARATOR)
    elif has_effect(column.name):
        raise InputFileError(
            f"Column `{column.name}` of {file} holds {kind}, which can't be read as text.",
            next_step="Write the column as strings.",
        )
    else:
        text = _as_json(column)
    return pl.select(pl.when(text != "").then(text).alias(column.name)).to_series()


def _loses_digits(kind: pl.DataType) -> bool:
    return kind.is_float() or (isinstance(kind, pl.Decimal) and kind.scale != 0)


def _is_list_of_text(kind: pl.DataType) -> bool:
    if not isinstance(kind, _LISTS):
        return False
    inner = kind.inner
    return inner.is_integer() or isinstance(inner, (pl.String, pl.Categorical, pl.Enum, pl.Null))


def _members(column: pl.Series) -> pl.Series:
    return column.cast(pl.List(pl.String))


def _named_items(column: pl.Series, text: pl.DataFrame) -> pl.Series:
    """Lists of names as one cell each; an entitlement's name is `Source|attribute|value`."""
    is_typed = "item_type" in text
    types = text.select(as_word(pl.col("item_type"), ITEM_TYPES).fill_null(""))["item_type"] if is_typed else None
    cells = [
        join_items(types[row] if types is not None else "", (name.strip() for name in names))
        if names and all(names)
        else None
        for row, names in enumerate(_members(column).to_list())
    ]
    return pl.Series(column.name, cells, pl.String)


def _has_unreadable_member(column: pl.Series) -> pl.Series:
    member = pl.element()
    bad = member.is_null() | (member.str.strip_chars() == "")
    if column.name != "item":
        bad |= member.str.contains(PART_SEPARATOR, literal=True)
    return _members(column).list.eval(bad).list.any().fill_null(False)


def _as_json(column: pl.Series) -> pl.Series:
    # polars' own JSON panics on binary. Columns of such types are rare and only copied to the result files.
    cells = [None if value is None else json.dumps(_plain(value), ensure_ascii=False) for value in column]
    return pl.Series(column.name, cells, pl.String)


def _plain(value: object) -> object:
    """The value as JSON can hold it; other types become text."""
    if isinstance(value, (pl.Series, list)):
        return [_plain(member) for member in value]
    if isinstance(value, dict):
        return {str(key): _plain(member) for key, member in value.items()}
    if isinstance(value, bytes):
        return value.hex()
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _rejected(frame: pl.DataFrame, unreadable: pl.Series, lists: Sequence[str]) -> pl.DataFrame:
    columns = " or ".join(f"`{column}`" for column in lists)
    message = f"The list in {columns} has an empty member, or one with a `{PART_SEPARATOR}`, which separates items."
    return pl.DataFrame(
        [
            (index + 1, LIST_ITEM_UNREADABLE, message, json.dumps(_plain(frame.row(index, named=True)), default=str))
            for index in unreadable.arg_true()
        ],
        schema=REJECTED_SCHEMA,
        orient="row",
    )
