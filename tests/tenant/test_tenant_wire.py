"""One exchange over a real connection: every failure ends in an answer that tells what may have left."""

from __future__ import annotations

import asyncio
import gzip
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from batch import __version__
from batch.answers.events import tell_each
from batch.api.dialects import DIALECTS, ItemType, Operation
from batch.model import Answer, Failure, Request, RequestItem
from batch.plan.body import make_bodies
from batch.sandbox.server import running_sandbox
from batch.settings import Credentials
from batch.tenant.answers import MOST_BYTES
from batch.tenant.client import Tenant
from batch.tenant.sockets import close
from batch.tenant.wire import fetch, http_client
from tests.clocks import MACHINE, new_id
from tests.tenant.open_calls import open_pace
from tests.tenant.raw_server import Reply, answer, raw_server, reset, unused_url
from tests.tenant.virtual_time import now, run_in_virtual_time
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BETA = DIALECTS["beta"]
SECRET = "hunter2-hunter2"
REQUEST = Request(
    number=7,
    run="run",
    operation=Operation.GRANT,
    recipients=("i1",),
    items=(RequestItem(type=ItemType.ROLE, id="r1", comment="ü"),),
)
(BODY,) = make_bodies([REQUEST], new_id)


async def exchange(url: str, *, patience: float = LIMIT) -> tuple[Answer, Any]:
    async with http_client(url, timeout=patience, concurrency=1) as http:
        found = await fetch(http, "POST", "/path", now=MACHINE.now, content=b"body")
        return found.answer, found.document


async def exchange_with(reply: Reply, *, patience: float = LIMIT) -> tuple[Answer, Any]:
    async with raw_server(reply) as server:
        return await exchange(server.url, patience=patience)


def tenant_at(url: str, client: str = "client", secret: str = SECRET) -> Tenant:
    credentials = Credentials.model_validate({"client_id": client, "client_secret": secret})
    return Tenant(
        base_url=url,
        dialect=BETA,
        credentials=credentials,
        timeout=LIMIT,
        concurrency=2,
        pace=open_pace(),
        clock=MACHINE,
        jitter=lambda: 0.0,
        give_up_after=0.0,
        tell=tell_each(),
    )


async def test_an_answer_is_read_with_status_headers_and_body() -> None:
    found, body = await exchange_with(
        answer(
            "503 Unavailable", "Retry-After: 7", "Date: Sun, 01 Mar 2026 12:00:00 GMT", body=b'{"message": "Later."}'
        )
    )
    assert body == {"message": "Later."}
    assert found == Answer(status=503, retry_after=7.0, text="Later.", server_time=datetime(2026, 3, 1, 12, tzinfo=UTC))


async def test_a_refused_connection_was_never_made() -> None:
    found, _ = await exchange(unused_url())
    assert (found.status, found.failure) == (None, Failure.NEVER_CONNECTED)


async def test_an_unknown_host_was_never_connected_to() -> None:
    found, _ = await exchange("http://no-such-host.invalid")
    assert (found.status, found.failure) == (None, Failure.NEVER_CONNECTED)


async def silence(writer: asyncio.StreamWriter) -> None:
    """Never answers."""
    while not writer.transport.is_closing():  # noqa: ASYNC110 - a stream tells nobody that it closes
        await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        reset,
        b"HTTP/1.1 20",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"HTTP/1.1 twohundred OK\r\n\r\n",
        b"HTTP/1.1 202 Accepted\r\nX: " + b"x" * 1_000_000 + b"\r\n\r\n",
        b"HTTP/1.1 202 Accepted\r\nContent-Length: minus one\r\n\r\n",
        b"\x00\x01\x02" * 100,
    ],
    ids=["close", "reset", "half a line", "another protocol", "no status", "absurd header", "bad length", "noise"],
)
async def test_a_call_that_breaks_before_its_status_may_have_arrived(reply: Reply) -> None:
    found, body = await exchange_with(reply)
    assert (found.status, found.failure, body) == (None, Failure.BROKEN, None)
    assert found.text


async def test_a_call_without_an_answer_in_time_may_have_arrived() -> None:
    found, _ = await exchange_with(silence, patience=1.0)
    assert (found.status, found.failure) == (None, Failure.BROKEN)
    assert "Timeout" in found.text


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 202 Accepted\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\nnot a length\r\n",
        b"HTTP/1.1 202 Accepted\r\nContent-Length: 5\r\nContent-Encoding: gzip\r\n\r\nhello",
        b"HTTP/1.1 202 Accepted\r\nContent-Encoding: unheard-of\r\n\r\n\xff\x00",
        b"HTTP/1.1 202 Accepted\r\nDate: never\r\nRetry-After: never\r\nX-Odd: \xff\xfe\r\n\r\n",
    ],
    ids=["body cut off", "bad chunk", "bad gzip", "odd encoding", "odd headers"],
)
async def test_a_status_counts_even_if_the_rest_is_broken(reply: bytes) -> None:
    found, _ = await exchange_with(reply)
    assert (found.status, found.failure) == (202, None)


async def test_a_body_that_breaks_off_keeps_its_status() -> None:
    async def start_and_stop(writer: asyncio.StreamWriter) -> None:
        writer.write(b'HTTP/1.1 202 Accepted\r\nContent-Length: 100\r\n\r\n{"')
        await silence(writer)

    found, body = await exchange_with(start_and_stop, patience=1.0)
    assert (found.status, found.failure, found.text, body) == (202, None, '{"', None)


async def test_an_endless_body_is_read_up_to_the_limit() -> None:
    async def pour(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()

    found, document = await exchange_with(pour)
    assert (found.status, document) == (200, None)
    assert set(found.text) == {"x"}


async def test_a_body_that_unpacks_without_end_is_limited_too() -> None:
    bomb = gzip.compress(bytes(50 * MOST_BYTES))
    found, document = await exchange_with(answer("200 OK", "Content-Encoding: gzip", body=bomb))
    assert (found.status, document) == (200, None)


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    async with raw_server(answer("200 OK")) as other:
        found, _ = await exchange_with(answer("307 Temporary Redirect", f"Location: {other.url}/elsewhere"))
        assert found.status == 307
        assert other.received == []


async def test_our_user_agent_is_our_own() -> None:
    async with raw_server(answer("200 OK")) as server:
        await exchange(server.url)
    assert f"\r\nuser-agent: access-batch/{__version__}\r\n" in server.received[0].decode().lower()


async def test_calls_to_this_machine_never_go_through_a_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with raw_server(answer("200 OK")) as proxy, raw_server(answer("202 Accepted")) as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        found, _ = await exchange(server.url)
        assert proxy.received == []
        assert found.status == 202


def test_an_exchange_ends_in_time_even_if_every_read_does() -> None:
    class Drip(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                await asyncio.sleep(1)
                yield b"."

    async def program() -> tuple[Answer, float]:
        transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=Drip()))
        async with httpx.AsyncClient(transport=transport, base_url="http://tenant", timeout=5.0) as http:
            before = now()
            found = await fetch(http, "POST", "/path", now=MACHINE.now)
            return found.answer, now() - before

    found, seconds = run_in_virtual_time(program())
    assert (found.status, found.failure) == (200, None)
    assert seconds == pytest.approx(5 + 5, abs=1)
    assert set(found.text) == {"."}


async def test_a_submit_posts_the_body_whose_fingerprint_is_in_the_ledger() -> None:
    async with raw_server(answer("202 Accepted", body=b"{}")) as server, tenant_at(server.url) as tenant:
        found = await tenant.submit(BODY, "token-1", on_sent=lambda: None)
    assert found.status == 202
    head, body = server.received[0].decode().split("\r\n\r\n")
    assert head.startswith("POST /beta/access-requests HTTP/1.1\r\n")
    assert "Authorization: Bearer token-1\r\n" in head
    assert "Content-Type: application/json\r\n" in head
    assert body.encode() == BODY.content


@pytest.mark.parametrize("token", ["to\nken", "to\r\nX-Evil: 1", "tök€n", "to\x00ken", "\ud800"])
async def test_a_token_that_fits_into_no_header_fails_without_being_repeated(token: str) -> None:
    async with raw_server(answer("202 Accepted")) as server, tenant_at(server.url) as tenant:
        found = await tenant.submit(BODY, token, on_sent=lambda: None)
    assert server.received == []
    assert found.failure is not None
    assert "ken" not in found.text


async def test_the_sandbox_issues_a_token_and_accepts_a_request() -> None:
    with running_sandbox() as sandbox:
        async with tenant_at(sandbox.base_url, sandbox.client_id, sandbox.client_secret) as tenant:
            token = await tenant.token()
            found = await tenant.submit(BODY, token, on_sent=lambda: None)
            assert token
            assert token not in repr(tenant)
            assert sandbox.client_secret not in repr(tenant) + repr(vars(tenant))
            assert token not in repr(vars(tenant))
    assert found.status == 202
    assert len(sandbox.tenant.audit.accepted) == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_on_sent_is_called_when_the_last_byte_has_left_before_the_answer_comes(method: str) -> None:
    left: list[str] = []
    on_sent = asyncio.Event()

    async def reply(writer: asyncio.StreamWriter) -> None:
        await on_sent.wait()
        left.append("answered")
        writer.write(answer("202 Accepted"))

    def leave() -> None:
        left.append("gone")
        on_sent.set()

    async with raw_server(reply) as server, http_client(server.url, timeout=LIMIT, concurrency=1) as http:
        found = await fetch(http, method, "/path", now=MACHINE.now, on_sent=leave)
    assert found.answer.status == 202
    assert left == ["gone", "answered"]


@pytest.mark.parametrize("turns", range(6))
async def test_a_call_that_is_cancelled_while_idle_connections_are_closed_leaves_none_open(turns: int) -> None:
    all_here, go_on, told = asyncio.Barrier(4), asyncio.Event(), asyncio.Barrier(5)
    serving: list[asyncio.Task[Any]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.append(task)
        await reader.readuntil(b"\r\n\r\n")
        await all_here.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await go_on.wait()
        # More than its answer, so that the connection is not used again.
        writer.write(b"x")
        await writer.drain()
        await told.wait()
        with suppress(ConnectionError):
            await reader.read()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        http = http_client(f"http://127.0.0.1:{port}", timeout=LIMIT, concurrency=8)
        await asyncio.gather(*(http.get("/") for _ in range(4)))
        idle = tuple(serving)
        go_on.set()
        await told.wait()
        # Nobody tells when the bytes have arrived; they do at once within one machine.
        await asyncio.sleep(0.05)
        late = asyncio.ensure_future(http.get("/"))
        for _ in range(turns):
            await asyncio.sleep(0)
        late.cancel()
        await asyncio.gather(late, return_exceptions=True)
        await close(http)
        async with asyncio.timeout(LIMIT):
            await asyncio.gather(*idle)
