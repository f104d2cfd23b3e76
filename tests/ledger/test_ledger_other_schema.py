"""Somebody gives a table of the ledger another meaning under its own name. The ledger is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from batch.errors import LedgerChangedError
from tests.ledger.ledger_helpers import alter, open_ledger, rows

if TYPE_CHECKING:
    from pathlib import Path

    from batch.ledger.store import Ledger

pytestmark = pytest.mark.sqlite_only

CALL = "(pace INTEGER, number INTEGER, counted_by FLOAT, machine TEXT, pid INTEGER, process_started FLOAT, "


def rewrite(path: Path, table: str, old: str, new: str) -> None:
    """Changes the statement that made a table."""
    (before,) = rows(path, "SELECT sql FROM sqlite_master WHERE name = ?", table)[0]
    alter(
        path,
        "PRAGMA writable_schema = ON",
        f"UPDATE sqlite_master SET sql = replace(sql, '{old}', '{new}') WHERE name = '{table}'",  # noqa: S608
        "PRAGMA writable_schema = RESET",
    )
    (after,) = rows(path, "SELECT sql FROM sqlite_master WHERE name = ?", table)[0]
    assert before != after


@pytest.mark.parametrize(
    ("table", "old", "new"),
    [
        ("event", "REFERENCES request (number)", "REFERENCES request (number) ON DELETE CASCADE"),
        ("event", "REFERENCES request (number)", "REFERENCES request (number) DEFERRABLE INITIALLY DEFERRED"),
        ("event", "detail TEXT NOT NULL", "detail TEXT"),
        ("event", "UNIQUE (signer, place)", "UNIQUE (signer, place) ON CONFLICT REPLACE"),
        ("run", "UNIQUE (id)", "UNIQUE (started_at)"),
        ("identity", "external_id TEXT NOT NULL", "external_id TEXT NOT NULL COLLATE NOCASE"),
        ("about", "claims INTEGER DEFAULT ''0''", "claims INTEGER DEFAULT ''9''"),
        ("request", "state IN (''PLANNED''", "1 OR state IN (''PLANNED''"),
    ],
)
def test_a_table_that_does_something_else_is_refused(
    path: Path, ledger: Ledger, table: str, old: str, new: str
) -> None:
    ledger.close()
    rewrite(path, table, old, new)
    with pytest.raises(LedgerChangedError, match=f"Somebody has changed the table '{table}'"):
        open_ledger(path)


@pytest.mark.parametrize(
    ("attack", "said"),
    [
        (
            f"CREATE TABLE call {CALL} permitted_at FLOAT, UNIQUE (pace) ON CONFLICT REPLACE)",
            "changed the table 'call'",
        ),
        ("CREATE VIEW call AS SELECT * FROM pace", "added the view 'call'"),
        ("SELECT 1", "removed the table 'call'"),
    ],
)
def test_calls_that_would_not_be_counted_are_noticed(path: Path, ledger: Ledger, attack: str, said: str) -> None:
    ledger.close()
    alter(path, "DROP TABLE call", attack)
    with pytest.raises(LedgerChangedError, match=f"Somebody has {said}"):
        open_ledger(path)


def test_an_index_that_is_missing_or_another_one_is_noticed(path: Path, ledger: Ledger) -> None:
    ledger.close()
    alter(path, "DROP INDEX ix_request_run")
    with pytest.raises(LedgerChangedError, match="removed the index 'ix_request_run'"):
        open_ledger(path)
    alter(path, "CREATE UNIQUE INDEX ix_request_run ON request (run, state)")
    with pytest.raises(LedgerChangedError, match="changed the index 'ix_request_run'"):
        open_ledger(path)


def test_a_ledger_without_the_view_for_people_opens(path: Path, ledger: Ledger) -> None:
    ledger.close()
    alter(path, "DROP VIEW changes")
    open_ledger(path).close()


def test_a_ledger_opens_whose_statistics_somebody_has_gathered(path: Path, ledger: Ledger) -> None:
    ledger.close()
    alter(path, "ANALYZE")
    assert rows(path, "SELECT count(*) FROM sqlite_master WHERE name = 'sqlite_stat1'") == [(1,)]
    open_ledger(path).close()
