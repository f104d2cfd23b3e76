"""A tenant that refuses a whole request for one bad id, and a loop that sends the parts in any order."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batch.answers.split import divide
from batch.answers.suspects import RefusalHistory
from batch.model import Request
from tests.builders import request

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from random import Random

    from batch.model import Part

Pair = tuple[str, str]


def a_request(recipients: Iterable[str], items: Iterable[str], number: int = 1) -> Request:
    return request(number, recipients, items)


def part_of(whole: Request, part: Part, number: int = 1) -> Request:
    items = [whole.items[at].id for at in part.items]
    return request(number, [whole.recipients[at] for at in part.recipients], items, parent=whole.number)


def pairs(one: Request) -> Counter[Pair]:
    return Counter((person, item.id) for person in one.recipients for item in one.items)


@dataclass(frozen=True, kw_only=True)
class FussyTenant:
    """Refuses bad identities, items and pairs; `names` makes its messages name them."""

    people: frozenset[str] = frozenset()
    items: frozenset[str] = frozenset()
    pairs: frozenset[Pair] = frozenset()
    names: bool = False

    def refusal(self, request: Request) -> str | None:
        """Its message about the first cause; None if it accepts."""
        items = [item.id for item in request.items]
        for noun, ids, bad in (("identity", request.recipients, self.people), ("access item", items, self.items)):
            for one in ids:
                if one in bad:
                    return f"The {noun} {one if self.names else ''} was not found."
        for person, item in pairs(request) if self.pairs else ():
            if (person, item) in self.pairs:
                return f"{person} can't have {item}." if self.names else "Not allowed."
        return None

    def minds(self, pair: Pair) -> bool:
        return pair[0] in self.people or pair[1] in self.items or pair in self.pairs


@dataclass(kw_only=True)
class Sent:
    """The requests sent, and the changes accepted and refused."""

    posts: int = 0
    accepted: Counter[Pair] = field(default_factory=Counter)
    refused: Counter[Pair] = field(default_factory=Counter)


def send(
    planned: Sequence[Request],
    tenant: FussyTenant,
    random: Random,
    *,
    at_once: int,
    process_ends_after: int = 1_000_000,
) -> Sent:
    """Sends requests and their parts, `at_once` at a time, answered in any order.

    After every `process_ends_after` answers another process continues, with an empty history.
    """
    history, sent, answers = RefusalHistory(), Sent(), 0
    waiting, under_way = list(planned), list[Request]()
    while waiting or under_way:
        room = at_once - len(under_way)
        under_way += waiting[:room]
        sent.posts += len(waiting[:room])
        del waiting[:room]
        request = under_way.pop(random.randrange(len(under_way)))
        answers += 1
        if answers % process_ends_after == 0:
            history = RefusalHistory()
        message = tenant.refusal(request)
        if message is None:
            history.accepted(request)
            sent.accepted += pairs(request)
            continue
        history.refused(request, message)
        parts = divide(request, message, history)
        if not parts:
            sent.refused += pairs(request)
        first = sent.posts + len(waiting) + 1
        waiting += [part_of(request, part, first + place) for place, part in enumerate(parts)]
    return sent
