"""No secret gets out of an answer, however a server disguises it; and ordinary answers stay as they are."""

from __future__ import annotations

import base64
import copy
import json
import uuid
from datetime import UTC, datetime
from random import Random
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.api.dialects import REQUEST_TYPES, ItemType
from batch.api.tenant_outcome import TENANT_OUTCOMES
from batch.model import Form
from batch.tenant.answers import MOST_TEXT, from_failure, from_response
from batch.tenant.disguises import LEAST, RUN
from batch.tenant.secrets import LONGEST, Secrets
from batch.tenant.status_row import status_row
from batch.text import HIDDEN
from tests.tenant.disguises import DISGUISES

SECRET = "p4ss/w0rd+&<\"'>=%ü-and-more"
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJpZGVudGl0eSI6Im1lIn0.c2lnbmF0dXJlLW9mLWl0"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

SECRETS = {
    "hex": "9f8c2e41d7b05a63e1f4c8d29a7b6035",
    "words": "correct-Horse_battery.Staple",
    "signs": "k7/Lq+9~zP%4&xT2<wB!r",
}


def knowing(*secrets: str) -> Secrets:
    known = Secrets()
    for secret in secrets:
        known.learn(secret)
    return known


def texts_of(document: Any) -> list[str]:
    """Every text and name in a document."""
    if isinstance(document, dict):
        return [*document, *(text for value in document.values() for text in texts_of(value))]
    if isinstance(document, list):
        return [text for value in document for text in texts_of(value)]
    return [document] if isinstance(document, str) else []


@pytest.mark.parametrize("name", DISGUISES)
@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_a_secret_is_hidden_in_every_disguise(secret: str, name: str) -> None:
    disguise = DISGUISES[name](secret)
    innocent = "The role can't be requested."
    document = knowing(secret).clean([innocent, copy.deepcopy(disguise), innocent])
    kept = set(texts_of(document)) - {HIDDEN}
    assert HIDDEN in texts_of(document)
    assert innocent in kept
    # So is every part of it, besides the names of fields, ids, and what is too short to tell anything.
    names = {"detailCode", "trackingId", "messages", "owner", "name", "text", "locale", "en-US"}
    parts = {text for text in texts_of(disguise) if len(text) > 3 and not text.startswith("0000")} - names
    assert kept.isdisjoint(parts)
    if isinstance(disguise, str):
        assert knowing(secret).hide(disguise) == HIDDEN


def test_the_corpus_has_enough_disguises() -> None:
    assert len(DISGUISES) >= 60


@pytest.mark.parametrize("name", DISGUISES)
def test_a_disguised_secret_is_in_no_text_of_an_answer(name: str) -> None:
    disguise = DISGUISES[name](SECRETS["hex"])
    body = (
        disguise if isinstance(disguise, dict) else {"messages": [{"text": json.dumps(disguise)}], "causes": disguise}
    )
    for content in (json.dumps(body).encode(), f"<html>{disguise}</html>".encode(), str(disguise).encode()):
        answer = from_response(400, httpx.Headers(), content, now=NOW, secrets=knowing(SECRETS["hex"])).answer
        shown = [answer.text, answer.detail_code, answer.tracking_id]
        assert knowing(SECRETS["hex"]).clean([*shown]) == shown


@pytest.mark.parametrize("echo", [TOKEN, *TOKEN.split("."), TOKEN.split(".", 1)[1], f"bearer {TOKEN}", TOKEN[5:20]])
def test_a_token_and_each_of_its_parts_is_hidden(echo: str) -> None:
    assert knowing(TOKEN).hide(f"<{echo}>") == HIDDEN


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
    assert Secrets().clean({"text": text}) == {"text": expected}


def test_every_ten_characters_in_a_row_of_a_secret_hide_a_text() -> None:
    secret = "0123456789abcdefghijklmnopqrstuvwxyz"
    for start in range(len(secret) - RUN):
        assert knowing(secret).hide(f"you sent {secret[start : start + RUN]}.") == HIDDEN
    assert knowing(secret).hide(f"you sent {secret[: RUN - 1]}.") != HIDDEN


@pytest.mark.parametrize("secret", ["pw", "hunter2", "a-b-c", "#!?"])
def test_a_short_secret_is_hidden_as_a_whole_word(secret: str) -> None:
    known = knowing(secret)
    for said in (f"407: the password {secret} is wrong", secret, f'"{secret.upper()}"', f"proxy:{secret}@host"):
        assert known.hide(said) == HIDDEN
        assert known.clean([said]) == [HIDDEN]
    assert known.hide("no such role, and no spwn") == "no such role, and no spwn"
    assert known.hide(f"x{secret}x") == f"x{secret}x"


def test_secrets_are_known_for_ever() -> None:
    known = knowing("a-proxy-password", "hunter2", SECRET)
    for number in range(200):
        known.learn_token(f"token-number-{number:04}")
    for secret in ("a-proxy-password", "hunter2", SECRET, "token-number-0000"):
        assert known.hide(f"you sent {secret}") == HIDDEN


def test_a_tenant_that_issues_a_token_for_every_call_takes_no_more_memory_and_no_secret_is_forgotten() -> None:
    known = Secrets(most_windows=10_000)
    known.learn(SECRET)
    known.learn("hunter2")
    tokens = [f"{number:04}-{base64.b64encode(str(number**99).encode()).decode()}" for number in range(100, 400)]
    for token in tokens:
        known.learn_token(token)
        assert known.hide(f"you sent {token[9:40]}") == HIDDEN
    assert known.hide(f"you sent {SECRET}") == HIDDEN
    assert known.hide("you sent hunter2") == HIDDEN
    assert sum(len(runs) for runs in known._runs) < 40_000
    assert known.hide(f"you sent {tokens[-5]}") == HIDDEN


def test_an_id_or_a_number_that_holds_a_secret_is_not_kept() -> None:
    known = knowing("9f8c2e41d7b05a63e1f4c8d29a7b6035", "123456789012345678")
    row = known.clean(
        {
            "id": "9f8c2e41d7b05a63e1f4c8d29a7b6035",
            "accessRequestId": "9F8C2E41-D7B0-5A63-0000-000000000000",
            "requestedFor": {"id": 123456789012345678},
            "state": "EXECUTING",
        }
    )
    assert row == {"id": HIDDEN, "accessRequestId": HIDDEN, "requestedFor": {"id": None}, "state": "EXECUTING"}
    assert status_row(row) is None
    read = status_row({**row, "requestedFor": {"id": "i1"}})
    assert read is not None
    assert (read.item, read.access_request, read.state) == ("", "", "EXECUTING")


def test_an_access_request_id_that_is_a_secret_is_not_kept() -> None:
    entry = {
        "requestedFor": "i1",
        "requestedItemsDetails": [{"type": "ROLE", "id": "r1"}],
        "accessRequestIds": [SECRETS["hex"]],
    }
    content = json.dumps({"newRequests": [], "existingRequests": [entry]}).encode()
    answer = from_response(202, httpx.Headers(), content, now=NOW, secrets=knowing(SECRETS["hex"])).answer
    (existing,) = answer.existing
    assert (existing.identity, existing.item, existing.access_request) == ("i1", "r1", "")


def test_a_secret_in_a_header_is_hidden() -> None:
    headers = httpx.Headers(
        [(b"Sunset", f"when {SECRET}".encode("latin-1")), (b"X-A", SECRETS["hex"].upper().encode()), (b"X-B", b"b")]
    )
    found = from_response(200, headers, b"[]", now=NOW, secrets=knowing(SECRET, SECRETS["hex"])).headers
    assert [found[name] for name in ("sunset", "x-a", "x-b")] == [HIDDEN, HIDDEN, "b"]


def random_bytes(most: int, least: int = 0) -> st.SearchStrategy[bytes]:
    """Bytes as random as ids and secrets are: those that hypothesis prefers would agree with each other."""
    seeds = st.tuples(st.integers(0), st.integers(least or most, most))
    return seeds.map(lambda seed: Random(str(seed)).randbytes(seed[1]))  # noqa: S311 - no secrets of anybody's


IDS = (
    random_bytes(16).map(bytes.hex)
    | random_bytes(16).map(lambda raw: str(uuid.UUID(bytes=raw)))
    | st.integers(1, 10**9).map("0123456789ab-{}-tag".format)
)
STATES = st.sampled_from([*TENANT_OUTCOMES, *REQUEST_TYPES.values(), *ItemType, "WAITING_FOR_THE_MOON"])
INSTANTS = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)).map(lambda at: at.isoformat() + "Z")  # noqa: DTZ001
WORDS = st.text(st.characters(codec="utf-8"), max_size=40)
ROWS = st.fixed_dictionaries(
    {
        "id": IDS,
        "state": STATES,
        "created": INSTANTS,
        "modified": INSTANTS | st.integers(10**9, 10**13),
        "name": WORDS,
        "requestedFor": st.fixed_dictionaries({"id": IDS, "name": WORDS}),
        "clientMetadata": st.dictionaries(st.sampled_from(["accessBatchRequest", "source"]), IDS),
        "approvalDetails": st.lists(st.fixed_dictionaries({"comment": WORDS, "status": STATES}), max_size=2),
    }
)


@given(
    rows=st.lists(ROWS, max_size=5),
    secret=random_bytes(32).map(bytes.hex),
    token=random_bytes(300, 200).map(lambda raw: f"e30.{base64.urlsafe_b64encode(raw).decode()}.x"),
)
def test_ordinary_rows_stay_as_they_are(rows: list[Any], secret: str, token: str) -> None:
    known = knowing(secret, token, "a-proxy-password", base64.b64encode(b"me:a-proxy-password").decode())
    assert known.clean(copy.deepcopy(rows)) == rows


@pytest.mark.parametrize("field", ["currentOwners", "reviewedBy", "approverComments", "originalOwner"])
@pytest.mark.parametrize("status", ["PENDING", "REJECTED"])
@pytest.mark.parametrize("cut", [0, 9])
def test_the_texts_of_an_approval_show_no_secret_whole_or_divided(field: str, status: str, cut: int) -> None:
    secret = "Tq7xVb2mKd9wZ4"
    texts = [{"name": part, "comment": part} for part in (secret[:cut], secret[cut:])]
    rows = [{"requestedFor": {"id": "i1"}, "approvalDetails": [{"status": status, field: texts}]}]
    found = status_row(knowing(secret).clean(rows)[0])
    assert found is not None
    assert (secret[cut:] in f"{found.who} {found.said}") is False


ASCII = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=RUN, max_size=80)


@given(
    secret=ASCII,
    name=st.sampled_from(sorted(DISGUISES)),
    around=st.lists(WORDS, max_size=3),
)
def test_no_disguise_of_any_secret_is_kept(secret: str, name: str, around: list[str]) -> None:
    document = knowing(secret).clean([*around, DISGUISES[name](secret)])
    kept = [text for text in texts_of(document) if text != HIDDEN]
    assert not any(secret[at : at + RUN] in "".join(kept) for at in range(len(secret) - RUN + 1))


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
        json.dumps([echo, {"x": echo}]).encode(),
        json.dumps(echo).encode(),
    ]
    for body in bodies:
        answer = from_response(400, httpx.Headers(), body, now=NOW, secrets=known).answer
        assert secret not in answer.text + answer.detail_code + answer.tracking_id
    failure = from_failure(httpx.RemoteProtocolError(f"illegal status line: {echo!r}"), secrets=known)
    assert secret not in failure.text


@pytest.mark.thorough
def test_any_document_can_be_cleaned() -> None:
    known = knowing(SECRET)
    document: Any
    for document in (None, True, 7, 1e300, "text", "", [], {}, [[]], {"": {"": ""}}, float("nan")):
        assert repr(known.clean(document)) == repr(document)
    assert known.clean(SECRET) == HIDDEN
    deep: list[Any] = []
    for _ in range(20_000):
        deep = [deep, SECRET]
    assert known.clean(deep)[1] == HIDDEN
    while deep:
        deep = deep[0]


def test_texts_that_nobody_can_take_apart_are_all_hidden() -> None:
    known = knowing(SECRETS["hex"])
    for divided in ((f"{SECRETS['hex'][:7]}%3", f"{SECRETS['hex'][8:16]}"), ("9f8c<b>2e<i", "4>1d7b05a")):
        kept = texts_of(known.clean(["before", *divided, "after"]))
        assert knowing(SECRETS["hex"]).clean([*kept]) == kept


def test_a_secret_of_signs_alone_is_hidden() -> None:
    for secret in ("€€€€€€€€€€€€", "#!?#!?#!?#!?", "§"):
        assert knowing(secret).hide(f"you sent {secret} to us") == HIDDEN


@pytest.mark.parametrize(
    "piece", ["<", "&#", "&", "%", "\\", "bearer ", "eyJ", "access_token", "\ufdfa", '"', "&#9", "%25"]
)
def test_a_long_hostile_text_is_read_in_time(piece: str) -> None:
    text = piece * (400_000 // len(piece))
    assert len(knowing(SECRET).clean([text])[0]) <= 10 * LONGEST
    page = f"<p>{text[:60_000]}&#{'9' * 5_000};</p>".encode()
    assert from_response(500, httpx.Headers(), page, now=NOW, secrets=knowing(SECRET)).answer.form is Form.PAGE


def test_an_id_stays_an_id_beside_another() -> None:
    ids = [str(uuid.UUID(int=number)) for number in range(3)]
    secret = (ids[0] + ids[1]).replace("-", "")[20:44]
    assert knowing(secret).clean([ids[0][:8]]) == [ids[0][:8]]
