"""A row of the status list: who decided, with which comment and when; any row can be read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.api.tenant_outcome import TenantOutcome, tenant_outcome
from batch.tenant.status_row import MOST_TEXT, status_row

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
    return status_row(raw, lambda text: text.replace("hush", "[secret]"))


def approval(status: str, name: str, minute: int, **more: Any) -> dict[str, Any]:
    return {"status": status, "currentOwner": {"type": "IDENTITY", "name": name}, "modified": MINUTE[minute], **more}


def at(minute: int) -> datetime:
    return datetime(2026, 11, 26, 12, minute, tzinfo=UTC)


def test_a_pending_row_names_its_approvers() -> None:
    found = read(row(approvalDetails=[approval("APPROVED", "Ann", 2), approval("PENDING", "Bob", 3)]))
    assert (found.who, found.said, found.since) == ("Bob", "", at(3))


def test_a_rejected_row_names_who_rejected_it_and_why() -> None:
    details = [approval("APPROVED", "Ann", 2), approval("REJECTED", "Bob", 3, comment="not\n needed, hush")]
    found = read(row(state="REJECTED", approvalDetails=details))
    assert (found.who, found.said, found.since) == ("Bob", "not needed, [secret]", at(3))


@pytest.mark.parametrize(
    "field", ["id", "type", "requestType", "state", "name", "accessRequestId", "accountActivityItemId", "removeDate"]
)
def test_a_secret_is_hidden_in_every_field(field: str) -> None:
    assert "hush" not in repr(read(row(**{field: "hush"})))


def test_a_secret_is_hidden_in_an_identity_and_in_metadata() -> None:
    assert "hush" not in repr(read(row(requestedFor={"id": "hush"}, clientMetadata={"a": "hush"})))


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


def test_an_unknown_state_is_kept_and_counts_as_open() -> None:
    found = read(row(state="WAITING_FOR_THE_MOON"))
    assert found.state == "WAITING_FOR_THE_MOON"
    assert tenant_outcome(found.state) is TenantOutcome.OPEN


_TEXT = st.text(st.sampled_from('az AZ09.-é中\u200b\u202e\x1b\x00\x85\n\t"\\\ud800'), max_size=400)
anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["name", "status", "text"]), inner),
    max_leaves=6,
)


@given(
    fields=st.dictionaries(st.sampled_from(sorted(row(approvalDetails=0, errorMessages=0, clientMetadata=0))), anything)
)
def test_any_row_can_be_shown_on_one_line(fields: Any) -> None:
    found = read(row(**fields))
    if found is not None:
        for text in (found.who, found.said, found.state, found.item, found.item_name, found.requester):
            assert len(text) <= MOST_TEXT
            assert text == "" or text.isprintable()
