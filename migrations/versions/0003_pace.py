"""The last calls, and how long the tenant wants silence, so that restarts and neighbours keep one rate limit."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "pace",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.Column("client", sa.Text(), nullable=False),
        sa.Column("dialect", sa.Text(), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("longest", sa.Float(), nullable=False),
        sa.Column("silent_since", sa.Float(), nullable=False),
        sa.Column("silent_until", sa.Float(), nullable=False),
        sa.Column("cut_to", sa.Float(), nullable=False),
        sa.Column("cut_at", sa.Float(), nullable=False),
        sa.CheckConstraint("cut_to > 0 AND cut_to <= 1", name=op.f("ck_pace_share")),
        sa.ForeignKeyConstraint(["tenant"], ["tenant.id"], name=op.f("fk_pace_tenant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pace")),
        sa.UniqueConstraint("tenant", "client", "dialect", name=op.f("uq_pace_tenant")),
        comment=(
            "What the tenant counts together: one client in one API version. How many calls, and how far to hold back."
        ),
    )
    op.create_table(
        "call",
        sa.Column("pace", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("left_at", sa.Float(), nullable=True),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("process_started", sa.Float(), nullable=False),
        sa.Column("permitted_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["pace"], ["pace.id"], name=op.f("fk_call_pace")),
        sa.PrimaryKeyConstraint("pace", "number", name=op.f("pk_call")),
        comment="The calls of the last window: permitted, and gone as a whole at `left_at`.",
        sqlite_with_rowid=False,
    )
