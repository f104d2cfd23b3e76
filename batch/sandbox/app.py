"""The simulated tenant behind HTTP: all API versions' paths at once, the token endpoint, and controls for tests.

`GET /sandbox/audit` shows the audit log. `POST /sandbox/faults` takes a JSON array of faults for coming attempts, of
which null lets one pass, or a JSON object: texts, each with the fault of every attempt that contains it. Real tenants
have neither: they serve people, and tests in another process, who send the token that the sandbox prints.

A web page can make its reader's browser call this machine. Such calls are turned away before they count anywhere.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus
from secrets import compare_digest
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.routing import Route

from batch.api.dialects import TOKEN_PATH
from batch.sandbox.answers import Answer, problem
from batch.sandbox.faults import Fault
from batch.sandbox.gate import Gate, response
from batch.sandbox.routes import ApiRoutes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from batch.sandbox.faults import FaultPlan
    from batch.sandbox.settings import SandboxSettings
    from batch.sandbox.tenant import SimulatedTenant

_OPERATORS: Final = "/sandbox/"
"""Every path under it needs the operator's token, also one that is added later."""

_AUDIT_PATHS: Final = (f"{_OPERATORS}audit", f"{_OPERATORS}books")
"""The second is the path of earlier versions."""

_BROWSERS_HEADERS: Final = ("Origin", "Sec-Fetch-Site")
"""Headers that a browser adds and no client of the API sends: every POST has the first, every call the second."""

_HTTP_PORT: Final = 80
"""The port that an http address without a port means."""

_log = logging.getLogger(__name__)


class SandboxApp:
    """The ASGI app. Runs only under the sandbox's own server, which can drop connections.

    Args:
        settings: The sandbox's settings.
        tenant: The tenant behind it.
        faults: The faults of coming attempts.
        clock: The tenant's time, with a zone; also the `Date` of its answers.
        port: The port that it listens on.
        operator_token: Opens the audit log and the faults.
    """

    def __init__(
        self,
        settings: SandboxSettings,
        *,
        tenant: SimulatedTenant,
        faults: FaultPlan,
        clock: Callable[[], datetime],
        port: int,
        operator_token: str,
    ) -> None:
        self._tenant = tenant
        self._faults = faults
        self._clock = clock
        gate = Gate(settings, tenant, clock)
        self._tokens = gate.tokens
        routes = [
            Route(TOKEN_PATH, self._issue_token, methods=["POST"]),
            *(Route(path, self._show_audit, methods=["GET"]) for path in _AUDIT_PATHS),
            Route(f"{_OPERATORS}faults", self._add_faults, methods=["POST"]),
            *ApiRoutes(settings, gate, faults).routes(),
        ]
        app = Starlette(routes=routes, exception_handlers={Exception: _report_bug})
        guarded = _Guard(app, tenant, port=port, operator_token=operator_token)
        self._app = _WithHeaders(guarded, clock, settings.extra_headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        await self._app(scope, receive, send)

    async def _issue_token(self, request: Request) -> Response:
        return response(self._tokens.issue(await request.body(), self._clock()))

    async def _show_audit(self, _request: Request) -> Response:
        return response(Answer(status=HTTPStatus.OK, body=self._tenant.audit.as_json()))

    async def _add_faults(self, request: Request) -> Response:
        try:
            named = json.loads(await request.body())
            poison = {text: Fault(name) for text, name in named.items()} if isinstance(named, dict) else {}
            faults = [] if poison else [None if name is None else Fault(name) for name in named]
        except (ValueError, TypeError):
            text = f"The body must be a JSON array of null or one of {', '.join(Fault)}, or an object of these."
            return response(problem(HTTPStatus.BAD_REQUEST, text, tracking_id=self._tenant.new_id()))
        for text, fault in poison.items():
            self._faults.poison(text, fault)
        self._faults.add(*faults)
        return response(Answer(status=HTTPStatus.OK, body={"pending": self._faults.pending}))


def own_hosts(port: int) -> frozenset[str]:
    """The values of `Host` that name this machine and a port. The name of a web page never does, wherever it leads."""
    names = ("127.0.0.1", "localhost", "[::1]")
    bare = names if port == _HTTP_PORT else ()
    return frozenset((*bare, *(f"{name}:{port}" for name in names)))


class _Guard:
    """Turns away what a web page sends, and everybody without the operator's token from what is not the API."""

    def __init__(self, app: ASGIApp, tenant: SimulatedTenant, *, port: int, operator_token: str) -> None:
        self._app = app
        self._tenant = tenant
        self._hosts = own_hosts(port)
        self._authorization = f"Bearer {operator_token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope["path"], Headers(scope=scope))
        await (self._app if refusal is None else response(refusal))(scope, receive, send)

    def _refusal(self, path: str, headers: Headers) -> Answer | None:
        hosts = headers.getlist("Host")
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return self._forbidden(f"The sandbox answers only calls to {' or '.join(sorted(self._hosts))}.")
        if any(name in headers for name in _BROWSERS_HEADERS):
            return self._forbidden("The sandbox answers no browsers, because any web page can make one call it.")
        sent = headers.get("Authorization", "").encode()
        if path.startswith(_OPERATORS) and not compare_digest(sent, self._authorization):
            error = "Send `Authorization: Bearer TOKEN` with the token that the sandbox printed when it started."
            return Answer(status=HTTPStatus.UNAUTHORIZED, body={"error": error})
        return None

    def _forbidden(self, text: str) -> Answer:
        return problem(HTTPStatus.FORBIDDEN, text, tracking_id=self._tenant.new_id())


class _WithHeaders:
    """Adds the extra headers to every answer, and `Date` by the sandbox's clock: uvicorn's is the computer's time."""

    def __init__(self, app: ASGIApp, clock: Callable[[], datetime], extra: Mapping[str, str]) -> None:
        self._app = app
        self._clock = clock
        self._extra = extra

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                date = format_datetime(self._clock().astimezone(UTC), usegmt=True)
                MutableHeaders(scope=message).update({"Date": date, **self._extra})
            await send(message)

        await self._app(scope, receive, send_with_headers)


async def _report_bug(_request: Request, error: Exception) -> Response:
    # uvicorn is silenced, so the error is logged here.
    _log.error("The sandbox itself has failed.", exc_info=error)
    return response(
        problem(HTTPStatus.INTERNAL_SERVER_ERROR, "The sandbox itself has failed.", tracking_id="sandbox-bug")
    )
