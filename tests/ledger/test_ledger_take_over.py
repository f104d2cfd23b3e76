"""A plan takes over changes that other runs have planned and not sent: each pair is in one request, none is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batch.api.dialects import DIALECTS
from batch.errors import StoppedError
from batch.ledger.take_over import MOST_PLANS, LedgerMovedError, TakenOver, parts_without, until_it_stands
from batch.plan import plan
from batch.states import State
from tests.builders import NOW, change, product
from tests.ledger.ledger_helpers import (
    ACCEPTED,
    ME,
    TENANT,
    Place,
    a_process,
    claim,
    new_run,
    open_ledger,
    plan_of,
    record,
    singles,
    write,
)

if TYPE_CHECKING:
    from batch.ledger.store import Ledger

PEOPLE, ITEMS = ["p0", "p1", "p2", "p3"], ["r0", "r1", "r2"]
PAIRS = st.sets(st.tuples(st.sampled_from(PEOPLE), st.sampled_from(ITEMS)), min_size=1)


def plan_anew(ledger: Ledger, digest: str, pairs: set[tuple[str, str]]) -> None:
    """Plans these pairs in a run, as `submit` does: everything planned elsewhere is taken over."""
    wanted = plan_of([change(*pair) for pair in sorted(pairs)]).changes.drop("request")
    known = ledger.plans.known(TENANT, wanted)
    run_id = ledger.plans.run_id(TENANT, digest)
    free = known.changes.filter((pl.col("state") == "PLANNED") & (pl.col("run") != run_id))
    taken = TakenOver(requests=tuple(free.get_column("request").unique()), process=ME)
    mine = known.changes.filter((pl.col("state") != "SPLIT") & ~pl.col("request").is_in(taken.requests))
    fresh = wanted.join(mine, on=["identity_id", "item_id"], how="anti")
    if fresh.height:
        made = plan(fresh, DIALECTS["beta"].limits)
        ledger.plans.write(new_run(digest), made, upto=known.upto, now=NOW, taken=taken)


def live(ledger: Ledger) -> dict[tuple[str, str], list[str]]:
    """The states of every pair's requests, without those that others replaced."""
    known = ledger.plans.known(TENANT, plan_of(product(PEOPLE, ITEMS)).changes).changes.filter(
        pl.col("state") != "SPLIT"
    )
    found: dict[tuple[str, str], list[str]] = {}
    for identity, item, state in known.select("identity_id", "item_id", "state").rows():
        found.setdefault((identity, item), []).append(state)
    return found


@pytest.mark.thorough
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(versions=st.lists(st.tuples(PAIRS, st.integers(0, 3)), min_size=2, max_size=4))
def test_an_input_edited_again_and_again_keeps_every_pair_in_exactly_one_request(
    versions: list[tuple[set[tuple[str, str]], int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with open_ledger(tmp_path_factory.mktemp("edited") / "ledger.db") as ledger:
        ever: set[tuple[str, str]] = set()
        for number, (pairs, sent) in enumerate(versions):
            plan_anew(ledger, f"version {number}", pairs)
            ever |= pairs
            runs = [run for run in ledger.runs.all() if run.input_digest == f"version {number}"]
            for run in runs:
                for _ in range(min(sent, ledger.requests.left(run))):
                    record(ledger, claim(ledger, run), ACCEPTED)
                ledger.runs.release(run, ME, NOW)
            found = live(ledger)
            assert set(found) == ever, "nothing is lost"
            assert all(len(states) == 1 for states in found.values()), "nothing is there twice"
            assert ledger.verify() == ()


@given(going=st.sets(st.tuples(st.integers(0, 3), st.integers(0, 2))))
def test_changes_that_stay_are_divided_into_products(going: set[tuple[int, int]]) -> None:
    parts = parts_without(4, 3, going)
    left = [(r, i) for part in parts for r in part.recipients for i in part.items]
    assert sorted([*left, *going]) == [(r, i) for r in range(4) for i in range(3)]


@pytest.mark.parametrize("taken", [{("p0", "r0")}, {("p0", "r0"), ("p1", "r0")}])
def test_a_run_knows_whether_others_have_taken_some_of_its_changes(ledger: Ledger, taken: set[tuple[str, str]]) -> None:
    plan_anew(ledger, "old", {("p0", "r0"), ("p1", "r0")})
    (old,) = ledger.runs.all()
    assert not ledger.runs.has_lost_changes(old)
    plan_anew(ledger, "new", taken)
    (new,) = [run for run in ledger.runs.all() if run.input_digest == "new"]
    assert ledger.runs.has_lost_changes(old)
    assert not ledger.runs.has_lost_changes(new)


@pytest.mark.sqlite_only
def test_nothing_is_taken_from_a_run_that_another_process_holds_or_has_sent_meanwhile(
    ledger: Ledger, path: Place
) -> None:
    run = write(ledger, product(["p0", "p1"], ["r0"]), digest="old")
    wanted = plan_of([change("p0", "r0")])
    upto = ledger.plans.known(TENANT, wanted.changes).upto
    for process in (a_process(), ME):
        with open_ledger(path) as other:
            other.runs.hold(run, process, NOW)
            if process == ME:
                claim(other, run)
        with pytest.raises(LedgerMovedError):
            ledger.plans.write(new_run("new"), wanted, upto=upto, now=NOW, taken=TakenOver(requests=(1,), process=ME))
        ledger.runs.release(run, process, NOW)
    assert [one.input_digest for one in ledger.runs.all()] == ["old"]


def test_what_another_machine_has_dropped_meanwhile_is_read_again_and_not_dropped_twice(ledger: Ledger) -> None:
    run = write(ledger, *singles(2))
    numbers = [request.number for request in ledger.requests.in_state(run, State.PLANNED)]
    ledger.plans.drop(run, numbers[:1], a_process(1), NOW)
    with pytest.raises(LedgerMovedError):
        ledger.plans.drop(run, numbers, a_process(2), NOW)
    assert [request.number for request in ledger.requests.in_state(run, State.PLANNED)] == numbers[1:]


@pytest.mark.parametrize("moves", [0, 3, MOST_PLANS - 1, MOST_PLANS])
def test_an_input_is_planned_anew_while_the_ledger_moves_but_not_for_ever(moves: int) -> None:
    begun: list[None] = []

    def plan() -> str:
        if len(begun) < moves:
            raise LedgerMovedError
        return "planned"

    if moves < MOST_PLANS:
        assert until_it_stands(plan, lambda: begun.append(None)) == "planned"
    else:
        with pytest.raises(StoppedError, match="planned 100 times"):
            until_it_stands(plan, lambda: begun.append(None))
    assert len(begun) == moves
