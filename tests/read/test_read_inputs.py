"""Files, globs, standard input, and the digest over them."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from batch.read import load_inputs, read_inputs, read_loaded
from tests.read.read_helpers import HEADER, cells, read_bytes, refusal

if TYPE_CHECKING:
    from collections.abc import Generator

_ROW = f"{HEADER}\n1,ROLE,2,a\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("b.csv").write_text(_ROW)
    Path("a.csv").write_text("Cost,identity,ITEM,item_type\nx,ann,app,ROLE\nragged\n")
    return tmp_path


def test_several_files_become_one_table_with_all_columns(folder: Path) -> None:
    table = read_inputs(["b.csv", str(folder / "a.csv")])
    assert table.rows.columns == [
        *("_file", "_line", "identity_id", "item_type", "item_id", "comment"),
        *("Cost", "identity", "item"),
    ]
    assert cells(table) == [("1", "ROLE", "2", "a", None, None, None), (None, "ROLE", None, None, "x", "ann", "app")]
    assert table.rows["_file"].to_list() == ["b.csv", str(folder / "a.csv")]
    assert table.rejected.select("_file", "_line").rows() == [(str(folder / "a.csv"), 3)]
    assert [column.header for column in table.columns][-2:] == ["identity", "ITEM"]


@pytest.mark.usefixtures("folder")
def test_globs_are_expanded_in_order_without_folders() -> None:
    Path("c.csv").mkdir()
    assert read_inputs(["*.csv"]).rows["_file"].to_list() == ["a.csv", "b.csv"]


@pytest.mark.usefixtures("folder")
def test_a_file_whose_name_looks_like_a_glob_is_read_itself() -> None:
    Path("[ab].csv").write_text(_ROW)
    assert read_inputs(["[ab].csv"]).rows["_file"].to_list() == ["[ab].csv"]


@pytest.mark.usefixtures("folder")
def test_standard_input_is_read_and_digested() -> None:
    table = read_inputs(["-"], stdin=io.BytesIO(_ROW.encode()))
    assert table.rows["_file"].to_list() == ["-"]
    assert table.digest == load_inputs(["-"], stdin=io.BytesIO(_ROW.encode())).digest == load_inputs(["b.csv"]).digest


@pytest.mark.usefixtures("folder")
def test_the_digest_depends_only_on_contents_and_order() -> None:
    assert read_inputs(["b.csv"]).digest == hashlib.sha256(_ROW.encode()).hexdigest()
    both = load_inputs(["a.csv", "b.csv"]).digest
    assert both == read_inputs(["?.csv"]).digest
    assert both != load_inputs(["b.csv", "a.csv"]).digest
    Path("b.csv").rename("c.csv")
    assert both == load_inputs(["a.csv", "c.csv"]).digest


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], "No input file was given."),
        (["none.csv"], "none.csv does not exist."),
        (["none*.csv"], "No file matches none*.csv."),
        (["."], ". is a directory."),
        (["b.csv", "b.csv"], "b.csv is given twice."),
        (["b.csv", "./b.csv"], "./b.csv is given twice (also as b.csv)."),
        (["*.csv", "link"], "link is given twice (also as b.csv)."),
        (["-", "-"], "standard input is given twice."),
        (["-"], "There is no standard input to read."),
        (["a\0b"], "a\0b can't be read: "),
        (["s3://bucket/x.csv"], "s3://bucket/x.csv is in cloud storage, from which only Parquet files can be read."),
        (["http://acme.example/x.csv?sig=s"], "http://acme.example/x.csv can't be read: only https and cloud URLs"),
        (["ftp://acme.example/x.csv"], "ftp://acme.example/x.csv can't be read: only https and cloud URLs"),
        (["file://host/x.parquet"], "file://host/x.parquet can't be read: only https and cloud URLs"),
        (["https://acme.example/x.csv?sig=s"] * 2, "https://acme.example/x.csv is given twice."),
    ],
)
def test_inputs_that_are_no_files_are_refused(inputs: list[str], message: str) -> None:
    Path("link").symlink_to("b.csv")
    assert refusal(lambda: read_inputs(inputs)).message.startswith(message)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PermissionError(errno.EACCES, "denied"), "You may not read b.csv."),
        (OSError(errno.EIO, os.strerror(errno.EIO)), "b.csv can't be read: "),
    ],
)
def test_errors_of_the_operating_system_are_explained(
    monkeypatch: pytest.MonkeyPatch, error: OSError, message: str
) -> None:
    def refuse(*_: object) -> bytes:
        raise error

    monkeypatch.setattr(os, "read", refuse)
    assert refusal(lambda: read_inputs(["b.csv"])).message.startswith(message)


def _nothing(url: str) -> Generator[bytes, None, None]:
    assert not url
    yield b""


@pytest.mark.parametrize(
    "url",
    [
        "https://user:pass-word@acme.example/x.csv",
        "https://pass-word@acme.example/x.csv",
        "HTTPS://user:pass-word@acme.example",
        "https://acme.example\\@pass-word/x.csv",
        "https:///user:pass-word@acme.example/x.csv",
        "http://user:pass-word@acme.example/x.csv",
        "s3://key:pass-word@bucket/x.parquet",
        "https://user:pass-word @acme.example/x.csv",
        "file:///pass-word/x.parquet",
    ],
)
def test_a_url_with_a_user_is_refused_and_not_shown(url: str) -> None:
    error = refusal(lambda: load_inputs([url], download=_nothing))
    assert "pass-word" not in error.message + error.next_step
    assert "holds a user" in error.message


def test_a_url_is_downloaded_once_and_named_without_its_query() -> None:
    asked: list[str] = []

    def download(url: str) -> Generator[bytes, None, None]:
        asked.append(url)
        yield _ROW[:9].encode()
        yield _ROW[9:].encode()

    loaded = load_inputs(["https://acme.example/a.csv?sig=secret#part"], download=download)
    assert cells(read_loaded(loaded)) == [("1", "ROLE", "2", "a")]
    assert asked == ["https://acme.example/a.csv?sig=secret#part"]
    assert loaded.contents[0].name == "https://acme.example/a.csv"


def test_parquet_is_read_from_cloud_storage(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pl.DataFrame({"identity_id": ["1"], "item_type": ["ROLE"], "item_id": ["2"]}).write_parquet("x.parquet")
    scan = pl.scan_parquet
    asked: list[str] = []

    def from_cloud(url: str, *, glob: bool) -> pl.LazyFrame:
        asked.append(url)
        return scan(folder / "x.parquet", glob=glob)

    monkeypatch.setattr(pl, "scan_parquet", from_cloud)
    assert cells(read_inputs(["s3://bucket/x.parquet?signature"])) == [("1", "ROLE", "2")]
    assert asked == ["s3://bucket/x.parquet"]


@pytest.mark.usefixtures("folder")
def test_an_interruption_while_reading_a_url_is_not_an_input_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pl, "scan_parquet", interrupt)
    with pytest.raises(KeyboardInterrupt):
        read_inputs(["s3://bucket/x.parquet"])


@pytest.mark.usefixtures("folder")
def test_errors_in_several_files_are_reported_together() -> None:
    Path("d.csv").write_text("")
    Path("e.csv").write_text("identity,item_type\n1,2\n")
    error = refusal(lambda: read_inputs(["*.csv"]))
    assert error.message.splitlines() == [
        "d.csv is empty.",
        "e.csv has no column `item_id` or `item`. Its columns are `identity`, `item_type`.",
    ]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (gzip.compress(_ROW.encode(), mtime=0), "gzip"),
        (b"%PDF-1.7", "PDF"),
        (b"\xd0\xcf\x11\xe0", "old Excel"),
    ],
)
def test_a_file_of_another_kind_is_named_by_its_kind(data: bytes, kind: str) -> None:
    error = refusal(lambda: read_bytes(data))
    assert kind in error.message
    assert "CSV" in error.next_step
