"""Runs that the tests of the loops begin with, on both databases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.ledger.ledger_helpers import Place, open_ledger, singles, write
from tests.loops.send_stage import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batch.ledger.store import Ledger


@pytest.fixture
def path(ledger_place: Place) -> Place:
    return ledger_place


@pytest.fixture
def ledger(path: Place) -> Iterator[Ledger]:
    with open_ledger(path) as opened:
        yield opened


@pytest.fixture
def five(ledger: Ledger, path: Place) -> Stage:
    """A run of five requests of one change each."""
    return Stage(ledger, path, write(ledger, *singles(5)))


@pytest.fixture
def joined(ledger: Ledger, path: Place) -> Stage:
    """A run of five requests of one change each, of which the first three travel in one body."""
    return Stage(ledger, path, write(ledger, *singles(5), together=[(0, 1, 2)]))
