"""Submitting one request to the tenant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from batch.body import body_of, encode
from batch.tenant.token import Token
from batch.tenant.wire import fetch, http_client

if TYPE_CHECKING:
    from batch.dialects import Dialect
    from batch.model import Answer, Request
    from batch.settings import Credentials


class Tenant:
    """A connection to one tenant in one dialect; an async context manager.

    Args:
        base_url: The tenant's origin.
        dialect: The API version.
        credentials: Client id and secret.
        timeout: Seconds for one attempt.
        concurrency: Most attempts at a time.
    """

    def __init__(
        self, *, base_url: str, dialect: Dialect, credentials: Credentials, timeout: float, concurrency: int
    ) -> None:
        self._http = http_client(base_url, timeout=timeout, concurrency=concurrency)
        self._token = Token(self._http, credentials)
        self._dialect = dialect

    async def token(self, *, other_than: str = "") -> str:
        """A token that is good now; see Token.get."""
        return await self._token.get(other_than=other_than)

    async def submit(self, request: Request, token: str) -> Answer:
        """Makes one attempt; a failure is an answer too, never an exception."""
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        answer, _ = await fetch(
            self._http, "POST", self._dialect.submit_path, content=encode(body_of(request)), headers=headers
        )
        return answer

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()
