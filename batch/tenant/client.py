"""One tenant: submitting requests to it, and asking what became of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from batch.body import body_of, encode
from batch.tenant.status import StatusList
from batch.tenant.token import Token
from batch.tenant.wire import fetch, http_client

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from batch.dialects import Dialect
    from batch.model import Answer, Request
    from batch.settings import Credentials
    from batch.tenant.pace import Pace


class Tenant:
    """A connection to one tenant in one dialect; an async context manager.

    Args:
        base_url: The tenant's origin.
        dialect: The API version.
        credentials: Client id and secret.
        timeout: Seconds for one attempt.
        concurrency: Most attempts at a time.
        pace: For the status list; submitting is paced by its caller.
        clock: Our clock.
        luck: A random number from 0 to 1, new each time.
        give_up_after: Seconds without any success after which the tenant is lost.
        ca_file: PEM certificates to trust instead of the system's.

    Attributes:
        statuses: Its status list.
    """

    def __init__(
        self,
        *,
        base_url: str,
        dialect: Dialect,
        credentials: Credentials,
        timeout: float,
        concurrency: int,
        pace: Pace,
        clock: Callable[[], datetime],
        luck: Callable[[], float],
        give_up_after: float,
        ca_file: Path | None = None,
    ) -> None:
        self._http = http_client(base_url, timeout=timeout, concurrency=concurrency, ca_file=ca_file)
        self._token = Token(self._http, credentials)
        self._dialect = dialect
        self.statuses = StatusList(
            self._http, self._token, dialect, pace, clock=clock, luck=luck, give_up_after=give_up_after
        )

    async def token(self, *, other_than: str = "") -> str:
        """A token that is good now; see Token.get."""
        return await self._token.get(other_than=other_than)

    async def submit(self, request: Request, token: str, *, gone: Callable[[], None]) -> Answer:
        """Makes one attempt, and calls `gone` once its last byte has left; a failure is an answer too."""
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        exchange = await fetch(
            self._http,
            "POST",
            self._dialect.submit_path,
            gone=gone,
            content=encode(body_of(request)),
            headers=headers,
        )
        return exchange.answer

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()
