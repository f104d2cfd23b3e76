"""Numbers with their nouns, instants, and text of others made fit to be shown."""

from __future__ import annotations

import json
from datetime import UTC
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


def count(number: int, noun: str) -> str:
    """A number with its noun: `1 row`, `2,000 rows`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def on_one_line(text: str, *, most: int) -> str:
    """Text of others as it can stand in a line of ours: what can't be printed is a blank, and blanks are one.

    Args:
        text: Whatever somebody has sent.
        most: Characters that are kept.
    """
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())[:most]


def visible(text: str) -> str:
    r"""Text as it can be shown on a terminal: what can't be printed is written out, `\u001b`, and only lines end.

    Escape sequences, and characters that hide or turn others around, reach the screen in no other way. What is JSON
    stays the same JSON.

    Args:
        text: Lines of ours, with whatever of others stands in them.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one == "\n" else json.dumps(one)[1:-1] for one in text)


def instant(moment: datetime | None) -> str:
    """An instant in ISO 8601, in UTC with milliseconds; empty for none. What has no zone is UTC."""
    if moment is None:
        return ""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
