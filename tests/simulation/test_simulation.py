"""Histories in a hostile world: nothing is submitted twice, nothing is lost, and nothing hangs."""

from __future__ import annotations

import pytest

from tests.simulation.history import live
from tests.simulation.options import options_of


@pytest.mark.parametrize("seed", range(20))
def test_every_change_is_submitted_exactly_once_whatever_happens(seed: int) -> None:
    outcome = live(options_of(seed))
    assert outcome.problems == ()


def test_a_seed_always_leads_to_the_same_history() -> None:
    assert len({live(options_of(4)).hash for _ in range(2)}) == 1
