"""A pace without a ledger that always gives permits, and a reader of a tenant that a test plays."""

from __future__ import annotations

import asyncio
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
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from batch.tenant.pace import Permit

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

    def permit(self, *, wanted: int, counted: Mapping[int, float | None], ahead: float = 0.0) -> Permits:
        assert wanted >= 0
        assert ahead >= 0
        assert all(number > 0 for number in counted)
        most = UNLIMITED.requests
        numbers = tuple(itertools.islice(self._numbers, wanted))
        return Permits(at=now(), numbers=numbers, leave_at=(now(),) * wanted, free=most, allowed=most)

    def silence(self, *, seconds: float, permitted_at: float, violated: bool) -> None:
        assert permitted_at
        self.silences.append((seconds, violated))


def open_pace() -> Pace:
    """A pace that only keeps silence."""
    return Pace(UNLIMITED, OpenCalls(), tell=Events().append, clock=VIRTUAL)


class HeldUpPace(Pace):
    """Permits every call, but only after a while."""

    def __init__(self, seconds: float) -> None:
        super().__init__(UNLIMITED, OpenCalls(), tell=Events().append, clock=VIRTUAL)
        self._seconds = seconds

    async def wait(self, *, most: int = 1, to_come: int = 1, ahead: bool = False) -> Sequence[Permit]:
        await asyncio.sleep(self._seconds)
        return await super().wait(most=most, to_come=to_come, ahead=ahead)


def with_reader(
    endpoint: Callable[[httpx.Request], Reply],
    use: Callable[[Reader], Coroutine[Any, Any, Result]],
    *,
    lifetime: float = 749.0,
    held_up: float = 0.0,
) -> Result:
    """Uses a reader of a tenant that answers as `endpoint` does, and issues tokens besides.

    Args:
        endpoint: The tenant's answer to a request with a valid token.
        use: Uses the reader.
        lifetime: Seconds that a token is valid.
        held_up: Seconds that the pace holds up each call.
    """
    expires: dict[str, float] = {}

    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path == TOKEN_PATH:
            token = f"t{len(expires)}"
            expires[f"Bearer {token}"] = now() + lifetime
            reply: Reply = (200, {"access_token": token, "expires_in": lifetime}, {})
        elif expires[request.headers["authorization"]] <= now():
            reply = (401, {"error": "JWT validation failed: JWT is expired"}, {})
        else:
            reply = endpoint(request)
        status, document, headers = reply
        content = document if isinstance(document, bytes) else json.dumps(document).encode()
        return httpx.Response(status, headers=headers, stream=httpx.ByteStream(content))

    async def program() -> Result:
        async with httpx.AsyncClient(transport=httpx.MockTransport(respond), base_url="https://tenant") as http:
            credentials = Credentials.model_validate({"client_id": "c", "client_secret": "s3cret-of-the-client"})
            token = Token(http, credentials, clock=VIRTUAL, jitter=lambda: 1.0, give_up_after=60.0, tell=tell_each())
            reader = Reader(
                http,
                token,
                HeldUpPace(held_up),
                clock=VIRTUAL,
                jitter=lambda: 1.0,
                give_up_after=60.0,
                on_headers=lambda _headers: None,
            )
            return await use(reader)

    return run_in_virtual_time(program())
