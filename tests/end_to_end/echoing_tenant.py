"""A tenant that fails in many ways and repeats everything sent to it, secrets included, in every answer."""

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
"""The answers to successive requests; `rubbish` is not HTTP at all."""


@dataclass
class EchoingTenant:
    """The tenant's address, and the secrets that must not leak.

    Attributes:
        url: Its base URL.
        secret: The client secret.
        tokens: Every token that it has issued.
        posts: How many access requests it has received.
    """

    url: str = ""
    secret: str = field(default_factory=lambda: f"{secrets.token_hex(16)}+/&{secrets.token_hex(8)}")
    tokens: list[str] = field(default_factory=list)
    posts: int = 0

    def forms(self) -> set[bytes]:
        """The secrets and tokens in every form that must appear nowhere."""
        plain = [self.secret, *self.tokens, *(part for token in self.tokens for part in token.split("."))]
        encoded_forms = [
            *plain,
            *(quote(text, safe="") for text in plain),
            *(base64.b64encode(text.encode()).decode().rstrip("=")[:-1] for text in plain),
            "Bearer ",
        ]
        return {text.encode() for text in encoded_forms}

    def new_token(self) -> str:
        """Issues a unique JWT whose claims repeat the secret."""
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
    """Runs a tenant in a thread of its own; it answers requests with `submits` in turn, over and over.

    Args:
        submits: The status lines of its answers to requests.
        to_login: The status line of its answers to token requests.
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
            return f"not HTTP but {sent}\r\n\r\n".encode()
        document = {"detailCode": sent, "trackingId": packed[:200], "messages": [{"text": sent}, {"text": packed}]}
        return _answer(status, f"<p>{sent}</p>" if status.startswith("5") else json.dumps(document), sent)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The client may disconnect and the test may end at any time.
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: (\d+)", head)
                body = await reader.readexactly(int(length[1]) if length else 0)
                # Slow enough for a signal to find requests in flight.
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
    """Builds an answer that also repeats `echoed` in its reason phrase and headers."""
    line = " ".join(echoed.split())
    names = ("X-You-Sent", "Deprecation", "X-RateLimit-Limit") if line else ()
    headers = "".join(f"{name}: {line}\r\n" for name in names)
    return f"HTTP/1.1 {status} {line}\r\n{headers}Content-Length: {len(body.encode())}\r\n\r\n{body}".encode()
