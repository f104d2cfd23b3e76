"""Before each wave, ledger and tenant are asked again: what a colleague has done meanwhile is left out, and named."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from batch.api.dialects import ItemType, Operation, Rate
from batch.sandbox.server import running_sandbox
from batch.sandbox.settings import SandboxSettings
from tests.credentials.places import write_config
from tests.end_to_end.program import accepted, environment, fork, grant, once, pair_of, read_rows, write_rows
from tests.waiting import LIMIT, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.end_to_end.program import Program

ROWS = [grant(person, thing) for person in range(1, 5) for thing in range(1, 4)]
CALM = SandboxSettings(rate=Rate(requests=5000, seconds=1), visibility_delay=0.0)


@pytest.mark.thorough
def test_a_change_that_moved_before_its_wave_is_left_out_and_the_ledger_stays_sound(
    program: Program, tmp_path: Path
) -> None:
    path, saved = write_rows(tmp_path / "wanted.csv", ROWS), tmp_path / "load.plan"
    with running_sandbox(CALM) as sandbox:
        env = environment(sandbox)
        assert program("plan", path, "--save", saved, env=env).code == 0
        first = program("submit", saved, "--yes", "--wave", "6/day", "--tolerate", "100", env=env)
        assert first.code == 4, first.err
        sent = accepted(sandbox)
        assert 0 < len(sent) <= 6
        row = next(row for row in ROWS if pair_of(row) not in sent)
        sandbox.tenant.request_by_other(
            datetime.now(UTC),
            identity=row["identity_id"],
            item_type=ItemType.ROLE,
            item_id=row["item_id"],
            operation=Operation.GRANT,
        )
        second = program("submit", saved, "--yes", "--wave", "100/day", "--tolerate", "100", env=env)
        assert second.code == 0, second.err
        assert f"grant of ROLE {row['item_id']} for {row['identity_id']}: already_submitted, requested by" in second.err
        assert accepted(sandbox) == once(pair_of(one) for one in ROWS if one is not row)
        results = {pair_of(one): one for one in read_rows(tmp_path / "load.results" / "results.csv")}
        assert results[pair_of(row)]["_class"] == "already_submitted"
        assert program("ledger", "verify", env=env).code == 0
        again = program("submit", saved, "--yes", "--json", env=env)
        assert (again.code, again.json["http"]["posts_now"]) == (0, 0)
        assert again.json["rows"]["already_submitted"] == 1


def test_nobody_takes_over_what_an_approved_plan_has_not_sent(program: Program, tmp_path: Path) -> None:
    path, saved = write_rows(tmp_path / "wanted.csv", ROWS), tmp_path / "load.plan"
    with running_sandbox(CALM) as sandbox:
        env = environment(sandbox)
        assert program("plan", path, "--save", saved, env=env).code == 0
        assert program("submit", saved, "--yes", "--wave", "3/day", "--tolerate", "100", env=env).code == 4
        sent = len(accepted(sandbox))
        other = program("submit", path, "--yes", "--json", env=env)
        assert other.json["rows"]["held_back"] == len(ROWS) - sent
        assert len(accepted(sandbox)) == sent


@pytest.mark.thorough
def test_a_killed_plan_continues_without_sending_twice_and_is_left_to_its_command(
    program: Program, tmp_path: Path
) -> None:
    rows = [grant(person, person) for person in range(60)]
    path, saved = write_rows(tmp_path / "wanted.csv", rows), tmp_path / "load.plan"
    slow = SandboxSettings(rate=Rate(requests=5000, seconds=1), latency=(0.1, 0.3), visibility_delay=0.0)
    with running_sandbox(slow) as sandbox:
        env = environment(sandbox)
        assert program("plan", path, "--save", saved, env=env).code == 0
        process = fork("submit", saved, "--yes", env=env)
        wait_until(lambda: sandbox.tenant.audit.posts >= 12, process)
        process.kill()
        process.communicate(timeout=LIMIT)
        another = program("submit", path, "--yes", "--json", "--settle-after", "1", env=env)
        assert another.code in {3, 4}
        assert another.json["http"]["posts_now"] == 0
        ended = program("submit", saved, "--yes", "--settle-after", "1", env=env)
        assert ended.code == 0, ended.err
        assert accepted(sandbox) == once(map(pair_of, rows))
        assert program("ledger", "verify", env=env).code == 0


def soon(seconds: float) -> datetime:
    """A whole second that comes so soon; 15 are enough for a slow machine to send what is due before."""
    return (datetime.now(UTC) + timedelta(seconds=seconds + 1)).replace(microsecond=0)


def with_end_dates(path: Path, end: datetime) -> list[dict[str, str]]:
    """Six rows that share no request: all but the last end then."""
    dates = [*[f"{end:%Y-%m-%dT%H:%M:%SZ}"] * 5, "2031-01-01"]
    rows = [grant(person, person, comment=f"person {person}", remove_date=date) for person, date in enumerate(dates)]
    write_rows(path, rows)
    return rows


def wait_for(moment: datetime) -> None:
    time.sleep(max(0.0, (moment - datetime.now(UTC)).total_seconds()) + 0.1)


@pytest.mark.thorough
@pytest.mark.parametrize("is_saved", [True, False])
def test_an_end_date_that_passes_between_waves_is_left_out_and_named_and_the_rest_is_sent(
    program: Program, tmp_path: Path, *, is_saved: bool
) -> None:
    path, end = tmp_path / "wanted.csv", soon(15)
    rows = with_end_dates(path, end)
    with running_sandbox(CALM) as sandbox:
        env = environment(sandbox)
        if is_saved:
            assert program("plan", path, "--save", tmp_path / "load.plan", env=env).code == 0
            path = tmp_path / "load.plan"
        assert program("submit", path, "--yes", "--wave", "2/day", "--tolerate", "100", env=env).code == 4
        sent = accepted(sandbox)
        assert len(sent) == 2
        wait_for(end)
        ended = program("submit", path, "--yes", "--wave", "3/day", "--all-or-nothing", "--json", env=env)
        assert (ended.code, len(ended.json["moved"]), accepted(sandbox)) == (2, 3, sent)
        posts = sandbox.tenant.audit.posts
        ended = program("submit", path, "--yes", "--wave", "3/day", "--tolerate", "100", env=env)
        assert ended.code == 3, ended.err
        assert f"grant of ROLE {rows[3]['item_id']} for {rows[3]['identity_id']}: rejected, remove_date" in ended.err
        assert accepted(sandbox) == {**sent, **once([pair_of(rows[5])])}
        assert sandbox.tenant.audit.posts == posts + 1
        again = program("submit", path, "--yes", "--json", env=env)
        assert (again.json["http"]["posts_now"], again.json["rows"]["rejected"]) == (0, 3)
        assert program("ledger", "verify", env=env).code == 0


@pytest.mark.thorough
def test_an_end_date_that_has_passed_when_an_interrupted_run_continues_is_not_sent(
    program: Program, tmp_path: Path
) -> None:
    path, end = tmp_path / "wanted.csv", soon(15)
    rows = with_end_dates(path, end)
    slow = SandboxSettings(rate=Rate(requests=5000, seconds=1), latency=(0.5, 0.6), visibility_delay=0.0)
    with running_sandbox(slow) as sandbox:
        env = environment(sandbox)
        process = fork("submit", path, "--yes", "--check-tenant", "never", "--concurrency", "1", env=env)
        wait_until(lambda: sandbox.tenant.audit.posts >= 1, process)
        process.kill()
        process.communicate(timeout=LIMIT)
        wait_for(end)
        sent = accepted(sandbox)
        posts = sandbox.tenant.audit.posts
        ended = program("submit", path, "--yes", "--settle-after", "1", "--check-tenant", "never", env=env)
        assert ended.code == 3, ended.err
        assert accepted(sandbox) == {**sent, **once([pair_of(rows[5])])}
        # What was under way at the kill may be sent again, once it is clear that it has not arrived.
        assert sandbox.tenant.audit.posts <= posts + 2


@pytest.mark.parametrize("is_saved", [True, False])
def test_a_guard_that_was_tightened_stops_what_a_run_has_not_sent(
    program: Program, tmp_path: Path, *, is_saved: bool
) -> None:
    path = write_rows(tmp_path / "wanted.csv", ROWS)
    with running_sandbox(CALM) as sandbox:
        env = environment(sandbox)
        if is_saved:
            assert program("plan", path, "--save", tmp_path / "load.plan", env=env).code == 0
            path = tmp_path / "load.plan"
        command = ("submit", path, "--yes", "--tolerate", "100")
        assert program(*command, "--wave", "9/day", env=env).code == 4
        sent = accepted(sandbox)
        left = len(ROWS) - len(sent)
        write_config(f'[profile.here]\nbase_url = "{sandbox.base_url}"\nmax_changes = {left - 1}\n')
        ended = program(*command, "--wave", "none", env=env)
        assert (ended.code, accepted(sandbox)) == (2, sent)
        assert f"is larger than the guards allow. It has {left} changes; max_changes allows {left - 1}" in ended.err
        if not is_saved:
            planned = program("plan", path, "--json", env=env)
            assert "`submit` would refuse this. The rest of run" in planned.err
            (why,) = planned.json["plan"]["warnings"]
            assert "shows neither approvals nor the tenant's names" in why
        # What is left counts, not what was sent.
        assert program(*command, "--wave", "none", "--max-changes", str(left), env=env).code == 0
        assert accepted(sandbox) == once(map(pair_of, ROWS))
