"""`ledger backup`: a whole copy of the ledger at one moment, whatever works on it; and `ledger move`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.end_to_end.program import environment, fork, grant, write_rows
from tests.waiting import LIMIT, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from batch.sandbox.server import RunningSandbox
    from tests.end_to_end.program import Program


def test_a_backup_made_while_a_run_works_is_a_sound_private_ledger(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    path = write_rows(tmp_path / "a.csv", [grant(person, person) for person in range(80)])
    ledger, copy = tmp_path / "ledger.db", tmp_path / "copy.db"
    command = ("submit", path, "--yes", "--check-tenant", "never", "--concurrency", "2", "--ledger", ledger)
    process = fork(*command, env=environment(tenant))
    wait_until(lambda: tenant.tenant.audit.posts >= 5, process)
    ended = program("ledger", "backup", copy, "--ledger", ledger)
    process.communicate(timeout=LIMIT)
    assert (ended.code, process.returncode) == (0, 0), ended.err
    assert "looked up at the tenant first" in ended.out
    assert copy.stat().st_mode & 0o777 == 0o600
    assert program("ledger", "verify", "--ledger", copy).out == "The ledger is sound.\n"
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".")] == []


def test_a_backup_overwrites_nothing(program: Program, tmp_path: Path) -> None:
    ledger, link = tmp_path / "ledger.db", tmp_path / "link"
    program("ledger", "verify", "--ledger", ledger)
    assert program("ledger", "backup", tmp_path / "x", "--ledger", ledger).code == 2, "there is no ledger"
    write_rows(tmp_path / "a.csv", [grant(1, 1)])
    ledger.write_bytes(b"not a ledger at all, but long enough to be read as a header of something")
    assert program("ledger", "backup", tmp_path / "x", "--ledger", ledger).code == 2
    assert not (tmp_path / "x").exists()
    link.symlink_to(tmp_path / "y")
    for taken in (tmp_path / "a.csv", link):
        ended = program("ledger", "backup", taken, "--ledger", ledger)
        assert (ended.code, "exists already" in ended.err) == (2, True)


def test_another_database_has_its_own_means(program: Program, tmp_path: Path) -> None:
    ended = program("ledger", "backup", tmp_path / "x", "--ledger", "postgresql+psycopg://me@nowhere/ledger")
    assert ended.code == 2
    assert "pg_dump" in ended.err


def test_a_ledger_that_has_moved_sends_from_its_new_place_only(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    path, more = (
        write_rows(tmp_path / name, [grant(1, 1), grant(2, last)]) for name, last in (("a.csv", 1), ("b.csv", 2))
    )
    ledger, new = tmp_path / "ledger.db", tmp_path / "new.db"
    assert program("submit", path, "--yes", "--ledger", ledger, env=environment(tenant)).code == 0
    posts = tenant.tenant.audit.posts
    moved = program("ledger", "move", ledger, new)
    assert moved.code == 0, moved.err
    assert f"The ledger is at {new} now: " in moved.out
    refused = program("submit", more, "--yes", "--ledger", ledger, env=environment(tenant))
    assert refused.code == 2
    assert f"The ledger {ledger} has moved to {new}." in refused.err
    assert program("runs", "--ledger", ledger).code == 0
    assert program("ledger", "verify", "--ledger", ledger).code == 0
    assert program("submit", path, "--yes", "--ledger", new, env=environment(tenant)).code == 0
    assert tenant.tenant.audit.posts == posts
    assert program("submit", more, "--yes", "--ledger", new, env=environment(tenant)).code == 0
    assert tenant.tenant.audit.posts == posts + 1
    assert program("ledger", "verify", "--ledger", new).out == "The ledger is sound.\n"
    again = program("ledger", "move", ledger, new)
    assert (again.code, f"The ledger is at {new} now.\n" in again.out) == (0, True)
