"""`report` writes what became of a run as a page and a file, for any run, and changes nothing else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from batch.api.dialects import Rate
from batch.sandbox.server import running_sandbox
from batch.sandbox.settings import SandboxSettings
from tests.end_to_end.program import environment, grant, identity, item, read_rows, write_rows

if TYPE_CHECKING:
    from pathlib import Path

    from batch.sandbox.server import RunningSandbox
    from tests.end_to_end.program import Program

ROWS = [grant(person, thing, comment="INC0012345") for person in range(3) for thing in range(2)]


@pytest.fixture
def run(tmp_path: Path, program: Program, tenant: RunningSandbox) -> str:
    path = write_rows(tmp_path / "a.csv", ROWS)
    ended = program("submit", path, "--yes", "--json", env=environment(tenant))
    assert ended.code == 0, ended.err
    return str(ended.json["run"])


def test_a_report_says_what_the_ledger_knows_of_every_change(
    tmp_path: Path, program: Program, tenant: RunningSandbox, run: str
) -> None:
    program("track", "--track-for", "0", env=environment(tenant))
    before = program("status", "--json").json
    ended = program("report", "--json")
    assert ended.code == 0, ended.err
    page, beside = (tmp_path / "a.results" / f"report-{run}.{kind}" for kind in ("html", "csv"))
    assert ended.json["files"] == {"report": str(page), "changes": str(beside)}
    assert ended.json["changes"] == sum(ended.json["standings"].values()) == len(ROWS)
    text, lines = page.read_text("utf-8"), read_rows(beside)
    assert len(lines) == len(ROWS)
    assert {line["request"].split("-")[0] for line in lines} == {run}
    assert {line["comment"] for line in lines} == {"INC0012345"}
    assert sorted(line["_line"] for line in lines) == [str(n) for n in range(2, 2 + len(ROWS))]
    assert all(line["sent_at"] <= line["accepted_at"] for line in lines)
    assert all(line["access_request"] and line["access_request"] in text for line in lines)
    assert all(identity(person) in text for person in range(3))
    assert program("status", "--json").json == before
    assert program("report", run[:5]).code == 0, "a newer report takes the place of an older one"


def test_a_redacted_report_goes_where_it_is_wanted_and_names_nobody(
    tmp_path: Path, program: Program, tenant: RunningSandbox, run: str
) -> None:
    program("track", "--track-for", "0", env=environment(tenant))
    ended = program("report", run, "--redact", "-o", tmp_path / "out.html")
    assert ended.code == 0, ended.err
    assert f"report: {tmp_path / 'out.html'}" in ended.out
    both = (tmp_path / "out.html").read_text("utf-8") + (tmp_path / "out.csv").read_text("utf-8")
    assert not [person for person in range(3) if identity(person) in both]
    assert "INC0012345" not in both
    assert "a.csv" not in both
    assert len(set(re.findall("person-[0-9a-f]{12}", (tmp_path / "out.csv").read_text("utf-8")))) >= 3


def test_a_report_replaces_no_other_file_and_needs_a_run(tmp_path: Path, program: Program, run: str) -> None:
    mine = tmp_path / "mine.html"
    mine.write_text("<p>mine</p>", "utf-8")
    ended = program("report", run, "--out", mine)
    assert ended.code == 2
    assert "has not written it as a report" in ended.err
    assert mine.read_text("utf-8") == "<p>mine</p>"
    assert not (tmp_path / "mine.csv").exists()
    (tmp_path / "file").write_text("", "utf-8")
    assert program("report", run, "--out", tmp_path / "file" / "x.html").code == 2
    assert program("report", "nonsense").code == 2


def test_the_report_of_a_run_that_was_refused_names_the_cause(tmp_path: Path, program: Program) -> None:
    path = write_rows(tmp_path / "b.csv", [grant(1, 1), grant(1, 2)])
    choices = SandboxSettings(rate=Rate(requests=5000, seconds=1), unrequestable=frozenset({item(2)}))
    with running_sandbox(choices) as tenant:
        program("submit", path, "--yes", "--check-tenant", "never", env=environment(tenant))
    found = program("report", "--json").json
    assert found["standings"]["refused"] == 1
    assert "Why the tenant refused changes" in (tmp_path / "b.results" / f"report-{found['run']}.html").read_text()


def test_submit_and_track_write_the_report_at_their_end(
    tmp_path: Path, program: Program, tenant: RunningSandbox
) -> None:
    path = write_rows(tmp_path / "c.csv", ROWS)
    submitted = program("submit", path, "--yes", "--json", "--report", env=environment(tenant)).json
    page = tmp_path / "c.results" / f"report-{submitted['run']}.html"
    assert submitted["files"]["report"] == str(page)
    assert "not known" in page.read_text("utf-8"), "nobody has tracked it yet"
    assert {line["_line"] for line in read_rows(page.with_suffix(".csv"))} == {str(n) for n in range(2, 8)}
    tracked = program("track", "--track-for", "0", "--json", "--report", env=environment(tenant)).json
    assert tracked["files"]["report"] == str(page)
    assert all(line["access_request"] for line in read_rows(page.with_suffix(".csv")))
    page.write_text("mine", "utf-8")
    again = program("track", "--track-for", "0", "--report", env=environment(tenant))
    assert "has not written it as a report" in again.err
    assert page.read_text("utf-8") == "mine"
