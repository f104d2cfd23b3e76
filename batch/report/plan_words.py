"""The words for the parts of a plan, which the screen and the page share. Pure."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from batch.api.dialects import ItemType
from batch.model import RowClass
from batch.names.meaning import ITEM_WORDS
from batch.report.screen import duration
from batch.status.approvals_ahead import OWNER
from batch.text import count, moment, on_one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from batch.report.plan_view import Cost, Counted, PlanView, Skipped
    from batch.status.approvals_ahead import ApprovalsAhead, Awaited

MOST_TEXT: Final = 200
"""Characters of a name, or of any other text of a cell, that are shown."""

CLASS_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        RowClass.REJECTED: "rejected",
        RowClass.DUPLICATE_IN_INPUT: "repeated",
        RowClass.CONFLICT_IN_INPUT: "contradictory",
        RowClass.ALREADY_SUBMITTED: "submitted before",
        RowClass.ALREADY_HELD: "held already",
        RowClass.NOT_HELD: "not held",
        RowClass.HELD_BACK: "held back",
        RowClass.SUBMITTED: "sent",
    }
)

_KINDS: Final = MappingProxyType(
    {
        OWNER: "owners of items whose names are not known",
        "MANAGER": "managers of the people",
        "SOURCE_OWNER": "owners of sources",
        "APP_OWNER": "owners of applications",
        "ADDITIONAL_OWNER": "additional owners",
        "GOVERNANCE_GROUP": "governance groups",
        "ADDITIONAL_GOVERNANCE_GROUP": "additional governance groups",
        "WORKFLOW": "workflows",
    }
)


def named(name: str, id_: str) -> str:
    """The name if it is known, else the id, on one line."""
    return on_one_line(name, most=MOST_TEXT) or on_one_line(id_, most=MOST_TEXT)


def item_in_words(item_type: str, name: str, id_: str) -> str:
    """An access item with its kind."""
    kind = ITEM_WORDS[ItemType(item_type)] if item_type in set(ItemType) else on_one_line(item_type, most=MOST_TEXT)
    return f"{kind} {named(name, id_)}".strip()


def named_with_id(name: str, id_: str) -> str:
    """The name if it is known, and the id, on one line."""
    words = named(name, id_)
    return f"{words} ({on_one_line(id_, most=MOST_TEXT)})" if name and id_ else words


def operations_in_words(counted: Counted) -> str:
    """How many changes of each operation there are; revokes come first."""
    parts = [count(number, on_one_line(name.lower(), most=MOST_TEXT)) for name, number in counted.changes.items()]
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:]))) or "no changes"


def ends_in_words(counted: Counted) -> str:
    """The end dates of changes: one, the earliest and the latest, or none. A revoke has none to speak of."""
    first, last = counted.first_end[:10], counted.last_end[:10]
    dated = first if first == last else f"{first} to {last}"
    if not first:
        return "none" if counted.endless else ""
    return f"{dated}; {counted.endless:,} none" if counted.endless else dated


def skipped_in_words(skipped: Skipped) -> str:
    """Why changes are not sent."""
    reason = on_one_line(skipped.reason, most=MOST_TEXT)
    example = f", such as: {reason}" if skipped.rule and reason else reason
    return f"{skipped.rule}{example}"


def approver_in_words(awaited: Awaited) -> str:
    """Who has to decide."""
    if awaited.kind == OWNER and awaited.owner:
        return f"{named(awaited.name, awaited.owner)}, as owner of the item"
    kind = _KINDS.get(awaited.kind)
    return kind or f"steps of the kind {on_one_line(awaited.kind, most=MOST_TEXT)}"


PACKING: Final = "packing saves requests, not approvals and not e-mails"


def approvals_in_words(approvals: ApprovalsAhead) -> list[tuple[str, int]]:
    """Who decides how often, the busiest first; then the changes that need nobody, or of which that is not known."""
    lines = [(approver_in_words(one), one.steps) for one in approvals.by_approver]
    if approvals.unneeded:
        lines.append(("changes that need no approval", approvals.unneeded))
    if approvals.unknown:
        lines.append(("changes of which the tenant does not show who approves them", approvals.unknown))
    return lines


def describe_cost(cost: Cost) -> Iterator[str]:
    """How many calls a plan takes, and how long."""
    rate = f"{cost.rate.requests} calls per {cost.rate.seconds:g} s"
    least = f", at least {duration(cost.seconds)} at {rate}" if cost.seconds else ""
    yield f"Sending takes {count(cost.requests, 'request')}{least}."
    if cost.requests > (bound := cost.lower_bound) > 0:
        # Rounded up, so that it is true.
        most = -(-100 * (cost.requests - bound) // bound)
        yield f"No plan needs fewer than {bound:,}: this is at most {most:,} % above the minimum."
    elif cost.requests == bound:
        yield "No plan needs fewer."
    if cost.without_tickets is not None and cost.without_tickets < cost.requests:
        yield f"Tickets in comments divide them: {count(cost.without_tickets, 'request')} would do without."
    checking = f"Planning took {count(cost.checking, 'call')}" if cost.checking else "Planning took no calls"
    tracking = f"; each look at their progress takes about {count(cost.tracking, 'call')}" if cost.tracking else ""
    yield f"{checking}{tracking}."
    altogether = count(cost.checking + cost.to_come, "call")
    yield f"Altogether about {altogether}, {cost.tracking_day:,} of them for a day of tracking."
    if cost.left is None:
        return
    # The plan's lines have 80 columns.
    yield f"Of {cost.budget:,} calls in {cost.month}, {cost.left:,} are left, less those of other programs."
    if cost.left < cost.to_come:
        yield "That is too little for all of it: calls stop in time, and go on next month."


def when(instant: str) -> str:
    """An instant to the minute; empty if it is not known."""
    found = moment(instant)
    return f"{found:%Y-%m-%d %H:%M} UTC" if found else ""


def title(view: PlanView) -> str:
    """What a plan is, in one line."""
    tenant = f" at {on_one_line(view.about.tenant, most=MOST_TEXT)}" if view.about.tenant else ""
    people = count(view.all.people, "person") if view.all.people == 1 else f"{view.all.people:,} people"
    return f"{operations_in_words(view.all)} for {people}{tenant}" if view.all.total else f"Nothing to send{tenant}"
