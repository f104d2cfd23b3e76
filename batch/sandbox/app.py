"""The simulated tenant behind HTTP: every API version's paths at once, the token endpoint, and test controls.

`GET /sandbox/books` shows the books, `POST /sandbox/faults` takes a JSON array of faults (null lets an attempt pass).
No real tenant has these two: they are for people, and for tests in another process.
"""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus
from random import Random
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.routing import Route

from batch.dialects import DIALECTS, TOKEN_PATH
from batch.sandbox.answers import Answer, problem
from batch.sandbox.connection import connection_of, until_closed
from batch.sandbox.faults import Fault, Silence
from batch.sandbox.status import is_about_requester, list_statuses

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from batch.dialects import Dialect
    from batch.sandbox.faults import FaultPlan
    from batch.sandbox.settings import SandboxSettings
    from batch.sandbox.tenant import SimulatedTenant

BOOKS_PATH: Final = "/sandbox/books"
"""Path of the books."""

FAULTS_PATH: Final = "/sandbox/faults"
"""Path that takes faults for coming attempts."""

_log = logging.getLogger(__name__)


class SandboxApp:
    """The ASGI app. Runs only under the sandbox's own server, which can drop connections.

    Args:
        settings: What was chosen about the sandbox.
        tenant: The tenant behind it.
        faults: What strikes coming attempts.
        clock: The tenant's time, with a zone; also the `Date` of its answers.
    """

    def __init__(
        self, settings: SandboxSettings, *, tenant: SimulatedTenant, faults: FaultPlan, clock: Callable[[], datetime]
    ) -> None:
        self._tenant = tenant
        self._faults = faults
        self._clock = clock
        self._tokens = settings.new_token_office()
        self._rate_limit = settings.new_rate_limit()
        self._client_id = settings.client_id
        self._latency = settings.latency
        self._lists_others = settings.lists_others
        self._random = Random(settings.seed)  # noqa: S311 - rehearsals must be repeatable, nothing is secret here
        routes = [
            Route(TOKEN_PATH, self._issue_token, methods=["POST"]),
            Route(BOOKS_PATH, self._show_books, methods=["GET"]),
            Route(FAULTS_PATH, self._take_faults, methods=["POST"]),
        ]
        for dialect in DIALECTS.values():
            routes += [
                Route(dialect.paths.submit, self._submit_endpoint(dialect), methods=["POST"]),
                Route(dialect.paths.status, self._status_endpoint(dialect), methods=["GET"]),
            ]
        app = Starlette(routes=routes, exception_handlers={Exception: _report_bug})
        self._app = _Dated(app, clock, settings.extra_headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request, as ASGI has it."""
        await self._app(scope, receive, send)

    def _submit_endpoint(self, dialect: Dialect) -> Callable[[Request], Awaitable[Response]]:
        async def submit(request: Request) -> Response:
            raw = await request.body()
            self._tenant.books.posts += 1
            refusal = await self._admit(request, dialect) or self._forbid(allowed=self._tokens.may_submit(dialect))
            if refusal is None:
                return await self._struck(request, lambda: self._process(raw, dialect))
            if refusal.status == HTTPStatus.TOO_MANY_REQUESTS:
                self._tenant.books.throttled += 1
            return _response(refusal)

        return submit

    def _status_endpoint(self, dialect: Dialect) -> Callable[[Request], Awaitable[Response]]:
        async def status(request: Request) -> Response:
            refusal = await self._admit(request, dialect) or self._forbid(allowed=self._tokens.may_list(dialect))
            if refusal is not None:
                return _response(refusal)
            if not (self._lists_others or is_about_requester(request.query_params)):
                text = "requested-for must be the current user."
                return _response(problem(HTTPStatus.FORBIDDEN, text, tracking_id=self._tenant.new_id()))
            rows = self._tenant.visible_rows(self._clock())
            return _response(list_statuses(rows, request.query_params, tracking_id=self._tenant.new_id()))

        return status

    async def _admit(self, request: Request, dialect: Dialect) -> Answer | None:
        """What every API call goes through first: latency, token, rate limit."""
        await asyncio.sleep(self._random.uniform(*self._latency))
        now = self._clock()
        return self._tokens.refusal(request.headers.get("Authorization"), now) or self._rate_limit.refusal(
            (self._client_id, dialect.name), now
        )

    def _forbid(self, *, allowed: bool) -> Answer | None:
        """The 403 of a token that may not do this; None where it may."""
        if allowed:
            return None
        text = "The server understood the request but refuses to authorize it."
        return problem(HTTPStatus.FORBIDDEN, text, tracking_id=self._tenant.new_id())

    async def _struck(self, request: Request, process: Callable[[], Answer]) -> Response:
        """Process an attempt, unless a fault keeps it from that, and answer it, unless a fault garbles the answer."""
        effect = self._faults.next_effect()
        if effect is None:
            return _response(process())
        true_answer = process() if effect.processed else None
        if isinstance(effect.result, Silence):
            return await _silence(request, effect.result)
        if true_answer is not None and effect.only_instead_of not in {None, true_answer.status}:
            return _response(true_answer)
        if effect.result.status == HTTPStatus.TOO_MANY_REQUESTS:
            self._tenant.books.throttled += 1
        return _response(effect.result)

    def _process(self, raw: bytes, dialect: Dialect) -> Answer:
        try:
            body = json.loads(raw)
        except (ValueError, RecursionError):
            return self._tenant.refuse("The body is not JSON.")
        return self._tenant.submit(body, self._clock(), dialect)

    async def _issue_token(self, request: Request) -> Response:
        return _response(self._tokens.issue(await request.body(), self._clock()))

    async def _show_books(self, _request: Request) -> Response:
        return _response(Answer(status=HTTPStatus.OK, body=self._tenant.books.as_json()))

    async def _take_faults(self, request: Request) -> Response:
        try:
            named = json.loads(await request.body())
            faults = [None if name is None else Fault(name) for name in named] if isinstance(named, list) else None
        except ValueError:
            faults = None
        if faults is None:
            text = f"The body must be a JSON array of null or one of {', '.join(Fault)}."
            return _response(problem(HTTPStatus.BAD_REQUEST, text, tracking_id=self._tenant.new_id()))
        self._faults.add(*faults)
        return _response(Answer(status=HTTPStatus.OK, body={"pending": self._faults.pending}))


class _Dated:
    """Puts `Date` on every answer, from the sandbox's clock (uvicorn's own would be the computer's time), and more."""

    def __init__(self, app: ASGIApp, clock: Callable[[], datetime], more: Mapping[str, str]) -> None:
        self._app = app
        self._clock = clock
        self._more = more

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                date = format_datetime(self._clock().astimezone(UTC), usegmt=True)
                MutableHeaders(scope=message).update({"Date": date, **self._more})
            await send(message)

        await self._app(scope, receive, send_dated)


class _NoResponse(Response):
    """What stands for an answer when there is none: sends nothing."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send nothing: the connection is closed by now."""


async def _silence(request: Request, silence: Silence) -> Response:
    connection = connection_of(request)
    if silence is Silence.DROP:
        connection.drop()
    else:
        connection.hang()
    await until_closed(request)
    return _NoResponse()


def _response(answer: Answer) -> Response:
    return Response(
        answer.content(), status_code=answer.status, headers=dict(answer.headers), media_type=answer.media_type
    )


async def _report_bug(_request: Request, error: Exception) -> Response:
    # uvicorn is kept silent, so nobody else would tell.
    _log.error("The sandbox itself has failed.", exc_info=error)
    return _response(
        problem(HTTPStatus.INTERNAL_SERVER_ERROR, "The sandbox itself has failed.", tracking_id="sandbox-bug")
    )
