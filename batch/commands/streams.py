"""Standard input, output and error. None of them decides how a command ends: only the ledger counts."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from typing import BinaryIO

    from _typeshed import ReadableBuffer

_OUTPUT: Final = 1
_ERROR: Final = 2

_CLOSED: Final = OSError(errno.EBADF, "it is closed")


class Sink(io.FileIO):
    """Writes to a descriptor until that fails, and nowhere from then on: writing never raises.

    Attributes:
        failure: Why it failed, until somebody takes it.
    """

    failure: OSError | None = None
    _is_lost = False

    def lose(self, failure: OSError) -> None:
        """Writes nothing any more."""
        self._is_lost = True
        self.failure = failure

    def write(self, data: ReadableBuffer, /) -> int:
        """Writes, or does nothing."""
        while not self._is_lost:
            try:
                written: int | None = super().write(data)
            except OSError as error:
                self.lose(error)
                break
            if written is not None:
                return written
            # Another program has put the terminal or pipe into non-blocking mode.
            select.select([], [self], [])
        return memoryview(data).nbytes


def keep_streams() -> None:
    """At the very beginning of a program: no output that fails ends it, and no file takes a closed stream's number."""
    closed = {number for number in range(3) if not _is_open(number)}
    for _ in closed:
        # The lowest free number: what the ledger or a library wrote to standard error would else go into our own files.
        os.open(os.devnull, os.O_RDWR)
    sys.stdout = stream_to(_OUTPUT, _encoding(sys.stdout), is_closed=_OUTPUT in closed)
    sys.stderr = stream_to(_ERROR, _encoding(sys.stderr), is_closed=_ERROR in closed)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _encoding(stream: TextIO | None) -> str:
    return "utf-8" if stream is None else stream.encoding


def stream_to(number: int, encoding: str = "utf-8", *, is_closed: bool = False) -> TextIO:
    """A stream to a descriptor, that never raises.

    Args:
        number: The descriptor, which stays open.
        encoding: Of the text. What it lacks is shown escaped.
        is_closed: Whether there is no such stream.
    """
    sink = Sink(number, "w", closefd=False)
    if is_closed:
        sink.lose(_CLOSED)
    is_prompt = number == _ERROR or sink.isatty()
    return io.TextIOWrapper(
        io.BufferedWriter(sink), encoding=encoding, errors="backslashreplace", line_buffering=is_prompt
    )


def failure_of(stream: TextIO, *, taken: bool = False) -> OSError | None:
    """Why a stream can't be written any more; None if it can, or if its reader only wants no more.

    Args:
        stream: Standard output or standard error.
        taken: Whether the caller tells the user, so that nobody else needs to.
    """
    sink = getattr(getattr(stream, "buffer", None), "raw", None)
    if not isinstance(sink, Sink) or isinstance(sink.failure, BrokenPipeError):
        return None
    failure = sink.failure
    if taken:
        sink.failure = None
    return failure


def standard_input() -> BinaryIO | None:
    """Standard input; None if it is closed."""
    return None if sys.stdin is None else sys.stdin.buffer
