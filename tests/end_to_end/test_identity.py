"""The token is checked before anything is sent, renewed while sending, and explained if it lacks rights."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from batch.api.dialects import Rate
from batch.sandbox.server import running_sandbox
from batch.sandbox.settings import SandboxSettings, TokenKind
from batch.text import HIDDEN
from tests.end_to_end.program import accepted, environment, grant, once, pair_of, write_rows

if TYPE_CHECKING:
    from pathlib import Path

    from tests.end_to_end.program import Program

RATE = Rate(requests=5000, seconds=1)
WANTED = [grant(person, 10 * person + thing) for person in range(6) for thing in range(4)]


class SteppingClock:
    """A tenant's clock that advances by half a token's lifetime with every call."""

    def __init__(self) -> None:
        self._now = datetime.now(UTC)

    def __call__(self) -> datetime:
        self._now += timedelta(seconds=300)
        return self._now


def assert_a_fit_token_submits_everything(program: Program, path: Path, base_url: str) -> None:
    """Repeats the command at the same tenant, which now issues an administrator's token."""
    with running_sandbox(SandboxSettings(rate=RATE), port=urlsplit(base_url).port or 0) as sandbox:
        assert program("submit", path, "--yes", env=environment(sandbox)).code == 0
        assert accepted(sandbox) == once(map(pair_of, WANTED))


def test_an_api_clients_token_ends_the_command_before_anything_is_sent(program: Program, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.csv", WANTED)
    with running_sandbox(SandboxSettings(rate=RATE, token_kind=TokenKind.API_CLIENT)) as sandbox:
        ended = program("submit", path, "--yes", env=environment(sandbox))
        assert sandbox.tenant.audit.posts == 0
    assert ended.code == 2
    assert "no user behind it but the authority API" in ended.err
    assert "Use a personal access token of an ORG_ADMIN user" in ended.err
    assert "Preferences, then Personal Access Tokens" in ended.err
    assert_a_fit_token_submits_everything(program, path, sandbox.base_url)


def test_an_unreadable_token_is_reported_and_used(program: Program, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.csv", WANTED)
    with running_sandbox(SandboxSettings(rate=RATE, token_kind=TokenKind.OPAQUE)) as sandbox:
        ended = program("submit", path, "--yes", env=environment(sandbox))
        assert accepted(sandbox) == once(map(pair_of, WANTED))
    assert ended.code == 0
    assert ended.err.count("can't be read") == 1


def test_a_token_without_the_scope_stops_the_run_and_names_the_scope(program: Program, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.csv", WANTED)
    limited = SandboxSettings(rate=RATE, scopes=("idn:access-request-status:read",))
    with running_sandbox(limited) as sandbox:
        ended = program("submit", path, "--yes", env=environment(sandbox))
        assert accepted(sandbox) == {}
    assert ended.code == 4
    assert "has the scope idn:access-request-status:read, and not idn:access-request:create" in ended.err
    assert "Use a personal access token of an ORG_ADMIN user" in ended.err
    assert "run the same command again" in ended.err
    assert_a_fit_token_submits_everything(program, path, sandbox.base_url)


def test_tokens_that_expire_during_a_run_are_replaced(program: Program, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.csv", WANTED)
    with running_sandbox(SandboxSettings(rate=RATE, visibility_delay=0.0), clock=SteppingClock()) as sandbox:
        ended = program("submit", path, "--yes", "--concurrency", "1", "--json", env=environment(sandbox))
        assert accepted(sandbox) == once(map(pair_of, WANTED))
    assert ended.code == 0
    assert ended.json["http"]["retried"] >= 1


def test_a_refused_refresh_stops_the_run_and_the_next_token_continues_it(program: Program, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.csv", WANTED)
    with running_sandbox(SandboxSettings(rate=RATE, tokens=2), clock=SteppingClock()) as first:
        # Comparing uses up the first token, sending the second.
        options = ("--yes", "--concurrency", "1", "--check-tenant", "never", "--new-ledger")
        ended = program("submit", path, *options, env=environment(first))
    assert ended.code == 4
    assert "The tenant refuses the client: it answered 401" in ended.err
    assert first.client_secret not in ended.err
    port = urlsplit(first.base_url).port or 0
    with running_sandbox(SandboxSettings(rate=RATE), port=port) as second:
        assert program("submit", path, "--yes", env=environment(second)).code == 0
    assert 0 < len(accepted(first)) < len(WANTED)
    assert accepted(first) | accepted(second) == once(map(pair_of, WANTED))
    assert not accepted(first).keys() & accepted(second).keys()


def test_the_end_of_an_api_version_is_reported_once_per_run(program: Program, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.csv", WANTED)
    headers = {"Deprecation": "@1830297600", "Link": '<https://x.example/why>; rel="deprecation"'}
    with running_sandbox(SandboxSettings(rate=RATE, extra_headers=headers)) as sandbox:
        ended = program("submit", path, "--yes", env=environment(sandbox))
        assert sandbox.tenant.audit.posts > 1
    assert ended.code == 0
    assert ended.err.count("deprecated (Deprecation: 2028-01-01; Link: <https://x.example/why>") == 1


def test_a_shortened_notice_holds_no_part_of_a_secret(program: Program, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.csv", WANTED)
    secret = "hunter2-hunter2"
    settings = SandboxSettings(rate=RATE, client_secret=secret, extra_headers={"Deprecation": f"{'x' * 190} {secret}"})
    with running_sandbox(settings) as sandbox:
        ended = program("submit", path, "--yes", env=environment(sandbox))
    assert HIDDEN in ended.err
    assert secret[:6] not in ended.err
