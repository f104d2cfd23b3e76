"""One entry of a TOML document set by changing its text, so that everything else in it stays as it is. Pure."""

from __future__ import annotations

import copy
import json
import re
import tomllib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def with_entry(text: str, table: Sequence[str], key: str, value: Sequence[str]) -> str | None:
    """The document with an entry set: in its place where it is there, else at the end or the beginning of its table.

    Whatever this makes is read again, and is given back only if it says what the document said, and the entry.

    Args:
        text: A valid document.
        table: Names of the tables that lead to the entry; none for the top level.
        key: The entry's name.
        value: A list of text.

    Returns:
        The new text; None where the document is of a form in which the entry can't be set safely.
    """
    before = tomllib.loads(text)
    after = _with_value(before, table, key, list(value))
    if after is None:
        return None
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)
    end = "\r\n" if "\r\n" in text else "\n"
    entry = f"{_quoted_key(key)} = [{', '.join(_quoted(one) for one in value)}]"
    for candidate in _candidates(lines, table, key, entry, end):
        try:
            if tomllib.loads(candidate) == after:
                return candidate
        except tomllib.TOMLDecodeError:
            continue
    return None


def _with_value(document: dict[str, Any], table: Sequence[str], key: str, value: list[str]) -> dict[str, Any] | None:
    """What the document is to say; None where something else stands in the place of a table."""
    wanted = copy.deepcopy(document)
    connection = wanted
    for name in table:
        connection = connection.setdefault(name, {})
        if not isinstance(connection, dict):
            return None
    connection[key] = value
    return wanted


def _candidates(lines: list[str], table: Sequence[str], key: str, entry: str, end: str) -> Iterator[str]:
    """Texts to be tried, the most natural first."""
    begins = re.compile(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=")
    for first in (at for at, line in enumerate(lines) if begins.match(line)):
        for last in range(first, len(lines)):
            old = "".join(lines[first : last + 1])
            if _is_entry(old):
                break
        else:
            continue
        comment = _comment_after(old)
        yield "".join([*lines[:first], entry, f"  {comment}" if comment else "", end, *lines[last + 1 :]])
    if lines and not lines[-1].endswith("\n"):
        lines = [*lines[:-1], lines[-1] + end]
    headers = [at for at, line in enumerate(lines) if line.lstrip().startswith("[")]
    if not table:
        for at in (*headers, len(lines)):
            # Comments above a table's header belong to the table.
            connection = at
            while (
                at < len(lines)
                and connection
                and (lines[connection - 1].isspace() or lines[connection - 1].lstrip()[0] == "#")
            ):
                connection -= 1
            gap = [end] if connection < len(lines) and not lines[connection].isspace() else []
            yield "".join([*lines[:connection], entry, end, *gap, *lines[connection:]])
        return
    for at in headers:
        yield "".join([*lines[: at + 1], entry, end, *lines[at + 1 :]])
    header = f"[{'.'.join(_quoted_key(name) for name in table)}]{end}"
    yield "".join([*lines, *([end] if lines else []), header, entry, end])


def _is_entry(text: str) -> bool:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True


def _comment_after(entry: str) -> str:
    """The comment behind the value of an entry."""
    for at in (at for at, character in enumerate(entry) if character == "#"):
        if _is_entry(entry[:at]):
            return entry[at:].rstrip()
    return ""


def _quoted_key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _quoted(name)


def _quoted(text: str) -> str:
    # JSON's escapes are TOML's too, but for this one character.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
