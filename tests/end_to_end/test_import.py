"""`ledger import`: changes that the tenant already has are not submitted again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.end_to_end.program import accepted, environment, grant, identity, item, once, pair_of, write_rows
from tests.ledger.ledger_helpers import rows

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from batch.sandbox.server import RunningSandbox
    from tests.end_to_end.program import Ended, Program

CHANGES = (
    "SELECT request, operation, identity_id, item_id, remove_date, state, tenant_state FROM changes ORDER BY 1, 2, 3, 4"
)


def submit_by_script(tenant: RunningSandbox, wanted: Iterable[dict[str, str]], *, minutes_ago: float = 60) -> None:
    """Submits rows as somebody's script did, one request for each row."""
    for row in wanted:
        body: dict[str, Any] = {
            "requestedFor": [row["identity_id"]],
            "requestedItems": [{"type": row["item_type"], "id": row["item_id"]}],
        }
        if row["operation"] == "REVOKE":
            body["requestType"] = "REVOKE_ACCESS"
            body["requestedItems"][0]["comment"] = row["comment"]
        now = datetime.now(UTC) - timedelta(minutes=minutes_ago)
        assert tenant.tenant.submit(body, now).status == 202


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def test_changes_that_a_script_submitted_are_not_submitted_again(
    program: Program, tenant: RunningSandbox, tmp_path: Path, ledger: Path
) -> None:
    wanted = [grant(person, thing) for person in range(30) for thing in range(10)]
    submit_by_script(tenant, wanted)
    taken = program("ledger", "import", "--ledger", ledger, "--json", env=environment(tenant))
    assert (taken.code, taken.json["rows"]) == (0, counted(imported=300))
    more = write_rows(tmp_path / "wanted.csv", [*wanted, grant(30, 0)])
    sent = program("submit", more, "--ledger", ledger, "--yes", "--json", env=environment(tenant))
    assert accepted(tenant) == once(pair_of(row) for row in [*wanted, grant(30, 0)])
    assert (sent.json["rows"]["already_submitted"], sent.json["rows"]["submitted"]) == (300, 1)
    assert_sound(program, ledger)


def test_a_second_import_adds_only_new_reports_of_the_tenant(
    program: Program, tenant: RunningSandbox, ledger: Path
) -> None:
    submit_by_script(tenant, [grant(person, 1) for person in range(5)])
    run_import(program, tenant, ledger)
    before = rows(ledger, CHANGES)
    assert run_import(program, tenant, ledger).json["rows"] == counted(unchanged=5)
    assert rows(ledger, CHANGES) == before
    tenant.tenant.conclude("REJECTED", identity=identity(3))
    submit_by_script(tenant, [grant(9, 1)], minutes_ago=1)
    assert run_import(program, tenant, ledger).json["rows"] == counted(imported=1, updated=1, unchanged=4)
    assert [row[-1] for row in rows(ledger, CHANGES)].count("REJECTED") == 1
    assert_sound(program, ledger)


def test_an_import_keeps_changes_that_this_ledger_submitted(
    program: Program, tenant: RunningSandbox, tmp_path: Path, ledger: Path
) -> None:
    own = [grant(person, 1) for person in range(4)]
    submit_by_script(tenant, own[:2], minutes_ago=600)
    path = write_rows(tmp_path / "own.csv", own)
    unchecked = ("--yes", "--check-tenant", "never")
    assert program("submit", path, "--ledger", ledger, *unchecked, env=environment(tenant)).code == 0
    tenant.tenant.conclude("REQUEST_COMPLETED", identity=identity(3))
    taken = run_import(program, tenant, ledger)
    assert taken.json["rows"] == counted(known=2, updated=4)
    assert program("submit", path, "--ledger", ledger, "--yes", env=environment(tenant)).code == 0
    assert accepted(tenant) == {pair_of(row): 2 if row in own[:2] else 1 for row in own}
    assert rows(ledger, "SELECT identity_id FROM changes WHERE tenant_state = 'REQUEST_COMPLETED'") == [(identity(3),)]
    assert_sound(program, ledger)


def test_since_limits_an_import_to_later_requests(program: Program, tenant: RunningSandbox, ledger: Path) -> None:
    submit_by_script(tenant, [grant(1, 1)], minutes_ago=3 * 24 * 60)
    submit_by_script(tenant, [grant(2, 1)])
    yesterday = f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%d}"
    taken = program("ledger", "import", "--ledger", ledger, "--since", yesterday, "--json", env=environment(tenant))
    assert taken.json["rows"] == counted(imported=1)
    assert rows(ledger, "SELECT identity_id FROM changes") == [(identity(2),)]
    assert program("ledger", "import", "--since", "soon", env=environment(tenant)).code == 2


def test_runs_marks_an_imported_run(program: Program, tenant: RunningSandbox, ledger: Path) -> None:
    submit_by_script(tenant, [grant(1, 1)])
    run_import(program, tenant, ledger)
    shown = program("runs", "--ledger", ledger)
    assert "1 of 1 accepted  all sent; at the tenant 1 in progress" in shown.out
    assert "(imported)" in shown.out
    assert item(1) not in shown.out


def test_track_refuses_an_imported_run_and_suggests_another_import(
    program: Program, tenant: RunningSandbox, tmp_path: Path, ledger: Path
) -> None:
    path = write_rows(tmp_path / "own.csv", [grant(1, 2)])
    own = program("submit", path, "--ledger", ledger, "--yes", "--json", env=environment(tenant)).json["run"]
    submit_by_script(tenant, [grant(2, 1)])
    imported = run_import(program, tenant, ledger).json["run"]
    track = ("track", "--ledger", ledger, "--track-for", "0", "--json")
    assert program(*track, env=environment(tenant)).json["run"] == own, "the newest run that was submitted here"
    refused = program(*track, imported, env=environment(tenant))
    assert refused.code == 2
    assert f"Run `access-batch ledger import --ledger {ledger}` again to bring it up to date." in refused.err


def run_import(program: Program, tenant: RunningSandbox, ledger: Path) -> Ended:
    return program("ledger", "import", "--ledger", ledger, "--json", env=environment(tenant))


def counted(**numbers: int) -> dict[str, int]:
    names = ("imported", "updated", "unchanged", "known", "unsettled", "not_understood")
    return {"read": sum(numbers.values()), **{name: numbers.get(name, 0) for name in names}}


def assert_sound(program: Program, ledger: Path) -> None:
    ended = program("ledger", "verify", "--ledger", ledger)
    assert (ended.code, ended.out) == (0, "The ledger is sound.\n")
