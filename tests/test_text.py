"""Other people's text on our screen."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.text import RequestId, folded, has_password, visible, without_password


@given(st.text())
def test_every_text_can_be_shown(text: str) -> None:
    assert visible(text).replace("\n", "").isprintable()


@given(st.text())
def test_json_stays_the_same_json(text: str) -> None:
    assert json.loads(visible(json.dumps({"a": text}, ensure_ascii=False))) == {"a": text}


def test_unprintable_characters_are_escaped_and_the_rest_stays() -> None:
    assert visible("Zo\u00eb \u202e\x1b[31m\x9b\u200b") == "Zo\u00eb \\u202e\\u001b[31m\\u009b\\u200b"


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("3f2a-7", RequestId("3f2a", 7)),
        ("3f2a-7-k7q2m", RequestId("3f2a", 7, "k7q2m")),
        ("3F2A-7-K7Q2M", RequestId("3f2a", 7, "k7q2m")),
        ("3f2a", None),
        ("3f2a-x", None),
        ("3f2a-7-", None),
        ("3f2a-7-k7-q2", None),
        ("3f2a-" + "9" * 40, None),
        ("3f2a-7\n", None),
        ("", None),
    ],
)
def test_ids_of_requests_are_read_in_any_letter_case_with_or_without_a_tag(text: str, read: RequestId | None) -> None:
    assert RequestId.read(text) == read


@pytest.mark.parametrize("text", ["3f2a-7", "3f2a-7-k7q2m"])
def test_an_id_of_a_request_is_written_as_it_was_read(text: str) -> None:
    assert str(RequestId.read(text)) == text


@given(st.text(st.sampled_from("ab-`: é中")), st.integers(0, 30))
def test_a_folded_line_breaks_at_blanks_only_and_loses_nothing_else(text: str, width: int) -> None:
    lines = folded(text, width).split("\n")
    assert "".join("".join(lines).split(" ")) == text.replace(" ", "")
    assert all(line == line.rstrip() for line in lines[:-1])
    if "`" not in text:
        assert all(len(line) <= width or " " not in line.strip() for line in lines if width)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("four words fit here", ["four words fit here"]),
        ("these are five words here", ["these are five words", "here"]),
        ("    3 of Ann since noon: no", ["    3 of Ann since", "      noon: no"]),
        ("a  table's   columns", ["a  table's   columns"]),
        ("see /a/very/long/path/of/mine here", ["see", "/a/very/long/path/of/mine", "here"]),
        ("Again: access-batch track 7 --out d", ["Again:", "access-batch track 7 --out d"]),
        ("Now (`access-batch runs --json`) or later", ["Now", "(`access-batch runs --json`)", "or later"]),
        ("one two three four five\nsix", ["one two three four", "five", "six"]),
        ("中文 中文 中文 中文 中文", ["中文 中文 中文 中文", "中文"]),
    ],
)
def test_a_line_is_folded_at_blanks_and_a_command_stays_whole(text: str, lines: list[str]) -> None:
    assert folded(text, 20).split("\n") == lines
    assert folded(text, 0) == text


@pytest.mark.parametrize(
    ("url", "shown", "has"),
    [
        ("/srv/team.db", "/srv/team.db", False),
        ("sqlite:////srv/a:b@c/team.db?timeout=5", "sqlite:////srv/a:b@c/team.db?timeout=5", False),
        ("postgresql://ada@db.example/x", "postgresql://ada@db.example/x", False),
        ("postgresql://ada:s3cret@db.example/x", "postgresql://ada@db.example/x", True),
        ("postgresql://ada:s3/c?r@e@t@db.example/x", "postgresql://ada@db.example/x", True),
        ("postgresql://db/x?sslmode=require&password=s3cret", "postgresql://db/x?sslmode=require", True),
        ("postgresql://db/x?pass%77ord=s3cret", "postgresql://db/x", True),
        ("postgresql://db/x?nosuch=s3cret&port=5433", "postgresql://db/x?port=5433", False),
    ],
)
def test_a_databases_url_is_shown_without_its_password(url: str, shown: str, *, has: bool) -> None:
    assert without_password(url) == shown
    assert has_password(url) is has
