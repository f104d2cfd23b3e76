"""What one file yields, before the files are put together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from batch.read.header import Column

REJECTED_SCHEMA = {"_line": pl.Int64(), "_rule": pl.String(), "_message": pl.String(), "_raw": pl.String()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One file, read.

    Attributes:
        rows: `_line` (Int64) and the user's columns (String), as written.
        rejected: `_line`, `_rule`, `_message`, `_raw`: the records that can't be taken apart.
        columns: The user's columns in the file's order.
        notices: Sentences for the user.
        typed: Columns that hold dates by their type, now in ISO 8601.
        translated: The same rows as they are meant; None where they are meant as they are written.
    """

    rows: pl.DataFrame
    rejected: pl.DataFrame
    columns: tuple[Column, ...]
    notices: tuple[str, ...]
    typed: frozenset[str] = frozenset()
    translated: pl.DataFrame | None = None
