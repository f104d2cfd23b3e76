"""What becomes of a request when it arrives: refused as a whole, or accepted with changes that come to nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from batch.api.dialects import ItemType
from batch.sandbox.audit import AcceptedChange
from batch.sandbox.holdings import assignment_id
from batch.sandbox.lifecycle import CANCELLED
from batch.sandbox.rules import OPERATIONS, requested_items
from batch.sandbox.tenant_rules import Effect, Wanted, broken_by, first_refused, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from batch.sandbox.directory import Known
    from batch.sandbox.holdings import AccountKey, Holding, Holdings
    from batch.sandbox.tenant_rules import Asker, Rule

ERROR: Final = "ERROR"
"""State of a change that the tenant could not process."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """One change of a request that has arrived.

    Attributes:
        change: The change.
        item: Its item in the body.
        held: What the identity holds, for each account.
        state: The state in which it comes to nothing; empty if it does not.
        cause: Why.
    """

    change: AcceptedChange
    item: dict[str, Any]
    held: Mapping[AccountKey, Holding]
    state: str = ""
    cause: str = ""


class Intake:
    """Applies the rules of the tenant.

    Args:
        known: People and items.
        holdings: What people hold.
        effects: What happens to a change that breaks a rule.
        asker: Who asks.
    """

    def __init__(self, known: Known, holdings: Holdings, effects: Mapping[Rule, Effect], asker: Asker) -> None:
        self._known = known
        self._holdings = holdings
        self._effects = effects
        self._asker = asker

    def examine(self, body: dict[str, Any], now: datetime) -> tuple[str | None, list[Arrival]]:
        """The cause of a refusal, or None; and the changes in order, identities outermost.

        Args:
            body: A body that breaks no rule of its own.
            now: The tenant's time.
        """
        examined = [
            (wanted, tuple(broken_by(wanted, self._known, now, self._asker))) for wanted in self._wanted(body, now)
        ]
        refused = first_refused(examined, self._effects)
        if refused is not None:
            return text_of(*refused, self._known), []
        return None, [self._arrival(wanted, broken) for wanted, broken in examined]

    def _wanted(self, body: dict[str, Any], now: datetime) -> Iterator[Wanted]:
        operation = OPERATIONS[body.get("requestType")]
        for identity, items in requested_items(body):
            person, held = self._known.described(identity), self._holdings.by_account(identity, now)
            assignments = {assignment_id(identity, key): key for key in held if key[0][0] is ItemType.ROLE}
            for item in items:
                yield Wanted(
                    operation=operation,
                    person=person,
                    item=self._known.item(item["id"], ItemType(item["type"])),
                    fields=item,
                    held=held,
                    assignments=assignments,
                )

    def _arrival(self, wanted: Wanted, broken: tuple[Rule, ...]) -> Arrival:
        change = AcceptedChange(
            operation=wanted.operation,
            identity=wanted.person.id,
            item_type=wanted.item.type,
            item_id=wanted.item.id,
            account=wanted.account,
        )
        item = dict(wanted.fields)
        for rule in broken:
            if self._effects[rule] is not Effect.IGNORED:
                state = CANCELLED if self._effects[rule] is Effect.CANCELLED else ERROR
                cause = text_of(rule, wanted, self._known)
                return Arrival(change=change, item=item, held=wanted.held, state=state, cause=cause)
        return Arrival(change=change, item=item, held=wanted.held)
