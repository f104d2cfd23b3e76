"""Requests are kept as the products that they are, which takes half the space of their written-out changes."""

import itertools

import sqlalchemy as sa
from alembic import op

from batch.errors import LedgerRefusedError

revision = "0002"
down_revision = "0001"

_AT_ONCE = 10_000

_NO_PRODUCT = """
SELECT request.id FROM request
LEFT JOIN (SELECT request, count(*) AS n FROM recipient GROUP BY request) AS people ON people.request = request.id
LEFT JOIN (
    SELECT change.request, count(*) AS n, count(DISTINCT change.item) AS items,
        count(DISTINCT change.identity) AS people
    FROM change
    JOIN recipient ON recipient.request = change.request AND recipient.identity = change.identity
    GROUP BY change.request
) AS changes ON changes.request = request.id
LEFT JOIN (
    SELECT request, count(*) AS n FROM (SELECT DISTINCT request, item, detail FROM change) AS line GROUP BY request
) AS items ON items.request = request.id
WHERE coalesce(people.n, 0) <> request.recipient_count
    OR coalesce(changes.n, 0) <> request.recipient_count * request.item_count
    OR changes.people <> request.recipient_count OR changes.items <> request.item_count
    OR items.n <> request.item_count
LIMIT 1
"""

_REBUILT = ("event", "holder", "change", "recipient", "request", "run")
"""Those that point at others come first."""


def upgrade() -> None:
    connection = op.get_bind()
    _refuse_if_not_products(connection)
    for name in _REBUILT:
        op.execute(f"CREATE TABLE old_{name} AS SELECT * FROM {name}")  # noqa: S608 - our own names
        op.drop_table(name)
    _create_tables()
    op.execute(
        "INSERT INTO run SELECT row_number() OVER (ORDER BY started_at, id), id, tenant, input_digest, inputs, "
        "dialect, started_at, lower_bound FROM old_run"
    )
    op.execute("INSERT INTO holder SELECT * FROM old_holder")
    op.execute(
        "INSERT INTO request (id, run, operation, state, state_at, recipient_count, item_count, attempts, parent, "
        "recipients) SELECT q.id, run.number, q.operation, q.state, q.state_at, q.recipient_count, q.item_count, "
        "q.attempts, q.parent, '' FROM old_request AS q JOIN run ON run.id = q.run ORDER BY q.id"
    )
    _fill_recipients(connection)
    op.execute("INSERT INTO recipient SELECT identity, request FROM old_recipient ORDER BY identity, request")
    op.execute("INSERT INTO request_item SELECT DISTINCT request, item, detail FROM old_change ORDER BY request, item")
    op.execute(
        "INSERT INTO event SELECT run, number, at, request, event, attempt, status, detail, hash FROM old_event "
        "ORDER BY run, number"
    )
    for name in _REBUILT:
        op.drop_table(f"old_{name}")


def _refuse_if_not_products(connection: sa.Connection) -> None:
    """What can't be kept as a product was damaged or made up: that is to be seen, not smoothed over."""
    damaged = connection.execute(sa.text(_NO_PRODUCT)).scalar()
    if damaged is not None:
        raise LedgerRefusedError(
            f"The ledger is damaged and was not upgraded: the changes of request {damaged} are not the product of its "
            "recipients and items.",
            next_step="Put its newest sound backup in its place: requests sent since then are looked up at the tenant "
            "first. A new ledger would not know them.",
        )


def _fill_recipients(connection: sa.Connection) -> None:
    lines = connection.execute(sa.text("SELECT request, identity FROM old_recipient ORDER BY request, identity"))
    texts = (
        {"request": request, "recipients": " ".join(str(line.identity) for line in group)}
        for request, group in itertools.groupby(lines, key=lambda line: line.request)
    )
    fill = sa.text("UPDATE request SET recipients = :recipients WHERE id = :request")
    while part := list(itertools.islice(texts, _AT_ONCE)):
        connection.execute(fill, part)


def _create_tables() -> None:
    op.create_table(
        "run",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.Column("input_digest", sa.Text(), nullable=False),
        sa.Column("inputs", sa.Text(), nullable=False),
        sa.Column("dialect", sa.Text(), nullable=False),
        sa.Column("started_at", sa.Text(), nullable=False),
        sa.Column("lower_bound", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenant.id"], name=op.f("fk_run_tenant")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_run")),
        sa.UniqueConstraint("id", name=op.f("uq_run_id")),
        sa.UniqueConstraint("tenant", "input_digest", name=op.f("uq_run_tenant")),
    )
    op.create_table(
        "holder",
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("process_started", sa.Float(), nullable=False),
        sa.Column("since", sa.Text(), nullable=False),
        sa.Column("beat", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run"], ["run.id"], name=op.f("fk_holder_run")),
        sa.PrimaryKeyConstraint("run", name=op.f("pk_holder")),
        comment="Which process works on a run.",
    )
    op.create_table(
        "request",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("state_at", sa.Text(), nullable=False),
        sa.Column("recipient_count", sa.Integer(), nullable=False),
        sa.Column("item_count", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("parent", sa.Integer(), nullable=True),
        sa.Column("recipients", sa.Text(), nullable=False),
        sa.CheckConstraint("operation <> 'REVOKE' OR recipient_count = 1", name=op.f("ck_request_revoke_of_one")),
        sa.CheckConstraint("operation IN ('GRANT', 'REVOKE')", name=op.f("ck_request_operation_known")),
        sa.CheckConstraint(
            "state IN ('PLANNED', 'DISCARDED') OR attempts >= 1 OR parent IS NOT NULL",
            name=op.f("ck_request_sent_only_by_an_attempt"),
        ),
        sa.CheckConstraint(
            "state IN ('PLANNED', 'SENDING', 'ACCEPTED', 'REFUSED', 'UNCONFIRMED', 'SPLIT', 'DISCARDED')",
            name=op.f("ck_request_state_known"),
        ),
        sa.CheckConstraint("recipient_count >= 1 AND item_count >= 1", name=op.f("ck_request_not_empty")),
        sa.ForeignKeyConstraint(["parent"], ["request.id"], name=op.f("fk_request_parent")),
        sa.ForeignKeyConstraint(["run"], ["run.number"], name=op.f("fk_request_run")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_request")),
    )
    op.create_index("ix_request_run", "request", ["run", "state"], unique=False)
    op.create_table(
        "recipient",
        sa.Column("identity", sa.Integer(), nullable=False),
        sa.Column("request", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["identity"], ["identity.id"], name=op.f("fk_recipient_identity")),
        sa.ForeignKeyConstraint(["request"], ["request.id"], name=op.f("fk_recipient_request")),
        sa.PrimaryKeyConstraint("identity", "request", name=op.f("pk_recipient")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "request_item",
        sa.Column("request", sa.Integer(), nullable=False),
        sa.Column("item", sa.Integer(), nullable=False),
        sa.Column("detail", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["detail"], ["detail.id"], name=op.f("fk_request_item_detail")),
        sa.ForeignKeyConstraint(["item"], ["item.id"], name=op.f("fk_request_item_item")),
        sa.ForeignKeyConstraint(["request"], ["request.id"], name=op.f("fk_request_item_request")),
        sa.PrimaryKeyConstraint("request", "item", name=op.f("pk_request_item")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "event",
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("request", sa.Integer(), nullable=True),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["request"], ["request.id"], name=op.f("fk_event_request")),
        sa.ForeignKeyConstraint(["run"], ["run.id"], name=op.f("fk_event_run")),
        sa.PrimaryKeyConstraint("run", "number", name=op.f("pk_event")),
        comment="The books: what happened to a run and its requests, each line sealed with the hash of the one before.",
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_event_request"), "event", ["request"], unique=False)
