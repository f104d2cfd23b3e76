"""What people read of what the tenant was asked before planning."""

from __future__ import annotations

from typing import Any

from batch.api.dialects import DIALECTS, Rate
from batch.model import PrecheckResult
from batch.report.precheck import describe_cost, describe_precheck, describe_unknown

RATE = Rate(requests=100, seconds=10.0)


def said(**facts: Any) -> str:
    usual: dict[str, Any] = {"calls": 3, "in_progress": 2, "held": 1, "age": 0.1, "unclear": 0}
    return " ".join(describe_precheck(PrecheckResult(**{**usual, **facts})))


def test_the_age_of_an_answer_is_told_once_it_matters() -> None:
    assert said() == (
        "The tenant was asked in 3 calls: of what is wanted, 2 changes are in progress and 1 change is held already."
    )
    assert "asked in 3 calls (some of it up to 3 min ago):" in said(age=124.2)


def test_where_there_is_nothing_it_says_so() -> None:
    assert said(in_progress=0, held=0).endswith("nothing of what is wanted is in progress or held already.")
    assert said(in_progress=None, held=0).endswith("nothing of what is wanted is held already.")


def test_what_is_not_known_is_not_called_none() -> None:
    assert "held" not in said(held=None)
    assert "in progress" not in said(in_progress=None)
    assert said(held=None, in_progress=None) == ""
    assert list(describe_precheck(None)) == []


def test_rows_that_nobody_understands_are_told() -> None:
    assert "4 rows of what is in progress for these people are of items whose ids the tenant" in said(unclear=4)


def test_asking_is_announced_where_it_takes_long_and_a_way_out_is_named_where_it_is_dear() -> None:
    assert list(describe_cost(19, RATE, dear=False)) == []
    (line,) = describe_cost(1_200, RATE, dear=False)
    assert "1,200 calls, at least 2 min." in line
    (line,) = describe_cost(5_000, RATE, dear=True)
    assert "--check-tenant never leaves it out" in line


def test_a_list_that_an_api_version_does_not_have_is_not_asked_for() -> None:
    (line,) = describe_unknown(DIALECTS["v3"], closed_list="no", closed_index="")
    assert "idn:access-request-status:read" in line
    assert "administration" not in line
