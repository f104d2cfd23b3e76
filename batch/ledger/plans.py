"""Plans: what the ledger knows about wanted changes, and new requests written in one transaction."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl
import sqlalchemy as sa

from batch.dedupe.again import doubted_again
from batch.dedupe.classify import INTENTION, KNOWN_SCHEMA
from batch.dedupe.overlap import ACCESS, KEY
from batch.errors import BrokenPromiseError, StoppedError
from batch.ledger import events
from batch.ledger import tables as t
from batch.ledger.attempts import doubt_planned
from batch.ledger.bulk import greatest, insert_frame, intern, know_sizes, select_frame, spellings
from batch.ledger.decisions import write_decisions
from batch.ledger.engine import reading, writing
from batch.ledger.events import Entry
from batch.ledger.facts import about, seen_of_others
from batch.ledger.history import earlier
from batch.ledger.holders import refuse_if_held
from batch.ledger.left_out import leave_out
from batch.ledger.moving import move
from batch.ledger.products import distinct, insert_requests
from batch.ledger.refused import experience
from batch.ledger.repeating import repeated
from batch.ledger.rows import requests_of
from batch.ledger.runs import begin_run
from batch.ledger.seals import check_all, check_run, names_digest, root, write_seals
from batch.ledger.tables import number_of_tenant
from batch.ledger.take_over import LedgerMovedError, TakenOver, take_over
from batch.states import IN_DOUBT, UNSENT, VOID, Event, State, advance
from batch.text import RequestId, instant

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection, Engine

    from batch.ledger.decisions import Decisions
    from batch.ledger.process import Process
    from batch.ledger.runs import NewRun
    from batch.ledger.seals import Sealed
    from batch.ledger.standing import Sent
    from batch.model import Run
    from batch.plan import Plan
    from batch.status.refused_before import Experience, Subject

_DETAIL: Final = ["comment", "start_date", "remove_date", "metadata", "account", "selection"]
_PERSON: Final = ["identity_id"]
_ITEM: Final = ["item_id", "item_type"]
_RUN_ID_LENGTH: Final = 12
_MANY: Final = 5_000
"""Changes of a plan by which a ledger may have grown much."""

_GROWN: Final = (t.identity, t.item, t.detail, t.request, t.recipient, t.request_item, t.envelope)
_TENANT: Final = t.tenant_at(sa.bindparam("url"))
_TENANT_NUMBER: Final = sa.select(_TENANT)
_TENANT_NAME: Final = sa.select(t.tenant.c.name).where(t.tenant.c.id == _TENANT)
_RUN_ID: Final = sa.select(t.run.c.id).where(t.run.c.tenant == _TENANT, t.run.c.input_digest == sa.bindparam("digest"))
_LEDGER: Final = sa.select(t.about.c.ledger)
_NEWEST: Final = (
    sa.select(t.run.c.id, t.request.c.number, t.request.c.tag)
    .join(t.run, t.run.c.number == t.request.c.run)
    .where(t.request.c.parent.is_(None))
    .order_by(t.request.c.number.desc())
    .limit(1)
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What the ledger knows about wanted changes.

    Attributes:
        changes: By dedupe's KNOWN_SCHEMA.
        upto: Id of the newest request when the ledger was read; empty if there was none.
        respelled: How many ids of these changes the ledger spells otherwise.
    """

    changes: pl.DataFrame
    upto: str
    respelled: int = 0


@repeated
class Plans:
    """The plans of a ledger."""

    def __init__(self, engine: Engine, new_id: Callable[[], str]) -> None:
        self._engine = engine
        self._new_id = new_id

    def run_id(self, tenant: str, input_digest: str) -> str:
        """The id that the run of this input for this tenant has or would get. It never changes within one ledger."""
        return run_id_of(self._engine, tenant, input_digest)

    def known(self, tenant: str, keys: pl.DataFrame) -> Known:
        """Every earlier change of the given keys, in any state, however its ids were spelled.

        Args:
            tenant: An address of the tenant.
            keys: Columns `identity_id`, `item_type`, `item_id`; they may repeat. The result spells ids as they do.
        """
        with reading(self._engine) as connection:
            upto = _newest(connection)
            number = connection.execute(_TENANT_NUMBER, {"url": tenant}).scalar()
            if number is None:
                return Known(changes=pl.DataFrame(schema=KNOWN_SCHEMA), upto=upto)
            people = _spelled(connection, t.identity, keys, _PERSON, number, "identity")
            items = _spelled(connection, t.item, keys, _ITEM, number, "item")
            if people.is_empty() or items.is_empty():
                return Known(changes=pl.DataFrame(schema=KNOWN_SCHEMA), upto=upto)
            pairs = keys.lazy().select(ACCESS).join(people.lazy(), on=_PERSON).join(items.lazy(), on=_ITEM)
            found = earlier(connection, distinct(pairs.select("identity", "item").collect(), "identity", "item"))
        texts = found.join(people, on="identity", how="inner").join(items, on="item", how="inner")
        respelled = [
            texts.filter(pl.col(column) != pl.col(f"{name}_spelled")).get_column(name).n_unique()
            for column, name in (("identity_id", "identity"), ("item_id", "item"))
        ]
        return Known(changes=texts.select(list(KNOWN_SCHEMA)), upto=upto, respelled=sum(respelled))

    def experience(self, tenant: str, subjects: Collection[Subject]) -> Experience:
        """What the tenant, by one of its addresses, has refused and accepted of some operations and items."""
        with reading(self._engine) as connection:
            return experience(connection, tenant, subjects)

    def planned(self, run: Run) -> pl.DataFrame:
        """The changes that the run sends or may send again, by dedupe's KEY and INTENTION: planned, or in doubt."""
        with reading(self._engine) as connection:
            return select_frame(
                connection, _PLANNED.where(t.run.c.id == run.id), dict.fromkeys(_PLANNED_NAMES, pl.String)
            )

    def drop(self, run: Run, numbers: Iterable[int], process: Process, now: datetime) -> None:
        """Drops planned requests of a run, whose changes can be planned anew then.

        Raises:
            RunHeldError: Another process works on the run.
            LedgerMovedError: One of them is not planned any more; nothing was dropped.
        """
        with writing(self._engine) as connection:
            refuse_if_held(connection, run, process, now)
            requests = list(requests_of(connection, sorted(numbers)))
            try:
                move(connection, requests, State.PLANNED, Event.TAKEN_OVER, now)
            except BrokenPromiseError as error:
                raise LedgerMovedError from error
            entries = [Entry(event=Event.TAKEN_OVER, at=now, request=one.number, detail={"by": []}) for one in requests]
            events.append(connection, run.id, entries)

    def leave_out(
        self, run: Run, numbers: Collection[int], moved: pl.DataFrame, process: Process, now: datetime
    ) -> int:
        """Takes changes out of planned requests of a run, and keeps why: see left_out.leave_out."""
        with writing(self._engine) as connection:
            return leave_out(connection, run, numbers, moved, process, now, tag=self._new_id())

    def check_all(self) -> Mapping[str, Sealed]:
        """Compares everything by which earlier changes are found again with the chains of all runs.

        Raises:
            LedgerChangedError: They differ: somebody has changed the ledger.
        """
        with reading(self._engine) as connection:
            return check_all(connection)

    def mistrust(
        self,
        run: Run,
        changes: Mapping[int, Collection[object]],
        process: Process,
        now: datetime,
        *,
        planned: Sequence[int] = (),
    ) -> tuple[int, str]:
        """Puts requests of a run in doubt again that may have arrived, if only another machine says that they have not.

        Whatever was planned since for the changes of such a request is taken away: it would be sent as well.

        Args:
            run: The run.
            changes: Changes that are about to be sent (again): the keys of those in each request, by its number.
            process: This process.
            now: When.
            planned: Requests of other runs that have planned these changes since.

        Returns:
            How many requests there were, and the names of the other machines' keys.

        Raises:
            LedgerChangedError: Somebody has changed the ledger.
            LedgerMovedError: What was planned since was sent meanwhile.
            RunHeldError: Another process works on the run.
            StoppedError: Only some changes of a request that was replaced are about to be sent.
        """
        with reading(self._engine) as connection:
            if not check_run(connection, run.id).mistrusted.keys() & changes.keys():
                return 0, ""
        with writing(self._engine) as connection:
            refuse_if_held(connection, run, process, now)
            sealed = check_run(connection, run.id)
            found = doubted_again(sealed.mistrusted, changes, sealed.parts)
            if not found:
                return 0, ""
            requests = list(requests_of(connection, sorted(found)))
            states = connection.execute(_STATES, {"numbers": found}).all()
            gone = {row.number for row in states if row.state in VOID}
            for request in requests:
                if request.number in gone and len(set(changes[request.number])) < request.changes:
                    raise StoppedError(
                        f"Request {request.id} may have arrived, and only another machine, with the key "
                        f"{sealed.mistrusted[request.number]}, has settled the opposite. Some of its changes were "
                        "submitted in another request since.",
                        next_step="Nothing more was sent. Submit this input on the machine with that key.",
                    )
            for state in sorted({row.state for row in states}):
                these = {row.number for row in states if row.state == state}
                alike = [request for request in requests if request.number in these]
                move(connection, alike, State(state), Event.MISTRUSTED, now)
            entries = [Entry(event=Event.MISTRUSTED, at=now, request=request.number) for request in requests]
            events.append(connection, run.id, entries)
            # Those that are in doubt again themselves are planned no more.
            if gone and (planned := sorted({*planned} - {*found})):
                again = sorted({key for number in gone for key in changes[number]}, key=str)
                wanted = pl.DataFrame(again, schema=dict.fromkeys(KEY, pl.String), orient="row")
                since = TakenOver(requests=tuple(planned), process=process)
                take_over(connection, run.id, wanted, since, now, tag=self._new_id())
        return len(found), ", ".join(sorted({sealed.mistrusted[number] for number in found}))

    def write(
        self,
        new: NewRun,
        plan: Plan,
        *,
        upto: str,
        now: datetime,
        decisions: Decisions | None = None,
        taken: TakenOver | None = None,
        doubted: Sequence[Sent] = (),
    ) -> str:
        """Writes a plan and its run in one transaction; returns the run's id.

        If the run exists, the requests are added to it, and its refused requests are SPLIT: the new ones take over.
        So are requests that other runs have planned and not sent: changes that the plan does not want stay theirs.

        Args:
            new: The run.
            plan: Its changes and their requests.
            upto: From the result of `known` that the plan rests on.
            now: When the requests are planned.
            decisions: What the plan rests on. It is kept with the plan or not at all: if another process has planned
                the same input meanwhile, that process's decisions stand.
            taken: What it takes over from other runs; nothing if left out.
            doubted: What is known of an attempt of each request that the ledger has lost: all of them are in doubt.

        Raises:
            LedgerMovedError: Requests were written or lost since then, or one to be taken over was sent, or a process
                works on its run; this plan was not written.
        """
        run_id = self.run_id(new.tenant, new.input_digest)
        at = instant(now)
        with writing(self._engine) as connection:
            if _newest(connection) != upto:
                raise LedgerMovedError
            tenant = number_of_tenant(connection, new.tenant)
            begin_run(connection, run_id, tenant, new, plan.lower_bound)
            _take_over_refused(connection, run_id, now)
            if taken is not None:
                take_over(connection, run_id, plan.changes, taken, now, tag=self._new_id())
            last = greatest(connection, t.request.c.number)
            changes = plan.changes
            people = intern(connection, t.identity, _entries(changes, _PERSON), {"tenant": tenant})
            items = intern(connection, t.item, _entries(changes, _ITEM), {"tenant": tenant})
            details = intern(connection, t.detail, _entries(changes, _DETAIL), {})
            numbers = changes.select(
                "operation",
                "account",
                pl.col("request") + last + 1,
                _numbers(changes, people, _PERSON, "identity"),
                _numbers(changes, items, _ITEM, "item"),
                _numbers(changes, details, _DETAIL, "detail"),
            )
            insert_requests(connection, run_id, numbers, at, self._new_id())
            insert_frame(connection, t.envelope, plan.envelopes.with_columns(pl.all() + last + 1))
            if changes.height >= _MANY:
                know_sizes(connection, _GROWN)
            if decisions is not None:
                write_decisions(connection, run_id, decisions, now)
            written = {
                "first": last + 1,
                "requests": plan.requests,
                "changes": plan.changes.height,
                events.SEALS: root(write_seals(connection, range(last + 1, last + 1 + plan.requests))),
                events.NAMES: names_digest(connection, run_id),
                events.ABOUT: about(connection, run_id),
                events.OTHERS: seen_of_others(connection),
            }
            events.append(connection, run_id, [Entry(event=events.PLANNED, at=now, detail=written)])
            if doubted:
                sent_as = dict(enumerate(doubted, start=last + 1))
                doubt_planned(connection, list(requests_of(connection, sorted(sent_as))), now, self._new_id, sent_as)
        return run_id


_STATES: Final = sa.select(t.request.c.number, t.request.c.state).where(
    t.request.c.number.in_(sa.bindparam("numbers", expanding=True))
)
_PLANNED_NAMES: Final = (*KEY, *INTENTION)
_PLANNED: Final = (
    sa.select(
        t.identity.c.external_id,
        t.item.c.type,
        t.item.c.external_id,
        t.detail.c.account,
        t.request.c.operation,
        t.detail.c.start_date,
        t.detail.c.remove_date,
    )
    .select_from(t.request)
    .join(t.run, t.run.c.number == t.request.c.run)
    .join(t.recipient, t.recipient.c.request == t.request.c.number)
    .join(t.identity, t.identity.c.id == t.recipient.c.identity)
    .join(t.request_item, t.request_item.c.request == t.request.c.number)
    .join(t.item, t.item.c.id == t.request_item.c.item)
    .join(t.detail, t.detail.c.id == t.request_item.c.detail)
    .where(t.request.c.state.in_([state.value for state in sorted(UNSENT | IN_DOUBT)]))
    .order_by(t.request.c.number)
)


def run_id_of(engine: Engine, tenant: str, input_digest: str) -> str:
    """See Plans.run_id."""
    with reading(engine) as connection:
        # A run may have begun when its tenant had another name.
        begun: str | None = connection.execute(_RUN_ID, {"url": tenant, "digest": input_digest}).scalar()
        if begun is not None:
            return begun
        ledger: str = connection.execute(_LEDGER).scalar_one()
        name = connection.execute(_TENANT_NAME, {"url": tenant}).scalar() or tenant
    return hashlib.sha256(f"{ledger}\n{name}\n{input_digest}".encode()).hexdigest()[:_RUN_ID_LENGTH]


def _newest(connection: Connection) -> str:
    """Id of the newest request that is not a part of another. Parts only take over earlier changes.

    If the ledger is put back, another request may get the number again, but never the id.
    """
    row = connection.execute(_NEWEST).first()
    return str(RequestId(row.id, row.number, row.tag or "")) if row else ""


def _spelled(
    connection: Connection, table: sa.Table, keys: pl.DataFrame, columns: list[str], tenant: int, name: str
) -> pl.DataFrame:
    """The numbers of ids, in a column of this name, and their spelling in the ledger."""
    found = spellings(connection, table, _entries(keys, columns), tenant)
    return found.rename({"id": name, "spelled": f"{name}_spelled", **_named(columns)})


def _entries(changes: pl.DataFrame, columns: list[str]) -> pl.DataFrame:
    """The distinct dictionary entries among changes, sorted, so that their numbers do not depend on the input."""
    names = {column: name for name, column in _named(columns).items()}
    return changes.select(columns).unique().sort(columns).rename(names)


def _named(columns: list[str]) -> dict[str, str]:
    """A dictionary's columns, with their names among changes."""
    names = {"identity_id": "external_id", "item_id": "external_id", "item_type": "type"}
    return {names.get(column, column): column for column in columns}


def _numbers(changes: pl.DataFrame, entries: pl.DataFrame, columns: list[str], name: str) -> pl.Series:
    """The number of each change's dictionary entry; null if there is none."""
    named = entries.lazy().rename(_named(columns))
    joined = changes.lazy().select(columns).join(named, on=columns, how="left", maintain_order="left")
    return joined.select(pl.col("id").alias(name)).collect().to_series()


def _take_over_refused(connection: Connection, run_id: str, now: datetime) -> None:
    refused = (t.request.c.run == t.number_of_run(run_id)) & (t.request.c.state == State.REFUSED.value)
    numbers = [
        row.number
        for row in connection.execute(sa.select(t.request.c.number).where(refused).order_by(t.request.c.number))
    ]
    if not numbers:
        return
    entries = [Entry(event=Event.TAKEN_OVER, at=now, request=number) for number in numbers]
    events.append(connection, run_id, entries)
    state = advance(State.REFUSED, Event.TAKEN_OVER)
    connection.execute(sa.update(t.request).where(refused).values(state=state.value, state_at=instant(now)))
