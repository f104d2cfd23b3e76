"""Doubts: what the ledger knows of requests that may or may not have arrived, and of their controls.

Time that has passed can't be proven to another machine, so each row of `doubt` has a code that only the machine that
wrote it can compute. For any other the waiting begins anew, and the chain of events tells whether a process may still
send the request: anybody who can write to the ledger could otherwise pretend that the time has passed.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from batch.ledger import tables as t
from batch.ledger.engine import reading, writing
from batch.ledger.events import ATTEMPT, BODY, CLAIM, GONE, HAS_ARRIVED, LOST, SERVER_TIME, TOKEN_EXPIRES, changed
from batch.ledger.machine_key import KEY
from batch.ledger.repeating import repeated
from batch.ledger.rows import load_requests
from batch.ledger.witnesses import ClaimOrder, read_detail, request_of, sent_of, witnesses_of
from batch.model import Doubt
from batch.states import Event, State
from batch.status.compare import LOST_RUN
from batch.status.control import delay_now
from batch.text import RequestId, instant, moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy.engine import Connection, Engine

    from batch.ledger.machine_key import LedgerMemory, MachineKey
    from batch.model import Request
    from batch.status.control import Witness

NEVER: Final = datetime(9999, 1, 1, tzinfo=UTC)
"""Stands for the expiry of a token if the ledger does not know it."""

BY_HAND: Final[Mapping[str, str]] = {"by": "hand"}
"""The detail of the events by which a person settles doubts."""

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
_ARRIVED: Final = sa.select(t.request.c.number).where(
    t.request.c.run == t.number_of_run(sa.bindparam("of_run", type_=sa.Text())),
    t.request.c.claimed == sa.bindparam("claim"),
    t.request.c.state == State.ACCEPTED.value,
)
_RUNS_OF_BODY: Final = sa.select(t.run.c.number, t.run.c.id).where(
    t.run.c.input_digest.startswith(LOST_RUN) | t.run.c.id.in_(sa.bindparam("places", expanding=True))
)
_CLAIMS_OF_BODY: Final = (
    sa.select(t.event.c.run, t.request.c.claimed)
    .join(t.request, t.request.c.number == t.event.c.request)
    .where(
        t.event.c.run.in_(sa.bindparam("runs", expanding=True)),
        t.event.c.event == Event.CLAIMED.value,
        t.event.c.detail.contains(sa.bindparam("body")),
    )
)
_DELAY: Final = sa.select(t.tenant.c.listing_delay, t.tenant.c.listing_delay_at)
_LEDGER: Final = sa.select(t.about.c.ledger)
_DELAY_OF_RUN: Final = _DELAY.join(t.run, t.run.c.tenant == t.tenant.c.id).where(t.run.c.id == sa.bindparam("of"))
_DELAY_AT: Final = _DELAY.where(t.tenant.c.id == t.tenant_at(sa.bindparam("of")))


@repeated
class DoubtStore:
    """What a ledger knows of its UNCONFIRMED requests.

    Args:
        engine: The ledger.
        memory: What this machine knows of ledgers. No chain has how late a list was, so that is kept there too.
    """

    def __init__(self, engine: Engine, memory: LedgerMemory | None = None) -> None:
        self._engine = engine
        self._memory = memory
        self._order = ClaimOrder()

    def keep_time(self, requests: Iterable[Request], tenant_time: datetime) -> None:
        """Keeps the tenant's clock, read after the attempts had ended; an earlier reading stays."""
        with writing(self._engine) as connection:
            for request in requests:
                _keep(connection, request, "tenant_time", instant(tenant_time))

    def ripen(self, requests: Iterable[Request]) -> int:
        """Keeps that the requests can arrive no more: those claimed from now on can be their control.

        Returns:
            How many claims there were so far.

        Raises:
            LedgerChangedError: Somebody has changed the ledger.
            LedgerLostError: The ledger has lost events.
        """
        with reading(self._engine) as connection:
            # Outside of the transaction that writes, for which all others wait.
            self._order.greatest(connection)
        with writing(self._engine) as connection:
            claims = self._order.greatest(connection)
            for request in requests:
                _keep(connection, request, "ripe", claims)
            return claims

    def witnesses(self, doubts: Sequence[Doubt]) -> tuple[Witness, ...]:
        """Accepted requests of the doubts' tenant, of any run, whose listing can prove something about the doubts.

        They are bounded: for each moment at which doubts became ripe, the first accepted requests that were claimed
        later, the newest of all, and the newest that were claimed before, whose rows come last. Those were claimed
        after the first of the doubts, if there are any. A request for which the tenant created nothing proves nothing.

        Raises:
            LedgerChangedError: Somebody has changed the ledger.
            LedgerLostError: The ledger has lost events.
        """
        if not doubts:
            return ()
        with reading(self._engine) as connection:
            return witnesses_of(connection, self._order, doubts)

    def listing_delay(self, run: str, now: datetime) -> float:
        """The longest delay of the list of a run's tenant that still counts, in seconds; see `delay_now`."""
        with reading(self._engine) as connection:
            return self._delay(connection, _DELAY_OF_RUN, run, now)

    def listing_delay_at(self, url: str, now: datetime) -> float:
        """The same, of the tenant with this address."""
        with reading(self._engine) as connection:
            return self._delay(connection, _DELAY_AT, url, now)

    def keep_listing_delay(self, run: str, seconds: float, now: datetime) -> None:
        """Keeps a delay that was seen at the run's tenant, unless an earlier one counts more."""
        tenant = sa.select(t.run.c.tenant).where(t.run.c.id == run).scalar_subquery()
        with writing(self._engine) as connection:
            if seconds > _delay_now(connection, _DELAY_OF_RUN, run, now):
                update = sa.update(t.tenant).where(t.tenant.c.id == tenant)
                connection.execute(update.values(listing_delay=seconds, listing_delay_at=instant(now)))
            ledger: str = connection.execute(_LEDGER).scalar_one()
            # By itself: somebody may have written a longer one into the ledger, and take it away later.
            if self._memory is not None and seconds > self._memory.delay(ledger, now):
                self._memory.keep_delay(ledger, seconds, now)

    def _delay(self, connection: Connection, query: sa.Select[Any], of: str, now: datetime) -> float:
        remembered = self._memory.delay(connection.execute(_LEDGER).scalar_one(), now) if self._memory else 0.0
        return max(remembered, _delay_now(connection, query, of, now))


def _delay_now(connection: Connection, query: sa.Select[Any], of: str, now: datetime) -> float:
    found = connection.execute(query, {"of": of}).first()
    return delay_now(found.listing_delay, moment(found.listing_delay_at), now) if found else 0.0


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
    claim = connection.execute(_LAST_CLAIM, {"of_request": sent_of(connection, number)}).first()
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
    events = connection.execute(_EVENTS, {"of_request": sent_of(connection, number)}).all()
    claim = next((event for event in reversed(events) if event.event == Event.CLAIMED), None)
    last = events[-1] if events else None
    if claim is None or last is None or last is claim:
        return _expiry(connection, number)
    has_ended = last.event == Event.UNDECIDED or read_detail(last.detail).get(GONE) is True
    places = [{"of_run": event.run, "since": event.number} for event in (claim, last)]
    signers = {connection.execute(_SIGNER, place).scalar() for place in places}
    return None if has_ended and len(signers) == 1 and None not in signers else _expiry(connection, number)


_AT_ONCE: Final = 500


def _expiry(connection: Connection, number: int) -> str:
    """When the token of a request's latest attempt expires; NEVER if the ledger does not know."""
    claim = connection.execute(_LAST_CLAIM, {"of_request": sent_of(connection, number)}).first()
    expires = moment(read_detail(claim.detail if claim else None).get(TOKEN_EXPIRES))
    return instant(expires or NEVER)


def load_doubts(connection: Connection, rows: Sequence[Any]) -> tuple[Doubt, ...]:
    """The doubts about requests, in the order of their rows of REQUEST."""
    return tuple(
        _load_doubt(connection, request, row)
        for request, row in zip(load_requests(connection, rows), rows, strict=True)
    )


def _load_doubt(connection: Connection, request: Request, row: Any) -> Doubt:
    sent = sent_of(connection, row.number)
    events = connection.execute(_EVENTS, {"of_request": sent}).all()
    if not events:
        raise changed(request.run, [f"request {row.number} is in doubt, but was never sent"])
    first = events[0]
    ended = next((event.at for event in reversed(events) if event.event in _ENDS), first.at)
    before = connection.execute(_ANSWER_BEFORE, {"of_run": first.run, "before": first.number}).scalar()
    known = known_of(connection, row.number)
    latest = next((read_detail(event.detail) for event in reversed(events) if event.event == Event.CLAIMED), {})
    claimed = int(latest.get(CLAIM, row.claimed or 0))
    return Doubt(
        request=request,
        first_attempt=datetime.fromisoformat(first.at),
        ended=datetime.fromisoformat(ended),
        sent=_sent_id(connection, sent, row.number, latest),
        claimed=claimed,
        attempt=_body(latest),
        arrived=_has_arrived(connection, request.run, latest, claimed),
        tenant_before=moment(read_detail(before).get(SERVER_TIME)),
        tenant_time=moment(known["tenant_time"]),
        fence=moment(known["fence"]),
        ripe=known["ripe"],
    )


def renew(connection: Connection, numbers: Sequence[int]) -> None:
    """Begins doubts anew about requests that are in doubt: an attempt that the ledger has lost may have made others."""
    for number in numbers:
        fence = known_of(connection, number)["fence"]
        end(connection, [number])
        _add(connection, number, {**dict.fromkeys(_COPY), "fence": fence})


def sent_name(connection: Connection, request: Request) -> str:
    """The id that was sent with a request: its own, another's that it is a part of, or one that the ledger has lost."""
    sent = sent_of(connection, request.number)
    claim = connection.execute(_LAST_CLAIM, {"of_request": sent}).first()
    return _sent_id(connection, sent, request.number, read_detail(claim.detail if claim else None)) or request.id


def _sent_id(connection: Connection, sent: int, number: int, latest: Mapping[str, Any]) -> str:
    """See `Doubt.sent`; the ledger may have lost the request that was sent, and know its id."""
    if isinstance(named := latest.get(LOST), str):
        return named
    return "" if sent == number else request_of(connection, sent).id


def _has_arrived(connection: Connection, run_id: str, sent: Mapping[str, Any], claimed: int) -> bool:
    """Whether something of the same body is known to have arrived.

    A body is accepted or refused as a whole: if one of its requests is ACCEPTED, the tenant has them all.

    Args:
        connection: In a transaction.
        run_id: The run.
        sent: The detail of the event of the latest attempt: all requests of its body have its id.
        claimed: The number of its claim; 0 if the ledger does not know it.
    """
    claims, body = [(run_id, claimed)] if claimed else [], _body(sent)
    if body:
        # A lost body has a claim for each of its requests, in this run, the one that sent it, or one in its place.
        name = RequestId.read(named) if isinstance(named := sent.get(LOST), str) else None
        places = [run_id, *([name.run] if name else [])] if LOST in sent else []
        runs: dict[int, str] = dict(connection.execute(_RUNS_OF_BODY, {"places": places}).all())
        of_body = {"runs": [*runs], "body": f'"{body}"'}
        claims += [(runs[row.run], row.claimed) for row in connection.execute(_CLAIMS_OF_BODY, of_body)] if runs else []
    return bool(sent.get(HAS_ARRIVED)) or any(
        _body(read_detail(claim.detail)) == body
        for run, number in claims
        for accepted in connection.execute(_ARRIVED, {"of_run": run, "claim": number}).scalars().all()
        if (claim := connection.execute(_LAST_CLAIM, {"of_request": sent_of(connection, accepted)}).first()) is not None
    )


def _body(sent: Mapping[str, Any]) -> str:
    return str(sent.get(BODY) or sent.get(ATTEMPT) or "")
