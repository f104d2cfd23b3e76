"""The forms of dates in input files: ISO 8601, named forms, and formats like those of strptime. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import Final

from batch.errors import UsageError
from batch.text import on_one_line

ISO: Final = "iso"
"""The default form."""

US: Final = "us"
"""The form of IdentityIQ's batch files."""

EXCEL: Final = "excel"
"""The form in which spreadsheets keep dates: days since 1899-12-30, with the time of day as a fraction."""

FIRST_DAY: Final = 61
"""The first day of that form that all spreadsheets agree on: some have a 29 February 1900."""

MONTHS: Final = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip

_WORDS: Final = {US: "%m/%d/%Y[ %H:%M:%S[ %Z]]", "eu": "%d.%m.%Y[ %H:%M:%S[ %Z]]"}
_ISO_PATTERN: Final = (
    r"^(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ](?P<clock>[0-9]{2}:[0-9]{2})(?::(?P<seconds>[0-9]{2}(?:[.,][0-9]{1,9})?))?)?"
    r"\s*(?P<zone>[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?$"
)
"""ISO 8601 as people and programs write it: a date, or a date and a time of day with or without a zone."""

_EXAMPLE: Final = datetime(2027, 1, 31, 9, tzinfo=UTC)
_ZONE: Final = r"(?i:Z|UTC|GMT|(?:UTC|GMT)?[+-][0-9]{2}(?::?[0-9]{2})?)"
# For each directive: its group in the pattern, its own pattern, and whether it is a number of varying length.
_DIRECTIVES: Final = {
    "Y": ("year", "[0-9]{4}", False),
    "y": ("short_year", "[0-9]{2}", False),
    "m": ("month", "[0-9]{1,2}", True),
    "b": ("month_name", "(?i:" + "|".join(month[:3] for month in MONTHS) + ")", False),
    "B": ("month_name", "(?i:" + "|".join(MONTHS) + ")", False),
    "d": ("day", "[0-9]{1,2}", True),
    "H": ("hour", "[0-9]{1,2}", True),
    "M": ("minute", "[0-9]{1,2}", True),
    "S": ("second", "[0-9]{1,2}", True),
    "z": ("zone", _ZONE, False),
    "Z": ("zone", _ZONE, False),
}
_DIGITS: Final = frozenset("YymdHMS")
_TOKEN: Final = re.compile(r"%(.)|(\[)|(\])|( +)|([^%\[\] ]+)|(%)\Z", re.DOTALL)
_LONGEST: Final = 60
# No format contains it.
_ZONE_MARK: Final = "\x1f"


@dataclass(frozen=True, kw_only=True, slots=True)
class DateForm:
    """One form of dates.

    Attributes:
        layout: Identifies the form: a format, or ISO.
        pattern: A regular expression. Its groups are `year` or `short_year`, `month` or `month_name`, `day`, and
            optionally `hour`, `minute`, `second` and `zone`. For ISO they are `date`, `clock` (hours and minutes),
            `seconds` (with a fraction) and `zone`; for EXCEL `days` and `fraction`.
        example: How to write a date, for messages.
        time_zone: The name of the zone of dates and times that name none; empty if there is no such zone.
    """

    layout: str
    pattern: str
    example: str
    time_zone: str = ""

    @property
    def groups(self) -> frozenset[str]:
        """Names of the pattern's groups."""
        return frozenset(re.compile(self.pattern).groupindex)


_EXCEL_FORM: Final = DateForm(
    layout=EXCEL,
    pattern=r"^(?P<days>[0-9]{1,7})(?P<fraction>\.[0-9]{1,15})?$",
    example="46418 for 2027-01-31 (excel)",
)
_ISO_FORM: Final = DateForm(
    layout=ISO, pattern=_ISO_PATTERN, example="2027-01-31 or 2027-01-31T09:00:00Z, or give --date-format"
)


def in_zone(name: str, time_zone: str) -> str:
    """The name of a form with a zone for dates and times that name none; `time_zone` may be empty."""
    return f"{name}{_ZONE_MARK}{time_zone}" if time_zone else name


@cache
def date_form(name: str) -> DateForm:
    """The form of a given name or format.

    Args:
        name: `iso`, `us`, `eu`, `excel`, or a format of %Y %y %m %b %B %d %H %M %S %z %Z %% and text, with optional
            parts in brackets: `%m/%d/%Y[ %H:%M %z]`. Or one of these with a zone, from `in_zone`.

    Raises:
        UsageError: The format is malformed, or does not determine an instant.
    """
    word, _, time_zone = name.strip().partition(_ZONE_MARK)
    if word.lower() in {ISO, EXCEL}:
        return replace(_ISO_FORM if word.lower() == ISO else _EXCEL_FORM, time_zone=time_zone)
    layout = _WORDS.get(word.lower(), word)
    if len(layout) > _LONGEST:
        raise _bad_format(word, f"is longer than {_LONGEST} characters")
    if not layout.isprintable():
        raise _bad_format(word, "contains characters that can't be printed")
    tokens = list(_tokens(layout, word))
    _check_parts(tokens, word, has_zone=bool(time_zone))
    short, long = _example(tokens, with_optional=False), _example(tokens, with_optional=True)
    examples = " or ".join(dict.fromkeys((short, long)))
    return DateForm(layout=layout, pattern=_pattern(tokens), example=f"{examples} ({word})", time_zone=time_zone)


def _tokens(layout: str, word: str) -> list[tuple[str, str]]:
    """Pairs of kind (`directive`, `open`, `close`, `space`, `text`) and text."""
    found, depth = [], 0
    for match in _TOKEN.finditer(layout):
        directive, opening, closing, space, text, lonely = match.groups()
        if lonely or (directive and directive != "%" and directive not in _DIRECTIVES):
            known = " ".join(f"%{name}" for name in (*_DIRECTIVES, "%"))
            raise _bad_format(word, f"contains {match.group()!r}; the known directives are {known}")
        depth += bool(opening) - bool(closing)
        if depth < 0:
            break
        if directive == "%":
            found.append(("text", "%"))
        elif directive:
            found.append(("directive", directive))
        else:
            kind = "open" if opening else "close" if closing else "space" if space else "text"
            found.append((kind, text or space or ""))
    if depth:
        raise _bad_format(word, "has unbalanced brackets")
    return found


def _check_parts(tokens: list[tuple[str, str]], word: str, *, has_zone: bool) -> None:
    """Refuse a format that does not determine exactly one instant."""
    depth = 0
    always: list[str] = []
    maybe: list[str] = []
    for kind, text in tokens:
        depth += (kind == "open") - (kind == "close")
        if kind == "directive":
            (maybe if depth else always).append(_DIRECTIVES[text][0].replace("short_", "").replace("_name", ""))
    everything = [*always, *maybe]
    if twice := next((part for part in everything if everything.count(part) > 1), None):
        raise _bad_format(word, f"has the {twice} twice")
    if missing := [part for part in ("year", "month", "day") if part not in always]:
        raise _bad_format(word, f"has no {missing[0]}")
    clock = [part for part in ("hour", "minute", "second") if part in everything]
    if clock and clock != ["hour", "minute", "second"][: max(len(clock), 2)]:
        raise _bad_format(word, "has a time of day without both hour and minute")
    if clock and not has_zone and "zone" not in everything:
        raise _bad_format(word, "has a time of day but no zone (%z), and no --time-zone is given")


def _pattern(tokens: list[tuple[str, str]]) -> str:
    parts = ["^"]
    flat = [(kind, text) for kind, text in tokens if kind not in {"open", "close"}]
    at = -1
    for kind, text in tokens:
        if kind in {"open", "close"}:
            parts.append("(?:" if kind == "open" else ")?")
            continue
        at += 1
        if kind == "directive":
            name, pattern, varies = _DIRECTIVES[text]
            # Adjacent numbers must have their full length: `1112027` would have two readings.
            beside = [flat[i] for i in (at - 1, at + 1) if 0 <= i < len(flat)]
            if varies and any(kind == "directive" and text in _DIGITS for kind, text in beside):
                pattern = "[0-9]{2}"
            parts.append(f"(?P<{name}>{pattern})")
        else:
            parts.append(" +" if kind == "space" else re.escape(text))
    return "".join([*parts, "$"])


def _example(tokens: list[tuple[str, str]], *, with_optional: bool) -> str:
    depth, shown = 0, ""
    for kind, text in tokens:
        depth += (kind == "open") - (kind == "close")
        if kind in {"open", "close"} or (depth and not with_optional):
            continue
        shown += text if kind != "directive" else "Z" if text in "zZ" else _EXAMPLE.strftime(f"%{text}")
    return shown


def _bad_format(word: str, why: str) -> UsageError:
    return UsageError(
        f"--date-format: {on_one_line(word, most=_LONGEST)!r} {why}.",
        next_step="Nothing was sent. Give iso, us, eu, excel, or a format such as %m/%d/%Y or '%d %b %Y[ %H:%M %z]'.",
    )
