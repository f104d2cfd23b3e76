"""Whose a run is, and what the tenant reports on its changes, are links of its chain. Those tables stay as they are.

A doubt has a code of the machine that wrote it. A change can be set aside because its access is not held.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """The links and codes are written once the tables have their newest form, see `ledger.upgrade`."""
    # SQLite's table is rebuilt, so that it is as if created anew.
    is_sqlite = op.get_context().dialect.name == "sqlite"
    with op.batch_alter_table("doubt", recreate="always" if is_sqlite else "never") as batch:
        batch.add_column(sa.Column("mac", sa.Text(), nullable=True))
    if op.get_context().dialect.supports_comments:
        op.create_table_comment(
            "doubt",
            "What is known of UNCONFIRMED requests. `tenant_time`: the tenant's clock, once the attempt had ended. "
            "`fence`: when the token expires of a process that may live. `ripe`: `about.claims` once it would be "
            "listed; an accepted request that was claimed later can be its control. `mac`: proves which machine wrote "
            "the row.",
        )
    with op.batch_alter_table("set_aside", recreate="always" if is_sqlite else "never") as batch:
        batch.drop_constraint(op.f("ck_set_aside_class_known"), type_="check")
        batch.create_check_constraint(
            op.f("ck_set_aside_class_known"),
            "class IN ('already_submitted', 'already_held', 'not_held', 'held_back')",
        )
