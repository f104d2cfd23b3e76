"""A closed connection takes back undelivered bytes: a request that counts as lost can't arrive later.

Only two network stacks show whether a kernel goes on retransmitting for a dead process, so that test needs root.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from batch.tenant.wire import fetch, http_client
from tests.clocks import MACHINE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

MAC = "02:00:00:00:00:02"
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("route", ["direct", "proxy"])
async def test_a_connection_that_is_closed_in_mid_request_is_reset(route: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with listener() as (port, asked, ended):
        if route == "proxy":
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        base_url = "https://acme.example" if route == "proxy" else f"http://127.0.0.1:{port}"
        async with http_client(base_url, timeout=60.0, concurrency=1) as http:
            attempt = asyncio.create_task(fetch(http, "POST", "/path", now=MACHINE.now, content=b"body"))
            await asked.wait()
            attempt.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await attempt
        assert await ended == "reset"


@contextlib.asynccontextmanager
async def listener() -> AsyncIterator[tuple[int, asyncio.Event, asyncio.Future[str]]]:
    """Takes one request, or a proxy's CONNECT, and tells how the connection ends: in good order, or by a reset."""
    asked = asyncio.Event()
    ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"CONNECT"):
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        asked.set()
        try:
            while await reader.read(65_536):
                pass
            ended.set_result("in good order")
        except ConnectionResetError:
            ended.set_result("reset")
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], asked, ended


SERVER = """
    import socket, sys
    with socket.create_server(("10.213.0.2", 8080)) as server:
        print("ready", flush=True)
        connection, _ = server.accept()
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n")
        print("answered", flush=True)
        connection.settimeout(float(sys.argv[1]))
        try:
            print("arrived" if connection.recv(65536) else "closed", flush=True)
        except TimeoutError:
            print("nothing", flush=True)
        except ConnectionResetError:
            print("reset", flush=True)
"""

CLIENT = """
    import asyncio, sys
    from datetime import UTC, datetime
    from batch.tenant.wire import fetch, http_client

    def now():
        return datetime.now(UTC)

    async def main():
        async with http_client("http://10.213.0.2:8080", timeout=60.0, concurrency=1) as http:
            await fetch(http, "GET", "/first", now=now)
            print("first", flush=True)
            await asyncio.to_thread(sys.stdin.readline)
            await fetch(http, "POST", "/second", now=now, content=b"body", on_sent=lambda: print("sent", flush=True))

    asyncio.run(main())
"""


@pytest.mark.thorough
@pytest.mark.enable_socket
@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0 or shutil.which("ip") is None,
    reason="needs root and network namespaces: packets can't be lost on the loopback interface",
)
def test_requests_that_a_killed_process_sent_into_a_dead_network_never_arrive(namespace: str) -> None:
    inside = ("ip", "netns", "exec", namespace)
    with process(*inside, sys.executable, "-c", textwrap.dedent(SERVER), "20") as server:
        assert line(server) == "ready"
        with process(sys.executable, "-c", textwrap.dedent(CLIENT)) as client:
            assert line(client) == "first"
            assert line(server) == "answered"
            run(*inside, "ip", "link", "set", "inside0", "down")
            write(client, "go\n")
            assert line(client) == "sent"
            client.kill()
            client.wait()
        run(*inside, "ip", "link", "set", "inside0", "up")
        # A kernel that still had the bytes would send them again within seconds.
        assert line(server) == "nothing"


@pytest.fixture
def namespace() -> Iterator[str]:
    """A network of its own, joined to this one by two interfaces."""
    name = f"access-batch-{os.getpid()}"
    outside = "outside0"
    with Path(tempfile.gettempdir(), "access-batch-network").open("w") as turns:
        # Two suites on one machine take turns with the interface and its address.
        fcntl.flock(turns, fcntl.LOCK_EX)
        yield from joined(name, outside)


def joined(name: str, outside: str) -> Iterator[str]:
    run("ip", "netns", "add", name)
    try:
        peer = ("peer", "name", "inside0", "address", MAC, "netns", name)
        run("ip", "link", "add", outside, "type", "veth", *peer)
        run("ip", "addr", "add", "10.213.0.1/30", "dev", outside)
        run("ip", "link", "set", outside, "up")
        # Otherwise packets would wait for the other side's address, and leave once the link is up again.
        run("ip", "neigh", "add", "10.213.0.2", "lladdr", MAC, "nud", "permanent", "dev", outside)
        run("ip", "netns", "exec", name, "ip", "addr", "add", "10.213.0.2/30", "dev", "inside0")
        run("ip", "netns", "exec", name, "ip", "link", "set", "inside0", "up")
        yield name
    finally:
        run("ip", "netns", "del", name)


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


@contextlib.contextmanager
def process(*command: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as started:
        try:
            yield started
        finally:
            started.kill()


def line(started: subprocess.Popen[str]) -> str:
    assert started.stdout is not None
    return started.stdout.readline().strip()


def write(started: subprocess.Popen[str], text: str) -> None:
    assert started.stdin is not None
    started.stdin.write(text)
    started.stdin.flush()
