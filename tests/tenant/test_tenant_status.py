"""The status list: an incomplete list is never taken for a complete one."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from batch.answers.events import tell_each
from batch.api.dialects import DIALECTS
from batch.errors import TenantLostError
from batch.settings import Credentials
from batch.tenant.reading import Reader
from batch.tenant.status import ListingForbiddenError, Query, StatusList, all_rows
from batch.tenant.token import Token
from tests.clocks import VIRTUAL
from tests.tenant.open_calls import open_pace
from tests.tenant.virtual_time import run_in_virtual_time

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
Reply = tuple[int, Any, dict[str, str]]


def row(number: int) -> dict[str, Any]:
    """A row of the list."""
    return {
        "id": f"item {number}",
        "requestedFor": {"type": "IDENTITY", "id": "person"},
        "requestType": "GRANT_ACCESS",
        "created": "2026-11-23T11:59:00.000Z",
        "clientMetadata": {"accessBatchRequest": "run-1"},
        "accessRequestId": f"request {number}",
    }


def listed(answer: Callable[[dict[str, str]], Reply], *, requested_for: str = "person") -> list[str]:
    """The items of all rows that a tenant lists."""

    def endpoint(request: httpx.Request) -> httpx.Response:
        is_token = request.url.path == "/oauth/token"
        reply: Reply = (200, {"access_token": "t", "expires_in": 749}, {})
        status, document, headers = reply if is_token else answer(dict(request.url.params))
        content = document if isinstance(document, bytes) else json.dumps(document).encode()
        return httpx.Response(status, headers=headers, stream=httpx.ByteStream(content))

    async def program() -> list[str]:
        async with httpx.AsyncClient(transport=httpx.MockTransport(endpoint), base_url="https://tenant") as http:
            token = Token(
                http,
                Credentials.model_validate({"client_id": "c", "client_secret": "s"}),
                clock=VIRTUAL,
                jitter=lambda: 1.0,
                give_up_after=60.0,
                tell=tell_each(),
            )
            reader = Reader(
                http,
                token,
                open_pace(),
                clock=VIRTUAL,
                jitter=lambda: 1.0,
                give_up_after=60.0,
                on_headers=lambda _headers: None,
            )
            statuses = StatusList(reader, DIALECTS["beta"], clock=lambda: NOW)
            assert await statuses.clock_offset() in {timedelta(), timedelta(hours=1)}
            return [one.item async for one in all_rows(statuses, Query(since=NOW, requested_for=requested_for))]

    return run_in_virtual_time(program())


def paged(total: int, most: int, **more: Any) -> Callable[[dict[str, str]], Reply]:
    """A tenant that has so many rows and gives at most so many at once."""

    def answer(query: dict[str, str]) -> Reply:
        offset = int(query.get("offset", 0))
        if offset and offset >= total:
            return 400, {}, {}
        rows = [row(n) for n in range(offset, min(total, offset + most))]
        said = (
            {"X-Total-Count": str(total), "Date": "Mon, 23 Nov 2026 13:00:00 GMT"} if more.get("counts", True) else {}
        )
        return 200, rows, said

    return answer


@pytest.mark.parametrize("total", [0, 1, 249, 250, 251, 500, 777])
@pytest.mark.parametrize("most", [100, 250])
def test_every_row_is_read_however_long_the_tenants_pages_are(total: int, most: int) -> None:
    assert listed(paged(total, most)) == [f"item {n}" for n in range(total)]


@pytest.mark.parametrize("total", [0, 250, 500, 777])
def test_without_a_count_a_page_that_is_not_full_is_the_last(total: int) -> None:
    assert len(listed(paged(total, 250, counts=False))) == total


def test_a_list_that_ends_before_its_count_is_an_error_and_no_proof() -> None:
    def answer(query: dict[str, str]) -> Reply:
        offset = int(query.get("offset", 0))
        return (400, {}, {}) if offset else (200, [row(n) for n in range(250)], {"X-Total-Count": "300"})

    with pytest.raises(TenantLostError, match="250 of 300"):
        listed(answer)


def test_rows_that_can_not_be_understood_make_an_identitys_list_no_proof() -> None:
    def answer(_query: dict[str, str]) -> Reply:
        return 200, [row(1), {**row(2), "requestedFor": None}, "nonsense"], {}

    with pytest.raises(ListingForbiddenError, match="can't be understood"):
        listed(answer)
    assert listed(answer, requested_for="") == ["item 1"]


@pytest.mark.parametrize("status", [400, 403])
def test_what_may_not_be_listed_says_so(status: int) -> None:
    with pytest.raises(ListingForbiddenError, match="current user"):
        listed(lambda _: (status, {"messages": [{"text": "must be the current user"}]}, {}))


@pytest.mark.parametrize("content", [b"", b"<html>", b"{}", b"null", b"[" * 100_000])
def test_what_is_no_list_is_no_proof(content: bytes) -> None:
    with pytest.raises(TenantLostError, match="not a list"):
        listed(lambda _: (200, content, {}))


def test_passing_trouble_is_waited_out() -> None:
    troubles = iter([401, 429, 500, 503])

    def answer(query: dict[str, str]) -> Reply:
        status = next(troubles, 200)
        return (status, {}, {"Retry-After": "7"}) if status != 200 else paged(3, 250)(query)

    assert len(listed(answer)) == 3


def test_lasting_trouble_is_an_error() -> None:
    with pytest.raises(TenantLostError, match="status list can't be read"):
        listed(lambda _: (500, {"messages": [{"text": "broken"}]}, {}))
