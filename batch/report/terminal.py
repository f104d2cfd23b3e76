"""The terminal that a stream writes to."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from batch.text import folded, visible

if TYPE_CHECKING:
    from typing import IO


def shown(text: str, stream: IO[str]) -> str:
    """Text safe to show on a stream. Its long lines are broken at blanks, but only if the stream is a terminal."""
    return folded(visible(text), _columns(stream))


def _columns(stream: IO[str]) -> int:
    """Columns of a stream's terminal; 0 if it is none, or does not tell."""
    try:
        return os.get_terminal_size(stream.fileno()).columns if stream.isatty() else 0
    except (OSError, ValueError):
        return 0
