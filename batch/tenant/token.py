"""The access token: fetched when needed, renewed before it expires, by one caller at a time."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any, Final

from batch.dialects import TOKEN_PATH
from batch.errors import CredentialsRefusedError, TenantLostError
from batch.model import Failure
from batch.tenant.wire import fetch

if TYPE_CHECKING:
    import httpx

    from batch.settings import Credentials

RENEW_BEFORE: Final = 60.0
"""Seconds before its expiry from which a token is no longer used (or half its life, if that is shorter)."""

UNSAID_LIFETIME: Final = 60.0
"""Seconds that a token is taken to live where the tenant does not say."""

BACKOFF: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)

_SENDABLE: Final = re.compile(r"[\x21-\x7e]+")
_HELP: Final = (
    "Check SAIL_CLIENT_ID and SAIL_CLIENT_SECRET: a personal access token of an ORG_ADMIN user is needed. "
    "Then run the same command again."
)


class Token:
    """The access token of one client.

    Args:
        http: A client whose base URL is the tenant.
        credentials: Client id and secret.
    """

    def __init__(self, http: httpx.AsyncClient, credentials: Credentials) -> None:
        self._http = http
        self._credentials = credentials
        self._value = ""
        self._good_until = 0.0
        self._renewing = asyncio.Lock()

    async def get(self, *, other_than: str = "") -> str:
        """A token that is good now.

        Args:
            other_than: A token that the tenant has refused.

        Raises:
            CredentialsRefusedError: The tenant refuses the client.
            TenantLostError: No token endpoint can be reached there.
        """
        async with self._renewing:
            now = asyncio.get_running_loop().time()
            if self._value in {"", other_than} or now >= self._good_until:
                self._value, lifetime = await self._fetch()
                self._good_until = now + max(lifetime - RENEW_BEFORE, lifetime / 2)
            return self._value

    async def _fetch(self) -> tuple[str, float]:
        form = {
            "grant_type": "client_credentials",
            "client_id": self._credentials.client_id,
            "client_secret": self._credentials.client_secret.get_secret_value(),
        }
        for delay in (*BACKOFF, None):
            answer, content, _ = await fetch(self._http, "POST", TOKEN_PATH, data=form)
            if answer.status == 200:  # noqa: PLR2004 - HTTP
                return _read(content)
            if answer.status in {400, 401, 403}:
                raise CredentialsRefusedError(
                    f"The tenant refuses the client: it answered {answer.status} ({answer.text}).", next_step=_HELP
                )
            passing = answer.status is None or answer.status == 429 or answer.status >= 500  # noqa: PLR2004 - HTTP
            if delay is None or not passing or answer.failure is Failure.UNTRUSTED:
                break
            await asyncio.sleep(delay if answer.retry_after is None else answer.retry_after)
        said = answer.text if answer.status is None else f"it answered {answer.status} ({answer.text})"
        raise TenantLostError(
            f"No token can be had from {self._http.base_url}: {said}.",
            next_step="Check the base URL and the network, then run the same command again.",
        )


def _read(content: bytes) -> tuple[str, float]:
    """Token and lifetime in seconds."""
    try:
        document: Any = json.loads(content)
        token, lifetime = document["access_token"], float(document.get("expires_in", UNSAID_LIFETIME))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        token, lifetime = "", 0.0
    if not isinstance(token, str) or not _SENDABLE.fullmatch(token):
        raise TenantLostError(
            "The tenant's token endpoint answered without a usable token.",
            next_step="Check the base URL: is it the API's?",
        )
    return token, lifetime
