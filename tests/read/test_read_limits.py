"""Inputs are bounded before they are parsed, and only files, pipes and standard input are read."""

from __future__ import annotations

import contextlib
import io
import os
import re
import socket
import threading
from dataclasses import astuple, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.errors import InputFileError
from batch.read import LIMITS, Limits, LoadedInputs, Table, load_inputs, make_interpretation, read_loaded
from batch.read.inputs import Content
from batch.read.parquet_size import DamagedError, check_parquet
from tests.read.read_helpers import HEADER, cells, read_bytes, refusal

if TYPE_CHECKING:
    from collections.abc import Callable

_ROW = "1,ROLE,2,a\n"
_TEXT = f"{HEADER}\n{_ROW}"
_SMALL = replace(LIMITS, size=10_000, rows=50, cells=150, columns=20, row=300)


def read_within(data: bytes, limits: Limits = _SMALL, name: str = "in.csv") -> Table:
    return read_loaded(LoadedInputs((Content(name, data),), "digest", make_interpretation(limits=limits)))


def parquet(frame: pl.DataFrame, **options: Any) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer, **options)
    return buffer.getvalue()


def people(rows: int, **columns: pl.Series | pl.Expr) -> pl.DataFrame:
    texts = {"identity_id": "1", "item_type": "ROLE", "item_id": "2"}
    return pl.select(pl.repeat(text, rows).alias(name) for name, text in texts.items()).with_columns(**columns)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (_TEXT + _ROW * 60, "in.csv has more than 50 rows, the limit."),
        (_TEXT + _ROW * 45, "in.csv has more than 150 cells, the limit."),
        (f"{HEADER},{','.join(map(str, range(20)))}\n{_ROW}", "in.csv has more than 20 columns, the limit."),
        (f'{HEADER},"x\n{",x" * 20}"\n{_ROW}', "in.csv has more than 20 columns, the limit."),
        (f"{_TEXT}1,ROLE,2,{'x' * 300}\n", "Line 3 of in.csv is longer than 300 bytes, the limit."),
        (
            f'{_TEXT}1,ROLE,2,"x\n' + "xxxxxxxxxxx\n" * 30,
            "The quote that opens on line 3 of in.csv is not closed: its cell is longer than 300 bytes, the limit.",
        ),
        (f"{_TEXT}1,ROLE,{'2|' * 60},a\n", "in.csv has more than 50 items, the limit."),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_text_that_is_too_large_is_refused_by_the_name_of_its_limit(text: str, message: str, encoding: str) -> None:
    error = refusal(lambda: read_within(text.encode(encoding)))
    assert error.message == message
    assert "--max-input" in error.next_step
    # A higher limit of the size raises the others.
    table = read_within(text.encode(encoding), Limits(*(10 * one for one in astuple(_SMALL))))
    assert table.rows.height + table.rejected.height


def test_blank_lines_above_the_header_are_not_skipped_without_end() -> None:
    assert read_bytes(b"\n" * 1000 + _TEXT.encode()).rows.height == 1
    assert "more than 1,000 blank lines" in refusal(lambda: read_bytes(b"\n" * 1001 + _TEXT.encode())).message


def test_an_open_quote_in_the_header_is_found_before_the_end_of_the_file() -> None:
    error = refusal(lambda: read_within(f'"{HEADER}\n{_ROW * 40}'.encode()))
    assert "has a stray or unclosed quote" in error.message


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (people(60), "in.parquet has more than 50 rows, the limit."),
        (people(45, comment=pl.repeat("x", 45)), "in.parquet has more than 150 cells, the limit."),
        (
            people(1).with_columns(pl.lit(1).alias(f"c{n}") for n in range(20)),
            "in.parquet has more than 20 columns, the limit.",
        ),
        (
            people(1, comment=pl.Series(["x" * 20_000])),
            "in.parquet takes more than 10,000 bytes once it is unpacked, the limit.",
        ),
        (people(1, comment=pl.Series(["x" * 4000])), "A row of in.parquet is longer than 3,000 bytes, the limit."),
        (
            people(1, groups=pl.Series([["x"] * 200])),
            "in.parquet has more than 150 cells, the limit.",
        ),
    ],
)
def test_a_parquet_file_that_is_too_large_is_refused_by_the_name_of_its_limit(
    frame: pl.DataFrame, message: str
) -> None:
    data = parquet(frame)
    limits = replace(_SMALL, row=3000)
    assert len(data) < limits.size
    assert refusal(lambda: read_within(data, limits, "in.parquet")).message == message
    assert read_within(data, Limits(), name="in.parquet").rows.height == frame.height


@pytest.mark.parametrize(
    "column",
    [
        pl.Series(["x" * 10_000]).new_from_index(0, 600),
        pl.Series([b"x" * 10_000]).new_from_index(0, 600),
        pl.Series([["x" * 10_000]]).new_from_index(0, 600),
        pl.Series([{"a": "x" * 10_000}]).new_from_index(0, 600),
        pl.Series(["x" * 10_000], dtype=pl.Categorical).new_from_index(0, 600),
    ],
    ids=["text", "bytes", "lists", "structures", "categories"],
)
def test_a_dictionary_whose_value_stands_in_every_row_is_refused(column: pl.Series) -> None:
    data = parquet(people(600, note=column))
    assert len(data) < 100_000
    error = refusal(lambda: read_within(data, replace(LIMITS, size=5_000_000), "in.parquet"))
    assert error.message == "in.parquet takes more than 5 MB once it is unpacked, the limit."


@pytest.mark.parametrize("options", [{}, {"row_group_size": 7}, {"data_page_size": 64}])
def test_every_row_group_and_page_counts(options: dict[str, int]) -> None:
    frame = people(40, comment=pl.Series([f"{n:0200}" for n in range(40)]))
    data = parquet(frame, **options)
    check_parquet(data, "in.parquet", replace(_SMALL, cells=1000, row=100_000))
    with pytest.raises(InputFileError, match=r"more than 7,000 bytes once"):
        check_parquet(data, "in.parquet", replace(_SMALL, size=7_000, cells=1000, row=100_000))


def test_values_nested_too_deep_are_refused() -> None:
    kind: pl.DataType = pl.Int64()
    for _ in range(100):
        kind = pl.List(kind)
    data = parquet(people(1, deep=pl.lit(None, dtype=kind)))
    assert "on more than 64 levels" in refusal(lambda: read_bytes(data, "in.parquet")).message


def test_an_encoding_that_unpacks_to_any_size_is_refused() -> None:
    # In the header of a data page: so many values, in this encoding.
    data, changed = re.subn(rb",(\x15.\x15)\x10", lambda found: b"," + found[1] + b"\x0e", parquet(people(9)))
    assert changed == 3
    assert "DELTA_BYTE_ARRAY" in refusal(lambda: read_bytes(data, "in.parquet")).message


@given(st.data())
def test_damaged_parquet_files_end_the_check(data: st.DataObject) -> None:
    whole = bytearray(parquet(people(3, lists=pl.Series([["a"], [], ["b", "c"]]))))
    for _ in range(data.draw(st.integers(1, 5))):
        whole[data.draw(st.integers(0, len(whole) - 9))] = data.draw(st.integers(0, 255))
    try:
        check_parquet(bytes(whole), "in.parquet", LIMITS)
    except (DamagedError, InputFileError):
        return


def test_headers_without_end_are_not_read_to_the_end() -> None:
    # A list of a thousand million numbers.
    footer = b"\x19\xf3\xff\xff\xff\xff\x03" + b"\0" * 1000
    data = b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1"
    assert "footer" in refusal(lambda: check_parquet(data, "in.parquet", _SMALL)).message


@pytest.mark.parametrize("error", [MemoryError(), pl.exceptions.PanicException("oh"), pl.exceptions.ComputeError("oh")])
def test_what_a_library_raises_while_it_reads_is_an_error_of_the_input(
    error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(pl, "read_csv", fail)
    assert "--max-input" in refusal(lambda: read_bytes(_TEXT.encode())).next_step


def test_the_limits_grow_with_the_size_and_never_shrink() -> None:
    assert Limits.of_size(LIMITS.size) == LIMITS
    assert Limits.of_size(3 * LIMITS.size) == Limits(*(3 * one for one in (512 << 20, 10**7, 10**8, 2000, 4 << 20)))
    assert Limits.of_size(1000) == replace(LIMITS, size=1000)


def load_within(name: str, limits: Limits = LIMITS, wait: Callable[[float], object] = lambda _: None) -> LoadedInputs:
    return load_inputs([name], interpretation=make_interpretation(limits=limits), wait=wait)


def test_a_file_is_refused_by_its_size() -> None:
    with Path("large.csv").open("wb") as file:
        file.truncate(1 << 40)
    error = refusal(lambda: load_within("large.csv"))
    assert error.message == "large.csv is larger than 512 MB, the limit."


def test_the_sizes_of_all_inputs_count_together() -> None:
    for name in ("a.csv", "b.csv"):
        Path(name).write_text(_TEXT)
    limits = make_interpretation(limits=replace(LIMITS, size=len(_TEXT) + 10))
    error = refusal(lambda: load_inputs(["a.csv", "b.csv"], interpretation=limits))
    assert error.message.startswith("b.csv with the inputs before it is larger than")
    assert load_inputs(["a.csv"], interpretation=limits)


class Endless(io.BytesIO):
    """A stream without end."""

    given = 0

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        assert size > 0
        self.given += size
        return b"x" * size


def test_standard_input_is_read_no_further_than_the_limit() -> None:
    endless = Endless()
    limits = make_interpretation(limits=replace(LIMITS, size=3_000_000))
    error = refusal(lambda: load_inputs(["-"], stdin=endless, interpretation=limits))
    assert error.message == "standard input is larger than 3 MB, the limit."
    assert endless.given < 5_000_000


def test_an_input_that_does_not_fit_into_memory_is_no_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    endless = Endless()

    def fail(_: int) -> bytes:
        raise MemoryError

    monkeypatch.setattr(endless, "read", fail)
    assert "--max-input" in refusal(lambda: load_inputs(["-"], stdin=endless)).next_step


def test_a_parquet_file_without_columns_is_refused() -> None:
    assert "no rows" in refusal(lambda: read_bytes(parquet(pl.DataFrame(height=1)), "in.parquet")).message


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/null", "socket", "link"])
def test_devices_and_sockets_are_refused(name: str) -> None:
    Path("link").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        assert refusal(lambda: load_within(name)).message == f"{name} is neither a file nor a pipe."


def test_a_pipe_that_nobody_writes_to_times_out() -> None:
    os.mkfifo("pipe")
    waited: list[float] = []
    error = refusal(lambda: load_within("pipe", wait=waited.append))
    assert error.message == "pipe can't be read: it is a pipe, and nobody has written to it for 60 seconds."
    assert sum(waited) == pytest.approx(60)


def test_a_pipe_may_find_its_writer_late() -> None:
    os.mkfifo("pipe")

    def write(_: float) -> None:
        Path("pipe").write_text(_TEXT)

    assert cells(read_loaded(load_within("pipe", wait=write))) == [("1", "ROLE", "2", "a")]


def test_a_pipe_whose_writer_is_silent_is_waited_for() -> None:
    os.mkfifo("pipe")
    asked = threading.Event()

    def write() -> None:
        with Path("pipe").open("w") as pipe:
            asked.wait()
            pipe.write(_TEXT)

    writer = threading.Thread(target=write)
    writer.start()
    # Opening a pipe to write waits for its reader, so by then this process reads.
    threading.Timer(0.05, asked.set).start()
    assert load_inputs(["pipe"]).contents[0].data == _TEXT.encode()
    writer.join()


def test_a_pipe_is_read_no_further_than_the_limit() -> None:
    os.mkfifo("pipe")
    written = []

    def write() -> None:
        with contextlib.suppress(BrokenPipeError), Path("pipe").open("wb", buffering=0) as pipe:
            while True:
                written.append(pipe.write(b"x" * 10_000))

    writer = threading.Thread(target=write)
    writer.start()
    error = refusal(lambda: load_inputs(["pipe"], interpretation=make_interpretation(limits=_SMALL)))
    assert error.message == "pipe is larger than 10,000 bytes, the limit."
    writer.join()
    assert sum(written) < 2_000_000
