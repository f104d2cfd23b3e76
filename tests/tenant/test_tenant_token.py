"""The token, in virtual time: fetched once for all, renewed in time, and refused or lost with what to do."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import httpx
import pytest

from batch.errors import CredentialsRefusedError, TenantLostError
from batch.settings import Credentials
from batch.tenant.token import BACKOFF, RENEW_BEFORE, Token
from tests.tenant.virtual_time import now, run_in_virtual_time

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

SECRET = "hunter2-hunter2"


class TokenEndpoint:
    """Issues `token-1`, `token-2` … unless it is told to answer otherwise."""

    def __init__(self, *replies: httpx.Response | Exception, lifetime: float = 749, latency: float = 0.0) -> None:
        self._replies = list(replies)
        self._lifetime = lifetime
        self._latency = latency
        self.asked: list[tuple[float, dict[str, list[str]]]] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/oauth/token"
        self.asked.append((now(), parse_qs(request.content.decode())))
        await asyncio.sleep(self._latency)
        if self._replies:
            reply = self._replies.pop(0)
            if isinstance(reply, Exception):
                raise reply
            return _unread(reply)
        fresh = {"access_token": f"token-{len(self.asked)}", "expires_in": self._lifetime}
        return _unread(httpx.Response(200, json=fresh))


def _unread(reply: httpx.Response) -> httpx.Response:
    """The reply as a network gives it, with its content still to be read."""
    return httpx.Response(reply.status_code, headers=reply.headers, stream=httpx.ByteStream(reply.content))


def with_token(endpoint: TokenEndpoint, program: Callable[[Token], Awaitable[object]]) -> None:
    """Runs a program that is given a Token."""

    async def run() -> None:
        transport = httpx.MockTransport(endpoint)
        async with httpx.AsyncClient(transport=transport, base_url="https://tenant.example") as http:
            await program(Token(http, Credentials.model_validate({"client_id": "client", "client_secret": SECRET})))

    run_in_virtual_time(run())


def failure_of(endpoint: TokenEndpoint, error: type[CredentialsRefusedError | TenantLostError]) -> str:
    """What the user is told where no token can be had."""
    with pytest.raises(error) as caught:
        with_token(endpoint, lambda token: token.get())
    assert caught.value.next_step
    assert caught.value.exit_code == 4
    return caught.value.message + caught.value.next_step


def test_the_client_introduces_itself_by_its_credentials() -> None:
    endpoint = TokenEndpoint()

    async def program(token: Token) -> None:
        assert await token.get() == "token-1"

    with_token(endpoint, program)
    assert endpoint.asked[0][1] == {
        "grant_type": ["client_credentials"],
        "client_id": ["client"],
        "client_secret": [SECRET],
    }


def test_many_callers_at_once_cause_one_fetch() -> None:
    endpoint = TokenEndpoint(latency=1.0)

    async def program(token: Token) -> None:
        assert set(await asyncio.gather(*(token.get() for _ in range(20)))) == {"token-1"}

    with_token(endpoint, program)
    assert len(endpoint.asked) == 1


def test_many_callers_with_one_refused_token_cause_one_renewal() -> None:
    endpoint = TokenEndpoint(latency=1.0)

    async def program(token: Token) -> None:
        old = await token.get()
        assert set(await asyncio.gather(*(token.get(other_than=old) for _ in range(20)))) == {"token-2"}
        assert await token.get(other_than=old) == "token-2"

    with_token(endpoint, program)
    assert len(endpoint.asked) == 2


@pytest.mark.parametrize(("lifetime", "good_for"), [(749, 749 - RENEW_BEFORE), (100, 50), (10, 5)])
def test_a_token_is_renewed_before_it_expires_and_not_long_before(lifetime: float, good_for: float) -> None:
    async def program(token: Token) -> None:
        await token.get()
        await asyncio.sleep(good_for - 0.5)
        assert await token.get() == "token-1"
        await asyncio.sleep(1)
        assert await token.get() == "token-2"

    with_token(TokenEndpoint(lifetime=lifetime), program)


def test_the_time_that_the_fetch_takes_counts_towards_the_tokens_life() -> None:
    async def program(token: Token) -> None:
        await token.get()
        await asyncio.sleep(749 - RENEW_BEFORE - 8)  # and 9 for the fetch
        assert await token.get() == "token-2"

    with_token(TokenEndpoint(latency=9), program)


@pytest.mark.parametrize("status", [400, 401, 403])
def test_refused_credentials_are_told_at_once_and_without_the_secret(status: int) -> None:
    endpoint = TokenEndpoint(httpx.Response(status, json={"error": "invalid_client"}))
    said = failure_of(endpoint, CredentialsRefusedError)
    assert f"{status} (invalid_client)" in said
    assert "SAIL_CLIENT_SECRET" in said
    assert SECRET not in said
    assert len(endpoint.asked) == 1


PASSING = [
    httpx.ConnectError("refused"),
    httpx.ReadTimeout("slow"),
    httpx.Response(429),
    httpx.Response(500),
    httpx.Response(503),
]


@pytest.mark.parametrize("failure", PASSING, ids=repr)
def test_a_passing_failure_is_tried_again(failure: httpx.Response | Exception) -> None:
    endpoint = TokenEndpoint(failure)

    async def program(token: Token) -> None:
        assert await token.get() == "token-2"

    with_token(endpoint, program)
    first, second = (at for at, _ in endpoint.asked)
    assert second - first == pytest.approx(BACKOFF[0])


def test_the_wait_that_the_tenant_asks_for_is_kept() -> None:
    endpoint = TokenEndpoint(httpx.Response(429, headers={"Retry-After": "17"}))
    with_token(endpoint, lambda token: token.get())
    first, second = (at for at, _ in endpoint.asked)
    assert second - first == pytest.approx(17)


def test_a_tenant_that_stays_away_is_given_up_in_the_end() -> None:
    endpoint = TokenEndpoint(*[httpx.ConnectError("refused")] * 100)
    said = failure_of(endpoint, TenantLostError)
    assert "https://tenant.example" in said
    assert "refused" in said
    times = [at for at, _ in endpoint.asked]
    assert [later - earlier for earlier, later in itertools.pairwise(times)] == pytest.approx(BACKOFF)


@pytest.mark.parametrize("status", [204, 301, 404, 405])
def test_an_address_that_is_not_the_api_is_told_at_once(status: int) -> None:
    endpoint = TokenEndpoint(httpx.Response(status))
    assert str(status) in failure_of(endpoint, TenantLostError)
    assert len(endpoint.asked) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>Welcome</html>",
        b"[]",
        b"{}",
        b"null",
        b'{"access_token": "", "expires_in": 749}',
        b'{"access_token": 7, "expires_in": 749}',
        b'{"access_token": null, "expires_in": 749}',
        b'{"access_token": "a", "expires_in": "soon"}',
        b'{"access_token": "a", "expires_in": null}',
        b"[" * 100_000,
        b"\xff",
        b'{"access_token": "to\\nken", "expires_in": 749}',
        '{"access_token": "t\u00f6ken", "expires_in": 749}'.encode(),
    ],
)
def test_an_answer_without_a_usable_token_is_told_and_not_repeated(content: bytes) -> None:
    said = failure_of(TokenEndpoint(httpx.Response(200, content=content)), TenantLostError)
    assert "without a usable token" in said
    assert 'ken"' not in said


def test_neither_secret_nor_token_shows_in_a_repr() -> None:
    async def program(token: Token) -> None:
        value = await token.get()
        credentials = Credentials.model_validate({"client_id": "client", "client_secret": SECRET})
        for shown in (repr(token), str(token), repr(credentials), str(credentials), repr(credentials.model_dump())):
            assert SECRET not in shown
            assert value not in shown

    with_token(TokenEndpoint(), program)


def test_a_failed_fetch_leaves_the_next_caller_free_to_try() -> None:
    async def program(token: Token) -> None:
        with pytest.raises(CredentialsRefusedError):
            await token.get()
        assert await token.get() == "token-2"

    with_token(TokenEndpoint(httpx.Response(401)), program)
