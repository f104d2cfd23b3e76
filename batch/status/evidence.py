"""What the tenant's lists prove about an unconfirmed request. Absence proves nothing by itself, and neither does time.

| verdict | proof |
|---|---|
| found | a row for each change: with the id that was sent, or a bare row of the same person, item, operation and time |
| partly found | one row proves that the whole body arrived, so that nothing of it is ever sent again |
| not found | the request could arrive no more, and a *control* shows that the list would show it by now |
| open | anything else |

A control is an accepted request that was claimed after the doubtful one could arrive no more and is listed completely,
by the ids that we sent, while no accepted request that was claimed before it lacks a row. A row of anybody that was
created as late stands in for it, if some accepted request of ours is listed by its id. And no row may be left that
could be the doubtful request's: a tenant may hide or replace our clientMetadata. If a row shows a change under an id
of ours that the ledger has lost, the change has arrived with that.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from batch.api.dialects import REQUEST_TYPES, ItemType, Operation
from batch.api.status_row import ChangeStatus
from batch.api.tenant_outcome import EXISTING, EXISTING_SAID
from batch.model import Part
from batch.status.control import Places, all_places
from batch.status.matching import (
    Confidence,
    attempt_id,
    has_operation,
    is_bare,
    is_of_account,
    request_id,
    was_created_since,
)
from batch.text import RequestId, key_of

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable, Mapping
    from datetime import datetime

    from batch.api.status_row import StatusRow
    from batch.model import Doubt, Existing, Request
    from batch.status.control import Place, Proof

LOOK_BACK: Final = timedelta(hours=25)
"""How long before the first attempt a list begins that need not prove absence, in case our clock was wrong."""

SKEW: Final = timedelta(minutes=5)
"""How much earlier than the first attempt a row without clientMetadata may be created."""

_DATE_STEP: Final = timedelta(seconds=1)
"""A `Date` header gives whole seconds."""


class Settlement(StrEnum):
    """What became of an unconfirmed request."""

    FOUND = "found"
    NOT_FOUND = "not found"
    PARTLY = "partly found"
    OPEN = "open"


class Why(StrEnum):
    """Why a request is still unconfirmed, as the end of a sentence about it."""

    TIME = "it may still arrive"
    FENCED = "a silent process may still send it, until its token expires"
    CLOCK = "the tenant's clock stands still"
    NO_CONTROL = "no later request shows that the tenant's list is up to date"
    UNRECOGNISED = "the tenant's list shows no accepted request under its own id"
    CONTROL_UNLISTED = "the tenant does not list accepted requests completely"
    RESEMBLING = "a row of the tenant's list may or may not be this request's"
    INCOMPLETE = "it has arrived, but the tenant does not list all of it"
    FORBIDDEN = "the tenant does not show it to this client"


NEEDS_CONTROL: Final = frozenset({Why.NO_CONTROL, Why.UNRECOGNISED, Why.RESEMBLING})
"""Only another accepted request can change these."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What became of a request, and why that is open if it is; `elsewhere` if just `Reading.lost` keeps it open."""

    settlement: Settlement
    why: Why = Why.TIME
    elsewhere: bool = False


# Time.


def seconds_without(doubt: Doubt, *, own: float, witnessed: bool, server_time: datetime | None) -> float:
    """Seconds that have surely passed since the request could leave no more; negative while it still could.

    Args:
        doubt: The request.
        own: Seconds on this process's monotonic clock since it took the doubt on.
        witnessed: Whether the attempt ended in this process, so that both clocks must have passed; otherwise the
            tenant's clock alone counts, if it was read before.
        server_time: The tenant's newest clock; None if it tells no time.
    """
    if doubt.fence is None and (doubt.tenant_time is None or server_time is None):
        return own
    since = max(moment for moment in (doubt.tenant_time, doubt.fence) if moment is not None)
    if server_time is None:
        return float("-inf")
    passed = server_time - since
    if witnessed and doubt.fence is None:
        return min(own, (passed + _DATE_STEP).total_seconds())
    return (passed - _DATE_STEP).total_seconds()


def current_since(doubt: Doubt, wait: float) -> datetime | None:
    """When the request could arrive no more, by the tenant's clock; None if it tells no time.

    Args:
        doubt: The request.
        wait: Seconds within which what has left arrives.
    """
    times = [moment for moment in (doubt.tenant_time, doubt.fence) if moment is not None]
    return max(times) + _DATE_STEP + timedelta(seconds=wait) if doubt.tenant_time is not None else None


def is_current(row: StatusRow, doubt: Doubt, wait: float) -> bool:
    """Whether a row was created after the request could arrive no more."""
    since = current_since(doubt, wait)
    return since is not None and was_created_since(row, since)


# What rows say of one request.


@dataclass(frozen=True, kw_only=True, slots=True)
class Resembling:
    """A row that may be a request's.

    Attributes:
        confidence: LIKELY if nothing speaks against it, else POSSIBLE.
        places: The changes that it may be about; none if its `id` is none of their items'.
        item_type: Its type; empty if it gives none that we know.
        access_request: The tenant's id of its access request.
    """

    confidence: Confidence
    places: tuple[Place, ...]
    item_type: str
    access_request: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What rows say of one request.

    Attributes:
        listed: Its changes with a row that has the id that was sent, each with the tenant's id of its access request.
        arrived: Whether any row has the id that was sent, or that of the attempt, which the whole body shares.
        resembling: Rows without any id of ours that may be the request's.
        lost: All rows of its changes, if one has an id of ours that the ledger has lost, such as that of a part.
    """

    listed: Mapping[Place, str]
    arrived: bool
    resembling: tuple[Resembling, ...] = ()
    lost: tuple[StatusRow, ...] = ()


def read_rows(doubt: Doubt, rows: Iterable[StatusRow], *, since: datetime, known: Container[RequestId]) -> Reading:
    """What rows say of an unconfirmed request.

    Args:
        doubt: The request.
        rows: Of any people and requests.
        since: Only a row that was created then or later, by the tenant's clock, is likely to be the request's.
        known: Ids of the ledger's requests, among those that rows for its recipients name.
    """
    places, sent = Places(doubt.request), doubt.sent_id.lower()
    listed: dict[Place, str] = {}
    arrived = is_lost = False
    resembling, same = [], []
    for row in rows:
        name = request_id(row)
        arrived |= name == sent or bool(doubt.attempt and attempt_id(row) == doubt.attempt)
        same += [row] if places.of(row) else []
        if name == sent:
            for place in places.of(row) or places.only_item(row):
                listed[place] = row.access_request
        elif (other := RequestId.read(name)) is not None:
            is_same = bool(places.of(row)) and has_operation(row, doubt.request.operation)
            is_lost |= is_same and other not in known and (row.created is None or row.created >= since)
        elif (found := _resembling(doubt, row, places, since)) is not None:
            resembling.append(found)
    return Reading(listed=listed, arrived=arrived, resembling=tuple(resembling), lost=tuple(same) if is_lost else ())


def _resembling(doubt: Doubt, row: StatusRow, places: Places, since: datetime) -> Resembling | None:
    """How a row without our id resembles the request; None if it is plainly another's."""
    request = doubt.request
    if places.recipient(row) is None:
        return None
    if row.request_type in REQUEST_TYPES.values() and not has_operation(row, request.operation):
        return None
    item_type = row.item_type if row.item_type in [*ItemType] else ""
    if item_type and all(item.type != item_type for item in request.items):
        return None
    if doubt.tenant_before and row.created and row.created < doubt.tenant_before - SKEW:
        return None
    same_item = tuple(places.possibly(row))
    has_account = all(is_of_account(row, request.items[i].account) for _, i in same_item)
    fits = bool(same_item) and has_account and is_bare(row) and has_operation(row, request.operation)
    return Resembling(
        confidence=Confidence.LIKELY if fits and was_created_since(row, since) else Confidence.POSSIBLE,
        places=same_item,
        item_type=item_type,
        access_request=row.access_request,
    )


def likely_since(doubt: Doubt, offset: timedelta) -> datetime:
    """From when on a bare row is likely to be the request's, by the tenant's clock.

    Args:
        doubt: The request.
        offset: How far the tenant's clock is ahead of ours.
    """
    ours = doubt.first_attempt + offset
    return (max(ours, doubt.tenant_before) if doubt.tenant_before else ours) - SKEW


# The verdict.


@dataclass(frozen=True, kw_only=True, slots=True)
class Elapsed:
    """How much time has passed.

    Attributes:
        arrival: Whether the request has arrived or never will: enough since it could leave no more.
        listing: Whether it would be listed by now: as much since the list was first seen to be up to date. By then the
            list is at least as far as the request's arrival, but single rows may be late.
        tail: Whether a body that arrived is listed as far as it will be: four times as much since then.
    """

    arrival: bool = False
    listing: bool = False
    tail: bool = False


def judge(doubt: Doubt, reading: Reading, proof: Proof, elapsed: Elapsed, *, held: Container[Place] = ()) -> Verdict:
    """What became of an unconfirmed request.

    Args:
        doubt: The request.
        reading: What the lists of all its recipients say of it; those lists were read after the proof's.
        proof: What the lists prove about their own completeness.
        elapsed: The time since it could leave no more, and since the proof was first seen.
        held: Its changes that the tenant shows as held already.
    """
    found = found_places(reading, proof)
    if len(found) > len(reading.listed) and _may_learn(proof, elapsed):
        return _open(Why.TIME)
    if len(found) == doubt.request.changes:
        return Verdict(settlement=Settlement.FOUND)
    if doubt.arrived or reading.arrived or found:
        missing = [place for place in all_places(doubt.request) if place not in found and place not in held]
        divisible = elapsed.tail and len(missing) < doubt.request.changes
        part = Settlement.PARTLY if divisible else Settlement.OPEN
        return Verdict(settlement=part if missing else Settlement.FOUND, why=Why.INCOMPLETE)
    if doubt.ripe is None:
        return _open(Why.FENCED if doubt.fence and not elapsed.arrival else Why.TIME)
    if (why := _missing(doubt, reading, proof, elapsed)) is not None:
        return _open(why)
    is_dated = all(row.created is not None for row in reading.lost)
    return _open(Why.RESEMBLING, elsewhere=is_dated) if reading.lost else Verdict(settlement=Settlement.NOT_FOUND)


def _missing(doubt: Doubt, reading: Reading, proof: Proof, elapsed: Elapsed) -> Why | None:
    """What keeps a list from proving absence; None if nothing does."""
    if any(_may_be_ours(row, doubt.request, proof) for row in reading.resembling):
        return Why.RESEMBLING
    if proof.proves_absence:
        return None if elapsed.listing else Why.TIME
    if proof.pending or proof.lacking:
        return Why.CONTROL_UNLISTED
    return Why.UNRECOGNISED if proof.current else Why.NO_CONTROL


def _open(why: Why, *, elsewhere: bool = False) -> Verdict:
    return Verdict(settlement=Settlement.OPEN, why=why, elsewhere=elsewhere)


def _may_learn(proof: Proof, elapsed: Elapsed) -> bool:
    """Whether an accepted request may soon be listed, and show that rows of ours have an id of ours."""
    return proof.lacking and not proof.keyed and not elapsed.tail


def found_places(reading: Reading, proof: Proof) -> Mapping[Place, str]:
    """The changes that rows prove, each with the tenant's id of its access request."""
    likely = {
        place: row.access_request
        for row in reading.resembling
        if row.confidence is Confidence.LIKELY and row.item_type not in proof.keyed
        for place in row.places
    }
    return MappingProxyType({**likely, **reading.listed})


def _may_be_ours(row: Resembling, request: Request, proof: Proof) -> bool:
    types = {row.item_type} if row.item_type else {item.type.value for item in request.items}
    is_keyless_among_keyed = types <= proof.keyed
    is_of_another_item = not row.places and proof.item_ids
    return not is_keyless_among_keyed and not is_of_another_item


def parts_by_arrival(
    request: Request, found: Container[Place], held: Container[Place] = frozenset()
) -> tuple[Part, ...]:
    """Divides a request whose body arrived into products: of changes that are listed, held, or neither.

    Recipients for whom the same items arrived stay together.
    """
    groups: dict[tuple[str, ...], list[int]] = {}
    for position in range(len(request.recipients)):
        fates = tuple(
            "listed" if (position, i) in found else "held" if (position, i) in held else ""
            for i in range(len(request.items))
        )
        groups.setdefault(fates, []).append(position)
    return tuple(
        Part(recipients=tuple(recipients), items=items, arrived=bool(fate), held=fate == "held")
        for fates, recipients in groups.items()
        for fate in ("listed", "held", "")
        if (items := tuple(i for i, one in enumerate(fates) if one == fate))
    )


def held_statuses(request: Request, held: Iterable[Place]) -> tuple[ChangeStatus, ...]:
    """The statuses of changes for which the tenant created nothing, since they are held already."""
    return tuple(
        ChangeStatus(
            request=request.number,
            identity=request.recipients[r],
            item_type=request.items[i].type.value,
            item=request.items[i].id,
            state=EXISTING,
            said=EXISTING_SAID,
        )
        for r, i in sorted(held)
    )


def requested_already(request: Request, existing: Iterable[Existing]) -> tuple[ChangeStatus, ...]:
    """The statuses of changes that the answer lists as requested already: the tenant created nothing for them.

    Args:
        request: The request that was answered.
        existing: From the answer; entries that are no change of the request are left out.
    """
    wanted = {
        (key_of(identity), item.type.value, key_of(item.id)): (identity, item.id)
        for identity in request.recipients
        for item in request.items
    }
    listed = ((wanted.get((key_of(one.identity), one.item_type, key_of(one.item))), one) for one in existing)
    return tuple(
        ChangeStatus(
            request=request.number,
            identity=change[0],
            item_type=one.item_type,
            item=change[1],
            state=EXISTING,
            said=EXISTING_SAID,
            access_request=one.access_request,
        )
        for change, one in listed
        if change is not None
    )


def places_held(request: Request, holdings: Mapping[str, Collection[tuple[str, str]]]) -> frozenset[Place]:
    """The changes of a grant whose items their recipients hold: by the types and ids of the items that people hold.

    While access is held, its revoke is not done. If a grant names an account, another may hold it; if it has dates,
    access that is held may end on another one.
    """
    if request.operation is not Operation.GRANT:
        return frozenset()
    has = {key_of(person): {(kind, key_of(item)) for kind, item in items} for person, items in holdings.items()}
    return frozenset(
        (r, i)
        for r, identity in enumerate(request.recipients)
        for i, item in enumerate(request.items)
        if not (item.account or item.start_date or item.remove_date)
        and (item.type.value, key_of(item.id)) in has.get(key_of(identity), ())
    )
