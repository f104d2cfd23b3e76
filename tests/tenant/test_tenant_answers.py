"""Answers: limited, printable, and readable whatever the server sends."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.model import Answer, Failure, Form
from batch.tenant.answers import MOST_TEXT, from_failure, from_response
from batch.text import instant

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def read(content: bytes | str | dict[str, object] = b"", *, status: int = 400, **headers: str) -> Answer:
    if isinstance(content, dict):
        content = json.dumps(content)
    raw = content.encode() if isinstance(content, str) else content
    return from_response(
        status, httpx.Headers({k.replace("_", "-"): v for k, v in headers.items()}), raw, now=NOW
    ).answer


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("-3", 0.0),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sun, 01 Mar 2026 13:00:30 +0100", 30.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("", None),
        ("nan", None),
        ("inf", None),
        ("9" * 400, None),
        ("7, 9", 9.0),
        ("2814, 2", 2814.0),
        ("soon, 4", 4.0),
        ("3, Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sun, 99 Mar 2026 12:00:30 GMT", None),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),
        ("Mon, 01 Jan 2026 00:00:00 +99999999999999", None),
    ],
)
def test_retry_after_is_read_in_every_form(value: str, seconds: float | None) -> None:
    assert read(status=429, retry_after=value).retry_after == seconds


def test_of_several_retry_after_headers_the_longest_counts() -> None:
    headers = httpx.Headers([("Retry-After", "2"), ("Retry-After", "2814"), ("Retry-After", "soon")])
    assert from_response(429, headers, b"", now=NOW).answer.retry_after == 2814.0


def test_without_retry_after_there_is_none() -> None:
    assert read(status=429).retry_after is None


def test_the_servers_time_is_read_from_its_date_header() -> None:
    assert read(date="Sun, 01 Mar 2026 12:00:30 GMT").server_time == datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)
    assert read(date="Sun, 01 Mar 2026 12:00:30").server_time == datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)
    assert read(date="now").server_time is None
    assert read().server_time is None


def test_a_time_that_the_ledger_could_not_keep_is_ignored() -> None:
    answer = read(date="Fri, 31 Dec 9999 23:59:59 -0100")
    assert answer.server_time is None or instant(answer.server_time)


def test_every_field_of_the_apis_error_document_is_read() -> None:
    document: dict[str, object] = {
        "detailCode": "400.1 Bad request",
        "trackingId": "e7eab60924f64aa284175b9fa3309599",
        "messages": [
            {"locale": "en-US", "text": "First."},
            {"locale": "en", "text": "First."},
            {"text": "Second."},
            {"text": None},
            "odd",
        ],
    }
    answer = read(document)
    assert answer == Answer(
        status=400,
        detail_code="400.1 Bad request",
        tracking_id="e7eab60924f64aa284175b9fa3309599",
        text="First.; Second.",
        form=Form.API,
    )


ONLY_TEXT: dict[str, object] = {"messages": [{"text": "No."}]}


@pytest.mark.parametrize(
    ("statuses", "content"),
    [
        (
            {400, 401, 403, 429, 500},
            {"detailCode": "400.1 Bad request", "trackingId": "1", "messages": [], "causes": []},
        ),
        ({400, 401, 403, 429, 500}, {"detailCode": "403 Forbidden"}),
        ({400, 401, 403, 429, 500}, ONLY_TEXT),
        ({400, 401, 403, 429, 500}, ONLY_TEXT | {"new": {"field": 1}, "detailCode": None, "trackingId": 7}),
        ({401}, {"error": "JWT validation failed: JWT is expired"}),
        ({429}, {"message": " Rate Limit Exceeded "}),
        (set(), {}),
        (set(), {"message": ""}),
        (set(), {"error": {"code": 401}}),
        (set(), {"trackingId": "e7eab60924f64aa284175b9fa3309599"}),
        (set(), {"detailCode": " ", "messages": ["No."]}),
        (set(), {"messages": {"text": "No."}}),
        (set(), '{"detailCode": "403 Forbidden"'),
        (set(), '[{"detailCode": "403 Forbidden"}]'),
        (set(), '"403 Forbidden"'),
        (set(), ""),
    ],
)
def test_an_answer_is_the_apis_own_only_in_a_form_that_is_documented_for_its_status(
    statuses: set[int], content: str | dict[str, object]
) -> None:
    assert {status for status in (400, 401, 403, 429, 500) if read(content, status=status).form is Form.API} == statuses


@pytest.mark.parametrize(
    "page", ["<html>No.</html>", "\ufeff\n<!DOCTYPE html><p>No.</p>", "<?xml version='1.0'?><a>No.</a>"]
)
@pytest.mark.parametrize("status", [200, 202, 303, 400, 401, 403, 404, 429, 503])
def test_a_web_page_is_known_as_one(status: int, page: str) -> None:
    answer = read(page, status=status)
    assert (answer.form, answer.text) == (Form.PAGE, "No.")


@pytest.mark.parametrize(
    ("page", "block_id"),
    [
        ("<p>Your support ID is: 18164213377410283141</p>", "18164213377410283141"),
        ("<p>Access Denied</p>Reference&#32;&#35;18.2d351ab8.1557333295.a4e16ab", "18.2d351ab8.1557333295.a4e16ab"),
        ("<span>Cloudflare Ray ID:</span> <code>7d0f3a8b9c1d2e3f</code>", "7d0f3a8b9c1d2e3f"),
        ("<td>Incident ID:</td><td>1234-5678</td>", "1234-5678"),
        ("<td>Request ID</td><td>Q7mR_x1y2z3</td>", "Q7mR_x1y2z3"),
        ("<p>The event codename is unknown</p>", ""),
        ("<p>Error code 403</p>", ""),
    ],
)
def test_the_id_on_a_firewalls_page_is_read(page: str, block_id: str) -> None:
    assert read(f"<html><body>{page}</body></html>", status=403).tracking_id == block_id


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"message": " Rate Limit Exceeded "}, "Rate Limit Exceeded"),
        ({"error": "JWT is expired"}, "JWT is expired"),
        ({"error": "invalid_client", "error_description": "Unknown client."}, "Unknown client."),
        ({"messages": [], "message": "Used."}, "Used."),
        ({"messages": "odd", "error": ["odd"], "message": 7}, ""),
        ({}, "{}"),
        ("[1, 2]", "[1, 2]"),
        ("<html>\n <b>504</b>\tTime&#45;out<script>alert('x')</script><!-- x --></html>", "504 Time-out"),
        ("<html></html>", "an empty web page"),
        (b"\xff\xfe caf\xe9", "\ufffd\ufffd caf\ufffd"),
        (b"", ""),
        ("\x1b[31mred\x1b[0m\u202e\u200b", "[31mred [0m"),
        ({"message": "\ud800 half a letter"}, "\ufffd half a letter"),
        ("[" * 100_000, "[" * MOST_TEXT),
        ('{"message": ' + "[" * 100_000, ('{"message": ' + "[" * 100_000)[:MOST_TEXT]),
        ("1" * 10_000, "1" * MOST_TEXT),
    ],
)
def test_the_message_is_the_most_informative_text(content: bytes | str | dict[str, object], expected: str) -> None:
    assert read(content).text == expected


@pytest.mark.parametrize(
    "body",
    [
        rb'{"a\u0000": ["\ud83d\ude00", "\ud83d", "x\uDE00y", {"b": "\u0000"}, 1, null]}',
        b'{"a\\u0000": ["\xf0\x9f\x98\x80", "\xed\xa0\xbd", "x\xed\xb8\x80y", {"b": "\\u0000"}, 1, null]}',
        json.dumps({"a\0": ["\U0001f600", "\ud83d", "x\ude00y", {"b": "\0"}, 1, None]}).encode("utf-16"),
    ],
    ids=["escapes", "bytes", "UTF-16"],
)
def test_signs_take_the_places_of_nul_and_of_halves_of_pairs_which_no_ledger_keeps(body: bytes) -> None:
    found = from_response(200, httpx.Headers(), body, now=NOW).document
    assert found == {"a\ufffd": ["\U0001f600", "\ufffd", "x\ufffdy", {"b": "\ufffd"}, 1, None]}


def test_huge_values_are_shortened() -> None:
    huge = "x" * 200_000
    answer = read({"detailCode": huge, "trackingId": huge, "messages": [{"text": huge}, {"text": huge + "y"}]})
    for value in (answer.detail_code, answer.tracking_id, answer.text):
        assert value.startswith("xxx")
        assert len(value) <= MOST_TEXT


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
documents = st.dictionaries(
    st.sampled_from(["messages", "message", "error", "error_description", "detailCode", "trackingId"]), json_values
).map(lambda document: json.dumps(document).encode())
header_values = st.one_of(
    st.text(st.characters(min_codepoint=32, max_codepoint=255)),
    st.builds(
        "{}, {} {} {} {}:{}:{} {}".format,
        st.sampled_from(["Mon", "x"]),
        st.integers(),
        st.sampled_from(["Jan", "Dec"]),
        st.integers(),
        st.integers(-1, 99),
        st.integers(-1, 99),
        st.integers(-1, 99),
        st.one_of(st.just("GMT"), st.integers().map("{:+05}".format)),
    ),
)


@given(
    status=st.integers(100, 599),
    content=st.binary(max_size=200) | documents,
    date=header_values,
    retry_after=header_values,
)
def test_any_answer_can_be_read_and_kept(status: int, content: bytes, date: str, retry_after: str) -> None:
    headers = httpx.Headers([(b"date", date.encode("latin-1")), (b"retry-after", retry_after.encode("latin-1"))])
    answer = from_response(status, headers, content, now=NOW).answer
    assert answer.status == status
    assert answer.failure is None
    assert answer.retry_after is None or 0 <= answer.retry_after < float("inf")
    for value in (answer.text, answer.detail_code, answer.tracking_id):
        assert value.isprintable()
        assert len(value) <= MOST_TEXT
    if answer.server_time is not None:
        assert instant(answer.server_time)


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (httpx.ConnectError("refused"), Failure.NEVER_CONNECTED),
        (httpx.ConnectTimeout("slow"), Failure.NEVER_CONNECTED),
        (httpx.PoolTimeout("busy"), Failure.NEVER_CONNECTED),
        (httpx.ReadTimeout("slow"), Failure.BROKEN),
        (httpx.WriteTimeout("slow"), Failure.BROKEN),
        (httpx.ReadError("reset"), Failure.BROKEN),
        (httpx.WriteError("reset"), Failure.BROKEN),
        (httpx.CloseError("odd"), Failure.BROKEN),
        (httpx.RemoteProtocolError("odd"), Failure.BROKEN),
        (httpx.ProxyError("odd"), Failure.BROKEN),
        (httpx.DecodingError("odd"), Failure.BROKEN),
        (TimeoutError(), Failure.BROKEN),
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_a_connection_never_made_counts_as_nothing_sent(
    error: httpx.RequestError | TimeoutError, failure: Failure
) -> None:
    answer = from_failure(error)
    assert (answer.status, answer.failure) == (None, failure)
    assert answer.text.startswith((type(error).__name__, "the tenant does not answer"))
