"""The README is true: its commands run, its screen is real, and its tables match the code and the measurements."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from batch.answers.outcome import OUTCOMES
from batch.cli import app
from tests.end_to_end.program import FAST

if TYPE_CHECKING:
    import pytest

    from tests.end_to_end.program import Program

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(name: str) -> str:
    """The fenced text after a marker."""
    found = re.search(rf"<!-- {name} -->\n```\w*\n(.*?)```", README, re.DOTALL)
    assert found, name
    return found.group(1)


def comparable_lines(text: str) -> list[str]:
    """The lines without the run's id and head and without the age of the answers, which a slow machine adds."""
    text = re.sub(r"head: \d+:[0-9a-f]{16}", "head: …", text)
    return re.sub(r" \(some of it up to [^)]+ ago\)", "", re.sub(r"Run [0-9a-f]{12}", "Run …", text)).splitlines()


def test_the_first_command_shows_the_screen_that_the_readme_shows(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sample_csvs").mkdir()
    shutil.copy(ROOT / "sample_csvs" / "onboarding.csv", tmp_path / "sample_csvs")
    monkeypatch.chdir(tmp_path)
    command = block("first command").split(".venv/bin/access-batch ")[1].split()
    ended = program(*command, env={"ACCESS_BATCH_RATE": FAST})
    shown = comparable_lines(ended.err + ended.out)
    assert [line for line in shown if "ledger was created" not in line] == comparable_lines(block("screen"))
    assert ended.code == 3
    again = program(*command, env={"ACCESS_BATCH_RATE": FAST})
    assert "Nothing to send" in again.out


def test_both_commands_are_a_single_line_without_activation() -> None:
    for name in ("first command", "test command"):
        assert block(name).count("\n") == 1
        assert "activate" not in block(name)


def test_the_test_command_measures_coverage() -> None:
    assert block("test command").endswith("/pytest --cov\n")


def test_the_gate_runs_exactly_the_test_command() -> None:
    gate = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "<!-- test command -->" in gate
    assert "README.md" in gate


def test_the_table_of_outcomes_matches_the_code() -> None:
    rows = [f"| {case} | {meaning.event} | {meaning.then} |" for case, meaning in OUTCOMES.items()]
    for row in rows:
        assert row in README


def test_the_readme_mentions_every_command() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for name in commands:
        assert f"`{name}" in README


def test_the_samples_match_the_output_of_their_generator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests import make_samples  # noqa: PLC0415 - a script, which only this test runs

    monkeypatch.setattr(make_samples, "FOLDER", tmp_path)
    make_samples.main()
    for name in ("onboarding.csv", "leavers.csv", "by_name.csv"):
        assert (tmp_path / name).read_bytes() == (ROOT / "sample_csvs" / name).read_bytes()


def measured() -> dict[str, float]:
    """The value of every figure, by name."""
    document = json.loads((ROOT / "tests" / "benchmarks" / "results.json").read_text(encoding="utf-8"))
    return {figure["name"]: figure["value"] for figure in document["figures"]}


def table_after(mark: str) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table that follows a mark in the README."""
    lines = re.findall(r"^\| (.+?) \|$", README.split(mark)[1].split("\n\n")[0], re.MULTILINE)
    head, *rows = [line.split(" | ") for line in lines]
    return head, rows


def test_the_pace_figures_match_the_measurements() -> None:
    values = measured()
    _, rows = table_after("<!-- pace -->")
    assert rows == [
        [
            name,
            f"{values[f'{name}: most in any 10 s']:.0f}",
            f"{values[f'{name}: turned away']:.0f}",
            *(
                f"{values[figure]:.1f} %" if figure in values else ""
                for figure in (f"{name}: unused", f"{name}: processor")
            ),
        ]
        for name in ("steady", "3 processes at a time", "10 processes in a row")
    ]


def test_the_overhead_matches_the_measurement() -> None:
    assert f"sending takes {measured()['limit lifted: time']:.1f} ms a request" in README


def test_the_request_counts_match_the_measurements() -> None:
    values = measured()
    head, cells = table_after("<!-- figures -->")
    ways = head[1:]
    assert len(cells) == len(("onboarding", "migration", "sparse"))
    for workload, *numbers in cells:
        name = workload.split(":")[0]
        assert numbers == [f"{values[f'{name}: {way}']:,.0f}" for way in ways]
