"""Sets one entry of a TOML document and keeps its comments and layout. Pure."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT, Table

if TYPE_CHECKING:
    from collections.abc import Sequence


def with_entry(text: str, table: Sequence[str], key: str, value: Sequence[str]) -> str | None:
    """The document with an entry set: replaced in its place, or added after the other entries of its table.

    The result is read again to make sure that nothing but the entry has changed.

    Args:
        text: A valid document.
        table: Names of the tables that lead to the entry; none for the top level.
        key: The entry's name.
        value: A list of text.

    Returns:
        The new text; None if the document's form does not allow the change.
    """
    end = "\r\n" if "\r\n" in text else "\n"
    wanted = place = tomllib.loads(text)
    for name in table:
        place = place.setdefault(name, {})
        if not isinstance(place, dict):
            return None
    place[key] = list(value)
    try:
        document = tomlkit.parse(text if not text or text.endswith("\n") else text + end)
        _set(document, table, key, list(value), end)
        changed = document.as_string()
        if text.count("\n") == text.count("\r\n") > 0:
            changed = changed.replace("\r\n", "\n").replace("\n", "\r\n")
        return changed if tomllib.loads(changed) == wanted else None
    except (TOMLKitError, tomllib.TOMLDecodeError, TypeError, RecursionError):
        return None


def _set(document: tomlkit.TOMLDocument, table: Sequence[str], key: str, value: list[str], end: str) -> None:
    place: Any = document
    for depth, name in enumerate(table, start=1):
        if name not in place:
            new = tomlkit.table(is_super_table=depth < len(table))
            new.trivia.trail = end
            place[name] = new
        place = place[name]
    if key in place:
        place[key] = value
        return
    if not isinstance(place, tomlkit.TOMLDocument | Table):
        raise TypeError
    # tomlkit would add it after the comments that belong to the next table.
    body = place.body if isinstance(place, tomlkit.TOMLDocument) else place.value.body
    entries = [at for at, (name, item) in enumerate(body) if name and not isinstance(item, Table | AoT)]
    has_tables = any(isinstance(item, Table | AoT) for _, item in body)
    at = 1 + max(entries, default=-1 if has_tables else len(body) - 1)
    entry = tomlkit.item(value)
    entry.trivia.trail = end if at or place is not document or not body else end * 2
    body.insert(at, (tomlkit.key(key), entry))
