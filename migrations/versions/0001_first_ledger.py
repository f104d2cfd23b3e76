"""The ledger as it was first released."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "about",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("ledger", sa.Text(), nullable=False),
        sa.Column("sandbox", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_about_single")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_about")),
        comment="One line: the ledger's own id, and whether it belongs to the sandbox.",
    )
    op.create_table(
        "detail",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("start_date", sa.Text(), nullable=False),
        sa.Column("remove_date", sa.Text(), nullable=False),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_detail")),
        sa.UniqueConstraint("comment", "start_date", "remove_date", "metadata", name=op.f("uq_detail_comment")),
        comment="What a request says of an item besides its id; empty text for absent.",
    )
    op.create_table(
        "tenant",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tenant")),
        sa.UniqueConstraint("name", name=op.f("uq_tenant_name")),
    )
    op.create_table(
        "identity",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenant.id"], name=op.f("fk_identity_tenant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identity")),
        sa.UniqueConstraint("tenant", "external_id", name=op.f("uq_identity_tenant")),
    )
    op.create_table(
        "item",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.CheckConstraint("type IN ('ACCESS_PROFILE', 'ROLE', 'ENTITLEMENT')", name=op.f("ck_item_type_known")),
        sa.ForeignKeyConstraint(["tenant"], ["tenant.id"], name=op.f("fk_item_tenant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_item")),
        sa.UniqueConstraint("tenant", "external_id", "type", name=op.f("uq_item_tenant")),
    )
    op.create_table(
        "run",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.Column("input_digest", sa.Text(), nullable=False),
        sa.Column("inputs", sa.Text(), nullable=False),
        sa.Column("dialect", sa.Text(), nullable=False),
        sa.Column("started_at", sa.Text(), nullable=False),
        sa.Column("lower_bound", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenant.id"], name=op.f("fk_run_tenant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
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
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("state_at", sa.Text(), nullable=False),
        sa.Column("recipient_count", sa.Integer(), nullable=False),
        sa.Column("item_count", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("parent", sa.Integer(), nullable=True),
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
        sa.ForeignKeyConstraint(["run"], ["run.id"], name=op.f("fk_request_run")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_request")),
    )
    op.create_index("ix_request_run", "request", ["run", "state"], unique=False)
    op.create_table(
        "change",
        sa.Column("identity", sa.Integer(), nullable=False),
        sa.Column("item", sa.Integer(), nullable=False),
        sa.Column("request", sa.Integer(), nullable=False),
        sa.Column("detail", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["detail"], ["detail.id"], name=op.f("fk_change_detail")),
        sa.ForeignKeyConstraint(["identity"], ["identity.id"], name=op.f("fk_change_identity")),
        sa.ForeignKeyConstraint(["item"], ["item.id"], name=op.f("fk_change_item")),
        sa.ForeignKeyConstraint(["request"], ["request.id"], name=op.f("fk_change_request")),
        sa.PrimaryKeyConstraint("identity", "item", "request", name=op.f("pk_change")),
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
    op.create_table(
        "recipient",
        sa.Column("request", sa.Integer(), nullable=False),
        sa.Column("identity", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["identity"], ["identity.id"], name=op.f("fk_recipient_identity")),
        sa.ForeignKeyConstraint(["request"], ["request.id"], name=op.f("fk_recipient_request")),
        sa.PrimaryKeyConstraint("request", "identity", name=op.f("pk_recipient")),
        sqlite_with_rowid=False,
    )
