"""The certificates that a connection trusts, and the message if the other side can't prove its identity."""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import trustme

from batch.answers.outcome import Then, decide
from batch.errors import SettingsError, TenantLostError
from batch.model import Answer, Failure
from batch.settings import Credentials
from batch.states import Event
from batch.tenant.token import Token
from batch.tenant.trust import trusted
from batch.tenant.wire import fetch, http_client
from tests.clocks import MACHINE
from tests.rights import ONLY_POSIX
from tests.tenant.open_calls import Events
from tests.tenant.raw_server import answer, raw_server
from tests.tenant.tls import certified, written
from tests.waiting import LIMIT

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

HERE = "127.0.0.1"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA(organization_name="A company")


async def exchange(tls: ssl.SSLContext | None, ca_file: Path | None, *, scheme: str = "") -> tuple[Answer, int]:
    """A server's answer, and how many requests reached it."""
    async with raw_server(answer("202 Accepted", body=b"{}"), tls=tls) as server:
        url = f"{scheme}://{server.url.partition('://')[2]}" if scheme else server.url
        async with http_client(url, timeout=LIMIT, concurrency=1, ca_file=ca_file) as http:
            found = await fetch(http, "POST", "/path", now=MACHINE.now, content=b"body")
        return found.answer, len(server.received)


async def test_a_companys_own_authority_is_trusted_if_its_file_is_given(authority: trustme.CA, tmp_path: Path) -> None:
    found, reached = await exchange(certified(authority, HERE), written(authority, tmp_path))
    assert (found.status, reached) == (202, 1)


@pytest.mark.skipif(sys.platform != "linux", reason="macOS and Windows keep their certificates elsewhere")
async def test_openssls_variables_name_the_systems_store(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(written(authority, tmp_path)))
    found, reached = await exchange(certified(authority, HERE), None)
    assert (found.status, reached) == (202, 1)


@pytest.mark.skipif(sys.platform != "linux", reason="as above")
async def test_the_file_is_trusted_instead_of_the_systems_store(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(written(authority, tmp_path)))
    other = tmp_path / "other"
    other.mkdir()
    found, _ = await exchange(certified(authority, HERE), written(trustme.CA(), other))
    assert found.failure is Failure.UNTRUSTED


async def test_an_intermediate_authority_can_be_trusted(authority: trustme.CA, tmp_path: Path) -> None:
    intermediate = authority.create_child_ca()
    found, _ = await exchange(certified(intermediate, HERE), written(intermediate, tmp_path))
    assert found.status == 202


async def test_an_untrusted_authority_is_reported_with_the_host_and_the_next_step(authority: trustme.CA) -> None:
    found, reached = await exchange(certified(authority, HERE), None)
    assert (found.failure, reached) == (Failure.UNTRUSTED, 0)
    assert found.text.startswith(f"{HERE} can't be trusted: ")
    assert "--ca-file" in found.text


async def test_a_certificate_of_another_host_is_reported_as_such(authority: trustme.CA, tmp_path: Path) -> None:
    found, reached = await exchange(certified(authority, "other.example"), written(authority, tmp_path))
    assert (found.failure, reached) == (Failure.UNTRUSTED, 0)
    assert "not valid for '127.0.0.1'" in found.text
    assert "--ca-file" not in found.text


async def test_an_expired_certificate_is_reported_as_such(authority: trustme.CA, tmp_path: Path) -> None:
    expired = certified(authority, HERE, not_after=LONG_AGO)
    found, reached = await exchange(expired, written(authority, tmp_path))
    assert (found.failure, reached) == (Failure.UNTRUSTED, 0)
    assert "expired" in found.text
    assert "--ca-file" not in found.text


async def test_https_to_a_plain_http_server_is_reported_as_such() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer("400 Bad Request"))
        writer.close()

    async with await asyncio.start_server(handle, HERE, 0) as server:
        url = f"https://{HERE}:{server.sockets[0].getsockname()[1]}"
        async with http_client(url, timeout=LIMIT, concurrency=1) as http:
            found = await fetch(http, "POST", "/path", now=MACHINE.now, content=b"body")
    assert found.answer.failure is Failure.UNTRUSTED
    assert "does not speak https" in found.answer.text


async def test_plain_http_to_an_https_server_gets_no_answer_and_shows_no_secret(authority: trustme.CA) -> None:
    found, reached = await exchange(certified(authority, HERE), None, scheme="http")
    assert (found.failure, reached) == (Failure.BROKEN, 0)


async def test_an_untrusted_tenant_is_asked_for_a_token_once(
    authority: trustme.CA,
) -> None:
    credentials = Credentials.model_validate({"client_id": "client", "client_secret": "hunter2-hunter2"})
    events = Events()
    async with raw_server(answer("200 OK"), tls=certified(authority, HERE)) as server:
        async with http_client(server.url, timeout=LIMIT, concurrency=1) as http:
            with pytest.raises(TenantLostError, match="--ca-file"):
                await Token(
                    http,
                    credentials,
                    clock=MACHINE,
                    jitter=lambda: 0.0,
                    give_up_after=1.0,
                    tell=events.append,
                ).get()
        assert server.received == []
    assert events.waits == []


def test_an_untrusted_tenant_stops_the_run_and_processed_nothing() -> None:
    decision = decide(
        Answer(failure=Failure.UNTRUSTED, text="why"),
    )
    assert (decision.event, decision.then, decision.reason) == (Event.NOT_PROCESSED, Then.STOP_TENANT, "why")


@pytest.mark.parametrize(
    "content",
    [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----\n", bytes(range(256))],
    ids=["empty", "text", "rubbish", "bytes"],
)
def test_a_file_without_certificates_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "authority.pem"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"--ca-file: .*authority\.pem holds no certificates") as caught:
        trusted(path)
    assert caught.value.next_step


@pytest.mark.parametrize("name", ["missing.pem", ".", "nul\x00byte"])
def test_an_unreadable_file_is_refused_by_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--ca-file: ") as caught:
        trusted(tmp_path / name)
    assert caught.value.next_step


@ONLY_POSIX
def test_a_pipe_is_no_file_of_certificates_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SettingsError, match="it is not a file"):
        trusted(tmp_path / "pipe")
