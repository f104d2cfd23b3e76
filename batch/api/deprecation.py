"""Whether a tenant says that an API version is on its way out."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from batch.text import on_one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMES: Final = ("deprecation", "sunset", "x-deprecated")
"""Headers that announce an end (RFC 9745, RFC 8594, and the vendor's own); `Link` does where its relation says so."""

_RELATION: Final = re.compile(r"rel\s*=\s*\"?[^\";,]*\b(deprecation|sunset|successor-version)\b", re.IGNORECASE)
_SECONDS: Final = re.compile(r"@(\d{1,11})")
_MOST_TEXT: Final = 200


def deprecation_notice(headers: Mapping[str, str]) -> str:
    """What an answer's headers announce, as a sentence; empty where they announce no end.

    Args:
        headers: Names in any case.
    """
    known = {name.lower(): value for name, value in headers.items()}
    told = [f"{name.title()}: {said}" for name in _NAMES if (said := _readable(known.get(name, "")))]
    link = known.get("link", "")
    if _RELATION.search(link):
        told.append(f"Link: {_readable(link)}")
    return f"The tenant says that this API version is deprecated ({'; '.join(told)})." if told else ""


def _readable(value: str) -> str:
    """One line of printable text; empty for a header that denies. Seconds since 1970 (RFC 9745) become a date."""
    text = on_one_line(value, most=_MOST_TEXT)
    if text.lower() == "false":
        return ""
    seconds = _SECONDS.fullmatch(text)
    return f"{datetime.fromtimestamp(int(seconds[1]), UTC):%Y-%m-%d}" if seconds else text
