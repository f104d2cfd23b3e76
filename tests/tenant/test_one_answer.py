"""Bytes that follow an answer are never taken for the next one."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest
import trustme

from batch.tenant.wire import fetch, http_client
from tests.clocks import MACHINE
from tests.tenant.raw_server import answer
from tests.tenant.tls import certified, written

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator
    from pathlib import Path

STRAY = answer("400 Bad Request", body=b"stray")


def chunked(body: bytes) -> bytes:
    return b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("stray", [STRAY, chunked(b"stray"), b"x"], ids=["an answer", "a chunked answer", "a byte"])
@pytest.mark.parametrize("first", [answer("202 Accepted", body=b"{}"), chunked(b"{}")], ids=["counted", "chunked"])
async def test_a_second_answer_on_a_connection_is_not_the_next_requests(
    first: bytes, stray: bytes, *, tls: bool, tmp_path: Path
) -> None:
    authority = trustme.CA()
    context = certified(authority, "127.0.0.1") if tls else None
    async with server(first + stray, context) as (port, connections):
        base_url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        ca_file = written(authority, tmp_path) if tls else None
        async with http_client(base_url, timeout=60.0, concurrency=1, ca_file=ca_file) as http:
            found = [await fetch(http, "POST", "/path", now=MACHINE.now, content=b"body") for _ in range(3)]
    assert [one.answer.status for one in found] == [202, 202, 202]
    assert len(connections) == 3


@pytest.mark.parametrize(
    "first", [answer("202 Accepted", body=b"{}"), chunked(b"{}"), answer("204 No Content")], ids=str
)
async def test_a_connection_without_such_bytes_is_used_again(first: bytes) -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"
    async with (
        server(interim + first) as (port, connections),
        http_client(f"http://127.0.0.1:{port}", timeout=60.0, concurrency=1) as http,
    ):
        for _ in range(3):
            await fetch(http, "POST", "/path", now=MACHINE.now, content=b"body")
    assert len(connections) == 1


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("meanwhile", ["it sends an answer", "it closes"])
async def test_a_connection_on_which_the_server_acts_between_two_requests_is_not_used_again(
    meanwhile: str, *, tls: bool, tmp_path: Path
) -> None:
    authority = trustme.CA()
    context = certified(authority, "127.0.0.1") if tls else None
    async with server(answer("202 Accepted", body=b"{}"), context) as (port, connections):
        base_url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        ca_file = written(authority, tmp_path) if tls else None
        async with http_client(base_url, timeout=60.0, concurrency=1, ca_file=ca_file) as http:
            before = await fetch(http, "POST", "/path", now=MACHINE.now, content=b"body")
            if meanwhile == "it closes":
                connections[0].transport.abort()
                with contextlib.suppress(OSError):
                    await connections[0].wait_closed()
            else:
                connections[0].write(STRAY)
                await connections[0].drain()
            after = await fetch(http, "POST", "/path", now=MACHINE.now, content=b"body")
    assert [before.answer.status, after.answer.status] == [202, 202]
    assert len(connections) == 2


@contextlib.asynccontextmanager
async def server(
    reply: bytes, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[int, list[asyncio.StreamWriter]]]:
    """Sends `reply` after every request, and keeps connections open."""
    connections: list[asyncio.StreamWriter] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                await reader.readuntil(b"\r\n\r\nbody")
                writer.write(reply)
                await writer.drain()
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls) as started:
        yield started.sockets[0].getsockname()[1], connections
