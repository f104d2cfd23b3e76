"""Request-level metadata reaches the tenant with every request of a run, and with none that was planned without it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

from batch.api.dialects import Rate
from batch.sandbox.server import running_sandbox
from batch.sandbox.settings import SandboxSettings
from tests.credentials.places import write_config
from tests.end_to_end.program import accepted, environment, grant, once, pair_of, write_rows

if TYPE_CHECKING:
    from pathlib import Path

    from batch.sandbox.server import RunningSandbox
    from tests.end_to_end.program import Program

CHANGE = ("--request-metadata", "change=CHG0012345")
ROWS = [grant(person, 1, comment=f"for person {person}") for person in range(1, 9)]


def metadata_sent(tenant: RunningSandbox) -> list[Any]:
    """The metadata of each accepted request as a whole."""
    return [accepted.body.get("clientMetadata") for accepted in tenant.tenant.audit.accepted]


def test_every_request_carries_it_also_a_part_of_a_refused_one(program: Program, tmp_path: Path) -> None:
    alike = [grant(person, 2) for person in range(11, 16)]
    wanted, unknown = [*ROWS, *alike[:-1]], alike[-1]
    path = write_rows(tmp_path / "wanted.csv", [*wanted, unknown])
    options = ("--request-metadata", "stage=2", *CHANGE)
    known = frozenset(row["identity_id"] for row in wanted)
    with running_sandbox(SandboxSettings(rate=Rate(requests=5000, seconds=1), identities=known)) as tenant:
        env = {**environment(tenant), "ACCESS_BATCH_CHECK_TENANT": "never"}
        planned = program("plan", path, *options, env=env)
        assert "Each request carries change=CHG0012345, stage=2." in planned.out
        ended = program("submit", path, "--yes", *options, env=env)
        assert (ended.code, accepted(tenant)) == (3, once(map(pair_of, wanted)))
        sent = metadata_sent(tenant)
        assert sent == [{"change": "CHG0012345", "stage": "2"}] * len(sent)
        assert tenant.tenant.audit.posts > len(sent)
    assert program("ledger", "verify", env=env).code == 0
    assert program("ledger", "export", tmp_path / "tables", env=env).code == 0
    assert '{""change"": ""CHG0012345"", ""stage"": ""2""}' in (tmp_path / "tables" / "runs.csv").read_text()
    assert program("report", "--out", tmp_path / "report.html", env=env).code == 0
    assert "change=CHG0012345, stage=2" in (tmp_path / "report.html").read_text()


def test_a_run_keeps_what_it_was_planned_with_and_a_command_that_asks_for_other_metadata_sends_nothing(
    program: Program, tmp_path: Path, tenant: RunningSandbox
) -> None:
    path, env = write_rows(tmp_path / "wanted.csv", ROWS), environment(tenant)
    stopped = program("submit", path, "--yes", *CHANGE, "--monthly-calls", "6", "--check-tenant", "never", env=env)
    assert stopped.code == 4, stopped.err
    begun = len(metadata_sent(tenant))
    assert 0 < begun < len(ROWS)
    other = program("submit", path, "--yes", "--request-metadata", "change=CHG2", env=env)
    assert (other.code, len(metadata_sent(tenant))) == (2, begun)
    assert "was planned with the request metadata change=CHG0012345, not with change=CHG2." in other.err
    assert program("submit", path, "--yes", env=env).code == 0
    assert metadata_sent(tenant) == [{"change": "CHG0012345"}] * len(ROWS)
    # Nothing is left to send, so nothing is wrong with asking for other metadata.
    assert program("submit", path, "--yes", "--request-metadata", "change=CHG2", env=env).code == 0


def test_a_run_that_was_planned_without_any_gets_none_later(
    program: Program, tmp_path: Path, tenant: RunningSandbox
) -> None:
    path, env = write_rows(tmp_path / "wanted.csv", ROWS), environment(tenant)
    assert program("submit", path, "--yes", "--monthly-calls", "6", "--check-tenant", "never", env=env).code == 4
    refused = program("submit", path, "--yes", *CHANGE, env=env)
    assert (refused.code, "was planned with no request metadata" in refused.err) == (2, True)
    assert program("submit", path, "--yes", env=env).code == 0
    assert metadata_sent(tenant) == [None] * len(ROWS)


def test_a_saved_plan_shows_it_and_sends_what_was_approved_whatever_the_config_file_says(
    program: Program, tmp_path: Path, tenant: RunningSandbox
) -> None:
    write_config('request_metadata = {change = "CHG0012345"}')
    path, env = write_rows(tmp_path / "wanted.csv", ROWS), environment(tenant)
    saved = tmp_path / "load.plan"
    assert program("plan", path, "--save", saved, env=env).code == 0
    shown = program("show", saved, "--json", env=env)
    assert shown.json["request_metadata"] == {"change": "CHG0012345"}
    write_config('request_metadata = {change = "CHG2"}')
    refused = program("submit", saved, "--yes", env=env)
    assert (refused.code, metadata_sent(tenant)) == (2, [])
    assert "was made with the request metadata change=CHG0012345, not with change=CHG2." in refused.err
    write_config("")
    assert program("submit", saved, "--yes", env=env).code == 0
    assert metadata_sent(tenant) == [{"change": "CHG0012345"}] * len(ROWS)


def test_metadata_that_somebody_has_changed_in_the_ledger_is_never_sent(
    program: Program, tmp_path: Path, tenant: RunningSandbox
) -> None:
    path = write_rows(tmp_path / "wanted.csv", ROWS)
    env = {**environment(tenant), "ACCESS_BATCH_LEDGER": str(tmp_path / "ledger.db")}
    stopped = ("--monthly-calls", "6", "--check-tenant", "never")
    assert program("submit", path, "--yes", *CHANGE, *stopped, env=env).code == 4
    before = metadata_sent(tenant)
    for changed in ('{"change": "CHG2"}', ""):
        with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection, connection:
            connection.execute("UPDATE run SET metadata = ?", (changed,))
        ended = program("submit", path, "--yes", env=env)
        assert "Somebody has changed the ledger" in ended.err
        verified = program("ledger", "verify", env=env)
        assert (verified.code, "its metadata" in verified.out + verified.err) == (3, True)
    assert metadata_sent(tenant) == before
