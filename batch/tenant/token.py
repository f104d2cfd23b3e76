"""The access token: fetched when needed, and renewed before it expires, by one caller at a time."""

from __future__ import annotations

import asyncio
import math
import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from batch.answers.events import Waiting
from batch.answers.outcome import WAITS, Retries
from batch.api.dialects import ADMIN_LEVEL, TOKEN_PATH
from batch.api.token_claims import TokenClaims, read_claims
from batch.errors import ASK_THE_EDGE, CredentialsRefusedError, TenantLostError, UnreachableError
from batch.model import Failure, Form
from batch.tenant.address import probable_origin
from batch.tenant.wire import cleaning, fetch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    import httpx

    from batch.answers.events import Tell
    from batch.model import Answer, Clock
    from batch.settings import Credentials
    from batch.tenant.answers import Exchange

RENEW_BEFORE: Final = 60.0
"""Seconds before its expiry at which a token is renewed, or half its life if that is shorter."""

UNREACHED_FOR: Final = 15.0
"""Most seconds to try a tenant that this command has never reached: an address that is wrong stays so."""

DEFAULT_LIFETIME: Final = 60.0
"""Seconds that a token lives if the tenant gives no lifetime, or an impossible one."""

_SENDABLE: Final = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Issued:
    """A token that the tenant issued; `good_until` is by the monotonic clock, `expires` by the tenant's."""

    value: str = field(repr=False, default="")
    claims: TokenClaims = field(default_factory=TokenClaims)
    good_until: float = -math.inf
    expires: datetime | None = None


class Token:
    """The access token of one client.

    Args:
        http: A client whose base URL is the tenant.
        credentials: Client id and secret.
        clock: This machine's clock.
        jitter: A random number from 0 to 1, new each time.
        give_up_after: Seconds to keep trying; 0 tries once.
        tell: Takes each wait between two tries before it begins.
        on_claims: Takes the claims of each new token before the token is used; what it raises, `get` raises.
        reached: Whether this command has reached the tenant before.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        credentials: Credentials,
        *,
        clock: Clock,
        jitter: Callable[[], float],
        give_up_after: float,
        tell: Tell,
        on_claims: Callable[[TokenClaims], Awaitable[None]] | None = None,
        reached: bool = False,
    ) -> None:
        self._http = http
        self._reached = reached
        self._on_claims = on_claims
        self._credentials = credentials
        self._give_up_after = give_up_after
        self._tell = tell
        self._clock = clock
        self._jitter = jitter
        self._issued = _Issued()
        self._renewing = asyncio.Lock()

    async def get(self, *, other_than: str = "") -> str:
        """A token that is good now.

        Args:
            other_than: A token that the tenant has refused.

        Raises:
            CredentialsRefusedError: The tenant refuses the client.
            TenantLostError: The token endpoint gives no usable token.
            UnreachableError: The tenant can't be reached, and this command never has reached it.
        """
        return (await self._good(other_than)).value

    async def claims(self) -> TokenClaims:
        """The claims of a token that is good now; raises as `get` does."""
        return (await self._good("")).claims

    @property
    def last_claims(self) -> TokenClaims:
        """The claims of the last token, even if it has expired; makes no call."""
        return self._issued.claims

    def expires(self, token: str) -> datetime | None:
        """When the last token expires, by the tenant's clock; None for another token, or if that is not known."""
        return self._issued.expires if token == self._issued.value else None

    async def _good(self, other_than: str) -> _Issued:
        async with self._renewing:
            if self._issued.value in {"", other_than} or self._clock.monotonic() >= self._issued.good_until:
                issued = await self._fetch()
                if self._on_claims is not None:
                    await self._on_claims(issued.claims)
                self._issued = issued
            return self._issued

    async def _fetch(self) -> _Issued:
        form = {
            "grant_type": "client_credentials",
            "client_id": self._credentials.client_id,
            "client_secret": self._credentials.client_secret.get_secret_value(),
        }
        began = self._clock.monotonic()
        retries = Retries(give_up_after=self._give_up_after, now=began)
        while True:
            asked = self._clock.monotonic()
            exchange = await fetch(self._http, "POST", TOKEN_PATH, now=self._clock.now, data=form)
            answer = exchange.answer
            if answer.status == 200:  # noqa: PLR2004 - HTTP
                issued_at = answer.server_time or self._clock.now()
                return _read(exchange, asked, issued_at, cleaning(self._http))
            self._reached = self._reached or answer.status is not None
            if answer.status in {400, 401, 403}:
                raise self._refused(answer) if _is_the_endpoints(exchange) else self._turned_away(answer)
            decision = retries.decide(answer, now=self._clock.monotonic(), jitter=self._jitter())
            fails = answer.status is None or answer.status >= 400  # noqa: PLR2004 - HTTP
            ends = self._clock.monotonic() - began + decision.pause
            if not self._reached and answer.failure is Failure.NEVER_CONNECTED:
                took = self._clock.monotonic() - asked
                if ends + took > min(UNREACHED_FOR, self._give_up_after):
                    raise self._unreachable(decision.reason)
            if not fails or decision.then not in WAITS or ends > self._give_up_after:
                raise self._lost(answer, decision.reason)
            self._tell(
                Waiting(seconds=decision.pause, reason=f"could not get a token from the tenant: {decision.reason}")
            )
            await asyncio.sleep(decision.pause)

    def _refused(self, answer: Answer) -> CredentialsRefusedError:
        source = f", which come from {self._credentials.source}" if self._credentials.source else ""
        return CredentialsRefusedError(
            f"The tenant refuses the client: it answered {answer.status} ({answer.text}).",
            next_step=f"Check the client's id and secret{source}: a personal access token of an {ADMIN_LEVEL} user is "
            "needed. Then run the same command again.",
        )

    def _turned_away(self, answer: Answer) -> TenantLostError:
        """Something that is not the token endpoint refuses, and it can't know the secret."""
        code = f"it answered {answer.status}{f' ({answer.text})' if answer.text else ''}"
        return TenantLostError(
            f"Something in front of {self._http.base_url} turns this program away: {code}.",
            next_step=f"{self._meant()}This says nothing about the client's secret. {ASK_THE_EDGE}",
        )

    def _unreachable(self, reason: str) -> UnreachableError:
        return UnreachableError(
            f"{self._http.base_url} can't be reached: {reason}.",
            next_step=f"Nothing was sent. {self._meant()}Check the base URL, the network and, if you need one, the "
            "proxy (HTTPS_PROXY); then run the same command again.",
        )

    def _meant(self) -> str:
        """The address that was probably meant, as a question; empty if it is this."""
        meant = probable_origin(str(self._http.base_url))
        return f"Did you mean {meant}? " if meant and meant != str(self._http.base_url).rstrip("/") else ""

    def _lost(self, answer: Answer, reason: str) -> TenantLostError:
        asked = f", and asks for a wait of {answer.retry_after:.0f} s" if answer.retry_after else ""
        return TenantLostError(
            f"Could not get a token from {self._http.base_url}: {reason}{asked}.",
            next_step=f"{self._meant()}Check the base URL and the network, then run the same command again.",
        )


def _is_the_endpoints(exchange: Exchange) -> bool:
    """Whether a refusal has the form of the token endpoint's (RFC 6749, `{error}`) or of the API's.

    An edge such as Cloudflare answers for itself, `error code: 1010` for a program that it does not like. A refusal
    without any content may be either's.
    """
    document, answer = exchange.document, exchange.answer
    if isinstance(document, dict):
        return answer.form is Form.API or isinstance(document.get("error"), str)
    return not answer.text


def _read(exchange: Exchange, asked: float, issued_at: datetime, clean: Callable[[Any], Any]) -> _Issued:
    """The token in the answer to a call made at `asked`, by the monotonic clock, and answered at `issued_at`."""
    document, token = _document(exchange), exchange.token
    try:
        lifetime = float(document.get("expires_in", DEFAULT_LIFETIME))
    except (ValueError, TypeError, OverflowError):
        token, lifetime = "", 0.0
    if not _SENDABLE.fullmatch(token):
        raise TenantLostError(
            "Could not get a token: the tenant's token endpoint answered without a usable token.",
            next_step="Check the base URL: is it the API's?",
        )
    if not (math.isfinite(lifetime) and lifetime > 0):
        lifetime = DEFAULT_LIFETIME
    claims = read_claims(token, document, clean=clean)
    return _Issued(
        value=token,
        claims=claims,
        expires=claims.expires or _later(issued_at, claims.expires_in),
        good_until=asked + max(lifetime - RENEW_BEFORE, lifetime / 2),
    )


def _later(moment: datetime, seconds: float | None) -> datetime | None:
    """So many seconds later; None if they are not known, or too many."""
    try:
        return None if seconds is None else moment + timedelta(seconds=seconds)
    except OverflowError:
        return None


def _document(exchange: Exchange) -> dict[str, Any]:
    """The endpoint's answer; empty if it is no JSON object.

    Raises:
        TenantLostError: It is a web page, so something other than the tenant answered.
    """
    if exchange.answer.form is Form.PAGE:
        raise TenantLostError(
            "A web page answered in place of the tenant's token endpoint: a proxy or a login page stands in between, "
            "or the base URL is not the API's.",
            next_step="Open the base URL in a browser on this network and sign in if it asks you to, or set "
            "HTTPS_PROXY to the right proxy; then run the same command again.",
        )
    return exchange.document if isinstance(exchange.document, dict) else {}
