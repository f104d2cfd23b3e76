"""The check of a plan: a good plan passes, and every kind of bad plan is stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest

from batch.api.dialects import Limits
from batch.errors import BrokenPromiseError
from batch.plan.check import check_plan
from tests.builders import change
from tests.plan.changes import changes_frame

if TYPE_CHECKING:
    from collections.abc import Sequence

Numbered = tuple[int, dict[str, str]]
LIMITS = Limits()
GOOD: list[Numbered] = [
    *((0, change(person, item)) for person in "ab" for item in ("r1", "r2")),
    *((1, change("a", item, operation="REVOKE")) for item in ("r3", "r4")),
    (2, change("a", "e1", operation="REVOKE", item_type="ENTITLEMENT")),
]


def check(planned: Sequence[Numbered], wanted: Sequence[Numbered] | None = None, limits: Limits = LIMITS) -> None:
    """Checks a plan against the wanted changes, by default its own."""
    frame = changes_frame(one for _, one in planned)
    numbers = pl.Series("request", [number for number, _ in planned], pl.Int64)
    check_plan(frame.with_columns(numbers), changes_frame(one for _, one in wanted or planned), limits)


def test_a_good_plan_passes_in_any_order() -> None:
    check(GOOD)
    check(GOOD[::-1], GOOD)


def test_an_empty_plan_passes() -> None:
    check([])


def without_comment(one: dict[str, str]) -> dict[str, str]:
    return {**one, "comment": ""}


# what is wrong, the plan, what is wanted if it is not the plan itself, and the message
CORRUPTIONS: list[tuple[str, list[Numbered], list[Numbered] | None, str]] = [
    ("an unwanted pair", [*GOOD, (0, change("c", "r1"))], GOOD, "more or fewer changes"),
    ("a pair is missing", GOOD[1:], GOOD, "more or fewer changes"),
    ("a pair is asked for twice", [*GOOD, GOOD[0]], GOOD, "more or fewer changes"),
    ("one pair in place of another", [*GOOD[:-1], (2, change("a", "e2"))], GOOD, "unwanted change"),
    ("one pair twice and another missing", [*GOOD[:-1], GOOD[0]], GOOD, "asks for a change twice"),
    (
        "one pair twice with two comments",
        [GOOD[0], (0, change("a", "r1", comment="x"))],
        None,
        "asks for a change twice",
    ),
    ("granted and revoked", [(0, change()), (1, change(operation="REVOKE"))], None, "asks for a change twice"),
    ("a revoke becomes a grant", [(0, change(comment="leaver"))], [(0, change(operation="REVOKE"))], "unwanted change"),
    ("another person", [(0, change("b"))], [(0, change("a"))], "unwanted change"),
    ("another type", [(0, change(item_type="ENTITLEMENT"))], [(0, change())], "unwanted change"),
    ("another comment", [(0, change(comment="x"))], [(0, change())], "unwanted change"),
    ("another start", [(0, change(start_date="x"))], [(0, change())], "unwanted change"),
    ("another end", [(0, change(remove_date="x"))], [(0, change())], "unwanted change"),
    ("other metadata", [(0, change(metadata="{}"))], [(0, change())], "unwanted change"),
    (
        "grants and revokes together",
        [(0, change("a")), (0, change("a", "r2", operation="REVOKE"))],
        None,
        "mixes grants",
    ),
    ("a product with a hole", [(0, change("a", "r1")), (0, change("b", "r2"))], None, "holds an unwanted pair"),
    (
        "a product with two comments on one item",
        [(0, change("a")), (0, change("b", comment="x"))],
        None,
        "unwanted pair",
    ),
    ("too many identities", [(0, change(f"p{n}")) for n in range(11)], None, "is too large"),
    ("too many items", [(0, change("a", f"r{n}")) for n in range(26)], None, "is too large"),
    ("a revoke for two", [(0, change(person, operation="REVOKE")) for person in "ab"], None, "has several identities"),
    (
        "a revoke of an entitlement and a role",
        [(0, change("a", kind, operation="REVOKE", item_type=kind)) for kind in ("ROLE", "ENTITLEMENT")],
        None,
        "mixes entitlements",
    ),
    (
        "a revoke of two entitlements",
        [(0, change("a", item, operation="REVOKE", item_type="ENTITLEMENT")) for item in ("e1", "e2")],
        None,
        "mixes entitlements",
    ),
    ("an uncommented revoke", [(0, without_comment(change(operation="REVOKE")))], None, "lacks its comment"),
    (
        "a revoke commented in part",
        [(0, without_comment(change("a", "r1", operation="REVOKE"))), (0, change("a", "r2", operation="REVOKE"))],
        None,
        "lacks its comment",
    ),
]


@pytest.mark.parametrize(
    ("planned", "wanted", "message"), [case[1:] for case in CORRUPTIONS], ids=[case[0] for case in CORRUPTIONS]
)
def test_a_corrupted_plan_is_stopped(planned: list[Numbered], wanted: list[Numbered] | None, message: str) -> None:
    with pytest.raises(BrokenPromiseError, match=message) as caught:
        check(planned, wanted)
    assert caught.value.exit_code == 1


def test_one_bad_request_among_good_ones_is_enough() -> None:
    with pytest.raises(BrokenPromiseError, match="lacks its comment"):
        check([*GOOD, (3, without_comment(change("z", operation="REVOKE")))])


def test_a_revoke_of_more_items_than_a_revoke_may_have_is_stopped() -> None:
    revoke = [(0, change("a", f"r{n}", operation="REVOKE")) for n in range(3)]
    check(revoke, limits=Limits(revoke_items=3))
    with pytest.raises(BrokenPromiseError, match="too many items"):
        check(revoke, limits=Limits(revoke_items=2))


def test_the_largest_legal_requests_pass() -> None:
    check([(0, change(f"p{person}", f"r{item}")) for person in range(10) for item in range(25)])
    check([(0, change("a", f"r{item}", operation="REVOKE")) for item in range(25)])
    check([(0, change(person, item, item_type="ENTITLEMENT")) for person in "ab" for item in ("e1", "e2")])
