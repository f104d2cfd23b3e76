"""The schema: migrations and tables agree, and the database refuses impossible states."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from batch.ledger.tables import LEDGER_VERSION, metadata
from batch.ledger.upgrade import migrations_folder
from batch.states import State
from tests.builders import change
from tests.ledger.ledger_helpers import open_ledger, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy.engine import Engine


def migrations() -> Config:
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    config.set_main_option("path_separator", "os")
    return config


@pytest.fixture
def migrated(tmp_path: Path) -> Iterator[Engine]:
    """A database created by the migrations."""
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'migrated.db'}")
    config = migrations()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    yield engine
    engine.dispose()


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Engine]:
    """A new ledger."""
    path = tmp_path / "opened.db"
    open_ledger(path).close()
    engine = sa.create_engine(f"sqlite:///{path}")
    yield engine
    engine.dispose()


def statements(engine: Engine) -> dict[str, set[str]]:
    """The parts of every CREATE statement, regardless of their order."""
    with engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND type <> 'view'"
        ).all()
    return {
        name: {re.sub(r"\s+", " ", part.replace('"', "")).strip(" ,") for part in sql.splitlines()}
        for name, sql in found
    }


def test_alembic_finds_no_difference_between_migrations_and_tables(migrated: Engine) -> None:
    with migrated.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_a_new_ledger_is_what_the_migrations_make(migrated: Engine, opened: Engine) -> None:
    of_migrations, of_new_ledger = statements(migrated), statements(opened)
    assert of_migrations == of_new_ledger
    assert any("CHECK" in part for part in of_new_ledger["request"])
    for engine in (migrated, opened):
        with engine.connect() as connection:
            assert MigrationContext.configure(connection).get_current_revision() == LEDGER_VERSION


OF_POSTGRESQL = {
    "columns": "SELECT table_name, column_name, data_type, collation_name, is_nullable, column_default "
    "FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'changes'",
    "constraints": "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
    "WHERE connamespace = 'public'::regnamespace AND contype <> 'n'",
    "indexes": "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "comments": "SELECT relname, obj_description(oid) FROM pg_class "
    "WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'",
    "sequences": "SELECT sequencename, data_type::text FROM pg_sequences WHERE schemaname = 'public'",
}


@pytest.mark.postgresql
def test_in_postgresql_too_a_new_ledger_is_what_the_migrations_make_and_compares_texts_by_their_bytes(
    empty_postgresql: str, postgresql: str
) -> None:
    schemas = []
    for url in (empty_postgresql, postgresql):
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            if url == empty_postgresql:
                config = migrations()
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []
            schemas.append(
                {name: set(map(tuple, connection.exec_driver_sql(sql).all())) for name, sql in OF_POSTGRESQL.items()}
            )
        engine.dispose()
    assert schemas[0] == schemas[1]
    collations = {(kind, collation) for table, _, kind, collation, *_ in schemas[1]["columns"] if table in TABLES}
    assert collations >= {("text", "C")}
    assert ("text", None) not in collations


TABLES = frozenset(metadata.tables)


def test_the_ledger_version_is_the_newest_migration_of_a_single_chain() -> None:
    assert ScriptDirectory.from_config(migrations()).get_heads() == [LEDGER_VERSION]


REQUEST = {
    "run": 1,
    "operation": "GRANT",
    "state": "PLANNED",
    "state_at": "2026-03-01T12:00:00.000Z",
    "recipient_count": 2,
    "item_count": 1,
    "attempts": 0,
    "recipients": "1 2",
}


def insert_request(path: Path, **other: Any) -> None:
    values = {**REQUEST, **other}
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        connection.execute(f"INSERT INTO request ({names}) VALUES ({marks})", tuple(values.values()))  # noqa: S608


@pytest.fixture
def ledger_file(tmp_path: Path) -> Path:
    """A ledger with one run."""
    path = tmp_path / "ledger.db"
    with open_ledger(path) as ledger:
        write(ledger, [change("i1", "r1")])
    return path


@pytest.mark.parametrize(
    ("other", "constraint"),
    [
        ({"operation": "REVOKE"}, "revoke_of_one"),
        ({"operation": "LEND"}, "operation_known"),
        ({"state": "LOST", "attempts": 1}, "state_known"),
        ({"state": "planned"}, "state_known|sent_only"),
        ({"recipient_count": 0}, "not_empty"),
        ({"item_count": 0}, "not_empty"),
        ({"run": 99}, "FOREIGN KEY"),
        ({"parent": 99}, "FOREIGN KEY"),
        *(
            ({"state": state.value}, "sent_only_by_an_attempt")
            for state in sorted(set(State) - {State.PLANNED, State.DISCARDED, State.SPLIT})
        ),
    ],
)
def test_an_impossible_request_cannot_be_written(other: dict[str, Any], constraint: str, ledger_file: Path) -> None:
    with pytest.raises(sqlite3.IntegrityError, match=constraint):
        insert_request(ledger_file, **other)


@pytest.mark.parametrize(
    "other",
    [{}, {"state": "DISCARDED"}, {"state": "ACCEPTED", "attempts": 1}, {"operation": "REVOKE", "recipient_count": 1}],
)
def test_a_possible_request_can_be_written(other: dict[str, Any], ledger_file: Path) -> None:
    insert_request(ledger_file, **other)


def test_the_about_table_holds_a_single_row(ledger_file: Path) -> None:
    with closing(sqlite3.connect(ledger_file)) as connection, pytest.raises(sqlite3.IntegrityError):
        connection.execute("INSERT INTO about (id, ledger, sandbox, created_at) VALUES (2, 'x', 0, 'now')")


def test_an_item_of_an_unknown_type_cannot_be_written(ledger_file: Path) -> None:
    with closing(sqlite3.connect(ledger_file)) as connection, pytest.raises(sqlite3.IntegrityError, match="type_known"):
        connection.execute("INSERT INTO item (tenant, type, external_id, key) VALUES (1, 'BADGE', 'x', 'x')")
