"""What people hold, by the search index: only what was asked, and nothing guessed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from batch.answers.events import tell_each
from batch.api.dialects import DIALECTS
from batch.settings import Credentials
from batch.tenant.holdings import SearchIndex
from batch.tenant.reading import ForbiddenError, Reader
from batch.tenant.status import ListingForbiddenError, Query, StatusList
from batch.tenant.token import Token
from tests.clocks import VIRTUAL
from tests.tenant.fake_tenant import NOW
from tests.tenant.open_calls import open_pace
from tests.tenant.virtual_time import run_in_virtual_time

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from batch.status.in_progress import Item

ROLE: Item = ("ROLE", "r1")
Asked = list[httpx.Request]


def with_reader(answer: tuple[int, Any], use: Callable[[Reader], Awaitable[Any]]) -> tuple[Any, Asked]:
    """What comes of using a reader of a tenant that always answers the same; and what it was asked."""
    asked: Asked = []

    def endpoint(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/oauth/token":
            return httpx.Response(200, stream=httpx.ByteStream(b'{"access_token": "t", "expires_in": 749}'))
        asked.append(request)
        return httpx.Response(answer[0], stream=httpx.ByteStream(json.dumps(answer[1]).encode()))

    async def program() -> Any:
        async with httpx.AsyncClient(transport=httpx.MockTransport(endpoint), base_url="https://tenant") as http:
            credentials = Credentials.model_validate({"client_id": "c", "client_secret": "s"})
            token = Token(http, credentials, clock=VIRTUAL, jitter=lambda: 1.0, give_up_after=60.0, tell=tell_each())
            reader = Reader(
                http,
                token,
                open_pace(),
                clock=VIRTUAL,
                jitter=lambda: 1.0,
                give_up_after=60.0,
                on_headers=lambda _headers: None,
            )
            return await use(reader)

    return run_in_virtual_time(program()), asked


def held(answer: Any, *people: str, status: int = 200, api: str = "v2025") -> tuple[Mapping[str, Any], Asked]:
    return with_reader(
        (status, answer), lambda reader: SearchIndex(reader, DIALECTS[api]).of(list(people), frozenset({ROLE}))
    )


def test_one_search_asks_for_the_access_of_many_and_for_nothing_else() -> None:
    found, (request,) = held([], "a", 'b" OR id:*')
    assert found == {}
    assert request.url.path == "/v2025/search"
    assert dict(request.url.params) == {"limit": "2"}
    body = json.loads(request.content)
    assert body["indices"] == ["identities"]
    assert body["query"] == {"query": r'id:("a" OR "b\" OR id:*")'}
    assert body["queryResultFilter"] == {"includes": ["id", "access.id", "access.type"]}


def test_beta_has_no_search_of_its_own() -> None:
    _, (request,) = held([], "a", api="beta")
    assert request.url.path == "/v3/search"


def test_of_what_is_held_only_what_is_of_interest_is_told_and_who_is_unknown_is_missing() -> None:
    role, other = {"id": "r1", "type": "ROLE", "name": "x"}, {"id": "r2", "type": "ROLE"}
    found, _ = held(
        [
            {"id": "a", "access": [role, other]},
            {"id": "b", "access": [other, {"id": "r1", "type": "ENTITLEMENT"}]},
            {"id": "c"},
            {"id": "not asked for", "access": [role]},
        ],
        "a", "b", "c", "d",
    )  # fmt: skip
    assert found == {"a": {ROLE}, "b": frozenset(), "c": frozenset()}


@pytest.mark.parametrize(
    "document",
    [None, 7, [], {}, {"id": 7}, {"id": "a", "access": "all"}, {"id": "a", "access": [None, "r1", {"id": ["r1"]}]}],
)
def test_nothing_is_read_into_documents_that_make_no_sense(document: Any) -> None:
    found, _ = held([document], "a")
    assert not found.get("a")


@pytest.mark.parametrize("status", [400, 403, 404])
def test_a_search_that_is_refused_or_missing_is_told_apart_from_one_that_finds_nothing(status: int) -> None:
    with pytest.raises(ForbiddenError):
        held({"messages": []}, "a", status=status)


def test_an_administration_list_that_is_gone_is_no_lost_tenant() -> None:
    query = Query(administration=True, executing=True)
    with pytest.raises(ListingForbiddenError):
        with_reader((404, {}), lambda reader: StatusList(reader, DIALECTS["v1"], clock=lambda: NOW).page(query, 0))


def test_of_what_is_in_progress_a_row_that_makes_no_sense_spoils_only_itself() -> None:
    rows = [{"requestedFor": {"id": "a"}, "id": "r1", "state": "EXECUTING"}, {"id": "r1"}]

    async def use(reader: Reader) -> tuple[int, int]:
        query = Query(requested_for="a", executing=True)
        page = await StatusList(reader, DIALECTS["v1"], clock=lambda: NOW).page(query, 0)
        return page.read, len(page.rows)

    (read, understood), (request,) = with_reader((200, rows), use)
    assert (read, understood) == (2, 1)
    assert request.url.params["request-state"] == "EXECUTING"
    assert request.url.params["requested-for"] == "a"
