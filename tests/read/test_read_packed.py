"""A `.csv.gz` is read as the file within, and never unpacked beyond the limit."""

from __future__ import annotations

import gzip
import io
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.errors import InputFileError
from batch.read import LIMITS, Limits, load_inputs, make_interpretation, read_inputs, read_loaded
from batch.read.packed import unpacked
from tests.read.read_helpers import HEADER, cells, refusal

_TEXT = f"{HEADER}\n1,ROLE,2,Zoë\n".encode()
_PACKED = gzip.compress(_TEXT, mtime=0)
_MEGABYTE = 1 << 20


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def load_packed(data: bytes, limits: Limits = LIMITS) -> object:
    Path("in.csv.gz").write_bytes(data)
    return load_inputs(["in.csv.gz"], interpretation=make_interpretation(limits=limits))


def test_a_gzip_file_is_read_as_the_file_within() -> None:
    Path("in.csv.gz").write_bytes(_PACKED)
    Path("in.csv").write_bytes(_TEXT)
    table = read_inputs(["in.csv.gz"])
    assert cells(table) == [("1", "ROLE", "2", "Zoë")]
    assert table.rows["_file"].to_list() == ["in.csv.gz"]
    assert table.digest == read_inputs(["in.csv"]).digest


def test_standard_input_and_any_name_may_be_gzip_too() -> None:
    assert cells(read_loaded(load_inputs(["-"], stdin=io.BytesIO(_PACKED)))) == [("1", "ROLE", "2", "Zoë")]
    Path("in.csv").write_bytes(_PACKED)
    assert cells(read_inputs(["in.csv"])) == [("1", "ROLE", "2", "Zoë")]


def test_a_gzip_file_may_hold_other_text_encodings_and_parquet() -> None:
    Path("in.gz").write_bytes(gzip.compress(_TEXT.decode().encode("utf-16")))
    assert cells(read_inputs(["in.gz"])) == [("1", "ROLE", "2", "Zoë")]
    buffer = io.BytesIO()
    pl.DataFrame({"identity_id": ["1"], "item_type": ["ROLE"], "item_id": ["2"]}).write_parquet(buffer)
    Path("in.parquet.gz").write_bytes(gzip.compress(buffer.getvalue()))
    assert cells(read_inputs(["in.parquet.gz"])) == [("1", "ROLE", "2")]


@pytest.mark.parametrize("padding", [b"", b"\0" * 700])
def test_all_parts_of_a_gzip_file_are_read(padding: bytes) -> None:
    parts = [gzip.compress(_TEXT[start : start + 7], mtime=0) for start in range(0, len(_TEXT), 7)]
    assert b"".join(unpacked(b"".join(parts) + padding, "in.gz")) == _TEXT


@pytest.mark.parametrize("content", [bytes(6 * _MEGABYTE), b"\n" * 6 * _MEGABYTE, b"a,b\n" * 2 * _MEGABYTE])
def test_a_small_file_that_unpacks_to_more_than_the_limit_is_refused_unread(content: bytes) -> None:
    packed = gzip.compress(content)
    assert len(packed) < 30_000
    error = refusal(lambda: load_packed(packed, replace(LIMITS, size=5 * _MEGABYTE)))
    assert error.message == "in.csv.gz, unpacked, is larger than 5 MB, the limit."
    assert "--max-input" in error.next_step


def test_unpacking_ends_soon_after_the_limit() -> None:
    largest = max(map(len, unpacked(gzip.compress(bytes(8 * _MEGABYTE)) * 2, "in.gz")))
    assert largest <= _MEGABYTE


def test_the_unpacked_size_counts_together_with_other_inputs() -> None:
    for name in ("a.gz", "b.gz"):
        Path(name).write_bytes(gzip.compress(_TEXT * 100))
    limits = make_interpretation(limits=replace(LIMITS, size=len(_TEXT) * 150))
    error = refusal(lambda: load_inputs(["a.gz", "b.gz"], interpretation=limits))
    assert error.message.startswith("b.gz, unpacked, with the inputs before it is larger than")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (_PACKED[:-1], "its end is missing"),
        (_PACKED[:12], "its end is missing"),
        (_PACKED[:-8] + bytes(8), "incorrect data check"),
        (_PACKED + b"more", "incorrect header check"),
        (gzip.compress(b"") * 20_001, "more than 20,000 parts"),
    ],
)
def test_a_damaged_gzip_file_is_refused(data: bytes, why: str) -> None:
    error = refusal(lambda: load_packed(data))
    assert error.message.startswith("in.csv.gz is compressed with gzip, but damaged: ")
    assert why in error.message


@given(st.data())
def test_damage_never_goes_unnoticed(data: st.DataObject) -> None:
    damaged = bytearray(_PACKED)
    # Beyond the header, whose time and system mean nothing here.
    damaged[data.draw(st.integers(10, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        assert b"".join(unpacked(bytes(damaged), "in.gz")) == _TEXT
    except InputFileError:
        return
