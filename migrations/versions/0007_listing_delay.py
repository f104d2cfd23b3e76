"""A delay of a tenant's status list is remembered with its time, since it counts less as time passes."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    # SQLite's table is rebuilt, so that it is as if created anew; elsewhere other tables refer to it.
    with op.batch_alter_table("tenant", recreate="always" if _is_sqlite() else "never") as batch:
        batch.add_column(sa.Column("listing_delay_at", sa.Text(), nullable=True))
    if op.get_context().dialect.supports_comments:
        op.create_table_comment(
            "tenant",
            "`name`: its first address. `token_name`: its id, as its tokens name it; null until one came. "
            "`listing_delay`: a delay, in seconds, until its status list showed an accepted request, and "
            "`listing_delay_at`: when it was seen. It counts half after each week; the one that counts most is kept.",
        )


def _is_sqlite() -> bool:
    return op.get_context().dialect.name == "sqlite"
