"""The result files copy the user's columns, whatever their names."""

from __future__ import annotations

import csv
import os
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from batch.api.dialects import DIALECTS, Operation
from batch.errors import InputFileError
from batch.ledger.track import TRACK_SCHEMA
from batch.names.known import KnownNames
from batch.pipeline import classify_input, with_outcomes
from batch.read import LoadedInputs, read_inputs, read_loaded
from batch.read.inputs import Content
from batch.report.files import make_folder, write_result_files
from batch.report.run_files import UNDO, Origin, write_tracked, write_undo
from batch.status.matching import AcceptedChange
from batch.validate.rows import validate
from tests.plan.changes import RUN, hex_id

A_GRANT = AcceptedChange(
    request=1,
    operation=Operation.GRANT,
    identity=hex_id(1),
    item_type="ROLE",
    item=hex_id(2),
    accepted_at=datetime(2026, 11, 23, tzinfo=UTC),
)


@pytest.mark.parametrize(
    "name", ["department", "row", "rule", "message", "class", "line", "file", "state", "number", "*", "^.*$", "{}"]
)
def test_any_other_column_is_copied_to_the_result_files(name: str, tmp_path: Path) -> None:
    good, bad = f"{hex_id(1)},ROLE,{hex_id(2)},mine", f"x,ROLE,{hex_id(2)},wrong"
    text = f"identity_id,item_type,item_id,{name}\n{good}\n{bad}\nragged\n"
    table = read_loaded(LoadedInputs((Content("in.csv", text.encode()),), "digest"))
    validated = validate(table.rows, dialect=DIALECTS["beta"], now=datetime(2026, 11, 23, tzinfo=UTC))
    classified = classify_input(table, validated, plans=None, tenant="t", run=RUN)

    outcomes = with_outcomes(classified, run=RUN, reasons={}, ids={})
    write_result_files(tmp_path, table, classified.rejected, outcomes, complain=pytest.fail)

    def written(file: str) -> list[tuple[str, str]]:
        with (tmp_path / file).open(newline="", encoding="utf-8") as lines:
            return [(row["_line"], row[name]) for row in csv.DictReader(lines)]

    assert written("results.csv") == [("2", "mine"), ("3", "wrong"), ("4", "")]
    assert written("rejected.csv") == [("3", "wrong"), ("4", "")]


@pytest.mark.skipif(os.name != "posix", reason="links need no rights there")
def test_a_result_file_replaces_a_link_and_never_follows_it(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    folder = tmp_path / "a.results"
    folder.mkdir()
    for name in (UNDO, f".{UNDO}.unfinished"):
        (folder / name).symlink_to(precious)
    write_undo(folder, Origin(run=RUN), [A_GRANT], "taken back", complain=pytest.fail)
    assert precious.read_text() == "mine"
    assert not (folder / UNDO).is_symlink()
    assert [path.name for path in folder.iterdir() if not path.is_symlink()] == [UNDO]


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such rights")
def test_a_folder_that_was_opened_to_all_while_something_was_sent_gets_no_file_and_one_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "a.results"
    make_folder(folder, [], names=(UNDO,))
    folder.chmod(0o777)
    complaints: list[str] = []
    assert write_undo(folder, Origin(run=RUN), [A_GRANT], "taken back", complain=complaints.append) is None
    (complaint,) = complaints
    assert f"{folder / UNDO} could not be written: Everybody can write" in complaint
    assert complaint.endswith("The same command writes it again; --out names another folder.")
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such limit")
def test_a_disk_that_is_full_leaves_the_older_file_whole_and_says_so(tmp_path: Path) -> None:
    import resource  # noqa: PLC0415 - Windows has no such module

    complaints: list[str] = []
    path = write_undo(tmp_path, Origin(run=RUN), [A_GRANT], "taken back", complain=complaints.append)
    before = (tmp_path / UNDO).read_bytes()
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, usual[1]))
    try:
        assert write_undo(tmp_path, Origin(run=RUN), [A_GRANT] * 2, "taken back", complain=complaints.append) is None
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    (complaint,) = complaints
    assert complaint.startswith(f"{path} could not be written: File too large. The existing file is older.")
    assert (tmp_path / UNDO).read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == [UNDO]


def test_undo_csv_comes_back_with_the_comment_as_it_was(tmp_path: Path) -> None:
    change = AcceptedChange(
        request=1,
        operation=Operation.GRANT,
        identity=hex_id(1),
        item_type="ROLE",
        item=hex_id(2),
        accepted_at=datetime(2026, 11, 23, tzinfo=UTC),
    )
    path = write_undo(tmp_path, Origin(run=RUN), [change], "=1; -2", complain=pytest.fail)
    assert path is not None
    assert b"'=1;' -2" in Path(path).read_bytes()
    assert read_inputs([path]).rows["comment"].to_list() == ["=1; -2"]


NAMES = KnownNames.of_meanings(
    [
        ("identity by auto", "ada", hex_id(1).upper()),
        ("identity by email", "ada@example.com", hex_id(1)),
        ("role by name", "=Payroll", hex_id(2)),
        ("access profile by name", "another thing", hex_id(2)),
    ]
)


def test_undo_csv_shows_names_and_inputs_that_change_nothing_when_it_comes_back(tmp_path: Path) -> None:
    origin = Origin(run=RUN, inputs=("a.csv", "b.csv"), names=NAMES)
    path = write_undo(tmp_path, origin, [A_GRANT], "taken back", complain=pytest.fail)
    assert path is not None
    with Path(path).open(newline="", encoding="utf-8") as lines:
        (row,) = csv.DictReader(lines)
    assert (row["_identity_name"], row["_item_name"]) == ("ada; ada@example.com", "'=Payroll")
    assert (row["_input"], row["_run"]) == ("a.csv, b.csv", RUN)
    wanted = ["operation", "identity_id", "item_type", "item_id", "comment"]
    assert [name for name in read_inputs([path]).rows.columns if not name.startswith("_")] == wanted


def tracked_change(request: int, person: int, state: str | None, **others: str) -> dict[str, object]:
    """A line of TRACK_SCHEMA."""
    known = {"state": state, "who": "", "said": "no", "since": "", "access_request": ""} if state else {}
    which = {"identity_id": hex_id(person), "item_type": "ROLE", "item_id": hex_id(2), "operation": "GRANT"}
    return {"request": request, **which, "comment": "", "start_date": "", "remove_date": "", **known, **others}


def written_tracks(folder: Path, *changes: dict[str, object]) -> dict[str, str | None]:
    frame = pl.DataFrame(changes, schema=TRACK_SCHEMA)
    origin = Origin(run=RUN, inputs=("a.csv",), names=NAMES)
    return write_tracked(folder, origin, frame, complain=pytest.fail)


def test_tracked_csv_shows_names_and_the_input_beside_the_ids(tmp_path: Path) -> None:
    assert written_tracks(tmp_path, tracked_change(1, 1, None, comment="why"), tracked_change(2, 3, "EXECUTING")) == {
        "tracked": str(tmp_path / "tracked.csv"),
        "failed": None,
    }
    with (tmp_path / "tracked.csv").open(newline="", encoding="utf-8") as lines:
        first, second = csv.DictReader(lines)
    assert (first["_identity_name"], first["_item_name"]) == ("ada; ada@example.com", "'=Payroll")
    assert (first["_input"], first["comment"]) == ("a.csv", "why")
    assert (second["identity_id"], second["_identity_name"]) == (hex_id(3), "")
    with pytest.raises(InputFileError, match="named like those of our result files"):
        read_inputs([str(tmp_path / "tracked.csv")])


def test_failed_csv_has_each_change_that_came_to_nothing_last_as_a_row_to_submit(tmp_path: Path) -> None:
    details = {"comment": "=why", "remove_date": "2027-01-31T00:00:00Z", "metadata": '{"ticket":"-7"}'}
    files = written_tracks(
        tmp_path,
        tracked_change(1, 1, "REJECTED"),
        tracked_change(2, 3, "REJECTED"),
        tracked_change(3, 4, "PROVISIONING_FAILED", operation="REVOKE", **details),
        tracked_change(4, 5, None),
        tracked_change(5, 3, "REQUEST_COMPLETED"),
        tracked_change(6, 1, "CANCELLED"),
    )
    path = str(tmp_path / "failed.csv")
    assert files["failed"] == path
    with Path(path).open(newline="", encoding="utf-8") as lines:
        shown = [(row["_tenant_state"], row["_tenant_said"], row["_item_name"]) for row in csv.DictReader(lines)]
    assert shown == [("PROVISIONING_FAILED", "no", "'=Payroll"), ("CANCELLED", "no", "'=Payroll")]
    back = read_inputs([path]).rows
    which = ["operation", "identity_id", "comment", "remove_date", "metadata.ticket"]
    assert [name for name in back.columns if name in {"identity", "item"} or name.startswith("_tenant")] == []
    assert back.select(which).rows() == [
        ("REVOKE", hex_id(4), "=why", "2027-01-31T00:00:00Z", "-7"),
        ("GRANT", hex_id(1), None, None, None),
    ]
    assert written_tracks(tmp_path, tracked_change(1, 1, "REQUEST_COMPLETED"))["failed"] is None
    assert not Path(path).exists()
