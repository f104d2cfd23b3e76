"""What every API call goes through before it is answered: the gateway, latency, the token, the rate limit, scopes."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from random import Random
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.routing import Route

from batch.api.dialects import ADDRESS_LIMIT, DIALECTS
from batch.sandbox.answers import Answer, gateway_page, problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from datetime import datetime

    from starlette.requests import Request

    from batch.api.dialects import Dialect
    from batch.sandbox.settings import SandboxSettings
    from batch.sandbox.tenant import SimulatedTenant


class Gate:
    """Lets calls in, or says why not, and counts them in the books.

    Args:
        settings: What was chosen about the sandbox.
        tenant: The tenant behind it.
        clock: The tenant's time, with a zone.
    """

    def __init__(self, settings: SandboxSettings, tenant: SimulatedTenant, clock: Callable[[], datetime]) -> None:
        self.tokens = settings.new_token_office()
        self.tenant = tenant
        self.clock = clock
        self._rate_limit = settings.new_rate_limit()
        self._client_id = settings.client_id
        self._latency = settings.latency
        self._random = Random(settings.seed)  # noqa: S311 - rehearsals must be repeatable, nothing is secret here

    async def refusal(
        self, request: Request, dialect: Dialect, scopes: tuple[str, ...], *, as_user: bool = False
    ) -> Answer | None:
        """Why a call is not let in; None where it is.

        Args:
            request: The call, which the rate limit counts.
            dialect: The API version whose path it is.
            scopes: Those of which the token needs one.
            as_user: Whether a user must stand behind the token.
        """
        if len(request.scope["raw_path"]) + len(request.scope["query_string"]) > ADDRESS_LIMIT:
            return gateway_page(HTTPStatus.REQUEST_URI_TOO_LONG)
        await asyncio.sleep(self._random.uniform(*self._latency))
        now = self.clock()
        refusal = self.tokens.refusal(request.headers.get("Authorization"), now) or self._rate_limit.refusal(
            (self._client_id, dialect.name), now
        )
        if refusal is None and not self.tokens.may(scopes, as_user=as_user):
            text = "The server understood the request but refuses to authorize it."
            return self.problem(HTTPStatus.FORBIDDEN, text)
        return refusal

    def problem(self, status: HTTPStatus, text: str) -> Answer:
        """An answer in the API's error form."""
        return problem(status, text, tracking_id=self.tenant.new_id())

    def routes(
        self,
        name: str,
        method: str,
        answer: Callable[[Request, Dialect], Awaitable[Answer]],
        *,
        as_user: bool = False,
    ) -> Iterator[Route]:
        """The routes of one endpoint in every API version that has it.

        Args:
            name: What the endpoint is called in `batch.api.dialects.Paths`.
            method: `GET` or `POST`.
            answer: Answers a call that was let in.
            as_user: Whether a user must stand behind the token.
        """
        for path, dialect in endpoints(name):
            yield Route(path, self._endpoint(name, dialect, answer, as_user=as_user), methods=[method])

    def _endpoint(
        self, name: str, dialect: Dialect, answer: Callable[[Request, Dialect], Awaitable[Answer]], *, as_user: bool
    ) -> Callable[[Request], Awaitable[Response]]:
        scopes: tuple[str, ...] = getattr(dialect, f"{name}_scopes")

        async def respond(request: Request) -> Response:
            self.tenant.audit.calls[name] += 1
            refusal = await self.refusal(request, dialect, scopes, as_user=as_user)
            return response(refusal or await answer(request, dialect))

        return respond


def endpoints(name: str) -> Iterator[tuple[str, Dialect]]:
    """Each path of an endpoint once, with the API version that it belongs to, also where others ask there too.

    Args:
        name: What the endpoint is called in `batch.api.dialects.Paths`.
    """
    for path in dict.fromkeys(getattr(dialect.paths, name) for dialect in DIALECTS.values()):
        if path:
            yield path, next(dialect for dialect in DIALECTS.values() if dialect.name in path.split("/"))


def response(answer: Answer) -> Response:
    """An answer as Starlette sends it."""
    return Response(
        answer.content(), status_code=answer.status, headers=dict(answer.headers), media_type=answer.media_type
    )
