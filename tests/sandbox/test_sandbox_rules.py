"""The rules of a request body, each broken alone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.api.dialects import DIALECTS, ItemType
from batch.sandbox.rules import first_broken_rule

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
BETA, V2026 = DIALECTS["beta"], DIALECTS["v2026"]
LIMITS = BETA.limits
LATER, MUCH_LATER = "2026-06-30T00:00:00Z", "2027-06-30T00:00:00.000Z"


def item(**fields: object) -> dict[str, Any]:
    return {"type": "ROLE", "id": "r1"} | fields


def grant(*items: object, **fields: object) -> dict[str, Any]:
    return {"requestedFor": ["i1"], "requestedItems": list(items) or [item()]} | fields


def revoke(*items: object, **fields: object) -> dict[str, Any]:
    return grant(*(items or [item(comment="leaver")]), requestType="REVOKE_ACCESS") | fields


@pytest.mark.parametrize(
    "body",
    [
        grant(),
        grant(requestType=None),
        grant(requestType="GRANT_ACCESS"),
        grant(*(item(type=kind, id=kind) for kind in ItemType)),
        grant(item(comment="why", clientMetadata={"k": "v", "empty": ""}, removeDate=LATER), clientMetadata={"a": "b"}),
        grant(requestedFor=[f"i{n}" for n in range(LIMITS.recipients)]),
        grant(*(item(id=f"r{n}", type="ENTITLEMENT") for n in range(LIMITS.items))),
        revoke(),
        revoke(*(item(id=f"r{n}", comment="leaver") for n in range(LIMITS.revoke_items))),
        revoke(item(comment="leaver", removeDate=LATER)),
        revoke(item(type="ENTITLEMENT", comment="leaver")),
    ],
)
def test_a_valid_body_breaks_no_rule_in_any_dialect(body: object) -> None:
    assert {first_broken_rule(body, NOW, dialect) for dialect in DIALECTS.values()} == {None}


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ([], "must be a JSON object"),
        (None, "must be a JSON object"),
        ("text", "must be a JSON object"),
        (grant(requestedFroms=[]), "unknown field 'requestedFroms'"),
        (grant(requestType="MODIFY_ACCESS"), "requestType must be one of GRANT_ACCESS, REVOKE_ACCESS"),
        (grant(requestType=""), "requestType"),
        (grant(requestType=["GRANT_ACCESS"]), "requestType"),
        (grant(clientMetadata=None), "clientMetadata of the request"),
        (grant(clientMetadata={"k": 1}), "clientMetadata of the request"),
        (grant(clientMetadata=""), "clientMetadata of the request"),
        ({"requestedItems": [item()]}, "requestedFor must be an array"),
        (grant(requestedFor="i1"), "requestedFor must be an array"),
        (grant(requestedFor=[]), "1 to 10 identities, not 0"),
        (grant(requestedFor=[""]), "non-empty strings"),
        (grant(requestedFor=[7]), "non-empty strings"),
        (grant(requestedFor=[["i1"]]), "non-empty strings"),
        (grant(requestedFor=["i1", "i2", "i1"]), "an identity twice"),
        (grant(requestedFor=[f"i{n}" for n in range(LIMITS.recipients + 1)]), "1 to 10 identities, not 11"),
        ({"requestedFor": ["i1"]}, "requestedItems must be an array"),
        (grant(requestedItems={}), "requestedItems must be an array"),
        (grant(requestedItems=[]), "1 to 25 items, not 0"),
        (grant(*(item(id=f"r{n}") for n in range(LIMITS.items + 1))), "1 to 25 items, not 26"),
        (grant("r1"), "requestedItems[0] must be a JSON object"),
        (grant(item(), item(name="Admin")), "requestedItems[1] has an unknown field 'name'"),
        (grant({"id": "r1"}), "requestedItems[0].type"),
        (grant(item(type="GROUP")), "requestedItems[0].type must be one of"),
        (grant(item(type=["ROLE"])), "requestedItems[0].type"),
        (grant({"type": "ROLE"}), "requestedItems[0].id"),
        (grant(item(id="")), "requestedItems[0].id"),
        (grant(item(comment="")), "requestedItems[0].comment must be a non-empty string or absent"),
        (grant(item(comment=None)), "requestedItems[0].comment"),
        (grant(item(clientMetadata=[])), "clientMetadata of requestedItems[0]"),
        (grant(item(clientMetadata={"k": None})), "clientMetadata of requestedItems[0]"),
        (grant(item(removeDate="")), "requestedItems[0].removeDate must be a date and time in UTC"),
        (grant(item(removeDate=None)), "requestedItems[0].removeDate"),
        (grant(item(removeDate="2027-06-30")), "requestedItems[0].removeDate"),
        (grant(item(removeDate="2027-06-30T00:00:00+00:00")), "requestedItems[0].removeDate"),
        (grant(item(removeDate="2027-06-30T00:00:00")), "requestedItems[0].removeDate"),
        (grant(item(removeDate="2027-02-30T00:00:00Z")), "requestedItems[0].removeDate"),
        (grant(item(removeDate="2026-03-01T12:00:00Z")), "removeDate must lie in the future"),
        (revoke(requestedFor=["i1", "i2"]), "exactly one identity"),
        (revoke(item()), "requestedItems[0].comment is required"),
        (revoke(item(comment="x"), item(id="r2")), "requestedItems[1].comment is required"),
        (
            revoke(item(type="ENTITLEMENT", id="e1", comment="x"), item(type="ENTITLEMENT", id="e2", comment="x")),
            "at most 1 entitlement, not 2",
        ),
        (revoke(item(type="ENTITLEMENT", id="e1", comment="x"), item(comment="x")), "must hold nothing else"),
        (
            revoke(*(item(id=f"r{n}", comment="x") for n in range(LIMITS.revoke_items + 1))),
            "1 to 25 items, not 26",
        ),
    ],
)
def test_every_dialect_names_a_broken_rule(body: object, cause: str) -> None:
    for dialect in DIALECTS.values():
        assert cause in (first_broken_rule(body, NOW, dialect) or "")


@pytest.mark.parametrize(
    ("body", "in_beta"),
    [
        (grant(item(startDate=LATER)), "unknown field 'startDate'"),
        (grant(item(startDate=LATER, removeDate=MUCH_LATER)), "unknown field 'startDate'"),
        (grant(item(type="ENTITLEMENT", removeDate=LATER)), "removeDate is not supported for entitlements"),
        (revoke(item(type="ENTITLEMENT", removeDate=LATER, comment="x")), "not supported for entitlements"),
    ],
)
def test_later_dialects_accept_dates_that_beta_refuses(body: object, in_beta: str) -> None:
    assert in_beta in (first_broken_rule(body, NOW, BETA) or "")
    assert first_broken_rule(body, NOW, V2026) is None


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        (revoke(item(startDate=LATER, comment="x")), "startDate must be absent"),
        (grant(item(startDate="2020-01-01T00:00:00Z")), "startDate must lie in the future"),
        (grant(item(startDate="")), "startDate must be a date"),
        (grant(item(startDate=MUCH_LATER, removeDate=LATER)), "removeDate must lie after startDate"),
    ],
)
def test_every_rule_of_start_dates_is_checked(body: object, cause: str) -> None:
    assert cause in (first_broken_rule(body, NOW, V2026) or "")


def entry(identity: object = "i1", *items: object, **fields: object) -> dict[str, Any]:
    return {"identityId": identity, "requestedItems": list(items) or [item()]} | fields


def nested(*entries: object, **fields: object) -> dict[str, Any]:
    return {"requestType": "GRANT_ACCESS", "requestedForWithRequestedItems": list(entries)} | fields


@pytest.mark.parametrize(
    "body",
    [
        nested(entry()),
        nested(*(entry(f"i{n}", item(comment=f"for i{n}", removeDate=LATER)) for n in range(LIMITS.recipients))),
        nested(entry("i1", *(item(id=f"r{n}") for n in range(LIMITS.items - 1))), entry("i2", identityType="HUMAN")),
        grant(requestedForWithRequestedItems=None),
    ],
)
def test_only_some_dialects_have_the_nested_form(body: object) -> None:
    for dialect in DIALECTS.values():
        unknown = None if dialect.nested else "unknown field 'requestedForWithRequestedItems'"
        assert (unknown or "None") in str(first_broken_rule(body, NOW, dialect))


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        (nested(entry(), requestedFor=["i1"]), "requestedFor must be absent"),
        (nested(entry(), requestedItems=[]), "requestedItems must be absent"),
        (nested(entry("i1", item(comment="x")), requestType="REVOKE_ACCESS"), "absent when access is revoked"),
        (nested(requestedForWithRequestedItems={}), "must be an array"),
        (nested(), "1 to 10 identities, not 0"),
        (nested(*(entry(f"i{n}") for n in range(LIMITS.recipients + 1))), "1 to 10 identities, not 11"),
        (nested("i1"), "[0] must be a JSON object"),
        (nested(entry(), entry("i2", account="x")), "[1] has an unknown field 'account'"),
        (nested(entry("")), "[0].identityId must be"),
        (nested(entry(identityType="MACHINE")), "[0].identityType must be HUMAN"),
        (nested(entry(requestedItems=None)), "[0].requestedItems must be an array"),
        (nested(entry(requestedItems=[])), "[0].requestedItems must hold 1 to 25 items, not 0"),
        (nested(entry("i1", item(), item(comment=""))), "[0].requestedItems[1].comment"),
        (nested(entry(), entry()), "an identity twice"),
        (nested(*(entry(f"i{n}", *(item(id=f"r{m}") for m in range(13))) for n in range(2))), "in total, not 26"),
    ],
)
def test_every_rule_of_the_nested_form_is_checked(body: object, cause: str) -> None:
    assert cause in (first_broken_rule(body, NOW, DIALECTS["v1"]) or "")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["requestedFor", "requestedItems", "requestType", "type", "id", "comment", "removeDate", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(body=json_values, requested_for=json_values, item_fields=json_values)
def test_no_json_value_makes_the_check_fail(body: object, requested_for: object, item_fields: object) -> None:
    for candidate in (body, grant(requestedFor=requested_for), grant(item_fields), revoke(item_fields)):
        first_broken_rule(candidate, NOW, V2026)
