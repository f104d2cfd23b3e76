"""A tenant that fails in many ways, and repeats in every answer all that it was sent: headers, body and secrets."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import re
import secrets
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote

if TYPE_CHECKING:
    from collections.abc import Iterator

SUBMITS = (
    "202 Accepted",
    "400 Bad Request",
    "500 Server Error",
    "409 Conflict",
    "504 Gateway Timeout",
    "202 Accepted",
    "200 OK",
    "rubbish",
    "401 Unauthorized",
)
"""How it answers one request after the other; `rubbish` is no HTTP at all."""


@dataclass
class EchoingTenant:
    """Where it listens, and the secrets that nobody else may know.

    Attributes:
        url: Its base URL.
        secret: The client's.
        tokens: Every token that it has given out.
        posts: How many requests were submitted to it.
    """

    url: str = ""
    secret: str = field(default_factory=lambda: f"{secrets.token_hex(16)}+/&{secrets.token_hex(8)}")
    tokens: list[str] = field(default_factory=list)
    posts: int = 0

    def forms(self) -> set[bytes]:
        """Everything that may stand nowhere."""
        told = [self.secret, *self.tokens, *(part for token in self.tokens for part in token.split("."))]
        written = [
            *told,
            *(quote(one, safe="") for one in told),
            *(base64.b64encode(one.encode()).decode().rstrip("=")[:-1] for one in told),
            "Bearer ",
        ]
        return {one.encode() for one in written}

    def new_token(self) -> str:
        """A JWT that is nobody else's, whose claims repeat the secret."""
        claims = {
            "sub": secrets.token_hex(8),
            "user_name": f"who knows {self.secret}",
            "authorities": ["HELPDESK", self.secret],
            "scope": [f"idn:{self.secret}"],
        }
        parts = ({"alg": "none", "kid": secrets.token_hex(8)}, claims, secrets.token_hex(16))
        encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
        self.tokens.append(".".join(encoded))
        return self.tokens[-1]


@contextlib.contextmanager
def echoing_tenant(*, submits: tuple[str, ...] = SUBMITS, to_login: str = "200 OK") -> Iterator[EchoingTenant]:
    """A tenant in a thread of its own; every answer to a request is the next of `submits`, over and over.

    Args:
        submits: How it answers requests.
        to_login: How it answers when it is asked for a token.
    """
    tenant = EchoingTenant()
    statuses = itertools.cycle(submits)
    ready, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    def reply(head: bytes, body: bytes) -> bytes:
        sent = f"{tenant.secret} {head.decode()} {body.decode()} {parse_qs(body.decode())}"
        packed = base64.b64encode(sent.encode()).decode()
        path = head.split()[1]
        if path.startswith(b"/oauth/token"):
            if to_login.startswith("200"):
                return _answer(to_login, json.dumps({"access_token": tenant.new_token(), "expires_in": 749}))
            return _answer(to_login, json.dumps({"error": "invalid_client", "error_description": sent}), sent)
        if not (head.startswith(b"POST") and path.endswith(b"/access-requests")):
            return _answer("403 Forbidden", json.dumps({"messages": [{"text": sent}]}), sent)
        tenant.posts += 1
        status = next(statuses)
        if status == "rubbish":
            return f"no HTTP but {sent}\r\n\r\n".encode()
        document = {"detailCode": sent, "trackingId": packed[:200], "messages": [{"text": sent}, {"text": packed}]}
        return _answer(status, f"<p>{sent}</p>" if status.startswith("5") else json.dumps(document), sent)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The other side goes whenever it likes, and so does the test.
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: (\d+)", head)
                body = await reader.readexactly(int(length[1]) if length else 0)
                # Long enough for a signal to find requests in flight.
                await asyncio.sleep(0.05)
                writer.write(reply(head, body))
                await writer.drain()
        writer.transport.abort()

    async def serve() -> None:
        async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
            tenant.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            ready.set()
            await stop.wait()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait()
    try:
        yield tenant
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


def _answer(status: str, body: str, echoed: str = "") -> bytes:
    """An answer that repeats what was sent in its reason and its headers too."""
    line = " ".join(echoed.split())
    names = ("X-You-Sent", "Deprecation", "X-RateLimit-Limit") if line else ()
    headers = "".join(f"{name}: {line}\r\n" for name in names)
    return f"HTTP/1.1 {status} {line}\r\n{headers}Content-Length: {len(body.encode())}\r\n\r\n{body}".encode()
