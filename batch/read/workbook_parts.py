"""A workbook's chosen sheet: found, checked, and packed anew as a workbook that holds nothing else. Pure.

The library that reads workbooks reserves what a file says of itself, and does not tell which cells are formulas,
errors, or numbers that look different from their values. So every part is measured and scanned first, and the library
gets exactly the bytes that were scanned. Sources: ECMA-376, parts 1 (SpreadsheetML) and 2 (packages).
"""

from __future__ import annotations

import io
import posixpath
import zipfile
import zlib
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from batch.errors import InputFileError
from batch.text import on_one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from batch.read.limits import Limits

MAGIC: Final = b"PK\x03\x04"
SHEET: Final = "sheet"
"""The name of the only sheet of the workbook that is packed anew."""

COLUMN_BITS: Final = 14
"""A cell's position is its row, shifted by so many bits, and its column; both count from 0."""

_MOST_ROWS: Final = 1 << 20
_MOST_COLUMNS: Final = 1 << COLUMN_BITS
_MOST_PARTS: Final = 10_000
_MOST_NAMED: Final = 20
_MOST_SHOWN: Final = 80
# As large as this, since the parser begins anew with each piece if a comment or an attribute is larger.
_PIECE: Final = 8 << 20
_PLAIN_FORMATS: Final = frozenset({"0", "1", "49"})
"""The ids of the built-in formats that show a whole number as it is: General, 0, and text."""

_PLAIN_CODES: Final = frozenset({"general", "0", "@"})
_ENCODINGS: Final = frozenset({"utf-8", "utf-16", "us-ascii"})
_QUARTER: Final = "a quarter of the limit"
_DIGITS: Final = "0123456789"
_MAIN: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_RELATIONS: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE: Final = "http://schemas.openxmlformats.org/package/2006/relationships"
_OTHER_KINDS: Final = {
    "xl/workbook.bin": "a binary Excel workbook (.xlsb)",
    "content.xml": "an OpenDocument file",
    "word/document.xml": "a Word document",
}


class DamagedError(ValueError):
    """The bytes are no workbook."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """The chosen sheet of a workbook; the arrays hold positions of cells, see COLUMN_BITS.

    Attributes:
        name: Its name.
        workbook: A workbook with this sheet alone, named SHEET.
        skipped: Names of the hidden sheets, if nobody has chosen.
        formulas: Cells with a formula.
        unsaved: Those of them whose value is not saved.
        errors: Cells that hold an error, such as #N/A.
        formatted: Numbers whose format shows something else, such as zeros in front.
        hidden_rows: How many rows with cells are hidden, perhaps by a filter.
        is_1904: Whether the workbook counts its days from 1904.
    """

    name: str
    workbook: io.BytesIO
    skipped: tuple[str, ...] = ()
    formulas: array[int] = field(default_factory=lambda: array("Q"))
    unsaved: array[int] = field(default_factory=lambda: array("Q"))
    errors: array[int] = field(default_factory=lambda: array("Q"))
    formatted: array[int] = field(default_factory=lambda: array("Q"))
    hidden_rows: int = 0
    is_1904: bool = False


def checked_sheet(data: bytes, name: str, wanted: str, limits: Limits) -> Sheet:
    """Finds a workbook's sheet, and checks its size before anything of it is kept.

    Args:
        data: The whole file.
        name: The file's name for messages.
        wanted: The sheet's name; empty if the workbook has only one.
        limits: A workbook may take a quarter of the size once it is unpacked, and have a twentieth of the cells, since
            each of them takes more memory and time than in other files.

    Raises:
        InputFileError: It is too large, of another kind, or has several sheets and none is named.
        DamagedError: It is no workbook.
    """
    if data.count(b"PK\x01\x02") > _MOST_PARTS:
        raise limits.exceeded(f"{name} has more than {_MOST_PARTS:,} parts")
    try:
        return _checked(_Package(data, name, limits), wanted)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DamagedError("it can't be unpacked, or has a password") from error
    except expat.ExpatError as error:
        raise DamagedError("a part of it is damaged") from error
    except (LookupError, ValueError, OverflowError) as error:
        raise error if isinstance(error, DamagedError) else DamagedError("its parts contradict each other") from error


class _Listed(NamedTuple):
    """A sheet as the workbook lists it."""

    name: str
    part: str
    is_hidden: bool


class _Package:
    """Reads the parts of a workbook, each of which counts."""

    def __init__(self, data: bytes, name: str, limits: Limits) -> None:
        self.name = name
        self.limits = limits
        self._left = limits.size // 4
        self._elements = 0
        self._zip = zipfile.ZipFile(io.BytesIO(data))
        self._parts: dict[str, zipfile.ZipInfo] = {}
        for info in self._zip.infolist():
            key = info.filename.replace("\\", "/").lstrip("/").lower()
            if key in self._parts:
                raise DamagedError("it has two parts of one name")
            self._parts[key] = info

    def has(self, part: str) -> bool:
        """Whether there is a part of this path."""
        return part.lower() in self._parts

    def scan(
        self,
        part: str,
        start: Callable[[str, Mapping[str, str]], None],
        text: Callable[[str], None] | None = None,
        copy_to: zipfile.ZipFile | None = None,
        copied_as: str = "",
    ) -> None:
        """Tells all elements and texts of a part, and copies it."""
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = start
        parser.StartDoctypeDeclHandler = _refuse_document_type
        parser.XmlDeclHandler = _refuse_odd_encoding
        if text is not None:
            parser.CharacterDataHandler = text
        if copy_to is None:
            for piece in self._pieces(part):
                parser.Parse(piece, False)
        else:
            with copy_to.open(copied_as, "w") as copy:
                for piece in self._pieces(part):
                    parser.Parse(piece, False)
                    copy.write(piece)
        parser.Parse(b"", True)

    def _pieces(self, part: str) -> Iterator[bytes]:
        info = self._parts[part.lower()]
        if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise DamagedError("it is compressed in an unusual way")
        with self._zip.open(info) as opened:
            while piece := opened.read(min(_PIECE, self._left + 1)):
                self._left -= len(piece)
                if self._left < 0:
                    quarter = self.limits.size // 4
                    raise self.limits.exceeded(
                        f"{self.name} takes more than {quarter:,} bytes once it is unpacked", _QUARTER
                    )
                self._elements += piece.count(b"<") - piece.count(b"</")
                if self._elements > self.limits.cells // 20:
                    raise self.too_many()
                yield piece

    def too_many(self) -> InputFileError:
        """The error for a workbook with too many elements."""
        return self.limits.exceeded(f"{self.name} has more than {self.limits.cells // 20:,} cells and texts")


def _refuse_document_type(*_: object) -> None:
    raise DamagedError("a part of it defines entities")


def _refuse_odd_encoding(_: str, encoding: str | None, __: int) -> None:
    if encoding is not None and encoding.lower() not in _ENCODINGS:
        raise DamagedError("a part of it has an unusual encoding")


def _local(name: str) -> str:
    """An element's name without its prefix."""
    return name.rpartition(":")[2] if ":" in name else name


def _checked(package: _Package, wanted: str) -> Sheet:
    for part, kind in _OTHER_KINDS.items():
        if package.has(part):
            raise InputFileError(
                f"{package.name} is {kind}, which can't be read.",
                next_step="Nothing was sent. Save it as .xlsx or CSV.",
            )
    if not package.has("_rels/.rels"):
        raise InputFileError(
            f"{package.name} is a ZIP archive, not a workbook.",
            next_step="Nothing was sent. Unpack it, and give the file within.",
        )
    (book,) = [part for kind, part in _relations(package, "").values() if kind == "officeDocument"]
    relations = _relations(package, book)
    listed, is_1904 = _sheets(package, book, relations)
    sheet = _chosen(listed, wanted, package.name)
    parts = {kind: part for kind, part in relations.values() if package.has(part)}
    workbook = io.BytesIO()
    with zipfile.ZipFile(workbook, "w", zipfile.ZIP_STORED) as copy:
        _write_frame(copy, is_1904=is_1904)
        plain = _scan_styles(package, parts.get("styles"), copy)
        lengths = _scan_texts(package, parts.get("sharedStrings"), copy)
        scan = _SheetScan(package, plain, lengths)
        package.scan(sheet.part, scan.start, scan.text, copy, "xl/worksheets/sheet1.xml")
        scan.finish()
    workbook.seek(0)
    return Sheet(
        sheet.name,
        workbook,
        () if wanted else tuple(one.name for one in listed if one.is_hidden and one.name != sheet.name),
        scan.formulas,
        scan.unsaved,
        scan.errors,
        scan.formatted,
        scan.hidden_rows,
        is_1904,
    )


def _relations(package: _Package, source: str) -> dict[str, tuple[str, str]]:
    """The kind and the path of each part that a part refers to, by the reference's id."""
    folder, file = posixpath.split(source)
    found: dict[str, tuple[str, str]] = {}

    def start(name: str, attributes: Mapping[str, str]) -> None:
        if _local(name) == "Relationship" and attributes.get("TargetMode") != "External":
            target = attributes["Target"].replace("\\", "/")
            path = target.lstrip("/") if target.startswith("/") else posixpath.normpath(posixpath.join(folder, target))
            found[attributes["Id"]] = attributes["Type"].rpartition("/")[2], path

    package.scan(posixpath.join(folder, "_rels", f"{file}.rels"), start)
    return found


def _sheets(package: _Package, book: str, relations: Mapping[str, tuple[str, str]]) -> tuple[list[_Listed], bool]:
    """The worksheets in order, and whether the workbook counts days from 1904."""
    listed: list[_Listed] = []
    is_1904 = False

    def start(name: str, attributes: Mapping[str, str]) -> None:
        nonlocal is_1904
        local = _local(name)
        if local == "workbookPr":
            is_1904 = attributes.get("date1904") in {"1", "true"}
        elif local == "sheet":
            reference = next((value for key, value in attributes.items() if key.rpartition(":")[2] == "id"), "")
            kind, part = relations[reference]
            if kind == "worksheet":
                listed.append(_Listed(attributes["name"], part, attributes.get("state", "visible") != "visible"))

    package.scan(book, start)
    return listed, is_1904


def _chosen(listed: Sequence[_Listed], wanted: str, name: str) -> _Listed:
    if not listed:
        raise DamagedError("it has no sheet with cells")
    visible = [one for one in listed if not one.is_hidden] or listed
    chosen = [one for one in listed if one.name.strip().casefold() == wanted.strip().casefold()] if wanted else visible
    if len(chosen) == 1:
        return chosen[0]
    names = ", ".join(f"'{shown_name(one.name)}'" for one in listed[:_MOST_NAMED])
    more = f" and {len(listed) - _MOST_NAMED} more" if len(listed) > _MOST_NAMED else ""
    if wanted:
        problem = f"{name} has no sheet '{shown_name(wanted)}'. Its sheets are {names}{more}."
    else:
        problem = f"{name} has several sheets: {names}{more}."
    raise InputFileError(
        problem, next_step=f"Nothing was sent. Name the sheet to read, such as --sheet '{shown_name(visible[0].name)}'."
    )


def shown_name(sheet: str) -> str:
    """A sheet's name for messages."""
    return on_one_line(sheet, most=_MOST_SHOWN)


def _write_frame(copy: zipfile.ZipFile, *, is_1904: bool) -> None:
    """The parts around the sheet, of our own making."""
    copy.writestr("_rels/.rels", _relationships({"officeDocument": "xl/workbook.xml"}))
    copy.writestr("xl/_rels/workbook.xml.rels", _relationships({"worksheet": "worksheets/sheet1.xml"}))
    copy.writestr(
        "xl/workbook.xml",
        f'<workbook xmlns="{_MAIN}" xmlns:r="{_RELATIONS}"><workbookPr date1904="{int(is_1904)}"/>'
        f'<sheets><sheet name={quoteattr(SHEET)} sheetId="1" r:id="worksheet"/></sheets></workbook>',
    )


def _relationships(targets: Mapping[str, str]) -> str:
    members = (
        f'<Relationship Id="{kind}" Type="{_RELATIONS}/{kind}" Target="{target}"/>' for kind, target in targets.items()
    )
    return f'<Relationships xmlns="{_PACKAGE}">{"".join(members)}</Relationships>'


def _scan_styles(package: _Package, part: str | None, copy: zipfile.ZipFile) -> list[bool]:
    """For each style of a cell: whether it shows a whole number as it is."""
    codes: dict[str, str] = {}
    formats: list[str] = []
    inside = ""

    def start(name: str, attributes: Mapping[str, str]) -> None:
        nonlocal inside
        local = _local(name)
        if local in {"cellXfs", "cellStyleXfs", "cellStyles", "dxfs"}:
            inside = local
        elif local == "numFmt":
            codes[attributes["numFmtId"]] = attributes["formatCode"]
        elif local == "xf" and inside == "cellXfs":
            formats.append(attributes.get("numFmtId", "0"))

    if part is None:
        return []
    package.scan(part, start, None, copy, "xl/styles.xml")
    return [codes[one].strip().lower() in _PLAIN_CODES if one in codes else one in _PLAIN_FORMATS for one in formats]


def _scan_texts(package: _Package, part: str | None, copy: zipfile.ZipFile) -> array[int]:
    """The length of each text that cells share."""
    lengths: array[int] = array("Q")

    def start(name: str, attributes: Mapping[str, str]) -> None:
        local = _local(name)
        if local == "si":
            lengths.append(0)
        elif local == "sst" and int(attributes.get("uniqueCount", "0")) > package.limits.cells // 20:
            # The library reserves as much.
            raise package.too_many()

    def text(piece: str) -> None:
        if lengths:
            lengths[-1] += len(piece)

    if part is not None:
        package.scan(part, start, text, copy, "xl/sharedStrings.xml")
    return lengths


class _SheetScan:
    """Measures a sheet's cells, and finds the special ones."""

    def __init__(self, package: _Package, plain: Sequence[bool], lengths: Sequence[int]) -> None:
        self.formulas: array[int] = array("Q")
        self.unsaved: array[int] = array("Q")
        self.errors: array[int] = array("Q")
        self.formatted: array[int] = array("Q")
        self.hidden_rows = 0
        self._package = package
        self._plain = plain
        self._lengths = lengths
        self._columns: dict[str, int] = {}
        self._row, self._next_row, self._next_column = 0, 0, 0
        self._at_row, self._at_column = 0, 0
        self._kind, self._style, self._inside = "", 0, ""
        self._has_formula = self._has_value = self._is_hidden = False
        self._text_left = package.limits.size // 4
        self._top, self._bottom, self._left, self._right = _MOST_ROWS, -1, _MOST_COLUMNS, -1

    # These two are called for each element and text, so a millionth of a second more is a second for a large sheet.

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        """Takes the beginning of an element."""
        if ":" in name:
            name = _local(name)
        self._inside = name
        if name == "c":
            if self._has_value or self._has_formula:
                self.finish()
            reference = attributes.get("r")
            if reference is None:
                self._at_row, self._at_column = self._row, self._next_column
            else:
                letters = reference.rstrip(_DIGITS)
                self._at_row = int(reference[len(letters) :]) - 1
                self._at_column = self._columns[letters] if letters in self._columns else self._new_column(letters)
            self._next_column = self._at_column + 1
            self._kind = attributes.get("t", "n")
            self._style = int(attributes.get("s", 0))
        elif name == "f":
            self._has_formula = True
        elif name == "row":
            self.finish()
            number = attributes.get("r")
            self._row = int(number) - 1 if number else self._next_row
            self._next_row, self._next_column = self._row + 1, 0
            self._is_hidden = attributes.get("hidden") in {"1", "true"}

    def text(self, piece: str) -> None:
        """Takes the text of an element."""
        if self._inside == "v":
            if self._kind == "s":
                # Blanks may stand behind the value. The library would take anything else for the first text.
                if self._has_value and piece.isspace():
                    return
                if not (piece.isascii() and piece.isdecimal()):
                    raise DamagedError("a cell names none of the texts")
                self._text_left -= self._lengths[int(piece)]
            elif self._kind == "str" or not piece.isspace():
                self._text_left -= len(piece)
            else:
                return
        elif self._inside == "t" and (self._has_value or not piece.isspace()):
            self._text_left -= len(piece)
        else:
            return
        self._has_value = True
        if self._text_left < 0:
            quarter = self._package.limits.size // 4
            raise self._package.limits.exceeded(
                f"{self._package.name} holds more than {quarter:,} characters", _QUARTER
            )

    def finish(self) -> None:
        """Takes note of the cell that has ended."""
        row, column = self._at_row, self._at_column
        if self._has_value or self._has_formula:
            if not (self._top <= row <= self._bottom and self._left <= column <= self._right):
                self._extend(row, column)
            self.hidden_rows += self._is_hidden
            self._is_hidden = False
            at = row << COLUMN_BITS | column
            if self._kind == "e":
                self.errors.append(at)
            elif self._style and self._kind == "n" and self._style < len(self._plain) and not self._plain[self._style]:
                self.formatted.append(at)
            if self._has_formula:
                self.formulas.append(at)
                if not self._has_value and self._kind != "str":
                    self.unsaved.append(at)
        self._has_formula = self._has_value = False

    def _extend(self, row: int, column: int) -> None:
        """Checks the size of the smallest rectangle around all cells, which the library reserves."""
        if not (0 <= row < _MOST_ROWS and 0 <= column < _MOST_COLUMNS):
            raise DamagedError("a cell is beyond the edges of a sheet")
        self._top, self._bottom = min(self._top, row), max(self._bottom, row)
        self._left, self._right = min(self._left, column), max(self._right, column)
        limits = self._package.limits
        height, width = self._bottom - self._top + 1, self._right - self._left + 1
        limits.check(self._package.name, rows=height, columns=width)
        if height * width > limits.cells // 10:
            raise limits.exceeded(f"{self._package.name} spans more than {limits.cells // 10:,} cells")

    def _new_column(self, letters: str) -> int:
        column = self._columns[letters] = _column_number(letters)
        return column


def _column_number(letters: str) -> int:
    number = 0
    for letter in letters.upper():
        if not "A" <= letter <= "Z":
            raise DamagedError("a cell has no valid name")
        number = number * 26 + ord(letter) - ord("A") + 1
    return number - 1


def cell_name(at: int) -> str:
    """A cell's name as spreadsheets show it, such as `B2`."""
    return f"{column_name(at & (_MOST_COLUMNS - 1))}{(at >> COLUMN_BITS) + 1}"


def column_name(column: int) -> str:
    """A column's name as spreadsheets show it; the argument counts from 0."""
    name = ""
    while column >= 0:
        column, letter = divmod(column, 26)
        name = chr(ord("A") + letter) + name
        column -= 1
    return name
