"""The form of an evidence pack: what is not exactly as it was written is named, and nothing harmful is unpacked."""

from __future__ import annotations

import io
import zipfile

import polars as pl
import pytest

from batch.errors import InputFileError
from batch.report.evidence_pack import (
    FORMAT,
    MANIFEST,
    SIGNATURES,
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
    names = [f"f{'a' * n}.txt" for n in range(101)]
    assert "more than any" in refusal(put_together({**files(), **dict.fromkeys(names, b"")}))


def test_a_name_that_stands_there_twice_is_refused() -> None:
    data = assembled([stored(name, content) for name, content in [*files().items(), ("a.txt", b"other")]])
    assert "holds a.txt twice" in refusal(data)


def test_a_file_that_would_be_huge_is_not_unpacked() -> None:
    huge = {**FILES, "a.txt": b"\0" * (1 << 24)}
    assert "a.txt would be larger" in refusal(packed(huge, {}, lambda _: b""))


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
