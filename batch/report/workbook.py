"""Result files as a workbook: a sheet for each class of rows, and every cell text, so that nothing is calculated."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

import polars as pl
import xlsxwriter
from xlsxwriter.exceptions import XlsxWriterException

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_ROWS: Final = (1 << 20) - 1
"""Rows of a sheet below its header."""

_MOST_COLUMNS: Final = 1 << 14
_MOST_CHARACTERS: Final = 32_767


class Sheet(NamedTuple):
    """Rows below their headers, which need not differ."""

    headers: tuple[str, ...]
    rows: pl.DataFrame


def misfit(sheets: Mapping[str, Sheet]) -> str:
    """Why a workbook can't hold these sheets unchanged; empty if it can."""
    for name, (_, rows) in sheets.items():
        if rows.height > MOST_ROWS or rows.width > _MOST_COLUMNS:
            return f"the sheet '{name}' would have {rows.height:,} rows and {rows.width:,} columns"
        text = pl.col(pl.String)
        if rows.select(pl.any_horizontal(pl.lit(value=False), (text.str.len_chars() > _MOST_CHARACTERS).any())).item():
            return f"a cell has more than {_MOST_CHARACTERS:,} characters"
        # The library takes such a text for markup of its own.
        is_markup = (text.str.starts_with("<r>") & text.str.ends_with("</r>")).any()
        if rows.select(pl.any_horizontal(pl.lit(value=False), is_markup)).item():
            return "a cell looks like a part of a workbook"
    return ""


def write_workbook(file: BinaryIO, sheets: Mapping[str, Sheet]) -> None:
    """Writes sheets; each cell is text, also for whoever edits it.

    Args:
        file: Where to write.
        sheets: Their rows by their names, in order.

    Raises:
        OSError: They can't be written.
    """
    # Rows are kept in temporary files, which nobody else can read: a large input has more of them than memory.
    book = xlsxwriter.Workbook(file, {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False})
    text = book.add_format({"num_format": "@"})
    try:
        for name, (headers, rows) in sheets.items():
            sheet = book.add_worksheet(name)
            sheet.freeze_panes(1, 0)
            for number, header in enumerate(headers):
                sheet.write_string(0, number, header, text)
            for line, cells in enumerate(rows.select(pl.all().cast(pl.String)).iter_rows(), 1):
                for number, cell in enumerate(cells):
                    if cell is not None:
                        sheet.write_string(line, number, cell, text)
    finally:
        try:
            book.close()
        except XlsxWriterException as error:
            cause = error.args[0] if error.args else error
            raise cause if isinstance(cause, OSError) else OSError(str(error)) from error
