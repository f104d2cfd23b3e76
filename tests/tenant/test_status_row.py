"""A row of the status list: who decided, with which comment and when; any row can be read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.api.dialects import ATTEMPT_ID_KEY, ITEM_ID_KEY, REQUEST_ID_KEY
from batch.api.tenant_outcome import TenantOutcome, tenant_outcome
from batch.status.matching import attempt_id, is_bare, listed_item, named_item, request_id
from batch.tenant.status_row import MOST_TEXT, status_row
from batch.text import HIDDEN

MINUTE = {n: f"2026-11-26T12:0{n}:00.000Z" for n in range(10)}


def row(**fields: Any) -> Any:
    return {
        "id": "r1",
        "type": "ROLE",
        "requestedFor": {"type": "IDENTITY", "id": "i1", "name": "Ida"},
        "requestType": "GRANT_ACCESS",
        "state": "EXECUTING",
        "created": MINUTE[0],
        "modified": MINUTE[1],
        **fields,
    }


def read(raw: Any) -> Any:
    return status_row(raw)


def approval(status: str, name: str, minute: int, **more: Any) -> dict[str, Any]:
    return {"status": status, "currentOwner": {"type": "IDENTITY", "name": name}, "modified": MINUTE[minute], **more}


def at(minute: int) -> datetime:
    return datetime(2026, 11, 26, 12, minute, tzinfo=UTC)


def test_a_pending_row_names_its_approvers() -> None:
    found = read(row(approvalDetails=[approval("APPROVED", "Ann", 2), approval("PENDING", "Bob", 3)]))
    assert (found.who, found.said, found.since) == ("Bob", "", at(3))


def test_a_rejected_row_names_who_rejected_it_and_why() -> None:
    details = [approval("APPROVED", "Ann", 2), approval("REJECTED", "Bob", 3, comment="not\n needed")]
    found = read(row(state="REJECTED", approvalDetails=details))
    assert (found.who, found.said, found.since) == ("Bob", "not needed", at(3))


@pytest.mark.parametrize(
    "field", ["id", "type", "requestType", "state", "accessRequestId", "accountActivityItemId", "removeDate"]
)
def test_an_id_that_was_hidden_is_no_id(field: str) -> None:
    assert HIDDEN not in repr(read(row(**{field: HIDDEN})))


def test_a_row_whose_identity_was_hidden_is_not_understood() -> None:
    assert read(row(requestedFor={"id": HIDDEN})) is None


def test_metadata_that_was_hidden_is_neither_ours_nor_missing() -> None:
    found = read(row(clientMetadata={REQUEST_ID_KEY: HIDDEN}))
    assert (is_bare(found), request_id(found)) == (False, "")


def test_a_cancelled_row_names_who_cancelled_it_and_why() -> None:
    cancelled = {"comment": "This is a duplicate.", "owner": {"name": "Cleo"}, "modified": MINUTE[4]}
    found = read(row(state="CANCELLED", cancelledRequestDetails=cancelled, cancelable=False))
    assert (found.who, found.said, found.since) == ("Cleo", "This is a duplicate.", at(4))
    assert tenant_outcome(found.state, found.said) is TenantOutcome.DUPLICATE
    assert tenant_outcome(found.state, "changed our minds") is TenantOutcome.CANCELLED


@pytest.mark.parametrize(
    "errors",
    [[[{"text": "No such account."}], [{"text": "Gave up."}]], [{"text": "No such account."}, {"text": "Gave up."}]],
)
def test_a_failed_row_holds_its_error_messages(errors: Any) -> None:
    found = read(row(state="PROVISIONING_FAILED", errorMessages=errors))
    assert (found.said, found.since) == ("No such account.; Gave up.", at(1))
    assert tenant_outcome(found.state, found.said) is TenantOutcome.FAILED


def test_an_approval_without_an_owner_names_its_group() -> None:
    details = [
        {"status": "PENDING", "originalOwner": {"type": "GOVERNANCE_GROUP", "name": "Finance"}, "currentOwner": None}
    ]
    assert read(row(approvalDetails=details)).who == "Finance"


def of_today(status: str, **more: Any) -> dict[str, Any]:
    """An approval as tenants write it since 2025: the fields of one owner are null."""
    original = {"type": "IDENTITY", "id": "o1", "name": "Olaf"}
    return {"status": status, "modified": MINUTE[3], "currentOwner": None, "originalOwner": original, **more}


@pytest.mark.parametrize(
    ("owners", "who"),
    [
        ([{"name": "Ann"}, {"name": "Bob"}], "Ann, Bob"),
        ([{"type": "GOVERNANCE_GROUP", "id": "g1", "name": "Finance"}], "Finance"),
        ([{"id": "p1", "name": None}, "Bob", None, 7], "p1, Bob"),
        ({"name": "Ann"}, "Ann"),
        ([], "Olaf"),
        (None, "Olaf"),
    ],
)
def test_a_pending_row_of_today_names_everybody_who_may_approve(owners: Any, who: str) -> None:
    found = read(row(approvalDetails=[of_today("PENDING", currentOwners=owners, reviewedBy=None, comment=None)]))
    assert (found.who, found.said, found.since) == (who, "", at(3))


@pytest.mark.parametrize(
    ("comments", "said"),
    [
        ([{"comment": "not\n needed", "author": {"name": "Cleo"}}, {"comment": "not needed"}], "not needed"),
        ([{"text": "not needed"}, "ask Dan"], "not needed; ask Dan"),
        ("not needed", "not needed"),
        ({"comment": "not needed"}, "not needed"),
        ([7, None, {}, {"comment": None}, {"comment": ["?"]}], ""),
        (None, ""),
    ],
)
def test_a_rejected_row_of_today_names_who_reviewed_it_and_their_comments(comments: Any, said: str) -> None:
    details = of_today(
        "REJECTED",
        currentOwners=[{"name": "Ann"}, {"name": "Cleo"}],
        reviewedBy={"type": "IDENTITY", "id": "c1", "name": "Cleo"},
        comment=None,
        approverComments=comments,
    )
    found = read(row(state="REJECTED", approvalDetails=[of_today("APPROVED", comment="fine"), details]))
    assert (found.who, found.said, found.since) == ("Cleo", said, at(3))


def test_a_comment_of_today_may_still_be_the_approvals_own() -> None:
    details = of_today("REJECTED", reviewedBy=[{"name": "Cleo"}], comment="not needed", approverComments=None)
    found = read(row(state="REJECTED", approvalDetails=[details]))
    assert (found.who, found.said) == ("Cleo", "not needed")


def test_of_several_owners_nobody_is_said_to_have_rejected_a_row_that_does_not_tell() -> None:
    owners = [{"name": "Ann"}, {"name": "Bob"}]
    group = {"type": "GOVERNANCE_GROUP", "name": "Finance"}
    for original, who in ((None, ""), ({"type": "IDENTITY", "name": "Olaf"}, ""), (group, "Finance")):
        details = of_today("REJECTED", currentOwners=owners, originalOwner=original)
        assert read(row(state="REJECTED", approvalDetails=[details])).who == who
    alone = of_today("REJECTED", currentOwners=owners[1:])
    assert read(row(state="REJECTED", approvalDetails=[alone])).who == "Bob"


def test_an_unknown_state_is_kept_and_counts_as_open() -> None:
    found = read(row(state="WAITING_FOR_THE_MOON"))
    assert found.state == "WAITING_FOR_THE_MOON"
    assert tenant_outcome(found.state) is TenantOutcome.OPEN


NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
EPOCH = int(NOON.timestamp())


@pytest.mark.parametrize(
    "created",
    [
        pytest.param(MINUTE[0], id="RFC 3339"),
        pytest.param("2026-11-26T14:00:00+02:00", id="another zone"),
        pytest.param(EPOCH, id="seconds"),
        pytest.param(float(EPOCH), id="seconds with a fraction"),
        pytest.param(EPOCH * 1000, id="milliseconds"),
        pytest.param(str(EPOCH), id="seconds as text"),
        pytest.param(str(EPOCH * 1000), id="milliseconds as text"),
    ],
)
def test_a_time_is_read_however_it_is_written(created: Any) -> None:
    found = read(row(created=created, modified=created))
    assert (found.created, found.since) == (NOON, NOON)


@pytest.mark.parametrize("created", [None, "", "yesterday", 0, -1, True, 10**30, float("nan"), "9" * 400, [EPOCH], {}])
def test_a_text_that_is_no_time_counts_as_no_time(created: Any) -> None:
    assert read(row(created=created)).created is None


def test_a_row_without_a_time_is_read() -> None:
    without = row()
    del without["created"]
    assert (read(without).created, read(without).item) == (None, "r1")


SENT = {REQUEST_ID_KEY: "0123456789ab-7-tag", ITEM_ID_KEY: "r1", ATTEMPT_ID_KEY: "4f2a"}


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param(SENT, id="as sent"),
        pytest.param({key.lower(): value for key, value in SENT.items()}, id="small keys"),
        pytest.param({key.upper(): value for key, value in SENT.items()}, id="keys in capitals"),
        pytest.param({key: value.upper() for key, value in SENT.items()}, id="values in capitals"),
        pytest.param({key.upper(): value.upper() for key, value in SENT.items()}, id="everything in capitals"),
        pytest.param({**SENT, "source": "workflow"}, id="more keys"),
    ],
)
def test_our_ids_are_recognised_in_any_letter_case(metadata: dict[str, str]) -> None:
    found = read(row(clientMetadata=metadata))
    ids = request_id(found), named_item(found).lower(), attempt_id(found)
    assert ids == ("0123456789ab-7-tag", "r1", "4f2a")


@pytest.mark.parametrize("nothing", [None, {}, [], "accessBatchRequest", 7])
def test_metadata_that_is_none_makes_a_bare_row(nothing: Any) -> None:
    found = read(row(clientMetadata=nothing))
    assert (is_bare(found), request_id(found), named_item(found), attempt_id(found)) == (True, "", "", "")


@pytest.mark.parametrize("other", [{"source": "workflow"}, {REQUEST_ID_KEY: None}, {REQUEST_ID_KEY: {"nested": "7"}}])
def test_metadata_that_was_replaced_is_neither_ours_nor_missing(other: Any) -> None:
    found = read(row(clientMetadata=other))
    assert (is_bare(found), request_id(found), named_item(found)) == (False, "", "")


@pytest.mark.parametrize("key", ["accessRequestId", "accountActivityItemId"])
def test_an_id_that_is_the_requests_or_the_activitys_is_not_the_items(key: str) -> None:
    of_request = read(row(**{"id": "a7", key: "a7"}))
    assert (of_request.item, listed_item(of_request)) == ("a7", "")
    ours = read(row(**{"id": "a7", key: "a7"}, clientMetadata=SENT))
    assert (named_item(ours), listed_item(ours)) == ("r1", "")


_TEXT = st.text(st.sampled_from('az AZ09.-é中\u200b\u202e\x1b\x00\x85\n\t"\\\ud800'), max_size=400)
anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["name", "status", "text"]), inner),
    max_leaves=6,
)
approvals = st.lists(
    st.fixed_dictionaries(
        {"status": st.sampled_from(["PENDING", "REJECTED"])},
        optional=dict.fromkeys(
            ["currentOwners", "currentOwner", "reviewedBy", "approverComments", "comment"], anything
        ),
    ),
    max_size=2,
)


@given(
    fields=st.dictionaries(
        st.sampled_from(sorted(row(approvalDetails=0, errorMessages=0, clientMetadata=0))), anything
    ),
    approvals=st.none() | approvals,
)
def test_any_row_can_be_shown_on_one_line(fields: Any, approvals: Any) -> None:
    found = read(row(**fields) | ({} if approvals is None else {"approvalDetails": approvals}))
    if found is not None:
        for text in (found.who, found.said, found.state, found.item, found.item_name, found.requester):
            assert len(text) <= MOST_TEXT
            assert text == "" or text.isprintable()
