"""A new ledger for each test, on both databases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.ledger.ledger_helpers import Place, open_ledger

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
