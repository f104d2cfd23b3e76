"""The endpoints of access requests: submitting, both status lists, cancelling."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from starlette.responses import Response
from starlette.routing import Route

from batch.api.dialects import EXPERIMENTAL_HEADER
from batch.sandbox.connection import connection_of, until_closed
from batch.sandbox.faults import Silence
from batch.sandbox.gate import endpoints, response
from batch.sandbox.status import Rules, is_about_requester, list_statuses

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from batch.api.dialects import Dialect
    from batch.sandbox.answers import Answer
    from batch.sandbox.faults import FaultPlan
    from batch.sandbox.gate import Gate
    from batch.sandbox.settings import SandboxSettings

_UNREADABLE: Final = object()


class RequestsRoutes:
    """Answers what concerns access requests.

    Args:
        settings: What was chosen about the sandbox.
        gate: What every call goes through.
        faults: What strikes coming attempts to submit.
    """

    def __init__(self, settings: SandboxSettings, gate: Gate, faults: FaultPlan) -> None:
        self._gate = gate
        self._tenant = gate.tenant
        self._faults = faults
        self._lists_others = settings.lists_others
        self._status_rules = Rules(own_only=not settings.lists_others, understands_in=settings.understands_in)

    def routes(self) -> Iterator[Route]:
        """All of them, in every API version."""
        for path, dialect in endpoints("submit"):
            yield Route(path, self._submit_endpoint(dialect), methods=["POST"])
        yield from self._gate.routes("status", "GET", self._status)
        yield from self._gate.routes("administration", "GET", self._administration)
        yield from self._gate.routes("cancel", "POST", self._cancel, as_user=True)
        yield from self._gate.routes("bulk_cancel", "POST", self._cancel_in_bulk, as_user=True)

    def _submit_endpoint(self, dialect: Dialect) -> Callable[[Request], Awaitable[Response]]:
        async def submit(request: Request) -> Response:
            raw = await request.body()
            audit = self._tenant.audit
            audit.posts += 1
            audit.calls["submit"] += 1
            refusal = await self._gate.refusal(request, dialect, dialect.submit_scopes, as_user=True)
            if refusal is None:
                return await self._struck(request, lambda: self._process(raw, dialect))
            if refusal.status == HTTPStatus.TOO_MANY_REQUESTS:
                audit.throttled += 1
            return response(refusal)

        return submit

    async def _status(self, request: Request, _dialect: Dialect) -> Answer:
        if not (self._lists_others or is_about_requester(request.query_params)):
            return self._gate.problem(HTTPStatus.FORBIDDEN, "requested-for must be the current user.")
        return self._listed(request, self._status_rules)

    async def _administration(self, request: Request, _dialect: Dialect) -> Answer:
        if request.headers.get(EXPERIMENTAL_HEADER, "").lower() != "true":
            text = f"The header {EXPERIMENTAL_HEADER} must be true to use this experimental API."
            return self._gate.problem(HTTPStatus.BAD_REQUEST, text)
        return self._listed(request, Rules(administration=True))

    def _listed(self, request: Request, rules: Rules) -> Answer:
        view = self._tenant.view(self._gate.clock())
        return list_statuses(view, request.query_params, tracking_id=self._tenant.new_id(), rules=rules)

    async def _cancel(self, request: Request, _dialect: Dialect) -> Answer:
        body = _read(await request.body())
        return self._tenant.cancel(body, self._gate.clock(), any_requester=self._lists_others)

    async def _cancel_in_bulk(self, request: Request, _dialect: Dialect) -> Answer:
        return self._tenant.cancel_in_bulk(_read(await request.body()), self._gate.clock())

    async def _struck(self, request: Request, process: Callable[[], Answer]) -> Response:
        """Process an attempt, unless a fault keeps it from that, and answer it, unless a fault garbles the answer."""
        effect = self._faults.next_effect()
        if effect is None:
            return response(process())
        true_answer = process() if effect.processed else None
        if isinstance(effect.result, Silence):
            return await _silence(request, effect.result)
        if true_answer is not None and effect.only_instead_of not in {None, true_answer.status}:
            return response(true_answer)
        if effect.result.status == HTTPStatus.TOO_MANY_REQUESTS:
            self._tenant.audit.throttled += 1
        return response(effect.result)

    def _process(self, raw: bytes, dialect: Dialect) -> Answer:
        body = _read(raw)
        if body is _UNREADABLE:
            return self._tenant.refuse("The body is not JSON.")
        return self._tenant.submit(body, self._gate.clock(), dialect)


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


def _read(raw: bytes) -> object:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return _UNREADABLE
