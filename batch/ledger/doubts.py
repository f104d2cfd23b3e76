"""Doubts: what the ledger knows of requests that may or may not have arrived, and of their controls.

Time that has passed can't be proven to another machine, so each row of `doubt` has a code that only the machine that
wrote it can compute. For any other the waiting begins anew, and the chain of events tells whether a process may still
send the request: anybody who can write to the ledger could otherwise pretend that the time has passed.
"""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from batch.api.tenant_outcome import EXISTING, EXISTING_SAID, is_existing
from batch.ledger import tables as t
from batch.ledger.engine import KEY, reading, writing
from batch.ledger.events import GONE, SERVER_TIME, TOKEN_EXPIRES, changed
from batch.ledger.rows import REQUEST, load_requests
from batch.model import Doubt
from batch.states import Event, State
from batch.status.control import Witness, delay_now
from batch.text import instant, moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy.engine import Connection, Engine

    from batch.ledger.machine_key import MachineKey
    from batch.model import Request
    from batch.status.control import Place

NEVER: Final = datetime(9999, 1, 1, tzinfo=UTC)
"""Stands for the expiry of a token if the ledger does not know it."""

_AFTER: Final = 3
"""The first accepted requests after each ripe doubt, one of which can be its control: some may be held access without
a row. The newest is read besides, so that no number of such requests leaves a doubt without a control."""

_BEFORE: Final = 6
"""Accepted requests before the control that must be listed completely: the newest, whose rows come last."""

_ENDS: Final = (Event.UNDECIDED.value, Event.ABANDONED.value)
_EVENTS: Final = (
    sa.select(t.event.c.run, t.event.c.number, t.event.c.at, t.event.c.event, t.event.c.detail)
    .where(t.event.c.request == sa.bindparam("of_request"), t.event.c.event.in_([Event.CLAIMED.value, *_ENDS]))
    .order_by(t.event.c.number)
)
_ANSWER_BEFORE: Final = (
    sa.select(t.event.c.detail)
    .where(
        t.event.c.run == sa.bindparam("of_run"),
        t.event.c.number < sa.bindparam("before"),
        t.event.c.status.is_not(None),
    )
    .order_by(t.event.c.number.desc())
    .limit(1)
)
_SIGNER: Final = (
    sa.select(t.event.c.signer)
    .where(
        t.event.c.run == sa.bindparam("of_run"),
        t.event.c.number >= sa.bindparam("since"),
        t.event.c.signer.is_not(None),
    )
    .order_by(t.event.c.number)
    .limit(1)
)
"""Who has signed an event: the signature at the end of its transaction covers it."""
_LAST_CLAIM: Final = (
    sa.select(t.event.c.detail, t.event.c.hash)
    .where(t.event.c.request == sa.bindparam("of_request"), t.event.c.event == Event.CLAIMED.value)
    .order_by(t.event.c.number.desc())
    .limit(1)
)
_ACCEPTED_AT: Final = sa.select(t.event.c.request, t.event.c.detail).where(
    t.event.c.request.in_(sa.bindparam("numbers", expanding=True)), t.event.c.event == Event.ACCEPTED.value
)
HAS_ROWS: Final = t.request.c.recipient_count * t.request.c.item_count > (
    sa.select(sa.func.count())
    .select_from(t.track)
    .join(t.finding, t.finding.c.id == t.track.c.finding)
    .where(
        t.track.c.request == t.request.c.number,
        (t.finding.c.state == EXISTING) | t.finding.c.said.startswith(EXISTING_SAID, autoescape=True),
    )
    .scalar_subquery()
)
"""Whether the tenant created something for a request, as far as its answer tells."""
_FORGET: Final = sa.delete(t.doubt).where(t.doubt.c.request.in_(sa.bindparam("numbers", expanding=True)))
_OF_ATTEMPT: Final = sa.select(t.request.c.number).where(
    t.request.c.number == sa.bindparam("of_request"),
    t.request.c.attempts == sa.bindparam("of_attempts"),
    t.request.c.state == State.UNCONFIRMED.value,
)
"""A doubt about the attempt that its reader knows: a process that lost the run may have slept through the next."""
_COPY: Final = ("tenant_time", "fence", "ripe")
_KNOWN: Final = sa.select(*(t.doubt.c[name] for name in (*_COPY, "mac"))).where(
    t.doubt.c.request == sa.bindparam("of_request")
)
_SENT: Final = sa.select(t.request.c.number, t.request.c.attempts, t.request.c.parent).where(
    t.request.c.number == sa.bindparam("of_request")
)
_ARRIVED: Final = (
    sa.select(t.request.c.number)
    .where(t.request.c.claimed == sa.bindparam("claim"), t.request.c.state == State.ACCEPTED.value)
    .limit(1)
)
_ACCEPTED: Final = REQUEST.where(
    t.request.c.claimed.between(sa.bindparam("least"), sa.bindparam("last")),
    t.request.c.state == State.ACCEPTED.value,
    t.run.c.tenant == sa.select(t.run.c.tenant).where(t.run.c.id == sa.bindparam("of_run")).scalar_subquery(),
    HAS_ROWS,
).limit(sa.bindparam("most"))
_NEWEST_ACCEPTED: Final = _ACCEPTED.order_by(t.request.c.claimed.desc())
_OLDEST_ACCEPTED: Final = _ACCEPTED.order_by(t.request.c.claimed)
_EVER: Final = (1 << 31) - 1
"""More claims than there will ever be."""
_DELAY: Final = (
    sa.select(t.tenant.c.listing_delay, t.tenant.c.listing_delay_at)
    .join(t.run, t.run.c.tenant == t.tenant.c.id)
    .where(t.run.c.id == sa.bindparam("of_run"))
)
_HELD: Final = (
    sa.select(
        t.track.c.request,
        t.identity.c.external_id.label("identity"),
        t.item.c.external_id.label("item"),
        t.item.c.type,
        t.finding.c.state,
        t.finding.c.said,
    )
    .join(t.identity, t.identity.c.id == t.track.c.identity)
    .join(t.item, t.item.c.id == t.track.c.item)
    .join(t.finding, t.finding.c.id == t.track.c.finding)
    .where(t.track.c.request.in_(sa.bindparam("numbers", expanding=True)))
)


class DoubtStore:
    """What a ledger knows of its UNCONFIRMED requests."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def keep_time(self, requests: Iterable[Request], tenant_time: datetime) -> None:
        """Keeps the tenant's clock, read after the attempts had ended; an earlier reading stays."""
        with writing(self._engine) as connection:
            for request in requests:
                _keep(connection, request, "tenant_time", instant(tenant_time))

    def ripen(self, requests: Iterable[Request]) -> int:
        """Keeps that the requests can arrive no more: those claimed from now on can be their control.

        Returns:
            How many claims there were so far.
        """
        with writing(self._engine) as connection:
            claims: int = connection.execute(sa.select(t.about.c.claims)).scalar_one()
            for request in requests:
                _keep(connection, request, "ripe", claims)
            return claims

    def witnesses(self, doubts: Sequence[Doubt]) -> tuple[Witness, ...]:
        """Accepted requests of the doubts' tenant, of any run, whose listing can prove something about the doubts.

        They are bounded: for each moment at which doubts became ripe, the first accepted requests that were claimed
        later, the newest of all, and the newest that were claimed before, whose rows come last. Those were claimed
        after the first of the doubts, if there are any. A request for which the tenant created nothing proves nothing.
        """
        if not doubts:
            return ()
        with reading(self._engine) as connection:
            run, first = doubts[0].request.run, min(doubt.claimed for doubt in doubts)

            def read(query: sa.Select[Any], *, least: int = 1, last: int = _EVER, most: int) -> dict[int, Any]:
                asked = {"of_run": run, "least": least, "last": last, "most": most}
                return {row.number: row for row in connection.execute(query, asked)}

            rows: dict[int, Any] = {}
            for ripe in {doubt.ripe for doubt in doubts}:
                rows |= read(_NEWEST_ACCEPTED, least=first, last=_EVER if ripe is None else ripe, most=_BEFORE)
                if ripe is not None:
                    rows |= read(_OLDEST_ACCEPTED, least=ripe + 1, most=_AFTER)
                    rows |= read(_NEWEST_ACCEPTED, least=ripe + 1, most=1)
            rows = rows or read(_NEWEST_ACCEPTED, most=_AFTER)
            return _load_witnesses(connection, sorted(rows.values(), key=lambda row: row.claimed))

    def listing_delay(self, run: str, now: datetime) -> float:
        """The longest delay of the tenant's list that still counts, in seconds; see `delay_now`."""
        with reading(self._engine) as connection:
            return _delay_now(connection, run, now)

    def keep_listing_delay(self, run: str, seconds: float, now: datetime) -> None:
        """Keeps a delay that was seen at the run's tenant, unless an earlier one counts more."""
        tenant = sa.select(t.run.c.tenant).where(t.run.c.id == run).scalar_subquery()
        with writing(self._engine) as connection:
            if seconds > _delay_now(connection, run, now):
                update = sa.update(t.tenant).where(t.tenant.c.id == tenant)
                connection.execute(update.values(listing_delay=seconds, listing_delay_at=instant(now)))


def _delay_now(connection: Connection, run: str, now: datetime) -> float:
    found = connection.execute(_DELAY, {"of_run": run}).one()
    return delay_now(found.listing_delay, moment(found.listing_delay_at), now)


def _keep(connection: Connection, request: Request, name: str, value: Any) -> None:
    """Keeps what was learnt of a doubt, unless it was known before."""
    if connection.execute(_OF_ATTEMPT, {"of_request": request.number, "of_attempts": request.attempts}).first() is None:
        return
    known = known_of(connection, request.number)
    if known[name] is None:
        end(connection, [request.number])
        _add(connection, request.number, {**known, name: value})


def _add(connection: Connection, number: int, known: Mapping[str, Any]) -> None:
    connection.execute(sa.insert(t.doubt), {"request": number, **known, "mac": _mac(connection, number, known)})


def _mac(connection: Connection, number: int, known: Mapping[str, Any]) -> str:
    """This machine's code of a row. It covers the attempt, so that no row of an earlier one takes its place."""
    claim = connection.execute(_LAST_CLAIM, {"of_request": _sent(connection, number)}).first()
    facts = [str(known[name] if known[name] is not None else "") for name in _COPY]
    key: MachineKey = connection.get_execution_options()[KEY]()
    return key.mac("doubt", claim.hash if claim else "", str(number), *facts)


def begin(connection: Connection, numbers: Sequence[int], *, fenced: bool = False) -> None:
    """Begins doubts about requests that became UNCONFIRMED.

    Args:
        connection: In the transaction that makes them so.
        numbers: Their numbers.
        fenced: Whether the process that sent them may still live: then only the end of its token stops it.
    """
    end(connection, numbers)
    for number in numbers:
        fence = _expiry(connection, number) if fenced else None
        _add(connection, number, {**dict.fromkeys(_COPY), "fence": fence})


def end(connection: Connection, numbers: Sequence[int]) -> None:
    """Ends doubts about requests that are UNCONFIRMED no more, in the transaction that moves them."""
    for start in range(0, len(numbers), _AT_ONCE):
        connection.execute(_FORGET, {"numbers": numbers[start : start + _AT_ONCE]})


def inherit(connection: Connection, parent: Mapping[str, Any], children: Sequence[int]) -> None:
    """Begins doubts about parts of a request that was in doubt itself, with the facts about it.

    Args:
        connection: In the transaction that divides the request.
        parent: From `known_of`.
        children: Numbers of the parts.
    """
    for number in children:
        _add(connection, number, parent)


def known_of(connection: Connection, number: int) -> Mapping[str, Any]:
    """What is known of a doubt, for `inherit`: its row if this machine has written it, else what the events tell."""
    row = connection.execute(_KNOWN, {"of_request": number}).mappings().first()
    known = {name: row[name] for name in _COPY} if row else {}
    if row and row["mac"] == _mac(connection, number, known):
        return known
    return {**dict.fromkeys(_COPY), "fence": _fence(connection, number)}


def adopt(connection: Connection, run_id: str) -> None:
    """Keeps the fences of a run's doubts when the ledger of a version without codes is upgraded, and nothing else."""
    doubts = sa.select(t.doubt.c.request, t.doubt.c.fence).join(t.request, t.request.c.number == t.doubt.c.request)
    for row in connection.execute(doubts.where(t.request.c.run == t.number_of_run(run_id))).all():
        end(connection, [row.request])
        _add(connection, row.request, {**dict.fromkeys(_COPY), "fence": row.fence})


def _fence(connection: Connection, number: int) -> str | None:
    """The fence that a doubt needs by its events.

    None only if the machine that made the latest attempt says itself that the attempt has ended.
    """
    events = connection.execute(_EVENTS, {"of_request": _sent(connection, number)}).all()
    claim = next((event for event in reversed(events) if event.event == Event.CLAIMED), None)
    last = events[-1] if events else None
    if claim is None or last is None or last is claim:
        return _expiry(connection, number)
    has_ended = last.event == Event.UNDECIDED or _read(last.detail).get(GONE) is True
    places = [{"of_run": event.run, "since": event.number} for event in (claim, last)]
    signers = {connection.execute(_SIGNER, place).scalar() for place in places}
    return None if has_ended and len(signers) == 1 and None not in signers else _expiry(connection, number)


_AT_ONCE: Final = 500


def _expiry(connection: Connection, number: int) -> str:
    """When the token of a request's latest attempt expires; NEVER if the ledger does not know."""
    claim = connection.execute(_LAST_CLAIM, {"of_request": _sent(connection, number)}).first()
    expires = moment(_read(claim.detail if claim else None).get(TOKEN_EXPIRES))
    return instant(expires or NEVER)


def load_doubts(connection: Connection, rows: Sequence[Any]) -> tuple[Doubt, ...]:
    """The doubts about requests, in the order of their rows of REQUEST."""
    return tuple(
        _load_doubt(connection, request, row)
        for request, row in zip(load_requests(connection, rows), rows, strict=True)
    )


def _load_doubt(connection: Connection, request: Request, row: Any) -> Doubt:
    sent = _sent(connection, row.number)
    events = connection.execute(_EVENTS, {"of_request": sent}).all()
    if not events:
        raise changed(request.run, [f"request {row.number} is in doubt, but was never sent"])
    first = events[0]
    ended = next((event.at for event in reversed(events) if event.event in _ENDS), first.at)
    before = connection.execute(_ANSWER_BEFORE, {"of_run": first.run, "before": first.number}).scalar()
    known = known_of(connection, row.number)
    return Doubt(
        request=request,
        first_attempt=datetime.fromisoformat(first.at),
        ended=datetime.fromisoformat(ended),
        sent="" if sent == row.number else _request(connection, sent).id,
        claimed=row.claimed or 0,
        arrived=_has_arrived(connection, row),
        tenant_before=moment(_read(before).get(SERVER_TIME)),
        tenant_time=moment(known["tenant_time"]),
        fence=moment(known["fence"]),
        ripe=known["ripe"],
    )


def _request(connection: Connection, number: int) -> Request:
    rows = connection.execute(REQUEST.where(t.request.c.number == number)).all()
    return load_requests(connection, rows)[0]


def _sent(connection: Connection, number: int) -> int:
    """The number of the request whose id travelled with a request: its own, or one's that it is a part of."""
    row = connection.execute(_SENT, {"of_request": number}).one()
    # A part is newer than the whole; otherwise somebody has changed it.
    while not row.attempts and row.parent is not None and row.parent < row.number:
        row = connection.execute(_SENT, {"of_request": row.parent}).one()
    return int(row.number)


def _has_arrived(connection: Connection, row: Any) -> bool:
    """Whether some request of the same body is known to have arrived.

    A body is accepted or refused as a whole: if one of its requests is ACCEPTED, the tenant has them all.
    """
    if row.claimed is None:
        return False
    return connection.execute(_ARRIVED, {"claim": row.claimed}).first() is not None


def _load_witnesses(connection: Connection, rows: Sequence[Any]) -> tuple[Witness, ...]:
    numbers = [row.number for row in rows]
    answers = connection.execute(_ACCEPTED_AT, {"numbers": numbers}).all() if numbers else []
    accepted_at = {answer.request: moment(_read(answer.detail).get(SERVER_TIME)) for answer in answers}
    requests = load_requests(connection, rows)
    held = _held(connection, requests)
    return tuple(
        Witness(
            request=request,
            sent=request.id if request.attempts else _request(connection, _sent(connection, request.number)).id,
            claimed=row.claimed,
            accepted_at=accepted_at.get(request.number),
            held=frozenset(held[request.number]),
        )
        for request, row in zip(requests, rows, strict=True)
    )


def _held(connection: Connection, requests: Sequence[Request]) -> defaultdict[int, set[Place]]:
    """Changes of requests for which the tenant created nothing, as it said."""
    places = {
        (request.number, identity, item.type.value, item.id): (r, i)
        for request in requests
        for r, identity in enumerate(request.recipients)
        for i, item in enumerate(request.items)
    }
    found: defaultdict[int, set[Place]] = defaultdict(set)
    numbers = [request.number for request in requests]
    for row in connection.execute(_HELD, {"numbers": numbers}) if requests else ():
        place = places.get((row.request, row.identity, row.type, row.item))
        if place is not None and is_existing(row.state, row.said):
            found[row.request].add(place)
    return found


def _read(detail: str | None) -> Mapping[str, Any]:
    read = json.loads(detail) if detail else {}
    return read if isinstance(read, dict) else {}
