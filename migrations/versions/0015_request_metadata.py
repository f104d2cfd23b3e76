"""A run keeps the clientMetadata that each of its requests carries."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Older runs have none."""
    connection = op.get_bind()
    # If it is there, somebody has changed the ledger's version, and other checks find that.
    if "metadata" not in {one["name"] for one in sa.inspect(connection).get_columns("run")}:
        is_sqlite = connection.dialect.name == "sqlite"
        text = sa.Text() if is_sqlite else sa.Text(collation="C")
        # SQLite's table is rebuilt, so that it is as if created anew.
        with op.batch_alter_table("run", recreate="always" if is_sqlite else "never") as batch:
            batch.add_column(sa.Column("metadata", text, nullable=True))
    if connection.dialect.supports_comments:
        op.create_table_comment(
            "run", "`metadata`: the request-level clientMetadata of all its requests; null for none."
        )
