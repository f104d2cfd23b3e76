"""The state machine: every pair of state and event is decided, and no doubtful request is ever sent again."""

from __future__ import annotations

from itertools import product

import pytest

from batch.errors import BrokenPromiseError
from batch.states import IN_DOUBT, TRANSITIONS, UNSENT, VOID, Event, State, advance

# As documented; a dash stands for "impossible", a question mark for UNCONFIRMED.
TABLE = """
          claimed accepted refused not_processed undecided abandoned found    not_found taken_over discarded mistrusted
PLANNED   SENDING -        REFUSED -             -         -         -        -         SPLIT      DISCARDED ?
SENDING   -       ACCEPTED REFUSED PLANNED       ?         ?         -        -         -          -         -
?         -       -        -       -             -         -         ACCEPTED PLANNED   SPLIT      -         -
REFUSED   -       -        -       -             -         -         -        -         SPLIT      -         ?
ACCEPTED  -       -        -       -             -         -         -        -         -          -         -
SPLIT     -       -        -       -             -         -         -        -         -          -         ?
DISCARDED -       -        -       -             -         -         -        -         -          -         ?
"""


def documented() -> dict[tuple[State, Event], State]:
    head, *lines = [line.replace("?", State.UNCONFIRMED).split() for line in TABLE.strip().splitlines()]
    return {
        (State(line[0]), Event(event)): State(target)
        for line in lines
        for event, target in zip(head, line[1:], strict=True)
        if target != "-"
    }


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
def test_every_pair_of_state_and_event_leads_on_as_documented_or_is_a_broken_promise(
    state: State, event: Event
) -> None:
    target = documented().get((state, event))
    if target:
        assert advance(state, event) is target
    else:
        with pytest.raises(BrokenPromiseError, match=f"A request that is {state} can't be {event}"):
            advance(state, event)


def reached(start: State, *, without: set[Event]) -> set[State]:
    found, open_ = {start}, [start]
    while open_:
        state = open_.pop()
        for (source, event), target in TRANSITIONS.items():
            if source is state and event not in without and target not in found:
                found.add(target)
                open_.append(target)
    return found


def test_an_unconfirmed_request_is_only_sent_again_after_settling() -> None:
    assert State.SENDING in reached(State.UNCONFIRMED, without=set())
    unsettled = reached(State.UNCONFIRMED, without={Event.FOUND, Event.NOT_FOUND})
    assert unsettled.isdisjoint({State.SENDING, State.PLANNED})


def test_an_accepted_request_is_never_sent_again() -> None:
    assert reached(State.ACCEPTED, without=set()) == {State.ACCEPTED}


def test_only_a_claim_leads_to_sending_and_only_from_planned() -> None:
    assert [pair for pair, target in TRANSITIONS.items() if target is State.SENDING] == [(State.PLANNED, Event.CLAIMED)]


def test_every_state_is_reached_from_planned() -> None:
    assert reached(State.PLANNED, without=set()) == set(State)


def test_from_unconfirmed_only_settling_leads_on() -> None:
    settling = {Event.FOUND, Event.NOT_FOUND, Event.TAKEN_OVER}
    assert reached(State.UNCONFIRMED, without=settling) == {State.UNCONFIRMED}


def test_a_request_in_doubt_is_never_discarded() -> None:
    assert all(target is not State.DISCARDED for (state, _), target in TRANSITIONS.items() if state in IN_DOUBT)


def test_every_state_is_unsent_in_doubt_accepted_or_void_and_only_one_of_these() -> None:
    kinds = [UNSENT, IN_DOUBT, frozenset({State.ACCEPTED}), VOID]
    assert sorted(state for kind in kinds for state in kind) == sorted(State)
