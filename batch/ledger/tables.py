"""The ledger's tables.

The tenant's ids stand once, in `identity` and `item`, and other details of an item in a request stand once in
`detail`. A request is a full product: `recipient` has its identities and `request_item` its items, as numbers, and its
changes are not written out. The view `changes` multiplies them for people, one line for each change.

`recipient` is sorted by identity, since lookups are by identity. `request.recipients` repeats the identities of one
request, so that sending does not search `recipient`. Requests that travel in one body stand in `envelope`.

`track` has the tenant's last report on each tracked change; reports that many of them share stand once in `finding`.

`name_meaning` and `set_aside` hold the decisions that a run's plan rests on. They are kept for good, so that a run that
continues decides as it did before. `cached` holds the tenant's answers and can be emptied at any time.

`limit_tables` has the tables that hold back what is sent; all instants but theirs are ISO 8601 text in UTC.

Rows are only ever added to `event`. It has every attempt and every answer, and the hash in each row covers the row
before. The last row of each transaction is signed by the machine that wrote it. The event that added a request covers
its `seal`, the hash of its content.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from batch.api.dialects import ItemType, Operation
from batch.ledger import limit_tables
from batch.model import RowClass
from batch.names.meaning import NameOutcome
from batch.states import State

if TYPE_CHECKING:
    from collections.abc import Iterable
    from enum import StrEnum

    from sqlalchemy.engine import Connection

LEDGER_VERSION: Final = "0015"
"""The newest migration. A ledger of another version is upgraded or refused."""

metadata: Final = limit_tables.metadata
TEXT: Final = limit_tables.TEXT
pace: Final = limit_tables.pace
call: Final = limit_tables.call
monthly_calls: Final = limit_tables.monthly_calls
wave: Final = limit_tables.wave


def _one_of(column: str, values: Iterable[StrEnum]) -> sa.CheckConstraint:
    allowed = ", ".join(f"'{value.value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({allowed})", name=f"{column}_known")


about = sa.Table(
    "about",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("ledger", TEXT, nullable=False),
    sa.Column("sandbox", sa.Boolean, nullable=False),
    sa.Column("created_at", TEXT, nullable=False),
    sa.Column("claims", sa.Integer, nullable=False, server_default="0"),
    sa.Column("moves", sa.Integer, nullable=False, server_default="0"),
    *(sa.Column(name, TEXT) for name in ("move", "moved_to", "moving_from")),
    sa.CheckConstraint("id = 1", name="single"),
    comment="One row: the ledger's own id, whether it is the sandbox's, and how many bodies were ever claimed. "
    "`moves`: how often it has moved to another database, `move`: the id of its last move, `moved_to`: where it is now "
    "if not here, `moving_from`: where it still is.",
)

tenant = sa.Table(
    "tenant",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", TEXT, nullable=False, unique=True),
    sa.Column("token_name", TEXT, unique=True),
    sa.Column("listing_delay", sa.Float, nullable=False, server_default="0"),
    sa.Column("listing_delay_at", TEXT),
    comment="`name`: its first address. `token_name`: its id, as its tokens name it; null until one came. "
    "`listing_delay`: a delay, in seconds, until its status list showed an accepted request, and `listing_delay_at`: "
    "when it was seen. It counts half after each week; the one that counts most is kept.",
)

address = sa.Table(
    "address",
    metadata,
    sa.Column("url", TEXT, primary_key=True),
    sa.Column("tenant", sa.ForeignKey("tenant.id"), nullable=False),
    comment="The addresses of each tenant.",
)

requester = sa.Table(
    "requester",
    metadata,
    sa.Column("tenant", sa.ForeignKey("tenant.id"), primary_key=True),
    sa.Column("identity", TEXT, primary_key=True),
    comment="The users with whose tokens requests were sent.",
)

run = sa.Table(
    "run",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("id", TEXT, nullable=False, unique=True),
    sa.Column("tenant", sa.ForeignKey("tenant.id"), nullable=False),
    sa.Column("input_digest", TEXT, nullable=False),
    sa.Column("inputs", TEXT, nullable=False),
    sa.Column("dialect", TEXT, nullable=False),
    sa.Column("started_at", TEXT, nullable=False),
    sa.Column("lower_bound", sa.Integer, nullable=False),
    sa.Column("metadata", TEXT),
    sa.UniqueConstraint("tenant", "input_digest"),
    comment="`metadata`: the request-level clientMetadata of all its requests; null for none.",
)

holder = sa.Table(
    "holder",
    metadata,
    sa.Column("run", sa.ForeignKey("run.number"), primary_key=True),
    sa.Column("host", TEXT, nullable=False),
    sa.Column("machine", TEXT, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("process_started", sa.Float, nullable=False),
    sa.Column("since", TEXT, nullable=False),
    sa.Column("beat", TEXT, nullable=False),
    comment="The process that works on a run.",
)

identity = sa.Table(
    "identity",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("tenant", sa.ForeignKey("tenant.id"), nullable=False),
    sa.Column("external_id", TEXT, nullable=False),
    sa.Column("key", TEXT, nullable=False),
    sa.UniqueConstraint("tenant", "external_id"),
    sa.Index("ix_identity_key", "tenant", "key"),
    comment="`key`: the id as it is compared, without case and hyphens.",
)

item = sa.Table(
    "item",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("tenant", sa.ForeignKey("tenant.id"), nullable=False),
    sa.Column("type", TEXT, nullable=False),
    sa.Column("external_id", TEXT, nullable=False),
    sa.Column("key", TEXT, nullable=False),
    sa.UniqueConstraint("tenant", "external_id", "type"),
    sa.Index("ix_item_key", "tenant", "key"),
    _one_of("type", ItemType),
    comment="`key`: the id as it is compared, without case and hyphens.",
)

detail = sa.Table(
    "detail",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    *(sa.Column(name, TEXT, nullable=False) for name in ("comment", "start_date", "remove_date", "metadata")),
    sa.Column("digest", TEXT, nullable=False, unique=True),
    *(sa.Column(name, TEXT, nullable=False) for name in ("account", "selection")),
    sa.CheckConstraint("account = '' OR selection <> ''", name="account_selected"),
    comment="What a request says about an item besides its id. Empty text stands for absent. "
    "`digest`: the hash of it all. `account`: which of a person's several accounts; `selection`: how a body says so; "
    "it may name the only account too.",
)

request = sa.Table(
    "request",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("run", sa.ForeignKey("run.number"), nullable=False),
    sa.Column("operation", TEXT, nullable=False),
    sa.Column("state", TEXT, nullable=False),
    sa.Column("state_at", TEXT, nullable=False),
    sa.Column("recipient_count", sa.Integer, nullable=False),
    sa.Column("item_count", sa.Integer, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("parent", sa.ForeignKey("request.number")),
    sa.Column("recipients", TEXT, nullable=False),
    sa.Column("tag", TEXT),
    sa.Column("claimed", sa.Integer, index=True),
    sa.Column("seal", TEXT),
    _one_of("operation", Operation),
    _one_of("state", State),
    sa.CheckConstraint("recipient_count >= 1 AND item_count >= 1", name="not_empty"),
    sa.CheckConstraint("operation <> 'REVOKE' OR recipient_count = 1", name="revoke_of_one"),
    sa.CheckConstraint(
        "state IN ('PLANNED', 'DISCARDED', 'SPLIT') OR attempts >= 1 OR parent IS NOT NULL",
        name="sent_only_by_an_attempt",
    ),
    sa.Index("ix_request_run", "run", "state"),
    comment="`tag`: the random part of its id; null if it was planned before there were any. `claimed`: when its body "
    "was last claimed, as a number that counts all claims of the ledger. `seal`: the hash of its content.",
)

doubt = sa.Table(
    "doubt",
    metadata,
    sa.Column("request", sa.ForeignKey("request.number"), primary_key=True),
    sa.Column("tenant_time", TEXT),
    sa.Column("fence", TEXT),
    sa.Column("ripe", sa.Integer),
    sa.Column("mac", TEXT),
    comment="What is known of UNCONFIRMED requests. `tenant_time`: the tenant's clock, once the attempt had ended. "
    "`fence`: when the token expires of a process that may live. `ripe`: `about.claims` once it would be listed; an "
    "accepted request that was claimed later can be its control. `mac`: proves which machine wrote the row.",
)

recipient = sa.Table(
    "recipient",
    metadata,
    sa.Column("identity", sa.ForeignKey("identity.id"), primary_key=True),
    sa.Column("request", sa.ForeignKey("request.number"), primary_key=True),
    sqlite_with_rowid=False,
)

request_item = sa.Table(
    "request_item",
    metadata,
    sa.Column("request", sa.ForeignKey("request.number"), primary_key=True),
    sa.Column("item", sa.ForeignKey("item.id"), primary_key=True),
    sa.Column("detail", sa.ForeignKey("detail.id"), nullable=False),
    sqlite_with_rowid=False,
)

envelope = sa.Table(
    "envelope",
    metadata,
    sa.Column("request", sa.ForeignKey("request.number"), primary_key=True),
    sa.Column("number", sa.Integer, nullable=False, index=True),
    comment="Requests that share a body, by the number of the first. A request alone in its body is not here.",
)

signer = sa.Table(
    "signer",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("public", TEXT, nullable=False, unique=True),
    sa.Column("since", TEXT, nullable=False),
)

event = sa.Table(
    "event",
    metadata,
    sa.Column("run", sa.ForeignKey("run.number"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", TEXT, nullable=False),
    sa.Column("request", sa.ForeignKey("request.number"), index=True),
    sa.Column("event", TEXT, nullable=False),
    sa.Column("attempt", sa.Integer),
    sa.Column("status", sa.Integer),
    sa.Column("detail", TEXT, nullable=False),
    sa.Column("hash", TEXT, nullable=False),
    *(sa.Column("signer", sa.ForeignKey("signer.id")), sa.Column("place", sa.Integer), sa.Column("signature", TEXT)),
    sa.UniqueConstraint("signer", "place"),
    sa.CheckConstraint("(signer IS NULL) = (signature IS NULL)", name="signed_by_somebody"),
    sqlite_with_rowid=False,
    comment="What happened to a run and its requests. The hash of each event covers the event before. `signature`: of "
    "the last event of a transaction, with the key `signer`; `place`: how many signatures that key has made so far.",
)

finding = sa.Table(
    "finding",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("state", TEXT, nullable=False),
    sa.Column("who", TEXT, nullable=False),
    sa.Column("said", TEXT, nullable=False),
    sa.Column("digest", TEXT, nullable=False, unique=True),
    comment="What the tenant reports on changes: the vendor's name of the state, who decides, the message. "
    "`digest`: the hash of it all.",
)

track = sa.Table(
    "track",
    metadata,
    sa.Column("request", sa.ForeignKey("request.number"), primary_key=True),
    sa.Column("identity", sa.ForeignKey("identity.id"), primary_key=True),
    sa.Column("item", sa.ForeignKey("item.id"), primary_key=True),
    sa.Column("finding", sa.ForeignKey("finding.id"), nullable=False),
    sa.Column("since", TEXT, nullable=False),
    sa.Column("access_request", TEXT, nullable=False),
    sqlite_with_rowid=False,
    comment="The tenant's last report on each tracked change.",
)

cached = sa.Table(
    "cached",
    metadata,
    sa.Column("tenant", sa.ForeignKey("tenant.id"), primary_key=True),
    sa.Column("kind", TEXT, primary_key=True),
    sa.Column("key", TEXT, primary_key=True),
    sa.Column("at", TEXT, nullable=False),
    sa.Column("value", TEXT, nullable=False),
    sa.Column("mac", TEXT, nullable=False),
    sqlite_with_rowid=False,
    comment="The tenant's answers about people and items, as JSON, and when they came. Can be emptied at any time. "
    "`mac`: proves which machine kept it; another one asks the tenant again.",
)

name_meaning = sa.Table(
    "name_meaning",
    metadata,
    sa.Column("run", sa.ForeignKey("run.number"), primary_key=True),
    sa.Column("kind", TEXT, primary_key=True),
    sa.Column("name", TEXT, primary_key=True),
    sa.Column("at", TEXT, nullable=False),
    sa.Column("outcome", TEXT, nullable=False),
    sa.Column("id", TEXT, nullable=False),
    sa.Column("problem", TEXT, nullable=False),
    _one_of("outcome", NameOutcome),
    sa.CheckConstraint("(outcome = 'found') = (id <> '')", name="id_if_found"),
    sqlite_with_rowid=False,
    comment="What each name in a run's input meant when the run was planned: one id, or why there is none.",
)

_NEVER_SET_ASIDE: Final = (RowClass.DUPLICATE_IN_INPUT, RowClass.CONFLICT_IN_INPUT, RowClass.SUBMITTED)

set_aside = sa.Table(
    "set_aside",
    metadata,
    *(sa.Column(name, TEXT, primary_key=True) for name in ("run_id", "identity_id", "item_type", "item_id", "account")),
    *(sa.Column(name, TEXT, nullable=False) for name in ("at", "class", "reason")),
    _one_of("item_type", ItemType),
    _one_of("class", [one for one in RowClass if one not in _NEVER_SET_ASIDE]),
    sqlite_with_rowid=False,
    comment="Changes that a precheck set aside. `run_id`: of the input's run, which never began if all was set aside.",
)


def number_of_run(run_id: str | sa.BindParameter[str]) -> sa.ScalarSelect[int]:
    """The number of a run, by which other tables refer to it."""
    return sa.select(run.c.number).where(run.c.id == run_id).scalar_subquery()


def tenant_at(url: str | sa.BindParameter[str]) -> sa.ScalarSelect[int]:
    """The number of the tenant with this address, whichever of its addresses it is."""
    return sa.select(address.c.tenant).where(address.c.url == url).scalar_subquery()


RUN_NUMBER: Final = number_of_run(sa.bindparam("of_run", type_=sa.Text()))
"""The number of the run whose id is the parameter `of_run`. A statement that is built once takes half the time."""


_TENANT_AT: Final = sa.select(tenant_at(sa.bindparam("of_url", type_=sa.Text())))


def number_of_tenant(connection: Connection, url: str) -> int:
    """The number of the tenant with this address; a new tenant is added."""
    number: int | None = connection.execute(_TENANT_AT, {"of_url": url}).scalar()
    if number is None:
        number = connection.execute(sa.insert(tenant).returning(tenant.c.id), {"name": url}).scalar_one()
        connection.execute(sa.insert(address), {"url": url, "tenant": number})
    return number
