"""The endpoints that tell who and what there is, and who holds what: the search, and the lists of people and items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from batch.sandbox.list_endpoints import (
    access_profiles_endpoint,
    entitlements_endpoint,
    people_endpoint,
    roles_endpoint,
)
from batch.sandbox.search import IdentitySearch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request
    from starlette.routing import Route

    from batch.api.dialects import Dialect
    from batch.sandbox.answers import Answer
    from batch.sandbox.gate import Gate
    from batch.sandbox.list_endpoints import ListEndpoint
    from batch.sandbox.settings import SandboxSettings


class DirectoryRoutes:
    """Answers what concerns people and items.

    Args:
        settings: What was chosen about the sandbox.
        gate: What every call goes through.
    """

    def __init__(self, settings: SandboxSettings, gate: Gate) -> None:
        known = gate.tenant.known
        self._gate = gate
        self._search = IdentitySearch(gate.tenant, body_limit=settings.search_body_limit)
        self._filter_limit = settings.filter_limit
        self._people = people_endpoint(known, public=False)
        self._public_people = people_endpoint(known, public=True)
        self._items = {
            "roles": roles_endpoint(known.directory),
            "access_profiles": access_profiles_endpoint(known.directory),
            "entitlements": entitlements_endpoint(known.directory),
        }

    def routes(self) -> Iterator[Route]:
        """All of them, in every API version."""

        async def search(request: Request, _dialect: Dialect) -> Answer:
            return self._search.answer(await request.body(), request.query_params, self._gate.clock())

        async def people(request: Request, dialect: Dialect) -> Answer:
            public = "public-identities" in dialect.paths.people
            return self._listed(self._public_people if public else self._people, request)

        yield from self._gate.routes("search", "POST", search)
        yield from self._gate.routes("people", "GET", people)
        for name, endpoint in self._items.items():
            yield from self._gate.routes(name, "GET", self._lister(endpoint))

    def _lister(self, endpoint: ListEndpoint[Any]) -> Any:
        async def listed(request: Request, _dialect: Dialect) -> Answer:
            return self._listed(endpoint, request)

        return listed

    def _listed(self, endpoint: ListEndpoint[Any], request: Request) -> Answer:
        return endpoint.answer(
            request.query_params, filter_limit=self._filter_limit, tracking_id=self._gate.tenant.new_id()
        )
