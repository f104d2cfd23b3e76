"""The ledger's tables.

Ids of the tenant stand once in `identity` and `item`; what a request says of an item besides its id stands once in
`detail`. A request is a full product, so its changes are not written out: `recipient` has its identities and
`request_item` its items, in whole numbers. The view `changes` multiplies them and tells all about a change in one line.

`recipient` is in the order in which it is asked, by identity; so that a request can be sent without asking all of it,
`request.recipients` repeats its lines of one request. Requests that travel together in one body stand in `envelope`.

`track` has what the tenant last said of a change, where it was followed; what many of these have in common stands once
in `finding`. `cached` is what the tenant said of people and items, and what of that each run was planned by.

`pace` and `call` are what keeps to the tenant's rate limit over all processes that share the ledger; they are no memory
of what was submitted, and are worth nothing once a window has passed.

Instants are ISO 8601 text in UTC, readable in any database browser, apart from those two tables, where they
are seconds since the epoch, to be counted with. `event` is only ever added to: it has every attempt
and what came back, and each line is sealed with the hash of the one before.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from batch.api.dialects import ItemType, Operation
from batch.states import State

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

LEDGER_VERSION: Final = "0004"
"""The newest migration; a ledger that says otherwise is upgraded or refused."""


def instant(moment: datetime) -> str:
    """An instant as the ledger keeps it: ISO 8601 in UTC with milliseconds, so that text sorts as time."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment(text: str) -> datetime:
    """The instant that the ledger keeps as `text`."""
    return datetime.fromisoformat(text)


metadata: Final = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)


def _one_of(column: str, values: type[Operation | ItemType | State]) -> sa.CheckConstraint:
    allowed = ", ".join(f"'{value.value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({allowed})", name=f"{column}_known")


about = sa.Table(
    "about",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("ledger", sa.Text, nullable=False),
    sa.Column("sandbox", sa.Boolean, nullable=False),
    sa.Column("created_at", sa.Text, nullable=False),
    sa.CheckConstraint("id = 1", name="single"),
    comment="One line: the ledger's own id, and whether it belongs to the sandbox.",
)

tenant = sa.Table(
    "tenant",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
)

run = sa.Table(
    "run",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("tenant", sa.ForeignKey("tenant.id"), nullable=False),
    sa.Column("input_digest", sa.Text, nullable=False),
    sa.Column("inputs", sa.Text, nullable=False),
    sa.Column("dialect", sa.Text, nullable=False),
    sa.Column("started_at", sa.Text, nullable=False),
    sa.Column("lower_bound", sa.Integer, nullable=False),
    sa.UniqueConstraint("tenant", "input_digest"),
)

holder = sa.Table(
    "holder",
    metadata,
    sa.Column("run", sa.ForeignKey("run.id"), primary_key=True),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("machine", sa.Text, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("process_started", sa.Float, nullable=False),
    sa.Column("since", sa.Text, nullable=False),
    sa.Column("beat", sa.Text, nullable=False),
    comment="Which process works on a run.",
)

identity = sa.Table(
    "identity",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("tenant", sa.ForeignKey("tenant.id"), nullable=False),
    sa.Column("external_id", sa.Text, nullable=False),
    sa.UniqueConstraint("tenant", "external_id"),
)

item = sa.Table(
    "item",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("tenant", sa.ForeignKey("tenant.id"), nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("external_id", sa.Text, nullable=False),
    sa.UniqueConstraint("tenant", "external_id", "type"),
    _one_of("type", ItemType),
)

detail = sa.Table(
    "detail",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("comment", sa.Text, nullable=False),
    sa.Column("start_date", sa.Text, nullable=False),
    sa.Column("remove_date", sa.Text, nullable=False),
    sa.Column("metadata", sa.Text, nullable=False),
    sa.UniqueConstraint("comment", "start_date", "remove_date", "metadata"),
    comment="What a request says of an item besides its id; empty text for absent.",
)

request = sa.Table(
    "request",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("run", sa.ForeignKey("run.number"), nullable=False),
    sa.Column("operation", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("state_at", sa.Text, nullable=False),
    sa.Column("recipient_count", sa.Integer, nullable=False),
    sa.Column("item_count", sa.Integer, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("parent", sa.ForeignKey("request.id")),
    sa.Column("recipients", sa.Text, nullable=False),
    _one_of("operation", Operation),
    _one_of("state", State),
    sa.CheckConstraint("recipient_count >= 1 AND item_count >= 1", name="not_empty"),
    sa.CheckConstraint("operation <> 'REVOKE' OR recipient_count = 1", name="revoke_of_one"),
    sa.CheckConstraint(
        "state IN ('PLANNED', 'DISCARDED') OR attempts >= 1 OR parent IS NOT NULL", name="sent_only_by_an_attempt"
    ),
    sa.Index("ix_request_run", "run", "state"),
)

recipient = sa.Table(
    "recipient",
    metadata,
    sa.Column("identity", sa.ForeignKey("identity.id"), primary_key=True),
    sa.Column("request", sa.ForeignKey("request.id"), primary_key=True),
    sqlite_with_rowid=False,
)

request_item = sa.Table(
    "request_item",
    metadata,
    sa.Column("request", sa.ForeignKey("request.id"), primary_key=True),
    sa.Column("item", sa.ForeignKey("item.id"), primary_key=True),
    sa.Column("detail", sa.ForeignKey("detail.id"), nullable=False),
    sqlite_with_rowid=False,
)

envelope = sa.Table(
    "envelope",
    metadata,
    sa.Column("request", sa.ForeignKey("request.id"), primary_key=True),
    sa.Column("number", sa.Integer, nullable=False, index=True),
    comment="Requests that travel in one body, in the nested form, by the number of their first; others are not here.",
)

event = sa.Table(
    "event",
    metadata,
    sa.Column("run", sa.ForeignKey("run.id"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("request", sa.ForeignKey("request.id"), index=True),
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("attempt", sa.Integer),
    sa.Column("status", sa.Integer),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
    sqlite_with_rowid=False,
    comment="The books: what happened to a run and its requests, each line sealed with the hash of the one before.",
)

pace = sa.Table(
    "pace",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("tenant", sa.ForeignKey("tenant.id"), nullable=False),
    sa.Column("client", sa.Text, nullable=False),
    sa.Column("dialect", sa.Text, nullable=False),
    sa.Column("calls", sa.Integer, nullable=False),
    sa.Column("longest", sa.Float, nullable=False),
    sa.Column("silent_since", sa.Float, nullable=False),
    sa.Column("silent_until", sa.Float, nullable=False),
    sa.Column("cut_to", sa.Float, nullable=False),
    sa.Column("cut_at", sa.Float, nullable=False),
    sa.UniqueConstraint("tenant", "client", "dialect"),
    sa.CheckConstraint("cut_to > 0 AND cut_to <= 1", name="share"),
    comment="What the tenant counts together: one client in one API version. How many calls, and how far to hold back.",
)

call = sa.Table(
    "call",
    metadata,
    sa.Column("pace", sa.ForeignKey("pace.id"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("left_at", sa.Float),
    sa.Column("machine", sa.Text, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("process_started", sa.Float, nullable=False),
    sa.Column("permitted_at", sa.Float, nullable=False),
    sqlite_with_rowid=False,
    comment="The calls of the last window: permitted, and gone as a whole at `left_at`.",
)

finding = sa.Table(
    "finding",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("said", sa.Text, nullable=False),
    sa.UniqueConstraint("state", "who", "said"),
    comment="What the tenant says of a change: its state in the vendor's own words, who is behind it, what was said.",
)

track = sa.Table(
    "track",
    metadata,
    sa.Column("request", sa.ForeignKey("request.id"), primary_key=True),
    sa.Column("identity", sa.ForeignKey("identity.id"), primary_key=True),
    sa.Column("item", sa.ForeignKey("item.id"), primary_key=True),
    sa.Column("finding", sa.ForeignKey("finding.id"), nullable=False),
    sa.Column("since", sa.Text, nullable=False),
    sa.Column("access_request", sa.Text, nullable=False),
    sqlite_with_rowid=False,
    comment="What the tenant last said of each change that was followed.",
)

cached = sa.Table(
    "cached",
    metadata,
    sa.Column("tenant", sa.ForeignKey("tenant.id"), primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("value", sa.Text, nullable=False),
    sqlite_with_rowid=False,
    comment="What the tenant said of people and items, as JSON, and when; and what of that a run was planned by.",
)

VIEW: Final = "changes"
CREATE_VIEW: Final = """CREATE VIEW changes AS
SELECT run.id AS run, request.id AS request, request.operation, identity.external_id AS identity_id,
    item.type AS item_type, item.external_id AS item_id, detail.comment, detail.start_date, detail.remove_date,
    detail.metadata, request.state, request.state_at, finding.state AS tenant_state, track.since AS tenant_since,
    finding.who AS tenant_who, finding.said AS tenant_said
FROM request
JOIN run ON run.number = request.run
JOIN recipient ON recipient.request = request.id
JOIN identity ON identity.id = recipient.identity
JOIN request_item ON request_item.request = request.id
JOIN item ON item.id = request_item.item
JOIN detail ON detail.id = request_item.detail
LEFT JOIN track ON track.request = request.id AND track.identity = identity.id AND track.item = item.id
LEFT JOIN finding ON finding.id = track.finding"""
"""For people: every change in words. It is made anew with every upgrade, and no code asks it."""


def number_of_run(run_id: str) -> sa.ScalarSelect[int]:
    """The number that requests know a run by."""
    return sa.select(run.c.number).where(run.c.id == run_id).scalar_subquery()


def number_of_tenant(connection: Connection, name: str) -> int:
    """The tenant's number in the ledger, which gets to know it where it does not."""
    number: int | None = connection.execute(sa.select(tenant.c.id).where(tenant.c.name == name)).scalar()
    if number is None:
        number = connection.execute(sa.insert(tenant).returning(tenant.c.id), {"name": name}).scalar_one()
    return number
