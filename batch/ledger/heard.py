"""Lets a database server hear from this process while it computes in a transaction; a frozen process is silent."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class Voice:
    """Speaks in all transactions of a process: one thread does it for all, and ends if there are none.

    Args:
        every: Seconds between two words.
    """

    def __init__(self, every: float) -> None:
        self._every = every
        self._guard = threading.Lock()
        self._open: dict[threading.Lock, Any] = {}
        self._speaks = False

    @contextmanager
    def heard(self, raw: Any) -> Iterator[None]:
        """Speaks by a connection of the driver until the block ends."""
        # Nobody speaks by a connection that is somebody else's already.
        turn = threading.Lock()
        with self._guard:
            self._open[turn] = raw
            starts, self._speaks = not self._speaks, True
        if starts:
            threading.Thread(target=self._speak, name="heard by the database", daemon=True).start()
        try:
            yield
        finally:
            with self._guard:
                del self._open[turn]
            with turn:
                pass

    def _speak(self) -> None:
        pause = threading.Event()
        while not pause.wait(self._every):
            with self._guard:
                if not self._open:
                    self._speaks = False
                    return
                turns = list(self._open)
            for turn in turns:
                self._say(turn)

    def _say(self, turn: threading.Lock) -> None:
        with self._guard:
            raw = self._open.get(turn)
            if raw is None:
                return
            turn.acquire()
        try:
            # Otherwise the server is at work for it.
            if raw.info.transaction_status.name == "INTRANS":
                with suppress(raw.Error):
                    raw.execute("SELECT 1")
        finally:
            turn.release()
