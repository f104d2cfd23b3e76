"""The API's endpoints: submitting, the status lists, cancelling, the search, and the lists of people and items."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from starlette.routing import Route

from batch.api.dialects import EXPERIMENTAL_HEADER
from batch.sandbox.answers import Answer
from batch.sandbox.configuration import configuration
from batch.sandbox.connection import end_silently
from batch.sandbox.faults import Silence
from batch.sandbox.gate import endpoints, response
from batch.sandbox.list_endpoints import (
    access_profiles_endpoint,
    entitlements_endpoint,
    people_endpoint,
    roles_endpoint,
    trigger_subscriptions_endpoint,
)
from batch.sandbox.pending_approvals import list_pending_approvals
from batch.sandbox.search import IdentitySearch
from batch.sandbox.status_list import ListRules, is_about_requester, list_statuses

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from starlette.requests import Request
    from starlette.responses import Response

    from batch.api.dialects import Dialect
    from batch.sandbox.faults import FaultPlan
    from batch.sandbox.gate import Gate
    from batch.sandbox.list_endpoints import ListEndpoint
    from batch.sandbox.settings import SandboxSettings

_NOT_JSON: Final = object()


class ApiRoutes:
    """Connects every endpoint of every API version with its simulation.

    Args:
        settings: The sandbox's settings.
        gate: Admits or refuses each call.
        faults: The faults of coming attempts to submit.
    """

    def __init__(self, settings: SandboxSettings, gate: Gate, faults: FaultPlan) -> None:
        self._gate = gate
        self._tenant = gate.tenant
        self._faults = faults
        self._lists_others = settings.lists_others
        self._status_rules = ListRules(own_only=not settings.lists_others, understands_in=settings.understands_in)
        self._search = IdentitySearch(gate.tenant, body_limit=settings.search_body_limit)
        self._filter_limit = settings.filter_limit
        self._settings = settings

    def routes(self) -> Iterator[Route]:
        """All routes."""
        known, gate = self._tenant.known, self._gate
        for path, dialect in endpoints("submit"):
            yield Route(path, self._submit_endpoint(dialect), methods=["POST"])
        yield from gate.routes("status", "GET", self._status)
        yield from gate.routes("administration", "GET", self._administration)
        yield from gate.routes("pending_approvals", "GET", self._pending_approvals)
        yield from gate.routes("access_request_config", "GET", self._configuration)
        subscriptions = trigger_subscriptions_endpoint(self._settings.trigger_subscriptions)
        yield from gate.routes("trigger_subscriptions", "GET", self._listed(subscriptions))
        yield from gate.routes("accounts_selection", "POST", self._accounts, as_user=True)
        yield from gate.routes("role_assignments", "GET", self._role_assignments)
        yield from gate.routes("cancel", "POST", self._cancel, as_user=True)
        yield from gate.routes("bulk_cancel", "POST", self._cancel_in_bulk, as_user=True)
        yield from gate.routes("search", "POST", self._found)
        yield from gate.routes("people", "GET", self._people())
        yield from gate.routes("roles", "GET", self._listed(roles_endpoint(known)))
        yield from gate.routes("access_profiles", "GET", self._listed(access_profiles_endpoint(known)))
        yield from gate.routes("entitlements", "GET", self._listed(entitlements_endpoint(known)))
        yield from gate.routes("entitlement_config", "GET", self._entitlement_config, scopes_of="entitlements")

    def _submit_endpoint(self, dialect: Dialect) -> Callable[[Request], Awaitable[Response]]:
        async def submit(request: Request) -> Response:
            raw = await request.body()
            audit = self._tenant.audit
            audit.posts += 1
            audit.calls["submit"] += 1
            refusal = await self._gate.refusal(request, dialect, dialect.submit_scopes, as_user=True)
            if refusal is None:
                return await self._with_fault(request, raw, lambda: self._process(raw, dialect))
            if refusal.status == HTTPStatus.TOO_MANY_REQUESTS:
                audit.throttled += 1
            return response(refusal)

        return submit

    async def _with_fault(self, request: Request, raw: bytes, process: Callable[[], Answer]) -> Response:
        """Process and answer an attempt, unless its fault prevents the processing or replaces the answer."""
        effect = self._faults.next_effect(raw)
        if effect is None:
            return response(process())
        true_answer = process() if effect.processed else None
        if isinstance(effect.result, Silence):
            return await end_silently(request, effect.result)
        if true_answer is not None and effect.only_instead_of not in {None, true_answer.status}:
            return response(true_answer)
        if effect.result.status == HTTPStatus.TOO_MANY_REQUESTS:
            self._tenant.audit.throttled += 1
        return response(effect.result)

    def _process(self, raw: bytes, dialect: Dialect) -> Answer:
        body = _parsed(raw)
        if body is _NOT_JSON:
            return self._tenant.refuse("The body is not JSON.")
        return self._tenant.submit(body, self._gate.clock(), dialect)

    async def _status(self, request: Request, _dialect: Dialect) -> Answer:
        if not (self._lists_others or is_about_requester(request.query_params)):
            return self._gate.problem(HTTPStatus.FORBIDDEN, "requested-for must be the current user.")
        return self._statuses(request, self._status_rules)

    async def _administration(self, request: Request, _dialect: Dialect) -> Answer:
        return self._without_header(request) or self._statuses(request, ListRules(administration=True))

    def _without_header(self, request: Request) -> Answer | None:
        """The answer to a call of an experimental API that does not say that it wants one."""
        if request.headers.get(EXPERIMENTAL_HEADER, "").lower() == "true":
            return None
        text = f"The header {EXPERIMENTAL_HEADER} must be true to use this experimental API."
        return self._gate.problem(HTTPStatus.BAD_REQUEST, text)

    async def _pending_approvals(self, request: Request, dialect: Dialect) -> Answer:
        return list_pending_approvals(
            self._tenant.visible(self._gate.clock()),
            request.query_params,
            dialect=dialect,
            known=self._tenant.known,
            tracking_id=self._tenant.new_id(),
            needs_owner=self._settings.approvals_need_owner,
            own_only=not self._lists_others,
        )

    async def _configuration(self, request: Request, dialect: Dialect) -> Answer:
        refusal = self._without_header(request) if dialect.name == "v2026" else None
        rules = self._tenant.known.entitlement_rules
        written = configuration(self._settings.configuration, rules, dialect)
        return refusal or Answer(status=HTTPStatus.OK, body=written)

    async def _entitlement_config(self, request: Request, dialect: Dialect) -> Answer:
        written = self._tenant.entitlement_configuration(request.path_params["entitlement"], dialect)
        return written or self._gate.problem(HTTPStatus.NOT_FOUND, "The entitlement was not found.")

    def _statuses(self, request: Request, rules: ListRules) -> Answer:
        visible = self._tenant.visible(self._gate.clock())
        return list_statuses(visible, request.query_params, tracking_id=self._tenant.new_id(), rules=rules)

    async def _accounts(self, request: Request, dialect: Dialect) -> Answer:
        refusal = self._without_header(request)
        body = _parsed(await request.body())
        return refusal or self._tenant.select_accounts(body, self._gate.clock(), dialect)

    async def _role_assignments(self, request: Request, _dialect: Dialect) -> Answer:
        identity, role = request.path_params["identity"], request.query_params.get("roleId", "")
        listed = self._tenant.role_assignments(identity, self._gate.clock(), role=role)
        return Answer(status=HTTPStatus.OK, body=listed)

    async def _cancel(self, request: Request, _dialect: Dialect) -> Answer:
        body = _parsed(await request.body())
        return self._tenant.cancel(body, self._gate.clock(), any_requester=self._lists_others)

    async def _cancel_in_bulk(self, request: Request, _dialect: Dialect) -> Answer:
        return self._tenant.cancel_in_bulk(_parsed(await request.body()), self._gate.clock())

    async def _found(self, request: Request, _dialect: Dialect) -> Answer:
        return self._search.answer(await request.body(), request.query_params, self._gate.clock())

    def _people(self) -> Callable[[Request, Dialect], Awaitable[Answer]]:
        identities = self._listed(people_endpoint(self._tenant.known, public=False))
        public_identities = self._listed(people_endpoint(self._tenant.known, public=True))

        async def people(request: Request, dialect: Dialect) -> Answer:
            listed = public_identities if "public-identities" in dialect.paths.people else identities
            return await listed(request, dialect)

        return people

    def _listed(self, endpoint: ListEndpoint[Any]) -> Callable[[Request, Dialect], Awaitable[Answer]]:
        async def listed(request: Request, dialect: Dialect) -> Answer:
            tracking_id = self._tenant.new_id()
            limit = self._filter_limit
            return endpoint.answer(request.query_params, filter_limit=limit, tracking_id=tracking_id, dialect=dialect)

        return listed


def _parsed(raw: bytes) -> object:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return _NOT_JSON
