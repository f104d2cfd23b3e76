"""A PostgreSQL server of one's own, and whatever else is to end with the process that has started it."""

from __future__ import annotations

import contextlib
import subprocess
from typing import TYPE_CHECKING, Final

from tests.postgresql import Server, free_port, new_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

ADDRESS: Final = "postgresql://postgres@127.0.0.1:{port}/{database}"
"""The address of a database behind a proxy."""

_SERVER: Final = "s"
_KEEPER: Final = """
trap '' INT QUIT TERM HUP
cat
kill -QUIT 0
waited=0
while [ -e "$1/s/data/postmaster.pid" ] && [ $waited -lt 100 ]; do sleep 0.1; waited=$((waited + 1)); done
rm -rf "$1"
kill -KILL 0
"""
"""Waits for the end of its input, then ends its process group and takes a folder away.

SIGQUIT ends a server at once, so that it leaves no shared memory behind; a process that is stopped needs SIGKILL.
"""


@contextlib.contextmanager
def kept_together() -> Iterator[tuple[Path, int]]:
    """A folder and a process group, both of which end with the block or with this process, however that ends.

    The folder has a short path, and others may enter it.
    """
    folder = new_folder()
    with subprocess.Popen(["/bin/sh", "-c", _KEEPER, "sh", folder], stdin=subprocess.PIPE, process_group=0) as keeper:
        # Leaving closes its input and waits for it.
        yield folder, keeper.pid


def new_server(folder: Path, group: int, settings: Mapping[str, str]) -> Server:
    """A running server in a folder and a group of `kept_together`."""
    server = Server(folder / _SERVER, free_port(), settings, group=group)
    server.start()
    return server


@contextlib.contextmanager
def running_server() -> Iterator[Server]:
    """A server with its usual settings, until the block or this process ends."""
    with kept_together() as (folder, group):
        yield new_server(folder, group, {})


def new_database(server: Server, name: str) -> str:
    """Create a database that stays as long as its server; returns its name."""
    with server.connect() as connection:
        connection.execute(f"CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0")
    return name
