"""Before each wave, ledger and tenant are asked again: what a colleague has done meanwhile is left out, and named."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from batch.api.dialects import ItemType, Operation, Rate
from batch.sandbox.server import running_sandbox
from batch.sandbox.settings import SandboxSettings
from tests.end_to_end.program import accepted, environment, fork, grant, once, pair_of, read_rows, write_rows
from tests.waiting import LIMIT, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.end_to_end.program import Program

ROWS = [grant(person, thing) for person in range(1, 5) for thing in range(1, 4)]
CALM = SandboxSettings(rate=Rate(requests=5000, seconds=1), visibility_delay=0.0)


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
