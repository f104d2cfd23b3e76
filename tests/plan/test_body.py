"""Bodies leave out empty fields, carry our ids in every item, and can be read by the vendor's SDK."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from datetime import datetime
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings

from batch.api.dialects import ATTEMPT_ID_KEY, ITEM_ID_KEY, REQUEST_ID_KEY, ItemType, Limits, Operation
from batch.errors import LedgerChangedError
from batch.model import Request, RequestItem
from batch.plan import plan
from batch.plan.body import body_of, encode, fingerprint, make_bodies, why_not_together
from tests.clocks import new_id
from tests.plan.changes import bodies_of, changes_frame, requests_of, wanted_changes

BARE = RequestItem(type=ItemType.ROLE, id="r1")
FULL = RequestItem(
    type=ItemType.ACCESS_PROFILE,
    id="a1",
    comment='naïve "quoted" 🎉',
    start_date="2027-01-01T00:00:00Z",
    remove_date="2027-01-31T00:00:00Z",
    metadata=MappingProxyType({"ticket": "T-1", "é": "ü"}),
)
REQUEST = Request(number=7, run="run", operation=Operation.GRANT, recipients=("p2", "p1"), items=(BARE, FULL))


def test_a_body_has_exactly_the_given_fields() -> None:
    assert body_of(REQUEST) == {
        "requestType": "GRANT_ACCESS",
        "requestedFor": ["p2", "p1"],
        "requestedItems": [
            {"type": "ROLE", "id": "r1", "clientMetadata": {"accessBatchRequest": "run-7", "accessBatchItem": "r1"}},
            {
                "type": "ACCESS_PROFILE",
                "id": "a1",
                "comment": 'naïve "quoted" 🎉',
                "startDate": "2027-01-01T00:00:00Z",
                "removeDate": "2027-01-31T00:00:00Z",
                "clientMetadata": {"ticket": "T-1", "é": "ü", "accessBatchRequest": "run-7", "accessBatchItem": "a1"},
            },
        ],
    }


def test_an_end_date_is_removed_by_a_grant_without_one() -> None:
    (sent,) = body_of(dataclasses.replace(REQUEST, items=(dataclasses.replace(BARE, remove_date="none"),)))[
        "requestedItems"
    ]
    assert "removeDate" not in sent


def test_a_single_identity_is_sent_as_a_list() -> None:
    revoke = dataclasses.replace(REQUEST, operation=Operation.REVOKE, recipients=("p1",))
    assert body_of(revoke)["requestedFor"] == ["p1"]
    assert body_of(revoke)["requestType"] == "REVOKE_ACCESS"


@pytest.mark.parametrize(
    ("field", "name"), [("comment", "comment"), ("start_date", "startDate"), ("remove_date", "removeDate")]
)
def test_an_empty_field_is_left_out_and_the_others_stay(field: str, name: str) -> None:
    without: dict[str, Any] = {field: ""}
    item = dataclasses.replace(FULL, **without)
    (sent,) = body_of(dataclasses.replace(REQUEST, items=(item,)))["requestedItems"]
    assert set(sent) == {"type", "id", "comment", "startDate", "removeDate", "clientMetadata"} - {name}


def test_our_own_ids_win_over_metadata_of_the_same_name() -> None:
    item = dataclasses.replace(BARE, metadata={REQUEST_ID_KEY: "forged", ITEM_ID_KEY: "forged"})
    (sent,) = body_of(dataclasses.replace(REQUEST, items=(item,)))["requestedItems"]
    assert sent["clientMetadata"] == {"accessBatchRequest": "run-7", "accessBatchItem": "r1"}


def test_every_item_of_a_body_has_the_id_of_its_attempt_and_each_body_one_of_its_own() -> None:
    nested_requests = (dataclasses.replace(one, within=NESTED[0].number) for one in NESTED)
    bodies = make_bodies([REQUEST, *nested_requests], new_id)
    sent = [json.loads(body.content) for body in bodies]
    flat, nested = sent[0]["requestedItems"], sent[1]["requestedForWithRequestedItems"]
    assert {item["clientMetadata"][ATTEMPT_ID_KEY] for item in flat} == {bodies[0].attempt}
    carried = {item["clientMetadata"][ATTEMPT_ID_KEY] for entry in nested for item in entry["requestedItems"]}
    assert carried == {bodies[1].attempt} != {bodies[0].attempt}


def test_a_request_with_a_tag_has_it_in_its_id() -> None:
    tagged = dataclasses.replace(REQUEST, tag="k7q2m")
    (sent, _) = body_of(tagged)["requestedItems"]
    assert sent["clientMetadata"][REQUEST_ID_KEY] == tagged.id == "run-7-k7q2m"


def test_a_request_counts_the_changes_of_its_product() -> None:
    assert (REQUEST.changes, REQUEST.id) == (4, "run-7")


def test_the_bytes_are_compact_utf_8_and_the_same_each_time() -> None:
    content = encode(body_of(REQUEST))
    assert content == encode(body_of(dataclasses.replace(REQUEST)))
    assert 'naïve \\"quoted\\" 🎉'.encode() in content
    assert b'"requestedFor":["p2","p1"]' in content
    assert json.loads(content) == body_of(REQUEST)


def test_the_fingerprint_is_the_sha_256_of_the_bytes() -> None:
    assert fingerprint(b"abc") == hashlib.sha256(b"abc").hexdigest()
    assert fingerprint(encode(body_of(REQUEST))) != fingerprint(encode(body_of(dataclasses.replace(REQUEST, number=8))))


@settings(max_examples=40)
@given(wanted=wanted_changes())
def test_every_item_carries_its_id_and_its_requests_id_beside_the_users_metadata(
    wanted: list[dict[str, str]],
) -> None:
    for request in requests_of(plan(changes_frame(wanted), Limits()).changes):
        for item, sent in zip(request.items, body_of(request)["requestedItems"], strict=True):
            ours = {"accessBatchRequest": f"this-{request.number}", "accessBatchItem": item.id}
            assert sent["clientMetadata"] == {**item.metadata, **ours}
            assert all(sent.values())


@pytest.mark.thorough
@settings(max_examples=40)
@given(wanted=wanted_changes())
def test_every_body_parses_in_the_vendors_own_model_and_comes_back_unchanged(wanted: list[dict[str, str]]) -> None:
    pytest.importorskip("sailpoint")
    from sailpoint.access_requests.models.access_request import AccessRequest  # noqa: PLC0415 - only if the SDK is installed

    for body in [*bodies_of(plan(changes_frame(wanted), Limits()).changes), body_of(REQUEST)]:
        parsed = AccessRequest.from_json(json.dumps(body))
        assert parsed is not None
        again = parsed.to_dict()
        assert again.pop("requestedForWithRequestedItems", None) is None
        for item, wanted_item in zip(again["requestedItems"], body["requestedItems"], strict=True):
            for name in ("startDate", "removeDate"):
                if name in item:
                    item[name] = f"{item[name]:%Y-%m-%dT%H:%M:%SZ}"
            assert {name: value for name, value in item.items() if value is not None} == wanted_item
        assert {**again, "requestedItems": body["requestedItems"]} == body


NESTED = (
    dataclasses.replace(REQUEST, number=8, recipients=("p1", "p2"), items=(BARE,)),
    dataclasses.replace(REQUEST, number=9, recipients=("p1",), items=(FULL,)),
)


def test_several_requests_in_one_body_give_each_identity_its_own_items_once() -> None:
    body = body_of(*NESTED)
    assert set(body) == {"requestType", "requestedForWithRequestedItems"}
    entries = {
        entry["identityId"]: [(item["id"], item["clientMetadata"][REQUEST_ID_KEY]) for item in entry["requestedItems"]]
        for entry in body["requestedForWithRequestedItems"]
    }
    assert entries == {"p1": [("r1", "run-8"), ("a1", "run-9")], "p2": [("r1", "run-8")]}
    assert len(entries) == len(body["requestedForWithRequestedItems"])


def test_a_nested_body_parses_in_the_vendors_own_model_and_comes_back_unchanged() -> None:
    pytest.importorskip("sailpoint")
    from sailpoint.access_requests.models.access_request import AccessRequest  # noqa: PLC0415 - only if the SDK is installed

    body = body_of(*NESTED)
    parsed = AccessRequest.from_json(json.dumps(body))
    assert parsed is not None
    again = {name: value for name, value in parsed.to_dict().items() if value is not None}
    for entry in again["requestedForWithRequestedItems"]:
        assert entry.pop("identityType", "HUMAN") == "HUMAN"
        for item in entry["requestedItems"]:
            for name, value in [*item.items()]:
                if value is None:
                    del item[name]
                elif isinstance(value, datetime):
                    item[name] = f"{value:%Y-%m-%dT%H:%M:%SZ}"
    assert again == body


def test_requests_are_grouped_by_the_body_that_they_share() -> None:
    single, first, second = (
        dataclasses.replace(REQUEST, number=number, recipients=(f"p{number}",)) for number in (1, 2, 3)
    )
    bodies = make_bodies([first, single, dataclasses.replace(second, within=2)], new_id)
    assert [body.requests for body in bodies] == [
        (first, dataclasses.replace(second, within=2)),
        (single,),
    ]


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (dataclasses.replace(REQUEST, recipients=("p9",), operation=Operation.REVOKE), "only grants can share one"),
        (dataclasses.replace(REQUEST, recipients=("p9",), run="another"), "they are of several runs"),
        (dataclasses.replace(REQUEST, recipients=("p1", "p9"), items=(BARE,)), "they want the same"),
        (dataclasses.replace(REQUEST, recipients=tuple(f"q{i}" for i in range(10))), "they are too large for one"),
        (
            dataclasses.replace(REQUEST, recipients=tuple(f"q{i}" for i in range(12)), items=(BARE,)),
            "they are too large for one",
        ),
    ],
)
def test_only_grants_of_a_run_share_a_body_that_want_different_things_and_fit_into_it(other: Request, why: str) -> None:
    together = [NESTED[0], dataclasses.replace(other, number=9, within=8)]
    assert why_not_together(together) == why
    with pytest.raises(LedgerChangedError, match=f"request 9 was put into a body with others, but {why}"):
        make_bodies([*together, dataclasses.replace(REQUEST, number=10)], new_id)
    assert why_not_together(NESTED) == ""
