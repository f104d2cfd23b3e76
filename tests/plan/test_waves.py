"""Waves: never more changes in a period than one may have, and a step for every state of a run."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.plan.wave_requests import blocks, choose_canary, ends_of
from batch.plan.waves import (
    Begin,
    Claim,
    Divide,
    Done,
    Ends,
    Limit,
    Look,
    Moment,
    Pass,
    Patience,
    Planned,
    Progress,
    Send,
    Stop,
    Wait,
    counted_now,
    decide,
    fitting,
)
from tests.builders import NOW

if TYPE_CHECKING:
    from collections.abc import Sequence

DAY = 86400.0
TEN_A_DAY = Limit(changes=10, seconds=DAY)
STRICT = Patience()


def at(hours: float = 0.0, *, boot: str = "", wall_jumps: float = 0.0) -> Moment:
    """So many hours after noon, by a wall clock that may have jumped since."""
    return Moment(wall=NOW + timedelta(hours=hours + wall_jumps), monotonic=hours * 3600, boot=boot)


def planned(number: int, changes: int = 1, *, part_of: tuple[int, ...] = ()) -> Planned:
    return Planned(number=number, changes=changes, lineage=(number, *part_of))


def claimed(number: int, changes: int = 1, *, when: Moment | None = None, part_of: tuple[int, ...] = ()) -> Claim:
    return Claim(number=number, changes=changes, lineage=(number, *part_of), at=when or at())


def test_nothing_is_left_to_do_once_nothing_is_planned() -> None:
    assert decide(Progress(limit=TEN_A_DAY, planned=()), STRICT, at(), looked=False) == Done()


def test_the_first_wave_begins_with_what_fits_in_the_order_of_the_plan() -> None:
    waiting = (planned(1, 6), planned(2, 4), planned(3, 1))
    assert decide(Progress(limit=TEN_A_DAY, planned=waiting), STRICT, at(), looked=False) == Begin((1, 2))


def test_a_request_that_does_not_fit_waits_and_nothing_overtakes_it() -> None:
    waiting = (planned(1, 6), planned(2, 5), planned(3, 1))
    assert fitting(waiting, (), TEN_A_DAY, at()) == (1,)


def test_a_wave_goes_on_without_a_look_as_long_as_its_period_lasts() -> None:
    progress = Progress(
        limit=TEN_A_DAY,
        planned=(planned(2, 4),),
        claims=(claimed(1, 6),),
        begun=at(),
        wave=Ends(changes=6, ended=6, wrong=6),
    )
    assert decide(progress, STRICT, at(23), looked=False) == Send((2,))


def test_a_full_wave_waits_until_enough_of_it_is_a_period_old() -> None:
    claims = (claimed(1, 2, when=at(0)), claimed(2, 3, when=at(1)), claimed(3, 5, when=at(2)))
    progress = Progress(limit=TEN_A_DAY, planned=(planned(4, 4),), claims=claims, begun=at())
    assert decide(progress, STRICT, at(3), looked=False) == Wait(at(25).wall)


def test_the_next_wave_begins_once_the_tenant_was_asked_and_few_enough_ended_wrongly() -> None:
    progress = Progress(
        limit=TEN_A_DAY,
        planned=(planned(2, 4),),
        claims=(claimed(1, 10),),
        begun=at(),
        wave=Ends(changes=10, ended=8, wrong=2),
    )
    assert decide(progress, STRICT, at(24), looked=False) == Look()
    assert decide(progress, Patience(tolerate=24.9), at(24), looked=True) == Stop(progress.wave, canary=False)
    assert decide(progress, Patience(tolerate=25), at(24), looked=True) == Begin((2,))


def test_a_wave_of_which_nothing_has_ended_yet_keeps_nothing_back() -> None:
    progress = Progress(
        limit=TEN_A_DAY, planned=(planned(2),), claims=(claimed(1, 10),), begun=at(), wave=Ends(changes=10)
    )
    assert decide(progress, STRICT, at(24), looked=True) == Begin((2,))


def test_a_request_larger_than_a_wave_is_divided() -> None:
    progress = Progress(limit=TEN_A_DAY, planned=(planned(1, 11),))
    assert decide(progress, STRICT, at(), looked=False) == Divide(1)


def test_what_was_claimed_counts_once_however_often_it_is_claimed_and_its_parts_count_with_it() -> None:
    claims = (claimed(1, 10), claimed(2, 5, part_of=(1,)))
    assert counted_now(claims, TEN_A_DAY, at(1)) == 10
    assert fitting((planned(1, 10),), claims, TEN_A_DAY, at(1)) == (1,)
    assert fitting((planned(3, 5, part_of=(1,)),), claims, TEN_A_DAY, at(1)) == (3,)
    assert fitting((planned(4, 1),), claims, TEN_A_DAY, at(1)) == ()


def test_a_part_counts_by_itself_once_the_whole_has_left_the_period() -> None:
    claims = (claimed(1, 10, when=at(0)), claimed(2, 5, when=at(12), part_of=(1,)))
    assert counted_now(claims, TEN_A_DAY, at(24)) == 5


@pytest.mark.parametrize("wall_jumps", [-1000.0, -1.0, 1.0, 1000.0])
def test_a_wall_clock_that_jumps_changes_nothing_during_a_boot(wall_jumps: float) -> None:
    claims = (claimed(1, 10, when=at(0, boot="b")),)
    assert fitting((planned(2),), claims, TEN_A_DAY, at(23.9, boot="b", wall_jumps=wall_jumps)) == ()
    assert fitting((planned(2),), claims, TEN_A_DAY, at(24.1, boot="b", wall_jumps=wall_jumps)) == (2,)


def test_a_claim_of_another_boot_that_is_dated_later_than_now_counts() -> None:
    claims = (claimed(1, 10, when=at(5, boot="before")),)
    assert fitting((planned(2),), claims, TEN_A_DAY, at(0, boot="now")) == ()


def test_the_canary_goes_first_and_alone() -> None:
    progress = Progress(
        limit=Limit(changes=0, seconds=0.0), planned=(planned(1), planned(2), planned(3)), canary=frozenset({2})
    )
    assert decide(progress, STRICT, at(), looked=False) == Send((2,))


def test_parts_of_the_canary_are_the_canary() -> None:
    waiting = (planned(1), planned(4, part_of=(2,)))
    progress = Progress(limit=Limit(changes=0, seconds=0.0), planned=waiting, canary=frozenset({2}))
    assert decide(progress, STRICT, at(), looked=False) == Send((4,))


HOUR = Patience(canary_for=3600.0)


@pytest.mark.parametrize(
    ("ends", "patience", "hours", "step"),
    [
        (Ends(changes=4, ended=4), HOUR, 0.1, Pass(Ends(changes=4, ended=4))),
        (Ends(changes=4, ended=3), HOUR, 0.5, Look(at(1).wall)),
        (Ends(changes=4, ended=3), HOUR, 1.0, Pass(Ends(changes=4, ended=3))),
        (Ends(changes=4, ended=0), HOUR, 1.0, Pass(Ends(changes=4, ended=0))),
        (Ends(changes=4, ended=1, wrong=1), HOUR, 0.1, Stop(Ends(changes=4, ended=1, wrong=1), canary=True)),
        # It may still turn out to be a quarter of what has ended.
        (Ends(changes=4, ended=1, wrong=1), Patience(tolerate=25), 0.1, Look(at(1).wall)),
        (
            Ends(changes=4, ended=1, wrong=1),
            Patience(tolerate=25),
            1.0,
            Stop(Ends(changes=4, ended=1, wrong=1), canary=True),
        ),
        (Ends(changes=4, ended=4, wrong=1), Patience(tolerate=25), 0.1, Pass(Ends(changes=4, ended=4, wrong=1))),
    ],
)
def test_the_canary_is_followed_to_its_end_or_for_a_time_and_then_judged(
    ends: Ends, patience: Patience, hours: float, step: object
) -> None:
    progress = Progress(
        limit=Limit(changes=0, seconds=0.0),
        planned=(planned(9),),
        canary=frozenset({1}),
        canary_sent=at(),
        canary_ends=ends,
    )
    assert decide(progress, patience, at(hours), looked=False) == Look()
    assert decide(progress, patience, at(hours), looked=True) == step


def test_the_canary_keeps_to_the_waves_too() -> None:
    progress = Progress(
        limit=TEN_A_DAY,
        planned=(planned(2, 3), planned(3, 1)),
        claims=(claimed(1, 8),),
        begun=at(),
        canary=frozenset({1, 2}),
    )
    assert decide(progress, STRICT, at(1), looked=False) == Wait(at(24).wall)


def test_the_ends_of_changes_are_told_from_the_states_of_requests_and_the_tenants_reports() -> None:
    ends = ends_of(
        [
            ("ACCEPTED", 7, [("REQUEST_COMPLETED", "", 2), ("REJECTED", "no", 1), ("EXECUTING", "", 1)]),
            ("ACCEPTED", 2, [("PROVISIONING_FAILED", "", 1), ("CANCELLED", "", 1)]),
            ("REFUSED", 3, []),
            ("SPLIT", 50, []),
            ("UNCONFIRMED", 4, []),
            ("PLANNED", 5, []),
        ]
    )
    assert ends == Ends(changes=21, ended=8, wrong=5)


def test_a_canary_covers_the_most_items_with_the_fewest_changes() -> None:
    requests = {
        1: (50, frozenset({1, 2})),
        2: (2, frozenset({1, 2})),
        3: (9, frozenset({3})),
        4: (1, frozenset({2})),
        5: (3, frozenset({1, 2, 3})),
    }
    assert choose_canary(requests, 1) == {5}
    assert choose_canary({number: one for number, one in requests.items() if number != 5}, 2) == {2, 3}
    assert choose_canary(requests, 99) == set(requests)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 150))
def test_the_parts_of_a_large_request_are_the_whole_each_pair_once(recipients: int, items: int, most: int) -> None:
    parts = list(blocks(recipients, items, most))
    pairs = [(person, item) for people, some in parts for person in people for item in some]
    assert sorted(pairs) == [(person, item) for person in range(recipients) for item in range(items)]
    assert all(len(people) * len(some) <= most for people, some in parts)


@given(
    st.integers(1, 12),
    st.lists(
        st.tuples(
            st.floats(0, 30, allow_nan=False), st.integers(1, 5), st.sampled_from(["send", "again", "divide", "reboot"])
        ),
        max_size=40,
    ),
)
def test_no_period_ever_has_more_changes_than_a_wave(most: int, story: Sequence[tuple[float, int, str]]) -> None:
    limit, hours, boot = Limit(changes=most, seconds=DAY), 0.0, 0
    last: dict[int, Claim] = {}
    history: list[tuple[float, Claim]] = []
    undivided: dict[int, int] = {}
    for passed, drawn, what in story:
        hours += passed
        boot += what == "reboot"
        moment = at(hours, boot=f"boot {boot}")
        number, size = len(history) + 1, drawn
        part_of: tuple[int, ...] = ()
        if what != "send" and history:
            _, before = history[drawn % len(history)]
            number, part_of = (before.number, before.lineage[1:]) if what == "again" else (number, before.lineage)
            # The parts of a request have no more changes than it has.
            size = before.changes if what == "again" else min(drawn, undivided[before.number])
        one = Planned(number=number, changes=size, lineage=(number, *part_of))
        if size and fitting([one], last.values(), limit, moment):
            claim = Claim(number=number, changes=size, lineage=one.lineage, at=moment)
            undivided.setdefault(number, size)
            if number not in last and part_of:
                undivided[part_of[0]] -= size
            last[number] = claim
            history.append((hours, claim))
    for ended, _ in history:
        window = {claim.number: claim for when, claim in history if 0 <= ended - when < 24}
        assert sum(one.changes for one in window.values() if window.keys().isdisjoint(one.lineage[1:])) <= most
