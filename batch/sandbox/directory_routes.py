"""The endpoints that tell who and what there is, and who holds what: the search, and the lists of people and items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from batch.sandbox.search import IdentitySearch
from batch.sandbox.shelves import access_profiles_shelf, entitlements_shelf, people_shelf, roles_shelf

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request
    from starlette.routing import Route

    from batch.api.dialects import Dialect
    from batch.sandbox.answers import Answer
    from batch.sandbox.gate import Gate
    from batch.sandbox.settings import SandboxSettings
    from batch.sandbox.shelves import Shelf


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
        self._people = people_shelf(known, public=False)
        self._public_people = people_shelf(known, public=True)
        self._items = {
            "roles": roles_shelf(known.directory),
            "access_profiles": access_profiles_shelf(known.directory),
            "entitlements": entitlements_shelf(known.directory),
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
        for name, shelf in self._items.items():
            yield from self._gate.routes(name, "GET", self._lister(shelf))

    def _lister(self, shelf: Shelf[Any]) -> Any:
        async def listed(request: Request, _dialect: Dialect) -> Answer:
            return self._listed(shelf, request)

        return listed

    def _listed(self, shelf: Shelf[Any], request: Request) -> Answer:
        return shelf.answer(
            request.query_params, filter_limit=self._filter_limit, tracking_id=self._gate.tenant.new_id()
        )
