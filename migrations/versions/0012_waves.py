"""A run may be sent in waves. The table says which runs are, so that nobody else takes over what waits."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Older runs have no waves."""
    # If it is there, somebody has changed the ledger's version, and other checks find that.
    if "wave" in sa.inspect(op.get_bind()).get_table_names():
        return
    text = sa.Text() if op.get_context().dialect.name == "sqlite" else sa.Text(collation="C")
    op.create_table(
        "wave",
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("changes", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("canary", text, nullable=True),
        sa.Column("begun", sa.Integer(), nullable=False),
        sa.Column("before", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("run", name=op.f("pk_wave")),
        sa.CheckConstraint("changes >= 0 AND (changes > 0) = (seconds > 0)", name=op.f("ck_wave_period")),
        sa.CheckConstraint("changes > 0 OR canary IS NOT NULL", name=op.f("ck_wave_something_waits")),
        sa.CheckConstraint("before >= 0 AND before <= begun", name=op.f("ck_wave_in_order")),
        sa.ForeignKeyConstraint(["run"], ["run.number"], name=op.f("fk_wave_run")),
        comment="Runs that are sent in waves: at most so many `changes` in so many `seconds`, or any number if both "
        "are 0. `canary`: the numbers of the requests that go first; empty once they have passed, null if there never "
        "was one. `begun` and `before`: the events with which the present wave and the one before began; 0 for none.",
    )
