"""When to stop because so many refusals point to the configuration instead of the rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from batch.model import Request

ALL_REFUSED_AFTER: Final = 20
"""Stop if the first so many requests are all refused, or single changes of so many identities and items."""

HALF_REFUSED_AFTER: Final = 100
"""Stop if half of the requests are refused, once there are so many."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusals:
    """Counts the answers of one process.

    Parts of a refused request do not count, except while nothing has been accepted.

    Attributes:
        answered: Planned requests that were accepted or refused.
        refused: How many of these were refused.
        any_accepted: Whether any request was accepted, planned or part.
        people: Identities of refused single changes, while nothing was accepted.
        items: Their items.
    """

    answered: int = 0
    refused: int = 0
    any_accepted: bool = False
    people: frozenset[str] = frozenset()
    items: frozenset[str] = frozenset()

    def after(self, request: Request, *, refused: bool) -> Refusals:
        """The counts with one more answer."""
        counted = self if request.parent is not None else self._counted(refused=refused)
        if not refused:
            return replace(counted, any_accepted=True, people=frozenset(), items=frozenset())
        if counted.any_accepted or request.changes > 1:
            return counted
        return replace(
            counted,
            people=counted.people.union(request.recipients),
            items=counted.items.union(item.id for item in request.items),
        )

    def _counted(self, *, refused: bool) -> Refusals:
        return replace(self, answered=self.answered + 1, refused=self.refused + refused)

    @property
    def verdict(self) -> str:
        """Why to stop, as a clause; empty if there is no reason."""
        all_refused = self.answered >= ALL_REFUSED_AFTER and self.refused == self.answered
        half_refused = self.answered >= HALF_REFUSED_AFTER and self.refused * 2 >= self.answered
        if all_refused or half_refused:
            return f"{self.refused} of {self.answered} requests were refused"
        if min(len(self.people), len(self.items)) >= ALL_REFUSED_AFTER:
            return (
                f"nothing was accepted, and single changes of {len(self.people)} identities and of {len(self.items)} "
                "items were refused"
            )
        return ""
