"""Other people's text on our screen."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from batch.text import visible


@given(st.text())
def test_every_text_can_be_shown(text: str) -> None:
    assert visible(text).replace("\n", "").isprintable()


@given(st.text())
def test_json_stays_the_same_json(text: str) -> None:
    assert json.loads(visible(json.dumps({"a": text}, ensure_ascii=False))) == {"a": text}


def test_unprintable_characters_are_escaped_and_the_rest_stays() -> None:
    assert visible("Zo\u00eb \u202e\x1b[31m\x9b\u200b") == "Zo\u00eb \\u202e\\u001b[31m\\u009b\\u200b"
