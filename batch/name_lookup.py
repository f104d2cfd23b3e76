"""Looking names up: what was said of them lately, what the tenant says now, and what a run was planned by."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, Protocol

from batch.dialects import ItemType
from batch.ledger.cache import NAMES_OF_RUN, Kept
from batch.model import IdentityBy
from batch.names import ITEM_WORDS, Candidate, Found, Outcome, Verdict, which_item, which_person
from batch.resolve import IDENTITY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

    from batch.ledger.cache import Cache
    from batch.resolve import Name

NOBODY_FOR: Final = timedelta(minutes=1)
"""How long it is taken for true that a name means nobody: a new joiner is there soon."""

_LONG_AGO: Final = datetime(2000, 1, 1, tzinfo=UTC)


class Directory(Protocol):
    """What can be asked for names: a tenant over HTTP, or a fake."""

    def people(self, names: Sequence[str], by: IdentityBy) -> AsyncIterator[dict[str, Found]]:
        """Whom each name may mean, a part of the names at a time."""

    def items(self, item_type: ItemType, names: Sequence[str]) -> AsyncIterator[dict[str, Found]]:
        """What each name may mean, a part of the names at a time."""


class Lookup:
    """What the names of one tenant mean.

    Args:
        cache: The ledger's.
        tenant: The tenant's name in the ledger.
        by: What the names of identities are.
        max_age: How long what the tenant said is taken for true.
        clock: This moment.
    """

    def __init__(
        self, cache: Cache, tenant: str, by: IdentityBy, *, max_age: timedelta, clock: Callable[[], datetime]
    ) -> None:
        self._cache = cache
        self._tenant = tenant
        self._by = by
        self._max_age = max_age
        self._clock = clock

    def of_run(self, run: str, names: Iterable[Name]) -> dict[Name, Verdict]:
        """What names meant when a run was planned; those that it was not planned by are left out."""
        keys = {f"{self._kind(kind)}\n{name}": (kind, name) for kind, name in names}
        kept = self._cache.get(self._tenant, f"{NAMES_OF_RUN}{run}", keys, since=_LONG_AGO)
        return {keys[key]: _verdict(cached.value) for key, cached in kept.items()}

    def kept_for_run(self, run: str, verdicts: Mapping[Name, Verdict]) -> Kept:
        """What a run is planned by, to be kept for good: so it never means another person when it is continued."""
        values = {f"{self._kind(kind)}\n{name}": _kept(verdict) for (kind, name), verdict in verdicts.items()}
        return Kept(kind=f"{NAMES_OF_RUN}{run}", values=values)

    def recent(self, names: Iterable[Name]) -> dict[Name, Verdict]:
        """What the tenant said lately of names; those of which it said nothing are left out."""
        now, found = self._clock(), {}
        for kind, group in _by_kind(names):
            kept = self._cache.get(self._tenant, self._kind(kind), group, since=now - self._max_age)
            for name, cached in kept.items():
                if cached.value["found"] or cached.at >= now - NOBODY_FOR:
                    found[kind, name] = _which(kind, name, _found(cached.value))
        return found

    async def ask(self, names: Iterable[Name], directory: Directory) -> dict[Name, Verdict]:
        """What the tenant says of names now; each part of the answer is kept as soon as it is there.

        Raises:
            SettingsError: The token may not ask.
            StoppedError: The tenant can't be asked.
        """
        verdicts = {}
        for kind, group in _by_kind(names):
            asked = directory.people(group, self._by) if kind == IDENTITY else directory.items(ItemType(kind), group)
            async for part in asked:
                told = {name: _cached(found) for name, found in part.items() if not found.refused}
                self._cache.put(self._tenant, self._kind(kind), told, at=self._clock())
                verdicts.update({(kind, name): _which(kind, name, found) for name, found in part.items()})
        return verdicts

    def _kind(self, kind: str) -> str:
        """What of a kind of name is asked, as the ledger calls it."""
        return f"identity by {self._by}" if kind == IDENTITY else f"{ITEM_WORDS[ItemType(kind)]} by name"


def _by_kind(names: Iterable[Name]) -> Iterable[tuple[str, list[str]]]:
    return [(kind, [name for _, name in group]) for kind, group in groupby(sorted(names), key=itemgetter(0))]


def _which(kind: str, name: str, found: Found) -> Verdict:
    return which_person(name, found) if kind == IDENTITY else which_item(ItemType(kind), name, found)


def _cached(found: Found) -> dict[str, Any]:
    return {"looked": list(found.looked), "found": [[one.id, one.said, one.exact] for one in found.candidates]}


def _found(value: Any) -> Found:
    return Found(
        candidates=tuple(Candidate(id=id_, said=said, exact=exact) for id_, said, exact in value["found"]),
        looked=tuple(map(IdentityBy, value["looked"])),
    )


def _kept(verdict: Verdict) -> dict[str, str]:
    return {"outcome": verdict.outcome, "id": verdict.id, "problem": verdict.problem}


def _verdict(value: Any) -> Verdict:
    return Verdict(outcome=Outcome(value["outcome"]), id=value["id"], problem=value["problem"])
