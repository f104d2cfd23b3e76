"""Finds requests that a ledger does not know, because it was put back to an earlier state, or copied."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from batch.errors import RunHeldError
from batch.ledger import events
from batch.ledger import tables as t
from batch.ledger.arrivals import accounts_of, record
from batch.ledger.attempts import doubt_planned
from batch.ledger.engine import reading, writing
from batch.ledger.envelopes import planned_companions
from batch.ledger.holders import refuse_if_held
from batch.ledger.lost import restored
from batch.ledger.remembered import forgotten_of, rows_elsewhere, runs_elsewhere
from batch.ledger.repeating import repeated
from batch.ledger.rows import REQUEST, load_requests, requests_of
from batch.ledger.runs import RUN, as_run
from batch.ledger.standing import doubtful_of
from batch.ledger.witnesses import HAS_ROWS
from batch.model import IMPORT
from batch.states import Event, State
from batch.status.compare import Account, Remembered, pair_keys, requested_at
from batch.status.matching import attempt_id, request_id
from batch.text import RequestId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sqlalchemy.engine import Connection, Engine

    from batch.api.status_row import StatusRow
    from batch.ledger.process import Process
    from batch.ledger.standing import Sent, Standing
    from batch.model import Head, Request

_AT_ONCE: Final = 300
"""Identities asked for in one statement."""


Tracked = tuple[str, str, str]
"""The tenant's id of an access request, and the keys of identity and item."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerAge:
    """How new a ledger is, as far as one tenant goes.

    Attributes:
        answered: The tenant's clock in its newest answer to a submit; None if there is none with a clock.
        since: Else the newest answer by our clock; if there is none, when the first run was planned. None without runs.
    """

    answered: datetime | None = None
    since: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """What rows of the tenant's list say that the ledger did not know.

    Attributes:
        arrived: Changes that were planned or in doubt, and count as accepted now: they have arrived.
        unknown: Rows of our requests of which the ledger has nothing.
        in_doubt: Planned requests that may have been sent in one body with requests that have arrived. They are
            UNCONFIRMED now.
        left_alone: Runs that have planned changes that have arrived, but on which another process works.
        forgotten: Those of them whose requests the tenant lists although the ledger says that they were never sent.
        other: The name of another tenant of the ledger, if rows show requests to it: it may be this one. Then only
            arrivals at the other are recorded, as an arrival would else count for both.
    """

    arrived: int
    unknown: tuple[StatusRow, ...]
    in_doubt: int = 0
    left_alone: tuple[str, ...] = ()
    forgotten: tuple[str, ...] = ()
    other: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Free:
    """A request of a run on which no other process works, and its last holder if that is known to be gone."""

    state: State
    gone: Process | None


@repeated
class Gaps:
    """Compares a ledger with the newer states that this machine and the tenant have seen."""

    def __init__(self, engine: Engine, new_id: Callable[[], str]) -> None:
        self._engine = engine
        self._new_id = new_id

    def ledger_id(self) -> str:
        """The ledger's own id."""
        with reading(self._engine) as connection:
            found: str = connection.execute(sa.select(t.about.c.ledger)).scalar_one()
            return found

    def lost(self, heads: Iterable[Head]) -> tuple[Head, ...]:
        """Those of the heads that the ledger does not have: it is older than they are."""
        with reading(self._engine) as connection:
            return tuple(head for head in heads if not events.has(connection, head))

    def age(self, url: str) -> LedgerAge:
        """How new the ledger is, as far as the tenant at an address goes."""
        newest = (
            sa.select(t.event.c.at, t.event.c.detail)
            .where(
                t.event.c.run == sa.bindparam("of_run"),
                t.event.c.status.is_not(None),
                t.event.c.number <= sa.bindparam("upto"),
            )
            .order_by(t.event.c.number.desc())
            .limit(1)
        )
        own = (t.run.c.tenant == t.tenant_at(url)) & t.run.c.input_digest.not_like(f"{IMPORT}%")
        with reading(self._engine) as connection:
            runs = connection.execute(sa.select(t.run.c.number, t.run.c.id, t.run.c.started_at).where(own)).all()
            # If it was put back to before its first answer, it has lost all earlier runs.
            made: str = connection.execute(sa.select(t.about.c.created_at)).scalar_one()
            # Anybody may have written that an answer came: only what this machine has signed counts.
            found = [
                connection.execute(newest, {"of_run": run.number, "upto": events.own_part(connection, run.id)}).first()
                for run in runs
            ]
        answers = [event for event in found if event is not None]
        try:
            told = [str(json.loads(event.detail).get("server_time", "")) for event in answers]
            begun = min([made, *(run.started_at for run in runs)]) if runs else ""
            since = max((event.at for event in answers), default=begun)
            answered = max(filter(None, told), default="")
            return LedgerAge(
                answered=datetime.fromisoformat(answered) if answered else None,
                since=datetime.fromisoformat(since) if since else None,
            )
        except (ValueError, AttributeError):
            raise events.changed("", ["the time of an answer can't be read"]) from None

    def accepted(self, rows: Iterable[StatusRow]) -> frozenset[RequestId]:
        """Ids of accepted requests of this ledger, among those that the rows name."""
        return self._named(rows, t.request.c.state == State.ACCEPTED.value)

    def answered(self, rows: Iterable[StatusRow]) -> frozenset[RequestId]:
        """Ids of requests that the tenant's answer accepted, among those that the rows name.

        The ledger knows everything that was sent before such an answer. That is not so if settling has found a request:
        the ledger may have been put back in between.
        """
        e = t.event.c
        told = sa.exists().where(e.request == t.request.c.number, e.event == Event.ACCEPTED.value)
        return self._named(rows, (t.request.c.state == State.ACCEPTED.value) & told)

    def known(self, rows: Iterable[StatusRow]) -> frozenset[RequestId]:
        """Ids of requests of this ledger in any state, among those that the rows name."""
        return self._named(rows, sa.true())

    def tracked(self, rows: Iterable[StatusRow]) -> Mapping[Tracked, frozenset[int]]:
        """The requests whose changes have one of these rows' access requests in the tenant's last report."""
        accesses = sorted({row.access_request for row in rows} - {""})
        found: dict[Tracked, set[int]] = {}
        k = t.track.c
        query = (
            sa.select(k.access_request, t.identity.c.key.label("person"), t.item.c.key.label("thing"), k.request)
            .join(t.identity, t.identity.c.id == k.identity)
            .join(t.item, t.item.c.id == k.item)
        )
        with reading(self._engine) as connection:
            for start in range(0, len(accesses), _AT_ONCE):
                some = query.where(k.access_request.in_(accesses[start : start + _AT_ONCE]))
                for row in connection.execute(some):
                    found.setdefault((row.access_request, row.person, row.thing), set()).add(row.request)
        return {key: frozenset(requests) for key, requests in found.items()}

    def _named(self, rows: Iterable[StatusRow], condition: sa.ColumnElement[bool]) -> frozenset[RequestId]:
        names = {name for row in rows if (name := RequestId.read(request_id(row))) is not None}
        if not names:
            return frozenset()
        found: set[RequestId] = set()
        with reading(self._engine) as connection:
            instead = restored(connection)
            numbers = sorted({instead.get(name, name).number for name in names})
            for start in range(0, len(numbers), _AT_ONCE):
                some = t.request.c.number.in_(numbers[start : start + _AT_ONCE])
                found.update(
                    RequestId(row.run_id, row.number, row.tag or "")
                    for row in connection.execute(REQUEST.where(some, condition))
                )
        return frozenset(name for name in names if instead.get(name, name) in found)

    def controls(self, url: str, *, most: int) -> tuple[Request, ...]:
        """The requests of this ledger that the tenant accepted last and should list, the newest first."""
        query = (
            REQUEST.where(
                t.run.c.tenant == t.tenant_at(url),
                t.run.c.input_digest.not_like(f"{IMPORT}%"),
                t.request.c.state == State.ACCEPTED.value,
                t.request.c.attempts > 0,
                HAS_ROWS,
            )
            .order_by(t.request.c.state_at.desc())
            .limit(most)
        )
        with reading(self._engine) as connection:
            return load_requests(connection, connection.execute(query).all())

    def older(self, url: str, rows: Sequence[StatusRow], *, is_behind: bool) -> tuple[StatusRow, ...]:
        """Unknown rows that were requested before an arrival for the same identity and item.

        Import them before `take` records the arrival: later requests have greater numbers. Arguments as for `take`.
        """
        known = self.accepted(rows)
        new = [row for row in rows if RequestId.read(request_id(row)) not in known]
        with reading(self._engine) as connection:
            accounts = accounts_of(connection, url, new, is_behind=is_behind) if new else []
            open_rows = [row for row, account in accounts if account is not Account.KNOWN]
            if rows_elsewhere(connection, open_rows, runs_elsewhere(connection, url))[0]:
                return ()
        dated = [(at, row, account) for row, account in accounts if (at := requested_at(row)) is not None]
        arrived: dict[tuple[str, str], datetime] = {}
        for at, row, account in dated:
            if isinstance(account, Remembered):
                arrived[pair_keys(row)] = max(at, arrived.get(pair_keys(row), at))
        return tuple(
            row for at, row, account in dated if account is Account.UNKNOWN and at < arrived.get(pair_keys(row), at)
        )

    def take(
        self,
        url: str,
        process: Process,
        rows: Sequence[StatusRow],
        now: datetime,
        *,
        is_behind: bool = False,
        lost: Iterable[Standing] = (),
    ) -> Compared:
        """Records as found the changes that rows show, in one transaction; see status.compare.

        A row with the id of a planned request shows that all of it has arrived. Of other planned requests, the changes
        that have arrived are divided from those that have not. Requests of a run that another process works on are left
        alone.

        Args:
            url: An address of the tenant.
            process: Compares.
            rows: Requested by our users since the ledger's newest answer.
            now: When.
            is_behind: Whether the ledger is older than this machine has seen it.
            lost: What this machine knows of runs whose ends the ledger has lost.
        """
        if not rows:
            return Compared(arrived=0, unknown=())
        known = self.accepted(rows)
        new = [row for row in rows if RequestId.read(request_id(row)) not in known]
        with writing(self._engine) as connection:
            accounts = accounts_of(connection, url, new, is_behind=is_behind)
            bodies = {attempt_id(row) for row in new}
            sent = {
                one.request.id: replace(one, arrived=one.arrived or one.body in bodies) for one in doubtful_of(lost)
            }
            open_rows = [row for row, account in accounts if account is not Account.KNOWN]
            other, theirs = rows_elsewhere(connection, open_rows, runs_elsewhere(connection, url))
            if other:
                of_other = accounts_of(connection, other, theirs, is_behind=is_behind)
                taken = self._take(connection, other, process, of_other, now, sent)
                return replace(taken, unknown=(), other=other)
            return self._take(connection, url, process, accounts, now, sent)

    def _take(
        self,
        connection: Connection,
        url: str,
        process: Process,
        accounts: Sequence[tuple[StatusRow, Remembered | Account]],
        now: datetime,
        sent: Mapping[str, Sent],
    ) -> Compared:
        arrived: dict[int, dict[tuple[str, str], StatusRow]] = {}
        whole: set[int] = set()
        for row, account in accounts:
            if isinstance(account, Remembered):
                arrived.setdefault(account.id.number, {})[pair_keys(row)] = row
                if account.id == RequestId.read(request_id(row)):
                    whole.add(account.id.number)
        free, held = _free_and_held(connection, arrived, process, now)
        companions = planned_companions(connection, sorted(whole & free.keys()), arrived)
        taken = [
            record(
                connection,
                url,
                request,
                arrived[request.number],
                now,
                state=free[request.number].state,
                tag=self._new_id(),
                gone=free[request.number].gone,
                whole=request.number in whole,
            )
            for request in requests_of(connection, sorted(arrived.keys() & free.keys()))
        ]
        sent_as = {one.number: sent[one.id] for one in companions if one.id in sent}
        doubt_planned(connection, companions, now, self._new_id, sent_as)
        unknown = tuple(row for row, account in accounts if account is Account.UNKNOWN)
        return Compared(
            arrived=sum(taken),
            unknown=unknown,
            in_doubt=len(companions),
            left_alone=held,
            forgotten=forgotten_of(connection, accounts, held),
        )

    def other_tenant(self, url: str, lost: Iterable[Head]) -> str:
        """The name of another tenant that may be this one, as it has planned requests in runs whose heads are lost.

        Args:
            url: An address of the tenant.
            lost: Heads that this machine has seen at the tenant, and that the ledger does not have.
        """
        left = sa.select(t.run.c.id).join(t.request, t.request.c.run == t.run.c.number)
        with reading(self._engine) as connection:
            elsewhere = runs_elsewhere(connection, url)
            names = {head.run for head in lost} & elsewhere.keys()
            planned = left.where(t.run.c.id.in_(names), t.request.c.state == State.PLANNED.value).limit(1)
            found = connection.execute(planned).scalar() if names else None
            return elsewhere[found] if found else ""


def _free_and_held(
    connection: Connection, requests: Iterable[int], process: Process, now: datetime
) -> tuple[Mapping[int, _Free], tuple[str, ...]]:
    """Those of the requests whose run no other process works on, and the other runs."""
    numbers = sorted(requests)
    free: dict[int, _Free] = {}
    held: set[str] = set()
    for start in range(0, len(numbers), _AT_ONCE):
        some = sa.select(t.request.c.number, t.request.c.run, t.request.c.state).where(
            t.request.c.number.in_(numbers[start : start + _AT_ONCE])
        )
        by_run: dict[int, dict[int, State]] = {}
        for row in connection.execute(some):
            by_run.setdefault(row.run, {})[row.number] = State(row.state)
        for number, members in by_run.items():
            run = as_run(connection.execute(RUN.where(t.run.c.number == number)).one())
            try:
                gone = refuse_if_held(connection, run, process, now)
            except RunHeldError:
                held.add(run.id)
                continue
            free |= {member: _Free(state=state, gone=gone) for member, state in members.items()}
    return free, tuple(sorted(held))
