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
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote

from tests.tenant.disguises import DISGUISES

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


def _sent(tenant: EchoingTenant, head: bytes, body: bytes) -> str:
    """Everything that was sent."""
    return f"{tenant.secret} {head.decode()} {body.decode()} {parse_qs(body.decode())}"


class _Failures:
    """A tenant that fails in many ways, and repeats in every answer everything that was sent."""

    def __init__(self, tenant: EchoingTenant, submits: tuple[str, ...]) -> None:
        self._tenant = tenant
        self._statuses = itertools.cycle(submits)

    def reply(self, head: bytes, body: bytes) -> bytes:
        """The answer to a request that has a token."""
        sent = _sent(self._tenant, head, body)
        if not (head.startswith(b"POST") and head.split()[1].endswith(b"/access-requests")):
            return _answer("403 Forbidden", json.dumps({"messages": [{"text": sent}]}), sent)
        self._tenant.posts += 1
        status = next(self._statuses)
        if status == "rubbish":
            return f"not HTTP but {sent}\r\n\r\n".encode()
        packed = base64.b64encode(sent.encode()).decode()
        document = {"detailCode": sent, "trackingId": packed[:200], "messages": [{"text": sent}, {"text": packed}]}
        return _answer(status, f"<p>{sent}</p>" if status.startswith("5") else json.dumps(document), sent)


class _Disguises:
    """A tenant that does its work, and repeats the secret in every text, each time in another disguise."""

    def __init__(self, tenant: EchoingTenant) -> None:
        texts = [one for one in DISGUISES.values() if isinstance(one(tenant.secret), str)]
        self._texts = (disguise(tenant.secret) for disguise in itertools.cycle(texts))
        self._tenant = tenant
        self._rows: list[dict[str, Any]] = []

    def reply(self, head: bytes, body: bytes) -> bytes:
        """The answer to a request that has a token."""
        path = head.split()[1].decode()
        if head.startswith(b"GET") and "status" in path:
            return _answer("200 OK", json.dumps([] if "offset=0" not in path else self._rows))
        if "search" in path:
            asked = json.loads(body)["query"]["query"]
            return _answer("200 OK", json.dumps([] if asked.startswith("id:") else [self._person(n) for n in (1, 2)]))
        if not path.endswith("/access-requests"):
            return _answer("200 OK", "[]")
        self._tenant.posts += 1
        if self._tenant.posts % 3 == 0:
            said = {"detailCode": next(self._texts), "trackingId": next(self._texts)}
            return _answer("400 Bad Request", json.dumps({**said, "messages": [{"text": next(self._texts)}]}))
        request = json.loads(body)
        details = [{"type": one["type"], "id": one["id"]} for one in request["requestedItems"]]
        self._rows += [
            self._row(person, one) for person in request["requestedFor"] for one in request["requestedItems"]
        ]
        existing = [
            {"requestedFor": person, "requestedItemsDetails": details, "accessRequestIds": [self._tenant.secret]}
            for person in request["requestedFor"]
        ]
        return _answer("202 Accepted", json.dumps({"newRequests": [], "existingRequests": existing}))

    def _person(self, number: int) -> dict[str, Any]:
        return {"id": f"{number:032x}", "displayName": "Ann Lee", "name": next(self._texts), "email": next(self._texts)}

    def _row(self, person: str, item: dict[str, Any]) -> dict[str, Any]:
        now = datetime.now(UTC).isoformat()
        return {
            "id": item["id"],
            "name": next(self._texts),
            "type": item["type"],
            "state": "REJECTED",
            "requestType": "GRANT_ACCESS",
            "created": now,
            "modified": now,
            "requester": {"name": next(self._texts)},
            "requestedFor": {"id": person, "name": next(self._texts)},
            "accessRequestId": self._tenant.secret[:32],
            "accountActivityItemId": self._tenant.secret,
            "approvalDetails": [
                {"status": "REJECTED", "currentOwner": {"name": next(self._texts)}, "comment": next(self._texts)},
                {
                    "status": "REJECTED",
                    "currentOwner": None,
                    "currentOwners": [{"name": next(self._texts)}],
                    "reviewedBy": {"name": next(self._texts)},
                    "comment": None,
                    "approverComments": [{"comment": next(self._texts)}, next(self._texts)],
                },
            ],
            "errorMessages": [[{"text": next(self._texts)}]],
            "clientMetadata": {**item["clientMetadata"], next(self._texts): next(self._texts)},
        }


@contextlib.contextmanager
def echoing_tenant(
    *, submits: tuple[str, ...] = SUBMITS, to_login: str = "200 OK", works: bool = False
) -> Iterator[EchoingTenant]:
    """Runs a tenant in a thread of its own; it answers requests with `submits` in turn, over and over.

    Args:
        submits: The status lines of its answers to requests.
        to_login: The status line of its answers to token requests.
        works: Whether it does its work instead, see _Disguises.
    """
    tenant = EchoingTenant()
    answers = _Disguises(tenant) if works else _Failures(tenant, submits)
    ready, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    def reply(head: bytes, body: bytes) -> bytes:
        if not head.split()[1].startswith(b"/oauth/token"):
            return answers.reply(head, body)
        if to_login.startswith("200"):
            return _answer(to_login, json.dumps({"access_token": tenant.new_token(), "expires_in": 749}))
        sent = _sent(tenant, head, body)
        return _answer(to_login, json.dumps({"error": "invalid_client", "error_description": sent}), sent)

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
