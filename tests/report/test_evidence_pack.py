"""The form of an evidence pack: what is not exactly as it was written is named, and nothing harmful is unpacked."""

from __future__ import annotations

import io
import re
import struct
import tracemalloc
import zipfile
from time import process_time

import polars as pl
import pytest

from batch.errors import InputFileError
from batch.report.evidence_pack import (
    FORMAT,
    MANIFEST,
    SIGNATURES,
    Member,
    as_document,
    as_lines,
    assembled,
    deflated,
    from_lines,
    packed,
    stored,
    unpacked,
)

FILES = {"a.txt": b"first\n" * 40, "results/b.csv": "é".encode() * 30, "empty.txt": b""}


def made() -> bytes:
    return packed(FILES, {"made_at": "now"}, lambda manifest: b"%d" % len(manifest))


def files() -> dict[str, bytes]:
    return dict(unpacked(made(), "pack.zip").files)


def put_together(content: dict[str, bytes]) -> bytes:
    """An archive in our form, without looking at what its manifest says."""
    names = sorted(content, key=lambda name: (name in LAST, name))
    return assembled([(stored if name in LAST else deflated)(name, content[name]) for name in names])


LAST = (MANIFEST, SIGNATURES)


def test_a_pack_is_an_ordinary_archive_that_comes_back_as_it_was() -> None:
    data = made()
    pack = unpacked(data, "pack.zip")
    assert pack.faults == []
    assert {name: content for name, content in pack.files.items() if name not in LAST} == FILES
    assert pack.manifest["made_at"] == "now"
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == files()
    assert made() == data


def test_each_byte_that_is_changed_is_noticed() -> None:
    data, unnoticed = made(), []
    for place in range(len(data)):
        for bit in (1, 0x80):
            changed = bytearray(data)
            changed[place] ^= bit
            try:
                pack = unpacked(bytes(changed), "pack.zip")
            except InputFileError:
                continue
            if not pack.faults:
                unnoticed.append((place, bit))
    assert unnoticed == []


def test_each_file_that_is_changed_missing_or_added_is_named() -> None:
    for name, content in FILES.items():
        changed = {**files(), name: content + b"x"}
        assert unpacked(put_together(changed), "p").faults == [f"{name} was changed"]
        less = {one: kept for one, kept in files().items() if one != name}
        assert unpacked(put_together(less), "p").faults == [f"{name} is missing"]
    assert unpacked(put_together({**files(), "more.txt": b""}), "p").faults == [
        "more.txt does not belong to it: manifest.json does not list it"
    ]
    spaced = {**files(), MANIFEST: files()[MANIFEST].replace(b"\n ", b"\n  ", 1)}
    assert unpacked(put_together(spaced), "p").faults == ["manifest.json was changed"]


def test_bytes_around_the_archive_are_noticed() -> None:
    data = made()
    assert unpacked(b"more" + data, "p").faults
    assert unpacked(data[:-2] + b"\x04\x00more", "p").faults, "a comment"


@pytest.mark.parametrize("length", [0, 1, 10, 100, -1, -30])
def test_a_part_of_a_pack_is_refused(length: int) -> None:
    with pytest.raises(InputFileError, match="only a part"):
        unpacked(made()[:length], "pack.zip")


def test_other_archives_are_refused() -> None:
    assert "no manifest.json" in refusal(zipped({"a.txt": b"1"}))
    assert "not that of an evidence pack" in refusal(zipped({MANIFEST: b'{"name": "an extension"}'}))
    assert "not that of an evidence pack" in refusal(zipped({MANIFEST: b"[" * 100_000}))
    newer = {**files(), MANIFEST: as_document({"format": f"{FORMAT}2"})}
    assert "another version" in refusal(put_together(newer))


@pytest.mark.parametrize(
    "name", ["../a.txt", "/etc/passwd", "a\\b.txt", "results/../../a.txt", "a.txt\x00.html", "Ä.txt"]
)
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    assert "no evidence pack has" in refusal(put_together({**files(), name: b""}))


def test_nonsense_in_a_manifest_is_named_or_refused() -> None:
    begin = b'{"format": "access-batch evidence 1", "files": '
    for end in (b"{}}", b"NaN}", b'{"a": NaN}}', b'{"a.txt": 3}}', b'"\\ud800"}', b"[" * 900 + b"]" * 900 + b"}"):
        assert unpacked(put_together({**files(), MANIFEST: begin + end}), "p").faults


def test_an_archive_of_very_many_files_is_refused() -> None:
    names = [f"f{'a' * n}.txt" for n in range(41)]
    assert "46 files, more than any" in refusal(put_together({**files(), **dict.fromkeys(names, b"")}))
    double = [stored("a.txt", b"")] * 60_000
    start = process_time()
    assert "60,000 files, more than any" in refusal(assembled(double))
    assert process_time() - start < 5


def test_a_name_that_stands_there_twice_is_refused() -> None:
    data = assembled([stored(name, content) for name, content in [*files().items(), ("a.txt", b"other")]])
    assert "holds a.txt twice" in refusal(data)


def test_a_file_that_would_be_huge_is_not_unpacked() -> None:
    huge = {**FILES, "a.txt": b"\0" * (1 << 24)}
    assert "a.txt is the largest" in refusal(packed(huge, {}, lambda _: b""))


def test_many_small_files_that_would_be_huge_together_are_not_unpacked() -> None:
    zeros = {f"f{'a' * n}.txt": b"\0" * (1 << 20) for n in range(30)}
    assert "would be larger than those of any evidence" in refusal(packed(zeros, {}, lambda _: b""))


def test_files_that_share_their_bytes_are_refused() -> None:
    data = bytearray(made())
    places = [match.start() for match in re.finditer(b"PK\1\2", data)]
    for place in places:
        struct.pack_into("<I", data, place + 20, len(data) // 2)
    assert "not an evidence pack" in refusal(bytes(data))


def test_no_more_of_a_file_is_unpacked_than_its_archive_says_that_there_is() -> None:
    huge = deflated("a.txt", b"\0" * (1 << 26))
    members = [huge._replace(size=1000), *(stored(name, files()[name]) for name in LAST)]
    tracemalloc.start()
    try:
        pack = unpacked(assembled(members), "p")
        assert tracemalloc.get_traced_memory()[1] < 1 << 24
    finally:
        tracemalloc.stop()
    assert "a.txt is damaged" in pack.faults


@pytest.mark.parametrize("method", [1, 9, 12, 14, 93, 99])
def test_no_other_compression_is_tried(method: int) -> None:
    members = [Member("a.txt", 1, 10, b"\x09\x04\x05\0" + b"\xff" * 50, method), stored(MANIFEST, b"{}")]
    assert "a.txt in a form of compression" in refusal(assembled(members))


def test_a_manifest_that_was_written_otherwise_is_not_read_any_further() -> None:
    for other in (files()[MANIFEST] + b" ", files()[MANIFEST].replace(b"{", b'{"made_at":"never",', 1)):
        pack = unpacked(put_together({**files(), MANIFEST: other}), "p")
        assert (pack.manifest, pack.faults) == ({}, ["manifest.json was changed"])


def test_lines_of_a_table_come_back_and_are_written_in_one_way() -> None:
    schema = {"_line": pl.Int64, "text": pl.String}
    table = pl.DataFrame({"_line": [1, None, 3], "text": ['"\n\u2028é', None, ""]}, schema=schema)
    content = as_lines(table)
    assert from_lines(content, schema).equals(table)
    assert from_lines(b"", schema).is_empty()
    for wrong in (
        content[:-1],
        content + b"\n",
        content.replace(b":", b": ", 1),
        content.replace(b'{"_line":1', b'{"_line":true'),
        content.replace(b'{"_line":1', b'{"_line":"1"'),
        content.replace(b'{"_line":1', b'{"_line":1.0'),
        content.replace(b'{"_line":1', b'{"_line":99999999999999999999'),
        content.replace(b'{"_line":1', b'{"_line":1,"_line":1'),
        content.replace(b'{"_line":1,', b"{"),
        b"[]\n",
        b"\xff\n",
        b"[" * 100_000 + b"\n",
    ):
        with pytest.raises(ValueError):  # noqa: PT011 - any will do
            from_lines(wrong, schema)


def test_no_line_of_a_long_table_is_lost() -> None:
    table = pl.DataFrame({"_line": range(100_001)}, schema={"_line": pl.Int64})
    assert from_lines(as_lines(table), table.schema).equals(table)


def refusal(data: bytes) -> str:
    with pytest.raises(InputFileError) as caught:
        unpacked(data, "pack.zip")
    assert "Nothing was verified" in caught.value.next_step
    return caught.value.message


def zipped(content: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, one in content.items():
            archive.writestr(name, one)
    return data.getvalue()
