"""Requests on their way: claimed, answered, settled."""

from __future__ import annotations

import threading
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from batch.errors import BrokenPromiseError, LedgerLostError
from batch.ledger import envelopes, events
from batch.ledger import tables as t
from batch.ledger.answered import Answered, entry_of, existing_of
from batch.ledger.arrivals import record_elsewhere
from batch.ledger.attempts import begin_attempts, count_claims
from batch.ledger.doubts import load_doubts
from batch.ledger.engine import reading, require_never_lost, writing
from batch.ledger.events import ACCESS_REQUESTS, FOLLOWED, REASON, REASON_COLUMN, Entry, Followed, changed
from batch.ledger.failures import failures
from batch.ledger.holders import look, require_held
from batch.ledger.moving import divide, move
from batch.ledger.postgresql import COMPARES_FIRST
from batch.ledger.repeating import repeated
from batch.ledger.rows import REQUEST, last_sent, load_requests
from batch.ledger.seals import Sealed, check_run, require_ours, seal_of
from batch.ledger.sessions import Lock
from batch.ledger.standing import Standing, in_turn, standing
from batch.ledger.submit_once import leave_to_others
from batch.ledger.track import write_statuses
from batch.ledger.waves import clock_of, rows_within
from batch.model import Head
from batch.states import Event, State
from batch.status.evidence import held_statuses
from batch.text import RequestId

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection, Engine

    from batch.answers.poison import Failed, Failures
    from batch.api.status_row import StatusRow
    from batch.ledger.process import Process
    from batch.model import Doubt, Part, Request, Run
    from batch.plan.body import Body
    from batch.plan.waves import Limit, Moment
    from batch.status.control import Place


_OF_RUN_IN_STATE: Final = sa.and_(
    t.request.c.run == sa.select(t.run.c.number).where(t.run.c.id == sa.bindparam("run_id")).scalar_subquery(),
    t.request.c.state == sa.bindparam("in_state"),
)
_COUNT: Final = sa.select(sa.func.count()).select_from(t.request).where(_OF_RUN_IN_STATE)
_IN_STATE: Final = REQUEST.where(_OF_RUN_IN_STATE).order_by(t.request.c.number)


@repeated
class Requests:
    """The requests of a ledger."""

    def __init__(self, engine: Engine, new_id: Callable[[], str]) -> None:
        self._engine = engine
        self._new_id = new_id
        self._heads: dict[str, Head] = {}
        self._standing: dict[str, Standing] = {}
        self.turn = threading.Lock()
        self._followed: dict[str, Followed] = {}
        engine.update_execution_options(**{FOLLOWED: self._followed})
        self.on_claimed: Callable[[Head, Standing], None] = lambda _head, _standing: None
        """Takes a run's head and what is on its way after each claim, before anything that was claimed is sent."""
        self.on_accepted: Callable[[Request, Iterable[int]], None] = lambda _request, _doubtful: None
        """Takes the newest request that was recorded as accepted, if the tenant lists all of it; and those in doubt."""

    @in_turn
    def claim(
        self,
        run: Run,
        now: datetime,
        process: Process,
        *,
        most: int = 1,
        token_expires: datetime | None = None,
        first: Collection[int] = (),
        but: Collection[int] = (),
        only: Collection[int] | None = None,
        wave: tuple[Limit, Moment] | None = None,
    ) -> tuple[Body, ...]:
        """Takes the run's next bodies for sending and records the attempts. Durable when this returns.

        Args:
            run: The run.
            now: When.
            process: It must hold the run, so that a process that was taken for dead does not go on.
            most: How many bodies at most.
            token_expires: When the token of the attempts expires, by the tenant's clock; None if that is not known.
            first: Numbers of requests to take before others.
            but: Numbers of requests not to take.
            only: Numbers of the requests that may be taken; None for all.
            wave: How many changes may be claimed in a period, and this moment; None for a run without waves.

        Returns:
            The bodies, whose requests are SENDING now; none if nothing is left to send, or fits.

        Raises:
            RunHeldError: The process does not hold the run (any more).
            LedgerChangedError: Somebody has changed the run, or what it has planned.
            LedgerLostError: The ledger lacks this process's last claim: it was put back, or replaced by a copy.
                Or a connection to it was lost, even if nothing else failed by that.
        """
        with writing(self._engine, Lock.OWN) as connection:
            require_never_lost(connection)
            looked, seen = look(connection, run.id, process), self._heads.get(run.id)
            rows = envelopes.next_bodies(connection, run.id, State.PLANNED.value, most, first=first, but=but, only=only)
            rows = rows_within(connection, run.id, rows, *wave) if wave else rows
            last = looked()
            newest = Head(run=run.id, number=last.number or 0, hash=last.hash or "")
            is_known = run.id in self._followed and self._followed[run.id].knows(newest)
            if not is_known:
                self._require_claims(connection, run.id)
            if not is_known or run.id not in self._standing:
                self._standing[run.id] = standing(connection, run.id)
            if not rows:
                return ()
            counted = count_claims(connection, envelopes.count_bodies(rows))
            loaded = envelopes.with_bodies(load_requests(connection, rows), rows)
            self._require_sealed(connection, loaded, anew=not is_known)
            sent = seen.sent if seen else last_sent(connection, run.id)
            bodies, head = begin_attempts(
                connection,
                loaded,
                now,
                self._new_id,
                token_expires,
                process,
                last=last,
                counted=counted,
                clock=clock_of(wave[1]) if wave else None,
            )
            head = replace(head, sent=max([sent, *(request.number for request in loaded if request.parent is None)]))
        self._heads[run.id] = head
        self._standing[run.id].claim(run, bodies, shared=[row.number for row in rows if row.envelope is not None])
        self.on_claimed(head, self._standing[run.id])
        return bodies

    def require_claims(self, run: Run) -> None:
        """Checks that the ledger has this process's last claim.

        Raises:
            LedgerLostError: It has not: it was put back, or replaced by a copy.
        """
        with reading(self._engine) as connection:
            self._require_claims(connection, run.id)

    def _require_claims(self, connection: Connection, run_id: str) -> None:
        """Refuses to go on in a ledger that lacks this process's last claim."""
        seen = self._heads.get(run_id)
        if seen and not events.has(connection, seen):
            raise LedgerLostError(
                "The ledger has lost this process's last claim: it was put back, or is another copy.",
                next_step=COMPARES_FIRST,
            )

    def check(self, run: Run, *, whole: bool = False) -> Sealed:
        """Computes the run's chain again, see `check_run`; returns its planned requests, by the machine that did it.

        Raises:
            LedgerChangedError: Somebody has changed the ledger.
        """
        with reading(self._engine) as connection:
            return self._check(connection, run.id, whole=whole)

    def _check(self, connection: Connection, run_id: str, *, whole: bool = False) -> Sealed:
        sealed = check_run(connection, run_id, whole=whole)
        free = {number: seal for number, seal in sealed.ours.items() if number not in sealed.mistrusted}
        self._followed[run_id] = Followed(sealed.last, free, sealed.doubtful)
        return sealed

    def _require_sealed(self, connection: Connection, requests: Sequence[Request], *, anew: bool) -> None:
        """Checks that requests are as this machine has planned them, and free to be sent by the run's events.

        Args:
            connection: In the transaction that claims them.
            requests: Requests of one run.
            anew: Whether the run has events that this process has neither checked nor added.

        Raises:
            LedgerChangedError: Somebody has changed the ledger.
            StoppedError: Another machine has planned some of them.
        """
        run_id = requests[0].run
        if anew or any(request.number not in self._followed[run_id].free for request in requests):
            sealed = self._check(connection, run_id)
            for request in requests:
                require_ours(sealed, request)
        free = self._followed[run_id].free
        for request in requests:
            if free[request.number] != seal_of(request):
                raise changed(run_id, [f"request {request.number} was changed"])

    @in_turn
    def record(self, *answered: Answered, process: Process) -> None:
        """Records answers to the latest attempts of requests of one run, and moves the requests accordingly.

        Args:
            answered: The answers.
            process: Has made the attempts.

        Raises:
            RunHeldError: The process was taken for dead, and another one settles its requests; nothing is recorded.
            BrokenPromiseError: One of the requests is no longer SENDING; then nothing is recorded.
        """
        adds = any(one.parts or one.alone or one.answer.existing for one in answered)
        with writing(self._engine, Lock.LEDGER if adds else Lock.OWN) as connection:
            looked = look(connection, answered[0].request.run, process)
            for event in dict.fromkeys(one.decision.event for one in answered):
                alike = [one for one in answered if one.decision.event is event]
                try:
                    move(connection, [one.request for one in alike], State.SENDING, event, alike[-1].at)
                except BrokenPromiseError:
                    looked()
                    require_never_lost(connection)
                    self._require_claims(connection, answered[0].request.run)
                    raise
            events.append(connection, answered[0].request.run, [entry_of(one) for one in answered], looked())
            for one in answered:
                if one.parts:
                    divide(connection, one.request, one.parts, State.REFUSED, one.at, tag=self._new_id())
            if alone := [one.request for one in answered if one.alone]:
                envelopes.part(connection, alone)
            if findings := [found for one in answered for found in existing_of(one)]:
                write_statuses(connection, _tenant_of(connection, answered[0].request.run), findings, answered[-1].at)
        doubtful = self._standing.setdefault(answered[0].request.run, Standing()).doubtful
        for one in answered:
            if one.decision.event is not Event.UNDECIDED:
                doubtful.pop(one.request.number, None)
        listed = [one.request for one in answered if one.decision.event is Event.ACCEPTED and not one.answer.existing]
        if listed:
            # The newest head may have a request under its number that is there in parts by now.
            self.on_accepted(listed[-1], doubtful.keys() | {one.request.number for one in doubtful.values()})

    def failures(self, run: Run) -> Failures:
        """The run's planned requests that have failed, and how often others have."""
        with reading(self._engine) as connection:
            return failures(connection, run.id)

    def take_apart(self, failed: Failed, parts: Sequence[Part], now: datetime, process: Process) -> tuple[int, ...]:
        """Divides a planned request that never gets through; refuses it if there are no parts.

        If it shares its body with others, it travels alone from now on instead.

        Returns:
            Numbers of the parts.

        Raises:
            RunHeldError: The process does not hold the run (any more).
            BrokenPromiseError: The request is no longer PLANNED.
        """
        request, why = failed.request, {REASON: failed.words}
        with writing(self._engine) as connection:
            require_held(connection, request.run, process)
            if failed.in_company:
                envelopes.part(connection, [request])
            elif parts:
                return divide(connection, request, parts, State.PLANNED, now, why, tag=self._new_id())
            else:
                move(connection, [request], State.PLANNED, Event.REFUSED, now)
                entry = Entry(event=Event.REFUSED, at=now, request=request.number, detail=why)
                events.append(connection, request.run, [entry])
        return ()

    def left(self, run: Run, *, only: Collection[int] | None = None) -> int:
        """How many bodies of the run, or of these requests of it, are still to be sent."""
        with reading(self._engine) as connection:
            if only is not None:
                most = max(1, len(only))
                rows = envelopes.next_bodies(connection, run.id, State.PLANNED.value, most, only=only)
                return envelopes.count_bodies(rows)
            counted = connection.execute(_COUNT, {"run_id": run.id, "in_state": State.PLANNED.value})
            return int(counted.scalar_one()) - envelopes.in_excess(connection, run.id).get(State.PLANNED.value, 0)

    def doubts(self, run: Run) -> tuple[Doubt, ...]:
        """The run's UNCONFIRMED requests, in order, with the times of their attempts."""
        with reading(self._engine) as connection:
            rows = envelopes.all_in_state(connection, run.id, State.UNCONFIRMED.value)
            doubts = load_doubts(connection, rows)
            placed = envelopes.with_bodies([doubt.request for doubt in doubts], rows)
            return tuple(replace(doubt, request=request) for doubt, request in zip(doubts, placed, strict=True))

    def doubt(self, request: Request) -> Doubt:
        """The doubt about a request that has just become UNCONFIRMED."""
        with reading(self._engine) as connection:
            row = connection.execute(REQUEST.where(t.request.c.number == request.number)).one()
            (doubt,) = load_doubts(connection, [row])
            return replace(doubt, request=replace(doubt.request, within=request.within))

    @in_turn
    def settle(
        self,
        request: Request,
        *,
        arrived: bool,
        now: datetime,
        process: Process,
        parts: Sequence[Part] = (),
        access_requests: Sequence[str] = (),
        held: Sequence[Place] = (),
    ) -> None:
        """Records the result of settling an UNCONFIRMED request.

        Args:
            request: The request.
            arrived: Whether all of it arrived; otherwise it is PLANNED again, without what other requests ask for.
            now: When it was settled.
            process: It must hold the run: another one that has taken it over settles it by itself.
            parts: If only some of it has arrived as far as is known, the requests that take over; the rest is in doubt.
            access_requests: The tenant's ids of the access requests found.
            held: If all of it arrived, the changes for which the tenant created nothing.

        Raises:
            RunHeldError: The process does not hold the run (any more).
            BrokenPromiseError: The request is no longer UNCONFIRMED.
        """
        found = {ACCESS_REQUESTS: list(access_requests)} if access_requests else {}
        with writing(self._engine) as connection:
            require_held(connection, request.run, process)
            if parts:
                children = divide(connection, request, parts, State.UNCONFIRMED, now, found, tag=self._new_id())
                for number, part in zip(children, parts, strict=True):
                    places = list(product(part.recipients, part.items)) if part.held else ()
                    _keep_held(connection, replace(request, number=number), places, now)
            else:
                event = Event.FOUND if arrived else Event.NOT_FOUND
                move(connection, [request], State.UNCONFIRMED, event, now)
                entry = Entry(event=event, at=now, request=request.number, detail=found)
                events.append(connection, request.run, [entry])
                _keep_held(connection, request, held, now)
                if not arrived:
                    leave_to_others(connection, request.run, [request.number], now, self._new_id)
            known = None if parts else self._standing.get(request.run)
            known = known or standing(connection, request.run)
        known.settle(request.number, arrived=arrived)
        self._standing[request.run] = known

    @in_turn
    def take_lost(self, request: Request, rows: Sequence[StatusRow], now: datetime, process: Process) -> int | None:
        """Records which changes of an UNCONFIRMED request have arrived in lost requests; see `record_elsewhere`.

        Raises:
            RunHeldError: The process does not hold the run (any more).
        """
        with writing(self._engine) as connection:
            require_held(connection, request.run, process)
            tenant = _tenant_of(connection, request.run)
            arrived = record_elsewhere(connection, tenant, request, rows, now, tag=self._new_id())
            known = standing(connection, request.run)
        self._standing[request.run] = known
        return arrived

    def in_state(self, run: Run, state: State) -> tuple[Request, ...]:
        """The run's requests that are in `state`, in order."""
        with reading(self._engine) as connection:
            rows = connection.execute(_IN_STATE, {"run_id": run.id, "in_state": state.value}).all()
            return load_requests(connection, rows)

    def ids(self, run: Run) -> dict[int, str]:
        """The ids of all requests of the run, by their numbers."""
        query = sa.select(t.request.c.number, t.request.c.tag).where(t.request.c.run == t.number_of_run(run.id))
        with reading(self._engine) as connection:
            rows = connection.execute(query).all()
        return {number: str(RequestId(run.id, number, tag or "")) for number, tag in rows}

    def last_reasons(self, run: Run) -> dict[int, str]:
        """The latest reason for each request of the run that was refused or left in doubt."""
        with reading(self._engine) as connection:
            rows = connection.execute(
                sa.select(t.event.c.request, REASON_COLUMN.label("reason"))
                .where(
                    t.event.c.run == t.number_of_run(run.id),
                    t.event.c.request.is_not(None),
                    REASON_COLUMN.is_not(None),
                )
                .order_by(t.event.c.number)
            )
            return {row.request: row.reason for row in rows}


def _keep_held(connection: Connection, request: Request, held: Sequence[Place], now: datetime) -> None:
    """Keeps that the tenant created nothing for changes of a request, since they are held already."""
    if held:
        write_statuses(connection, _tenant_of(connection, request.run), held_statuses(request, held), now)


def _tenant_of(connection: Connection, run: str) -> str:
    name = sa.select(t.tenant.c.name).join(t.run, t.run.c.tenant == t.tenant.c.id).where(t.run.c.id == run)
    return str(connection.execute(name).scalar_one())
