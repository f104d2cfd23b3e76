"""The benchmarks measure the published files, and the product accepts every change in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.api.dialects import DIALECTS
from batch.read import read_inputs
from batch.validate.rows import CHANGE_COLUMNS, validate
from tests.benchmarks.counting_server import SECONDS, most_in_a_window
from tests.benchmarks.details import Comments, Details, changes_of, write_file
from tests.benchmarks.packing import cases
from tests.benchmarks.simple_packings import IDENTICAL_SETS, ONE_CHANGE, ONE_IDENTITY, simple_packings
from tests.benchmarks.workloads import Migration, Onboarding, Sparse
from tests.builders import change
from tests.plan.changes import NOW, changes_frame

if TYPE_CHECKING:
    from pathlib import Path

    from tests.benchmarks.packing import Case
    from tests.benchmarks.workloads import Workload

SMALL = 0.01


@pytest.mark.parametrize(
    ("workload", "pairs"), [(Onboarding(), 466_188), (Migration(), 1_177_213), (Sparse(), 300_232)]
)
def test_the_published_workloads_have_the_published_number_of_changes(workload: Workload, pairs: int) -> None:
    assert len(workload.pairs()) == pairs


@pytest.mark.parametrize("case", cases(SMALL), ids=lambda case: case.name)
def test_a_file_is_always_the_same_and_has_no_repeats(case: Case) -> None:
    first, second = (changes_of(case.workload.pairs(), case.details) for _ in range(2))
    assert first.equals(second)
    assert not first.select("identity_id", "item_id").is_duplicated().any()
    assert first.height > 1_000


def test_another_seed_makes_another_file() -> None:
    first, second = (changes_of(Onboarding(scale=SMALL, seed=seed).pairs()) for seed in (1, 2))
    assert not first.equals(second)


@pytest.mark.parametrize("case", cases(SMALL), ids=lambda case: case.name)
def test_the_product_reads_every_row_as_the_intended_change(case: Case, tmp_path: Path) -> None:
    intended = changes_of(case.workload.pairs(), case.details)
    write_file(intended, tmp_path / "in.csv")
    checked = validate(read_inputs([str(tmp_path / "in.csv")]).rows, dialect=DIALECTS["beta"], now=NOW)
    assert checked.rejected.is_empty()
    assert checked.changes.select(CHANGE_COLUMNS).equals(intended)


def test_a_ticket_covers_a_fixed_number_of_people() -> None:
    pairs = Onboarding(scale=SMALL).pairs()
    changes = changes_of(pairs, Details(comments=Comments.TICKET, people_per_ticket=50))
    people = changes.select("comment", "identity_id").unique().group_by("comment").len()
    assert people["len"].to_list() == [50] * 4


def test_the_simple_packings_count_the_requests_of_simple_programs() -> None:
    same = [change(f"p{person:02}", f"r{item:02}") for person in range(11) for item in range(26)]
    other = [change("z", "r1", comment="a reason"), change("z", "r2", operation="REVOKE")]
    entitlements = [change("z", f"e{number}", operation="REVOKE", item_type="ENTITLEMENT") for number in range(2)]
    assert simple_packings(changes_frame([*same, *other, *entitlements])) == {
        ONE_CHANGE: 11 * 26 + 4,
        ONE_IDENTITY: 11 * 2 + 1 + 3,
        IDENTICAL_SETS: 2 * 2 + 1 + 3,
    }


@given(st.lists(st.integers(0, 40 * 64), min_size=1))
def test_the_most_in_a_window_equals_the_count_over_all_windows(ticks: list[int]) -> None:
    arrivals = sorted(tick / 64 for tick in ticks)
    windows = (sum(start <= time < start + SECONDS for time in arrivals) for start in arrivals)
    assert most_in_a_window(arrivals) == max(windows)
