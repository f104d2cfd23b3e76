"""Existing requests in the answer to a submit: only well-formed entries count."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from batch.model import Existing
from batch.tenant.answers import from_response
from batch.tenant.existing import MOST_EXISTING

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ROLE = {"type": "ROLE", "id": "r1"}
ENTRY = {"requestedFor": "i1", "requestedItemsDetails": [ROLE], "attributesHash": 1, "accessRequestIds": ["a1", "a2"]}
FOUND = Existing(identity="i1", item_type="ROLE", item="r1", access_request="a1")


def existing(body: Any, status: int = 202) -> tuple[Existing, ...]:
    return from_response(status, httpx.Headers(), json.dumps(body).encode(), now=NOW).answer.existing


def test_each_item_of_each_entry_is_a_change_with_the_access_request_that_has_it() -> None:
    second = {"requestedFor": "i2", "requestedItemsDetails": [ROLE, {"type": "ENTITLEMENT", "id": "e1"}]}
    assert existing({"newRequests": [], "existingRequests": [ENTRY, second]}) == (
        FOUND,
        Existing(identity="i2", item_type="ROLE", item="r1"),
        Existing(identity="i2", item_type="ENTITLEMENT", item="e1"),
    )


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"existingRequests": None},
        {"existingRequests": []},
        {"existingRequests": "i1"},
        {"existingRequests": [None, "x", {}, {"requestedFor": "i1"}]},
        {"existingRequests": [{**ENTRY, "requestedFor": None}]},
        {"existingRequests": [{**ENTRY, "requestedFor": "i\n1"}]},
        {"existingRequests": [{**ENTRY, "requestedItemsDetails": [{"id": "r1"}, {"type": "ROLE", "id": "x" * 300}]}]},
    ],
)
def test_empty_and_malformed_entries_name_no_change(body: Any) -> None:
    assert existing(body) == ()


def test_good_entries_beside_bad_ones_and_unknown_fields_count() -> None:
    assert existing({"existingRequests": [7, {**ENTRY, "colour": "red"}], "more": 1}) == (FOUND,)
    assert existing({"existingRequests": [{**ENTRY, "accessRequestIds": [None, "a1"]}]}) == (FOUND,)


def test_only_an_acceptance_lists_existing_requests() -> None:
    assert existing({"existingRequests": [ENTRY]}, status=400) == ()


def test_an_endless_list_is_cut() -> None:
    assert len(existing({"existingRequests": [ENTRY] * (MOST_EXISTING + 5)})) == MOST_EXISTING
