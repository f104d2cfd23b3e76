"""The state machine against a model tenant, searched exhaustively: never accepted twice, never lost.

One request of one change is enough: requests don't share changes, and every transition concerns one request. The
model has what the machine can't see (how often the tenant has accepted the change, and whether a copy is still on its
way), and a crash is possible between any two steps. The one assumption is that of settling: when it concludes that
something never arrived, nothing of it is on its way any more.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from batch.states import Event, State, advance

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, kw_only=True)
class World:
    """Everything there is.

    Attributes:
        ledger: State of the request in the ledger.
        copies: How often the tenant has accepted it.
        flying: How many copies have left and are neither processed nor lost.
        running: Whether a process lives.
        claimed: Whether that process has claimed it and not yet sent it.
        waiting: Whether that process waits for the answer.
        answer: What the tenant has answered and the process has not yet recorded.
    """

    ledger: State = State.PLANNED
    copies: int = 0
    flying: int = 0
    running: bool = True
    claimed: bool = False
    waiting: bool = False
    answer: Event | None = None


def steps(world: World, *, settling_waits: bool) -> Iterator[World]:
    """Every world that can follow."""
    if world.flying:
        landed = replace(world, flying=world.flying - 1)
        yield landed
        yield replace(landed, copies=world.copies + 1)
        if world.waiting:
            yield replace(landed, copies=world.copies + 1, answer=Event.ACCEPTED)
            yield replace(landed, copies=world.copies + 1, answer=Event.UNDECIDED)
            yield replace(landed, answer=Event.NOT_PROCESSED)
            yield replace(landed, answer=Event.UNDECIDED)
    if not world.running:
        restarted = State.SENDING is world.ledger
        ledger = advance(world.ledger, Event.ABANDONED) if restarted else world.ledger
        yield replace(world, running=True, ledger=ledger)
        return
    yield replace(world, running=False, claimed=False, waiting=False, answer=None)
    if world.ledger is State.PLANNED:
        yield replace(world, ledger=advance(world.ledger, Event.CLAIMED), claimed=True)
    if world.claimed:
        yield replace(world, claimed=False, waiting=True, flying=world.flying + 1)
        yield replace(world, claimed=False, waiting=True, answer=Event.NOT_PROCESSED)
    if world.waiting and world.answer is None:
        yield replace(world, waiting=False, ledger=advance(world.ledger, Event.UNDECIDED))
    if world.waiting and world.answer is not None:
        yield replace(world, waiting=False, answer=None, ledger=advance(world.ledger, world.answer))
    if world.ledger is State.UNCONFIRMED and not (settling_waits and world.flying):
        yield replace(world, ledger=advance(world.ledger, Event.FOUND if world.copies else Event.NOT_FOUND))


def reachable(*, settling_waits: bool) -> dict[World, set[World]]:
    """Every world that can come about, with those that can follow; up to two copies."""
    graph: dict[World, set[World]] = {}
    queue = deque([World()])
    while queue:
        world = queue.popleft()
        if world in graph:
            continue
        graph[world] = {w for w in steps(world, settling_waits=settling_waits) if w.copies <= 2 and w.flying <= 2}
        queue.extend(graph[world])
    return graph


@pytest.fixture(scope="module")
def worlds() -> dict[World, set[World]]:
    return reachable(settling_waits=True)


def test_the_tenant_never_accepts_it_twice(worlds: dict[World, set[World]]) -> None:
    assert max(world.copies + world.flying for world in worlds) == 1


def test_the_tenant_has_every_change_that_the_ledger_calls_accepted(worlds: dict[World, set[World]]) -> None:
    assert all(world.copies == 1 for world in worlds if world.ledger is State.ACCEPTED)


def test_the_change_is_never_lost_every_world_leads_to_acceptance(worlds: dict[World, set[World]]) -> None:
    done = {world for world in worlds if world.ledger is State.ACCEPTED and world.copies == 1}
    came_from: dict[World, set[World]] = {world: set() for world in worlds}
    for world, following in worlds.items():
        for follower in following:
            came_from[follower].add(world)
    saved, queue = set(done), deque(done)
    while queue:
        for before in came_from[queue.popleft()] - saved:
            saved.add(before)
            queue.append(before)
    assert saved == set(worlds)


def test_every_state_except_those_of_refusal_and_giving_up_is_visited(worlds: dict[World, set[World]]) -> None:
    assert {world.ledger for world in worlds} == {State.PLANNED, State.SENDING, State.UNCONFIRMED, State.ACCEPTED}


def test_the_model_catches_settling_that_does_not_wait() -> None:
    assert max(world.copies for world in reachable(settling_waits=False)) == 2
