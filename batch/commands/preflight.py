"""The preflight of a command: what the tenant's rules say of each change that would be sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from batch.dedupe.classify import TENANT_VERDICTS
from batch.loops.preflight import MOST_CONFIGURATIONS, MOST_PEOPLE, Asked, Preflight
from batch.report.preflight import describe_unconfigured, describe_unsought, describe_warnings
from batch.status.end_dates import not_shown_as_held
from batch.status.findings import (
    TenantFacts,
    Warned,
    entitlements_to_ask,
    findings,
    items_to_ask,
    people_to_ask,
    rejections,
    together,
    warnings,
)
from batch.status.in_progress import TenantView
from batch.status.refused_before import subjects, with_experience
from batch.tenant.facts import FactLists

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from datetime import datetime

    from batch.commands.runtime import Runtime
    from batch.commands.screen import Screen
    from batch.ledger.store import Ledger
    from batch.pipeline import Classified
    from batch.settings import Settings
    from batch.status.in_progress import Item
    from batch.status.refused_before import Experience, Subject
    from batch.status.tenant_facts import ItemFacts, PersonFacts
    from batch.tenant.reading import Reader


class CommandPreflight:
    """The preflight of one command, which may plan more than once.

    Args:
        settings: API version, and which rules reject a row.
        screen: For messages.
        runtime: Clock.

    Attributes:
        warned: The rows that are sent although the tenant may refuse them.
        several_files: Whether the input of the last plan has more than one file.
    """

    def __init__(self, settings: Settings, screen: Screen, runtime: Runtime) -> None:
        self._settings = settings
        self._screen = screen
        self._runtime = runtime
        self._asked = Asked()
        self._tenant_view = TenantView()
        self._read = runtime.now()
        self._described: set[str] = set()
        self.several_files = False
        self.warned: tuple[Warned, ...] = ()

    @property
    def items(self) -> Mapping[Item, ItemFacts]:
        """What the tenant says of the items of the last plan, by type and id."""
        return self._asked.items

    @property
    def people(self) -> Mapping[str, PersonFacts]:
        """What the tenant says of the people of the last plan, by id."""
        return {**self._tenant_view.people, **self._asked.people}

    def of(self, reader: Reader, ledger: Ledger, tenant: str, *, since: datetime) -> Preflight:
        """A preflight in one session with the tenant.

        Args:
            reader: Asks the tenant.
            ledger: Caches the answers.
            tenant: The tenant's name in the ledger.
            since: Cached answers that are older do not count.
        """
        return Preflight(
            facts=FactLists(reader.advisory(), self._settings.dialect),
            memory=ledger.cache,
            tenant=tenant,
            since=since,
            clock=self._runtime.clock,
        )

    async def ask(self, preflight: Preflight, fresh: pl.DataFrame, tenant_view: TenantView) -> None:
        """Ask about the items of fresh changes, and about the people whom the search index does not show.

        Raises:
            StoppedError: The tenant can't be reached, so nothing can be sent either.
        """
        people, entitlements = people_to_ask(fresh, tenant_view.people), entitlements_to_ask(fresh)
        self._screen.say(
            *describe_unsought(len(people), MOST_PEOPLE),
            *describe_unconfigured(len(entitlements), MOST_CONFIGURATIONS),
        )
        self._asked = await preflight.ask(items_to_ask(fresh), people, entitlements)
        self._read = min(filter(None, (preflight.oldest, tenant_view.indexed)), default=self._runtime.now())
        self._tenant_view = tenant_view

    def forget(self) -> None:
        """Judge by no answers that were given for an earlier plan."""
        self._asked, self._tenant_view = Asked(), TenantView()

    def judge(self, classified: Classified, recall: Callable[[Collection[Subject]], Experience]) -> pl.DataFrame:
        """The fresh changes that the tenant's rules reject, by dedupe's TENANT_VERDICTS; the rest may be warned of.

        Args:
            classified: The changes of an input.
            recall: Says what the tenant has refused and accepted before.
        """
        fresh = classified.changes.filter("fresh")
        if fresh.is_empty():
            return pl.DataFrame(schema=TENANT_VERDICTS)
        self.several_files = classified.table.rows.get_column("_file").n_unique() > 1
        settings, tenant_view = self._settings, self._tenant_view
        facts = TenantFacts(
            items=self._asked.items,
            people=self.people,
            irrevocable=tenant_view.unrevocable,
            unheld=not_shown_as_held(fresh, tenant_view),
        )
        found = findings(fresh, facts, now=self._runtime.now(), ignored=settings.ignore)
        if some := subjects(found, fresh):
            names = {item: facts.name or "" for item, facts in self._asked.items.items()}
            found = with_experience(found, fresh, recall(some), read=self._read, names=names)
        rejected = rejections(found, strict=settings.strict)
        self.warned = together(self.warned, warnings(found, rejected))
        return rejected

    def describe(self) -> None:
        """Show the warnings, each once."""
        lines = [
            line
            for line in describe_warnings(self.warned, several_files=self.several_files)
            if line not in self._described
        ]
        self._described |= {*lines}
        self._screen.say(*lines)
