"""Shorthands for the tests of `batch.read`."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from batch.errors import InputFileError
from batch.read import LoadedInputs, Table, read_loaded
from batch.read.inputs import Content

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

HEADER = "identity_id,item_type,item_id,comment"


def read_bytes(data: bytes, name: str = "in.csv") -> Table:
    return read_loaded(LoadedInputs((Content(name, data),), "digest"))


def read_text(text: str) -> Table:
    return read_bytes(text.encode())


def read_frame(frame: pl.DataFrame) -> Table:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return read_bytes(buffer.getvalue(), "in.parquet")


def cells(table: Table) -> list[tuple[str | None, ...]]:
    """The rows without file and line."""
    return table.rows.drop("_file", "_line").rows()


def lines(table: Table) -> list[int]:
    return table.rows["_line"].to_list()


def rejections(table: Table) -> list[tuple[int, str]]:
    return table.rejected.select("_line", "_rule").rows()


def refusal(act: Callable[[], object]) -> InputFileError:
    """The InputFileError that `act` raises; each must say what to do next."""
    with pytest.raises(InputFileError) as caught:
        act()
    assert caught.value.next_step
    return caught.value
