"""Looks again before something planned is sent, and leaves out the changes that moved; the screen names them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import polars as pl

from batch.commands.accounts import no_longer_only
from batch.dedupe.again import as_if_unplanned, dates_passed, moved
from batch.dedupe.overlap import KEY
from batch.errors import NotAllError
from batch.report.plan_rows import operation_said
from batch.states import State
from batch.text import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from batch.commands.input_run import InputRun
    from batch.commands.precheck import CommandPrecheck
    from batch.commands.runtime import Runtime
    from batch.commands.screen import Screen
    from batch.ledger.store import Ledger
    from batch.loops.accounts import AccountLookup
    from batch.model import Run

MOST_LISTED: Final = 20
"""Most changes that are named on the screen; the result files have all."""


class AskedAgain:
    """Asks ledger and tenant again before a wave; and looks at the dates of a run that continues.

    Args:
        job: The input, or the saved plan.
        run: Its run, which this process holds.
        ledger: Has its plan.
        check: Asks the tenant.
        screen: For messages.
        runtime: Clock and process.
        all_or_nothing: Whether nothing of a wave is sent if something of it has moved.
    """

    def __init__(
        self,
        job: InputRun,
        run: Run,
        ledger: Ledger,
        check: CommandPrecheck,
        screen: Screen,
        runtime: Runtime,
        *,
        all_or_nothing: bool,
    ) -> None:
        self._job = job
        self._run = run
        self._ledger = ledger
        self._check = check
        self._screen = screen
        self._runtime = runtime
        self._all_or_nothing = all_or_nothing

    async def __call__(self, requests: tuple[int, ...]) -> None:
        """Ask about the changes of the next requests, and leave out those that moved.

        Raises:
            NotAllError: Something has moved, and all or nothing is to be sent.
            StoppedError: The tenant can't be reached, or the run was taken over.
        """
        classified = await asyncio.to_thread(self._job.classified, self._ledger, self._run)
        self._check.unsaid = self._job.accounts.unsaid()
        again, changes, known = as_if_unplanned(
            classified.changes,
            classified.known,
            run=self._run.id,
            requests=requests,
            busy=classified.busy,
            now=self._runtime.now(),
        )
        asked = replace(classified, changes=changes, known=known)
        told = await self._check.ask_again(self._ledger, asked)
        found = moved(again, pl.concat([dates_passed(again, self._runtime.now()), told]))
        await asyncio.to_thread(self._leave_out, requests, again, found)

    def require_future_dates(self) -> None:
        """Leave out, of a run that another command has planned, what has a date that has passed since.

        Raises:
            NotAllError: Something has, and all or nothing is to be sent.
        """
        if not dates_passed(self._ledger.plans.planned(self._run), self._runtime.now()).is_empty():
            requests, planned = self._planned()
            self._leave_out(requests, planned, dates_passed(planned, self._runtime.now()), "that it has not sent")

    async def only_accounts(self, lookup: AccountLookup) -> None:
        """Leave out, of a run that another command has planned, what names an only account that is so no more.

        Args:
            lookup: Says which accounts there are now.

        Raises:
            NotAllError: Something has moved, and all or nothing is to be sent.
        """
        requests, planned = await asyncio.to_thread(self._planned)
        if unsaid := self._job.accounts.unsaid():
            found = await no_longer_only(lookup, planned, unsaid)
            await asyncio.to_thread(self._leave_out, requests, planned, found, "that it has not sent")

    def _planned(self) -> tuple[Sequence[int], pl.DataFrame]:
        """The run's planned requests, and their changes as the input has them."""
        classified = self._job.classified(self._ledger, self._run)
        own = classified.known.filter((pl.col("run") == self._run.id) & (pl.col("state") == State.PLANNED.value))
        planned = classified.changes.join(own.select(KEY).unique(), on=KEY, how="semi", maintain_order="left")
        return own.get_column("request").unique().to_list(), planned

    def _leave_out(
        self, requests: Sequence[int], again: pl.DataFrame, found: pl.DataFrame, which: str = "of this wave"
    ) -> None:
        """Leave out what was found of the changes of some requests, and name it."""
        if found.is_empty():
            return
        left = found.height
        if not self._all_or_nothing:
            left = self._ledger.plans.leave_out(self._run, requests, found, self._runtime.process, self._runtime.now())
        operations = again.select(*KEY, operation_said())
        lines = found.join(operations, on=KEY, how="left", maintain_order="left").with_columns(
            pl.col("tenant_class").alias("class"), pl.col("tenant_reason").alias("reason")
        )
        not_sent = f"{count(left, 'change')} {which} {'is' if left == 1 else 'are'} not to be sent"
        self._screen.say(
            f"Since run {self._run.id} was planned, ledger or tenant moved, or a date passed: {not_sent}.",
            *describe_moved(lines),
        )
        if self._all_or_nothing:
            raise NotAllError(
                f"Of run {self._run.id}, {not_sent} any more, and --all-or-nothing is given.",
                next_step="Nothing more was sent. Leave out --all-or-nothing to send the rest; or drop what waits: "
                f"access-batch discard {self._run.id}",
                moved=moved_as_json(lines),
            )


def describe_moved(lines: pl.DataFrame) -> Iterable[str]:
    """The changes that are not sent any more, each with its reason.

    Args:
        lines: `operation`, dedupe's KEY, `class` and `reason` of each.
    """
    shown = lines.select("operation", "item_type", "item_id", "identity_id", "class", "reason")
    for operation, kind, item, person, found, reason in shown.head(MOST_LISTED).rows():
        yield f"  {operation.lower()} of {kind} {item} for {person}: {found}{f', {reason}' if reason else ''}"
    if lines.height > MOST_LISTED:
        yield f"  … and {lines.height - MOST_LISTED:,} more: see the result files"


def moved_as_json(lines: pl.DataFrame) -> Sequence[Mapping[str, str]]:
    """The same changes as objects, all of them."""
    return lines.select("operation", *KEY, "class", "reason").to_dicts()
