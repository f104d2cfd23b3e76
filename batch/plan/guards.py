"""Limits on what one plan may change. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from batch.api.dialects import Operation
from batch.text import count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanLimits:
    """What one plan may have at most; None for no limit.

    Attributes:
        max_changes: Changes.
        max_revokes: Revokes.
        max_per_person: Changes for one person.
        max_revoke_share: Percent of an item's holders who lose it.
    """

    max_changes: int | None = None
    max_revokes: int | None = None
    max_per_person: int | None = None
    max_revoke_share: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RevokedItem:
    """An item that a plan revokes.

    Attributes:
        item_type: Its type.
        item_id: Its id.
        people: How many people lose it.
        holders: How many hold it now; None if that can't be counted.
    """

    item_type: str
    item_id: str
    people: int
    holders: int | None

    @property
    def share(self) -> float | None:
        """How many percent of the holders lose it; None if that can't be told."""
        if self.holders is None:
            return None
        return 100 * self.people / self.holders if self.holders >= self.people else 100.0


@dataclass(frozen=True, kw_only=True, slots=True)
class RevokeShare:
    """How large a share of an item's holders loses it, at most.

    Attributes:
        percent: Of the item that loses the largest share.
        items: How many items' holders were counted: those with most revokes.
        of: How many items the plan revokes.
    """

    percent: float
    items: int
    of: int


def greatest_share(counted: Sequence[RevokedItem], *, of: int) -> RevokeShare | None:
    """The largest share of some items' holders who lose one; None if the tenant does not tell all of them."""
    shares = [one.share for one in counted if one.share is not None]
    if not shares or len(shares) < len(counted):
        return None
    return RevokeShare(percent=max(shares), items=len(shares), of=of)


def items_revoked(changes: pl.DataFrame) -> list[tuple[str, str, int]]:
    """The items that changes revoke: type, id and number of people, most people first."""
    revokes = changes.filter(pl.col("operation") == Operation.REVOKE.value)
    people = revokes.group_by("item_type", "item_id").agg(pl.col("identity_id").n_unique().alias("people"))
    return people.sort("people", "item_type", "item_id", descending=[True, False, False]).rows()


def broken_guards(
    changes: pl.DataFrame, limits: PlanLimits, person_in_words: Callable[[str], str] = str
) -> Iterator[str]:
    """What forbids a plan by its numbers alone: a sentence for each limit that it breaks.

    Args:
        changes: The planned changes, with `operation` and `identity_id`.
        limits: The limits.
        person_in_words: Gives a person's name with the id.
    """
    revokes = int((changes.get_column("operation") == Operation.REVOKE.value).sum())
    if limits.max_changes is not None and changes.height > limits.max_changes:
        yield f"It has {count(changes.height, 'change')}; max_changes allows {limits.max_changes:,}."
    if limits.max_revokes is not None and revokes > limits.max_revokes:
        yield f"It has {count(revokes, 'revoke')}; max_revokes allows {limits.max_revokes:,}."
    if limits.max_per_person is not None and changes.height:
        most, person = (
            changes.group_by("identity_id").len().sort("len", "identity_id", descending=[True, False])
            .select("len", "identity_id").row(0)
        )  # fmt: skip
        if most > limits.max_per_person:
            yield (
                f"It has {count(most, 'change')} for the person {person_in_words(person)}; max_per_person allows "
                f"{limits.max_per_person:,}."
            )


def broken_share(
    revoked: Sequence[RevokedItem], most: float, item_in_words: Callable[[str, str], str] = "{} {}".format
) -> Iterator[str]:
    """What forbids a plan by the share of an item's holders who lose it.

    Args:
        revoked: The items that it revokes.
        most: Percent of an item's holders that may lose it.
        item_in_words: Gives an item's type and name with the id.
    """
    uncounted = [one for one in revoked if one.share is None]
    above = [one for one in revoked if one.share is not None and one.share > most]
    if above:
        worst = max(above, key=lambda one: (one.share or 0, one.people))
        yield (
            f"It revokes the {item_in_words(worst.item_type, worst.item_id)} from {worst.people:,} of "
            f"{worst.holders:,} holders ({worst.share:.0f} %){_and_more(len(above) - 1)}; max_revoke_share allows "
            f"{most:g} %."
        )
    if uncounted:
        one = uncounted[0]
        yield (
            f"The tenant does not tell how many people hold the {item_in_words(one.item_type, one.item_id)}"
            f"{_and_more(len(uncounted) - 1)}, so max_revoke_share ({most:g} %) can't be checked."
        )


def _and_more(others: int) -> str:
    return f", and {count(others, 'more item')}" if others else ""
