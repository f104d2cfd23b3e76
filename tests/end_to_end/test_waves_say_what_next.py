"""Each command that a run in parts prints does what its sentence says: they are typed here as they are printed."""

from __future__ import annotations

import re
import shlex
import signal
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.credentials.places import write_config
from tests.end_to_end.program import accepted, environment, fork, once
from tests.end_to_end.test_waves import PAIRS, Work, sandbox_of
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

from tests.end_to_end.program import Ended, Forked, Program

_COMMAND = re.compile(r"(?:`|: )(access-batch [^`\n]+)(?:`|$)", re.MULTILINE)


def follows(process: Forked) -> bool:
    return "Following the canary" in process.errors()


class Shell(Work):
    """Types commands, and reads those that are printed."""

    def submit_as_people(self, *more: str | Path) -> Ended:
        return self("submit", self.path, "--yes", *more)

    def type(self, command: str, *more: str) -> Ended:
        return self.program(*shlex.split(command)[1:], *more, env=environment(self.tenant))

    def printed(self, ended: Ended, words: str) -> str:
        """The first command that follows these words in a line."""
        lines = [line[line.index(words) :] for line in (ended.out + ended.err).splitlines() if words in line]
        return str(next(command for line in lines for command in _COMMAND.findall(line)))


@pytest.fixture
def rejecting(program: Program, tmp_path: Path) -> Iterator[Shell]:
    for sandbox in sandbox_of(rejected=1.0):
        yield Shell(program, sandbox, tmp_path)


@pytest.fixture
def quick(program: Program, tmp_path: Path) -> Iterator[Shell]:
    for sandbox in sandbox_of():
        yield Shell(program, sandbox, tmp_path)


def test_after_a_canary_that_failed_the_command_to_go_on_all_the_same_sends_the_rest(rejecting: Shell) -> None:
    ended = rejecting.submit_as_people("--canary", "2", "--tolerate", "7")
    assert ended.code == 4
    assert "To continue:" not in ended.out
    again = rejecting.type(rejecting.printed(ended, "To go on all the same"))
    assert again.code == 0, again.err
    assert accepted(rejecting.tenant) == once(PAIRS)


@pytest.mark.thorough
def test_after_a_wave_that_failed_the_command_to_go_on_all_the_same_sends_the_rest(rejecting: Shell) -> None:
    ended = rejecting.submit_as_people("--wave", "3/2")
    assert ended.code == 4
    again = rejecting.type(rejecting.printed(ended, "To go on all the same"))
    assert again.code == 0, again.err
    assert accepted(rejecting.tenant) == once(PAIRS)


def test_after_a_canary_that_failed_its_rows_can_be_looked_at_submitted_again_and_the_rest_dropped(
    rejecting: Shell,
) -> None:
    ended = rejecting.submit_as_people("--canary", "2")
    tracked = rejecting.type(rejecting.printed(ended, "`access-batch track"))
    assert "rejected: 2" in tracked.out
    assert "first finish this run; then the same input with --resubmit rejected" in ended.out
    back = rejecting.type(rejecting.printed(ended, "to submit these rows again"), "--yes")
    assert back.code == 0, back.err
    sent = accepted(rejecting.tenant)
    assert sorted(sent.values()) == [2, 2]
    dropped = rejecting.type(rejecting.printed(ended, "`access-batch discard"))
    assert "5 requests discarded" in dropped.out
    assert accepted(rejecting.tenant) == sent


def test_what_waits_for_a_canary_or_a_wave_is_in_no_file_that_could_be_sent_elsewhere(
    rejecting: Shell, tmp_path: Path
) -> None:
    for options in (("--canary", "2"), ("--canary", "0", "--wave", "3/day", "--tolerate", "100")):
        ended = rejecting.submit_as_people(*options)
        assert ended.code == 4
        assert "unsent" not in ended.out
        assert not (tmp_path / "in.results" / "unsent.csv").exists()


@pytest.mark.thorough
def test_a_run_that_waits_for_its_next_wave_says_from_when_on_the_command_continues_it(quick: Shell) -> None:
    ended = quick.submit_as_people("--wave", "4/6")
    assert ended.code == 4
    again = quick.printed(ended, "To continue from ")
    assert " UTC on: access-batch" in ended.out
    said = quick("status").out
    assert "3 changes not sent: submit the same input again from " in said
    assert accepted(quick.tenant) == once(PAIRS[:4])
    time.sleep(1.5)
    # The rest of the wait is so short that the command itself waits.
    assert quick.type(again).code == 0
    assert accepted(quick.tenant) == once(PAIRS)


@pytest.mark.thorough
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_ended_while_it_follows_its_canary_goes_on_with_the_same_command(
    program: Program, tmp_path: Path, ending: signal.Signals
) -> None:
    for sandbox in sandbox_of(approval_seconds=None):
        shell = Shell(program, sandbox, tmp_path)
        words = ("submit", shell.path, "--yes", "--canary", "2", "--canary-for", "2", "--ledger", shell.ledger)
        process = fork(*words, env=environment(sandbox))
        wait_until(partial(follows, process), process)
        process.send_signal(ending)
        out, _ = process.communicate()
        assert len(accepted(sandbox)) == 2
        status = shell("status").out
        assert "submit the same input again, which goes on once the canary has ended well" in status
        if ending is signal.SIGINT:
            (again,) = re.findall("To continue: (access-batch .*)", out)
            assert "unsent" not in out.replace("not sent", "")
        else:
            again = shlex.join(["access-batch", *map(str, words)])
        assert shell.type(again).code == 0
        assert accepted(sandbox) == once(PAIRS)


def test_where_only_saved_plans_are_sent_the_rows_to_submit_again_are_planned(rejecting: Shell, tmp_path: Path) -> None:
    plan = tmp_path / "load.plan"
    assert rejecting("plan", rejecting.path, "--save", plan).code == 0
    write_config("require_plan = true\n")
    ended = rejecting("submit", plan, "--yes", "--canary", "2")
    assert ended.code == 4, ended.err
    assert rejecting("submit", tmp_path / "load.results" / "failed.csv", "--yes").code == 2
    command = rejecting.printed(ended, "to submit these rows again")
    again = rejecting.type(command)
    assert again.code == 0, again.err
    sent = rejecting("submit", tmp_path / "load.results" / "failed.plan", "--yes")
    assert sent.code == 0, sent.err
    assert sorted(accepted(rejecting.tenant).values()) == [2, 2]
