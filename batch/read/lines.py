"""Random access to the physical lines of a text, without an object for each. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class PhysicalLines:
    r"""The lines of a UTF-8 text; a last line without a line feed counts, an empty remainder does not.

    Only `\n` ends a line: a `\r` before it stays, since it may belong to a quoted cell.
    """

    def __init__(self, text: bytes) -> None:
        self._text = text
        # The offset at which each line begins, and that of the line after the last.
        self._starts = [0]
        newline = text.find(b"\n")
        while newline >= 0:
            self._starts.append(newline + 1)
            newline = text.find(b"\n", newline + 1)
        if text and not text.endswith(b"\n"):
            self._starts.append(len(text) + 1)

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, index: int) -> str:
        """One line without its line feed."""
        return self._text[self._starts[index] : self._starts[index + 1] - 1].decode()

    def block(self, first: int, end: int) -> bytes:
        """The lines from `first` up to and without `end`, with their line feeds, also after the last line."""
        block = self._text[self._starts[first] : self._starts[end]]
        return block if not block or block.endswith(b"\n") else block + b"\n"


def blocks(text: bytes, size: int) -> Iterator[bytes]:
    """The text in pieces of whole lines, each of about `size` bytes; a short text as it is."""
    start = 0
    while start < len(text):
        newline = text.find(b"\n", start + size)
        end = len(text) if newline < 0 else newline + 1
        yield text if (start, end) == (0, len(text)) else text[start:end]
        start = end
