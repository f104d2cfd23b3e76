"""Text that stands in a `filters` parameter or a search query: quoted, so that no name can end it early."""

from __future__ import annotations


def quoted(value: str) -> str:
    """A value in double quotes, with quotes and backslashes in it escaped.

    Source: the vendor's page on standard collection parameters.
    """
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
