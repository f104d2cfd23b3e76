"""A change may name one of several accounts of its person. A precheck may reject a change."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

_ADDED = {"detail": ("account", "selection"), "set_aside": ("account",)}
_KEY = ("run_id", "identity_id", "item_type", "item_id", "account")


def upgrade() -> None:
    """Older changes name no account, so their hashes stay as they are."""
    connection = op.get_bind()
    is_sqlite = connection.dialect.name == "sqlite"
    # SQLite's tables are rebuilt, so that they are as if created anew.
    recreate = "always" if is_sqlite else "never"
    text = sa.Text() if is_sqlite else sa.Text(collation="C")
    # If they are there, somebody has changed the ledger's version, and other checks find that.
    if "account" not in {column["name"] for column in sa.inspect(connection).get_columns("detail")}:
        for table, names in _ADDED.items():
            for name in names:
                op.add_column(table, sa.Column(name, text, nullable=True))
                op.execute(f"UPDATE {table} SET {name} = ''")  # noqa: S608 - our own names
        with op.batch_alter_table("detail", recreate=recreate) as batch:
            for name in _ADDED["detail"]:
                batch.alter_column(name, existing_type=text, nullable=False)
            batch.create_check_constraint(op.f("ck_detail_account_selected"), "(account = '') = (selection = '')")
    # The integrity check of some versions of SQLite errs if a key has a column behind others.
    order = [_KEY, ("account", "at", "class", "reason")] if is_sqlite else []
    with op.batch_alter_table("set_aside", recreate=recreate, partial_reordering=order) as batch:
        batch.alter_column("account", existing_type=text, nullable=False)
        batch.drop_constraint(op.f("pk_set_aside"), type_="primary")
        batch.create_primary_key(op.f("pk_set_aside"), list(_KEY))
        batch.drop_constraint(op.f("ck_set_aside_class_known"), type_="check")
        batch.create_check_constraint(
            op.f("ck_set_aside_class_known"),
            "class IN ('rejected', 'already_submitted', 'already_held', 'not_held', 'held_back')",
        )
    if connection.dialect.supports_comments:
        op.create_table_comment(
            "detail",
            "What a request says about an item besides its id. Empty text stands for absent. `digest`: the hash of it "
            "all. `account`: which of a person's several accounts; `selection`: how a body says so.",
        )
