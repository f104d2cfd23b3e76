"""Tenants: each is known by what its tokens say, and by all its addresses.

Two addresses that prove to belong to one tenant are joined. Until then each stands for a tenant of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from batch.api.token_claims import ORG
from batch.errors import RunHeldError, SettingsError
from batch.ledger import events
from batch.ledger import tables as t
from batch.ledger.budget import join_months
from batch.ledger.engine import reading, writing
from batch.ledger.facts import link_tenant
from batch.ledger.holders import refuse_if_held
from batch.ledger.repeating import repeated
from batch.ledger.rows import recipients_of
from batch.ledger.runs import RUN, as_run
from batch.ledger.seals import check_runs_of
from batch.ledger.sessions import Lock
from batch.ledger.submit_once import have_common, submit_once

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection, Engine

    from batch.ledger.process import Process
    from batch.model import Run


@repeated
class Tenants:
    """The tenants of a ledger."""

    def __init__(self, engine: Engine, new_id: Callable[[], str]) -> None:
        self._engine = engine
        self._new_id = new_id

    def name_of(self, url: str) -> str:
        """The name of the tenant with this address; the address itself if the ledger does not know it."""
        with reading(self._engine) as connection:
            name: str | None = connection.execute(_NAME, {"url": url}).scalar()
            return name or url

    def addresses(self, url: str) -> frozenset[str]:
        """All addresses of the tenant with this one."""
        with reading(self._engine) as connection:
            return frozenset({url, *connection.execute(_ADDRESSES, {"url": url}).scalars()})

    def is_named(self, url: str) -> bool:
        """Whether a token of this address has named its tenant."""
        with reading(self._engine) as connection:
            row = connection.execute(_TENANT, {"url": url}).first()
            return row is not None and row.token_name is not None

    def is_open(self, url: str) -> bool:
        """Whether a token may prove that this address belongs to another tenant of the ledger than it seems."""
        with reading(self._engine) as connection:
            row = connection.execute(_TENANT, {"url": url}).first()
            if row is not None and row.token_name is not None:
                return False
            others = sa.select(t.tenant.c.id).where(t.tenant.c.id != (row.id if row else 0)).limit(1)
            return connection.execute(others).first() is not None

    def may_be_of(self, run: Run) -> tuple[str, ...]:
        """The names of other tenants that may be the run's: something that it is to send was sent to them before.

        Only those of which no token was seen: a token tells which tenant it is, if the run's own tenant has one. Ids of
        people and items are random, so two tenants have hardly any in common.
        """
        with reading(self._engine) as connection:
            found = connection.execute(_UNNAMED_BESIDE, {"of_run": run.id}).all()
            return tuple(other.name for other in found if have_common(connection, run.id, other.id))

    def bind(self, url: str, names: Sequence[str], process: Process, now: datetime) -> bool:
        """Records by which names a token of this address calls its tenant; joins two tenants that prove to be one.

        Returns whether the address belongs to another tenant of the ledger than before.

        Args:
            url: The address that issued the token.
            names: From TokenClaims.tenant_names; the tenant stays known by its address if there are none.
            process: Asks for it.
            now: When.

        Raises:
            SettingsError: Earlier tokens of this address named another tenant.
            RunHeldError: Two tenants must be joined, and another process works on a run of one of them.
        """
        with reading(self._engine) as connection:
            row = connection.execute(_TENANT, {"url": url}).first()
            if not names or (row is not None and row.token_name == names[0]):
                return False
        with writing(self._engine, Lock.LEDGER, Lock.PACE) as connection:
            return _bind(connection, url, names, process, now, self._new_id)

    def requesters(self, url: str) -> frozenset[str]:
        """Ids of the users with whose tokens requests were sent to the tenant."""
        with reading(self._engine) as connection:
            return frozenset(connection.execute(_REQUESTERS, {"url": url}).scalars())

    def add_requester(self, url: str, identity: str) -> None:
        """Remembers a user before anything is sent with a token of theirs."""
        if identity in self.requesters(url):
            return
        with writing(self._engine) as connection:
            # Another machine may have been faster.
            if identity not in connection.execute(_REQUESTERS, {"url": url}).scalars().all():
                row = {"tenant": t.number_of_tenant(connection, url), "identity": identity}
                connection.execute(sa.insert(t.requester), row)


_TENANT_OF_RUN: Final = sa.select(t.run.c.tenant).where(t.run.c.id == sa.bindparam("of_run")).scalar_subquery()
_IS_NAMED: Final = sa.select(1).where(t.tenant.c.id == _TENANT_OF_RUN, t.tenant.c.token_name.is_not(None))
_UNNAMED_BESIDE: Final = (
    sa.select(t.tenant.c.id, t.tenant.c.name)
    .where(
        t.tenant.c.token_name.is_(None),
        t.tenant.c.id.in_(sa.select(t.run.c.tenant)),
        sa.exists(_IS_NAMED.correlate(None)),
    )
    .order_by(t.tenant.c.id)
)
_AT: Final = t.tenant_at(sa.bindparam("url"))
_TENANT: Final = sa.select(t.tenant).where(t.tenant.c.id == _AT)
_NAME: Final = sa.select(t.tenant.c.name).where(t.tenant.c.id == _AT)
_ADDRESSES: Final = sa.select(t.address.c.url).where(t.address.c.tenant == _AT)
_REQUESTERS: Final = sa.select(t.requester.c.identity).where(t.requester.c.tenant == _AT)


def _bind(
    connection: Connection,
    url: str,
    names: Sequence[str],
    process: Process,
    now: datetime,
    new_id: Callable[[], str],
) -> bool:
    row = connection.execute(_TENANT, {"url": url}).first()
    before = row.token_name if row is not None else None
    if before is not None and before not in names:
        if any(name.startswith(ORG) == before.startswith(ORG) for name in names):
            raise SettingsError(
                f"The tokens of {url} named the tenant {before} until now, but today's token names {names[0]}.",
                next_step="Nothing was sent: the ledger has another tenant at this address. Check the base URL and the "
                "network. If another tenant has taken over this address, choose another ledger with --ledger.",
            )
        return False
    same = connection.execute(sa.select(t.tenant.c.id).where(t.tenant.c.token_name.in_(names))).scalars().all()
    others = [number for number in same if row is None or number != row.id]
    has_moved = bool(others)
    check_runs_of(connection, {*same, *([row.id] if row is not None else [])})
    if row is None and others:
        connection.execute(sa.insert(t.address), {"url": url, "tenant": others[0]})
        number = others.pop(0)
    else:
        number = t.number_of_tenant(connection, url)
    for other in others:
        # The one that has its name from a token stays.
        kept, gone = (other, number) if before is None else (number, other)
        _join(connection, kept, gone, process, now, new_id)
        number = kept
    connection.execute(sa.update(t.tenant).where(t.tenant.c.id == number).values(token_name=names[0]))
    link_tenant(connection, number, now)
    return has_moved


def _join(
    connection: Connection, kept: int, gone: int, process: Process, now: datetime, new_id: Callable[[], str]
) -> None:
    """Makes one tenant of two: everything of `gone` belongs to `kept` from now on."""
    names = dict(
        connection.execute(sa.select(t.tenant.c.id, t.tenant.c.name).where(t.tenant.c.id.in_((kept, gone)))).all()
    )
    for run in connection.execute(RUN.where(t.run.c.tenant.in_((kept, gone)))):
        try:
            refuse_if_held(connection, as_run(run), process, now)
        except RunHeldError as error:
            raise RunHeldError(
                f"{names[gone]} and {names[kept]} prove to be one tenant, and the ledger must join them first. "
                f"{error.message}",
                next_step=error.next_step,
            ) from None
    orders = _unify(connection, kept, gone)
    submit_once(connection, kept, gone, now, new_id)
    _move_runs(connection, kept, gone, names[gone], orders, now)
    _join_paces(connection, kept, gone)
    connection.execute(sa.delete(t.cached).where(t.cached.c.tenant == gone))
    known = sa.select(t.requester.c.identity).where(t.requester.c.tenant == kept)
    mine = t.requester.c.tenant == gone
    connection.execute(sa.delete(t.requester).where(mine, t.requester.c.identity.in_(known)))
    for table in (t.requester, t.address):
        connection.execute(sa.update(table).where(table.c.tenant == gone).values(tenant=kept))
    for column in (t.tenant.c.listing_delay, t.tenant.c.listing_delay_at):
        larger = sa.select(sa.func.max(column)).where(t.tenant.c.id.in_((kept, gone))).scalar_subquery()
        connection.execute(sa.update(t.tenant).where(t.tenant.c.id == kept).values({column: larger}))
    connection.execute(sa.delete(t.tenant).where(t.tenant.c.id == gone))


def _unify(connection: Connection, kept: int, gone: int) -> Mapping[int, dict[int, Any]]:
    """Gives ids that both tenants have one number; returns, by run, former contents that this changes."""
    before = _contents(connection, gone)
    for table, references, same in (
        (t.identity, (t.recipient.c.identity, t.track.c.identity), ()),
        (t.item, (t.request_item.c.item, t.track.c.item), ("type",)),
    ):
        ours, theirs = table.alias("ours"), table.alias("theirs")
        both = sa.and_(
            ours.c.tenant == kept,
            theirs.c.tenant == gone,
            *(ours.c[name] == theirs.c[name] for name in ("external_id", *same)),
        )
        _renumber(connection, sa.select(theirs.c.id, ours.c.id).where(both), table, references)
        connection.execute(sa.update(table).where(table.c.tenant == gone).values(tenant=kept))
    _rewrite_recipients(connection, gone)
    changed: dict[int, dict[int, Any]] = {}
    for number, (run, content) in _contents(connection, gone).items():
        if content != before[number][1]:
            changed.setdefault(run, {})[number] = before[number][1]
    return changed


def _contents(connection: Connection, tenant: int) -> dict[int, tuple[int, list[list[str]]]]:
    """Run, recipients and items of each request that was sent to a tenant, in their order."""
    of_tenant = sa.select(t.run.c.number).where(t.run.c.tenant == tenant).scalar_subquery()
    sent = (t.request.c.run.in_(of_tenant)) & (t.request.c.attempts > 0)
    found: dict[int, tuple[int, list[list[str]]]] = {}
    people = (
        sa.select(t.request.c.number, t.request.c.run, t.identity.c.external_id)
        .join(t.recipient, t.recipient.c.request == t.request.c.number)
        .join(t.identity, t.identity.c.id == t.recipient.c.identity)
        .where(sent)
        .order_by(t.request.c.number, t.identity.c.id)
    )
    for number, run, identity in connection.execute(people):
        found.setdefault(number, (run, [[], []]))[1][0].append(identity)
    items = (
        sa.select(t.request.c.number, t.item.c.type, t.item.c.external_id)
        .join(t.request_item, t.request_item.c.request == t.request.c.number)
        .join(t.item, t.item.c.id == t.request_item.c.item)
        .where(sent)
        .order_by(t.request.c.number, t.item.c.id)
    )
    for number, kind, item in connection.execute(items):
        found[number][1][1].append(f"{kind} {item}")
    return found


_renumbered: Final = sa.Table(
    "renumbered",
    sa.MetaData(),
    sa.Column("old", sa.Integer, primary_key=True),
    sa.Column("new", sa.Integer, nullable=False),
    prefixes=["TEMPORARY"],
)


def _renumber(
    connection: Connection,
    pairs: sa.Select[int, int],
    table: sa.Table,
    references: Sequence[sa.Column[int]],
) -> None:
    """Replaces numbers of a dictionary, and removes their entries."""
    _renumbered.create(connection)
    try:
        connection.execute(sa.insert(_renumbered).from_select(["old", "new"], pairs))
        old = sa.select(_renumbered.c.old)
        for column in references:
            new = sa.select(_renumbered.c.new).where(_renumbered.c.old == column).scalar_subquery()
            connection.execute(sa.update(column.table).where(column.in_(old)).values({column: new}))
        connection.execute(sa.delete(table).where(table.c.id.in_(old)))
    finally:
        _renumbered.drop(connection)


def _rewrite_recipients(connection: Connection, tenant: int) -> None:
    """Makes the lists of recipients in requests agree with the recipients again."""
    of_tenant = sa.select(t.run.c.number).where(t.run.c.tenant == tenant).scalar_subquery()
    listed = sa.select(t.request.c.number, t.request.c.recipients).where(t.request.c.run.in_(of_tenant))
    people: dict[int, list[int]] = {}
    of_request = (
        sa.select(t.recipient.c.request, t.recipient.c.identity)
        .join(t.request, t.request.c.number == t.recipient.c.request)
        .where(t.request.c.run.in_(of_tenant))
        .order_by(t.recipient.c.identity)
    )
    for request, identity in connection.execute(of_request):
        people.setdefault(request, []).append(identity)
    wrong = [row.number for row in connection.execute(listed) if recipients_of(row) != people[row.number]]
    if wrong:
        connection.execute(
            sa.update(t.request)
            .where(t.request.c.number == sa.bindparam("of_number"))
            .values(recipients=sa.bindparam("now")),
            [{"of_number": number, "now": " ".join(map(str, people[number]))} for number in wrong],
        )


def _move_runs(
    connection: Connection, kept: int, gone: int, url: str, orders: Mapping[int, Mapping[int, Any]], now: datetime
) -> None:
    """Gives the runs to the tenant that stays. Of two runs of one input, its own is the one to be continued."""
    taken = set(connection.execute(sa.select(t.run.c.input_digest).where(t.run.c.tenant == kept)).scalars())
    for run in connection.execute(sa.select(t.run).where(t.run.c.tenant == gone)).all():
        digest = f"{run.input_digest} {run.id}" if run.input_digest in taken else run.input_digest
        moved = sa.update(t.run).where(t.run.c.number == run.number)
        connection.execute(moved.values(tenant=kept, input_digest=digest))
        detail = {"from": url, "order": orders.get(run.number) or None}
        events.append(connection, run.id, [events.Entry(event=events.JOINED, at=now, detail=detail)])


def _join_paces(connection: Connection, kept: int, gone: int) -> None:
    """Makes the calls of both tenants count together."""
    join_months(connection, kept, gone)
    paces = connection.execute(sa.select(t.pace).where(t.pace.c.tenant == kept)).all()
    of_kept = {(row.client, row.dialect): row for row in paces}
    for row in connection.execute(sa.select(t.pace).where(t.pace.c.tenant == gone)).all():
        into = of_kept.get((row.client, row.dialect))
        if into is None:
            connection.execute(sa.update(t.pace).where(t.pace.c.id == row.id).values(tenant=kept))
            continue
        calls = sa.update(t.call).where(t.call.c.pace == row.id)
        connection.execute(calls.values(pace=into.id, number=t.call.c.number + into.calls))
        changed: dict[str, Any] = {"calls": into.calls + row.calls, "cut_to": min(into.cut_to, row.cut_to)}
        if into.boot == row.boot:
            later = ("longest", "silent_since", "silent_until", "cut_at")
            changed |= {name: max(getattr(into, name), getattr(row, name)) for name in later}
        else:
            # Times of two boots can't be compared: without a boot, a whole window is waited out.
            changed["boot"] = None
        connection.execute(sa.update(t.pace).where(t.pace.c.id == into.id).values(**changed))
        connection.execute(sa.delete(t.pace).where(t.pace.c.id == row.id))
