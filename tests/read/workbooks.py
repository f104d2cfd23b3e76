"""Makes workbooks for tests."""

from __future__ import annotations

import io
import re
import zipfile
from typing import TYPE_CHECKING, Any

import xlsxwriter

from batch.read import LoadedInputs, Table, make_interpretation, read_loaded
from batch.read.inputs import Content

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

HEADER = ("identity", "item_type", "item", "remove_date", "comment", "Department")
ROW = ("ann", "ROLE", "Payroll Reader", "2099-01-31", "new", "Finance")


def workbook(
    *rows: Sequence[Any],
    sheets: Mapping[str, Iterable[Sequence[Any]]] | None = None,
    extra: Callable[..., object] | None = None,
) -> bytes:
    """A workbook.

    Args:
        rows: Rows of its only sheet; None is an empty cell, and a pair is a value with a number format.
        sheets: Or the rows of each sheet by its name.
        extra: Changes the workbook, and the first sheet, before it is written.
    """
    buffer = io.BytesIO()
    book = xlsxwriter.Workbook(buffer, {"in_memory": True, "default_date_format": "dd/mm/yyyy"})
    made = []
    for name, lines in (sheets or {"Sheet1": rows}).items():
        sheet = book.add_worksheet(name)
        made.append(sheet)
        for row, line in enumerate(lines):
            for column, cell in enumerate(line):
                value, shown = cell if isinstance(cell, tuple) else (cell, None)
                if value is not None:
                    sheet.write(row, column, value, book.add_format({"num_format": shown}) if shown else None)
    if extra:
        extra(book, *made)
    book.close()
    return buffer.getvalue()


def with_part(data: bytes, path: str, change: Callable[[str], str | bytes]) -> bytes:
    """A workbook with one part changed; a part that is not there is added."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            content = old.read(info)
            new.writestr(info.filename, change(content.decode()) if info.filename == path else content)
        if path not in old.namelist():
            new.writestr(path, change(""))
    return buffer.getvalue()


def with_error(data: bytes, cell: str) -> bytes:
    """A workbook in whose cell a formula has ended in an error, as a spreadsheet writes it."""

    def change(text: str) -> str:
        found = re.compile(f'<c r="{cell}"[^>]*>.*?</c>')
        assert found.search(text)
        return found.sub(f'<c r="{cell}" t="e"><f>NA()</f><v>#N/A</v></c>', text)

    return with_part(data, "xl/worksheets/sheet1.xml", change)


def read_workbook(data: bytes, name: str = "in.xlsx", **options: Any) -> Table:
    """The rows of a workbook, read with these options."""
    return read_loaded(LoadedInputs((Content(name, data),), "digest", make_interpretation(**options)))
