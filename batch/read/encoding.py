r"""Bytes of a text file → UTF-8 bytes with `\n` or `\r\n` line ends. Pure."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, NamedTuple

from batch.errors import InputFileError
from batch.read.limits import LIMITS, Limits

if TYPE_CHECKING:
    from collections.abc import Iterator

_RESAVE = "Save the file again as UTF-8 (in a spreadsheet: “CSV UTF-8”)."
# These bytes belong to the header, which is nearly all ASCII.
_UTF16_SAMPLE_BYTES = 64
_CHUNK_BYTES = 1 << 20


class Text(NamedTuple):
    """A file's text as UTF-8 without a byte-order mark, and sentences for the user about its decoding.

    is_plain: Whether it was so before.
    """

    data: bytes
    notices: tuple[str, ...]
    is_plain: bool = True


def to_utf8(data: bytes, name: str, limits: Limits = LIMITS) -> Text:
    """Decode by byte-order mark, by UTF-16's pattern of NUL bytes, as UTF-8, or else as Windows-1252.

    Args:
        data: The whole file.
        name: The file's name for messages.
        limits: How long its lines may be.

    Raises:
        InputFileError: The bytes are no text in the encoding that they announce, or in any of these; or a line is
            too long.
    """
    notices: tuple[str, ...] = ()
    is_plain = False
    if data.startswith(codecs.BOM_UTF8):
        data = data[len(codecs.BOM_UTF8) :]
        bad = _first_invalid_utf8(data)
        if bad is not None:
            raise InputFileError(
                f"{name} starts with a UTF-8 byte-order mark, but line {_line_of(data, bad)} is not UTF-8.",
                next_step=_RESAVE,
            )
    elif utf16 := _utf16_codec(data):
        data = _from_utf16(data, utf16, name)
    else:
        bad = _first_invalid_utf8(data)
        is_plain = bad is None
        if bad is not None:
            notices = (_windows_1252_notice(data, bad, name),)
            data = _from_windows_1252(data, bad, name)
    if b"\r" in data and b"\n" not in data:
        data = data.replace(b"\r", b"\n")
    limits.check_lines(data, name)
    return Text(data, notices, is_plain)


def _first_invalid_utf8(data: bytes) -> int | None:
    if data.isascii():
        return None
    try:
        for _ in _decoded(data, "utf-8"):
            pass
    except UnicodeDecodeError as error:
        return error.start
    return None


def _decoded(data: bytes, codec: str) -> Iterator[str]:
    """The text in chunks: a str takes up to four times its bytes.

    Raises:
        UnicodeDecodeError: Bytes are invalid; `start` counts from the beginning of the data.
    """
    decoder = codecs.getincrementaldecoder(codec)()
    for start in range(0, len(data), _CHUNK_BYTES):
        pending = len(decoder.getstate()[0])
        try:
            yield decoder.decode(data[start : start + _CHUNK_BYTES], final=start + _CHUNK_BYTES >= len(data))
        except UnicodeDecodeError as error:
            error.start += start - pending
            raise


def _utf16_codec(data: bytes) -> str | None:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    sample = data[:_UTF16_SAMPLE_BYTES]
    if len(data) % 2 or len(sample) < 4:  # noqa: PLR2004 - it takes two characters to show a pattern
        return None
    even, odd = sample[::2], sample[1::2]
    if odd.count(0) > 0.7 * len(odd) and not even.count(0):
        return "utf-16-le"
    if even.count(0) > 0.7 * len(even) and not odd.count(0):
        return "utf-16-be"
    return None


def _from_utf16(data: bytes, codec: str, name: str) -> bytes:
    try:
        return b"".join(part.encode() for part in _decoded(data, codec))
    except UnicodeDecodeError as error:
        line = data[: error.start].decode(codec, errors="replace").count("\n") + 1
        raise InputFileError(f"{name} is UTF-16, but line {line} is damaged.", next_step=_RESAVE) from error


def _windows_1252_notice(data: bytes, bad: int, name: str) -> str:
    doubt = "" if data[:bad].isascii() else " Earlier lines look like UTF-8: check names and comments."
    return f"{name} is not UTF-8 (first on line {_line_of(data, bad)}) and was read as Windows-1252.{doubt}"


def _from_windows_1252(data: bytes, bad: int, name: str) -> bytes:
    try:
        return b"".join(part.encode() for part in _decoded(data, "cp1252"))
    except UnicodeDecodeError as error:
        line = _line_of(data, error.start)
        raise InputFileError(
            f"{name} is neither UTF-8 (see line {_line_of(data, bad)}) nor Windows-1252 (see line {line}: "
            f"byte 0x{data[error.start]:02X}).",
            next_step=_RESAVE,
        ) from error


def _line_of(data: bytes, position: int) -> int:
    newline = b"\n" if b"\n" in data else b"\r"
    return data.count(newline, 0, position) + 1
