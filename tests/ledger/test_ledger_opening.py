"""Opening a ledger: it is created private and durable, recognised, upgraded or refused."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier

import pytest
import sqlalchemy as sa

from batch.errors import LedgerLostError, LedgerRefusedError, StoppedError, UsageError
from batch.ledger.address import ledger_url
from batch.ledger.engine import connect, reading, writing
from batch.ledger.tables import LEDGER_VERSION
from tests.builders import change
from tests.ledger.ledger_helpers import alter, claim, claim_if_any, open_ledger, rows, write

ROOT = Path(__file__).parents[2]


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def run_python(program: str, *arguments: str, folder: Path = ROOT) -> str:
    """Runs a program in its own process, with the product in `folder`."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_commands_that_begin_one_ledger_together_wait_for_each_other(tmp_path: Path) -> None:
    def begin(path: Path, together: Barrier) -> None:
        together.wait()
        engine = connect(ledger_url(str(path)))
        with engine.connect() as connection:
            connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS anything (x)")
        engine.dispose()

    # SQLite refuses some in a hundred at once if several change a new file's mode.
    for number in range(60):
        together, path = Barrier(4), tmp_path / f"{number}.db"
        path.touch()
        with ThreadPoolExecutor(4) as threads:
            for begun in [threads.submit(begin, path, together) for _ in range(4)]:
                begun.result()


def test_a_new_ledger_is_announced_and_an_old_ledger_opens_silently(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with open_ledger(path) as first:
        assert first.notices == (f"A new ledger was created: {path}",)
    with open_ledger(path) as second:
        assert second.notices == ()


def test_missing_folders_are_created_for_the_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "not" / "there" / "ledger.db"
    with open_ledger(path):
        assert mode_of(path.parent) == 0o700


def test_the_ledger_and_the_files_beside_it_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    before = os.umask(0)
    try:
        with open_ledger(path) as ledger:
            write(ledger, [change("i1", "r1")])
            modes = {file.name: mode_of(file) for file in tmp_path.iterdir() if file.is_file()}
    finally:
        os.umask(before)
    assert modes == {"ledger.db": 0o600, "ledger.db-wal": 0o600, "ledger.db-shm": 0o600}


def test_every_connection_is_durable_and_checks_foreign_keys(tmp_path: Path) -> None:
    engine = connect(ledger_url(str(tmp_path / "ledger.db")))
    wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    try:
        with reading(engine) as first, reading(engine) as second:
            for connection in (first, second):
                found = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in wanted}
                assert found == wanted
    finally:
        engine.dispose()


def test_a_failed_transaction_leaves_nothing_behind_not_even_a_table(tmp_path: Path) -> None:
    def fail(engine: sa.Engine) -> None:
        with writing(engine) as connection:
            connection.exec_driver_sql("CREATE TABLE t (x)")
            connection.exec_driver_sql("INSERT INTO t VALUES (1)")
            raise RuntimeError

    engine = connect(ledger_url(str(tmp_path / "ledger.db")))
    try:
        with pytest.raises(RuntimeError):
            fail(engine)
        with reading(engine) as connection:
            assert sa.inspect(connection).get_table_names() == []
    finally:
        engine.dispose()


def test_a_database_error_has_an_explanation_and_a_next_step(tmp_path: Path) -> None:
    engine = connect(ledger_url(str(tmp_path / "ledger.db")))
    try:
        with (
            pytest.raises(LedgerLostError, match=r"ledger\.db can't be used") as caught,
            writing(engine) as connection,
        ):
            connection.exec_driver_sql("SELECT * FROM nothing")
    finally:
        engine.dispose()
    assert "run the same command again" in caught.value.next_step


def test_creating_or_opening_a_current_ledger_does_not_import_alembic(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    opens = "Ledger.open(sys.argv[1], sandbox=False, now=datetime.now(UTC), new_id=str, key=str).close();"
    program = (
        "import sys; from datetime import datetime, UTC; from batch.ledger.store import Ledger;"
        f"{opens} {opens} print('alembic' in sys.modules)"
    )
    assert run_python(program, str(path)).strip() == "False"


@pytest.mark.parametrize(
    "form", ["{path}", "sqlite:///{path}", "sqlite+pysqlite:///{path}", "sqlite:///{path}?timeout=5"]
)
def test_a_path_and_every_form_of_sqlite_url_open_the_same_private_file(form: str, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with open_ledger(form.format(path=path)) as ledger:
        write(ledger, [change("i1", "r1")])
    assert mode_of(path) == 0o600
    assert rows(path, "SELECT count(*) FROM changes") == [(1,)]


def test_a_relative_sqlite_url_opens_a_file_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with open_ledger("sqlite:///sub/ledger.db"):
        assert mode_of(tmp_path / "sub" / "ledger.db") == 0o600


def test_an_sqlite_file_uri_opens_a_private_file_and_creates_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "ledger.db"
    with open_ledger(f"sqlite:///file:{path}?uri=true"):
        assert mode_of(path) == 0o600
    assert {file.name for file in tmp_path.iterdir() if file.is_file()} == {"ledger.db"}


@pytest.mark.parametrize("location", ["sqlite://", "sqlite:///:memory:"])
def test_a_ledger_in_memory_is_refused(location: str) -> None:
    with pytest.raises(LedgerRefusedError):
        open_ledger(location)


@pytest.mark.parametrize(
    "location",
    ["nosuch://host/db", "mysql://host/db", "sqlite+nosuch:///x", "://", "postgresql://host:port/db"],
)
def test_a_location_without_an_installed_driver_is_refused(
    location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LedgerRefusedError) as caught:
        open_ledger(location)
    assert "a URL such as postgresql://" in caught.value.next_step


def test_a_password_in_a_refused_location_is_not_repeated() -> None:
    with pytest.raises(LedgerRefusedError) as caught:
        open_ledger("nosuch://user:hunter2@host/db")
    assert "hunter2" not in caught.value.message + caught.value.next_step


def test_a_ledger_from_a_newer_release_is_refused_with_instructions(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    open_ledger(path).close()
    alter(path, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(LedgerRefusedError, match=f"version 9999; .* {LEDGER_VERSION} at most") as caught:
        open_ledger(path)
    assert "Update access-batch" in caught.value.next_step


@pytest.mark.parametrize(
    "tables",
    [
        ("CREATE TABLE customer (id)",),
        ("CREATE TABLE customer (id)", "CREATE TABLE alembic_version (version_num)"),
    ],
    ids=["plain", "with migrations of its own"],
)
def test_somebody_elses_database_is_refused_and_left_unchanged(tables: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    alter(path, *tables)
    before = path.read_bytes()
    with pytest.raises(LedgerRefusedError, match="is not a ledger of access-batch"):
        open_ledger(path)
    assert path.read_bytes() == before


def make_text_file(path: Path) -> None:
    path.write_text("identity_id,item_type,item_id\n" * 100)


def make_corrupt_ledger(path: Path) -> None:
    open_ledger(path).close()
    content = path.read_bytes()
    path.write_bytes(content[:100] + b"\xff" * (len(content) - 100))


@pytest.mark.parametrize("make", [make_text_file, make_corrupt_ledger, Path.mkdir], ids=["text", "corrupt", "folder"])
def test_a_path_that_is_not_a_database_is_refused_with_a_next_step(make: object, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    assert callable(make)
    make(path)
    with pytest.raises((UsageError, StoppedError), match=re.escape(str(path))) as caught:
        open_ledger(path)
    assert caught.value.next_step


@pytest.mark.parametrize("name", ["x" * 300, "file/ledger.db"], ids=["a name too long", "below a file"])
def test_a_ledger_that_cannot_be_created_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LedgerRefusedError, match="can't be opened or created") as caught:
        open_ledger(tmp_path / name)
    assert "--ledger" in caught.value.next_step


@pytest.mark.parametrize(("first", "owner"), [(True, "the sandbox's"), (False, "a real tenant's")])
def test_sandbox_and_real_tenants_never_share_a_ledger(first: bool, owner: str, tmp_path: Path) -> None:  # noqa: FBT001
    path = tmp_path / "ledger.db"
    open_ledger(path, sandbox=first).close()
    with pytest.raises(LedgerRefusedError, match=owner):
        open_ledger(path, sandbox=not first)


def test_a_failed_creation_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    # A view is not a table, so the database counts as empty, but the view blocks one table.
    alter(path, "CREATE VIEW recipient AS SELECT 1 AS one")
    with pytest.raises(LedgerRefusedError, match="recipient"):
        open_ledger(path)
    assert rows(path, "SELECT name FROM sqlite_master") == [("recipient",)]


def test_a_ledger_that_has_lost_its_id_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    open_ledger(path).close()
    alter(path, "DELETE FROM about")
    with pytest.raises(LedgerRefusedError, match="lost its own id"):
        open_ledger(path)


NOTE = "sa.Column('note', sa.Text(), nullable=False, server_default='new')"


@pytest.fixture
def next_release(tmp_path: Path) -> Path:
    """A copy of the product as its next release could be, with one more migration."""
    folder = tmp_path / "release"
    for name in ("batch", "migrations"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    newer = f"{int(LEDGER_VERSION) + 1:04}"
    for name, pattern, replacement in (
        ("tables.py", r'(LEDGER_VERSION: Final = )"\d+"', rf'\1"{newer}"'),
        ("tables.py", r'(    sa.Column\("lower_bound")', rf"    {NOTE},\n\1"),
    ):
        file = folder / "batch" / "ledger" / name
        text, count = re.subn(pattern, replacement, file.read_text())
        assert count == 1
        file.write_text(text)
    (folder / "migrations" / "versions" / f"{newer}_next.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\n"
        f"revision = '{newer}'\ndown_revision = '{LEDGER_VERSION}'\n"
        "def upgrade():\n"
        "    with op.batch_alter_table('run', recreate='always') as run:\n"
        f"        run.add_column({NOTE})\n"
    )
    return folder


OPEN_AND_PRINT = (
    "import sys; from datetime import datetime, UTC; from batch.ledger.store import Ledger;"
    "from batch.ledger.machine_key import MachineKey;"
    "now, key = datetime(2026, 3, 1, 12, tzinfo=UTC), lambda: MachineKey(bytes(32));"
    "ledger = Ledger.open(sys.argv[1], sandbox=False, now=now, new_id=str, key=key);"
    "print(*ledger.notices, sep='\\n'); ledger.close()"
)


@pytest.mark.thorough
def test_an_old_ledger_is_backed_up_and_upgraded_without_losing_anything(next_release: Path, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with open_ledger(path) as ledger:
        run = write(ledger, [change("i1", "r1")], [change("i2", "r1")])
        claim(ledger, run)
    output = run_python(OPEN_AND_PRINT, str(path), folder=next_release)
    backup = tmp_path / f"ledger.db.version-{LEDGER_VERSION}.20260301T120000000000Z.backup"
    newer = f"{int(LEDGER_VERSION) + 1:04}"
    assert output.strip() == f"The ledger was upgraded from version {LEDGER_VERSION} to {newer}; backup: {backup}"
    assert rows(path, "SELECT note FROM run") == [("new",)]
    assert mode_of(backup) == 0o600
    for file in (path, backup):
        assert rows(file, "SELECT state FROM request ORDER BY number") == [("SENDING",), ("PLANNED",)]
        assert rows(file, "PRAGMA foreign_key_check") == []
    assert rows(backup, "SELECT version_num FROM alembic_version") == [(LEDGER_VERSION,)]
    assert run_python(OPEN_AND_PRINT, str(path), folder=next_release).strip() == ""
    with pytest.raises(LedgerRefusedError, match=newer):
        open_ledger(path)


def test_a_backup_opens_as_the_old_ledger(next_release: Path, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with open_ledger(path) as ledger:
        run = write(ledger, [change("i1", "r1")])
    run_python(OPEN_AND_PRINT, str(path), folder=next_release)
    (backup,) = tmp_path.glob("*.backup")
    with open_ledger(backup) as ledger:
        assert ledger.runs.all() == (run,)


def test_a_failed_upgrade_leaves_the_old_ledger_unchanged(next_release: Path, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with open_ledger(path) as ledger:
        run = write(ledger, [change("i1", "r1")])
    (migration,) = (next_release / "migrations" / "versions").glob("*_next.py")
    migration.write_text(migration.read_text() + "    op.execute('no SQL')\n")
    program = OPEN_AND_PRINT.replace("ledger = ", "import batch.errors as e\ntry: ledger = ").replace(
        ";print", "\nexcept e.LedgerRefusedError as error: print(error.message)\nelse: print"
    )
    assert "can't be used" in run_python(program, str(path), folder=next_release)
    with open_ledger(path) as ledger:
        assert ledger.runs.all() == (run,)
        assert claim(ledger, run).recipients == ("i1",)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


def test_a_ledger_damaged_while_open_is_reported_as_lost(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with open_ledger(path) as ledger:
        run = write(ledger, [change("i1", "r1")])
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("ALTER TABLE request RENAME TO lost")
            with pytest.raises(LedgerLostError, match="no such table"):
                claim_if_any(ledger, run)
