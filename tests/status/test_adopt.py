"""An import guesses nothing, and afterwards no change counts as new that did not before."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.api.status_row import ChangeStatus
from batch.states import VOID, State
from batch.status.adopt import AdoptionOutcome, ListedChange, NotAdoptable, plan_adoption, read_listed
from batch.status.matching import LedgerChange
from tests.builders import status_row


def listed_change(**other: Any) -> ListedChange:
    (found,), _ = read_listed([status_row(**other)])
    return found


@pytest.mark.parametrize(
    ("odd", "why"),
    [
        ({"access_request": ""}, NotAdoptable.NO_REQUEST),
        ({"item": ""}, NotAdoptable.NO_ITEM),
        ({"item": "a1"}, NotAdoptable.NO_ITEM),
        ({"item": "x1"}, NotAdoptable.NO_ITEM),
        ({"item_type": "SOURCE"}, NotAdoptable.ODD_TYPE),
        ({"item_type": ""}, NotAdoptable.ODD_TYPE),
        ({"request_type": "MODIFY_ACCESS"}, NotAdoptable.ODD_OPERATION),
        ({"remove_date": "next year"}, NotAdoptable.ODD_DATE),
    ],
)
def test_a_row_that_does_not_say_what_it_is_about_is_counted_and_left_out(
    odd: dict[str, str], why: NotAdoptable
) -> None:
    listed, not_adoptable = read_listed([status_row(), status_row(**odd)])
    assert (len(listed), dict(not_adoptable)) == (1, {why: 1})


@pytest.mark.parametrize(
    "others",
    [
        {"metadata": {"accessBatchItem": "r7", "accessBatchRequest": "run-3"}, "item": "r8"},
        {"item_name": "Buyer", "item": "r8", "access_request": "a2"},
    ],
)
def test_ids_that_change_with_requests_are_not_taken_for_items(others: dict[str, Any]) -> None:
    listed, not_adoptable = read_listed([status_row(item_name="Buyer"), status_row(**others)])
    assert [one.item for one in listed] == (["r7"] if "metadata" in others else [])
    assert not_adoptable[NotAdoptable.NO_ITEM] == 2 - len(listed)


def test_the_items_id_in_our_own_metadata_overrides_the_lists_id() -> None:
    assert listed_change(item="a1", metadata={"accessBatchItem": "r7", "accessBatchRequest": "run-3"}).item == "r7"


@pytest.mark.parametrize(
    ("listed", "kept"),
    [
        ("", ""),
        ("2027-01-31T00:00:00.000Z", "2027-01-31T00:00:00Z"),
        ("2027-01-31T01:00:00+01:00", "2027-01-31T00:00:00Z"),
        ("2027-01-31T00:00:00.250Z", "2027-01-31T00:00:00.250Z"),
    ],
)
def test_dates_are_kept_in_the_form_that_requests_use(listed: str, kept: str) -> None:
    assert listed_change(remove_date=listed).remove_date == kept


KNOWN = st.lists(
    st.builds(
        lambda run, request, state, access_request: LedgerChange(
            run=run,
            request=request,
            state=State.ACCEPTED.value if run == "imported" else state,
            status=None if access_request is None else listed_change(access_request=access_request).status(request),
        ),
        st.sampled_from(["imported", "run", "other"]),
        st.integers(1, 9),
        st.sampled_from([state.value for state in State]),
        st.sampled_from([None, "a1", "a2"]),
    ),
    max_size=5,
    unique_by=lambda change: change.request,
)
LISTED = st.lists(
    st.builds(
        listed_change,
        access_request=st.sampled_from(["a1", "a2", "a3"]),
        state=st.sampled_from(["EXECUTING", "CANCELLED", "REQUEST_COMPLETED"]),
        request_type=st.sampled_from(["GRANT_ACCESS", "REVOKE_ACCESS"]),
        metadata=st.sampled_from([None, {"accessBatchRequest": "run-1"}, {"accessBatchRequest": "imported-1"}]),
    ),
    max_size=5,
)


@given(LISTED, KNOWN)
def test_nothing_is_imported_for_a_key_that_a_run_of_ours_has(
    listed: list[ListedChange], known: list[LedgerChange]
) -> None:
    found = plan_adoption(listed, {("i1", "ROLE", "r1"): known}, imported="imported")
    if any(change.run != "imported" and change.state not in VOID for change in known):
        assert found.new == ()
    assert sum(found.outcomes.values()) == len(listed)
    accepted = {change.request for change in known if change.state == State.ACCEPTED}
    assert {status.request for status in found.statuses} <= accepted


@given(LISTED)
def test_importing_the_same_rows_again_adds_nothing(listed: list[ListedChange]) -> None:
    new = plan_adoption(listed, {}, imported="imported").new
    known = [
        LedgerChange(run="imported", request=number, state="ACCEPTED", status=one.status(number))
        for number, one in enumerate(new)
    ]
    again = plan_adoption(listed, {("i1", "ROLE", "r1"): known}, imported="imported")
    assert (again.new, again.statuses) == ((), ())
    assert len({one.access_request for one in new}) == len(new) == len({one.access_request for one in listed})


def test_a_row_of_our_own_request_updates_its_status() -> None:
    mine = listed_change(metadata={"accessBatchRequest": "run-1"}, state="REJECTED", said="no")
    known = LedgerChange(run="run", request=1, state="ACCEPTED")
    found = plan_adoption([mine], {mine.key: [known]}, imported="imported")
    assert found.statuses == (
        ChangeStatus(
            request=1, identity="i1", item_type="ROLE", item="r1", state="REJECTED", said="no", access_request="a1"
        ),
    )
    divided = [LedgerChange(run="run", request=1, state="SPLIT"), LedgerChange(run="run", request=4, state="ACCEPTED")]
    assert plan_adoption([mine], {mine.key: divided}, imported="imported").statuses[0].request == 4
    again = [*divided, LedgerChange(run="run", request=9, state="ACCEPTED")]
    assert plan_adoption([mine], {mine.key: again}, imported="imported").statuses[0].request == 4


@pytest.mark.parametrize("state", ["UNCONFIRMED", "SENDING", "PLANNED"])
def test_an_import_leaves_unconfirmed_requests_to_settling(state: str) -> None:
    mine = listed_change(metadata={"accessBatchRequest": "run-1"})
    found = plan_adoption([mine], {mine.key: [LedgerChange(run="run", request=1, state=state)]}, imported="imported")
    assert (found.new, found.statuses, dict(found.outcomes)[AdoptionOutcome.UNSETTLED]) == ((), (), 1)
