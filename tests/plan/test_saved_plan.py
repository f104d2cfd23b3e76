"""A saved plan is read as it was written, and any other file is refused."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.errors import PlanRefusedError
from batch.plan.saved import (
    APPROVER,
    PLANNER,
    SAVED_COLUMNS,
    Circumstances,
    PlanSignature,
    SavedPlan,
    from_bytes,
    is_saved_plan,
    signed_text,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def about(**more: object) -> Circumstances:
    values: dict[str, object] = {
        "tenant": "acme",
        "address": "https://acme.api.identitynow.com",
        "ledger": "0" * 32,
        "api": "beta",
        "effort": "normal",
        "planned_at": "2026-11-29T12:00:00Z",
        "planned_by": "anna on host",
        "version": "1.0",
        "inputs": ["wanted.csv"],
        "input_digest": "1" * 64,
        "lower_bound": 1,
        "envelopes": [],
        "skipped": [["a.csv", 2, "already_held"]],
        "options": {"resubmit": [], "ignore": [], "strict": False},
        "known": {"rows": {"read": 5}},
    }
    return Circumstances(**(values | more))  # type: ignore[arg-type]


def saved(*people: str, **more: str) -> SavedPlan:
    texts = {name: "" for name, kind in SAVED_COLUMNS.items() if kind == pl.String}
    rows = [
        {**texts, "operation": "GRANT", "item_type": "ROLE", "item_id": "r", "identity_id": one, **more}
        | {"request": 0, "line": number + 2}
        for number, one in enumerate(people or ("a", "b"))
    ]
    return SavedPlan(circumstances=about(), changes=pl.DataFrame(rows, schema=SAVED_COLUMNS))


SIGNED = saved().signed(
    PlanSignature(role=PLANNER, at="2026-11-29T12:00:00Z", signature=base64.b64encode(b"by anna").decode())
)


@given(TEXT, TEXT, st.lists(TEXT, min_size=1, max_size=3))
def test_a_plan_is_read_as_it_was_written(comment: str, name: str, people: list[str]) -> None:
    plan = saved(*people, comment=comment, person=name)
    again = from_bytes(plan.to_bytes(), "load.plan")
    assert again.changes.equals(plan.changes)
    assert again.circumstances == plan.circumstances
    assert again.digest == plan.digest


def test_a_change_of_any_byte_is_refused() -> None:
    data = SIGNED.to_bytes()
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1
        with pytest.raises(PlanRefusedError):
            from_bytes(bytes(changed), "load.plan")


@pytest.mark.parametrize("cut", ["end", "middle", "added", "empty line"])
def test_a_part_of_a_plan_and_more_than_a_plan_are_refused(cut: str) -> None:
    data = SIGNED.to_bytes()
    wrong = {
        "end": data[:-1],
        "middle": data[: len(data) // 2],
        "added": data + b"\n",
        "empty line": data.replace(b"\nsha256 ", b"\n\nsha256 "),
    }[cut]
    with pytest.raises(PlanRefusedError, match="not as it was saved"):
        from_bytes(wrong, "load.plan")


def resealed(data: bytes, old: bytes, new: bytes) -> bytes:
    """The file with a change, by somebody who has computed its last line anew."""
    before = data.rpartition(b"sha256 ")[0]
    assert old in before
    before = before.replace(old, new, 1)
    return before + b"sha256 " + hashlib.sha256(before).hexdigest().encode() + b"\n"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"api":"beta"', b'"api": "beta"'),
        (b'"api":"beta"', b'"api":"beta","extra":1'),
        (b'"api":"beta",', b""),
        (b'"changes":2', b'"changes":1'),
        (b'"changes":2', b'"changes":2.0'),
        (b'"lower_bound":1', b'"lower_bound":NaN'),
        (b'["GRANT",', b"[1,"),
        (b'["GRANT",', b'["GRANT","x",'),
        (b'"2026-11-29T12:00:00Z","planned_by"', b'"yesterday","planned_by"'),
        (b'{"at":', b'{"by":'),
        (b'{"at":"2026-11-29', b'{"at":"never'),
        (b'{"at":"2026-11-29T12', b'{"at":"2026-11-29T1'),
        (b'"role":"planner"', b'"role":"chief executive"'),
        (b'"signature":"YnkgYW5uYQ=="', b'"signature":5'),
        (b"\n[", b"\r\n["),
        (b"acme", b"\xff"),
    ],
)
def test_another_spelling_is_refused_even_if_its_sum_fits(old: bytes, new: bytes) -> None:
    with pytest.raises(PlanRefusedError, match="not as it was saved"):
        from_bytes(resealed(SIGNED.to_bytes(), old, new), "load.plan")


def test_a_plan_with_more_signatures_than_anybody_checks_is_refused() -> None:
    many = replace(SIGNED, signatures=SIGNED.signatures * 10_000)
    with pytest.raises(PlanRefusedError, match="not as it was saved"):
        from_bytes(many.to_bytes(), "load.plan")
    few = replace(SIGNED, signatures=SIGNED.signatures * 20)
    assert from_bytes(few.to_bytes(), "load.plan").signatures == few.signatures


def test_a_plan_of_another_version_says_so() -> None:
    data = SIGNED.to_bytes().replace(b"plan 1\n", b"plan 2\n")
    assert is_saved_plan(data)
    with pytest.raises(PlanRefusedError, match="another version"):
        from_bytes(data, "load.plan")


def test_a_signature_leaves_the_digest_as_it_is_and_whatever_is_sent_changes_it() -> None:
    plan = saved()
    assert SIGNED.digest == plan.digest
    others = [
        replace(plan, circumstances=about(tenant="other")),
        saved("a", "c"),
        saved("a"),
        saved(remove_date="2027-01-01T00:00:00Z"),
        saved(comment="other"),
    ]
    assert len({plan.digest, *(one.digest for one in others)}) == len(others) + 1


def test_no_signature_of_a_planner_can_stand_for_an_approval() -> None:
    at = "2026-11-29T12:00:00Z"
    assert signed_text(SIGNED.digest, PLANNER, at) != signed_text(SIGNED.digest, APPROVER, at)
    assert json.loads(signed_text(SIGNED.digest, APPROVER, at)) == {"plan": SIGNED.digest, "role": APPROVER, "at": at}
