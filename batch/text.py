"""Numbers with their nouns, instants, and text of others made fit to be shown."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import polars as pl


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


def moment(value: Any) -> datetime | None:
    """An instant in RFC 3339, in UTC where it names no zone; None where it is none."""
    try:
        found = datetime.fromisoformat(value)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def phrase(template: str, *values: pl.Expr) -> pl.Expr:
    """`template` with each `{}` replaced by a value in turn; null where a value is null.

    polars' own `format` panics (2.1.0) on a column whose first chunk is empty, as filtering leaves it behind.
    """
    fixed = template.split("{}")
    parts: list[pl.Expr] = [pl.lit(fixed[0])]
    for value, text in zip(values, fixed[1:], strict=True):
        parts += [value.cast(pl.String), pl.lit(text)]
    return pl.concat_str(parts)


# Apostrophes that already stand before such a character get one more: otherwise the way back is ambiguous.
_DANGEROUS = r"^('*[=+\-@\t\r])"
_DEFUSED = r"^'('*[=+\-@\t\r])"


def defused(cell: pl.Expr) -> pl.Expr:
    """Text as it is safe in a spreadsheet: an apostrophe before anything that could start a formula.

    Args:
        cell: A String expression; null stays null.
    """
    return cell.str.replace(_DANGEROUS, "'${1}")


def restored(cell: pl.Expr) -> pl.Expr:
    """The inverse of `defused`: one apostrophe less before anything that could start a formula.

    Args:
        cell: A String expression; null stays null.
    """
    return cell.str.replace(_DEFUSED, "${1}")
