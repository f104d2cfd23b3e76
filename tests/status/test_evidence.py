"""What rows prove about a request that may or may not have arrived."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from batch.api.dialects import ATTEMPT_ID_KEY, ITEM_ID_KEY, REQUEST_ID_KEY, ItemType
from batch.model import Doubt, Existing, Request, RequestItem
from batch.status.control import NO_PROOF, Proof, Witness, proof_of, shown
from batch.status.evidence import (
    Elapsed,
    Settlement,
    Why,
    is_current,
    judge,
    likely_since,
    parts_by_arrival,
    places_held,
    read_rows,
    requested_already,
    seconds_without,
)
from tests.builders import EVERY_ID, NOW, our_row, request, status_row

if TYPE_CHECKING:
    from batch.api.status_row import StatusRow

NO_TIME = Elapsed()
ARRIVAL = Elapsed(arrival=True)
LISTING = Elapsed(arrival=True, listing=True)
TAIL = Elapsed(arrival=True, listing=True, tail=True)
CONTROL = Proof(control=True, recognised=True, keyed=frozenset({"ROLE"}), item_ids=True)
RIPE = 7


def doubt(of: Request | None = None, **known: Any) -> Doubt:
    """A doubt that is ripe, about a request of two people and three roles."""
    usual: dict[str, Any] = {"first_attempt": NOW, "ended": NOW, "ripe": RIPE, "tenant_time": NOW}
    return Doubt(request=of or request(1, 2, 3), **{**usual, **known})


def rows_of(of: Request, **fields: Any) -> list[StatusRow]:
    """What a tenant lists of a request that arrived."""
    return [our_row(of.id, identity, item.id, **fields) for identity in of.recipients for item in of.items]


def bare(rows: list[StatusRow], **fields: Any) -> list[StatusRow]:
    return [replace(row, metadata=None, **fields) for row in rows]


def settled(
    about: Doubt, rows: list[StatusRow], proof: Proof = CONTROL, elapsed: Elapsed = LISTING, **more: Any
) -> Settlement:
    reading = read_rows(about, rows, since=likely_since(about, timedelta()), known=EVERY_ID)
    return judge(about, reading, proof, elapsed, **more).settlement


def why(about: Doubt, rows: list[StatusRow], proof: Proof = CONTROL, elapsed: Elapsed = LISTING) -> Why:
    reading = read_rows(about, rows, since=likely_since(about, timedelta()), known=EVERY_ID)
    verdict = judge(about, reading, proof, elapsed)
    assert verdict.settlement is Settlement.OPEN
    return verdict.why


def test_a_row_for_each_change_proves_arrival_at_once() -> None:
    asked = doubt(ripe=None)
    assert settled(asked, rows_of(asked.request), NO_PROOF, NO_TIME) is Settlement.FOUND


def test_nothing_is_absent_without_a_control_and_before_both_waits_are_over() -> None:
    asked = doubt()
    assert why(doubt(ripe=None), [], CONTROL, LISTING) is Why.TIME
    assert why(asked, [], CONTROL, ARRIVAL) is Why.TIME
    assert why(asked, [], NO_PROOF, TAIL) is Why.NO_CONTROL
    assert settled(asked, [], CONTROL) is Settlement.NOT_FOUND


def test_a_row_of_anybody_that_came_late_enough_stands_in_for_a_control_if_our_ids_come_back() -> None:
    current = Proof(current=True)
    assert why(doubt(), [], current) is Why.UNRECOGNISED
    assert settled(doubt(), [], replace(current, recognised=True)) is Settlement.NOT_FOUND
    assert why(doubt(), [], replace(current, recognised=True, lacking=True)) is Why.CONTROL_UNLISTED


@pytest.mark.parametrize(
    ("created", "is_late_enough"),
    [(NOW + timedelta(seconds=61), True), (NOW + timedelta(seconds=60), False), (None, False)],
)
def test_a_row_is_current_if_it_was_created_once_the_request_could_arrive_no_more(
    created: datetime | None,
    is_late_enough: bool,  # noqa: FBT001 - pytest gives it by name
) -> None:
    assert is_current(status_row(created=created), doubt(), 60.0) == is_late_enough
    assert not is_current(status_row(created=created), doubt(tenant_time=None), 60.0)


# How our rows are recognised.


@pytest.mark.parametrize(
    "spelled",
    [
        pytest.param({"metadata": {REQUEST_ID_KEY: "RUN-1", ITEM_ID_KEY: "ITEM-0"}}, id="other letter case"),
        pytest.param({"item": "the request's"}, id="an id that is the request's"),
        pytest.param({"created": None}, id="no time"),
        pytest.param({"request_type": "", "item_type": ""}, id="no operation and no type"),
        pytest.param({"metadata": {REQUEST_ID_KEY: "run-1"}, "item": "the request's"}, id="no item"),
    ],
)
def test_a_row_is_recognised_by_our_id_however_odd_it_is(spelled: dict[str, Any]) -> None:
    asked = doubt(request(1, ["anna"], ["item0"]))
    row = replace(our_row("run-1", "ANNA", "item-0"), **spelled)
    assert settled(asked, [row], NO_PROOF, NO_TIME) is Settlement.FOUND


@pytest.mark.parametrize(
    "hidden",
    [
        pytest.param({"metadata": None}, id="none"),
        pytest.param({"metadata": {}}, id="empty"),
        pytest.param({"metadata": {"source": "workflow"}}, id="replaced"),
        pytest.param({"metadata": {REQUEST_ID_KEY: "***", ITEM_ID_KEY: "***"}}, id="masked"),
    ],
)
@pytest.mark.parametrize(
    "odd",
    [
        pytest.param({}, id="otherwise as sent"),
        pytest.param({"item": "the request's"}, id="an id that is the request's"),
        pytest.param({"created": None}, id="no time"),
        pytest.param({"request_type": "", "item_type": ""}, id="no operation and no type"),
        pytest.param({"request_type": "MODIFY_ACCESS"}, id="a new operation"),
    ],
)
def test_a_row_that_may_be_ours_forbids_absence(hidden: dict[str, Any], odd: dict[str, Any]) -> None:
    asked = doubt(request(1, ["anna"], ["r1"]))
    row = replace(our_row("run-1", "anna", "r1"), **hidden, **odd)
    assert settled(asked, [row], Proof(control=True)) is not Settlement.NOT_FOUND


@pytest.mark.parametrize(
    "others",
    [
        pytest.param({"metadata": {REQUEST_ID_KEY: "0123456789ab-7"}}, id="another request's"),
        pytest.param({"identity": "ben"}, id="another person's"),
        pytest.param({"request_type": "REVOKE_ACCESS"}, id="the opposite"),
        pytest.param({"item_type": "ENTITLEMENT"}, id="another type"),
        pytest.param({"created": NOW - timedelta(hours=1)}, id="older"),
    ],
)
def test_a_row_that_is_plainly_anothers_forbids_nothing(others: dict[str, Any]) -> None:
    asked = doubt(request(1, ["anna"], ["r1"]), tenant_before=NOW)
    row = replace(status_row("anna", "r1"), **others)
    assert settled(asked, [row], Proof(control=True)) is Settlement.NOT_FOUND


def test_a_row_without_our_id_is_anothers_once_rows_of_that_type_have_our_ids() -> None:
    asked = doubt(request(1, ["anna"], ["r1"]))
    keyless = bare([our_row("run-1", "anna", "r1")])
    assert settled(asked, keyless, Proof(control=True, keyed=frozenset({"ENTITLEMENT"}))) is Settlement.FOUND
    assert settled(asked, keyless, CONTROL) is Settlement.NOT_FOUND
    untyped = bare(keyless, item_type="", created=None)
    assert settled(asked, untyped, CONTROL) is Settlement.NOT_FOUND


def test_another_item_of_the_person_is_anothers_only_if_ids_are_known_to_be_the_items() -> None:
    asked = doubt(request(1, ["anna"], ["r1"]))
    row = status_row("anna", "r2")
    assert why(asked, [row], Proof(control=True)) is Why.RESEMBLING
    assert settled(asked, [row], Proof(control=True, item_ids=True)) is Settlement.NOT_FOUND


def test_a_row_with_another_items_id_in_masked_metadata_may_be_ours_by_its_own_id() -> None:
    # A tenant may mask the metadata of one type of item only, and show no types.
    asked = doubt(request(1, 1, 1))
    (row,) = rows_of(asked.request)
    masked = replace(row, item_type="", metadata={REQUEST_ID_KEY: "***", ITEM_ID_KEY: "***"})
    keyed_otherwise = replace(CONTROL, keyed=frozenset({"ENTITLEMENT"}))
    assert why(asked, [masked], keyed_otherwise) is Why.RESEMBLING
    assert settled(asked, [replace(masked, item="another")], keyed_otherwise) is Settlement.NOT_FOUND


def test_without_any_metadata_person_item_operation_and_time_prove_arrival() -> None:
    asked = doubt()
    rows = bare(rows_of(asked.request))
    assert settled(asked, rows, NO_PROOF, NO_TIME) is Settlement.FOUND
    old = bare(rows, created=NOW - timedelta(minutes=6))
    assert settled(asked, old, NO_PROOF, TAIL) is Settlement.OPEN
    # Somebody else's, perhaps: an accepted request may soon show whether ours have ids.
    assert settled(asked, rows, Proof(lacking=True), NO_TIME) is Settlement.OPEN


def test_the_time_of_bare_rows_is_the_tenants() -> None:
    behind = timedelta(hours=-1)
    asked = doubt()
    rows = bare(rows_of(asked.request), created=NOW + behind)
    reading = read_rows(asked, rows, since=likely_since(asked, behind), known=EVERY_ID)
    assert judge(asked, reading, NO_PROOF, NO_TIME).settlement is Settlement.FOUND


def test_one_item_id_of_two_types_is_two_changes() -> None:
    items = [RequestItem(type=kind, id="x") for kind in (ItemType.ROLE, ItemType.ENTITLEMENT)]
    asked = doubt(replace(request(1, ["anna"], ["x"]), items=tuple(items)))
    rows = [our_row("run-1", "anna", "x", item_type=kind) for kind in ("ROLE", "ENTITLEMENT")]
    assert settled(asked, rows[:1], elapsed=LISTING) is Settlement.OPEN
    assert settled(asked, rows) is Settlement.FOUND


# Requests that arrived in part.


def test_a_body_of_which_one_row_is_listed_has_arrived_and_is_never_absent() -> None:
    asked = doubt()
    rows = rows_of(asked.request)[:2]
    assert why(asked, rows) is Why.INCOMPLETE
    assert settled(asked, rows, elapsed=TAIL) is Settlement.PARTLY
    held = frozenset((r, i) for r in range(2) for i in range(3))
    assert settled(asked, rows, elapsed=TAIL, held=held) is Settlement.FOUND


def test_the_other_requests_of_the_body_have_arrived_too() -> None:
    one, other = request(1), doubt(request(2), attempt="0a1b")
    row = replace(rows_of(one)[0], metadata={**(rows_of(one)[0].metadata or {}), ATTEMPT_ID_KEY: "0a1b"})
    reading = read_rows(other, [row], since=NOW, known=EVERY_ID)
    assert reading.arrived
    assert judge(other, reading, CONTROL, TAIL).settlement is Settlement.OPEN
    assert not read_rows(doubt(request(3), attempt="0c1d"), [row], since=NOW, known=EVERY_ID).arrived


def test_a_part_of_a_request_is_recognised_by_the_id_that_was_sent() -> None:
    part = doubt(request(9, ["anna"], ["r1"], attempts=0, parent=1), sent="run-1")
    assert settled(part, [our_row("run-1", "anna", "r1")], NO_PROOF, NO_TIME) is Settlement.FOUND
    assert settled(part, [our_row("run-9", "anna", "r1")]) is Settlement.NOT_FOUND


def test_a_divided_request_loses_nothing_and_adds_nothing() -> None:
    asked = request(1, 3, 3)
    found = {(0, 0), (1, 0), (2, 0), (2, 1), (2, 2)}
    parts = parts_by_arrival(asked, found, held={(0, 1), (1, 1)})
    fates = {(r, i): (part.arrived, part.held) for part in parts for r in part.recipients for i in part.items}
    assert {place for place, fate in fates.items() if fate == (True, False)} == found
    assert {place for place, fate in fates.items() if fate == (True, True)} == {(0, 1), (1, 1)}
    assert sum(len(part.recipients) * len(part.items) for part in parts) == len(fates) == 9


def test_the_answer_may_list_changes_requested_already_in_another_spelling() -> None:
    asked = request(1, ["4b5c-6d"], ["r1"])
    existing = [
        Existing(identity="4B5C6D", item_type="ROLE", item="R-1"),
        Existing(identity="ben", item_type="ROLE", item="r1"),
    ]
    assert [(one.identity, one.item) for one in requested_already(asked, existing)] == [("4b5c-6d", "r1")]


# Controls.


def witness(number: int, claimed: int, **more: Any) -> Witness:
    of = request(number, 1, 2)
    return Witness(request=of, sent=of.id, claimed=claimed, **more)


def proof(*witnesses: tuple[Witness, list[StatusRow]]) -> Proof:
    return proof_of(doubt(), [shown(one, rows) for one, rows in witnesses])


def test_a_control_was_claimed_after_the_doubt_was_ripe_and_is_completely_listed() -> None:
    early, late = witness(2, RIPE), witness(3, RIPE + 1)
    everything = [*rows_of(early.request), *rows_of(late.request)]
    assert proof((late, everything)).control
    assert not proof((early, everything)).control
    assert proof((early, everything)).recognised
    assert not proof((late, everything[:3])).control
    assert proof((late, everything[:3])).pending


def test_nothing_that_was_claimed_before_the_control_may_lack_a_row() -> None:
    early, late, later = witness(2, RIPE - 1), witness(3, RIPE + 1), witness(4, RIPE + 2)
    rows = {one.claimed: rows_of(one.request) for one in (early, late, later)}
    assert not proof((early, rows[RIPE - 1][:1]), (late, rows[RIPE + 1])).control
    assert proof((early, rows[RIPE - 1]), (late, rows[RIPE + 1]), (later, [])).control


def test_held_changes_need_no_row_but_a_request_without_any_row_is_no_control() -> None:
    held = witness(2, RIPE + 1, held=frozenset({(0, 1)}))
    assert proof((held, rows_of(held.request)[:1])).control
    unlisted = witness(3, RIPE + 1, held=frozenset({(0, 0), (0, 1)}))
    assert not proof((unlisted, [])).control
    assert not proof((unlisted, [])).pending


@pytest.mark.parametrize("odd", [{"metadata": None}, {"metadata": {REQUEST_ID_KEY: "***", ITEM_ID_KEY: "***"}}])
def test_a_control_is_recognised_by_its_id_only(odd: dict[str, Any]) -> None:
    one = witness(2, RIPE + 1)
    assert not proof((one, rows_of(one.request, **odd))).recognised


def test_holdings_excuse_grants() -> None:
    of = request(1, ["anna", "ben"], ["r1", "r2"])
    assert places_held(of, {"ANNA": [("ROLE", "R-2")], "ben": [("ENTITLEMENT", "r1")]}) == {(0, 1)}


@pytest.mark.parametrize(("start", "end"), [("", "2027-01-31T00:00:00Z"), ("2027-01-31T00:00:00Z", "")])
def test_holdings_excuse_no_grants_with_dates_since_they_tell_none(start: str, end: str) -> None:
    plain = request(1, ["anna"], ["r1"])
    of = replace(plain, items=tuple(replace(item, start_date=start, remove_date=end) for item in plain.items))
    assert places_held(plain, {"anna": [("ROLE", "r1")]}) == {(0, 0)}
    assert places_held(of, {"anna": [("ROLE", "r1")]}) == frozenset()


# Time.


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("known", "own", "witnessed", "server_time", "passed"),
    [
        pytest.param({}, 60, True, at(60), 60, id="both clocks have passed"),
        pytest.param({}, 60, True, at(10), 11, id="the tenant's clock is slower"),
        pytest.param({}, 10, True, at(1000), 10, id="the tenant's clock was set forward"),
        pytest.param({}, 60, True, None, 60, id="the tenant tells no time"),
        pytest.param({"tenant_time": None}, 60, True, at(60), 60, id="nobody read it before"),
        pytest.param({}, 0, False, at(60), 59, id="an earlier process read it"),
        pytest.param({}, 0, False, None, 0, id="an earlier process read it, and now it tells no time"),
        pytest.param({"fence": at(100)}, 999, True, at(60), -41, id="the token is still valid"),
        pytest.param({"fence": at(100)}, 0, True, at(160), 59, id="the token has expired"),
        pytest.param({"fence": at(100), "tenant_time": None}, 999, True, None, float("-inf"), id="nobody knows"),
    ],
)
def test_time_passes_by_two_clocks(
    known: dict[str, Any],
    own: float,
    witnessed: bool,  # noqa: FBT001 - pytest gives it by name
    server_time: datetime | None,
    passed: float,
) -> None:
    assert seconds_without(doubt(**known), own=own, witnessed=witnessed, server_time=server_time) == passed


def test_a_row_of_a_request_that_the_ledger_has_lost_has_the_change_elsewhere_if_the_doubtful_one_is_absent() -> None:
    asked = doubt(ripe=1)
    (other, *_) = rows_of(replace(asked.request, number=99))
    known = read_rows(asked, [other], since=NOW, known=EVERY_ID)
    assert judge(asked, known, CONTROL, LISTING).settlement is Settlement.NOT_FOUND
    lost = read_rows(asked, [other], since=NOW, known=frozenset())
    for proof, elapsed, elsewhere in ((CONTROL, LISTING, True), (CONTROL, NO_TIME, False), (NO_PROOF, LISTING, False)):
        verdict = judge(asked, lost, proof, elapsed)
        assert (verdict.settlement, verdict.elsewhere) == (Settlement.OPEN, elsewhere)
    before = replace(other, created=NOW - timedelta(days=1))
    assert not read_rows(asked, [before], since=NOW, known=frozenset()).lost, "it is older than the attempt"
