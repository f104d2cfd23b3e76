"""Cancelling the requests of a run at the tenant.

The tenant answers before it cancels, and accepts ids that mean nothing to it. So every cancellation is read back, at
growing intervals, until it shows or `settle_after` has passed. Requests that a bulk call did not cancel are cancelled
one at a time, once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from batch.answers.events import Notice
from batch.api.dialects import CANCEL_LIMIT, FILTER_VALUES
from batch.errors import StoppedError
from batch.status.cancel import RunRows, cancel_scope, is_cancelable, rows_of_run
from batch.tenant.reading import ForbiddenError
from batch.tenant.status import Query, pages

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from datetime import datetime

    from batch.answers.events import Tell
    from batch.api.status_row import StatusRow
    from batch.model import Answer, Clock
    from batch.status.cancel import CancelScope
    from batch.status.matching import RunChanges
    from batch.tenant.status import Listing

FIRST_LOOK: Final = 1.0
"""Seconds from a cancellation to its first reading; each further reading waits twice as long."""

LONGEST_WAIT: Final = 30.0
"""Seconds between two readings, at most."""

_FORBIDDEN: Final = 403
_SUCCESS: Final = range(200, 300)
_Job = TypeVar("_Job")


class CancelPort(Protocol):
    """Takes cancellations: a tenant over HTTP, or a fake."""

    @property
    def in_bulk(self) -> bool:
        """Whether it takes several access requests in one call."""

    async def many(self, access_requests: Sequence[str], comment: str) -> Answer:
        """Cancel several access requests."""

    async def one(self, account_activity: str, comment: str) -> Answer:
        """Cancel one access request or one row of it."""


class Canceller:
    """Cancels the requests of a run.

    Args:
        own: The run's changes.
        cancel_port: Takes cancellations.
        listing: The tenant's status list.
        since: Rows that are older are not the run's.
        comment: Sent with every cancellation.
        settle_after: Seconds within which the list shows a cancellation.
        clock: This machine's clock.
        concurrency: Most calls at a time.
        tell: Takes notices.

    Attributes:
        run_rows: The run's rows, as last read.
        calls: Calls made: `bulk`, `single`, and of these `refused`.
        refused: The tenant's last refusal; empty if it refused nothing.
    """

    def __init__(
        self,
        *,
        own: RunChanges,
        cancel_port: CancelPort,
        listing: Listing,
        since: datetime,
        comment: str,
        settle_after: float,
        clock: Clock,
        concurrency: int,
        tell: Tell,
    ) -> None:
        self._own = own
        self._cancel_port = cancel_port
        self._listing = listing
        self._since = since
        self._comment = comment
        self._settle_after = settle_after
        self._clock = clock
        self._concurrency = concurrency
        self._tell = tell
        self._stop = asyncio.Event()
        self._pages = 1
        self._by_id = True
        self._forbidden = False
        self.run_rows = RunRows()
        self.calls: Counter[str] = Counter()
        self.refused = ""

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Cancel nothing more, and stop waiting."""
        self._stop.set()

    async def look(self) -> None:
        """Read all rows that this user has requested since the run began.

        Raises:
            ForbiddenError: The token's user may not read the list.
            TenantLostError: The list can't be read.
        """
        rows: dict[int, list[StatusRow]] = {}
        shared: set[str] = set()
        self._pages = 0
        async for page in pages(self._listing, Query(since=self._since)):
            part = rows_of_run(page.rows, self._own)
            for place, found in part.rows.items():
                rows.setdefault(place, []).extend(found)
            shared |= part.shared
            self._pages += 1
        self.run_rows = RunRows(rows=rows, shared=frozenset(shared))

    async def cancel(self) -> None:
        """Cancel the requests that can be cancelled, and read back the result.

        Raises:
            StoppedError: The tenant is lost, or refuses the client; `run_rows` is as last read.
        """
        wanted = cancel_scope(self.run_rows)
        asked = await self._in_bulk(wanted) if self._cancel_port.in_bulk else ()
        if asked:
            await self._read_back(asked)
            left = cancel_scope(self.run_rows)
            not_done = sum(name in left.whole for name in asked)
            if not_done and not self.stopped:
                self._tell(
                    Notice(
                        text=f"The tenant took {not_done} access requests for cancelling in bulk and did not cancel "
                        "them: they are cancelled one at a time."
                    )
                )
        left = cancel_scope(self.run_rows)
        if left.changes and not self.stopped:
            taken = await self._singly(left)
            await self._read_back(taken, besides=[*left.whole, *(row.access_request for row in left.single)])

    async def _in_bulk(self, wanted: CancelScope) -> tuple[str, ...]:
        """Cancel whole access requests; return those that the tenant has accepted for cancelling."""
        names = list(wanted.whole)
        chunks = [names[start : start + CANCEL_LIMIT] for start in range(0, len(names), CANCEL_LIMIT)]
        taken: list[str] = []
        useless = asyncio.Event()

        async def ask(chunk: list[str]) -> None:
            if useless.is_set():
                return
            answer = await self._cancel_port.many(chunk, self._comment)
            self.calls["bulk"] += 1
            if answer.status in _SUCCESS:
                taken.extend(chunk)
                return
            self.calls["refused"] += 1
            if not useless.is_set():
                self._tell(
                    Notice(text=f"The tenant does not cancel in bulk ({_reason(answer)}): cancelling one at a time.")
                )
            useless.set()

        await self._each(chunks, ask)
        return tuple(taken)

    async def _singly(self, left: CancelScope) -> Sequence[str]:
        """Cancel each access request or row alone; return the access requests that the tenant has accepted."""
        taken: list[str] = []

        async def single(row: StatusRow) -> None:
            if await self._one(row.activity):
                taken.append(row.access_request)

        async def whole(name: str) -> None:
            if await self._one(name):
                taken.append(name)
                return
            # Documents and tenants disagree on which id to send.
            for row in left.whole[name]:
                await single(row)

        await self._each(left.whole, whole)
        await self._each(left.single, single)
        return taken

    async def _one(self, activity: str) -> bool:
        if not activity or self._forbidden or self.stopped:
            return False
        answer = await self._cancel_port.one(activity, self._comment)
        self.calls["single"] += 1
        if answer.status in _SUCCESS:
            return True
        self.calls["refused"] += 1
        self.refused = _reason(answer)
        self._forbidden = self._forbidden or answer.status == _FORBIDDEN
        return False

    async def _each(self, jobs: Iterable[_Job], work: Callable[[_Job], Awaitable[None]]) -> None:
        """Work on several jobs at a time; the first failure ends all."""
        waiting = iter(jobs)

        async def worker() -> None:
            for job in waiting:
                if self.stopped or self._forbidden:
                    return
                await work(job)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._concurrency):
                    group.create_task(worker())
        except BaseExceptionGroup as failures:
            stopped, _ = failures.split(StoppedError)
            raise (stopped.exceptions[0] if stopped else failures.exceptions[0]) from failures

    async def _read_back(self, taken: Sequence[str], besides: Sequence[str] = ()) -> None:
        """Read until nothing that the tenant has accepted is left to cancel, or `settle_after` has passed.

        Args:
            taken: Access requests that the tenant has accepted for cancelling.
            besides: Further access requests, to be read once.
        """
        began, pause = self._clock.monotonic(), FIRST_LOOK
        wanted, names = set(taken), {*taken, *besides}
        while not self.stopped:
            await self._look_again(sorted(names))
            names = {row.access_request for row in self._cancelable()} & wanted
            left = began + self._settle_after - self._clock.monotonic()
            if not names or left <= 0:
                return
            # Not `wait_for`: in Python 3.11, it loses a cancellation that comes together with the stop.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(pause, left)):
                    await self._stop.wait()
            pause = min(2 * pause, LONGEST_WAIT)

    def _cancelable(self) -> Iterable[StatusRow]:
        return (row for rows in self.run_rows.rows.values() for row in rows if is_cancelable(row))

    async def _look_again(self, names: Sequence[str]) -> None:
        """Read these access requests again, by id if that takes fewer calls than the whole list."""
        calls = -(-len(names) // FILTER_VALUES)
        if self._by_id and calls < self._pages and all(names):
            try:
                return await self._look_at(names)
            except ForbiddenError:
                # The vendor's documents disagree on the filter's operators: a tenant may not know this one.
                self._by_id = False
        return await self.look()

    async def _look_at(self, names: Sequence[str]) -> None:
        rows = dict(self.run_rows.rows)
        for start in range(0, len(names), FILTER_VALUES):
            query = Query(since=self._since, access_requests=tuple(names[start : start + FILTER_VALUES]))
            found = [row async for page in pages(self._listing, query) for row in page.rows]
            # Rows of other access requests are the same change, submitted twice: keep them.
            for place, new in rows_of_run(found, self._own).rows.items():
                seen = {row.access_request for row in new}
                rows[place] = [*(row for row in rows.get(place, ()) if row.access_request not in seen), *new]
        self.run_rows = RunRows(rows=rows, shared=self.run_rows.shared)


def _reason(answer: Answer) -> str:
    return f"{answer.status}: {answer.text}" if answer.text else f"it answered {answer.status}"
