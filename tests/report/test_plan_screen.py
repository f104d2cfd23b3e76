"""A plan on the screen fits it, and lists everything if asked to."""

from __future__ import annotations

import pytest

from batch.api.dialects import Rate
from batch.loops.track import next_wait
from batch.names.known import KnownNames
from batch.report.plan_screen import describe_plan
from batch.report.plan_view import LOOKS_A_DAY, Cost
from batch.status.approvals_ahead import ApprovalsAhead, Awaited
from batch.status.tenant_facts import ItemFacts
from batch.text import cells
from tests.plan.changes import hex_id
from tests.report.plans import ROLE, line, view

FACTS = {
    "items": {
        ("ROLE", hex_id(item)): ItemFacts(name=f"役割 {item} {'very ' * 20}long", owner="o", owner_name="Olga " * 9)
        for item in range(100, 140)
    }
}
APPROVALS = ApprovalsAhead(
    changes=90,
    known=80,
    unneeded=2,
    unknown=8,
    by_approver=(
        Awaited(kind="OWNER", steps=50, owner="o1", name="Olga " * 30),
        Awaited(kind="MANAGER", steps=20),
        Awaited(kind="OWNER", steps=9),
        Awaited(kind="GUARDIAN", steps=1),
    ),
)
MANY = [
    line(person, item, "REVOKE" if item % 3 == 0 else "GRANT", "2030-01-01" if item % 3 == 1 else "", f"d{person}")
    for person in range(1, 41)
    for item in range(100, 100 + person)
]


def test_a_large_plan_takes_about_forty_lines_of_eighty_columns() -> None:
    made = view(*MANY, *MANY[:2], "GRANT,x,ROLE,y,,,", by="department", facts=FACTS, approvals=APPROVALS)
    shown = list(describe_plan(made))
    assert len(shown) <= 50
    assert len(list(describe_plan(view(*MANY, facts=FACTS, approvals=APPROVALS)))) <= 40
    assert {one for one in shown if cells(one) > 80} == set()
    assert "  … and 32 more: --detail" in shown
    assert shown[0] == "The plan: 260 revokes and 560 grants for 40 people at https://acme.example."


def test_detail_shows_every_item_group_and_change() -> None:
    made = view(*MANY, MANY[0], "GRANT,x,ROLE,y,,,", by="department", facts=FACTS)
    shown = list(describe_plan(made, detail=True))
    assert not [one for one in shown if "--detail" in one]
    assert sum(one.startswith("line ") for one in shown) == len(MANY) + 2
    name = f"役割 100 {'very ' * 20}long"
    assert shown[-6] == (
        f"line 822: grant of role {name} ({hex_id(100)}) for {hex_id(1)} until 2030-01-01T00:00:00Z: repeated "
        "(repeats line 2 of in.csv)"
    )
    assert shown[-5].startswith("line 823: grant of role y for x: rejected (identity_id_shape; item_id_shape: ")


def test_a_small_plan_says_it_in_few_lines() -> None:
    names = KnownNames(people={hex_id(1): "anna"}, items={("ROLE", ROLE): "Clerk"})
    assert list(describe_plan(view(line(1, end="2030-01-01"), names=names))) == [
        "The plan: 1 grant for 1 person at https://acme.example.",
        "1 item                                               grants   people  ends",
        "  role Clerk                                              1        1  2030-01-01",
        "It is one change.",
        "Sending takes 1 request.",
        "No plan needs fewer.",
        "Planning took 3 calls; each look at their progress takes about 1 call.",
        "Altogether about 303 calls, 295 of them for a day of tracking.",
    ]


@pytest.mark.parametrize(("budget", "is_enough"), [(1_000, True), (500, False)])
def test_a_plan_says_what_is_left_of_the_months_calls_and_whether_that_is_enough(
    *, budget: int, is_enough: bool
) -> None:
    rate = Rate(requests=100, seconds=10)
    cost = Cost(requests=1, lower_bound=1, checking=3, tracking=1, rate=rate, month="2026-11", made=250, budget=budget)
    made = view(line(1), cost=cost)
    shown = list(describe_plan(made))
    assert f"Of {budget:,} calls in 2026-11, {budget - 250} are left, less those of other programs." in shown
    assert ("too little" not in shown[-1]) is is_enough
    assert made.as_json()["calls"] | {"altogether": 303, "left_in_month": budget - 250} == made.as_json()["calls"]


@pytest.mark.parametrize(
    ("requests", "bound", "said"),
    [
        (69, 51, ["No plan needs fewer than 51: this is at most 36 % above the minimum."]),
        (100, 50, ["No plan needs fewer than 50: this is at most 100 % above the minimum."]),
        (1_001, 1_000, ["No plan needs fewer than 1,000: this is at most 1 % above the minimum."]),
        (51, 51, ["No plan needs fewer."]),
        (51, 0, []),
    ],
)
def test_a_plan_says_how_far_it_may_be_from_the_best_one(requests: int, bound: int, said: list[str]) -> None:
    cost = Cost(requests=requests, lower_bound=bound, checking=0, tracking=1, rate=Rate(requests=100, seconds=10))
    shown = list(describe_plan(view(line(1), cost=cost)))
    assert [one for one in shown if one.startswith("No plan")] == said


def test_a_day_of_tracking_has_as_many_looks_as_the_tracker_makes() -> None:
    looks, waited, wait = 0, 0.0, 0.0
    while waited < 24 * 3600:
        wait = next_wait(wait, moved=False, took=0.0)
        looks, waited = looks + 1, waited + wait
    assert looks == LOOKS_A_DAY


def test_approvals_are_shown_by_who_decides() -> None:
    shown = list(describe_plan(view(line(1), line(2), approvals=APPROVALS)))
    start = next(n for n, one in enumerate(shown) if one.startswith("Who decides"))
    assert shown[start] == "Who decides (packing saves requests, not approvals and not e-mails):"
    assert [" ".join(one.split()) for one in shown[start + 1 : start + 7]][1:] == [
        "managers of the people 20",
        "owners of items whose names are not known 9",
        "steps of the kind GUARDIAN 1",
        "changes that need no approval 2",
        "changes of which the tenant does not show who approves them 8",
    ]


def test_a_plan_without_changes_says_only_why() -> None:
    shown = list(describe_plan(view("GRANT,x,ROLE,y,,,")))
    assert shown[0] == "Not sent (1):"
    assert len(shown) == 2


def test_warnings_are_shown_unless_they_stand_elsewhere() -> None:
    made = view(line(1), warnings=["Mind the gap."])
    assert "  Mind the gap." in list(describe_plan(made))
    assert "  Mind the gap." not in list(describe_plan(made, warnings=False))


def test_what_a_tenant_calls_things_cannot_draw_on_the_terminal() -> None:
    evil = {"items": {("ROLE", ROLE): ItemFacts(name="a\x1b[2Jb\u202ec\nd", owner="\x1b]0;x\x07")}}
    made = view(line(1), line(2, department="\x1b[31mred\u202e"), by="department", facts=evil)
    for detail in (False, True):
        assert all(one.isprintable() for one in describe_plan(made, detail=detail))
