"""What exactly-once needs in a hostile world: an order of claims, doubts with a control, tenants known by their tokens.

Ids get a key by which they are compared, calls a boot to which their times belong.
"""

import itertools
from typing import Literal

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_AT_ONCE = 10_000


def upgrade() -> None:
    _add_columns()
    _create_tables()
    connection = op.get_bind()
    for table in ("identity", "item"):
        _fill_keys(connection, table)
        with op.batch_alter_table(table, recreate=_rebuild()) as batch:
            batch.alter_column("key", existing_type=sa.Text(), nullable=False)
        op.create_index(op.f(f"ix_{table}_key"), table, ["tenant", "key"], unique=False)
    connection.execute(sa.text("INSERT INTO address SELECT name, id FROM tenant"))
    connection.execute(sa.text("INSERT INTO doubt (request) SELECT number FROM request WHERE state = 'UNCONFIRMED'"))


def _rebuild() -> Literal["always", "never"]:
    """SQLite's tables are rebuilt, so that they are as if created anew; elsewhere other tables refer to them."""
    return "always" if op.get_context().dialect.name == "sqlite" else "never"


def _add_columns() -> None:
    with op.batch_alter_table("about", recreate=_rebuild()) as batch:
        batch.add_column(sa.Column("claims", sa.Integer(), server_default="0", nullable=False))
    with op.batch_alter_table("tenant", recreate=_rebuild()) as batch:
        batch.add_column(sa.Column("token_name", sa.Text(), nullable=True))
        batch.add_column(sa.Column("listing_delay", sa.Float(), server_default="0", nullable=False))
        batch.create_unique_constraint(op.f("uq_tenant_token_name"), ["token_name"])
    for table in ("identity", "item"):
        with op.batch_alter_table(table, recreate=_rebuild()) as batch:
            batch.add_column(sa.Column("key", sa.Text(), nullable=True))
    with op.batch_alter_table("request", recreate=_rebuild()) as batch:
        batch.add_column(sa.Column("tag", sa.Text(), nullable=True))
        batch.add_column(sa.Column("claimed", sa.Integer(), nullable=True))
        # Another run may take over what was planned and never sent.
        batch.drop_constraint(op.f("ck_request_sent_only_by_an_attempt"), type_="check")
        batch.create_check_constraint(
            op.f("ck_request_sent_only_by_an_attempt"),
            "state IN ('PLANNED', 'DISCARDED', 'SPLIT') OR attempts >= 1 OR parent IS NOT NULL",
        )
    op.create_index(op.f("ix_request_claimed"), "request", ["claimed"], unique=False)
    with op.batch_alter_table("pace", recreate=_rebuild()) as batch:
        batch.add_column(sa.Column("boot", sa.Text(), nullable=True))
        batch.add_column(sa.Column("epoch", sa.Float(), nullable=False, server_default="0"))


_ABOUT = "One row: the ledger's own id, whether it is the sandbox's, and how many bodies were ever claimed."


def _create_tables() -> None:
    op.create_table(
        "address",
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenant.id"], name=op.f("fk_address_tenant")),
        sa.PrimaryKeyConstraint("url", name=op.f("pk_address")),
        comment="The addresses of each tenant.",
    )
    op.create_table(
        "requester",
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenant.id"], name=op.f("fk_requester_tenant")),
        sa.PrimaryKeyConstraint("tenant", "identity", name=op.f("pk_requester")),
        comment="The users with whose tokens requests were sent.",
    )
    op.create_table(
        "doubt",
        sa.Column("request", sa.Integer(), nullable=False),
        sa.Column("tenant_time", sa.Text(), nullable=True),
        sa.Column("fence", sa.Text(), nullable=True),
        sa.Column("ripe", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["request"], ["request.number"], name=op.f("fk_doubt_request")),
        sa.PrimaryKeyConstraint("request", name=op.f("pk_doubt")),
        comment=_DOUBT,
    )
    # Calls are worth nothing once a window has passed; their times now belong to a boot.
    op.drop_table("call")
    op.create_table(
        "call",
        sa.Column("pace", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("counted_by", sa.Float(), nullable=True),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("process_started", sa.Float(), nullable=False),
        sa.Column("permitted_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["pace"], ["pace.id"], name=op.f("fk_call_pace")),
        sa.PrimaryKeyConstraint("pace", "number", name=op.f("pk_call")),
        comment="The calls of the last window. `counted_by`: when the tenant had counted it; null until that is known.",
        sqlite_with_rowid=False,
    )
    if op.get_context().dialect.supports_comments:
        for name, comment in _COMMENTS.items():
            op.create_table_comment(name, comment)


_DOUBT = (
    "What is known of UNCONFIRMED requests. `tenant_time`: the tenant's clock, once the attempt had ended. "
    "`fence`: when the token of an attempt expires whose process may still live. `ripe`: `about.claims` once the "
    "status list had had time to show it; an accepted request that was claimed later can be its control."
)
_KEY = "`key`: the id as it is compared, without case and hyphens."
_COMMENTS = {
    "about": _ABOUT,
    "tenant": (
        "`name`: its first address. `token_name`: its id, as its tokens name it; null until one came. "
        "`listing_delay`: the longest delay seen, in seconds, until its status list showed an accepted request."
    ),
    "identity": _KEY,
    "item": _KEY,
    "pace": (
        "Calls that the tenant counts together: those of one client in one API version. `boot`: whose clock all "
        "times of calls are read from; null for the wall clock. `epoch`: the wall clock when that clock was 0."
    ),
    "request": (
        "`tag`: the random part of its id; null if it was planned before there were any. `claimed`: when its body "
        "was last claimed, as a number that counts all claims of the ledger."
    ),
}


def _fill_keys(connection: sa.Connection, table: str) -> None:
    """Writes each id's key, as `batch.text.id_key` makes it."""
    ids = connection.execute(sa.text(f"SELECT id, external_id FROM {table} ORDER BY id"))  # noqa: S608 - our own name
    fill = sa.text(f"UPDATE {table} SET key = :key WHERE id = :id")  # noqa: S608 - our own name
    while part := list(itertools.islice(ids, _AT_ONCE)):
        connection.execute(fill, [{"id": row.id, "key": row.external_id.replace("-", "").lower()} for row in part])
