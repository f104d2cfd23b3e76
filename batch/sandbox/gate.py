"""The checks that every API call passes first: address length, latency, token, rate limit, scopes."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict, deque
from datetime import timedelta
from http import HTTPStatus
from random import Random
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.routing import Route

from batch.api.dialects import ADDRESS_LIMIT, DIALECTS
from batch.sandbox.answers import Answer, gateway_page, problem, too_many_requests
from batch.sandbox.tokens import TokenIssuer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Iterator
    from datetime import datetime

    from starlette.requests import Request

    from batch.api.dialects import Dialect, Rate
    from batch.sandbox.settings import SandboxSettings
    from batch.sandbox.tenant import SimulatedTenant


class Gate:
    """Admits or refuses API calls, and counts them in the audit log.

    Args:
        settings: The sandbox's settings.
        tenant: The tenant behind it.
        clock: The tenant's time, with a zone.
    """

    def __init__(self, settings: SandboxSettings, tenant: SimulatedTenant, clock: Callable[[], datetime]) -> None:
        self.tokens = TokenIssuer(settings)
        self.tenant = tenant
        self.clock = clock
        self._rate_limit = RateLimit(settings.rate)
        self._client_id = settings.client_id
        self._latency = settings.latency
        self._random = Random(settings.seed)  # noqa: S311 - rehearsals must be repeatable, nothing is secret here

    async def refusal(
        self, request: Request, dialect: Dialect, scopes: tuple[str, ...], *, as_user: bool = False
    ) -> Answer | None:
        """The answer to a call that is refused; None if it is admitted.

        Args:
            request: The call. It counts toward the rate limit.
            dialect: The API version that its path belongs to.
            scopes: The token needs one of these.
            as_user: Whether the token must belong to a user.
        """
        if len(request.scope["raw_path"]) + len(request.scope["query_string"]) > ADDRESS_LIMIT:
            return gateway_page(HTTPStatus.REQUEST_URI_TOO_LONG)
        await asyncio.sleep(self._random.uniform(*self._latency))
        now = self.clock()
        refusal = self.tokens.refusal(request.headers.get("Authorization"), now)
        if refusal is None:
            refusal = self._rate_limit.refusal((self._client_id, dialect.name), now)
            if refusal is None:
                self.tenant.audit.counted.append(now)
        if refusal is None and not self.tokens.may(scopes, as_user=as_user):
            text = "The server understood the request but refuses to authorize it."
            return self.problem(HTTPStatus.FORBIDDEN, text)
        return refusal

    def problem(self, status: HTTPStatus, text: str) -> Answer:
        """An error in the API's own form."""
        return problem(status, text, tracking_id=self.tenant.new_id())

    def routes(
        self,
        name: str,
        method: str,
        answer: Callable[[Request, Dialect], Awaitable[Answer]],
        *,
        as_user: bool = False,
        scopes_of: str = "",
    ) -> Iterator[Route]:
        """The routes of one endpoint, in every API version that has it.

        Args:
            name: The endpoint's name in `batch.api.dialects.Paths`.
            method: `GET` or `POST`.
            answer: Answers an admitted call.
            as_user: Whether the token must belong to a user.
            scopes_of: Another endpoint whose scopes it takes; empty for its own.
        """
        for path, dialect in endpoints(name):

            async def respond(request: Request, dialect: Dialect = dialect) -> Response:
                self.tenant.audit.calls[name] += 1
                refusal = await self.refusal(
                    request, dialect, getattr(dialect, f"{scopes_of or name}_scopes"), as_user=as_user
                )
                return response(refusal or await answer(request, dialect))

            yield Route(path, respond, methods=[method])


class RateLimit:
    """At most `rate.requests` calls in any window of `rate.seconds`, counted separately for each caller.

    This is the strictest reading of the vendor's page on rate limits. Refused calls do not count. Two calls exactly one
    window apart do not share a window.
    """

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._window = timedelta(seconds=rate.seconds)
        self._calls: defaultdict[Hashable, deque[datetime]] = defaultdict(deque)

    def refusal(self, caller: Hashable, now: datetime) -> Answer | None:
        """Count a call that arrives now, or refuse it.

        Args:
            caller: A client id and an API version.
            now: The tenant's time.

        Returns:
            None for a call within the limit; otherwise a 429 with `Retry-After` in whole seconds, at least 1.
        """
        calls = self._calls[caller]
        while calls and calls[0] <= now - self._window:
            calls.popleft()
        if len(calls) < self._rate.requests:
            calls.append(now)
            return None
        wait = calls[0] + self._window - now
        return too_many_requests(math.ceil(wait.total_seconds()))


def endpoints(name: str) -> Iterator[tuple[str, Dialect]]:
    """Each path of an endpoint once, with the API version that owns it; other versions may share the path.

    Args:
        name: The endpoint's name in `batch.api.dialects.Paths`.
    """
    paths = dict.fromkeys(getattr(dialect.paths, name) for dialect in DIALECTS.values())
    for path in filter(None, paths):
        sharing = [dialect for dialect in DIALECTS.values() if getattr(dialect.paths, name) == path]
        yield path, next((dialect for dialect in DIALECTS.values() if dialect.name in path.split("/")), sharing[0])


def response(answer: Answer) -> Response:
    """An answer as a Starlette response."""
    return Response(
        answer.content(), status_code=answer.status, headers=dict(answer.headers), media_type=answer.media_type
    )
