"""A run that is sent in waves: what it may claim, and that nobody takes over what waits."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from batch.errors import LedgerChangedError, RunHeldError
from batch.ledger.take_over import LedgerMovedError, TakenOver
from batch.model import Part
from batch.plan.waves import Ends, Limit, Moment
from batch.states import State
from tests.builders import NOW, change, our_row, product
from tests.ledger.ledger_helpers import (
    ACCEPTED,
    ME,
    REFUSED,
    THROTTLED,
    Place,
    a_process,
    alter,
    change_status,
    new_run,
    newest,
    open_ledger,
    plan_of,
    record,
    singles,
    write,
)

if TYPE_CHECKING:
    from batch.ledger.process import Process
    from batch.ledger.store import Ledger
    from batch.model import Request, Run

DAY = 86400.0


def at(hours: float = 0.0, *, boot: str = "", wall_jumps: float = 0.0) -> Moment:
    return Moment(wall=NOW + timedelta(hours=hours + wall_jumps), monotonic=hours * 3600, boot=boot)


def in_waves(
    ledger: Ledger, *requests: list[dict[str, str]], changes: int = 3, canary: int | None = None, digest: str = "digest"
) -> Run:
    """A run of these requests that this process holds, with waves of so many changes a day."""
    run = write(ledger, *requests, digest=digest)
    ledger.runs.hold(run, ME, NOW)
    ledger.waves.agree(run, ME, at(), changes=changes, seconds=DAY, canary=canary)
    return run


def claim(ledger: Ledger, run: Run, now: Moment, *, most: int = 50, process: Process = ME) -> tuple[Request, ...]:
    """What the run may claim now."""
    limit = ledger.waves.limit(run)
    wave = (limit, now) if limit else None
    bodies = ledger.requests.claim(run, now.wall, process, most=most, wave=wave)
    return tuple(request for body in bodies for request in body.requests)


def test_no_more_changes_are_claimed_in_a_day_than_a_wave_has(ledger: Ledger) -> None:
    run = in_waves(ledger, *singles(8))
    ledger.waves.begin(run, ME, at())
    assert len(claim(ledger, run, at(0), most=2)) == 2
    assert len(claim(ledger, run, at(1))) == 1
    assert claim(ledger, run, at(23)) == ()
    ledger.waves.begin(run, ME, at(24))
    assert len(claim(ledger, run, at(24))) == 2
    assert len(claim(ledger, run, at(25))) == 1
    assert ledger.verify() == ()


def test_a_request_that_was_not_processed_is_claimed_again_within_its_wave(ledger: Ledger) -> None:
    run = in_waves(ledger, product(["a", "b", "c"], ["r1"]), *singles(2))
    ledger.waves.begin(run, ME, at())
    (request,) = claim(ledger, run, at())
    record(ledger, request, THROTTLED)
    assert [one.number for one in claim(ledger, run, at(1))] == [request.number]
    assert claim(ledger, run, at(2)) == ()


def test_what_other_processes_have_claimed_counts_whatever_became_of_them(ledger: Ledger) -> None:
    run = in_waves(ledger, *singles(8))
    ledger.waves.begin(run, ME, at())
    claim(ledger, run, at(), most=2)
    ledger.runs.release(run, ME, NOW)
    successor = a_process(2)
    ledger.runs.hold(run, successor, NOW)
    assert len(claim(ledger, run, at(1), process=successor)) == 1


def test_what_arrived_by_a_claim_that_a_restored_ledger_has_lost_counts_from_when_it_was_found(ledger: Ledger) -> None:
    run = in_waves(ledger, *singles(8))
    ledger.waves.begin(run, ME, at())
    rows = [our_row(ledger.requests.ids(run)[number], f"i{number - 1:03}") for number in (1, 2)]
    assert ledger.gaps.take(run.tenant, ME, rows, at(1).wall, is_behind=True).arrived == 2
    assert len(claim(ledger, run, at(2))) == 1
    assert claim(ledger, run, at(24)) == ()
    ledger.waves.begin(run, ME, at(25))
    assert len(claim(ledger, run, at(25))) == 2
    assert ledger.verify() == ()


def test_the_clock_of_a_boot_counts_while_it_lasts_and_else_the_wall_clock(ledger: Ledger) -> None:
    run = in_waves(ledger, *singles(8))
    ledger.waves.begin(run, ME, at(boot="one"))
    assert len(claim(ledger, run, at(boot="one"))) == 3
    assert claim(ledger, run, at(1, boot="one", wall_jumps=100)) == ()
    assert claim(ledger, run, at(23, boot="two")) == ()
    assert len(claim(ledger, run, at(24, boot="one", wall_jumps=-100))) == 3


def test_parts_of_a_refused_request_count_with_it(ledger: Ledger) -> None:
    run = in_waves(ledger, product(["a", "b", "c"], ["r1"]), *singles(2))
    ledger.waves.begin(run, ME, at())
    (request,) = claim(ledger, run, at())
    record(
        ledger,
        request,
        REFUSED,
        parts=(Part(recipients=(0,), items=(0,)), Part(recipients=(1, 2), items=(0,))),
    )
    parts = claim(ledger, run, at(1))
    assert [one.parent for one in parts] == [request.number] * 2
    assert claim(ledger, run, at(2)) == ()


def test_a_request_larger_than_a_wave_is_divided(ledger: Ledger) -> None:
    run = in_waves(ledger, product(["a", "b"], ["r1", "r2", "r3", "r4"]))
    progress = ledger.waves.progress(run)
    assert progress is not None
    ledger.waves.divide(run, progress.planned[0].number, progress.limit.changes, ME, NOW)
    sizes = [request.changes for request in ledger.requests.in_state(run, State.PLANNED)]
    assert sizes == [3, 1, 3, 1]
    assert ledger.verify() == ()


def test_progress_tells_what_became_of_the_canary_and_of_the_wave(ledger: Ledger) -> None:
    run = in_waves(ledger, product(["a", "b"], ["r1"]), *singles(3), changes=9, canary=1)
    ledger.waves.begin(run, ME, at())
    progress = ledger.waves.progress(run)
    assert progress is not None
    (number,) = progress.canary
    (body,) = ledger.requests.claim(run, at(1).wall, ME, only=progress.canary, wave=(progress.limit, at(1)))
    (request,) = body.requests
    record(ledger, request, ACCEPTED)
    ledger.tracks.write(run, [change_status(request.number, request.recipients[0], "REJECTED")], NOW)
    progress = ledger.waves.progress(run)
    assert progress is not None
    assert request.number == number
    assert progress.canary_ends == progress.wave == Ends(changes=request.changes, ended=1, wrong=1)
    assert progress.canary_sent is not None
    assert progress.canary_sent.wall == at(1).wall
    ledger.waves.passed(run, ME, at(2))
    progress = ledger.waves.progress(run)
    assert progress is not None
    assert progress.canary == frozenset()
    assert ledger.verify() == ()


def test_terms_are_kept_until_others_are_given_or_everything_is_sent(ledger: Ledger) -> None:
    run = in_waves(ledger, *singles(5), canary=2)
    assert ledger.waves.agree(run, ME, at()) is True
    assert ledger.waves.limit(run) == Limit(changes=3, seconds=DAY)
    ledger.waves.agree(run, ME, at(), changes=7, seconds=3600.0, canary=1)
    progress = ledger.waves.progress(run)
    assert progress is not None
    assert (progress.limit.changes, len(progress.canary)) == (7, 2)
    assert ledger.waves.agree(run, ME, at(), changes=0, canary=0) is False
    assert ledger.waves.limit(run) is None
    assert ledger.verify() == ()


def test_what_was_sent_without_waves_counts_once_there_are_waves(ledger: Ledger) -> None:
    run = write(ledger, *singles(8))
    ledger.runs.hold(run, ME, NOW)
    assert len(claim(ledger, run, at(), most=2)) == 2
    ledger.waves.agree(run, ME, at(1), changes=3, seconds=DAY)
    ledger.waves.begin(run, ME, at(1))
    assert len(claim(ledger, run, at(1))) == 1


def test_only_the_process_that_holds_a_run_says_how_it_is_sent(ledger: Ledger) -> None:
    run = in_waves(ledger, *singles(2))
    for change_terms in (
        lambda: ledger.waves.agree(run, a_process(2), at(), changes=9, seconds=DAY),
        lambda: ledger.waves.begin(run, a_process(2), at()),
        lambda: ledger.waves.passed(run, a_process(2), at()),
        lambda: ledger.waves.end(run, a_process(2), at()),
    ):
        with pytest.raises(RunHeldError):
            change_terms()


def test_a_waiting_run_keeps_its_changes_though_no_process_works_on_it(ledger: Ledger) -> None:
    run = in_waves(ledger, *singles(2))
    ledger.runs.release(run, ME, NOW)
    assert ledger.runs.busy(ME, NOW) == {run.id: "that run is sent in waves of 3 changes"}
    (first, *_) = ledger.requests.in_state(run, State.PLANNED)
    plan = plan_of([change(first.recipients[0], "r1")])
    taken = TakenOver(requests=(first.number,), process=ME)
    with pytest.raises(LedgerMovedError):
        ledger.plans.write(new_run("other"), plan, upto=newest(ledger), now=NOW, taken=taken)
    ledger.runs.hold(run, ME, NOW)
    ledger.waves.end(run, ME, at())
    ledger.runs.release(run, ME, NOW)
    assert ledger.runs.busy(ME, NOW) == {}


def test_a_run_that_was_discarded_does_not_wait_any_more(ledger: Ledger) -> None:
    run = in_waves(ledger, *singles(2))
    ledger.runs.discard(run, NOW)
    assert ledger.runs.busy(ME, NOW) == {}
    assert ledger.waves.limit(run) is None
    assert ledger.verify() == ()


@pytest.mark.parametrize(
    "change_of_waves",
    [
        "UPDATE wave SET changes = 1000000",
        "UPDATE wave SET seconds = 1",
        "UPDATE wave SET canary = ''",
        "UPDATE wave SET begun = 0, before = 0",
        "DELETE FROM wave",
    ],
)
def test_waves_that_somebody_has_changed_are_found_and_nothing_is_sent(path: Place, change_of_waves: str) -> None:
    with open_ledger(path) as ledger:
        run = in_waves(ledger, *singles(4), canary=1)
        ledger.waves.begin(run, ME, at())
    alter(path, change_of_waves)
    with open_ledger(path) as ledger:
        assert any("its waves were changed" in finding for finding in ledger.verify())
        with pytest.raises(LedgerChangedError, match="its waves were changed"):
            ledger.requests.check(run)


@pytest.mark.parametrize(
    "impossible",
    [
        "UPDATE wave SET changes = 0",
        "UPDATE wave SET changes = 0, seconds = 0",
        "UPDATE wave SET changes = -1",
        "UPDATE wave SET before = begun + 1",
    ],
)
def test_the_database_refuses_waves_that_cannot_be(path: Place, impossible: str) -> None:
    with open_ledger(path) as ledger:
        in_waves(ledger, *singles(4))
    with pytest.raises(Exception, match=r"(?i)check constraint|violates"):
        alter(path, impossible)
