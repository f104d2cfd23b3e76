"""What is planned is sealed, and each machine signs what it adds."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "signer",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("public", sa.Text(), nullable=False),
        sa.Column("since", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signer")),
        sa.UniqueConstraint("public", name=op.f("uq_signer_public")),
    )
    with _altered("event", sqlite_with_rowid=False) as batch:
        batch.add_column(sa.Column("signer", sa.Integer(), nullable=True))
        batch.add_column(sa.Column("place", sa.Integer(), nullable=True))
        batch.add_column(sa.Column("signature", sa.Text(), nullable=True))
        batch.create_foreign_key(op.f("fk_event_signer"), "signer", ["signer"], ["id"])
        batch.create_unique_constraint(op.f("uq_event_signer"), ["signer", "place"])
        batch.create_check_constraint(
            op.f("ck_event_signed_by_somebody"),
            "(signer IS NULL) = (signature IS NULL)",
        )
    with _altered("request") as batch:
        batch.add_column(sa.Column("seal", sa.Text(), nullable=True))
    # Nobody can tell who kept these answers: the tenant is asked again.
    op.execute("DELETE FROM cached")
    with _altered("cached", sqlite_with_rowid=False) as batch:
        batch.add_column(sa.Column("mac", sa.Text(), nullable=False))
    if op.get_context().dialect.supports_comments:
        for name, comment in _COMMENTS.items():
            op.create_table_comment(name, comment)


def _altered(table: str, **of_table: Any) -> Any:
    """SQLite's tables are rebuilt, so that they are as if created anew; elsewhere other tables refer to them."""
    is_sqlite = op.get_context().dialect.name == "sqlite"
    return op.batch_alter_table(table, recreate="always" if is_sqlite else "never", table_kwargs=of_table)


_COMMENTS = {
    "event": (
        "What happened to a run and its requests. The hash of each event covers the event before. `signature`: of "
        "the last event of a transaction, with the key `signer`; `place`: how many signatures that key has made so far."
    ),
    "request": (
        "`tag`: the random part of its id; null if it was planned before there were any. `claimed`: when its body "
        "was last claimed, as a number that counts all claims of the ledger. `seal`: the hash of its content."
    ),
    "cached": (
        "The tenant's answers about people and items, as JSON, and when they came. Can be emptied at any time. "
        "`mac`: proves which machine kept it; another one asks the tenant again."
    ),
}
