"""Runs: finding them, counting their progress, and holding them for one process at a time."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from batch.api.dialects import Operation
from batch.errors import UsageError
from batch.ledger import doubts, events
from batch.ledger import tables as t
from batch.ledger.attempts import ended
from batch.ledger.engine import reading, writing
from batch.ledger.envelopes import in_excess
from batch.ledger.events import Entry
from batch.ledger.holders import HELD_BY, holding, kept_runs, known, refuse_if_held, require_held
from batch.ledger.postgresql import moment
from batch.ledger.repeating import repeated
from batch.ledger.sessions import Lock
from batch.ledger.submit_once import leave_to_others
from batch.ledger.waves import end_waves
from batch.ledger.whereabouts import refuse_moved
from batch.model import Run, Tally
from batch.plan.waves import Moment
from batch.read import shown
from batch.states import IN_DOUBT, UNSENT, Event, State, advance
from batch.text import instant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy.engine import Connection, Engine

    from batch.ledger.process import Process


RUN: Final = sa.select(t.run, t.tenant.c.name).join(t.tenant, t.run.c.tenant == t.tenant.c.id)
"""Rows of runs, each with the name of its tenant."""

_RELEASE: Final = sa.delete(t.holder).where(HELD_BY)
_FREE: Final = sa.delete(t.holder).where(t.holder.c.run == t.RUN_NUMBER)
_HOLD: Final = sa.insert(t.holder).values(run=t.RUN_NUMBER)
_BEAT: Final = sa.update(t.holder).where(HELD_BY).values(beat=sa.bindparam("at"))
_TAKEN_OVER: Final = (
    sa.select(t.event.c.number).where(t.event.c.run == t.RUN_NUMBER, t.event.c.event == Event.TAKEN_OVER.value).limit(1)
)
_LOST: Final = _TAKEN_OVER.where(t.event.c.detail.contains(f'"{events.NEW_RUN}": ', autoescape=True))
_LAST_PLANNED: Final = sa.select(sa.func.max(t.event.c.number)).where(
    t.event.c.run == t.RUN_NUMBER, t.event.c.event == events.PLANNED
)
_DROPPED: Final = _TAKEN_OVER.where(
    t.event.c.detail == json.dumps({"by": []}), t.event.c.number > _LAST_PLANNED.scalar_subquery()
)
_OF_INPUT: Final = RUN.where(
    t.run.c.tenant == t.tenant_at(sa.bindparam("url")), t.run.c.input_digest == sa.bindparam("digest")
)
_CHANGES: Final = sa.func.sum(t.request.c.recipient_count * t.request.c.item_count)
_STATES: Final = (
    sa.select(t.request.c.state, sa.func.count(), _CHANGES)
    .where(t.request.c.run == t.RUN_NUMBER)
    .group_by(t.request.c.state)
)
_PLANNINGS: Final = sa.select(sa.func.count()).where(t.event.c.run == t.RUN_NUMBER, t.event.c.event == events.PLANNED)
_LAST: Final = (
    sa.select(
        # What was given up counts only if nothing else is left of a change.
        sa.func.coalesce(
            sa.func.max(sa.case((t.request.c.state != State.DISCARDED.value, t.request.c.number))),
            sa.func.max(t.request.c.number),
        ).label("number")
    )
    .join(t.recipient, t.recipient.c.request == t.request.c.number)
    .join(t.identity, t.identity.c.id == t.recipient.c.identity)
    .join(t.request_item, t.request_item.c.request == t.request.c.number)
    .join(t.item, t.item.c.id == t.request_item.c.item)
    .where(t.request.c.run == t.RUN_NUMBER, t.request.c.state != State.SPLIT.value)
    .group_by(t.identity.c.key, t.item.c.type, t.item.c.key)
    .subquery("last")
)
_LAST_STATES: Final = (
    sa.select(t.request.c.state, sa.func.count())
    .join(_LAST, _LAST.c.number == t.request.c.number)
    .group_by(t.request.c.state)
)
_UNSENT: Final = (
    sa.select(t.request.c.operation, _CHANGES)
    .where(t.request.c.run == t.RUN_NUMBER, t.request.c.state == State.PLANNED.value)
    .group_by(t.request.c.operation)
)
_CLAIMED: Final = t.event.c.event == Event.CLAIMED.value
_POSTS: Final = sa.select(
    sa.func.count(sa.case((_CLAIMED, 1))),
    sa.func.count(sa.case((_CLAIMED & (t.event.c.attempt > 1), 1))),
    sa.func.count(sa.case((t.event.c.status == 429, 1))),  # noqa: PLR2004 - HTTP
).where(t.event.c.run == t.RUN_NUMBER, events.WITHIN_COLUMN.is_(None))
_IN_STATE: Final = (t.request.c.run == t.RUN_NUMBER) & (t.request.c.state == sa.bindparam("in_state"))
_NUMBERS: Final = sa.select(t.request.c.number).where(_IN_STATE).order_by(t.request.c.number)
_MOVE: Final = sa.update(t.request).where(_IN_STATE).values(state=sa.bindparam("to_state"), state_at=sa.bindparam("at"))
# The tenant may have got another name since the run was read.
_OTHERS: Final = sa.select(t.run.c.number).where(
    t.run.c.tenant == sa.select(t.run.c.tenant).where(t.run.c.id == sa.bindparam("of_run")).scalar_subquery(),
    t.run.c.id != sa.bindparam("of_run"),
)
_UNFINISHED_BESIDE: Final = (
    sa.select(t.request.c.number)
    .where(
        t.request.c.state.in_([state.value for state in (*UNSENT, *IN_DOUBT)]),
        t.request.c.run.in_(_OTHERS),
    )
    .limit(1)
)


@repeated
class Runs:
    """The runs of a ledger."""

    def __init__(self, engine: Engine, new_id: Callable[[], str]) -> None:
        self._engine = engine
        self._new_id = new_id

    def of_input(self, tenant: str, digest: str) -> Run | None:
        """The run of this input for the tenant at an address; None if it was never planned."""
        with reading(self._engine) as connection:
            row = connection.execute(_OF_INPUT, {"url": tenant, "digest": digest}).first()
            return None if row is None else as_run(row)

    def all(self) -> tuple[Run, ...]:
        """All runs, oldest first."""
        with reading(self._engine) as connection:
            return tuple(as_run(row) for row in connection.execute(RUN.order_by(t.run.c.started_at, t.run.c.id)))

    def named(self, name: str) -> Run:
        """The run whose id begins with `name`.

        Raises:
            UsageError: There is none, or more than one.
        """
        found = [run for run in self.all() if run.id.startswith(name)]
        if len(found) == 1:
            return found[0]
        if found:
            raise UsageError(
                f"{len(found)} runs begin with {name!r}: {', '.join(run.id for run in found)}.",
                next_step="Give more of the run's id.",
            )
        raise UsageError(f"The ledger has no run {name!r}.", next_step="`access-batch runs` lists the runs.")

    def tally(self, run: Run) -> Tally:
        """How far the run has come, over all its processes."""
        of_run = {"of_run": run.id}
        with reading(self._engine) as connection:
            extra = in_excess(connection, run.id)
            states = connection.execute(_STATES, of_run).all()
            unsent = dict(connection.execute(_UNSENT, of_run).all())
            posts, retried, throttled = connection.execute(_POSTS, of_run).one()
        return Tally(
            requests={state: count - extra.get(state, 0) for state, count, _ in states},
            changes={state: int(total) for state, _, total in states},
            grants=int(unsent.get(Operation.GRANT.value, 0)),
            revokes=int(unsent.get(Operation.REVOKE.value, 0)),
            posts=posts,
            throttled=throttled,
            retried=retried,
        )

    def each_once(self, run: Run) -> Mapping[str, int]:
        """The run's changes by the state of their request, however often they were submitted: the last one counts."""
        with reading(self._engine) as connection:
            again = connection.execute(_PLANNINGS, {"of_run": run.id}).scalar_one() > 1
            rows = connection.execute(_LAST_STATES if again else _STATES, {"of_run": run.id}).all()
        return {row[0]: int(row[-1]) for row in rows}

    def busy(self, process: Process, now: datetime) -> dict[str, str]:
        """The runs from which `process` may take nothing over, and why: see `kept_runs`."""
        with reading(self._engine) as connection:
            return kept_runs(connection, process, now)

    def has_unfinished_beside(self, run: Run) -> bool:
        """Whether another run of the same tenant has something to send or to settle."""
        with reading(self._engine) as connection:
            return connection.execute(_UNFINISHED_BESIDE, {"of_run": run.id}).first() is not None

    def has_lost_changes(self, run: Run) -> bool:
        """Whether other runs have taken over changes that this one had planned."""
        with reading(self._engine) as connection:
            return connection.execute(_LOST, {"of_run": run.id}).first() is not None

    def was_dropped(self, run: Run) -> bool:
        """Whether planned requests were dropped, and a process died before it had planned their changes anew."""
        with reading(self._engine) as connection:
            return connection.execute(_DROPPED, {"of_run": run.id}).first() is not None

    def check_free(self, run: Run, process: Process, now: datetime) -> None:
        """Checks that no other process works on the run.

        Raises:
            RunHeldError: Another process does.
        """
        with reading(self._engine) as connection:
            refuse_if_held(connection, run, process, now)

    def hold(self, run: Run, process: Process, now: datetime) -> int:
        """Makes `process` the holder of the run. Requests that a dead process left SENDING become UNCONFIRMED.

        A process on another machine, or before that machine's restart, is not known to be dead, only silent: its
        requests are fenced by the tokens that they were sent with. So are those of which another process than the last
        holder made the attempt.

        Returns:
            How many requests became UNCONFIRMED.

        Raises:
            RunHeldError: A process that is alive holds the run.
            LedgerRefusedError: The ledger has moved meanwhile.
        """
        with writing(self._engine) as connection:
            refuse_moved(connection)
            process, now = known(connection, process), moment(connection, now)
            gone = refuse_if_held(connection, run, process, now)
            connection.execute(_FREE, {"of_run": run.id})
            at = instant(now)
            holder = {
                "of_run": run.id,
                "host": process.host,
                "machine": process.machine,
                "pid": process.pid,
                "process_started": process.started,
                "since": at,
                "beat": at,
            }
            connection.execute(_HOLD, holder)
            return _mark_all(connection, run, State.SENDING, Event.ABANDONED, now, gone=gone)

    def beat(self, run: Run, process: Process, now: datetime) -> None:
        """Records that the run's holder is alive.

        Raises:
            RunHeldError: The process does not hold the run (any more).
        """
        with writing(self._engine, Lock.OWN) as connection:
            of = holding(run.id, known(connection, process))
            if not connection.execute(_BEAT, {**of, "at": instant(moment(connection, now))}).rowcount:
                require_held(connection, run.id, process)

    def release(self, run: Run, process: Process, now: datetime) -> None:
        """Ends the process's hold on the run. What it left SENDING becomes UNCONFIRMED: it sends nothing any more.

        Raises:
            LedgerChangedError: Somebody has changed what it left.
        """
        with writing(self._engine) as connection:
            process = known(connection, process)
            if connection.execute(_RELEASE, holding(run.id, process)).rowcount:
                _mark_all(connection, run, State.SENDING, Event.ABANDONED, now, gone=process)

    def settle_by_hand(self, run: Run, *, arrived: bool, now: datetime) -> int:
        """Settles all UNCONFIRMED requests of the run as a person reports; returns how many there were.

        What has not arrived is PLANNED again, without what other requests ask for.
        """
        event = Event.FOUND if arrived else Event.NOT_FOUND
        these = {"of_run": run.id, "in_state": State.UNCONFIRMED.value}
        with writing(self._engine) as connection:
            numbers = connection.execute(_NUMBERS, these).scalars().all()
            settled = _mark_all(connection, run, State.UNCONFIRMED, event, now, detail=doubts.BY_HAND)
            if not arrived:
                leave_to_others(connection, run.id, numbers, now, self._new_id)
            return settled

    def discard(self, run: Run, now: datetime) -> int:
        """Discards the requests that the run has not sent; returns how many there were."""
        with writing(self._engine) as connection:
            discarded = _mark_all(connection, run, State.PLANNED, Event.DISCARDED, now)
            end_waves(connection, run.id, Moment(wall=now))
            return discarded


def _mark_all(
    connection: Connection,
    run: Run,
    state: State,
    event: Event,
    now: datetime,
    *,
    detail: Mapping[str, Any] | None = None,
    gone: Process | None = None,
) -> int:
    """Applies one event to all requests of a run in one state; returns how many bodies they make.

    `gone` is a process that sends no more, if the requests are abandoned.
    """
    these = {"of_run": run.id, "in_state": state.value}
    numbers = list(connection.execute(_NUMBERS, these).scalars())
    bodies = len(numbers) - in_excess(connection, run.id).get(state.value, 0)
    sent_no_more = ended(connection, numbers if event is Event.ABANDONED else (), gone)
    connection.execute(_MOVE, {**these, "to_state": advance(state, event).value, "at": instant(now)})
    if state is State.UNCONFIRMED:
        doubts.end(connection, numbers)
    if advance(state, event) is State.UNCONFIRMED:
        doubts.begin(connection, sorted(sent_no_more))
        doubts.begin(connection, [number for number in numbers if number not in sent_no_more], fenced=True)
    if numbers:
        details = {number: {events.GONE: True} if number in sent_no_more else detail for number in numbers}
        entries = [Entry(event=event, at=now, request=number, detail=details[number]) for number in numbers]
        events.append(connection, run.id, entries)
    return bodies


def as_run(row: sa.Row[tuple[object, ...]]) -> Run:
    """The run in a row of RUN."""
    return Run(
        id=row.id,
        tenant=row.name,
        input_digest=row.input_digest,
        # Older versions stored passwords and signatures in URLs.
        inputs=tuple(map(shown, json.loads(row.inputs))),
        dialect=row.dialect,
        started_at=datetime.fromisoformat(row.started_at),
        lower_bound=row.lower_bound,
        metadata=json.loads(row.metadata) if row.metadata else {},
    )


@repeated
class CancelLog:
    """The cancellations of a ledger's runs."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def first_attempt(self, run: Run) -> datetime | None:
        """When the run first sent a request, by our clock; None if it never has."""
        query = sa.select(sa.func.min(t.event.c.at)).where(
            t.event.c.run == t.number_of_run(run.id), t.event.c.event == Event.CLAIMED.value
        )
        with reading(self._engine) as connection:
            at: str | None = connection.execute(query).scalar()
        return None if at is None else datetime.fromisoformat(at)

    def begin(self, run: Run, process: Process, detail: Mapping[str, Any], now: datetime) -> None:
        """Records that the run is being cancelled. Durable when this returns.

        Args:
            run: The run.
            process: It must hold the run.
            detail: What is cancelled, how and why.
            now: When.

        Raises:
            RunHeldError: The process does not hold the run (any more).
        """
        with writing(self._engine) as connection:
            require_held(connection, run.id, process)
            events.append(connection, run.id, [Entry(event=events.CANCELLING, at=now, detail=detail)])


@dataclass(frozen=True, kw_only=True, slots=True)
class NewRun:
    """The values of a run that is planned for the first time; see model.Run."""

    tenant: str
    input_digest: str
    inputs: tuple[str, ...]
    dialect: str
    started_at: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)


def begin_run(connection: Connection, run_id: str, tenant: int, new: NewRun, lower_bound: int) -> None:
    """Adds a run, or raises the lower bound of a run that exists.

    Raises:
        LedgerRefusedError: The ledger has moved meanwhile.
    """
    refuse_moved(connection)
    known_bound = t.run.c.lower_bound
    greater = sa.case((known_bound > lower_bound, known_bound), else_=lower_bound)
    grown = connection.execute(sa.update(t.run).where(t.run.c.id == run_id).values(lower_bound=greater)).rowcount
    if not grown:
        connection.execute(
            sa.insert(t.run),
            {
                "number": connection.execute(
                    sa.select(sa.func.coalesce(sa.func.max(t.run.c.number), 0) + 1)
                ).scalar_one(),
                "id": run_id,
                "tenant": tenant,
                "input_digest": new.input_digest,
                "inputs": json.dumps(new.inputs),
                "dialect": new.dialect,
                "started_at": instant(new.started_at),
                "lower_bound": lower_bound,
                "metadata": json.dumps(new.metadata, ensure_ascii=False, sort_keys=True) if new.metadata else None,
            },
        )
