"""`--where` takes only some rows of a file: the run is that of these rows alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.end_to_end.program import accepted, environment, grant, once, pair_of, read_rows, write_rows

if TYPE_CHECKING:
    from pathlib import Path

    from batch.sandbox.server import RunningSandbox
    from tests.end_to_end.program import Program


def rows(*teams: str) -> list[dict[str, str]]:
    return [grant(number, number) | {"Team": team} for number, team in enumerate(teams)]


def test_a_run_of_some_rows_is_continued_whatever_the_other_rows_are(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    path = write_rows(tmp_path / "a.csv", rows("red", "blue", "red"))
    submit = ("submit", path, "--yes", "--json")
    first = program(*submit, "--where", "team=red", env=environment(tenant))
    assert (first.code, first.json["left_out"], first.json["rows"]["read"]) == (0, 1, 2)
    assert "Read 2 rows from " in first.err
    assert "; --where leaves out 1 more." in first.err
    assert accepted(tenant) == once([pair_of(grant(0, 0)), pair_of(grant(2, 2))])
    assert [row["Team"] for row in read_rows(tmp_path / "a.results" / "results.csv")] == ["red", "red"]

    write_rows(path, rows("red", "green", "red", "green"))
    again = program(*submit, "--where", "team!=green", env=environment(tenant)).json
    assert (again["run"], again["left_out"], again["http"]["posts_now"]) == (first.json["run"], 2, 0)
    # All rows are another input, whose other rows alone are new.
    whole = program(*submit, env=environment(tenant)).json
    assert whole["run"] != first.json["run"]
    assert (whole["rows"]["already_submitted"], whole["rows"]["submitted"]) == (2, 2)
    assert accepted(tenant) == once([pair_of(grant(number, number)) for number in range(4)])
