"""`ledger export` writes what the tenant has accepted, as files that other programs read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest

from tests.end_to_end.program import Program, accepted, environment, grant, read_rows, write_rows

if TYPE_CHECKING:
    from pathlib import Path

    from batch.sandbox.server import RunningSandbox


@pytest.fixture
def submitted(tmp_path: Path, program: Program, tenant: RunningSandbox) -> list[dict[str, str]]:
    rows = [grant(person, thing, comment='=HYPERLINK("http://x")') for person in range(3) for thing in range(2)]
    path = write_rows(tmp_path / "a.csv", rows)
    assert program("submit", path, "--yes", env=environment(tenant)).code == 0
    return rows


def test_both_formats_have_the_changes_that_the_tenant_accepted(
    tmp_path: Path, program: Program, tenant: RunningSandbox, submitted: list[dict[str, str]]
) -> None:
    ended = program("ledger", "export", tmp_path / "csv")
    assert ended.code == 0, ended.err
    assert program("ledger", "export", tmp_path / "parquet", "--format", "parquet").code == 0
    texts = read_rows(tmp_path / "csv" / "changes.csv")
    frame = pl.read_parquet(tmp_path / "parquet" / "changes.parquet")
    ids = ("operation", "identity_id", "item_type", "item_id")
    assert {tuple(row[name] for name in ids): 1 for row in texts if row["state"] == "ACCEPTED"} == accepted(tenant)
    assert dict.fromkeys(frame.filter(pl.col("state") == "ACCEPTED").select(ids).rows(), 1) == accepted(tenant)
    assert {row["comment"] for row in texts} == {"'" + submitted[0]["comment"]}, "a spreadsheet takes it for a text"
    assert set(frame.get_column("comment")) == {submitted[0]["comment"]}


def test_the_screen_and_the_json_tell_the_files_and_their_rows(
    tmp_path: Path, program: Program, submitted: list[dict[str, str]]
) -> None:
    shown = program("ledger", "export", tmp_path / "out").out
    files = program("ledger", "export", tmp_path / "out", "--json").json["files"]
    assert list(files) == ["runs", "requests", "changes", "events", "findings"]
    assert files["changes"] == {"path": str(tmp_path / "out" / "changes.csv"), "rows": len(submitted)}
    for one in files.values():
        assert len(read_rows(tmp_path / "out" / one["path"])) == one["rows"]
        assert f"  {one['path']}: {one['rows']} row" in shown


def test_a_folder_that_cannot_be_written_ends_with_2(
    tmp_path: Path, program: Program, submitted: list[dict[str, str]]
) -> None:
    (tmp_path / "file").write_text("")
    ended = program("ledger", "export", tmp_path / "file")
    assert submitted
    assert ended.code == 2
    assert "changes.csv could not be written" in ended.err or "runs.csv could not be written" in ended.err


def test_without_a_ledger_there_is_nothing_to_export(tmp_path: Path, program: Program) -> None:
    ended = program("ledger", "export", tmp_path / "out")
    assert ended.code == 2
    assert not (tmp_path / "out").exists()
