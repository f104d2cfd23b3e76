"""Gzip files → their bytes in pieces, so that a small file that unpacks to any size can be refused. Pure."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

from batch.errors import InputFileError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC: Final = b"\x1f\x8b"

_PIECE: Final = 1 << 16
_UNPACKED_PIECE: Final = 1 << 20
_GZIP: Final = 16 + zlib.MAX_WBITS
_MOST_PARTS: Final = 20_000
"""A file may consist of parts, which some programs make of 64 KB each; many that are empty only take time."""


def unpacked(data: bytes, name: str) -> Iterator[bytes]:
    """The content of a gzip file in pieces of at most 1 MB.

    Args:
        data: The whole file.
        name: The file's name for messages.

    Raises:
        InputFileError: The file is damaged or cut off.
    """
    at = parts = 0
    # Zeros may fill the end of the last block of a tape or device.
    while at < len(data) and (parts == 0 or data[at]):
        parts += 1
        if parts > _MOST_PARTS:
            raise _damaged(name, f"it consists of more than {_MOST_PARTS:,} parts")
        part = zlib.decompressobj(_GZIP)
        rest = b""
        while not part.eof:
            if not rest:
                rest, at = data[at : at + _PIECE], at + _PIECE
                if not rest:
                    raise _damaged(name, "its end is missing")
            try:
                yield part.decompress(rest, _UNPACKED_PIECE)
            except zlib.error as error:
                raise _damaged(name, str(error)) from error
            rest = part.unconsumed_tail
        at = min(at, len(data)) - len(part.unused_data)


def _damaged(name: str, why: str) -> InputFileError:
    return InputFileError(
        f"{name} is compressed with gzip, but damaged: {why}.", next_step="Nothing was sent. Compress or copy it again."
    )
