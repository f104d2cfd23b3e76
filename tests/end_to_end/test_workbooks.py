"""Excel workbooks by names, all the way to the tenant, and back as workbooks."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

from python_calamine import load_workbook

from batch.api.dialects import ItemType, Rate
from batch.sandbox.made_up_directory import make_directory
from batch.sandbox.server import running_sandbox
from batch.sandbox.settings import SandboxSettings
from tests.end_to_end.program import accepted, environment, once
from tests.read.workbooks import workbook

if TYPE_CHECKING:
    from pathlib import Path

    from tests.end_to_end.program import Program

DIRECTORY = make_directory(50)
ROLES = DIRECTORY.of_type(ItemType.ROLE)
HEADER = ("identity", "item_type", "item", "Team")


def row(person: int, role: int, team: str = "red") -> tuple[str, ...]:
    return DIRECTORY.people[person].email, "ROLE", ROLES[role].name, team


def wanted(*pairs: tuple[int, int]) -> list[tuple[str, str, str, str]]:
    return [("GRANT", DIRECTORY.people[person].id, "ROLE", ROLES[role].id) for person, role in pairs]


def test_a_workbook_is_submitted_by_names_and_its_rejected_rows_come_back(program: Program, tmp_path: Path) -> None:
    path = tmp_path / "joiners.xlsx"
    rows = [row(1, 1), row(2, 2), (4711, *row(3, 3)[1:]), ("nobody", *row(4, 4)[1:]), row(5, 5, "blue")]
    path.write_bytes(workbook(sheets={"Info": [["Made by me"]], "Joiners": [HEADER, *rows]}))
    chosen = ("--sheet", "Joiners", "--where", "Team=red", "--json")
    settings = SandboxSettings(rate=Rate(requests=5000, seconds=1), visibility_delay=0.0, people=50)
    with running_sandbox(settings) as tenant:
        env = {**environment(tenant), "ACCESS_BATCH_CHECK_TENANT": "never"}
        several = program("plan", path, env=env)
        assert (several.code, several.out) == (2, "")
        assert "has several sheets: 'Info', 'Joiners'" in several.err

        plan = program("plan", path, *chosen, env=env)
        assert (plan.json["rows"]["submitted"], plan.json["rows"]["rejected"], plan.json["left_out"]) == (2, 2, 1)
        assert "column `identity` holds 1 number, the first in row 4: 4711" in plan.err
        ended = program("submit", path, *chosen, "--yes", "--out-format", "xlsx", env=env)
        assert ended.code == 3
        book = tmp_path / "joiners.results" / "results.xlsx"
        written = {name: file for name, file in ended.json["files"].items() if file}
        assert written == {"rejected": str(book), "results": str(book)}
        assert accepted(tenant) == once(wanted((1, 1), (2, 2)))

        unchanged = program("submit", book, "--sheet", "rejected", "--yes", "--json", env=env)
        assert (unchanged.code, unchanged.json["rows"]["rejected"]) == (3, 2)
        # As somebody corrects it, and packs it.
        header, *rejected = load_workbook(book).get_sheet_by_name("rejected").to_python()
        corrected = [[email, *cells[1:]] for email, cells in zip((row(3, 3)[0], row(4, 4)[0]), rejected, strict=True)]
        again = tmp_path / "corrected.xlsx.gz"
        again.write_bytes(gzip.compress(workbook(header, *corrected)))
        assert program("submit", again, "--yes", env=env).code == 0
        assert accepted(tenant) == once(wanted((1, 1), (2, 2), (3, 3), (4, 4)))
        assert (tmp_path / "corrected.results" / "results.csv").exists()


def test_a_sheet_is_named_in_vain_without_a_workbook(program: Program, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"{','.join(HEADER)}\n{','.join(row(1, 1))}\n")
    ended = program("validate", path, "--sheet", "Joiners")
    assert ended.code == 2
    assert f"--sheet Joiners names a sheet of a workbook, but {path} is not a workbook." in ended.err
    assert "Run the command without --sheet, or name the .xlsx file that has this sheet." in ended.err
    packed = tmp_path / "b.csv.gz"
    packed.write_bytes(gzip.compress(path.read_bytes() + b"ragged\n"))
    ended = program("validate", packed, "--out-format", "xlsx", "--json")
    assert ended.json["files"]["rejected"] == str(tmp_path / "b.results" / "rejected.xlsx")
