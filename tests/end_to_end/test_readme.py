"""The README and the help topics are true: commands run, screens are real, tables match the code and measurements."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import typer

from batch.answers.outcome import OUTCOMES
from batch.cli import app
from batch.sandbox.server import running_sandbox
from tests.benchmarks.packing import WORKLOADS
from tests.documents import (
    DOCUMENTS,
    README,
    ROOT,
    TOPICS,
    block,
    prepare,
    table_after,
    tour_tenant,
    variables,
    with_new_screens,
)
from tests.end_to_end.program import FAST

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.end_to_end.program import Program


def test_the_readme_shows_the_screens_that_its_commands_show(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a message has changed, `python -m tests.documents` writes the screens anew."""
    prepare(tmp_path)
    monkeypatch.chdir(tmp_path)
    with running_sandbox(tour_tenant()) as sandbox:

        def run(words: list[str]) -> str:
            env = {"ACCESS_BATCH_RATE": FAST} if "--sandbox" in words else variables(sandbox)
            ended = program(*words, env=env)
            codes[words[0]] = ended.code
            return ended.err + ended.out

        codes: dict[str, int] = {}
        assert with_new_screens(run).splitlines() == README.splitlines()
        assert codes == {"doctor": 0, "plan": 0, "track": 0, "cancel": 3, "submit": 3}
        first = block("first command").split(".venv/bin/access-batch ")[1].split()
        again = program(*first, env={"ACCESS_BATCH_RATE": FAST})
    assert "Nothing to send" in again.out
    assert again.code == 3


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
        assert row in DOCUMENTS


def test_a_topic_lists_every_command() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for name in commands:
        assert re.search(rf"^\| .*`{name}\b", TOPICS["commands"], re.MULTILINE), name


def test_the_readme_links_every_topic_and_every_link_leads_somewhere() -> None:
    assert set(re.findall(r"batch/help/([\w-]+)\.md", README)) == set(TOPICS)
    documents = [(ROOT, README), *((ROOT / "batch" / "help", text) for text in TOPICS.values())]
    for folder, text in documents:
        for link in re.findall(r"\]\(([^)]+)\)", text):
            assert (folder / link).exists(), link


def test_the_readme_is_an_introduction() -> None:
    assert README.count("\n") < 150


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
    assert f"sending takes {measured()['limit lifted: time']:.1f} ms a request" in DOCUMENTS


def test_the_request_counts_match_the_measurements() -> None:
    values = measured()
    head, cells = table_after("<!-- figures -->")
    ways = head[1:-1]
    assert [row[0].split(":")[0] for row in cells] == [*WORKLOADS]
    for workload, *numbers in cells:
        name = workload.split(":")[0]
        above = f"{values[f'{name}: {head[-1]}']:.0f} %"
        assert numbers == [*(f"{values[f'{name}: {way}']:,.0f}" for way in ways), above]
