"""The token, in virtual time: fetched once for all callers, renewed in time; errors name the next step."""

from __future__ import annotations

import asyncio
import itertools
import json
from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import httpx
import pytest

from batch.answers.events import tell_each
from batch.answers.outcome import DEFAULT_PAUSE, MOST_BACKOFF, backoff
from batch.errors import CredentialsRefusedError, TenantLostError, UnreachableError
from batch.sandbox.server import running_sandbox
from batch.sandbox.settings import SandboxSettings
from batch.settings import Credentials
from batch.tenant.token import DEFAULT_LIFETIME, RENEW_BEFORE, Token
from batch.tenant.wire import http_client
from batch.text import HIDDEN
from tests.clocks import MACHINE, VIRTUAL
from tests.tenant.open_calls import Events
from tests.tenant.virtual_time import now, run_in_virtual_time
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

SECRET = "hunter2-hunter2"


class TokenEndpoint:
    """Issues `token-1`, `token-2` … after the given answers."""

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
    """The reply with its content still to be read, as from a network."""
    return httpx.Response(reply.status_code, headers=reply.headers, stream=httpx.ByteStream(reply.content))


def with_token(
    endpoint: TokenEndpoint,
    program: Callable[[Token], Awaitable[object]],
    *,
    give_up_after: float = 600.0,
    jitter: float = 1.0,
    base_url: str = "https://tenant.example",
    reached: bool = False,
) -> list[tuple[float, str]]:
    """Run a program with a Token; return the waits that it reported."""
    events = Events()

    async def run() -> None:
        transport = httpx.MockTransport(endpoint)
        async with httpx.AsyncClient(transport=transport, base_url=base_url) as http:
            credentials = Credentials.model_validate(
                {"client_id": "client", "client_secret": SECRET, "source": "the cupboard"}
            )
            token = Token(
                http,
                credentials,
                give_up_after=give_up_after,
                tell=events.append,
                clock=VIRTUAL,
                jitter=lambda: jitter,
                reached=reached,
            )
            await program(token)

    run_in_virtual_time(run())
    return events.waits


def a_token(http: httpx.AsyncClient, credentials: dict[str, str]) -> Token:
    """The token of a client that reports its waits to nobody."""
    return Token(
        http,
        Credentials.model_validate(credentials),
        clock=MACHINE,
        jitter=lambda: 0.0,
        give_up_after=0.0,
        tell=tell_each(),
    )


def waits(endpoint: TokenEndpoint) -> list[float]:
    """Seconds between two calls of the endpoint."""
    return [later - earlier for (earlier, _), (later, _) in itertools.pairwise(endpoint.asked)]


def failure_of(endpoint: TokenEndpoint, error: type[CredentialsRefusedError | TenantLostError]) -> str:
    """The message to the user if the tenant gives no token."""
    with pytest.raises(error) as caught:
        with_token(endpoint, lambda token: token.get())
    assert caught.value.next_step
    assert caught.value.exit_code == 4
    return caught.value.message + caught.value.next_step


def test_the_client_sends_its_credentials() -> None:
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


def test_the_time_of_the_fetch_counts_towards_the_tokens_life() -> None:
    async def program(token: Token) -> None:
        await token.get()
        await asyncio.sleep(749 - RENEW_BEFORE - 8)  # and 9 for the fetch
        assert await token.get() == "token-2"

    with_token(TokenEndpoint(latency=9), program)


@pytest.mark.parametrize("status", [400, 401, 403])
def test_refused_credentials_are_reported_at_once_without_the_secret(status: int) -> None:
    endpoint = TokenEndpoint(httpx.Response(status, json={"error": "invalid_client"}))
    said = failure_of(endpoint, CredentialsRefusedError)
    assert f"{status} (invalid_client)" in said
    assert "id and secret, which come from the cupboard" in said
    assert SECRET not in said
    assert len(endpoint.asked) == 1


PASSING = [
    (httpx.ConnectError("refused"), "refused"),
    (httpx.ReadTimeout("slow"), "slow"),
    (httpx.Response(408), "408"),
    (httpx.Response(429), "429"),
    (httpx.Response(500), "500"),
    (httpx.Response(503), "503"),
]


@pytest.mark.parametrize(("failure", "reason"), PASSING, ids=repr)
def test_a_passing_failure_is_reported_and_tried_again(failure: httpx.Response | Exception, reason: str) -> None:
    pause = DEFAULT_PAUSE if reason == "429" else backoff(0, 1.0)
    endpoint = TokenEndpoint(failure)

    async def program(token: Token) -> None:
        assert await token.get() == "token-2"

    ((seconds, why),) = with_token(endpoint, program)
    assert waits(endpoint) == pytest.approx([pause])
    assert seconds == pause
    assert reason in why


def test_the_wait_that_the_tenant_asks_for_is_kept_in_full() -> None:
    endpoint = TokenEndpoint(httpx.Response(429, headers={"Retry-After": "300"}))
    told = with_token(endpoint, lambda token: token.get())
    assert waits(endpoint) == pytest.approx([300])
    assert [seconds for seconds, _ in told] == [300]


def test_a_tenant_that_asks_for_no_wait_is_not_asked_again_at_once() -> None:
    endpoint = TokenEndpoint(*[httpx.Response(429, headers={"Retry-After": "0"})] * 3)
    with_token(endpoint, lambda token: token.get())
    assert waits(endpoint) == pytest.approx([backoff(failures, 1.0) for failures in (0, 1, 2)])


def test_a_tenant_that_asks_for_too_long_a_wait_is_given_up_at_once() -> None:
    endpoint = TokenEndpoint(httpx.Response(429, headers={"Retry-After": "1200"}))
    said = failure_of(endpoint, TenantLostError)
    assert "1200 s" in said
    assert len(endpoint.asked) == 1


@pytest.mark.parametrize("jitter", [0.0, 1.0])
def test_a_tenant_that_stays_away_is_given_up_after_the_set_time(jitter: float) -> None:
    endpoint = TokenEndpoint(*[httpx.ConnectError("refused")] * 100)
    told: list[object] = []

    async def program(token: Token) -> None:
        began = now()
        with pytest.raises(TenantLostError, match=r"https://tenant\.example.*refused") as caught:
            await token.get()
        assert caught.value.exit_code == 4
        assert 200 - MOST_BACKOFF <= now() - began <= 200

    told += with_token(endpoint, program, give_up_after=200, jitter=jitter, reached=True)
    assert len(told) == len(endpoint.asked) - 1


def test_a_tenant_is_tried_once_if_there_is_no_time_to_wait() -> None:
    endpoint = TokenEndpoint(httpx.ConnectError("refused"))

    async def program(token: Token) -> None:
        with pytest.raises(UnreachableError):
            await token.get()

    assert with_token(endpoint, program, give_up_after=0) == []
    assert len(endpoint.asked) == 1


@pytest.mark.parametrize("jitter", [0.0, 1.0])
@pytest.mark.parametrize("latency", [0.0, 9.0])
def test_a_tenant_that_was_never_reached_is_given_up_within_fifteen_seconds(jitter: float, latency: float) -> None:
    endpoint = TokenEndpoint(*[httpx.ConnectError("refused")] * 100, latency=latency)

    async def program(token: Token) -> None:
        began = now()
        with pytest.raises(UnreachableError, match=r"https://tenant\.example can't be reached: .*refused") as caught:
            await token.get()
        assert caught.value.exit_code == 2
        assert caught.value.next_step.startswith("Nothing was sent. Check the base URL")
        assert now() - began <= 15

    with_token(endpoint, program, jitter=jitter)
    assert (len(endpoint.asked) > 1) == (latency == 0.0)


def test_an_outage_after_any_answer_is_waited_for() -> None:
    async def program(token: Token) -> None:
        assert await token.get()

    endpoint = TokenEndpoint(httpx.Response(503), *[httpx.ConnectError("refused")] * 8)
    with_token(endpoint, program)
    assert endpoint.asked[-1][0] - endpoint.asked[0][0] > 60


@pytest.mark.parametrize(
    ("base_url", "meant"),
    [
        ("https://acme", "Did you mean https://acme.api.identitynow.com? "),
        ("https://acme.identitynow.com", "Did you mean https://acme.api.identitynow.com? "),
        ("https://acme.api.identitynow.com", ""),
    ],
)
@pytest.mark.parametrize(
    "first", [httpx.ConnectError("no such name"), httpx.Response(404), httpx.Response(403, text="?")]
)
def test_a_base_url_that_is_probably_wrong_is_named_with_the_right_one(
    base_url: str, meant: str, first: httpx.Response | Exception
) -> None:
    async def program(token: Token) -> None:
        with pytest.raises((UnreachableError, TenantLostError)) as caught:
            await token.get()
        assert ("Did you mean" in caught.value.next_step) == bool(meant)
        assert meant in caught.value.next_step

    with_token(TokenEndpoint(first), program, base_url=base_url, give_up_after=0)


@pytest.mark.parametrize(
    "refusal",
    [
        httpx.Response(403, text="error code: 1010"),
        httpx.Response(403, json={"message": "Forbidden"}),
        httpx.Response(403, html="<html><title>Access denied</title>Ray ID: 8f1c2d3e4f5a6b7c</html>"),
        httpx.Response(401, html="<html>Sign in to the proxy</html>"),
    ],
    ids=["Cloudflare", "API gateway", "page", "proxy"],
)
def test_a_refusal_by_an_edge_is_not_blamed_on_the_secret(refusal: httpx.Response) -> None:
    said = failure_of(TokenEndpoint(refusal), TenantLostError)
    assert (
        f"Something in front of https://tenant.example turns this program away: it answered {refusal.status_code}"
        in said
    )
    assert "This says nothing about the client's secret" in said
    assert "Check the client's id and secret" not in said


def test_a_wait_before_a_token_is_issued_does_not_shorten_its_life() -> None:
    endpoint = TokenEndpoint(httpx.Response(429, headers={"Retry-After": "500"}), lifetime=300)

    async def program(token: Token) -> None:
        assert await token.get() == "token-2"
        assert await token.get() == "token-2"

    with_token(endpoint, program)


@pytest.mark.parametrize("lifetime", ["NaN", "Infinity", "-Infinity", "0", "-5"])
def test_a_token_with_an_impossible_lifetime_gets_a_short_one(lifetime: str) -> None:
    content = f'{{"access_token": "odd", "expires_in": {lifetime}}}'.encode()

    async def program(token: Token) -> None:
        assert await token.get() == "odd"
        assert await token.get() == "odd"
        await asyncio.sleep(DEFAULT_LIFETIME)
        assert await token.get() == "token-2"

    with_token(TokenEndpoint(httpx.Response(200, content=content)), program)


def test_all_callers_that_wait_for_a_token_get_the_same_one() -> None:
    endpoint = TokenEndpoint(*[httpx.ConnectError("refused")] * 3, latency=1.0)

    async def program(token: Token) -> None:
        assert set(await asyncio.gather(*(token.get() for _ in range(20)))) == {"token-4"}

    assert len(with_token(endpoint, program)) == 3
    assert len(endpoint.asked) == 4


def test_a_caller_cancelled_while_it_renews_leaves_the_others_a_token() -> None:
    endpoint = TokenEndpoint(latency=8.0)

    async def program(token: Token) -> None:
        first, *others = [asyncio.create_task(token.get()) for _ in range(5)]
        await asyncio.sleep(1)
        first.cancel()
        assert set(await asyncio.gather(*others)) == {"token-2"}

    with_token(endpoint, program)
    assert len(endpoint.asked) == 2


async def test_a_token_gives_its_claims() -> None:
    with running_sandbox() as sandbox:
        async with http_client(sandbox.base_url, timeout=LIMIT, concurrency=1) as http:
            credentials = {"client_id": sandbox.client_id, "client_secret": sandbox.client_secret}
            token = a_token(http, credentials)
            claims = await token.claims()
            assert (claims.user_name, claims.authorities) == ("sandbox.admin", ("ORG_ADMIN",))
            assert token.last_claims == claims


@pytest.mark.parametrize(
    ("headers", "lifetime", "expires"),
    [
        ({"Date": "Sun, 01 Mar 2026 12:00:00 GMT"}, 749, datetime(2026, 3, 1, 12, 12, 29, tzinfo=UTC)),
        # Without the tenant's time, ours stands in.
        ({}, 749, datetime(1970, 1, 1, 0, 29, 9, tzinfo=UTC)),
        ({}, None, None),
        ({}, 1e300, None),
    ],
)
def test_the_expiry_of_a_token_is_by_the_tenants_clock(
    headers: dict[str, str], lifetime: float | None, expires: datetime | None
) -> None:
    async def program(token: Token) -> None:
        assert token.expires("") is None
        found = token.expires(await token.get())
        assert (found and found.replace(microsecond=0)) == expires
        assert token.expires("another token") is None

    document = {"access_token": "t", **({"expires_in": lifetime} if lifetime else {})}
    with_token(TokenEndpoint(httpx.Response(200, json=document, headers=headers)), program)


async def test_a_refused_refresh_stops_the_run() -> None:
    with running_sandbox(SandboxSettings(tokens=1)) as sandbox:
        async with http_client(sandbox.base_url, timeout=LIMIT, concurrency=1) as http:
            credentials = {"client_id": sandbox.client_id, "client_secret": sandbox.client_secret}
            token = a_token(http, credentials)
            refused = await token.get()
            with pytest.raises(CredentialsRefusedError, match="401") as caught:
                await token.get(other_than=refused)
    assert caught.value.exit_code == 4
    assert sandbox.client_secret not in caught.value.message + caught.value.next_step


def test_a_web_page_in_place_of_the_token_endpoint_is_reported_as_such() -> None:
    page = httpx.Response(200, content=b"\n <!DOCTYPE html><html>Please sign in</html>")
    endpoint = TokenEndpoint(page)
    said = failure_of(endpoint, TenantLostError)
    assert "A web page" in said
    assert "HTTPS_PROXY" in said
    assert len(endpoint.asked) == 1


def test_a_claim_that_repeats_the_secret_is_shown_without_it() -> None:
    claims = {"user_name": f"who has {SECRET}", "authorities": [SECRET], "client_id": SECRET, "identity_id": SECRET}
    jwt = f"e30.{urlsafe_b64encode(json.dumps(claims).encode()).decode()}.x"
    document = {"access_token": jwt, "expires_in": 749, "scope": f"idn:{SECRET}"}

    async def program(token: Token) -> None:
        read = await token.claims()
        assert read.user_name == HIDDEN
        assert SECRET not in repr(read)

    with_token(TokenEndpoint(httpx.Response(200, json=document)), program)


@pytest.mark.parametrize("status", [204, 301, 404, 405])
def test_an_address_that_is_not_the_apis_is_reported_at_once(status: int) -> None:
    endpoint = TokenEndpoint(httpx.Response(status))
    assert str(status) in failure_of(endpoint, TenantLostError)
    assert len(endpoint.asked) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"Welcome",
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
def test_an_answer_without_a_usable_token_is_reported_without_the_token(content: bytes) -> None:
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
