"""The status list: an incomplete list is never taken for a complete one."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from batch.api.dialects import DIALECTS, PAGE_LIMIT
from batch.errors import TenantLostError
from batch.tenant.reading import MOST_REPLY_BYTES
from batch.tenant.status import ListingForbiddenError, Query, StatusList, all_rows
from tests.tenant.open_calls import Reply, with_reader

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from batch.tenant.reading import Reader

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


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


def listed(
    answer: Callable[[dict[str, str]], Reply],
    *,
    requested_for: str = "person",
    lifetime: float = 749.0,
    held_up: float = 0.0,
) -> list[str]:
    """The items of all rows that a tenant lists; see `with_reader`."""

    async def items(reader: Reader) -> list[str]:
        statuses = StatusList(reader, DIALECTS["beta"], clock=lambda: NOW)
        assert await statuses.clock_offset() in {timedelta(), timedelta(hours=1)}
        return [row.item async for row in all_rows(statuses, Query(since=NOW, requested_for=requested_for))]

    def endpoint(request: httpx.Request) -> Reply:
        status, document, headers = answer(dict(request.url.params))
        # The call that only reads the clock asks for one row.
        is_probe = request.url.params["limit"] == "1" and isinstance(document, list)
        return status, document[:1] if is_probe else document, headers

    return with_reader(endpoint, items, lifetime=lifetime, held_up=held_up)


def paged(total: int, most: int, **more: Any) -> Callable[[dict[str, str]], Reply]:
    """A tenant with `total` rows and pages of at most `most`."""

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
def test_every_row_is_read_for_any_length_of_page(total: int, most: int) -> None:
    assert listed(paged(total, most)) == [f"item {n}" for n in range(total)]


@pytest.mark.parametrize("total", [0, 250, 500, 777])
def test_without_a_count_a_page_that_is_not_full_is_the_last(total: int) -> None:
    assert len(listed(paged(total, 250, counts=False))) == total


@pytest.mark.parametrize("count", [0, 1, 250])
@pytest.mark.parametrize("total", [251, 500, 777])
def test_a_full_page_is_never_the_last_whatever_the_count_says(total: int, count: int) -> None:
    def answer(query: dict[str, str]) -> Reply:
        status, rows, _ = paged(total, 250)(query)
        return status, rows, {"X-Total-Count": str(count)}

    assert listed(answer) == [f"item {n}" for n in range(total)]


def test_a_list_that_ends_before_its_count_is_an_error_and_no_proof() -> None:
    def answer(query: dict[str, str]) -> Reply:
        offset = int(query.get("offset", 0))
        return (400, {}, {}) if offset else (200, [row(n) for n in range(250)], {"X-Total-Count": "300"})

    with pytest.raises(TenantLostError, match="250 of 300"):
        listed(answer)


def test_a_row_that_we_do_not_understand_makes_an_identitys_list_no_proof() -> None:
    def answer(_query: dict[str, str]) -> Reply:
        return 200, [row(1), {**row(2), "requestedFor": None}, "nonsense"], {}

    with pytest.raises(ListingForbiddenError, match="can't be understood"):
        listed(answer)
    assert listed(answer, requested_for="") == ["item 1"]


@pytest.mark.parametrize("status", [400, 403])
def test_a_forbidden_list_is_an_error_with_the_tenants_message(status: int) -> None:
    with pytest.raises(ListingForbiddenError, match="current user"):
        listed(lambda _: (status, {"messages": [{"text": "must be the current user"}]}, {}))


@pytest.mark.parametrize("content", [b"", b"<html>", b"{}", b"null", b"[" * 100_000])
def test_an_answer_that_is_no_list_proves_nothing(content: bytes) -> None:
    with pytest.raises(TenantLostError, match="not a list"):
        listed(lambda _: (200, content, {}))


def test_a_page_with_more_rows_than_asked_for_is_refused() -> None:
    with pytest.raises(TenantLostError, match="has 251 rows, more than the 250 asked for"):
        listed(paged(251, 251))


def test_a_page_with_rows_of_megabytes_is_not_read_to_its_end() -> None:
    long = {**row(1), "comment": "x" * (MOST_REPLY_BYTES // PAGE_LIMIT)}
    with pytest.raises(TenantLostError, match="is too long"):
        listed(lambda query: (200, [row(1)] if query["limit"] == "1" else [long] * PAGE_LIMIT, {}))


def test_passing_trouble_is_waited_out() -> None:
    troubles = iter([401, 429, 500, 503])

    def answer(query: dict[str, str]) -> Reply:
        status = next(troubles, 200)
        return (status, {}, {"Retry-After": "7"}) if status != 200 else paged(3, 250)(query)

    assert len(listed(answer)) == 3


def test_lasting_trouble_is_an_error() -> None:
    with pytest.raises(TenantLostError, match="status list can't be read"):
        listed(lambda _: (500, {"messages": [{"text": "broken"}]}, {}))


@pytest.mark.parametrize(("status", "asked"), [(429, "0"), (429, "2"), (503, "0")])
def test_a_tenant_that_turns_every_question_away_for_a_moment_is_lost_in_the_end(status: int, asked: str) -> None:
    calls = itertools.count()

    def answer(_query: dict[str, str]) -> Reply:
        next(calls)
        return status, {"message": "Rate limit exceeded."}, {"Retry-After": asked}

    with pytest.raises(TenantLostError, match="Rate limit exceeded"):
        listed(answer)
    assert next(calls) < 20


def test_a_token_that_expires_while_the_pace_holds_a_call_up_is_renewed() -> None:
    assert len(listed(paged(600, 250), lifetime=40.0, held_up=60.0)) == 600
