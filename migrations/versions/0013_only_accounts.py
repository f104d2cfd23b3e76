"""A request may name the only account of its person, which is no part of the change's key."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

_NAME = "ck_detail_account_selected"


def upgrade() -> None:
    """Older changes name an account only if there were several."""
    connection = op.get_bind()
    held = {one["name"]: one["sqltext"] for one in sa.inspect(connection).get_check_constraints("detail")}
    # If it is gone, somebody has changed the ledger, and other checks find that.
    if _NAME in held:
        # SQLite's table is rebuilt, so that it is as if created anew.
        recreate = "always" if connection.dialect.name == "sqlite" else "never"
        with op.batch_alter_table("detail", recreate=recreate) as batch:
            batch.drop_constraint(op.f(_NAME), type_="check")
            batch.create_check_constraint(op.f(_NAME), "account = '' OR selection <> ''")
    if connection.dialect.supports_comments:
        op.create_table_comment(
            "detail",
            "What a request says about an item besides its id. Empty text stands for absent. `digest`: the hash of it "
            "all. `account`: which of a person's several accounts; `selection`: how a body says so; it may name the "
            "only account too.",
        )
