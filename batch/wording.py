"""Numbers with their nouns, instants, and text of others made fit to be shown."""

from __future__ import annotations

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


def instant(moment: datetime | None) -> str:
    """An instant in ISO 8601, in UTC with milliseconds; empty for none. What has no zone is UTC."""
    if moment is None:
        return ""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
