"""Comparing: before anything is sent, find requests of our users that the ledger does not know.

The newest rows of each user's list are read until they are older than the ledger's newest answer. All that the ledger
does not know was sent later. Usually this is one call, which also proves address and API version.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from batch.answers.events import Notice
from batch.errors import StoppedError
from batch.ledger.standing import doubtful_of
from batch.status.compare import LONG_AGO, is_listed
from batch.status.evidence import LOOK_BACK, SKEW
from batch.status.matching import request_id
from batch.tenant.status import ListingForbiddenError, Query, all_rows, pages
from batch.text import RequestId

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from datetime import datetime

    from batch.answers.events import Tell
    from batch.api.status_row import StatusRow
    from batch.ledger.gaps import Compared, LedgerAge
    from batch.ledger.process import Process
    from batch.ledger.standing import Sent, Standing
    from batch.ledger.store import Ledger
    from batch.model import Clock
    from batch.tenant.status import Listing

OVERLAP: Final = timedelta(seconds=60)
"""How much earlier than the ledger's newest answer rows are read: a tenant's machines have several clocks."""

NEAR: Final = timedelta(seconds=10)
"""How much earlier than the newest accepted row rows are read: nothing that is unknown was sent before it."""

LOOKS: Final = 4
"""How often a stale ledger's comparison looks for the last accepted requests, each time after the whole wait."""

CONTROLS: Final = 3
"""How many accepted requests are looked for until one is listed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LastAccepted:
    """The request of a run that the tenant accepted last, as this machine has seen it.

    Attributes:
        id: Its id.
        recipients: Their ids. The list does not show those who held the access before.
        sent: The request; None if an older version has kept it.
    """

    id: str
    recipients: tuple[str, ...]
    sent: Sent | None = None


class Comparison:
    """Compares a ledger with one tenant.

    Args:
        ledger: The ledger.
        listing: The tenant's status list.
        tenant: An address of the tenant.
        users: Ids of the users whose requests are listed besides those of the token's user.
        accepted: The last accepted request of each run whose newest head a stale ledger lacks.
        lost: What these runs had on their way.
        restore: Puts requests in doubt again that the ledger has given up, unless it accounts for them otherwise.
        import_: Imports rows of our requests of which the ledger has nothing.
        settle_after: Seconds within which the list shows a request that has arrived.
        process: Compares.
        clock: This machine's clock.
        tell: Takes notices.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        listing: Listing,
        tenant: str,
        users: Iterable[str],
        accepted: Iterable[LastAccepted],
        lost: Iterable[Standing],
        restore: Callable[[Sequence[Sent]], None],
        import_: Callable[[Sequence[StatusRow]], None],
        settle_after: float,
        process: Process,
        clock: Clock,
        tell: Tell,
    ) -> None:
        self._ledger = ledger
        self._listing = listing
        self._tenant = tenant
        self._users = ("", *sorted(users))
        self._accepted = tuple(accepted)
        self._lost = tuple(lost)
        self._restore = restore
        self._import = import_
        self._settle_after = settle_after
        self._process = process
        self._clock = clock
        self._tell = tell
        self._recognized = False

    async def compare(self, *, stale: str) -> Compared:
        """Record as found the planned changes that have arrived without the ledger knowing it.

        Args:
            stale: Where this machine keeps a newer head of the ledger; empty if it has seen none.

        Raises:
            StoppedError: The list can't be read, or does not prove that it would show missing requests.
        """
        age = await asyncio.to_thread(self._ledger.gaps.age, self._tenant)
        if stale:
            delay = await asyncio.to_thread(self._ledger.doubts.listing_delay_at, self._tenant, self._clock.now())
            wait = max(self._settle_after, 3 * delay)
            self._tell(
                Notice(
                    text="The ledger is older than this machine has seen it: it was put back or copied. Waiting "
                    f"{wait:.0f} s until the tenant's list shows everything, then comparing."
                )
            )
            await self._until_current(wait, stale)
        rows: list[StatusRow] = []
        for user in self._users:
            try:
                rows += await self._newest(user, age, stale=bool(stale))
            except ListingForbiddenError as error:
                if stale:
                    raise not_proven(f"the tenant does not list the requests ({error})", stale) from None
                whose = f"requests of {user}" if user else "requests"
                self._tell(
                    Notice(
                        text=f"The tenant does not list {whose} ({error}): if this ledger was put back from a backup, "
                        "requests sent since then may be sent again."
                    )
                )
        if stale and not self._recognized and not await self._finds_a_control():
            raise not_proven("its list shows no request that this ledger knows as accepted", stale)
        arrived = [one.sent for one in self._accepted if one.sent is not None]
        arrived += await asyncio.to_thread(self._ledger.lost.given_up, rows)
        # What the list shows in part has arrived as a whole. What was on its way may have been planned anew meanwhile,
        # by a machine that does not know of it.
        may_miss = [one for one in arrived if not is_listed(one.request, rows)]
        if may_miss := may_miss + doubtful_of(self._lost):
            await asyncio.to_thread(self._restore, may_miss)
        # In the order in which it was sent.
        if older := await asyncio.to_thread(self._ledger.gaps.older, self._tenant, rows, is_behind=bool(stale)):
            await asyncio.to_thread(self._import, older)
        compared = await asyncio.to_thread(
            self._ledger.gaps.take,
            self._tenant,
            self._process,
            rows,
            self._clock.now(),
            is_behind=bool(stale),
            lost=self._lost,
        )
        if compared.unknown:
            await asyncio.to_thread(self._import, compared.unknown)
        return compared

    async def _until_current(self, wait: float, heads: str) -> None:
        """Wait until the list has shown the last accepted requests for so long that it shows all earlier ones."""
        missing = self._accepted
        for look in range(LOOKS):
            missing = tuple([one for one in missing if not await self._shows(one.id, one.recipients)])
            if missing and look == LOOKS - 1:
                break
            await asyncio.sleep(wait)
            if not missing:
                return
        raise not_proven(f"its list does not show {missing[0].id}, which the tenant accepted", heads)

    async def _newest(self, user: str, age: LedgerAge, *, stale: bool) -> list[StatusRow]:
        """A user's rows that are newer than the ledger's newest answer, and a few more."""
        query = Query(requested_by=user, newest_first=True)
        first = await self._listing.page(query, 0)
        since = read_since(age, await self._listing.clock_offset(), self._clock.now(), stale=stale)
        if first.more and not _is_newest_first(first.rows):
            every = Query(requested_by=user, since=since)
            return self._noted([row async for row in all_rows(self._listing, every)])
        found: list[StatusRow] = []
        async for page in pages(self._listing, query, first):
            answered = await asyncio.to_thread(self._ledger.gaps.answered, page.rows)
            known = [row.created for row in page.rows if RequestId.read(request_id(row)) in answered]
            if not stale:
                since = max([since, *(created - NEAR for created in known if created is not None)])
            found += [row for row in page.rows if row.created is None or row.created >= since]
            if any(row.created is not None and row.created < since for row in page.rows):
                break
        return self._noted(found)

    def _noted(self, rows: list[StatusRow]) -> list[StatusRow]:
        """The rows; notes whether one of them is a request of ours, as we recognize them."""
        self._recognized |= any(RequestId.read(request_id(row)) is not None for row in rows)
        return rows

    async def _finds_a_control(self) -> bool:
        """Whether the list shows a request that the tenant accepted from this ledger."""
        for request in await asyncio.to_thread(self._ledger.gaps.controls, self._tenant, most=CONTROLS):
            if await self._shows(request.id, request.recipients):
                return True
        return False

    async def _shows(self, request: str, recipients: Iterable[str]) -> bool:
        """Whether the list of some recipient shows a request of ours."""
        wanted = RequestId.read(request)
        for recipient in recipients:
            rows = all_rows(self._listing, Query(requested_for=recipient))
            with suppress(ListingForbiddenError):
                if any([RequestId.read(request_id(row)) == wanted async for row in rows]):
                    return True
        return False


LOOK_PAGES: Final = 4
"""How many of the newest pages of the user's list a new ledger looks at."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OtherRun:
    """A run of another ledger, by the tenant's list; the times are None if it tells none.

    Attributes:
        id: Its id.
        first: When its first listed request was created.
        last: The same of its last.
        changes: Rows of the list.
    """

    id: str
    first: datetime | None
    last: datetime | None
    changes: int


async def other_runs(listing: Listing, known: Callable[[], Collection[str]]) -> tuple[OtherRun, ...]:
    """The runs of other ledgers among the newest requests of the token's user, the newest run first.

    None if the tenant does not list them: the comparison says so before anything is sent.

    Args:
        listing: The tenant's status list.
        known: Tells the ids of the runs that the ledger has. It is asked once the list was read: while that lasts,
            another process may plan and send with the same ledger.

    Raises:
        TenantLostError: The list can't be read.
    """
    found: dict[str, list[datetime | None]] = {}
    with suppress(ListingForbiddenError):
        looked = 0
        async for page in pages(listing, Query(newest_first=True)):
            for row in page.rows:
                if (request := RequestId.read(request_id(row))) is not None:
                    found.setdefault(request.run, []).append(row.created)
            looked += 1
            if looked == LOOK_PAGES:
                break
    for run in known() if found else ():
        found.pop(run, None)
    times = {run: [time for time in created if time is not None] for run, created in found.items()}
    return tuple(
        OtherRun(id=run, first=min(times[run], default=None), last=max(times[run], default=None), changes=len(created))
        for run, created in found.items()
    )


def read_since(age: LedgerAge, offset: timedelta, now: datetime, *, stale: bool) -> datetime:
    """From when on rows are read, by the tenant's clock.

    Args:
        age: How new the ledger is.
        offset: How far the tenant's clock is ahead of ours.
        now: By our clock.
        stale: Whether the ledger is older than this machine has seen it.
    """
    if age.answered is not None:
        return age.answered - (LOOK_BACK if stale else OVERLAP)
    if stale and (age.since is None or age.since > now):
        # Our clock was ahead when the ledger was written, nobody knows by how much.
        return LONG_AGO
    newest = min(age.since, now) if age.since is not None else now
    return newest + offset - (LOOK_BACK if stale else SKEW)


def _is_newest_first(rows: Iterable[StatusRow]) -> bool:
    times = [row.created for row in rows if row.created is not None]
    return all(later >= earlier for later, earlier in pairwise(times))


def not_proven(why: str, heads: str) -> StoppedError:
    """The end of a command that finds the ledger stale, and can't find the requests that it lacks.

    Args:
        why: Follows a colon.
        heads: Where this machine keeps the newer heads of the ledger.
    """
    return StoppedError(
        f"The ledger is older than this machine has seen it, and nothing proves what was sent since then: {why}.",
        next_step="Nothing more was sent. Put the newest copy of the ledger back if there is one. Else wait, and run "
        "the same command again. If that never helps: once you can see in the tenant everything that was sent last, "
        "discard the unfinished runs (`access-batch discard`), take over the tenant's requests "
        f"(`access-batch ledger import`), and only then remove {heads}.",
    )
