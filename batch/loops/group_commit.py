"""Group commit: answers that come in while one transaction is being written go into the next one together."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from batch.ledger.requests import Answered
    from batch.ledger.store import Ledger

GATHER: Final = 0.1
"""Longest that an answer waits for others, in seconds: a transaction costs more than what is written in it."""

ENOUGH: Final = 8
"""So many answers wait for no others."""


class GroupCommit:
    """Records answers for many attempts at a time.

    Args:
        ledger: Where they go.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._pending: list[tuple[tuple[Answered, ...], asyncio.Future[None]]] = []
        self._work = asyncio.Event()
        self._enough = asyncio.Event()

    async def record(self, *answered: Answered, in_flight: int) -> None:
        """Returns once an answer is durable.

        Args:
            answered: The answer, for each of the requests that it is to.
            in_flight: Attempts that are on their way, this one included: nobody waits for more than these.

        Raises:
            LedgerLostError: It can't be recorded.
            BrokenPromiseError: It, or one that was recorded with it, does not fit what the ledger says.
        """
        recorded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.append((answered, recorded))
        self._work.set()
        if len(self._pending) >= min(ENOUGH, in_flight):
            self._enough.set()
        await recorded

    async def run(self) -> None:
        """Records until cancelled."""
        while True:
            await self._work.wait()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._enough.wait(), GATHER)
            self._work.clear()
            self._enough.clear()
            pending, self._pending = self._pending, []
            error = await self._write([one for answered, _ in pending for one in answered])
            for _, recorded in pending:
                if recorded.done():
                    continue  # whoever waited for it was abandoned
                if error is None:
                    recorded.set_result(None)
                else:
                    recorded.set_exception(error)

    async def _write(self, answered: list[Answered]) -> BaseException | None:
        try:
            await asyncio.to_thread(self._ledger.requests.record, *answered)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - it is raised where the answer was handed in
            return error
        return None
