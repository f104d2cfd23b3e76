"""Controls: accepted requests whose listing proves how far the tenant's list is.

A list may lag by any time, all at once or row by row, and a tenant may hide or replace the clientMetadata that we know
our rows by. So a missing row proves nothing until a control shows that we would recognise our rows, and that rows
requested so late are listed by now.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from batch.status.matching import has_type, listed_item, named_item, request_id
from batch.text import key_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from batch.api.status_row import StatusRow
    from batch.model import Doubt, Request

HALF_LIFE: Final = timedelta(days=7)
"""So one odd day does not make every later run wait; a list that is late again is noticed again."""

Place = tuple[int, int]
"""A change of a request, by the positions of its recipient and its item."""


def delay_now(seconds: float, seen: datetime | None, now: datetime) -> float:
    """How much a delay of the list still counts that was seen once: half as much after each week.

    It is never more than a week: a longer one is no measurement of ours, whatever the ledger says.
    """
    known = min(max(0.0, seconds), HALF_LIFE.total_seconds())
    return known * 0.5 ** (max(timedelta(), now - seen) / HALF_LIFE) if seen is not None else known


class Places:
    """The changes of a request, found by what a row says."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._recipients = {key_of(identity): n for n, identity in enumerate(request.recipients)}
        self._items: defaultdict[str, list[int]] = defaultdict(list)
        for n, item in enumerate(request.items):
            self._items[key_of(item.id)].append(n)

    def recipient(self, row: StatusRow) -> int | None:
        """The position of the row's identity; None if the request is not for it."""
        return self._recipients.get(key_of(row.identity))

    def of(self, row: StatusRow) -> list[Place]:
        """The changes that have the row's identity, item and type."""
        return self._of_item(row, named_item(row) or row.item)

    def possibly(self, row: StatusRow) -> list[Place]:
        """The same for a row that may have another item's id in its clientMetadata, such as a mask: its `id` counts."""
        return self.of(row) or self._of_item(row, row.item)

    def _of_item(self, row: StatusRow, item_id: str) -> list[Place]:
        recipient = self.recipient(row)
        items = self._items.get(key_of(item_id), ())
        fitting = [item for item in items if has_type(row, self._request.items[item].type)]
        return [] if recipient is None else [(recipient, item) for item in fitting]

    def only_item(self, row: StatusRow) -> list[Place]:
        """The change of the row's identity, if there is only one."""
        recipient = self.recipient(row)
        return [(recipient, 0)] if recipient is not None and len(self._request.items) == 1 else []


def all_places(request: Request) -> frozenset[Place]:
    """Every change of a request."""
    return frozenset((r, i) for r in range(len(request.recipients)) for i in range(len(request.items)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Witness:
    """An accepted request of ours, whose listing tells how far the list is.

    Attributes:
        request: The request.
        sent: The id that was sent with it.
        claimed: The place of its claim among all claims of the ledger.
        accepted_at: The tenant's clock when it was accepted; None if it told no time.
        held: Its changes that need no row: the tenant said, or shows, that they are held already.
        proves: Whether this machine has signed when it was claimed. Else it can't be a control: anybody can write that.
    """

    request: Request
    sent: str
    claimed: int
    accepted_at: datetime | None = None
    held: frozenset[Place] = frozenset()
    proves: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """What a list shows of a witness.

    Attributes:
        witness: The accepted request.
        listed: Its changes with a row that has its id.
        item_ids: Whether all those rows have the item's id as their `id`.
    """

    witness: Witness
    listed: frozenset[Place]
    item_ids: bool = False

    @property
    def missing(self) -> frozenset[Place]:
        """Its changes that should have a row and have none."""
        return all_places(self.witness.request) - self.listed - self.witness.held

    @property
    def complete(self) -> bool:
        """Whether it is listed, and every change that should have a row has one."""
        return bool(self.listed) and not self.missing


def shown(witness: Witness, rows: Iterable[StatusRow]) -> Shown:
    """What rows show of an accepted request: only rows with its id, identity and item together count."""
    places, sent = Places(witness.request), witness.sent.lower()
    listed: set[Place] = set()
    item_ids = True
    for row in rows:
        if request_id(row) == sent and named_item(row):
            listed.update(places.of(row))
            item_ids = item_ids and key_of(listed_item(row)) == key_of(named_item(row))
    return Shown(witness=witness, listed=frozenset(listed), item_ids=item_ids and bool(listed))


@dataclass(frozen=True, kw_only=True, slots=True)
class Proof:
    """What a listing proves about its own completeness, for one doubt.

    Attributes:
        control: Whether a control is listed completely and nothing that was claimed before it lacks a row.
        pending: Whether a request that may become the control is accepted and not listed completely yet.
        current: Whether it has a row that was created after the request could arrive no more.
        recognised: Whether an accepted request of ours is listed completely by its id.
        lacking: Whether an accepted request lacks a row.
        keyed: Types of items whose rows have our id.
        item_ids: Whether our rows have the item's id as their `id`.
    """

    control: bool = False
    pending: bool = False
    current: bool = False
    recognised: bool = False
    lacking: bool = False
    keyed: frozenset[str] = frozenset()
    item_ids: bool = False

    @property
    def proves_absence(self) -> bool:
        """Whether the list shows everything that was requested before the control, but for single rows."""
        return self.control or (self.current and self.recognised and not self.lacking)


NO_PROOF: Final = Proof()


def proof_of(doubt: Doubt, witnesses: Sequence[Shown], *, current: bool = False) -> Proof:
    """What a listing proves for a doubt.

    Args:
        doubt: The request.
        witnesses: What it shows of accepted requests.
        current: Whether it has a row that was created after the request could arrive no more.
    """
    complete = [one for one in witnesses if one.complete]
    lacking = [one.witness.claimed for one in witnesses if one.missing]
    proving = [one for one in witnesses if one.witness.proves]
    later = [one for one in proving if doubt.ripe is not None and one.witness.claimed > doubt.ripe]
    controls = [one.witness.claimed for one in later if one.complete]
    # One control is enough; the earliest has the fewest requests before it that could lack a row.
    control = bool(controls) and not any(claimed < min(controls) for claimed in lacking)
    return Proof(
        control=control,
        pending=not control and any(one.missing for one in later),
        current=current,
        recognised=bool(complete),
        lacking=bool(lacking),
        keyed=frozenset(one.witness.request.items[i].type.value for one in witnesses for _, i in one.listed),
        item_ids=bool(complete) and all(one.item_ids for one in complete),
    )
