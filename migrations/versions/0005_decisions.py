"""The decisions that plans rest on get tables of their own; requests and runs are referred to by their number alone."""

import itertools
import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op

from batch.errors import LedgerRefusedError

revision = "0005"
down_revision = "0004"

_AT_ONCE = 10_000

_NAMES = "names of run "
_SET_ASIDE = "set aside by run "

_COMMENTS = {
    "about": "One row: the ledger's own id, and whether it is the sandbox's.",
    "detail": "What a request says about an item besides its id. Empty text stands for absent.",
    "envelope": "Requests that share a body, by the number of the first. A request alone in its body is not here.",
    "pace": "Calls that the tenant counts together: those of one client in one API version.",
    "call": "The calls of the last window. `left_at`: when the last byte had left; null until then.",
    "finding": ("What the tenant reports on changes: the vendor's name of the state, who decides, the message."),
    "track": "The tenant's last report on each tracked change.",
    "cached": "The tenant's answers about people and items, as JSON, and when they came. Can be emptied at any time.",
}


def upgrade() -> None:
    _refuse_events_without_run(op.get_bind())
    op.execute("ALTER TABLE request RENAME COLUMN id TO number")
    for name in ("event", "holder"):
        op.execute(f"CREATE TABLE old_{name} AS SELECT * FROM {name}")  # noqa: S608 - our own names
        op.drop_table(name)
    _create_tables()
    op.execute(
        "INSERT INTO event SELECT run.number, o.number, o.at, o.request, o.event, o.attempt, o.status, o.detail, "
        "o.hash FROM old_event AS o JOIN run ON run.id = o.run ORDER BY run.number, o.number"
    )
    op.execute(
        "INSERT INTO holder SELECT run.number, o.host, o.machine, o.pid, o.process_started, o.since, o.beat "
        "FROM old_holder AS o JOIN run ON run.id = o.run"
    )
    for name in ("event", "holder"):
        op.drop_table(f"old_{name}")
    _move_decisions(op.get_bind())
    if op.get_context().dialect.supports_comments:
        for name, comment in _COMMENTS.items():
            op.create_table_comment(name, comment)


def _refuse_events_without_run(connection: sa.Connection) -> None:
    """Refuses a ledger whose damage the new table would hide."""
    lost = connection.execute(sa.text("SELECT run FROM event WHERE run NOT IN (SELECT id FROM run) LIMIT 1")).scalar()
    if lost is not None:
        raise _damaged(f"it has events of run {lost}, and no such run")


def _damaged(what: str) -> LedgerRefusedError:
    return LedgerRefusedError(
        f"The ledger is damaged and was not upgraded: {what}.",
        next_step="Put its newest sound backup in its place: requests sent since then are looked up at the tenant "
        "first. A new ledger would not know them.",
    )


def _create_tables() -> None:
    op.create_table(
        "event",
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("request", sa.Integer(), nullable=True),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["request"], ["request.number"], name=op.f("fk_event_request")),
        sa.ForeignKeyConstraint(["run"], ["run.number"], name=op.f("fk_event_run")),
        sa.PrimaryKeyConstraint("run", "number", name=op.f("pk_event")),
        comment="What happened to a run and its requests. The hash of each event covers the event before.",
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_event_request"), "event", ["request"], unique=False)
    op.create_table(
        "holder",
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("process_started", sa.Float(), nullable=False),
        sa.Column("since", sa.Text(), nullable=False),
        sa.Column("beat", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run"], ["run.number"], name=op.f("fk_holder_run")),
        sa.PrimaryKeyConstraint("run", name=op.f("pk_holder")),
        comment="The process that works on a run.",
    )
    op.create_table(
        "name_meaning",
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.CheckConstraint("outcome IN ('found', 'unknown', 'ambiguous')", name=op.f("ck_name_meaning_outcome_known")),
        sa.CheckConstraint("(outcome = 'found') = (id <> '')", name=op.f("ck_name_meaning_id_if_found")),
        sa.ForeignKeyConstraint(["run"], ["run.number"], name=op.f("fk_name_meaning_run")),
        sa.PrimaryKeyConstraint("run", "kind", "name", name=op.f("pk_name_meaning")),
        comment="What each name in a run's input meant when the run was planned: one id, or why there is none.",
        sqlite_with_rowid=False,
    )
    op.create_table(
        "set_aside",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("identity_id", sa.Text(), nullable=False),
        sa.Column("item_type", sa.Text(), nullable=False),
        sa.Column("item_id", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("class", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "item_type IN ('ACCESS_PROFILE', 'ROLE', 'ENTITLEMENT')", name=op.f("ck_set_aside_item_type_known")
        ),
        sa.CheckConstraint(
            "class IN ('already_submitted', 'already_held', 'held_back')", name=op.f("ck_set_aside_class_known")
        ),
        sa.PrimaryKeyConstraint("run_id", "identity_id", "item_type", "item_id", name=op.f("pk_set_aside")),
        comment=(
            "Changes that a precheck set aside. `run_id`: of the input's run, which never began if all was set aside."
        ),
        sqlite_with_rowid=False,
    )


def _move_decisions(connection: sa.Connection) -> None:
    numbers = dict(connection.execute(sa.text("SELECT id, number FROM run")).all())
    names = sa.text("INSERT INTO name_meaning VALUES (:run, :kind, :name, :at, :outcome, :id, :problem)")
    aside = sa.text("INSERT INTO set_aside VALUES (:run_id, :identity_id, :item_type, :item_id, :at, :class, :reason)")
    for prefix, statement, read in ((_NAMES, names, _name_meaning), (_SET_ASIDE, aside, _set_aside)):
        of_prefix = {"kind": f"{prefix}%"}
        rows = connection.execute(
            sa.text("SELECT kind, key, at, value FROM cached WHERE kind LIKE :kind ORDER BY kind, key"), of_prefix
        )
        while part := list(itertools.islice(rows, _AT_ONCE)):
            try:
                values = [read(row.kind.removeprefix(prefix), row, numbers) for row in part]
            except (KeyError, ValueError) as error:
                raise _damaged(f"among the {part[0].kind} stands what can't be read") from error
            connection.execute(statement, values)
        connection.execute(sa.text("DELETE FROM cached WHERE kind LIKE :kind"), of_prefix)


def _name_meaning(run_id: str, row: Any, numbers: Mapping[str, int]) -> dict[str, Any]:
    kind, _, name = row.key.partition("\n")
    return {"run": numbers[run_id], "kind": kind, "name": name, "at": row.at, **json.loads(row.value)}


def _set_aside(run_id: str, row: Any, _numbers: Mapping[str, int]) -> dict[str, Any]:
    identity_id, item_type, item_id = row.key.split(" ")
    class_, reason = json.loads(row.value)
    return {
        "run_id": run_id,
        "identity_id": identity_id,
        "item_type": item_type,
        "item_id": item_id,
        "at": row.at,
        "class": class_,
        "reason": reason,
    }
