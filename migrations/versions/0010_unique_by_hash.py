"""Details and findings are unique by a hash of their texts, since databases limit what an index may hold.

PostgreSQL compares and orders all texts by their bytes, as SQLite does. A ledger knows where it has moved.
"""

import hashlib
import itertools
from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_AT_ONCE = 10_000

_HASHED = {"detail": ("comment", "start_date", "remove_date", "metadata"), "finding": ("state", "who", "said")}

_TEXTS = {
    "about": ("ledger", "created_at", "move", "moved_to", "moving_from"),
    "tenant": ("name", "token_name", "listing_delay_at"),
    "address": ("url",),
    "requester": ("identity",),
    "run": ("id", "input_digest", "inputs", "dialect", "started_at"),
    "holder": ("host", "machine", "since", "beat"),
    "identity": ("external_id", "key"),
    "item": ("type", "external_id", "key"),
    "detail": ("comment", "start_date", "remove_date", "metadata", "digest"),
    "request": ("operation", "state", "state_at", "recipients", "tag", "seal"),
    "doubt": ("tenant_time", "fence", "mac"),
    "signer": ("public", "since"),
    "event": ("at", "event", "detail", "hash", "signature"),
    "pace": ("client", "dialect", "boot"),
    "call": ("machine",),
    "finding": ("state", "who", "said", "digest"),
    "track": ("since", "access_request"),
    "cached": ("kind", "key", "at", "value", "mac"),
    "name_meaning": ("kind", "name", "at", "outcome", "id", "problem"),
    "set_aside": ("run_id", "identity_id", "item_type", "item_id", "at", "class", "reason"),
}


def upgrade() -> None:
    connection = op.get_bind()
    is_sqlite = connection.dialect.name == "sqlite"
    if "moves" in {column["name"] for column in sa.inspect(connection).get_columns("about")}:
        return  # somebody has changed the ledger's version, and other checks find that
    with op.batch_alter_table("about", recreate="always" if is_sqlite else "never") as batch:
        batch.add_column(sa.Column("moves", sa.Integer(), server_default="0", nullable=False))
        for name in ("move", "moved_to", "moving_from"):
            batch.add_column(sa.Column(name, sa.Text(), nullable=True))
    for table, texts in _HASHED.items():
        # A column can be added as it is; the table is rebuilt once, after it is filled.
        op.add_column(table, sa.Column("digest", sa.Text(), nullable=True))
        _fill(connection, table, texts)
        with op.batch_alter_table(table, recreate="always" if is_sqlite else "never") as batch:
            batch.drop_constraint(op.f(f"uq_{table}_{texts[0]}"), type_="unique")
            batch.alter_column("digest", existing_type=sa.Text(), nullable=False)
            batch.create_unique_constraint(op.f(f"uq_{table}_digest"), ["digest"])
    if connection.dialect.name == "postgresql":
        quoted = connection.dialect.identifier_preparer.quote
        for table, names in _TEXTS.items():
            parts = ", ".join(f'ALTER COLUMN {quoted(name)} TYPE TEXT COLLATE "C"' for name in names)
            op.execute(f"ALTER TABLE {quoted(table)} {parts}")
        # It kept the name that its column once had.
        op.execute("ALTER SEQUENCE IF EXISTS request_id_seq RENAME TO request_number_seq")
    if connection.dialect.supports_comments:
        for table, comment in _COMMENTS.items():
            op.create_table_comment(table, comment)


def _fill(connection: sa.Connection, table: str, texts: Sequence[str]) -> None:
    """Writes each row's digest, as `batch.ledger.bulk.with_digest` makes it."""
    names = ", ".join(texts)
    rows = connection.execute(sa.text(f"SELECT id, {names} FROM {table} ORDER BY id"))  # noqa: S608 - our own names
    fill = sa.text(f"UPDATE {table} SET digest = :digest WHERE id = :id")  # noqa: S608 - likewise
    while part := list(itertools.islice(rows, _AT_ONCE)):
        connection.execute(fill, [{"id": number, "digest": _digest(values)} for number, *values in part])


def _digest(values: Sequence[str]) -> str:
    # Somebody may have written something else than texts, which is found later.
    encoded = [str(value).encode() for value in values]
    return hashlib.sha256(b"".join(b"%d:%b" % (len(value), value) for value in encoded)).hexdigest()


_COMMENTS = {
    "about": (
        "One row: the ledger's own id, whether it is the sandbox's, and how many bodies were ever claimed. `moves`: "
        "how often it has moved to another database, `move`: the id of its last move, `moved_to`: where it is now if "
        "not here, `moving_from`: where it still is."
    ),
    "detail": (
        "What a request says about an item besides its id. Empty text stands for absent. `digest`: the hash of it all."
    ),
    "finding": (
        "What the tenant reports on changes: the vendor's name of the state, who decides, the message. `digest`: the "
        "hash of it all."
    ),
}
