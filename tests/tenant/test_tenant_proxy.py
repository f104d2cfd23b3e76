"""Proxies of the environment: used if named, never for this machine; answers tell what may have left."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING

import httpx
import pytest
import trustme

from batch.errors import SettingsError
from batch.model import Answer, Failure
from batch.tenant.trust import proxy_for
from batch.tenant.wire import fetch, http_client
from batch.text import HIDDEN
from tests.clocks import MACHINE
from tests.tenant.connect_proxy import connect_proxy
from tests.tenant.raw_server import answer, raw_server, unused_url
from tests.tenant.tls import certified, written
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from pathlib import Path

TENANT = "https://acme.example"
PASSWORD = "correct-horse-battery"


async def ask(ca_file: Path | None = None, *, tokens: int = 1) -> Answer:
    """The answer to the last of several requests to the tenant, which only a proxy can reach, each with a new token."""
    async with http_client(TENANT, timeout=LIMIT, concurrency=1, ca_file=ca_file) as http:
        for number in range(tokens):
            headers = {"Authorization": f"Bearer token-of-the-tenant-{number}"}
            found = await fetch(http, "POST", "/path", now=MACHINE.now, headers=headers)
    return found.answer


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
async def test_a_proxy_can_not_read_what_it_carries(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    async with raw_server(answer("202 Accepted"), tls=certified(authority, "acme.example")) as server:
        async with connect_proxy(int(server.url.rpartition(":")[2])) as proxy:
            monkeypatch.setenv(variable, f"http://user:{PASSWORD}@127.0.0.1:{proxy.port}")
            found = await ask(written(authority, tmp_path))
        assert found.status == 202
        assert len(server.received) == 1
        (asked,) = proxy.asked
        assert asked.startswith(b"CONNECT acme.example:443 ")
        assert b"Proxy-Authorization: Basic " in asked
        assert b"token-of-the-tenant" not in asked
        assert b"Proxy-Authorization" not in server.received[0]


async def test_a_proxy_that_poses_as_the_tenant_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    async with raw_server(answer("202 Accepted"), tls=certified(trustme.CA(), "acme.example")) as server:
        async with connect_proxy(int(server.url.rpartition(":")[2])) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
            found = await ask()
        assert found.failure is Failure.UNTRUSTED
        assert "--ca-file" in found.text
        assert server.received == []


@pytest.mark.parametrize(
    "refusal",
    [
        answer("407 Proxy Authentication Required"),
        answer(f"403 You said {PASSWORD}"),
        answer("502 Bad Gateway"),
        b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nnot TLS at all",
    ],
    ids=["407", "403 with the password", "502", "another protocol", "no tunnel"],
)
async def test_nothing_reaches_the_tenant_if_the_proxy_refuses(refusal: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    async with connect_proxy(refusal=refusal) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:{PASSWORD}@127.0.0.1:{proxy.port}")
        found = await ask()
    assert found.failure in {Failure.NEVER_CONNECTED, Failure.UNTRUSTED}
    assert found.text
    assert PASSWORD not in found.text


@pytest.mark.parametrize("password", [PASSWORD, "hunter2", "pw"], ids=["long", "short", "very short"])
@pytest.mark.parametrize("form", ["{}", "{0}:{0}@proxy", "as {1}"], ids=["plain", "in a URL", "as it was sent"])
async def test_the_password_of_a_proxy_stays_hidden_however_short_it_is_and_however_many_tokens_came_later(
    form: str, password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = form.format(password, b64encode(f"user:{password}".encode()).decode())
    async with connect_proxy(refusal=answer(f"403 You said {said} to us")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:{password}@127.0.0.1:{proxy.port}")
        found = await ask(tokens=10)
    assert found.text.endswith(f"does not let us through to acme.example: {HIDDEN}")


async def test_a_refusal_of_the_proxy_is_reported_as_the_proxys(monkeypatch: pytest.MonkeyPatch) -> None:
    async with connect_proxy(refusal=answer("407 Proxy Authentication Required")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        found = await ask()
    assert found.failure is Failure.NEVER_CONNECTED
    assert "the proxy of the environment" in found.text
    assert "407 Proxy Authentication Required" in found.text


async def test_a_missing_proxy_was_never_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    url = unused_url()
    monkeypatch.setenv("HTTPS_PROXY", url.replace("http://", f"http://user:{PASSWORD}@"))
    found = await ask()
    assert found.failure is Failure.NEVER_CONNECTED
    assert found.text == f"the proxy {url.removeprefix('http://')} of the environment refuses connections"


async def test_a_proxy_whose_name_is_wrong_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.invalid:3128")
    found = await ask()
    assert found.failure is Failure.NEVER_CONNECTED
    assert found.text.startswith("the name proxy.invalid of the environment's proxy can't be looked up: ")


@pytest.mark.parametrize(
    "excepted", ["acme.example", ".example", "example", "*", "other, acme.example", "acme.example:443"]
)
def test_hosts_in_no_proxy_are_reached_directly(excepted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    assert proxy_for(TENANT, None) is not None
    monkeypatch.setenv("NO_PROXY", excepted)
    assert proxy_for(TENANT, None) is None


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.10", "[::1]"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_this_machine_is_never_reached_through_a_proxy(scheme: str, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(variable, "http://proxy.example:3128")
    assert proxy_for(f"{scheme}://{host}:8080", None) is None


def test_a_proxy_may_be_named_without_a_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "proxy.example:3128")
    found = proxy_for(TENANT, None)
    assert found is not None
    assert found.url == httpx.URL("http://proxy.example:3128")


@pytest.mark.parametrize(
    ("proxy", "said"),
    [
        (f"socks5://user:{PASSWORD}@proxy.example:1080", "SOCKS"),
        (f"socks5h://user:{PASSWORD}@proxy.example", "SOCKS"),
        (f"ftp://user:{PASSWORD}@proxy.example", "not an http"),
        (f"http://user:{PASSWORD}@", "not an http"),
        (f"http://user:{PASSWORD}@proxy.example:port", "not a URL"),
        ("http://xn--a:8080", "not a URL"),
    ],
)
def test_an_unusable_proxy_is_refused_before_anything_is_sent(
    proxy: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(SettingsError, match=said) as caught:
        http_client(TENANT, timeout=LIMIT, concurrency=1)
    assert PASSWORD not in f"{caught.value.message} {caught.value.next_step}"
    assert "NO_PROXY" in caught.value.next_step
