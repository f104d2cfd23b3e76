"""The sandbox issues every kind of token, and only some of them may submit."""

from __future__ import annotations

import httpx
import pytest

from batch.api.dialects import DIALECTS, TOKEN_PATH
from batch.api.token_claims import TokenClaims, read_claims
from batch.sandbox.server import running_sandbox
from batch.sandbox.settings import SandboxSettings, TokenKind
from tests.sandbox.calls import credentials, grant
from tests.waiting import LIMIT


def submitted_with(settings: SandboxSettings, api: str = "beta") -> tuple[TokenClaims, int]:
    """The claims of a sandbox's token, and the status of a submit call with it."""
    claims, submitted, _ = answers(settings, api)
    return claims, submitted


def answers(settings: SandboxSettings, api: str = "beta") -> tuple[TokenClaims, int, int]:
    """The claims of a sandbox's token, and the statuses of a submit and a list call with it."""
    with running_sandbox(settings) as sandbox, httpx.Client(base_url=sandbox.base_url, timeout=LIMIT) as http:
        answer = http.post(TOKEN_PATH, data=credentials(sandbox)).json()
        token = answer["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        status = http.post(DIALECTS[api].paths.submit, json=grant(), headers=headers).status_code
        assert (status == 202) == bool(sandbox.tenant.audit.change_counts())
        listed = http.get(DIALECTS[api].paths.status, headers=headers).status_code
        return read_claims(token, answer), status, listed


def test_a_users_token_submits() -> None:
    claims, status = submitted_with(SandboxSettings())
    assert status == 202
    assert claims.readable
    assert claims.user
    assert claims.scopes == ("sp:scopes:all",)


def test_an_api_clients_token_has_no_user_and_may_not_submit() -> None:
    claims, status = submitted_with(SandboxSettings(token_kind=TokenKind.API_CLIENT))
    assert status == 403
    assert (claims.readable, claims.user, claims.authorities) == (True, "", ("API",))


def test_an_opaque_token_submits_and_is_unreadable() -> None:
    claims, status = submitted_with(SandboxSettings(token_kind=TokenKind.OPAQUE))
    assert status == 202
    assert not claims.readable


@pytest.mark.parametrize(
    ("scope", "api", "status"),
    [
        ("idn:access-request:create", "beta", 202),
        ("idn:access-request:create", "v2024", 403),
        ("idn:access-request:manage", "v2024", 202),
        ("idn:access-request-self:manage", "v1", 202),
        ("idn:access-request-status:read", "beta", 403),
    ],
)
def test_submitting_needs_a_scope(scope: str, api: str, status: int) -> None:
    claims, found = submitted_with(SandboxSettings(scopes=(scope,)), api)
    assert claims.scopes == (scope,)
    assert found == status


@pytest.mark.parametrize(
    ("scope", "status"),
    [("idn:access-request:create", 403), ("idn:access-request-status:read", 200), ("sp:scopes:all", 200)],
)
def test_reading_the_status_list_needs_a_scope(scope: str, status: int) -> None:
    _, _, listed = answers(SandboxSettings(scopes=(scope,)))
    assert listed == status
