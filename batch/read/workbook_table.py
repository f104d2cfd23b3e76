"""Workbook bytes → rows of text. A cell whose text may not be what somebody typed makes its row unreadable. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import polars as pl
from python_calamine import CalamineError, load_workbook

from batch.errors import InputFileError
from batch.read.columns import FEWEST_COLUMNS, KNOWN_COLUMNS, canonical_name, has_effect
from batch.read.comment import TICKET
from batch.read.date_forms import ISO, date_form
from batch.read.file_rows import OUR_DATES, RAW, REJECTED_SCHEMA, FileRows, Form, with_unsplit
from batch.read.header import read_header
from batch.read.identityiq import DATE_COLUMNS, NAME_COLUMNS, is_identityiq, recognised_names
from batch.read.parquet_table import explained
from batch.read.workbook_parts import SHEET, checked_sheet, shown_name
from batch.read.workbook_scan import COLUMN_BITS, cell_name, column_name
from batch.text import count, on_one_line, restored

if TYPE_CHECKING:
    from array import array
    from collections.abc import Iterable, Iterator, Sequence

    from python_calamine import CalamineSheet

    from batch.read.interpretation import Interpretation
    from batch.read.workbook_parts import Sheet

_ID_COLUMNS: Final = frozenset({"identity_id", "identity", "item_id", "item"})
_EXACT: Final = 10**15
"""Spreadsheets keep 15 digits of a number."""

_MOST_ABOVE: Final = 1000
_MOST_SOUGHT: Final = 20
_MOST_NAMED: Final = 5
_MOST_SHOWN: Final = 80
_LIKE_A_DATE: Final = re.compile(r"\d\D+\d|^\d+$")
_OTHER_DAYS: Final = "a number, and this workbook counts its days from 1904: format the cell as a date"
_AS_TEXT: Final = "format the column as text, then enter the value again"


class _Grid(NamedTuple):
    """A sheet's table, without empty rows and columns.

    sheet: The sheet, as checked.
    headers: The header's cells as text.
    positions: The columns' positions in the sheet, from 0.
    lines: The numbers of the rows below the header, from 1.
    columns: Their cells by column: empty cells are empty texts.
    """

    sheet: Sheet
    headers: list[str]
    positions: list[int]
    lines: list[int]
    columns: list[list[Any]]


def read_workbook(data: bytes, name: str, interpretation: Interpretation) -> FileRows:
    """Read one sheet of an Excel workbook; `_line` is the row's number there.

    Args:
        data: The whole file.
        name: The file's name for messages.
        interpretation: The user's reading options.

    Raises:
        InputFileError: The workbook is damaged or too large, its sheet is not clear, or the sheet can't be used.
    """
    limits = interpretation.limits
    grid = _grid(data, name, interpretation)
    header = read_header(grid.headers, name, interpretation)
    names = [column.name for column in header.columns]
    kept = {*names} - header.dropped | {RAW}
    cells = {each: column for each, column in zip(names, grid.columns, strict=True) if each in kept}
    rows = pl.DataFrame(
        {"_line": grid.lines, **{each: [_text(cell) for cell in column] for each, column in cells.items()}},
        schema={"_line": pl.Int64, **dict.fromkeys(cells, pl.String)},
    )
    if header.is_own_file:
        rows = rows.with_columns(restored(pl.exclude("_line")))
    longest = rows.select(pl.sum_horizontal(pl.lit(0), pl.exclude("_line").str.len_bytes()).max()).item() or 0
    if longest > limits.row:
        raise limits.row_exceeded(f"A row of {name} is")
    is_foreign = is_identityiq(rows)
    ids = {*_ID_COLUMNS, *([TICKET] if interpretation.wants_tickets else [])}
    positions = dict(zip(names, grid.positions, strict=True))
    doubts = _Doubts(name, grid.lines, grid.sheet)
    for each, column in cells.items():
        is_id = each in ids or (is_foreign and each.lower() in NAME_COLUMNS)
        is_date = each in OUR_DATES or (is_foreign and each.lower() in DATE_COLUMNS)
        if is_date:
            _check_dates(each, column, doubts)
        if is_id or is_date or has_effect(each):
            doubts.look(each, column, positions[each], is_id=is_id, is_date=is_date)
    file_rows = FileRows(
        rows=rows,
        rejected=pl.DataFrame(schema=REJECTED_SCHEMA),
        columns=header.kept,
        notices=(*header.notices, *_unnamed(grid, name), *_notices(grid.sheet, name), *doubts.notices),
        typed=frozenset(each for each, column in cells.items() if any(isinstance(cell, date) for cell in column)),
        problems=doubts.problems,
        form=Form(is_for_spreadsheets=True),
        is_own=header.is_own_file,
    )
    return with_unsplit(file_rows)


def workbook_headers(data: bytes, name: str, interpretation: Interpretation) -> list[str]:
    """The names of a sheet's columns.

    Raises:
        InputFileError: As `read_workbook`.
    """
    return _grid(data, name, interpretation).headers


def _grid(data: bytes, name: str, interpretation: Interpretation) -> _Grid:
    limits = interpretation.limits
    with explained(f"{name} is not a readable workbook", next_step="Save it again as .xlsx, or as CSV."):
        sheet = checked_sheet(data, name, interpretation.sheet, limits)
        read = _read(sheet, name)
        top, left = read.start or (0, 0)
        cells = read.to_python() if read.start else []
        for position in sheet.dates:
            row, column = (position >> COLUMN_BITS) - top, (position & ((1 << COLUMN_BITS) - 1)) - left
            cells[row][column] = _date(cells[row][column])
        merged = read.merged_cell_ranges or []
    known = {*KNOWN_COLUMNS, *recognised_names(interpretation)}
    of_sheet = f"The sheet '{shown_name(sheet.name)}' of {name}"
    at = next((at for at, row in enumerate(cells[: _MOST_ABOVE + 1]) if not all(map(_is_blank, row))), -1)
    if at < 0:
        raise InputFileError(
            f"{of_sheet} is empty.", next_step="Give a sheet with a header and at least one row below it."
        )
    if not _known(cells[at], known):
        _refuse_what_stands_above(cells, at, top, known, of_sheet)
    covering = [(first, last) for first, last in merged if first != last and last[0] >= top + at]
    if covering:
        names = ", ".join(f"{_named(first)}:{_named(last)}" for first, last in covering[:_MOST_NAMED])
        more = f" and {len(covering) - _MOST_NAMED:,} more" if len(covering) > _MOST_NAMED else ""
        raise InputFileError(
            f"{of_sheet} has merged cells, and only the first cell of each area holds a value: {names}{more}.",
            next_step="Nothing was sent. Unmerge them, and fill in every cell.",
        )
    lines = [below for below in range(at + 1, len(cells)) if not all(map(_is_blank, cells[below]))]
    columns = [[cells[below][n] for below in lines] for n in range(len(cells[at]))]
    filled = [n for n, column in enumerate(columns) if not (_is_blank(cells[at][n]) and all(map(_is_blank, column)))]
    limits.check(name, rows=len(lines), columns=len(filled))
    return _Grid(
        sheet,
        [_text(cells[at][n]) or "" for n in filled],
        [left + n for n in filled],
        [top + below + 1 for below in lines],
        [columns[n] for n in filled],
    )


def _read(sheet: Sheet, name: str) -> CalamineSheet:
    try:
        return load_workbook(sheet.workbook).get_sheet_by_name(SHEET)
    except CalamineError as error:
        # The library knows no errors of newer spreadsheets, such as #SPILL!.
        if not sheet.errors or "cell error" not in str(error):
            raise
        cells = ", ".join(cell_name(at) for at in sheet.errors[:_MOST_NAMED])
        raise InputFileError(
            f"The sheet '{shown_name(sheet.name)}' of {name} has cells with errors: {cells}"
            f"{' …' if len(sheet.errors) > _MOST_NAMED else ''}.",
            next_step="Nothing was sent. Correct these cells.",
        ) from error
    finally:
        sheet.workbook.close()


def _refuse_what_stands_above(
    cells: Sequence[Sequence[Any]], at: int, top: int, known: Iterable[str], of_sheet: str
) -> None:
    """Refuses a sheet whose header stands below a title; which row is the header is never guessed."""
    sought = range(at + 1, min(at + _MOST_SOUGHT, len(cells)))
    header = next((below for below in sought if _known(cells[below], known) > 1), 0)
    if not header and _filled(cells[at]) < FEWEST_COLUMNS:
        header = next((below for below in sought if _filled(cells[below]) >= FEWEST_COLUMNS), 0)
    if header:
        rows = f"row {top + at + 1}" if header == at + 1 else f"rows {top + at + 1} to {top + header}"
        raise InputFileError(
            f"{of_sheet} has something above its header, which row {top + header + 1} seems to be.",
            next_step=f"Nothing was sent. Delete {rows}.",
        )


def _filled(row: Iterable[Any]) -> int:
    return sum(not _is_blank(cell) for cell in row)


def _known(row: Iterable[Any], known: Iterable[str]) -> int:
    """How many cells of a row are names of columns that mean something."""
    names = {canonical_name(cell, at).lower() for at, cell in enumerate(row, 1) if isinstance(cell, str)}
    return len(names.intersection(known))


def _named(cell: tuple[int, int]) -> str:
    return cell_name(cell[0] << COLUMN_BITS | cell[1])


def _is_blank(cell: Any) -> bool:
    return isinstance(cell, str) and (not cell or cell.isspace())


def _text(cell: Any) -> str | None:
    """A cell's text as a CSV file would have it; None for an empty cell."""
    if isinstance(cell, str):
        return cell or None
    if isinstance(cell, bool):
        return str(cell).upper()
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < _EXACT:
        return str(int(cell))
    return cell.isoformat() if hasattr(cell, "isoformat") else str(cell)


def _date(cell: Any) -> Any:
    """A date of a strict workbook, which the library gives as text, as it gives any other date; or the cell itself."""
    try:
        found = datetime.fromisoformat(str(cell).strip())
    except ValueError:
        return cell
    return found if found.tzinfo or found.time() != time.min else found.date()


def _check_dates(name: str, column: Sequence[Any], doubts: _Doubts) -> None:
    """Refuses dates beside other text: a spreadsheet makes dates of some texts, perhaps with day and month exchanged.

    Raises:
        InputFileError: They stand in one column.
    """
    dated = next((at for at, cell in enumerate(column) if isinstance(cell, date)), -1)
    pattern = re.compile(date_form(ISO).pattern)
    for at, cell in enumerate(column):
        text = (_text(cell) or "").strip()
        # Other text, such as TBD, rejects its row alone.
        if dated >= 0 and not isinstance(cell, date) and _LIKE_A_DATE.search(text) and not pattern.match(text):
            raise InputFileError(
                f"In {doubts.file}, column `{name}` holds a date in row {doubts.lines[dated]} but "
                f"'{on_one_line(text, most=_MOST_SHOWN)}' in row {doubts.lines[at]}: the spreadsheet may have made "
                "dates of some texts, with day and month swapped.",
                next_step="Nothing was sent. Make all of them dates, or all of them text, and check their days.",
            )


class _Doubts:
    """What stands in cells but may not be what somebody typed."""

    def __init__(self, file: str, lines: Sequence[int], sheet: Sheet) -> None:
        self.file = file
        self.lines = lines
        self._is_1904 = sheet.is_1904
        self._numbers = {line: at for at, line in enumerate(lines)}
        self._errors, self._unsaved, self._formatted = map(_by_column, (sheet.errors, sheet.unsaved, sheet.formatted))
        self.notices: list[str] = []
        self._found: dict[int, list[str]] = defaultdict(list)

    @property
    def problems(self) -> pl.Series | None:
        """Why each row can't be read; None without such a row."""
        if not self._found:
            return None
        sentences = ["; ".join(self._found[at]) if at in self._found else None for at in range(len(self.lines))]
        return pl.Series(sentences, dtype=pl.String)

    def look(self, name: str, cells: Sequence[Any], column: int, *, is_id: bool, is_date: bool) -> None:
        """Looks at a column that has an effect; `column` is its position in the sheet, from 0."""
        for line in self._errors.get(column, ()):
            self._add(line, f"column `{name}` holds an error, such as #N/A: correct the cell")
        for line in self._unsaved.get(column, ()):
            why = "holds a formula whose value is not saved: open and save the file in a spreadsheet"
            self._add(line, f"column `{name}` {why}")
        formatted = frozenset(self._formatted.get(column, ()))
        noticed = []
        for at, cell in enumerate(cells):
            if isinstance(cell, str) or (is_date and not (self._is_1904 and isinstance(cell, float))):
                continue
            is_formatted = self.lines[at] in formatted
            doubt = _OTHER_DAYS if is_date else _doubt(cell, is_id=is_id, is_formatted=is_formatted)
            if doubt:
                self._add(self.lines[at], f"column `{name}` holds {doubt}")
            elif is_id or is_formatted:
                noticed.append(at)
        if noticed:
            why = (
                "If such values begin with zeros, the spreadsheet has dropped them"
                if is_id
                else "The spreadsheet shows something else"
            )
            self.notices.append(
                f"{self.file}: column `{name}` holds {count(len(noticed), 'number')}, the first in row "
                f"{self.lines[noticed[0]]}: {_text(cells[noticed[0]])}. {why}: {_AS_TEXT}."
            )

    def _add(self, line: int, sentence: str) -> None:
        # Cells above the header have no row here.
        if line in self._numbers:
            self._found[self._numbers[line]].append(sentence)


def _doubt(cell: Any, *, is_id: bool, is_formatted: bool) -> str:
    """What is doubtful about a cell that is no text; empty if nothing is."""
    if isinstance(cell, float):
        if abs(cell) >= _EXACT or (is_id and not cell.is_integer()):
            return f"the number {cell:g}, which has lost digits or is rounded: {_AS_TEXT}"
        if is_formatted and is_id:
            return f"the number {_text(cell)} but shows it otherwise, perhaps with zeros: {_AS_TEXT}"
    elif is_id:
        kind = "TRUE or FALSE" if isinstance(cell, bool) else "a date or time"
        return f"{kind}, which the spreadsheet may have made from other text: {_AS_TEXT}"
    return ""


def _by_column(positions: array[int]) -> dict[int, list[int]]:
    """For each column the numbers of the rows, from 1, in which it has one of the positions."""
    found: dict[int, list[int]] = defaultdict(list)
    for at in positions:
        found[at & ((1 << COLUMN_BITS) - 1)].append((at >> COLUMN_BITS) + 1)
    return found


def _unnamed(grid: _Grid, name: str) -> Iterator[str]:
    """A row whose cells are shifted to the right may end in such a column."""
    for header, at, cells in zip(grid.headers, grid.positions, grid.columns, strict=True):
        if not header.strip():
            filled = [line for line, cell in zip(grid.lines, cells, strict=True) if not _is_blank(cell)]
            yield (
                f"{name}: column {column_name(at)} has no header, but {count(len(filled), 'cell')} with a value, the "
                f"first in row {filled[0]}. Nothing of it is sent. Check that no row is shifted."
            )


def _notices(sheet: Sheet, name: str) -> Iterator[str]:
    if sheet.skipped:
        skipped = ", ".join(f"'{shown_name(one)}'" for one in sheet.skipped[:_MOST_NAMED])
        yield f"{name}: the sheet '{shown_name(sheet.name)}' is read, and its hidden sheets are not: {skipped}."
    if saved := len(sheet.formulas) - len(sheet.unsaved):
        cells = "1 cell holds a formula" if saved == 1 else f"{saved:,} cells hold formulas"
        unsaved = frozenset(sheet.unsaved)
        first = next(at for at in sheet.formulas if at not in unsaved)
        yield f"{name}: {cells}, such as {cell_name(first)}. Their values are read as they were last saved."
    if sheet.hidden_rows:
        rows = "1 row is" if sheet.hidden_rows == 1 else f"{sheet.hidden_rows:,} rows are"
        yield f"{name}: {rows} hidden, perhaps by a filter, and read like the others. --where takes only some rows."
