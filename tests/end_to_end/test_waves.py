"""A run in parts: a canary that is followed, and waves with a wait and a look at the tenant in between."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from batch.api.dialects import Rate
from batch.sandbox.server import running_sandbox
from batch.sandbox.settings import SandboxSettings
from tests.end_to_end.program import accepted, environment, grant, once, pair_of, read_rows, write_rows
from tests.end_to_end.test_plan_moves import MOVES, moves_that_matter
from tests.ledger.ledger_helpers import rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from batch.sandbox.server import RunningSandbox
    from tests.end_to_end.program import Ended, Program

PEOPLE = [grant(person, person % 3, comment=f"person {person}") for person in range(7)]
"""Rows that share no request, as each has a comment of its own."""

PAIRS = [pair_of(row) for row in PEOPLE]
SLOW = ("--wave", "3/day")


class Work:
    """The program with one tenant, one input and one ledger."""

    def __init__(self, program: Program, tenant: RunningSandbox, folder: Path) -> None:
        self.program = program
        self.tenant = tenant
        folder.mkdir(exist_ok=True)
        self.ledger = folder / "ledger.db"
        self.path = write_rows(folder / "in.csv", PEOPLE)

    def submit(self, *more: str | Path, path: Path | None = None) -> Ended:
        return self("submit", path or self.path, "--yes", "--json", *more)

    def __call__(self, *arguments: str | Path) -> Ended:
        return self.program(*arguments, "--ledger", self.ledger, env=environment(self.tenant))


def sandbox_of(*, rejected: float = 0.0, approval_seconds: float | None = 0.0) -> Iterator[RunningSandbox]:
    settings = SandboxSettings(
        rate=Rate(requests=5000, seconds=1),
        visibility_delay=0.0,
        approval_seconds=approval_seconds,
        provisioning_seconds=0.0,
        rejected=rejected,
    )
    with running_sandbox(settings) as sandbox:
        yield sandbox


@pytest.fixture
def quick() -> Iterator[RunningSandbox]:
    """A tenant that decides at once."""
    yield from sandbox_of()


@pytest.fixture
def work(program: Program, quick: RunningSandbox, tmp_path: Path) -> Work:
    return Work(program, quick, tmp_path)


def test_a_wave_is_sent_and_the_run_waits_until_a_day_after_it(work: Work) -> None:
    ended = work.submit(*SLOW)
    assert ended.code == 4
    assert accepted(work.tenant) == once(PAIRS[:3])
    waves: dict[str, Any] = ended.json["waves"]
    assert (waves["changes"], waves["seconds"], waves["sent"], waves["canary_open"]) == (3, 86400.0, 3, False)
    claimed = datetime.fromisoformat(rows(work.ledger, "SELECT min(at) FROM event WHERE event = 'claimed'")[0][0])
    assert (datetime.fromisoformat(waves["until"]) - claimed).total_seconds() == pytest.approx(86400.0, abs=0.1)
    assert f"waits until {waves['until'][:10]}" in ended.err
    assert "it has sent 3 of at most 3 changes a day" in ended.err
    assert ended.json["changes"]["unsent"] == 4


def test_status_says_until_when_a_run_waits(work: Work) -> None:
    until = work.submit(*SLOW).json["waves"]["until"]
    shown = work("status").out
    assert "  waves of at most 3 changes a day: 3 sent in the present period; the next at " in shown
    assert until[:10] in shown
    waves = work("status", "--json").json["waves"]
    assert (waves["changes"], waves["sent"], waves["until"][:19]) == (3, 3, until[:19])
    work.submit("--wave", "none")
    assert "waves" not in work("status").out
    assert work("status", "--json").json["waves"] is None


def test_the_same_command_within_the_day_sends_nothing_more_with_or_without_the_option(work: Work) -> None:
    work.submit(*SLOW)
    for options in (SLOW, ()):
        again = work.submit(*options)
        assert (again.code, again.json["waves"]["sent"]) == (4, 3)
    assert accepted(work.tenant) == once(PAIRS[:3])


@pytest.mark.thorough
def test_once_the_period_is_over_the_same_command_sends_the_next_wave_until_all_is_sent(work: Work) -> None:
    """In a rehearsal, a day is two seconds: each wait is so short that the command itself waits."""
    ended = work.submit("--wave", "3/2")
    assert ended.code == 0, ended.err
    assert accepted(work.tenant) == once(PAIRS)
    times = [datetime.fromisoformat(at) for (at,) in rows(work.ledger, "SELECT at FROM event WHERE event = 'claimed'")]
    assert len(times) == 7
    for begun in times:
        assert sum(0 <= (at - begun).total_seconds() < 2 for at in times) <= 3
    assert ended.json["waves"] is None
    assert work("ledger", "verify").code == 0


def test_waves_are_lifted_by_none(work: Work) -> None:
    work.submit(*SLOW)
    assert work.submit("--wave", "none").code == 0
    assert accepted(work.tenant) == once(PAIRS)


def test_another_input_takes_nothing_over_from_a_run_that_waits(work: Work, tmp_path: Path) -> None:
    run = work.submit(*SLOW).json["run"]
    other = write_rows(tmp_path / "other.csv", [PEOPLE[6], grant(50, 1)])
    ended = work.submit(path=other)
    assert ended.code == 3
    assert accepted(work.tenant) == once([*PAIRS[:3], pair_of(grant(50, 1))])
    (held,) = read_rows(tmp_path / "other.results" / "unsent.csv")
    assert run in held["_message"]
    assert "waves of 3 changes" in held["_message"]


def test_a_large_request_is_divided_so_that_each_wave_is_kept(
    program: Program, quick: RunningSandbox, tmp_path: Path
) -> None:
    work = Work(program, quick, tmp_path)
    together = [grant(person, thing) for person in range(4) for thing in range(3)]
    path = write_rows(tmp_path / "together.csv", together)
    assert work.submit("--wave", "5/day", path=path).code == 4
    sent = accepted(work.tenant)
    assert 1 <= len(sent) <= 5
    assert set(sent) <= {pair_of(row) for row in together}
    assert work.submit("--wave", "none", path=path).code == 0
    assert accepted(work.tenant) == once([pair_of(row) for row in together])


def test_a_canary_goes_first_covers_the_items_and_lets_the_rest_follow_once_it_has_ended_well(work: Work) -> None:
    ended = work.submit("--canary", "3", "--canary-for", "60")
    assert ended.code == 0, ended.err
    assert accepted(work.tenant) == once(PAIRS)
    assert "The canary has passed: of 3 changes, 3 ended, 0 of these rejected or failed." in ended.err
    first = rows(work.ledger, "SELECT request FROM event WHERE event = 'claimed' ORDER BY number LIMIT 3")
    items = {
        item
        for (request,) in first
        for (item,) in rows(work.ledger, f"SELECT item_id FROM changes WHERE request = {request}")  # noqa: S608
    }
    assert len(items) == 3
    assert work("ledger", "verify").code == 0


@pytest.fixture
def rejecting(program: Program, tmp_path: Path) -> Iterator[Work]:
    """A tenant whose approvers reject everything."""
    for sandbox in sandbox_of(rejected=1.0):
        yield Work(program, sandbox, tmp_path)


def test_nothing_follows_a_canary_that_was_rejected(rejecting: Work) -> None:
    ended = rejecting.submit("--canary", "1")
    assert ended.code == 4
    assert len(accepted(rejecting.tenant)) == 1
    assert "The canary has ended badly: of 1 change, 1 ended, 1 of these rejected or failed." in ended.err
    assert ended.json["waves"]["canary_open"] is True
    assert rejecting.submit("--canary", "1").code == 4
    assert len(accepted(rejecting.tenant)) == 1
    tolerant = rejecting.submit("--canary", "1", "--tolerate", "100")
    assert tolerant.code == 0, tolerant.err
    assert accepted(rejecting.tenant) == once(PAIRS)


def test_no_wave_begins_after_one_that_was_rejected(rejecting: Work) -> None:
    ended = rejecting.submit("--wave", "3/2")
    assert ended.code == 4
    assert "The wave before has ended badly: of 3 changes, 3 ended, 3 of these rejected or failed." in ended.err
    assert "--tolerate" in ended.err
    assert accepted(rejecting.tenant) == once(PAIRS[:3])


@pytest.mark.thorough
@pytest.mark.parametrize("move", moves_that_matter(PEOPLE[4], at_once=True))
def test_what_has_moved_before_a_wave_is_left_out_of_it_and_reported(work: Work, move: str) -> None:
    assert work.submit(*SLOW).code == 4
    MOVES[move](work.tenant.tenant, PEOPLE[4])
    ended = work.submit("--wave", "5/day", "--max-age", "0")
    assert "1 change of this wave is not to be sent" in ended.err
    assert PEOPLE[4]["identity_id"] in ended.err
    assert accepted(work.tenant) == once([*PAIRS[:4], PAIRS[5]])
    ended = work.submit("--wave", "none", "--max-age", "0")
    assert ended.code in {0, 3}, ended.err
    assert accepted(work.tenant) == once([*PAIRS[:4], *PAIRS[5:]])
    assert (ended.json["rows"]["submitted"], ended.json["changes"]["unsent"]) == (6, 0)
    assert work("ledger", "verify").code == 0
    assert work.submit("--max-age", "0").json["http"]["posts_now"] == 0


def test_a_part_of_a_request_that_has_moved_is_left_out_and_the_rest_is_sent(work: Work, tmp_path: Path) -> None:
    together = [grant(person, thing) for person in range(20, 22) for thing in range(3)]
    path = write_rows(tmp_path / "together.csv", [*PEOPLE[:3], *together])
    assert work.submit(*SLOW, path=path).code == 4
    before = accepted(work.tenant)
    moved = next(row for row in together if pair_of(row) not in before)
    MOVES["a colleague requests the same"](work.tenant.tenant, moved)
    ended = work.submit("--wave", "9/day", "--max-age", "0", path=path)
    assert ended.code in {0, 3}, ended.err
    assert "1 change of this wave is not to be sent" in ended.err
    wanted = [pair_of(row) for row in [*PEOPLE[:3], *together] if row is not moved]
    assert accepted(work.tenant) == once(wanted)
    assert work("ledger", "verify").code == 0


def test_all_or_nothing_sends_nothing_of_a_wave_of_which_something_has_moved(work: Work) -> None:
    assert work.submit(*SLOW).code == 4
    MOVES["a colleague requests the same"](work.tenant.tenant, PEOPLE[4])
    ended = work.submit("--wave", "5/day", "--max-age", "0", "--all-or-nothing")
    assert ended.code == 2
    assert "1 change of this wave is not to be sent any more, and --all-or-nothing is given" in ended.err
    (moved,) = ended.json["moved"]
    assert (moved["identity_id"], moved["class"]) == (PEOPLE[4]["identity_id"], "already_held")
    assert accepted(work.tenant) == once(PAIRS[:3])
