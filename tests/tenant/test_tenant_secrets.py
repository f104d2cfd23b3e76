"""Secrets are hidden in every text from a server, in every form in which it may repeat them."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from urllib.parse import quote, quote_plus

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.tenant.answers import MOST_TEXT, from_failure, from_response
from batch.tenant.secrets import HIDDEN, LEAST, REMEMBERED, Secrets

SECRET = "p4ss/w0rd+&<\"'>=%ü-and-more"
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJpZGVudGl0eSI6Im1lIn0.c2lnbmF0dXJlLW9mLWl0"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def knowing(*secrets: str) -> Secrets:
    known = Secrets()
    for secret in secrets:
        known.learn(secret)
    return known


@pytest.mark.parametrize(
    "echo",
    [
        SECRET,
        SECRET.upper(),
        quote(SECRET),
        quote(SECRET, safe=""),
        quote(SECRET, safe="").lower(),
        quote_plus(SECRET),
        json.dumps(SECRET),
        *(
            base64.b64encode(b"x" * before + SECRET.encode() + b"y" * after).decode()
            for before in range(3)
            for after in range(3)
        ),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
    ],
)
def test_a_secret_is_hidden_in_every_form(echo: str) -> None:
    said = knowing(SECRET).hide(f"you sent {echo} just now")
    assert echo not in said
    assert said.startswith("you sent ")
    assert HIDDEN in said


@pytest.mark.parametrize(
    "echo", [TOKEN, *TOKEN.split("."), TOKEN.split(".", 1)[1], f"Bearer {TOKEN}", f"bearer {TOKEN}"]
)
def test_a_token_and_each_of_its_parts_is_hidden(echo: str) -> None:
    said = knowing(TOKEN).hide(f"<{echo}>")
    assert said in {f"<{HIDDEN}>", f"<{HIDDEN}.{HIDDEN}>"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"token {TOKEN} is new to us", f"token {HIDDEN} is new to us"),
        (f"Authorization: Bearer {TOKEN}", f"Authorization: {HIDDEN}"),
        ('{"access_token": "opaque-token", "expires_in": 7', f'{{"access_token{HIDDEN}", "expires_in": 7'),
        ("access_token=opaque&expires_in=7", f"access_token{HIDDEN}&expires_in=7"),
        ("Bearer token is missing", "Bearer token is missing"),
        ("the bearer of bad news", "the bearer of bad news"),
    ],
)
def test_anything_that_looks_like_a_token_is_hidden(text: str, expected: str) -> None:
    assert Secrets().hide(text) == expected


def test_the_beginning_of_a_secret_at_the_end_of_a_text_is_hidden() -> None:
    secret = "0123456789abcdef" * 4
    for length in range(LEAST, len(secret)):
        assert knowing(secret).hide("you sent " + secret[:length]) == f"you sent {HIDDEN}"


def test_a_word_too_short_for_a_secret_is_kept() -> None:
    assert knowing("role").hide("no such role") == "no such role"


def test_the_clients_secret_stays_known_after_many_tokens() -> None:
    known = Secrets()
    for number in range(3 * REMEMBERED):
        known.learn(SECRET)
        known.learn(f"token-number-{number:04}")
    assert SECRET not in known.hide(SECRET)
    assert known.hide("token-number-0000") == "token-number-0000"


@given(
    secret=st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=LEAST, max_size=80),
    before=st.text(max_size=2 * MOST_TEXT),
    after=st.text(max_size=20),
)
def test_no_text_of_an_answer_holds_a_secret(secret: str, before: str, after: str) -> None:
    echo = before + secret + after
    known = knowing(secret)
    bodies: list[bytes] = [
        echo.encode("utf-8", "replace"),
        json.dumps({"detailCode": echo, "trackingId": echo, "messages": [{"text": echo}]}).encode(),
        json.dumps({"error": echo}).encode(),
    ]
    for body in bodies:
        answer = from_response(400, httpx.Headers(), body, now=NOW, secrets=known)
        assert secret not in answer.text + answer.detail_code + answer.tracking_id
    failure = from_failure(httpx.RemoteProtocolError(f"illegal status line: {echo!r}"), secrets=known)
    assert secret not in failure.text
