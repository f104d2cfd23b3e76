"""When so much is refused that the configuration is at fault and not the rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from batch.model import Request

ALL_REFUSED_AFTER: Final = 20
"""If the first so many requests are all refused, or single changes of so many people and items, it is not the rows."""

HALF_REFUSED_AFTER: Final = 100
"""From so many requests on, half of them refused is too many."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusals:
    """What has become of the requests that a process has sent.

    The parts of a refused request are no new evidence, but where nothing has been accepted of anybody.

    Attributes:
        answered: Planned requests that were accepted or refused.
        refused: Of these, how many were refused.
        any_accepted: Whether any request was accepted, planned or part.
        people: Ids of whose single changes were refused, as long as nothing was accepted.
        items: Ids of what they were to get or lose.
    """

    answered: int = 0
    refused: int = 0
    any_accepted: bool = False
    people: frozenset[str] = frozenset()
    items: frozenset[str] = frozenset()

    def after(self, request: Request, *, refused: bool) -> Refusals:
        """With one more request that was accepted or refused."""
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
        """What shows that the rows are not at fault, as a clause; empty where nothing does."""
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
