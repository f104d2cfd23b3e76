"""The claims of a token: any token can be read, and is judged only if it holds enough."""

from __future__ import annotations

import json
import math
from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.api.dialects import DIALECTS
from batch.api.token_claims import MOST_TOKEN, TokenClaims, read_claims, token_needed, what_is_missing, why_unfit

BETA = DIALECTS["beta"]
USER: dict[str, Any] = {"identity_id": "2c91", "user_name": "ada", "authorities": ["ORG_ADMIN"], "client_id": "c1"}
ADMIN = TokenClaims(
    readable=True,
    user_id="2c91",
    user_name="ada",
    authorities=("ORG_ADMIN",),
    scopes=("sp:scopes:all",),
    client_id="c1",
)


def jwt(payload: object) -> str:
    """A token of the vendor's form with these claims."""
    return f"e30.{urlsafe_b64encode(json.dumps(payload).encode()).decode().rstrip('=')}.c2ln"


def judged(payload: object, **answer: object) -> str:
    """Why a token with these claims is unfit."""
    return why_unfit(read_claims(jwt(payload), answer))


def test_the_claims_of_a_users_token_are_read() -> None:
    claims = read_claims(jwt({**USER, "scope": ["idn:a:b"]}), {"expires_in": 749})
    assert claims == TokenClaims(
        readable=True,
        user_id="2c91",
        user_name="ada",
        authorities=("ORG_ADMIN",),
        scopes=("idn:a:b",),
        client_id="c1",
        expires_in=749.0,
    )
    assert claims.user == "ada (2c91)"


@pytest.mark.parametrize(
    ("exp", "expires"),
    [
        (1_772_366_400, datetime(2026, 3, 1, 12, tzinfo=UTC)),
        (1_772_366_400_000, None),
        ("soon", None),
        (-1, None),
        (10**400, None),
    ],
)
def test_a_token_says_when_it_expires(exp: object, expires: datetime | None) -> None:
    assert read_claims(jwt({**USER, "exp": exp}), {}).expires == expires


@pytest.mark.parametrize(
    ("said", "answered", "scopes"),
    [
        (["idn:a:b", "idn:c:d"], {}, ("idn:a:b", "idn:c:d")),
        ("idn:a:b idn:c:d", {}, ("idn:a:b", "idn:c:d")),
        (["idn:a:b"], {"scope": "sp:scopes:all"}, ("sp:scopes:all",)),
        ("Cg8IAAEC", {"scope": "idn:a:b"}, ("idn:a:b",)),
        ("Cg8IAAEC", {}, None),
        ("read write", {}, None),
        (7, {"scope": None}, None),
    ],
)
def test_scopes_are_read_in_words_and_the_endpoints_come_first(
    said: object, answered: dict[str, object], scopes: tuple[str, ...] | None
) -> None:
    assert read_claims(jwt({**USER, "scope": said}), answered).scopes == scopes


def test_the_user_may_be_named_beside_the_token() -> None:
    opaque = read_claims("no-jwt-at-all", {"identity_id": "2c91"})
    assert (opaque.readable, opaque.user) == (False, "2c91")
    assert read_claims(jwt({"client_id": "c1"}), {"user_id": "2c92"}).user == "2c92"


@pytest.mark.parametrize(
    "payload",
    [
        {**USER, "user_name": 7.5, "identity_id": True, "authorities": {"a": 1}, "scope": [[]]},
        {**USER, "user_name": "a\nb", "identity_id": "x" * 300, "authorities": [None, "\x07"]},
        {**USER, "authorities": None, "identity_id": [], "user_name": {}},
    ],
)
def test_odd_claims_are_left_out_and_the_rest_is_read(payload: dict[str, object]) -> None:
    claims = read_claims(jwt(payload), {})
    assert claims.readable
    assert claims.client_id == "c1"
    assert (claims.user, claims.authorities) == ("", ())


@pytest.mark.parametrize("said", [None, "soon", [7], {}, "nan", -1, 10**400])
def test_an_impossible_lifetime_is_ignored(said: object) -> None:
    assert read_claims(jwt(USER), {"expires_in": said}).expires_in is None
    assert read_claims(jwt(USER), {"expires_in": "749"}).expires_in == 749


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b",
        "a.%%%.c",
        "a.bm90IGpzb24.c",
        jwt([1]),
        jwt({"iss": "another vendor"}),
        jwt(USER) + "x" * MOST_TOKEN,
        f"a.{urlsafe_b64encode(b'[' * 40_000).decode()}.c",
    ],
)
def test_a_foreign_token_is_not_judged(token: str) -> None:
    claims = read_claims(token, {})
    assert not claims.readable
    assert why_unfit(claims) == ""


ANY_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=6,
)
CLAIMS = st.dictionaries(
    st.sampled_from(["identity_id", "user_id", "user_name", "client_id", "authorities", "scope", "expires_in"]),
    ANY_JSON,
)
TOKENS = st.text(max_size=200) | st.from_regex(r"[\w-]{1,8}\.[\w-]{1,60}\.[\w-]{0,8}") | CLAIMS.map(jwt)


@given(TOKENS, CLAIMS)
def test_any_token_can_be_read_and_what_is_read_can_be_shown(token: str, answer: dict[str, Any]) -> None:
    claims = read_claims(token, answer)
    for text in (claims.user, claims.client_id, *claims.authorities, *(claims.scopes or ())):
        assert text.isprintable()
    assert all(":" in scope for scope in claims.scopes or ())
    assert claims.expires_in is None or 0 <= claims.expires_in < math.inf


@given(CLAIMS)
def test_only_what_a_claim_holds_is_believed(payload: dict[str, Any]) -> None:
    claims = read_claims(jwt({**payload, "client_id": "c1"}), {})
    assert claims.client_id == "c1"
    assert claims.user_name in {"", str(payload.get("user_name"))}
    assert claims.user_id in {"", *(str(payload.get(name)) for name in ("identity_id", "user_id"))}
    named = payload.get("authorities")
    listed = named.split() if isinstance(named, str) else named if isinstance(named, list) else []
    assert set(claims.authorities) <= set(map(str, listed))


def test_a_number_of_thousands_of_digits_is_no_name() -> None:
    assert read_claims("opaque", {"user_id": 10**5_000}).user == ""


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ({"client_id": "c1", "authorities": ["API"]}, "no user behind it but the authority API"),
        ({"client_id": "c1"}, "no user behind it: it is an API client's"),
        ({**USER, "authorities": ["API"]}, "no user level but the authority API"),
    ],
)
def test_a_token_that_can_not_submit_shows_in_its_claims(payload: dict[str, object], said: str) -> None:
    assert said in judged(payload)
    assert "client c1" in judged(payload)


@pytest.mark.parametrize("authorities", [["ORG_ADMIN"], ["API", "ORG_ADMIN"], ["HELPDESK"], [], None])
def test_the_tenant_decides_about_a_users_token(authorities: list[str] | None) -> None:
    assert judged({**USER, "authorities": authorities}) == ""


def test_a_user_named_beside_the_token_counts() -> None:
    assert judged({"client_id": "c1", "authorities": ["ORG_ADMIN"]}, identity_id="2c91") == ""


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda one: one.name)
def test_the_needed_token_is_described_with_a_scope_and_a_place(dialect: Any) -> None:
    said = token_needed(dialect)
    assert "personal access token" in said
    assert dialect.submit_scopes[0] in said
    assert "Preferences" in said


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"scopes": ("idn:x:read",)}, "has the scope idn:x:read, and not idn:access-request:create"),
        ({"authorities": ("HELPDESK",)}, "its user ada (2c91) has the user level HELPDESK, and not ORG_ADMIN"),
        ({"scopes": None}, "does not show which right is missing"),
        ({"authorities": ()}, "does not show which right is missing"),
        ({"readable": False, "authorities": (), "scopes": None}, "does not show which right is missing"),
        ({"user_id": "", "user_name": ""}, "no user behind it"),
        ({}, "the tenant's own settings forbid it"),
    ],
)
def test_after_a_403_the_missing_right_is_named(changed: dict[str, Any], said: str) -> None:
    fields = {name: getattr(ADMIN, name) for name in TokenClaims.__slots__}
    assert said in what_is_missing(TokenClaims(**{**fields, **changed}), BETA)


def test_both_missing_rights_are_named() -> None:
    claims = TokenClaims(readable=True, user_name="ada", authorities=("DASHBOARD",), scopes=("idn:x:read",))
    said = what_is_missing(claims, BETA)
    assert "idn:x:read" in said
    assert "DASHBOARD" in said


def test_one_of_several_scopes_suffices() -> None:
    claims = TokenClaims(
        readable=True, user_name="ada", authorities=("ORG_ADMIN",), scopes=("idn:access-request:manage",)
    )
    assert "scope suffices" in what_is_missing(claims, BETA)


def test_only_the_first_of_many_names_are_listed() -> None:
    claims = TokenClaims(
        readable=True, user_name="ada", authorities=("ORG_ADMIN",), scopes=tuple(f"s:{n}" for n in range(50))
    )
    said = what_is_missing(claims, BETA)
    assert "s:9, and 40 more" in said
    assert "s:10" not in said
