"""The announced end of an API version makes one readable sentence; nothing else does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.api.deprecation import deprecation_notice


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"Deprecation": "@1830297600"}, "Deprecation: 2028-01-01"),
        ({"deprecation": "true"}, "Deprecation: true"),
        ({"SUNSET": "Sat, 31 Mar 2029 00:00:00 GMT"}, "Sunset: Sat, 31 Mar 2029 00:00:00 GMT"),
        ({"X-Deprecated": "use v1"}, "X-Deprecated: use v1"),
        ({"Link": '<https://x.example/why>; rel="deprecation"; type="text/html"'}, "Link: <https://x.example/why>"),
        ({"Link": '</v1>; rel="self successor-version"'}, "Link: </v1>"),
        ({"Deprecation": "true", "Sunset": "soon"}, "(Deprecation: true; Sunset: soon)"),
    ],
)
def test_an_announced_end_makes_a_notice(headers: dict[str, str], said: str) -> None:
    assert said in deprecation_notice(headers)


@pytest.mark.parametrize(
    "headers",
    [{}, {"Deprecation": "false"}, {"X-Deprecated": " "}, {"Link": '</v1?page=2>; rel="next"'}, {"Date": "today"}],
)
def test_other_headers_make_no_notice(headers: dict[str, str]) -> None:
    assert deprecation_notice(headers) == ""


@given(st.dictionaries(st.sampled_from(["Deprecation", "Sunset", "Link", "X-Deprecated"]), st.text(max_size=2000)))
def test_any_header_makes_at_most_one_short_printable_line(headers: dict[str, str]) -> None:
    notice = deprecation_notice(headers)
    assert notice == "" or notice.isprintable()
    assert len(notice) < 1000
