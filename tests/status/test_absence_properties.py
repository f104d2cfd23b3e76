"""A request that arrived is never found absent, whatever the lists show and however late; one that did not can be."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.api.dialects import ITEM_ID_KEY, REQUEST_ID_KEY, ItemType
from batch.model import Doubt, Request, RequestItem
from batch.status.control import Witness, proof_of, shown
from batch.status.evidence import Elapsed, Settlement, is_current, judge, likely_since, read_rows
from batch.tenant.status_row import status_row
from tests.builders import EVERY_ID, NOW, request

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from batch.api.status_row import StatusRow

WAIT = 10
"""Seconds within which a request arrives, and within which a single row is shown once the list is at its time."""

LATE = 8 * WAIT
"""When the last request is accepted in a history that must end."""

TYPES = (ItemType.ROLE, ItemType.ENTITLEMENT)
PEOPLE = ("anna", "ben", "4b5c-6d7e")
AS_SENT: dict[str, Callable[[dict[str, str]], Any]] = {
    "as sent": lambda sent: sent,
    "capitals": lambda sent: {key.upper(): value.upper() for key, value in sent.items()},
    "small": lambda sent: {key.lower(): value.lower() for key, value in sent.items()},
}
METADATA: dict[str, Callable[[dict[str, str]], Any]] = {
    **AS_SENT,
    "null": lambda _sent: None,
    "empty": lambda _sent: {},
    "replaced": lambda _sent: {"source": "workflow"},
    "masked": lambda sent: dict.fromkeys(sent, "***"),
    "request masked": lambda sent: {**sent, REQUEST_ID_KEY: "***"},
}
CREATED: dict[str, Callable[[datetime], Any]] = {
    "RFC 3339": lambda at: at.isoformat(),
    "seconds": lambda at: int(at.timestamp()),
    "milliseconds": lambda at: int(at.timestamp() * 1000),
    "text": lambda at: str(int(at.timestamp() * 1000)),
    "omitted": lambda _at: None,
}
CAPITALS = "the item's, and all ids in capitals"
IDS: dict[str, Callable[[str, str], str | None]] = {
    "the item's": lambda item, _request: item,
    CAPITALS: lambda item, _request: item.upper(),
    "the request's": lambda _item, request: request,
    "omitted": lambda _item, _request: None,
}


@dataclass(frozen=True, kw_only=True)
class Manners:
    """What a tenant makes of what it lists: of clientMetadata by the type of item, of the rest for all."""

    metadata: tuple[str, str]
    created: str
    ids: str
    shows_type: bool
    shows_operation: bool

    def row(self, sent: str, person: str, item: RequestItem, at: float, access_request: str) -> StatusRow:
        """A row as the client reads it; `sent` is the id that came with the request, empty for a stranger's."""
        hide = METADATA[self.metadata[TYPES.index(item.type)]]
        metadata = {REQUEST_ID_KEY: sent, ITEM_ID_KEY: item.id}
        raw = {
            "requestedFor": {"id": person.upper() if self.ids == CAPITALS else person},
            "id": IDS[self.ids](item.id, access_request),
            "type": item.type.value if self.shows_type else None,
            "requestType": "GRANT_ACCESS" if self.shows_operation else None,
            "created": CREATED[self.created](NOW + timedelta(seconds=at)),
            "clientMetadata": hide(metadata) if sent else None,
            "accessRequestId": access_request,
            "state": "EXECUTING",
        }
        found = status_row(raw)
        assert found is not None
        return found


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row at the tenant: when it came about, and how much later than the rest of the list it is shown."""

    at: float
    lag: int
    row: StatusRow


@dataclass(frozen=True, kw_only=True)
class History:
    """The rows of a tenant, and when its lists were read. The doubtful request could leave no more at second 0.

    Attributes:
        doubt: The request.
        accepted: Other requests of ours, with the second of their claim, in order.
        rows: What the tenant has.
        readings: Seconds, and how many seconds the whole list was behind then.
    """

    doubt: Doubt
    accepted: tuple[tuple[float, Request], ...]
    rows: tuple[Row, ...]
    readings: tuple[tuple[float, float], ...]


def many(number: int, kinds: Sequence[ItemType], people: Sequence[str], name: str = "item") -> Request:
    items = tuple(RequestItem(type=kind, id=f"{name}-{number}-{n}") for n, kind in enumerate(kinds))
    return replace(request(number, people, 1), items=items)


def rows_of(of: Request, at: float, manners: Manners, lags: Sequence[int], *, sent: str | None = None) -> list[Row]:
    pairs = [(person, item) for person in of.recipients for item in of.items]
    return [
        Row(
            at=at,
            lag=lags[(of.number + n) % len(lags)],
            row=manners.row(of.id if sent is None else sent, person, item, at, f"access request {of.number}"),
        )
        for n, (person, item) in enumerate(pairs)
    ]


SOME_PEOPLE = st.lists(st.sampled_from(PEOPLE), min_size=1, max_size=2, unique=True)
SOME_TYPES = st.lists(st.sampled_from(TYPES), min_size=1, max_size=2)
SECONDS = st.integers(-2 * WAIT, LATE)


@st.composite
def histories(draw: st.DrawFn, *, arrived: bool, metadata: Sequence[str], ends: bool) -> History:
    """Histories at one tenant.

    Args:
        draw: For hypothesis.
        arrived: Whether the doubtful request arrived.
        metadata: What the tenant may make of clientMetadata.
        ends: Whether a last request is accepted, and the list read until it has shown everything for long enough.
    """
    # Half of the tenants return the metadata as sent: with the others hardly any history gets as far as a control.
    chosen = st.sampled_from(list(AS_SENT)) | st.sampled_from(metadata)
    manners = Manners(
        metadata=draw(st.tuples(chosen, chosen)),
        created=draw(st.sampled_from(list(CREATED))),
        ids=draw(st.sampled_from(list(IDS))),
        shows_type=draw(st.booleans()),
        shows_operation=draw(st.booleans()),
    )
    lags = draw(st.lists(st.sampled_from([0, WAIT]) | st.integers(0, WAIT), min_size=1, max_size=5))
    asked = many(50, draw(SOME_TYPES), draw(SOME_PEOPLE))
    others = draw(st.lists(st.tuples(SECONDS, SOME_TYPES, SOME_PEOPLE), max_size=4))
    if ends:
        others.append((LATE, list(TYPES), list(PEOPLE[:1])))
    others.sort(key=lambda one: one[0])
    accepted = [(at, many(n, kinds, people)) for n, (at, kinds, people) in enumerate(others, 1)]
    rows = [row for at, of in accepted for row in rows_of(of, at, manners, lags)]
    for at, kinds, people in draw(st.lists(st.tuples(SECONDS, SOME_TYPES, SOME_PEOPLE), max_size=2)):
        rows += rows_of(many(60, kinds, people, "a stranger's"), at, manners, lags, sent="")
    if arrived:
        rows += rows_of(asked, draw(st.integers(-3, WAIT)), manners, lags)
    behind = st.integers(0, 2 * WAIT) if ends else st.integers(0, 2 * LATE)
    readings = draw(st.lists(st.tuples(st.integers(0, 3 * LATE // 2), behind), min_size=2, max_size=8))
    if ends:
        if draw(st.booleans()):
            # The whole list stands still, and then comes at once.
            readings = [(at, 3 * LATE) for at, _ in readings if at < LATE + WAIT]
        readings += [(WAIT, 3 * LATE), *((at, 0) for at in (LATE + WAIT, LATE + 2 * WAIT, LATE + 3 * WAIT))]
    doubt = Doubt(
        request=asked,
        first_attempt=NOW - timedelta(seconds=5),
        ended=NOW,
        tenant_before=draw(st.sampled_from([None, NOW - timedelta(seconds=6)])),
        tenant_time=NOW,
        claimed=50,
    )
    return History(doubt=doubt, accepted=tuple(accepted), rows=tuple(rows), readings=tuple(sorted(readings)))


def verdict(history: History) -> Settlement:
    """The first verdict that settles the doubt, reading after reading as the loop reads; else the last one."""
    doubt, proven_at = history.doubt, math.inf
    frontier: float = -math.inf
    reached: dict[int, float] = {}
    settlement = Settlement.OPEN
    for now, behind in history.readings:
        frontier = max(frontier, now - behind)
        for n, row in enumerate(history.rows):
            if row.at <= min(frontier, now):
                reached.setdefault(n, now)
        visible = [history.rows[n].row for n, since in reached.items() if since + history.rows[n].lag <= now]
        claims = [at for at, _ in history.accepted if at <= now]
        if doubt.ripe is None and now >= WAIT:
            doubt = replace(doubt, ripe=len(claims))
        witnesses = [
            shown(Witness(request=of, sent=of.id, claimed=n), visible)
            for n, (at, of) in enumerate(history.accepted, 1)
            if at <= now
        ]
        current = any(is_current(row, doubt, WAIT) for row in visible)
        proof = proof_of(doubt, witnesses, current=current)
        proven_at = min(proven_at, now) if proof.proves_absence else math.inf
        elapsed = Elapsed(arrival=now >= WAIT, listing=now - proven_at >= WAIT, tail=now >= 4 * WAIT)
        reading = read_rows(doubt, visible, since=likely_since(doubt, timedelta()), known=EVERY_ID)
        settlement = judge(doubt, reading, proof, elapsed).settlement
        if settlement is not Settlement.OPEN:
            break
    return settlement


@pytest.mark.parametrize("ends", [True, False], ids=["until everything is shown", "until any moment"])
@given(data=st.data())
def test_a_request_that_arrived_is_never_found_absent(data: st.DataObject, ends: bool) -> None:  # noqa: FBT001 - by name
    history = data.draw(histories(arrived=True, metadata=list(METADATA), ends=ends))
    assert verdict(history) is not Settlement.NOT_FOUND


@given(history=histories(arrived=False, metadata=list(AS_SENT), ends=True))
def test_a_request_that_did_not_arrive_is_found_absent_once_a_later_one_is_listed(history: History) -> None:
    assert verdict(history) is Settlement.NOT_FOUND


@given(history=histories(arrived=False, metadata=list(METADATA), ends=False))
def test_a_request_that_did_not_arrive_is_never_found(history: History) -> None:
    assert verdict(history) in {Settlement.NOT_FOUND, Settlement.OPEN}
