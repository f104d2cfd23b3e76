"""Runs: their holders, requests left by dead processes, progress and names."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import psutil
import pytest

from batch.errors import RunHeldError, UsageError
from batch.ledger.process import SILENT_FOR, Process, boot_id, boot_time
from tests.builders import NOW, change, product
from tests.ledger.ledger_helpers import (
    ACCEPTED,
    FAILED,
    REFUSED,
    THROTTLED,
    Place,
    a_process,
    claim,
    claim_if_any,
    record,
    rows,
    singles,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batch.ledger.store import Ledger

ME = Process.current()


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """Another process on this machine, alive until it is killed."""
    program = "import sys; sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def process_of(child: subprocess.Popen[bytes]) -> Process:
    return Process.of(child.pid)


def holders(path: Place) -> list[tuple[str, int]]:
    return rows(path, "SELECT host, pid FROM holder")


def test_the_current_process_has_its_real_host_and_pid() -> None:
    assert (platform.node(), os.getpid()) == (ME.host, ME.pid)
    assert ME.is_alive(beat="2000-01-01T00:00:00.000Z", now=NOW)


def test_all_processes_of_one_boot_read_one_clock() -> None:
    program = "from batch.ledger.process import boot_id, boot_time; print(boot_id(), boot_time())"
    before = boot_time()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    boot, read = done.stdout.split()
    assert boot == boot_id()
    assert before <= float(read) <= boot_time()


@pytest.mark.sqlite_only
def test_a_run_that_a_living_process_holds_is_refused_with_host_pid_and_time(
    ledger: Ledger, path: Place, child: subprocess.Popen[bytes]
) -> None:
    run = write(ledger, *singles(1))
    claim(ledger, run, NOW, process_of(child))
    much_later = NOW + timedelta(days=30)
    with pytest.raises(RunHeldError) as caught:
        ledger.runs.hold(run, ME, much_later)
    for part in (platform.node(), str(child.pid), "2026-03-01T12:00:00.000Z", run.id):
        assert part in caught.value.message
    assert caught.value.exit_code == 4
    assert holders(path) == [(platform.node(), child.pid)]
    assert dict(ledger.runs.tally(run).requests) == {"SENDING": 1}


@pytest.mark.sqlite_only
def test_requests_that_a_dead_process_was_sending_become_unconfirmed_and_nothing_else_changes(
    ledger: Ledger, path: Place, child: subprocess.Popen[bytes]
) -> None:
    run = write(ledger, *singles(5))
    other = write(ledger, *singles(1, prefix="j"), digest="other")
    record(ledger, claim(ledger, run, NOW, process_of(child)), ACCEPTED, process=process_of(child))
    record(ledger, claim(ledger, run, NOW, process_of(child)), REFUSED, process=process_of(child))
    claim(ledger, run, NOW, process_of(child))
    claim(ledger, run, NOW, process_of(child))
    claim(ledger, other)
    child.kill()
    child.wait()
    assert ledger.runs.hold(run, ME, NOW) == 2
    assert dict(ledger.runs.tally(run).requests) == {"ACCEPTED": 1, "REFUSED": 1, "UNCONFIRMED": 2, "PLANNED": 1}
    assert dict(ledger.runs.tally(other).requests) == {"SENDING": 1}
    assert holders(path) == [(ME.host, ME.pid)] * 2


def test_a_killed_process_is_dead_even_before_its_parent_collects_it(child: subprocess.Popen[bytes]) -> None:
    holder = process_of(child)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE
    assert not holder.is_alive(beat="2026-03-01T12:00:00.000Z", now=NOW)


@pytest.mark.sqlite_only
def test_a_later_process_with_the_same_pid_is_not_the_holder(
    ledger: Ledger, path: Place, child: subprocess.Popen[bytes]
) -> None:
    run = write(ledger, *singles(1))
    earlier = replace(process_of(child), started=process_of(child).started - 3600)
    ledger.runs.hold(run, earlier, NOW)
    assert ledger.runs.hold(run, ME, NOW) == 0
    assert holders(path) == [(ME.host, ME.pid)]


@pytest.mark.sqlite_only
def test_a_process_on_another_machine_counts_as_alive_until_it_is_silent_too_long(ledger: Ledger, path: Place) -> None:
    run = write(ledger, *singles(1))
    far = a_process()
    ledger.runs.hold(run, far, NOW)
    ledger.runs.beat(run, far, NOW + timedelta(minutes=10))
    just_alive = NOW + timedelta(minutes=10) + SILENT_FOR - timedelta(seconds=1)
    with pytest.raises(RunHeldError, match="elsewhere"):
        ledger.runs.hold(run, ME, just_alive)
    assert ledger.runs.hold(run, ME, just_alive + timedelta(seconds=1)) == 0
    assert holders(path) == [(ME.host, ME.pid)]


@pytest.mark.sqlite_only
def test_only_the_holder_can_keep_its_run(ledger: Ledger) -> None:
    run = write(ledger, *singles(1))
    ledger.runs.hold(run, a_process(pid=1), NOW)
    for other in (a_process(pid=2), a_process(pid=1, host="third"), a_process(pid=1, started=2.0)):
        with pytest.raises(RunHeldError, match="taken over"):
            ledger.runs.beat(run, other, NOW + SILENT_FOR)
    assert ledger.runs.hold(run, ME, NOW + SILENT_FOR) == 0


def test_the_holder_can_hold_its_run_again(ledger: Ledger, path: Place) -> None:
    run = write(ledger, *singles(1))
    ledger.runs.hold(run, ME, NOW)
    assert ledger.runs.hold(run, ME, NOW) == 0
    assert holders(path) == [(ME.host, ME.pid)]


def test_different_runs_have_different_holders(ledger: Ledger, path: Place, child: subprocess.Popen[bytes]) -> None:
    first, second = write(ledger, *singles(1)), write(ledger, *singles(1, prefix="j"), digest="two")
    ledger.runs.hold(first, ME, NOW)
    ledger.runs.hold(second, process_of(child), NOW)
    assert sorted(holders(path)) == sorted([(ME.host, ME.pid), (ME.host, child.pid)])


def test_a_released_run_is_free_for_others(ledger: Ledger, child: subprocess.Popen[bytes]) -> None:
    run = write(ledger, *singles(1))
    ledger.runs.hold(run, process_of(child), NOW)
    ledger.runs.release(run, process_of(child), NOW)
    assert ledger.runs.hold(run, ME, NOW) == 0


def test_only_the_holder_can_release_its_run(ledger: Ledger, path: Place) -> None:
    run = write(ledger, *singles(1))
    ledger.runs.hold(run, ME, NOW)
    ledger.runs.release(run, a_process(), NOW)
    assert holders(path) == [(ME.host, ME.pid)]


def test_discard_gives_up_only_unsent_requests(ledger: Ledger) -> None:
    run = write(ledger, *singles(5))
    record(ledger, claim(ledger, run), ACCEPTED)
    record(ledger, claim(ledger, run), FAILED)
    assert ledger.runs.discard(run, NOW) == 3
    assert dict(ledger.runs.tally(run).requests) == {"ACCEPTED": 1, "UNCONFIRMED": 1, "DISCARDED": 3}
    assert claim_if_any(ledger, run) is None
    assert ledger.runs.discard(run, NOW) == 0


def test_a_change_that_was_submitted_again_counts_once_as_its_last_request(ledger: Ledger) -> None:
    run = write(ledger, *singles(4))
    assert dict(ledger.runs.each_once(run)) == {"PLANNED": 4}
    for answer in (ACCEPTED, ACCEPTED, REFUSED):
        record(ledger, claim(ledger, run), answer)
    ledger.runs.discard(run, NOW)
    assert dict(ledger.runs.each_once(run)) == {"ACCEPTED": 2, "REFUSED": 1, "DISCARDED": 1}
    write(ledger, [change("I-001", "R1")], [change("i000", "r1")], [change("i-002", "r1")])
    assert dict(ledger.runs.each_once(run)) == {"PLANNED": 3, "DISCARDED": 1}
    record(ledger, claim(ledger, run), ACCEPTED)
    ledger.runs.discard(run, NOW)
    assert dict(ledger.runs.each_once(run)) == {"ACCEPTED": 2, "DISCARDED": 2}, "what was given up hides no other"
    assert dict(ledger.runs.tally(run).changes) == {"ACCEPTED": 3, "SPLIT": 1, "DISCARDED": 3}


def test_the_beginning_of_its_id_identifies_a_run(ledger: Ledger) -> None:
    run = write(ledger, *singles(1))
    for length in (1, 4, len(run.id)):
        assert ledger.runs.named(run.id[:length]) == run


def test_an_ambiguous_beginning_is_refused_with_all_matching_runs(ledger: Ledger) -> None:
    runs = [write(ledger, *singles(1, prefix=f"{n}-"), digest=str(n)) for n in range(17)]
    first_letters = [run.id[0] for run in runs]
    letter = next(letter for letter in first_letters if first_letters.count(letter) > 1)
    with pytest.raises(UsageError, match=f"runs begin with '{letter}'") as caught:
        ledger.runs.named(letter)
    for run in runs:
        assert (run.id in caught.value.message) == run.id.startswith(letter)


def test_an_unknown_beginning_is_refused(ledger: Ledger) -> None:
    write(ledger, *singles(1))
    with pytest.raises(UsageError, match="no run 'nothing'") as caught:
        ledger.runs.named("nothing")
    assert "access-batch runs" in caught.value.next_step


def test_runs_are_listed_oldest_first(ledger: Ledger) -> None:
    assert ledger.runs.all() == ()
    late, early, middle = (
        write(ledger, *singles(1, prefix=f"{days}-"), digest=str(days), now=NOW + timedelta(days=days))
        for days in (9, 1, 5)
    )
    assert ledger.runs.all() == (early, middle, late)


def test_the_tally_counts_requests_changes_and_posts_of_one_run(ledger: Ledger) -> None:
    write(ledger, *singles(3), digest="other")
    run = write(
        ledger,
        product(["a", "b"], ["r1", "r2", "r3"]),
        product(["c", "d"], ["r1"]),
        product(["e"], ["r1", "r2"]),
        [change("f", "r1", operation="REVOKE", comment="x")],
        product(["g"], ["r1", "r2"], operation="REVOKE", comment="x"),
    )
    record(ledger, claim(ledger, run), ACCEPTED)
    record(ledger, claim(ledger, run), THROTTLED)
    record(ledger, claim(ledger, run), FAILED)
    claim(ledger, run)
    tally = ledger.runs.tally(run)
    assert dict(tally.requests) == {"ACCEPTED": 1, "UNCONFIRMED": 1, "SENDING": 1, "PLANNED": 2}
    assert dict(tally.changes) == {"ACCEPTED": 6, "UNCONFIRMED": 2, "SENDING": 2, "PLANNED": 3}
    assert (tally.grants, tally.revokes) == (0, 3)
    assert (tally.posts, tally.retried, tally.throttled) == (4, 1, 1)


def test_grants_not_yet_sent_are_counted_apart_from_revokes(ledger: Ledger) -> None:
    run = write(ledger, product(["a", "b"], ["r1"]), [change("c", "r1", operation="REVOKE", comment="x")])
    tally = ledger.runs.tally(run)
    assert (tally.grants, tally.revokes, tally.posts) == (2, 1, 0)
