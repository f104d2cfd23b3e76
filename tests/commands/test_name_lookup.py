"""Answers about names stay cached for a while, an unknown name for a minute, and a run's meanings for good."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from unittest.mock import Mock

import polars as pl
import pytest
from rich.console import Console

from batch.api.dialects import ItemType
from batch.commands.names import Lookup, Names
from batch.commands.screen import Screen
from batch.ledger.decisions import Decisions
from batch.ledger.store import Ledger
from batch.model import IdentityBy
from batch.names.meaning import NameCandidate, NameMatches, NameMeaning, NameOutcome
from batch.names.resolve import IDENTITY
from batch.settings import load
from tests import clocks
from tests.builders import change
from tests.ledger.ledger_helpers import write
from tests.plan.changes import hex_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
    from pathlib import Path

    from batch.model import Run
    from batch.names.resolve import Name

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ANNA: Name = (IDENTITY, "anna")
NOBODY: Name = (IDENTITY, "nobody")
CLERK: Name = ("ROLE", "Clerk")


class FakeDirectory:
    """A directory whose names may move."""

    def __init__(self, **known: int | tuple[int, ...]) -> None:
        self.known = known
        self.asked: list[str] = []
        self.refuses: set[str] = set()

    async def people(self, names: Sequence[str], by: IdentityBy) -> AsyncIterator[dict[str, NameMatches]]:
        looked = (IdentityBy.ALIAS,) if by is IdentityBy.AUTO else (by,)
        for name in names:
            yield {name: self._found(name, looked)}

    async def items(self, item_type: ItemType, names: Sequence[str]) -> AsyncIterator[dict[str, NameMatches]]:
        assert item_type is ItemType.ROLE
        for name in names:
            yield {name: self._found(name, ())}

    def _found(self, name: str, looked: tuple[IdentityBy, ...]) -> NameMatches:
        self.asked.append(name)
        numbers = self.known.get(name, ())
        numbers = (numbers,) if isinstance(numbers, int) else numbers
        candidates = tuple(NameCandidate(id=hex_id(number), description=f"number {number}") for number in numbers)
        return NameMatches(candidates=candidates, fields=looked, refusal="no" if name in self.refuses else "")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    path = str(tmp_path / "ledger.db")
    with Ledger.open(path, sandbox=False, now=NOW, new_id=clocks.new_id, key=clocks.key) as opened:
        yield opened


def at(ledger: Ledger, minutes: float = 0, *, by: IdentityBy = IdentityBy.AUTO, tenant: str = "t") -> Lookup:
    """A lookup so many minutes later."""
    moment = NOW + timedelta(minutes=minutes)
    return Lookup(ledger, tenant, by, max_age=timedelta(minutes=5), clock=clocks.at(moment))


def ask(lookup: Lookup, directory: FakeDirectory, *names: Name) -> dict[Name, NameMeaning]:
    return asyncio.run(lookup.ask(names, directory))


def found(number: int) -> NameMeaning:
    return NameMeaning(outcome=NameOutcome.FOUND, id=hex_id(number))


def test_each_name_is_asked_for_by_its_kind(ledger: Ledger) -> None:
    verdicts = ask(at(ledger), FakeDirectory(anna=1, Clerk=0xC), ANNA, NOBODY, CLERK)
    assert (verdicts[ANNA], verdicts[CLERK]) == (found(1), found(0xC))
    assert verdicts[NOBODY].problem == "no identity has 'nobody' as alias"


def test_an_answer_stays_cached_until_it_is_too_old_and_an_unknown_name_for_a_minute(ledger: Ledger) -> None:
    told = ask(at(ledger), FakeDirectory(anna=1, Clerk=(1, 2)), ANNA, NOBODY, CLERK)
    assert at(ledger, 0.9).recent([ANNA, NOBODY, CLERK]) == told
    assert at(ledger, 4.9).recent([ANNA, NOBODY, CLERK]) == {name: told[name] for name in (ANNA, CLERK)}
    assert at(ledger, 5.1).recent([ANNA, NOBODY, CLERK]) == {}


def test_an_answer_about_an_alias_does_not_count_for_an_e_mail_or_another_tenant(ledger: Ledger) -> None:
    ask(at(ledger), FakeDirectory(anna=1), ANNA)
    assert at(ledger, by=IdentityBy.EMAIL).recent([ANNA]) == {}
    assert at(ledger, tenant="other").recent([ANNA]) == {}


def test_a_name_that_the_tenant_refused_is_asked_for_again(ledger: Ledger) -> None:
    directory = FakeDirectory()
    directory.refuses = {"anna"}
    assert ask(at(ledger), directory, ANNA)[ANNA].problem.endswith("give its id instead: no")
    assert at(ledger).recent([ANNA]) == {}


def planned(ledger: Ledger, meanings: dict[Name, NameMeaning]) -> Run:
    """A run whose plan rests on these meanings."""
    return write(ledger, [change("i1", "r1")], tenant="t", decisions=Decisions(names=at(ledger).by_key(meanings)))


def test_the_meanings_of_a_runs_plan_do_not_expire(ledger: Ledger) -> None:
    verdicts = ask(at(ledger), FakeDirectory(anna=1), ANNA, NOBODY)
    run = planned(ledger, verdicts)
    later = at(ledger, 1_000_000)
    assert later.recent([ANNA]) == {}
    assert later.of_run(run.id, [ANNA, NOBODY, CLERK]) == verdicts
    assert later.of_run("another", [ANNA]) == {}


def test_an_interrupted_lookup_keeps_the_answers_it_received(ledger: Ledger) -> None:
    class Lost(FakeDirectory):
        async def items(self, item_type: ItemType, names: Sequence[str]) -> AsyncIterator[dict[str, NameMatches]]:
            async for part in super().items(item_type, names):
                yield part
                raise ConnectionError

    chief: Name = ("ROLE", "Zen")
    with pytest.raises(ConnectionError):
        ask(at(ledger), Lost(Clerk=0xC), CLERK, chief)
    assert at(ledger).recent([CLERK, chief]) == {CLERK: found(0xC)}


def names(count: int) -> Iterable[Name]:
    return [(IDENTITY, f"user{number}") for number in range(count)]


def test_all_names_of_a_run_of_twenty_thousand_are_kept(ledger: Ledger) -> None:
    verdicts = {name: found(number) for number, name in enumerate(names(20_000))}
    run = planned(ledger, verdicts)
    assert at(ledger).of_run(run.id, verdicts) == verdicts


def test_the_names_of_another_processs_plan_for_the_same_input_count(ledger: Ledger) -> None:
    settings = load({"base_url": "https://t.example.com"})
    reach, screen = Mock(access=Mock(tenant="t")), Screen(console=Console(stderr=True), quiet=True)
    rows = pl.DataFrame({"identity": ["anna"], "item_id": [hex_id(9)], "item_type": ["ROLE"]})
    put = ledger.cache.put
    found_now = {"looked": ["alias"], "found": [[hex_id(2), "Anna", True]]}
    put("t", "identity by auto", {"anna": found_now}, at=datetime.now(UTC))
    ours = Names(settings, screen, clocks.runtime())
    ours.look_up(rows, ledger, reach, None)
    assert ours.resolved(rows, ledger, "t", None)["identity_id"].to_list() == [hex_id(2)]
    ours.look_up(rows, ledger, reach, planned(ledger, {ANNA: found(1)}))
    assert ours.resolved(rows, ledger, "t", None)["identity_id"].to_list() == [hex_id(1)]
