"""A ledger that was put back to an earlier state, or copied in part, is compared with the tenant first."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import platformdirs
import pytest

from batch.api.dialects import Rate
from batch.commands.heads import Heads
from batch.sandbox.faults import Fault
from batch.sandbox.server import RunningSandbox, running_sandbox
from batch.sandbox.settings import SandboxSettings
from batch.sandbox.tenant import OTHER_USER
from tests.end_to_end.program import (
    Ended,
    Forked,
    Program,
    accepted,
    environment,
    fork,
    grant,
    once,
    pair_of,
    read_rows,
    write_rows,
)
from tests.ledger.ledger_helpers import a_process, alter, open_ledger, rows
from tests.postgresql import Server, free_port
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROWS = [grant(person, person) for person in range(30)]
OPTIONS = ("--yes", "--check-tenant", "never", "--settle-after", "1", "--concurrency", "4")


@pytest.fixture
def tenant() -> Iterator[RunningSandbox]:
    settings = SandboxSettings(rate=Rate(requests=5000, seconds=1), latency=(0.02, 0.05), visibility_delay=0.3)
    with running_sandbox(settings) as sandbox:
        yield sandbox


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "a.csv", ROWS)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def back_up(ledger: Path, copy: Path) -> None:
    with closing(sqlite3.connect(ledger)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)


def put_back(copy: Path, ledger: Path) -> None:
    for name in ("-wal", "-shm"):
        ledger.with_name(ledger.name + name).unlink(missing_ok=True)
    shutil.copy(copy, ledger)


def test_a_ledger_put_back_from_a_backup_sends_nothing_twice(
    program: Program, tenant: RunningSandbox, path: Path, ledger: Path, tmp_path: Path
) -> None:
    process = fork("submit", path, *OPTIONS, "--ledger", ledger, env=environment(tenant))
    wait_until(lambda: tenant.tenant.audit.posts >= 8, process)
    back_up(ledger, tmp_path / "backup.db")
    process.communicate()
    assert process.returncode == 0
    put_back(tmp_path / "backup.db", ledger)
    ended = program("submit", path, *OPTIONS, "--ledger", ledger, env=environment(tenant))
    assert ended.code == 0, ended.err
    assert accepted(tenant) == once(map(pair_of, ROWS))
    assert "older than this machine has seen it" in ended.err
    assert program("ledger", "verify", "--ledger", ledger).out == "The ledger is sound.\n"
    again = program("submit", path, *OPTIONS, "--ledger", ledger, env=environment(tenant))
    assert "older than" not in again.err


def test_a_ledger_is_stale_again_if_it_loses_what_it_has_imported(
    program: Program, tenant: RunningSandbox, path: Path, ledger: Path, tmp_path: Path
) -> None:
    other = write_rows(tmp_path / "other.csv", [grant(40, 40)])
    assert program("submit", other, *OPTIONS, "--ledger", ledger, env=environment(tenant)).code == 0
    back_up(ledger, tmp_path / "backup.db")
    assert program("submit", path, *OPTIONS, "--ledger", ledger, env=environment(tenant)).code == 0
    for _ in range(2):
        put_back(tmp_path / "backup.db", ledger)
        ended = program("submit", path, *OPTIONS, "--ledger", ledger, env=environment(tenant))
        assert ended.code == 0, ended.err
        assert "older than this machine has seen it" in ended.err
        assert "Imported 30 requested changes" in ended.err
    assert accepted(tenant) == once(map(pair_of, [*ROWS, grant(40, 40)]))


def test_a_plan_made_with_a_ledger_that_was_put_back_says_so(
    program: Program, tenant: RunningSandbox, path: Path, ledger: Path, tmp_path: Path
) -> None:
    submit = ("submit", path, *OPTIONS, "--ledger", ledger)
    plan = ("plan", path, "--check-tenant", "never", "--ledger", ledger)
    other = write_rows(tmp_path / "other.csv", [grant(40, 40)])
    assert program("submit", other, *OPTIONS, "--ledger", ledger, env=environment(tenant)).code == 0
    back_up(ledger, tmp_path / "backup.db")
    assert program(*submit, env=environment(tenant)).code == 0
    put_back(tmp_path / "backup.db", ledger)
    stale = program(*plan, env=environment(tenant))
    assert stale.code == 0
    assert "This plan may have changes that were sent since then." in stale.err
    assert "looks them up at the tenant before it sends anything" in stale.err
    assert program(*submit, env=environment(tenant)).code == 0
    assert "older than" not in program(*plan, env=environment(tenant)).err
    assert accepted(tenant) == once(map(pair_of, [*ROWS, grant(40, 40)]))


MANY = [grant(person, person) for person in range(200)]


def wait_for_more(tenant: RunningSandbox, process: Forked) -> None:
    """Waits until the process has sent some more requests."""
    before = tenant.tenant.audit.posts
    wait_until(lambda: tenant.tenant.audit.posts >= before + 8, process)


def assert_lost_and_found(
    process: Forked, program: Program, tenant: RunningSandbox, path: Path, ledger: str | Path
) -> None:
    """A process under which the ledger was put back ends with exit code 4, and the same command then does the rest."""
    out, err = process.communicate()
    assert process.returncode == 4, err
    assert "The ledger has lost this process's last claim: it was put back, or is another copy." in out + err
    assert len(accepted(tenant)) < len(MANY)
    if isinstance(ledger, str):
        # Another machine knows nothing of what was lost, and may not begin at once.
        waiting = program("submit", path, *OPTIONS, "--ledger", ledger, env=environment(tenant))
        assert (waiting.code, "another process works on" in waiting.err) == (4, True), waiting.err
        # After a minute.
        alter(ledger, "DELETE FROM holder")
    ended = program("submit", path, *OPTIONS, "--ledger", ledger, env=environment(tenant))
    assert ended.code == 0, ended.err
    assert accepted(tenant) == once(map(pair_of, MANY))
    assert program("ledger", "verify", "--ledger", ledger).out == "The ledger is sound.\n"


@pytest.mark.thorough
def test_a_ledger_put_back_under_a_running_process_ends_it(
    program: Program, tenant: RunningSandbox, ledger: Path, tmp_path: Path
) -> None:
    path = write_rows(tmp_path / "many.csv", MANY)
    process = fork("submit", path, *OPTIONS, "--ledger", ledger, env=environment(tenant))
    wait_for_more(tenant, process)
    back_up(ledger, tmp_path / "backup.db")
    wait_for_more(tenant, process)
    # As `sqlite3 ledger.db '.restore backup.db'` does: the file stays the same one.
    back_up(tmp_path / "backup.db", ledger)
    assert_lost_and_found(process, program, tenant, path, ledger)


@pytest.mark.usefixtures("postgresql_server")
def test_a_databases_files_put_back_under_a_running_process_end_it(
    program: Program, tenant: RunningSandbox, short_folder: Path, tmp_path: Path
) -> None:
    path, server = write_rows(tmp_path / "many.csv", MANY), Server(short_folder / "s", free_port())
    data, copy = server.folder / "data", server.folder / "copy"
    server.start()
    try:
        ledger = server.url("postgres")
        process = fork("submit", path, *OPTIONS, "--ledger", ledger, env=environment(tenant))
        for source, target in ((data, copy), (copy, data)):
            wait_for_more(tenant, process)
            server.stop()
            shutil.rmtree(target, ignore_errors=True)
            # With its owner.
            subprocess.run(["/bin/cp", "-a", source, target], check=True)
            server.start()
        assert_lost_and_found(process, program, tenant, path, ledger)
    finally:
        server.stop(signal.SIGQUIT)


@pytest.mark.thorough
def test_a_ledger_copied_without_its_wal_sends_nothing_twice(
    program: Program, tenant: RunningSandbox, path: Path, ledger: Path, tmp_path: Path
) -> None:
    first = write_rows(tmp_path / "first.csv", [grant(99, 99)])
    assert program("submit", first, *OPTIONS, "--ledger", ledger, env=environment(tenant)).code == 0
    process = fork("submit", path, *OPTIONS, "--ledger", ledger, env=environment(tenant))
    wait_until(lambda: tenant.tenant.audit.posts >= 8, process)
    process.kill()
    process.communicate()
    copy = tmp_path / "copy.db"
    shutil.copy(ledger, copy)
    ended = program("submit", path, *OPTIONS, "--ledger", copy, env=environment(tenant))
    assert ended.code == 0, ended.err
    assert accepted(tenant) == once(map(pair_of, [grant(99, 99), *ROWS]))
    assert "older than this machine has seen it" in ended.err


@pytest.mark.thorough
def test_a_lost_change_is_imported_though_the_ledger_knows_another_of_its_pair(
    program: Program, ledger: Path, tmp_path: Path
) -> None:
    granted = grant(0, 0)
    revoked = {**granted, "operation": "REVOKE", "comment": "left"}
    first, revoke, other = (
        write_rows(tmp_path / f"{number}.csv", [row]) for number, row in enumerate([granted, revoked, grant(5, 5)])
    )
    settings = SandboxSettings(rate=Rate(requests=5000, seconds=1), approval_seconds=0.0, provisioning_seconds=0.0)
    with running_sandbox(settings) as tenant:

        def submit(path: Path, *more: str) -> Ended:
            ended = program("submit", path, *OPTIONS, *more, "--ledger", ledger, env=environment(tenant))
            assert ended.code == 0, ended.err
            return ended

        submit(first, "--wait")
        back_up(ledger, tmp_path / "backup.db")
        submit(revoke)
        put_back(tmp_path / "backup.db", ledger)
        assert "Imported 1 requested change that the ledger did not know." in submit(other).err
        assert ("REVOKE", "ACCEPTED") in rows(ledger, "SELECT operation, state FROM changes")
        submit(revoke)
        assert accepted(tenant) == once(map(pair_of, [granted, revoked, grant(5, 5)]))


@pytest.mark.thorough
def test_changes_that_a_stale_ledger_had_planned_and_a_user_discarded_are_imported(
    program: Program, tenant: RunningSandbox, ledger: Path, tmp_path: Path
) -> None:
    wanted = [grant(person, person) for person in range(3)]
    first, path, other = (
        write_rows(tmp_path / name, some)
        for name, some in (("1.csv", [grant(90, 90)]), ("2.csv", wanted), ("3.csv", [grant(99, 99)]))
    )

    def submit(path: Path, **more: str) -> Ended:
        return program("submit", path, *OPTIONS, "--ledger", ledger, env={**environment(tenant), **more})

    assert submit(first).code == 0
    assert submit(path, SAIL_CLIENT_SECRET="wrong").code == 4, "planned, not sent"
    back_up(ledger, tmp_path / "backup.db")
    assert submit(path).code == 0
    put_back(tmp_path / "backup.db", ledger)
    run = rows(ledger, "SELECT id FROM run ORDER BY number DESC LIMIT 1")[0][0]
    assert "3 requests discarded" in program("discard", run, "--ledger", ledger).out
    assert "Imported 3 requested changes that the ledger did not know." in submit(other).err
    # Long after that, nothing compares the rows of the discarded requests again.
    tenant.tenant.audit.calls.clear()
    assert submit(path).code == 0
    assert accepted(tenant) == once(map(pair_of, [grant(90, 90), *wanted, grant(99, 99)]))
    audited = program("audit", "--ledger", ledger, env=environment(tenant))
    assert (audited.code, "Ledger and list agree" in audited.out) == (0, True)


@pytest.mark.thorough
def test_a_ledger_stays_stale_until_no_other_process_holds_requests_that_have_arrived(
    program: Program, tenant: RunningSandbox, path: Path, ledger: Path, tmp_path: Path
) -> None:
    process = fork("submit", path, *OPTIONS, "--ledger", ledger, env=environment(tenant))
    wait_until(lambda: tenant.tenant.audit.posts >= 8, process)
    back_up(ledger, tmp_path / "backup.db")
    process.communicate()
    put_back(tmp_path / "backup.db", ledger)
    other = write_rows(tmp_path / "other.csv", [grant(99, 99)])
    with closing(open_ledger(ledger)) as opened:
        (run,) = opened.runs.all()
        opened.runs.hold(run, a_process(), datetime.now(UTC))
    ended = program("submit", other, *OPTIONS, "--ledger", ledger, env=environment(tenant))
    assert ended.code == 4
    assert "another process works on" in ended.err
    assert pair_of(grant(99, 99)) not in accepted(tenant)
    with closing(open_ledger(ledger)) as opened:
        opened.runs.release(run, a_process(), datetime.now(UTC))
    for each in (other, path):
        ended = program("submit", each, *OPTIONS, "--ledger", ledger, env=environment(tenant))
        assert ended.code == 0, ended.err
    assert accepted(tenant) == once(map(pair_of, [grant(99, 99), *ROWS]))


@pytest.mark.thorough
def test_a_stale_ledger_waits_until_the_request_that_was_accepted_last_is_listed(
    program: Program, path: Path, ledger: Path, tmp_path: Path
) -> None:
    settings = SandboxSettings(
        rate=Rate(requests=5000, seconds=1),
        latency=(0.02, 0.05),
        visibility_delay=2.5,
        approval_seconds=0.0,
        provisioning_seconds=0.0,
    )
    with running_sandbox(settings) as late:
        first = write_rows(tmp_path / "first.csv", [grant(99, 99)])
        # It returns once the change is listed, and in progress no longer.
        waited = program(
            "submit", first, *OPTIONS, "--wait", "--settle-after", "60", "--ledger", ledger, env=environment(late)
        )
        assert waited.code == 0, waited.err
        back_up(ledger, tmp_path / "backup.db")
        process = fork("submit", path, *OPTIONS, "--ledger", ledger, env=environment(late))
        wait_until(lambda: late.tenant.audit.posts >= 16, process)
        process.kill()
        process.communicate()
        put_back(tmp_path / "backup.db", ledger)
        ended = program("submit", path, *OPTIONS, "--ledger", ledger, env=environment(late))
        assert ended.code == 0, ended.err
        assert accepted(late) == once(map(pair_of, [grant(99, 99), *ROWS]))


@pytest.mark.thorough
def test_what_a_lost_run_had_on_its_way_is_in_doubt_again_until_the_list_shows_it(
    program: Program, ledger: Path, tmp_path: Path
) -> None:
    settings = SandboxSettings(rate=Rate(requests=5000, seconds=1), visibility_delay=5.0)
    path = write_rows(tmp_path / "a.csv", [{**grant(person, person), "comment": f"{person}"} for person in range(5)])
    with running_sandbox(settings) as late:
        first = write_rows(tmp_path / "first.csv", [grant(99, 99)])
        assert program("submit", first, *OPTIONS, "--ledger", ledger, env=environment(late)).code == 0
        back_up(ledger, tmp_path / "backup.db")
        # The third is accepted three seconds after the second, and its answer never comes.
        late.faults.add(None, None, Fault.HANG_AFTER)
        slow = ("--yes", "--check-tenant", "never", "--concurrency", "1", "--rate", "1/3")
        process = fork("submit", path, *slow, "--ledger", ledger, env=environment(late))
        wait_until(lambda: late.tenant.audit.posts == 4, process)
        process.kill()
        process.communicate()
        put_back(tmp_path / "backup.db", ledger)
        ended = program("submit", path, *OPTIONS, "--ledger", ledger, env=environment(late))
        assert "1 request that the ledger has lost may have arrived." in ended.err
        while ended.code == 4:
            ended = program("submit", path, *OPTIONS, "--ledger", ledger, env=environment(late))
        assert ended.code == 0, ended.err
        assert accepted(late) == once(map(pair_of, read_rows(path))) | once([pair_of(grant(99, 99))])
    assert program("ledger", "verify", "--ledger", ledger).out == "The ledger is sound.\n"
    assert any("that were on their way" in inputs for (inputs,) in rows(ledger, "SELECT inputs FROM run"))


@pytest.mark.thorough
def test_a_stale_ledger_also_looks_for_requests_of_users_that_it_does_not_know(
    program: Program, tenant: RunningSandbox, path: Path, ledger: Path, tmp_path: Path
) -> None:
    first = write_rows(tmp_path / "first.csv", [grant(99, 99)])
    assert program("submit", first, *OPTIONS, "--ledger", ledger, env=environment(tenant)).code == 0
    back_up(ledger, tmp_path / "backup.db")
    ended = program("submit", path, *OPTIONS, "--ledger", ledger, env=environment(tenant))
    assert ended.code == 0, ended.err
    put_back(tmp_path / "backup.db", ledger)
    ((ledger_id,),) = rows(ledger, "SELECT ledger FROM about")
    heads = Heads(folder=platformdirs.user_state_path("access-batch") / "heads")
    heads.keep_user(ledger_id, OTHER_USER.id, {tenant.base_url})
    ended = program("submit", path, *OPTIONS, "--ledger", ledger, env=environment(tenant))
    assert ended.code == 0, ended.err
    assert (OTHER_USER.id,) in rows(ledger, "SELECT identity FROM requester")
    assert accepted(tenant) == once(map(pair_of, [grant(99, 99), *ROWS]))


@pytest.mark.thorough
def test_a_stale_ledger_is_compared_with_each_of_its_tenants(
    program: Program, tenant: RunningSandbox, ledger: Path, tmp_path: Path
) -> None:
    back_up_of, one, two, more = (write_rows(tmp_path / f"{n}.csv", [grant(n, n)]) for n in range(4))
    with running_sandbox(SandboxSettings(rate=Rate(requests=5000, seconds=1))) as other:

        def submit(path: Path, to: RunningSandbox) -> str:
            ended = program("submit", path, *OPTIONS, "--ledger", ledger, env=environment(to))
            assert ended.code == 0, ended.err
            return ended.err

        submit(back_up_of, tenant)
        back_up(ledger, tmp_path / "backup.db")
        submit(one, tenant)
        submit(two, other)
        put_back(tmp_path / "backup.db", ledger)
        assert "older than this machine has seen it" in submit(more, tenant)
        assert "older than this machine has seen it" in submit(two, other)
        assert accepted(other) == once([pair_of(grant(2, 2))])


def test_a_machine_that_cannot_keep_how_new_the_ledger_is_says_so_before_it_sends(
    program: Program, tenant: RunningSandbox, ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "state").write_text("no folder")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    path = write_rows(tmp_path / "one.csv", [grant(1, 1)])
    ended = program("submit", path, *OPTIONS, "--ledger", ledger, env=environment(tenant))
    assert ended.code == 0
    assert ended.err.count("This machine can't record the ledger's newest state") == 1


@pytest.mark.thorough
def test_another_machine_finds_the_requests_that_the_list_shows(
    program: Program, path: Path, ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SandboxSettings(rate=Rate(requests=5000, seconds=1), latency=(0.02, 0.05), visibility_delay=0.0)
    with running_sandbox(settings) as tenant:
        process = fork("submit", path, *OPTIONS, "--ledger", ledger, env=environment(tenant))
        wait_until(lambda: tenant.tenant.audit.posts >= 8, process)
        back_up(ledger, tmp_path / "backup.db")
        process.communicate()
        assert process.returncode == 0
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "other machine"))
        ended = program("submit", path, *OPTIONS, "--ledger", tmp_path / "backup.db", env=environment(tenant))
        assert ended.code == 0, ended.err
        assert accepted(tenant) == once(map(pair_of, ROWS))


def test_an_undisturbed_run_makes_one_call_for_the_comparison(
    program: Program, tenant: RunningSandbox, path: Path, ledger: Path, tmp_path: Path
) -> None:
    assert program("submit", path, *OPTIONS, "--ledger", ledger, env=environment(tenant)).code == 0
    assert tenant.tenant.audit.calls["status"] == 2, "a new ledger looks for others first"
    more = write_rows(tmp_path / "more.csv", [grant(person, 100) for person in range(30)])
    assert program("submit", more, *OPTIONS, "--ledger", ledger, env=environment(tenant)).code == 0
    assert tenant.tenant.audit.calls["status"] == 3
    assert program("submit", path, *OPTIONS, "--ledger", ledger, env=environment(tenant)).code == 0
    assert tenant.tenant.audit.calls["status"] == 3, "nothing was sent, so nothing was compared"


@pytest.mark.thorough
def test_a_stale_ledger_without_any_accepted_request_stops_and_sends_nothing(
    program: Program, tenant: RunningSandbox, path: Path, ledger: Path, tmp_path: Path
) -> None:
    process = fork("submit", path, *OPTIONS, "--ledger", ledger, env=environment(tenant))
    wait_until(lambda: tenant.tenant.audit.posts >= 8, process)
    process.kill()
    process.communicate()
    with closing(sqlite3.connect(ledger)) as connection:
        (ledger_id,) = connection.execute("SELECT ledger FROM about").fetchone()
    # Put back to the moment before the first plan, at a tenant that no longer shows the requests.
    empty = tmp_path / "empty.db"
    open_ledger(empty).close()
    alter(empty, f"UPDATE about SET ledger = '{ledger_id}'")  # noqa: S608 - the ledger's own id
    same = f"sandbox-on-port-{tenant.base_url.rpartition(':')[2]}"
    settings = SandboxSettings(rate=Rate(requests=5000, seconds=1), tenant_id=same)
    with running_sandbox(settings) as forgetful:
        ended = program("submit", path, *OPTIONS, "--ledger", empty, env=environment(forgetful))
        assert accepted(forgetful) == {}
    assert ended.code == 4
    assert "nothing proves what was sent since then" in ended.err
    assert rows(empty, "SELECT * FROM request WHERE state = 'PLANNED'") == [], "it could be what the ledger has lost"
