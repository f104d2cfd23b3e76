"""What a ledger has lost at another address, which may be one more address of the tenant."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from batch.commands.elsewhere import require_none_elsewhere
from batch.commands.heads import Heads
from batch.errors import SettingsError
from batch.ledger.standing import Sent, Standing
from batch.model import Head
from tests.builders import NOW, change, request
from tests.ledger.ledger_helpers import ME, TENANT, open_ledger, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from batch.ledger.store import Ledger

OTHER, ELSEWHERE = "https://other.example", {"https://other.example"}
LOST = replace(request(9, ("P-1",), ("r1",), run="a" * 12), tag="0a1b")
HEAD = Head(run=LOST.run, number=7, hash="1" * 64, sent=9)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        ledger.tenants.bind(TENANT, ["4711"], ME, NOW)
        yield ledger


@pytest.fixture
def heads(tmp_path: Path, ledger: Ledger) -> Heads:
    """A request to another address was on its way."""
    heads = Heads(folder=tmp_path / "heads")
    heads.keep(ledger.gaps.ledger_id(), ELSEWHERE)(HEAD, Standing(doubtful={9: Sent(request=LOST)}))
    return heads


def send(ledger: Ledger, heads: Heads, *, person: str = "p1", tenant: str = TENANT) -> None:
    """Checks a run that would send a change of a person."""
    require_none_elsewhere(ledger, write(ledger, [change(person, "r1")], tenant=tenant), tenant, heads)


def test_only_what_may_have_been_sent_to_the_other_address_is_refused(ledger: Ledger, heads: Heads) -> None:
    send(ledger, heads, person="p2")
    with pytest.raises(SettingsError) as refused:
        send(ledger, heads)
    assert f"`access-batch doctor --base-url {OTHER}`" in refused.value.next_step
    assert f"remove {heads.folder / ledger.gaps.ledger_id() / LOST.run}." in refused.value.next_step


def test_what_the_other_address_accepted_last_is_refused(ledger: Ledger, heads: Heads) -> None:
    heads.keep(ledger.gaps.ledger_id(), ELSEWHERE)(HEAD, Standing())
    send(ledger, heads)
    heads.keep_accepted(ledger.gaps.ledger_id(), ELSEWHERE)(LOST, ())
    with pytest.raises(SettingsError):
        send(ledger, heads)


def test_what_the_ledger_has_as_planned_in_the_lost_run_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    theirs, heads = write(ledger, [change("p1", "r1")], tenant=OTHER), Heads(folder=tmp_path / "heads")
    heads.keep(ledger.gaps.ledger_id(), ELSEWHERE)(replace(HEAD, run=theirs.id), Standing())
    with pytest.raises(SettingsError):
        send(ledger, heads)


def test_a_token_that_names_another_tenant_frees_everything(ledger: Ledger, heads: Heads) -> None:
    ledger.tenants.bind(OTHER, ["4712"], ME, NOW)
    send(ledger, heads)


def test_once_the_addresses_are_known_as_one_tenants_the_comparison_decides(ledger: Ledger, heads: Heads) -> None:
    ledger.tenants.bind(OTHER, ["4711"], ME, NOW)
    send(ledger, heads)
    assert heads.seen(ledger.gaps.ledger_id(), ledger.tenants.addresses(TENANT)) == (HEAD,)


def test_the_address_of_a_tenant_without_a_name_is_its_name(ledger: Ledger, heads: Heads) -> None:
    send(ledger, heads, tenant="https://third.example")


def test_a_tenant_that_had_a_name_when_something_was_sent_is_another(ledger: Ledger, tmp_path: Path) -> None:
    heads = Heads(folder=tmp_path / "heads")
    heads.keep(ledger.gaps.ledger_id(), {*ELSEWHERE, "4712"})(HEAD, Standing(doubtful={9: Sent(request=LOST)}))
    send(ledger, heads)
