"""The tables that hold back what is sent: the rate limit, and the waves of a run.

`pace` and `call` keep all processes that share the ledger within the tenant's rate limit. They are worth nothing once a
window has passed, and have seconds by the clock that `pace.boot` names. `monthly_calls` counts for contracts that cap
the calls of a month.

`wave` has the runs that are sent in waves. Nobody else takes their planned requests over, whether a process works on
them or not. Its rows are as the newest event of the kind WAVES says.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

metadata: Final = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)


TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
"""The type of all texts. PostgreSQL compares and orders them by their bytes too, as SQLite does."""

pace = sa.Table(
    "pace",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("tenant", sa.ForeignKey("tenant.id"), nullable=False),
    sa.Column("client", TEXT, nullable=False),
    sa.Column("dialect", TEXT, nullable=False),
    sa.Column("calls", sa.Integer, nullable=False),
    sa.Column("longest", sa.Float, nullable=False),
    sa.Column("silent_since", sa.Float, nullable=False),
    sa.Column("silent_until", sa.Float, nullable=False),
    sa.Column("cut_to", sa.Float, nullable=False),
    sa.Column("cut_at", sa.Float, nullable=False),
    sa.Column("boot", TEXT),
    sa.Column("epoch", sa.Float, nullable=False, server_default="0"),
    sa.UniqueConstraint("tenant", "client", "dialect"),
    sa.CheckConstraint("cut_to > 0 AND cut_to <= 1", name="share"),
    comment="Calls that the tenant counts together: those of one client in one API version. `boot`: whose clock all "
    "times of calls are read from; null for the wall clock. `epoch`: the wall clock when that clock was 0.",
)

call = sa.Table(
    "call",
    metadata,
    sa.Column("pace", sa.ForeignKey("pace.id"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("counted_by", sa.Float),
    sa.Column("machine", TEXT, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("process_started", sa.Float, nullable=False),
    sa.Column("permitted_at", sa.Float, nullable=False),
    sqlite_with_rowid=False,
    comment="The calls of the last window. `counted_by`: when the tenant had counted it; null until that is known.",
)

monthly_calls = sa.Table(
    "monthly_calls",
    metadata,
    sa.Column("tenant", sa.ForeignKey("tenant.id"), primary_key=True),
    *(sa.Column(name, TEXT, primary_key=True) for name in ("client", "month")),
    sa.Column("calls", sa.Integer, nullable=False),
    sa.CheckConstraint("calls >= 0", name="never_negative"),
    sa.CheckConstraint("length(month) = 7", name="year_and_month"),
    sqlite_with_rowid=False,
    comment="How many calls each client was permitted in each month of UTC, such as 2026-11, since this table exists: "
    "never fewer than it has made.",
)

wave = sa.Table(
    "wave",
    metadata,
    sa.Column("run", sa.ForeignKey("run.number"), primary_key=True),
    sa.Column("changes", sa.Integer, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("canary", TEXT),
    sa.Column("begun", sa.Integer, nullable=False),
    sa.Column("before", sa.Integer, nullable=False),
    sa.CheckConstraint("changes >= 0 AND (changes > 0) = (seconds > 0)", name="period"),
    sa.CheckConstraint("changes > 0 OR canary IS NOT NULL", name="something_waits"),
    sa.CheckConstraint("before >= 0 AND before <= begun", name="in_order"),
    comment="Runs that are sent in waves: at most so many `changes` in so many `seconds`, or any number if both are 0. "
    "`canary`: the numbers of the requests that go first; empty once they have passed, null if there never was one. "
    "`begun` and `before`: the events with which the present wave and the one before began; 0 for none.",
)
