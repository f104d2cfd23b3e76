"""The heads that a machine has seen of its ledgers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch.commands.heads import Heads
from batch.model import Head

if TYPE_CHECKING:
    from pathlib import Path

LOST = Head(run="a", number=7, hash="1" * 64)


def test_a_head_that_was_kept_meanwhile_is_not_forgotten_with_the_lost_one(tmp_path: Path) -> None:
    heads = Heads(folder=tmp_path)
    heads.keep("ledger")(LOST)
    newer = Head(run="a", number=8, hash="2" * 64)
    heads.keep("ledger")(newer)
    heads.forget("ledger", [LOST])
    assert heads.seen("ledger") == (newer,)
    heads.forget("ledger", [newer])
    assert heads.seen("ledger") == ()
