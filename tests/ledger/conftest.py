"""A new ledger for each test, on both databases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.ledger.ledger_helpers import Place, open_ledger
from tests.postgresql import BOTH

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from batch.ledger.store import Ledger


@pytest.fixture(params=BOTH)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "postgresql":
        url: str = request.getfixturevalue("postgresql")
        return url
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path: Place) -> Iterator[Ledger]:
    with open_ledger(path) as opened:
        yield opened
