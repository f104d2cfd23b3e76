"""What a precheck asks about."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

import polars as pl

from batch.dedupe.overlap import KEY
from batch.status.end_dates import extensions
from batch.status.in_progress import plain_grants, revokes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from batch.status.in_progress import Item


@dataclass(frozen=True, kw_only=True, slots=True)
class PrecheckScope:
    """What to ask about.

    Attributes:
        people: Ids of the identities to ask for changes in progress.
        holders: Ids of the identities to ask for held items.
        items: The items that they may hold.
        revokes: The items of which a revoke is wanted, by identity; each identity is one of the holders.
        calls_besides: Says how many calls the command makes at most for its other questions, to be told with the
            precheck's; takes the people whom the index may not show.
        calls_optional: Further calls, which it makes as long as some are left.
    """

    people: Sequence[str]
    holders: Sequence[str]
    items: Collection[Item]
    revokes: Mapping[str, Collection[Item]] = field(default_factory=lambda: MappingProxyType({}))
    calls_besides: Callable[[Collection[str]], float] = lambda _people: 0
    calls_optional: int = 0


def scope_of(fresh: pl.DataFrame, changes: pl.DataFrame) -> PrecheckScope:
    """What to ask about the fresh ones among an input's changes."""
    people = fresh.get_column("identity_id").unique().sort().to_list()
    every = pl.concat([plain_grants(changes), revokes(changes), extensions(changes)])
    revoked: dict[str, list[tuple[str, str]]] = {}
    for person, *item in revokes(fresh).select(KEY).sort(KEY).rows():
        revoked.setdefault(person, []).append((item[0], item[1]))
    return PrecheckScope(
        people=people,
        holders=people,
        items=frozenset(every.select("item_type", "item_id").unique().rows()),
        revokes=revoked,
    )
