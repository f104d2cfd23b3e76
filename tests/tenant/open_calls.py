"""A pace without a ledger that always gives permits, and a reader of a tenant that a test plays."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import httpx

from batch.answers.events import Notice, PaceChanged, RunEvent, Waiting, tell_each
from batch.api.dialects import TOKEN_PATH, Rate
from batch.api.rate_window import Permits
from batch.settings import Credentials
from batch.tenant.pace import Pace
from batch.tenant.reading import Reader
from batch.tenant.token import Token
from tests.clocks import VIRTUAL
from tests.tenant.virtual_time import Result, now, run_in_virtual_time

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

Reply = tuple[int, Any, dict[str, str]]
"""Status, document or bytes, and headers of a response."""

UNLIMITED = Rate(requests=100_000, seconds=1)


class Events(list[RunEvent]):
    """The events reported so far."""

    @property
    def waits(self) -> list[tuple[float, str]]:
        return [(event.seconds, event.reason) for event in self if isinstance(event, Waiting)]

    @property
    def allowed(self) -> list[int]:
        return [event.allowed for event in self if isinstance(event, PaceChanged)]

    @property
    def notices(self) -> list[str]:
        return [event.text for event in self if isinstance(event, Notice)]


class OpenCalls:
    """Counts nothing."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self.silences: list[tuple[float, bool]] = []

    def permit(self, *, wanted: int, left: Mapping[int, float | None]) -> Permits:
        assert wanted >= 0
        assert all(number > 0 for number in left)
        most = UNLIMITED.requests
        return Permits(at=now(), numbers=tuple(itertools.islice(self._numbers, wanted)), free=most, allowed=most)

    def silence(self, *, seconds: float, permitted_at: float, violated: bool) -> None:
        assert permitted_at
        self.silences.append((seconds, violated))


def open_pace() -> Pace:
    """A pace that only keeps silence."""
    return Pace(UNLIMITED, OpenCalls(), tell=Events().append, clock=VIRTUAL)


def with_reader(
    endpoint: Callable[[httpx.Request], Reply], use: Callable[[Reader], Coroutine[Any, Any, Result]]
) -> Result:
    """Uses a reader of a tenant that answers as `endpoint` does, and issues a token besides."""

    def respond(request: httpx.Request) -> httpx.Response:
        is_token = request.url.path == TOKEN_PATH
        token: Reply = (200, {"access_token": "t", "expires_in": 749}, {})
        status, document, headers = token if is_token else endpoint(request)
        content = document if isinstance(document, bytes) else json.dumps(document).encode()
        return httpx.Response(status, headers=headers, stream=httpx.ByteStream(content))

    async def program() -> Result:
        async with httpx.AsyncClient(transport=httpx.MockTransport(respond), base_url="https://tenant") as http:
            credentials = Credentials.model_validate({"client_id": "c", "client_secret": "s3cret-of-the-client"})
            token = Token(http, credentials, clock=VIRTUAL, jitter=lambda: 1.0, give_up_after=60.0, tell=tell_each())
            reader = Reader(
                http,
                token,
                open_pace(),
                clock=VIRTUAL,
                jitter=lambda: 1.0,
                give_up_after=60.0,
                on_headers=lambda _headers: None,
            )
            return await use(reader)

    return run_in_virtual_time(program())
