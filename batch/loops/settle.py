"""Settling: find out from the tenant's lists what became of unconfirmed requests, while sending goes on.

A request that a list shows has arrived. Absence needs proof (status.evidence): the list of each recipient, whoever
requested, read after enough time by two clocks, and after the same kind of list showed a control. The list of the
token's own user takes fewer calls, and is good enough to find requests that have arrived.

Nothing here reads the wall clock to wait: it may be set at any moment.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from batch.answers.events import Settled
from batch.errors import AccessBatchError
from batch.loops.lists import PeoplesLists
from batch.loops.open_doubt import FIRST_LOOK, OpenDoubt, Time
from batch.status.compare import pair_keys
from batch.status.control import NO_PROOF, proof_of
from batch.status.evidence import (
    Settlement,
    Verdict,
    Why,
    found_places,
    is_current,
    judge,
    likely_since,
    parts_by_arrival,
    read_rows,
)
from batch.status.matching import is_bare
from batch.text import key_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from batch.answers.events import Tell
    from batch.api.status_row import StatusRow
    from batch.ledger.process import Process
    from batch.ledger.store import Ledger
    from batch.model import Clock, Doubt
    from batch.status.control import Place, Proof, Witness
    from batch.status.evidence import Elapsed
    from batch.tenant.holdings import Holdings
    from batch.tenant.status import Listing


class Settler:
    """Settles unconfirmed requests of one tenant, of any number of its runs.

    Args:
        ledger: Records the verdicts.
        listing: The tenant's status list.
        settle_after: Seconds within which a request arrives or never will, and then as many for the list to show
            it. Both are more if the ledger remembers that the list was later.
        process: Holds the runs.
        clock: Only its monotonic clock is used to wait.
        tell: Takes each verdict.
        holdings: The tenant's search index; None if it can't be asked.

    Attributes:
        forbidden: The tenant's reason if it does not show some requests to this client; empty otherwise.
        error: Why settling ended early, if it did.
        settled: Number of requests settled so far.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        listing: Listing,
        settle_after: float,
        process: Process,
        clock: Clock,
        tell: Tell,
        holdings: Holdings | None = None,
    ) -> None:
        self._ledger = ledger
        self._lists = PeoplesLists(ledger, listing, holdings, clock)
        self._settle_after = settle_after
        self._wait = settle_after
        self._process = process
        self._clock = clock
        self._tell = tell
        self._open: dict[int, OpenDoubt] = {}
        self._left: dict[int, Why] = {}
        self._runs: dict[int, str] = {}
        self._work = asyncio.Event()
        self._news = asyncio.Event()
        self._settling = False
        self._ended = False
        self._is_news = False
        self._looked_at = -math.inf
        self.forbidden = ""
        self.settled = 0
        self.error: AccessBatchError | None = None

    @property
    def open(self) -> bool:
        """Whether another verdict may come, if only after another request was accepted."""
        return (bool(self._open) or self._settling) and not self._ended

    @property
    def stuck(self) -> bool:
        """Whether no verdict comes unless another request is accepted."""
        return not self._settling and all(math.isinf(one.next_look) for one in self._open.values())

    @property
    def holds_back(self) -> bool:
        """Whether a request that is sent now would be too early to be the control that a doubt may need."""
        waiting = (one.doubt for one in self._open.values())
        return not self._ended and any(doubt.ripe is None and not doubt.arrived for doubt in waiting)

    @property
    def needs_control(self) -> bool:
        """Whether a request that is accepted now may be the control of a doubt that has none."""
        return not self._ended and any(
            one.doubt.ripe is not None and not one.has_control for one in self._open.values()
        )

    @property
    def unconfirmed(self) -> Mapping[int, Why]:
        """The requests that are not settled, by their numbers, and why."""
        return {**self._left, **{number: one.why for number, one in self._open.items()}}

    @property
    def unconfirmed_runs(self) -> Mapping[str, Collection[Why]]:
        """The ids of the runs that have such requests, each with the reasons."""
        unconfirmed = self.unconfirmed
        runs = sorted({self._runs[number] for number in unconfirmed})
        return {run: {why for number, why in unconfirmed.items() if self._runs[number] == run} for run in runs}

    def news(self) -> asyncio.Event:
        """Set after the next verdict, when a doubt needs a control, when stuck, or after settling has ended."""
        return self._news

    def add(self, doubts: Iterable[Doubt]) -> None:
        """Take on requests that are UNCONFIRMED in the ledger."""
        now = self._clock.monotonic()
        for doubt in doubts:
            number, is_new = doubt.request.number, doubt.tenant_time is None
            self._runs[number] = doubt.request.run
            if number in self._open or number in self._left:
                continue
            first = now + (min(FIRST_LOOK, self._settle_after) if is_new else 0.0)
            self._open[number] = OpenDoubt(doubt=doubt, began=now, witnessed=is_new, next_look=first, ripe_at=now)
        self._work.set()

    def accepted(self) -> None:
        """Look again: a request was accepted, which may be the control of a doubt that has none."""
        self._is_news = True
        for one in self._open.values():
            if one.doubt.ripe is not None and not one.has_control:
                one.next_look = one.ripe_at = self._clock.monotonic()
                one.has_control = True
                self._work.set()

    async def run(self) -> None:
        """Settle until cancelled, or until the list can't be read; `error` then holds the reason."""
        try:
            # A library below may lose a cancellation that comes together with an answer.
            while (task := asyncio.current_task()) is None or not task.cancelling():
                await self._due()
                await self._look()
        except AccessBatchError as error:
            self.error = error
        finally:
            # No verdict comes any more, so nothing may wait for one.
            self._ended = True
            self._announce()

    async def _due(self) -> None:
        """Return when a reading is due."""
        while True:
            self._work.clear()
            at = min((one.next_look for one in self._open.values()), default=math.inf)
            if (seconds := at - self._clock.monotonic()) <= 0:
                return
            # Not `wait_for`: in Python 3.11, it loses a cancellation that comes together with the work.
            with suppress(TimeoutError):
                async with asyncio.timeout(None if math.isinf(seconds) else seconds):
                    await self._work.wait()

    # One reading.

    async def _look(self) -> None:
        """Read the lists for the doubts that are due, and judge these."""
        self._looked_at = now = self._clock.monotonic()
        self._is_news = False
        due = [one for one in self._open.values() if one.next_look <= now]
        doubts = [one.doubt for one in due]
        self._wait = await self._lists.wait(doubts[0].request.run, self._settle_after)
        rows = await self._lists.own(doubts)
        # The user's own list starts at a time on the tenant's clock. Without that clock, it may lack older rows.
        shows_lacks = rows is None or self._lists.server_time is not None
        await self._read(due, await self._lists_of(due) if rows is None else rows, now if shows_lacks else None)
        await self._keep_time(due)
        await self._ripen(due)
        late = [one for one in due if self._needs_proof(one)]
        proofs = await self._prove(late) if late else {}
        due = [one for one in due if one.doubt.request.number in self._open]
        self._spread_arrival()
        for one in due:
            await self._judge(one, proofs.get(one.doubt.request.number, NO_PROOF))
        if self._open and self.stuck:
            self._announce()

    async def _lists_of(self, due: list[OpenDoubt]) -> list[StatusRow]:
        """The lists of the doubts' recipients; leaves the doubts whose recipients' lists can't be read."""
        rows, refused = await self._lists.of({identity for one in due for identity in one.doubt.request.recipients})
        for one in list(due) if refused else ():
            if reasons := [refused[identity] for identity in one.doubt.request.recipients if identity in refused]:
                self.forbidden = reasons[0]
                self._leave(one, Why.FORBIDDEN)
                due.remove(one)
        return rows

    async def _read(self, due: Iterable[OpenDoubt], rows: Iterable[StatusRow], began: float | None) -> None:
        """Take what rows say of doubts; `began` is when they were read first, None if they may lack earlier ones."""
        offset, rows, due = await self._lists.clock_offset(), list(rows), list(due)
        people = {key_of(identity) for one in due for identity in one.doubt.request.recipients}
        theirs = [row for row in rows if key_of(row.identity) in people]
        known = await asyncio.to_thread(self._ledger.gaps.known, theirs)
        tracked = await asyncio.to_thread(self._ledger.gaps.tracked, [row for row in theirs if is_bare(row)])
        for one in due:
            since = likely_since(one.doubt, offset)
            # A row without our id is not this request's if the tenant has reported on another one's change with it.
            others = {key for key, requests in tracked.items() if requests - {one.doubt.request.number}}
            mine = [row for row in rows if not (is_bare(row) and (row.access_request, *pair_keys(row)) in others)]
            one.reading = read_rows(one.doubt, mine, since=since, known=known)
            if one.reading.arrived:
                # The next lists need not have the row that shows it, such as one of another recipient.
                one.doubt = replace(one.doubt, arrived=True)
            if len(found_places(one.reading, NO_PROOF)) == one.doubt.request.changes:
                one.shown_at = min(one.shown_at, self._clock.monotonic())
            if math.isinf(one.shown_at) and began is not None:
                one.lacked_at = began

    def _spread_arrival(self) -> None:
        """If something of a body has arrived, so has the rest."""
        bodies = {one.doubt.body for one in self._open.values() if one.doubt.arrived}
        for one in self._open.values():
            if one.doubt.body in bodies:
                one.doubt = replace(one.doubt, arrived=True)

    async def _keep_time(self, due: Iterable[OpenDoubt]) -> None:
        """Keep the tenant's clock, if it was read after the doubts had begun: not all answers tell it."""
        is_new = self._lists.server_time_at >= self._looked_at
        new = [one for one in due if is_new and one.doubt.tenant_time is None]
        if new and (now := self._lists.server_time) is not None:
            await asyncio.to_thread(self._ledger.doubts.keep_time, [one.doubt.request for one in new], now)
            for one in new:
                one.doubt = replace(one.doubt, tenant_time=now)

    async def _ripen(self, due: Iterable[OpenDoubt]) -> None:
        """Keep which requests can arrive no more: those claimed from now on can be their control."""
        ripe = [one for one in due if one.doubt.ripe is None and self._elapsed(one).arrival]
        if ripe:
            claims = await asyncio.to_thread(self._ledger.doubts.ripen, [one.doubt.request for one in ripe])
            for one in ripe:
                one.doubt, one.ripe_at = replace(one.doubt, ripe=claims), self._clock.monotonic()
            self._announce()

    def _needs_proof(self, one: OpenDoubt) -> bool:
        """Whether the verdict depends on what the lists show of other requests."""
        if one.reading is None or len(one.reading.listed) == one.doubt.request.changes:
            return False
        return bool(one.reading.resembling) or one.doubt.ripe is not None

    def _may_be_proven(self, one: OpenDoubt, accepted: Iterable[Witness]) -> bool:
        """Whether it is worth reading more lists now."""
        if one.reading is not None and one.reading.resembling:
            return True
        ripe = one.doubt.ripe
        has_later = ripe is not None and any(one.proves and one.claimed > ripe for one in accepted)
        return has_later or one.waited(self._time()) >= 2 * self._wait

    async def _prove(self, late: list[OpenDoubt]) -> dict[int, Proof]:
        """What the lists of people prove for doubts, by the numbers of their requests."""
        known = await self._lists.accepted(doubts := [one.doubt for one in late])
        if not any(self._may_be_proven(one, known) for one in late):
            return {}
        witnesses = await self._lists.shown(known, without_held=any(self._elapsed(one).tail for one in late))
        # Read after the witnesses: by then, the list is at least as far.
        began = self._clock.monotonic()
        rows = await self._lists_of(late)
        await self._read(late, rows, began)
        proofs = {one.doubt.request.number: proof_of(one.doubt, witnesses) for one in late}
        self._wait = await self._lists.wait(doubts[0].request.run, self._settle_after)
        if late and not all(proof.control or proof.pending for proof in proofs.values()):
            rows = [*rows, *await self._lists.of_somebody_later(doubts, self._wait)]
            for one in late:
                current = any(is_current(row, one.doubt, self._wait) for row in rows)
                proofs[one.doubt.request.number] = proof_of(one.doubt, witnesses, current=current)
        return proofs

    # Verdicts.

    async def _judge(self, one: OpenDoubt, proof: Proof) -> None:
        if one.reading is None:
            return
        doubt = one.doubt
        one.has_control = proof.control or proof.pending
        one.proven_at = min(one.proven_at, self._clock.monotonic()) if proof.proves_absence else math.inf
        elapsed = self._elapsed(one)
        held: frozenset[Place] = frozenset()
        if elapsed.tail and doubt.arrived:
            held = await self._lists.held(doubt.request)
        verdict = judge(doubt, one.reading, proof, elapsed, held=held)
        if verdict.elsewhere and (arrived := await self._take_lost(one, one.reading.lost)) is not None:
            if arrived:
                return
            # Neither is any of these rows an arrival of the request.
            verdict = Verdict(settlement=Settlement.NOT_FOUND)
        if verdict.settlement is Settlement.OPEN:
            self._go_on(one, verdict, proof, elapsed)
        else:
            await self._settle(one, verdict, found_places(one.reading, proof), held)

    def _go_on(self, one: OpenDoubt, verdict: Verdict, proof: Proof, elapsed: Elapsed) -> None:
        """Look again later, or once a request was accepted; or leave a request that more time can't settle."""
        one.why = verdict.why
        if (why := one.given_up(self._time(), elapsed)) is not None:
            self._leave(one, why)
            return
        now = self._time()
        one.look_again(now, pending=proof.pending, accepted_meanwhile=self._is_news, cost=now.now - self._looked_at)

    def _elapsed(self, one: OpenDoubt) -> Elapsed:
        return one.elapsed(self._time(), read_at=self._looked_at)

    def _time(self) -> Time:
        return Time(now=self._clock.monotonic(), wait=self._wait, server_time=self._lists.server_time)

    async def _settle(
        self, one: OpenDoubt, verdict: Verdict, found: Mapping[Place, str], held: frozenset[Place]
    ) -> None:
        request, settlement = one.doubt.request, verdict.settlement
        parts = parts_by_arrival(request, found, held) if settlement is Settlement.PARTLY else ()
        has_left = one.doubt.fence is None
        if settlement is Settlement.FOUND and has_left and one.lacked_at is not None and not math.isinf(one.shown_at):
            # A verdict that came late says nothing about the list, nor does a request that may have left late.
            lacked_for, shown_after = one.lacked_at - one.began, one.shown_at - one.began
            await self._lists.note_delay(request, lacked_for=lacked_for, shown_after=shown_after)
        # Forget it first: once it is PLANNED in the ledger, an attempt may make it unconfirmed again.
        self._open.pop(request.number, None)
        self._settling = True
        await asyncio.to_thread(
            self._ledger.requests.settle,
            request,
            arrived=settlement is Settlement.FOUND,
            now=self._clock.now(),
            process=self._process,
            parts=parts,
            access_requests=sorted(set(found.values()) - {""}),
            held=sorted(held - found.keys()),
        )
        self._settling = False
        if settlement is Settlement.PARTLY and not all(part.arrived for part in parts):
            self._left[request.number] = Why.INCOMPLETE
        if settlement is not Settlement.NOT_FOUND:
            for other in self._open.values():
                if other.doubt.body == one.doubt.body:
                    other.doubt = replace(other.doubt, arrived=True)
        self.settled += 1
        self._tell(Settled(request=request, verdict=settlement))
        self._announce()

    async def _take_lost(self, one: OpenDoubt, rows: Sequence[StatusRow]) -> int | None:
        """Settle a request that did not arrive, if changes of it have in lost requests; see `record_elsewhere`."""
        request = one.doubt.request
        arrived = await asyncio.to_thread(
            self._ledger.requests.take_lost, request, rows, self._clock.now(), self._process
        )
        if arrived:
            self._open.pop(request.number)
            if arrived < request.changes:
                self._left[request.number] = Why.TIME
            self.settled += 1
            verdict = Settlement.FOUND if arrived == request.changes else Settlement.PARTLY
            self._tell(Settled(request=request, verdict=verdict))
            self._announce()
        return arrived

    def _leave(self, one: OpenDoubt, why: Why) -> None:
        """Leave a request unconfirmed: a later process, or a person, will settle it."""
        self._left[one.doubt.request.number] = why
        self._open.pop(one.doubt.request.number, None)
        self._announce()

    def _announce(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()
