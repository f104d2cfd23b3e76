"""The ledger counts the calls of each client and month, for contracts that cap them."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Calls that were made before are not counted."""
    # If it is there, somebody has changed the ledger's version, and other checks find that.
    if "monthly_calls" in sa.inspect(op.get_bind()).get_table_names():
        return
    text = sa.Text() if op.get_context().dialect.name == "sqlite" else sa.Text(collation="C")
    op.create_table(
        "monthly_calls",
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.Column("client", text, nullable=False),
        sa.Column("month", text, nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "client", "month", name=op.f("pk_monthly_calls")),
        sa.CheckConstraint("calls >= 0", name=op.f("ck_monthly_calls_never_negative")),
        sa.CheckConstraint("length(month) = 7", name=op.f("ck_monthly_calls_year_and_month")),
        sa.ForeignKeyConstraint(["tenant"], ["tenant.id"], name=op.f("fk_monthly_calls_tenant")),
        comment="How many calls each client was permitted in each month of UTC, such as 2026-11, since this table "
        "exists: never fewer than it has made.",
        sqlite_with_rowid=False,
    )
