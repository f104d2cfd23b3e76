"""Broken and hostile servers: any answer ends as an Answer or a clear error, in limited memory and time."""

from __future__ import annotations

import asyncio
import gzip
import ssl
import tracemalloc
from typing import TYPE_CHECKING

import httpx
import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.errors import TenantLostError
from batch.model import Failure, Form
from batch.tenant.answers import MOST_BYTES, MOST_TEXT, Exchange, from_response
from batch.tenant.reading import MOST_REPLY_BYTES
from batch.tenant.token import _read
from batch.tenant.wire import fetch, http_client
from tests.builders import NOW
from tests.clocks import MACHINE
from tests.tenant.raw_server import Reply, answer, raw_server
from tests.tenant.test_tenant_status import listed, row
from tests.tenant.tls import certified, written
from tests.tenant.virtual_time import run_in_virtual_time
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

MOST_MEMORY = 8 * MOST_BYTES
"""Most bytes that one exchange may use: a few copies of the body."""


async def exchange(reply: Reply, *, most_bytes: int = MOST_BYTES, patience: float = LIMIT) -> Exchange:
    async with (
        raw_server(reply) as server,
        http_client(server.url, timeout=patience, concurrency=1) as http,
    ):
        return await fetch(http, "POST", "/path", now=MACHINE.now, content=b"body", most_bytes=most_bytes)


def pouring(head: bytes, again: bytes) -> Callable[[asyncio.StreamWriter], Awaitable[None]]:
    """A server that sends `head` and then `again` for ever."""

    async def pour(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        block = again * (65_536 // len(again) + 1)
        while True:
            writer.write(block)
            await writer.drain()

    return pour


ENDLESS = {
    "status line": (b"HTTP/1.1 202 ", b"x"),
    "header": (b"HTTP/1.1 202 Accepted\r\nX: ", b"x"),
    "headers": (b"HTTP/1.1 202 Accepted\r\n", b"X-Many: x\r\n"),
    "cookies": (b"HTTP/1.1 202 Accepted\r\n", b"Set-Cookie: a=b\r\n"),
    "folded header": (b"HTTP/1.1 202 Accepted\r\nX: x\r\n", b" x\r\n"),
    "noise": (b"", b"\x00\xff"),
    "blank lines": (b"", b"\r\n"),
}


@pytest.mark.parametrize("kind", ENDLESS)
async def test_an_endless_head_is_a_broken_answer_in_limited_memory(kind: str) -> None:
    tracemalloc.start()
    try:
        found = await exchange(pouring(*ENDLESS[kind]))
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()
    assert (found.answer.status, found.answer.failure) == (None, Failure.BROKEN)
    assert 0 < len(found.answer.text) <= 2 * MOST_TEXT


async def test_endless_preliminary_answers_time_out() -> None:
    found = await exchange(pouring(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), patience=1.0)
    assert (found.answer.status, found.answer.failure) == (None, Failure.BROKEN)
    assert "Timeout" in found.answer.text


@pytest.mark.parametrize(
    ("head", "again"),
    [
        (b"HTTP/1.1 202 Accepted\r\n\r\n", b"x"),
        (b"HTTP/1.1 202 Accepted\r\nContent-Length: 1073741824\r\n\r\n", b"[[[[{"),
        (b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x"),
        (b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X-Trailer: x\r\n"),
        (b"HTTP/1.1 202 Accepted\r\nContent-Encoding: gzip\r\n\r\n", gzip.compress(bytes(1 << 20))),
    ],
    ids=["no length", "a gigabyte", "chunks", "chunk extension", "trailers", "gzip bombs"],
)
async def test_an_endless_body_keeps_its_status_in_limited_memory(head: bytes, again: bytes) -> None:
    tracemalloc.start()
    try:
        found = await exchange(pouring(head, again), patience=1.0)
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()
    assert (found.answer.status, found.answer.failure) == (202, None)
    assert len(found.answer.text) <= MOST_TEXT


BODIES = {
    "deep": b"[" * 100_000,
    "deep object": b'{"a":' * 100_000,
    "huge integer": b'{"message": ' + b"9" * 100_000 + b"}",
    "invalid UTF-8": b'{"message": "\xff\xfe"}',
    "UTF-16 without an end": b"\x00{\x00",
    "NUL": b"\x00" * 1000,
    "page": b"<html><body>Please log in.</body></html>",
    "gzip": gzip.compress(b"{}", mtime=0),
}


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("status", [200, 202, 400, 500])
async def test_a_body_that_is_not_the_apis_proves_nothing(kind: str, status: int) -> None:
    found = await exchange(answer(f"{status} Whatever", "Content-Type: application/json", body=BODIES[kind]))
    assert (found.answer.status, found.answer.failure) == (status, None)
    assert found.answer.form is (Form.PAGE if kind == "page" else Form.OTHER)
    assert found.answer.text.isprintable()


async def test_an_encoded_body_that_we_did_not_ask_for_is_reported() -> None:
    found = await exchange(answer("400 Bad Request", "Content-Encoding: gzip", body=BODIES["gzip"]))
    assert "encoded, which was not asked for: gzip" in found.answer.text


NOWHERE = [
    "http://[",
    "https://[::1",
    "http://\x7f",
    "//",
    "http:///",
    "\xff\xfe",
    "mailto:me",
    "/" + "x" * 65_530,
    "http://" + "a" * 300,
    "?" * 70_000,
]


@pytest.mark.parametrize("location", NOWHERE, ids=range(len(NOWHERE)))
async def test_a_redirect_to_nowhere_is_still_a_redirect(location: str) -> None:
    found = await exchange(answer("302 Found", f"Location: {location}"))
    assert (found.answer.status, found.answer.failure) == (302, None)


async def test_a_redirect_shows_its_target_and_gets_neither_token_nor_body() -> None:
    async with raw_server(answer("200 OK")) as other:
        async with raw_server(answer("307 Temporary Redirect", f"Location: {other.url}/login")) as server:
            async with http_client(server.url, timeout=LIMIT, concurrency=1) as http:
                found = await fetch(
                    http, "POST", "/path", now=MACHINE.now, content=b"body", headers={"Authorization": "Bearer token-1"}
                )
            assert len(server.received) == 1
        assert other.received == []
    assert found.answer.text == f"it redirects to {other.url}/login"


async def test_cookies_are_not_kept() -> None:
    async with raw_server(answer("200 OK", "Set-Cookie: session=hunter2; Path=/", body=b"{}")) as server:
        async with http_client(server.url, timeout=LIMIT, concurrency=1) as http:
            for _ in range(2):
                await fetch(http, "POST", "/path", now=MACHINE.now)
        assert len(server.received) == 2
        assert b"hunter2" not in server.received[1]


async def test_rubbish_below_tls_is_a_broken_answer(tmp_path: Path) -> None:
    async def rubbish(writer: asyncio.StreamWriter) -> None:
        connection = writer.get_extra_info("socket")
        assert isinstance(writer.get_extra_info("ssl_object"), ssl.SSLObject)
        connection._sock.send(b"\x17\x03\x03\x00\x20" + bytes(32))  # a record that no key has sealed

    authority = trustme.CA()
    async with (
        raw_server(rubbish, tls=certified(authority, "127.0.0.1")) as server,
        http_client(server.url, timeout=LIMIT, concurrency=1, ca_file=written(authority, tmp_path)) as http,
    ):
        found = await fetch(http, "POST", "/path", now=MACHINE.now, content=b"body")
    assert (found.answer.status, found.answer.failure) == (None, Failure.BROKEN)


def test_a_silent_server_times_out() -> None:
    class Silence(httpx.AsyncBaseTransport):
        async def handle_async_request(self, _: httpx.Request) -> httpx.Response:
            await asyncio.Event().wait()
            raise AssertionError

    async def program() -> Exchange:
        async with httpx.AsyncClient(transport=Silence(), base_url="http://tenant", timeout=5.0) as http:
            return await fetch(http, "POST", "/path", now=MACHINE.now)

    assert run_in_virtual_time(program()).answer.failure is not None


BEGINNINGS = [b"", b"HTTP/1.1 ", b"HTTP/1.1 202 Accepted\r\n", b"HTTP/1.1 302 Found\r\nLocation: "]


@settings(max_examples=50)
@given(st.binary(max_size=300), st.sampled_from(BEGINNINGS))
def test_any_bytes_make_an_answer(noise: bytes, begin: bytes) -> None:
    found = asyncio.run(exchange(begin + noise, patience=LIMIT))
    assert (found.answer.status is None) == (found.answer.failure is not None)


@pytest.mark.parametrize(
    "content",
    [
        *BODIES.values(),
        b'{"access_token": "t", "expires_in": ' + b"9" * 400 + b"}",
        b'{"access_token": "to\\u0000ken"}',
        b'{"access_token": ["t"]}',
        b'{"access_token": "t", "expires_in": {}}',
    ],
)
def test_nonsense_from_a_token_endpoint_is_a_clear_error(content: bytes) -> None:
    with pytest.raises(TenantLostError, match=r"without a usable token|A web page"):
        _read(from_response(200, httpx.Headers(), content, now=NOW), asked=0.0, issued_at=NOW, clean=lambda one: one)


@pytest.mark.parametrize(
    "content",
    [*BODIES.values(), b"[" + b" " * MOST_REPLY_BYTES + b"]"],
    ids=[*BODIES, "too long"],
)
def test_a_status_list_of_nonsense_is_a_clear_error(content: bytes) -> None:
    with pytest.raises(TenantLostError, match="status list can't be read"):
        listed(lambda _: (200, content, {}))


def test_a_page_that_broke_off_is_asked_for_again() -> None:
    pages = iter([b"[]", b'[{"id": "it'])
    assert listed(lambda _: (200, next(pages, [row(1)]), {})) == ["item 1"]


@pytest.mark.parametrize("said", ["9" * 5000, "9" * 13, "-1", "1.5", "1, 1"])
def test_a_count_that_is_no_number_is_ignored(said: str) -> None:
    assert listed(lambda _: (200, [row(1)], {"X-Total-Count": said})) == ["item 1"]


@pytest.mark.parametrize(
    "odd",
    [
        {"created": "9999-12-31T23:59:59-14:00"},
        {"created": 10**300},
        {"created": "0001-01-01T00:00:00+14:00"},
        {"clientMetadata": {"a": [[["deep"]]], "b": None, "c": 10**300}},
        {"clientMetadata": "none"},
        {"accessRequestId": "\ud800"},
        {"accessRequestId": "x" * 1_000_000},
        {"requestType": ["GRANT_ACCESS"]},
    ],
)
def test_odd_values_in_a_row_spoil_only_themselves(odd: dict[str, object]) -> None:
    assert listed(lambda _: (200, [{**row(1), **odd}], {})) == ["item 1"]


@pytest.mark.parametrize("identity", [None, ["person"], {}, "\ud800", "x" * 1000])
def test_a_row_without_an_identity_is_left_out(identity: object) -> None:
    strange = {**row(1), "requestedFor": {"id": identity}}
    assert listed(lambda _: (200, [strange], {}), requested_for="") == []


@pytest.mark.parametrize("headers", [{}, {"X-Total-Count": "999999999"}])
def test_a_list_that_repeats_the_same_page_is_an_error(headers: dict[str, str]) -> None:
    with pytest.raises(TenantLostError, match="does not end"):
        listed(lambda _: (200, [row(n) for n in range(250)], headers))
