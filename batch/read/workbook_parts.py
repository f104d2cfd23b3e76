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
from batch.read.workbook_scan import QUARTER, DamagedError, SheetScan, local_name
from batch.text import on_one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from batch.read.limits import Limits

MAGIC: Final = b"PK\x03\x04"
SHEET: Final = "sheet"
"""The name of the only sheet of the workbook that is packed anew."""

_MOST_PARTS: Final = 10_000
_MOST_NAMED: Final = 20
_MOST_SHOWN: Final = 80
# As large as this, since the parser begins anew with each piece if a comment or an attribute is larger.
_PIECE: Final = 8 << 20
_PLAIN_FORMATS: Final = frozenset({"0", "1", "49"})
"""The ids of the built-in formats that show a whole number as it is: General, 0, and text."""

_PLAIN_CODES: Final = frozenset({"general", "0", "@"})
_ENCODINGS: Final = frozenset({"utf-8", "utf-16", "us-ascii"})
_MAIN: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_RELATIONS: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE: Final = "http://schemas.openxmlformats.org/package/2006/relationships"
_OTHER_KINDS: Final = {
    "xl/workbook.bin": "a binary Excel workbook (.xlsb)",
    "content.xml": "an OpenDocument file",
    "word/document.xml": "a Word document",
}


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
        dates: Dates that are written as ISO 8601, as in strict workbooks.
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
    dates: array[int] = field(default_factory=lambda: array("Q"))
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
                        f"{self.name} takes more than {quarter:,} bytes once it is unpacked", QUARTER
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
        scan = SheetScan(package.name, package.limits, plain, lengths)
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
        scan.dates,
        scan.hidden_rows,
        is_1904,
    )


def _relations(package: _Package, source: str) -> dict[str, tuple[str, str]]:
    """The kind and the path of each part that a part refers to, by the reference's id."""
    folder, file = posixpath.split(source)
    found: dict[str, tuple[str, str]] = {}

    def start(name: str, attributes: Mapping[str, str]) -> None:
        if local_name(name) == "Relationship" and attributes.get("TargetMode") != "External":
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
        local = local_name(name)
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
        local = local_name(name)
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
        local = local_name(name)
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
