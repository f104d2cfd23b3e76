"""Group commit: answers that arrive during one transaction are written together in the next one."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from batch.ledger.answered import Answered
    from batch.ledger.process import Process
    from batch.ledger.store import Ledger

GATHER: Final = 0.1
"""Longest time that an answer waits for others, in seconds: a transaction costs more than its content."""

ENOUGH: Final = 16
"""Answers that are written without waiting for more."""


class GroupCommit:
    """Records the answers to many attempts of one process in one transaction."""

    def __init__(self, ledger: Ledger, process: Process) -> None:
        self._ledger = ledger
        self._process = process
        self._pending: list[tuple[tuple[Answered, ...], asyncio.Future[None]]] = []
        self._work = asyncio.Event()
        self._enough = asyncio.Event()

    async def record(self, *answered: Answered, in_flight: int) -> None:
        """Return once an answer is durable.

        Args:
            answered: The answer, once for each request in the body.
            in_flight: Attempts in flight, this one included: no more answers than these can come.

        Raises:
            RunHeldError: Another process has taken the run over.
            LedgerLostError: It can't be recorded.
            BrokenPromiseError: It, or an answer recorded with it, contradicts the ledger.
        """
        recorded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.append((answered, recorded))
        self._work.set()
        if len(self._pending) >= min(ENOUGH, in_flight):
            self._enough.set()
        await recorded

    async def run(self) -> None:
        """Record until cancelled."""
        while True:
            await self._work.wait()
            # Not `wait_for`: in Python 3.11, it loses a cancellation that comes together with the answers.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GATHER):
                    await self._enough.wait()
            self._work.clear()
            self._enough.clear()
            pending, self._pending = self._pending, []
            error = await self._write([one for answered, _ in pending for one in answered])
            for _, recorded in pending:
                if recorded.done():
                    continue  # its attempt was abandoned
                if error is None:
                    recorded.set_result(None)
                else:
                    recorded.set_exception(error)

    async def _write(self, answered: list[Answered]) -> BaseException | None:
        try:
            await asyncio.to_thread(self._ledger.requests.record, *answered, process=self._process)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - `record` raises it
            return error
        return None
