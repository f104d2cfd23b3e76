"""Whether a tenant announces the end of an API version."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from batch.text import on_one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMES: Final = ("deprecation", "sunset", "x-deprecated")
"""Headers that announce an end (RFC 9745, RFC 8594, and the vendor's own); `Link` does if its relation says so."""

_RELATION: Final = re.compile(r"rel\s*=\s*\"?[^\";,]*\b(deprecation|sunset|successor-version)\b", re.IGNORECASE)
_SECONDS: Final = re.compile(r"@(\d{1,11})")
_MOST_TEXT: Final = 200


def deprecation_notice(headers: Mapping[str, str]) -> str:
    """The end of an API version that an answer's headers announce, as a sentence; empty if they announce none.

    Args:
        headers: Names in any case.
    """
    known = {name.lower(): value for name, value in headers.items()}
    found = [f"{name.title()}: {value}" for name in _NAMES if (value := _readable(known.get(name, "")))]
    link = known.get("link", "")
    if _RELATION.search(link):
        found.append(f"Link: {_readable(link)}")
    return f"The tenant announces that this API version is deprecated ({'; '.join(found)})." if found else ""


def _readable(value: str) -> str:
    """One line of printable text; empty for `false`. Seconds since 1970 (RFC 9745) become a date."""
    text = on_one_line(value, most=_MOST_TEXT)
    if text.lower() == "false":
        return ""
    seconds = _SECONDS.fullmatch(text)
    return f"{datetime.fromtimestamp(int(seconds[1]), UTC):%Y-%m-%d}" if seconds else text
