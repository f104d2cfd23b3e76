"""The heads that a machine has seen of its ledgers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch.commands.heads import Heads
from batch.model import Head
from tests.builders import request

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


def test_what_a_tenant_accepted_last_is_known_by_any_of_its_names(tmp_path: Path) -> None:
    heads = Heads(folder=tmp_path)
    keep = heads.keep_accepted("ledger", {"https://one", "tenant one"})
    long = request(recipients=("p" * 60,), number=7)
    keep(long)
    keep(request(recipients=("p2",), number=8))
    lost = Head(run=long.run, number=7, hash="1" * 64)
    (found,) = heads.accepted("ledger", [lost], {"https://other", "tenant one"})
    assert found.identity == "p2"
    assert heads.accepted("ledger", [lost], {"tenant two"}) == ()
    assert heads.accepted("ledger", [LOST], {"tenant one"}) == ()
    assert heads.seen("ledger") == ()


def test_users_are_kept_once_for_each_tenant(tmp_path: Path) -> None:
    heads = Heads(folder=tmp_path)
    for user in ("u1", "u2", "u1"):
        heads.keep_user("ledger", user, {"https://one"})
    heads.keep_user("ledger", "u3", {"https://two"})
    assert heads.users("ledger", {"https://one"}) == {"u1", "u2"}
    assert len((tmp_path / "ledger.users").read_text().splitlines()) == 3
    assert not heads.trouble
