"""Encodings: found, never guessed silently."""

from __future__ import annotations

import codecs

import pytest

from batch.read import encoding
from tests.read.read_helpers import HEADER, cells, lines, read_bytes, refusal

_TEXT = f"{HEADER}\n1,ROLE,2,“Zoë”\n"


@pytest.mark.parametrize(
    "data",
    [
        _TEXT.encode(),
        _TEXT.encode("utf-8-sig"),
        _TEXT.encode("utf-16"),
        codecs.BOM_UTF16_BE + _TEXT.encode("utf-16-be"),
        _TEXT.encode("utf-16-le"),
        _TEXT.encode("utf-16-be"),
    ],
)
def test_unicode_is_read_with_and_without_a_byte_order_mark(data: bytes) -> None:
    table = read_bytes(data)
    assert cells(table) == [("1", "ROLE", "2", "“Zoë”")]
    assert table.notices == ()


@pytest.mark.parametrize(("newline", "line"), [("\n", 3), ("\r\n", 3), ("\r", 3)])
def test_windows_1252_is_read_with_a_notice(newline: str, line: int) -> None:
    text = f"{HEADER}\n1,ROLE,2,plain\n3,ROLE,4,€ Zoë\n".replace("\n", newline)
    table = read_bytes(text.encode("cp1252"))
    assert cells(table)[1] == ("3", "ROLE", "4", "€ Zoë")
    assert lines(table) == [2, 3]
    assert table.notices == (f"in.csv is not UTF-8 (first on line {line}) and was read as Windows-1252.",)


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (codecs.BOM_UTF8 + f"{HEADER}\n1,ROLE,2,Zoë\n".encode("cp1252"), "line 2 is not UTF-8"),
        (f"{HEADER}\n1,ROLE,2,".encode() + b"\x81\n", "neither UTF-8 (see line 2) nor Windows-1252 (see line 2"),
        (_TEXT.encode() + b"\xe9\n", "neither UTF-8 (see line 3) nor Windows-1252 (see line 2: byte 0x9D)"),
        (_TEXT.encode("utf-16")[:-1], "line 2 is damaged"),
        (_TEXT.encode("utf-16") + b"\x00\xd8\n\x00", "line 3 is damaged"),
    ],
)
def test_bytes_that_are_no_text_are_refused_with_their_line(data: bytes, named: str) -> None:
    assert named in refusal(lambda: read_bytes(data)).message


@pytest.mark.parametrize("piece", [1, 2, 3, 7])
def test_a_character_may_span_two_chunks(monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    monkeypatch.setattr(encoding, "_CHUNK_BYTES", piece)
    assert encoding.to_utf8(_TEXT.encode(), "in.csv").notices == ()
    bad = f"{HEADER}\n1,ROLE,2,€ Zoë\n".encode() + b"\n\xe2\x80"
    (notice,) = encoding.to_utf8(bad, "in.csv").notices
    assert notice.startswith("in.csv is not UTF-8 (first on line 4) and was read as Windows-1252. Earlier lines")
