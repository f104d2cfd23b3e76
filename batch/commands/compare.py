"""The comparison of a ledger with the tenant, before a command sends anything."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from batch.answers.events import tell_each
from batch.commands.heads import UNREADABLE
from batch.commands.import_ import ImportReader
from batch.commands.lost_runs import restore_doubts
from batch.commands.session import notices_on, require_fit_token
from batch.errors import RunHeldError, SettingsError, StoppedError
from batch.ledger.standing import doubtful_of
from batch.loops.compare import Comparison, not_proven
from batch.model import IMPORT
from batch.status.adopt import AdoptionOutcome
from batch.status.compare import LOST_RUN
from batch.tenant.status import Page
from batch.text import count

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from batch.answers.events import Tell
    from batch.api.status_row import StatusRow
    from batch.commands.heads import Heads
    from batch.commands.runtime import Runtime
    from batch.commands.screen import Screen
    from batch.commands.session import SessionFactory
    from batch.ledger.gaps import Compared
    from batch.ledger.standing import Sent, Standing
    from batch.ledger.store import Ledger
    from batch.model import Head
    from batch.settings import Settings


_PLANNED_BEHIND: Final = (
    "The ledger is older than this machine has seen it: it was put back or copied. This plan may have changes that "
    "were sent since then. `access-batch submit` looks them up at the tenant before it sends anything."
)


def compare_if_behind(
    ledger: Ledger, settings: Settings, screen: Screen, sessions: SessionFactory, runtime: Runtime, log: Tell
) -> None:
    """Compare a ledger that this machine has seen newer, before anything is planned.

    Planning takes over what other runs have planned: nobody would know then which of it the ledger has lost as sent.

    Raises:
        AccessBatchError: See `CommandComparison.compare`.
    """
    if _is_behind(ledger, runtime):
        CommandComparison(ledger, settings, screen, sessions, runtime).compare(log)


def describe_if_behind(ledger: Ledger, runtime: Runtime) -> tuple[str, ...]:
    """The notice for a command that only plans with a ledger that this machine has seen newer."""
    return (_PLANNED_BEHIND,) if _is_behind(ledger, runtime) else ()


def _is_behind(ledger: Ledger, runtime: Runtime) -> bool:
    heads, gaps = runtime.heads, ledger.gaps
    # The ledger may have lost which names its tenants have.
    return heads is not None and bool(gaps.lost(heads.seen(gaps.ledger_id(), None)))


class CommandComparison:
    """The comparison of one command."""

    def __init__(
        self, ledger: Ledger, settings: Settings, screen: Screen, sessions: SessionFactory, runtime: Runtime
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._screen = screen
        self._sessions = sessions
        self._runtime = runtime
        self._missing = ""
        self._lost: Collection[Standing] = ()

    def compare(self, log: Tell) -> None:
        """Record requests that arrived although the ledger did not know it, and report them.

        Raises:
            StoppedError: The tenant can't be asked, or nothing proves what was sent.
            SettingsError: Requests that have arrived belong to another tenant of the ledger, which may be this one.
            UnfitTokenError: Nobody can submit with the token.
        """
        heads, ledger_id = self._runtime.heads, self._ledger.gaps.ledger_id()
        compared, lost = asyncio.run(self._compare(log, ledger_id))
        if other := compared.other or self._ledger.gaps.other_tenant(self._sessions.access.tenant, lost):
            # Once a token has told, what the other address may have sent is not sent again for this run.
            self._ledger.lost.doubt_claimed(lost, self._runtime.process, self._runtime.now())
            raise may_be_one(self._sessions.access.tenant, other)
        if compared.arrived:
            self._screen.say(
                f"{count(compared.arrived, 'change')} had already arrived at the tenant, although the ledger did not "
                "say so, and will not be sent again."
            )
        if heads is not None and lost and self._missing:
            raise not_proven(self._missing, str(heads.folder / ledger_id))
        if forgotten := (compared.left_alone if lost else ()) or compared.forgotten:
            raise _forgotten(forgotten)
        doubted = self._ledger.lost.doubt_claimed(lost, self._runtime.process, self._runtime.now()) if lost else 0
        # Another machine may have replaced requests that were still planned a moment ago.
        self._restore(doubtful_of(lost.values()))
        if in_doubt := compared.in_doubt + doubted:
            self._screen.say(
                f"{count(in_doubt, 'planned request')} may have been sent although the ledger does not say so: "
                "they stay unconfirmed until the tenant's list shows whether they arrived."
            )
        if heads is not None:
            self._forget(heads, ledger_id, lost)
            heads.try_keeping(ledger_id)
            self._screen.say(*heads.complaints())

    async def _compare(self, log: Tell, ledger_id: str) -> tuple[Compared, Mapping[Head, Standing]]:
        """Compare. Also return the heads of this tenant's runs that the ledger has lost, each with its Standing."""
        heads, tenants = self._runtime.heads, self._ledger.tenants
        tell = tell_each(notices_on(self._screen), log)
        tenant = self._sessions.access.tenant
        async with self._sessions.open(self._ledger, tell) as session:
            # Sending gives the notice about an unreadable token.
            await require_fit_token(session.tenant, self._settings.dialect, lambda _event: None)
            claims = await session.tenant.token_claims()
            names = {*tenants.addresses(tenant), *claims.tenant_names}
            gone = self._ledger.gaps.lost(heads.seen(ledger_id, names)) if heads is not None else ()
            lost = {head: heads.standing(ledger_id, head) for head in gone} if heads is not None else {}
            self._lost = lost.values()
            if heads is not None and lost:
                _require_readable(lost, heads.folder / ledger_id)
                self._restore(doubtful_of(lost.values()))
            users = tenants.requesters(tenant) | (heads.users(ledger_id, names) if heads is not None else set())
            comparison = Comparison(
                ledger=self._ledger,
                listing=session.tenant.statuses,
                tenant=tenant,
                users=users - {claims.user_id},
                accepted=heads.accepted(ledger_id, lost, names) if heads is not None else (),
                lost=lost.values(),
                restore=self._restore,
                import_=self._import,
                settle_after=self._settings.settle_after,
                process=self._runtime.process,
                clock=self._runtime.clock,
                tell=tell,
            )
            compared = await comparison.compare(stale=str(heads.folder / ledger_id) if heads and lost else "")
        for user in sorted({*users, claims.user_id} - {""}):
            tenants.add_requester(tenant, user)
        if heads is not None:
            self._ledger.requests.on_claimed = heads.keep(ledger_id, names)
            self._ledger.requests.on_accepted = heads.keep_accepted(ledger_id, names)
            if claims.user_id:
                heads.keep_user(ledger_id, claims.user_id, names)
        return compared, lost

    def _forget(self, heads: Heads, ledger_id: str, lost: Collection[Head]) -> None:
        """Remember the runs that have requests in the place of lost ones, or imported them; then forget the lost heads.

        The ledger may be put back once more: then only the new heads tell what was on its way.
        """
        if not lost:
            return
        tenant, gone = self._ledger.tenants.name_of(self._sessions.access.tenant), {head.run for head in lost}
        runs = [run for run in self._ledger.runs.all() if run.tenant == tenant]
        kept = [run.id for run in runs if run.id in gone or run.input_digest.startswith((LOST_RUN, IMPORT))]
        kept_now: Mapping[Head, Standing] = {}
        # Another process may claim meanwhile, and keep a newer head: an older one must not replace it.
        while (newest := self._ledger.lost.newest(kept)).keys() != kept_now.keys():
            for head, standing in newest.items():
                self._ledger.requests.on_claimed(head, standing)
            kept_now = newest
        if not heads.trouble:
            heads.forget(ledger_id, lost)

    def _restore(self, doubtful: Sequence[Sent]) -> None:
        """Put the requests of lost runs in doubt again, and report it."""
        tenant, api = self._sessions.access.tenant, self._settings.api
        if restored := restore_doubts(self._ledger, doubtful, tenant, api, self._runtime):
            self._screen.say(
                f"{count(restored, 'request')} that the ledger has lost may have arrived. Until the tenant's list "
                "shows what became of them, they are unconfirmed: `access-batch runs` names their run."
            )

    def _import(self, rows: Sequence[StatusRow]) -> None:
        """Import rows that the ledger does not know, and keep why some could not be imported."""
        access, api = self._sessions.access, self._settings.api
        try:
            with ImportReader(
                self._ledger, access.tenant, api, self._screen, self._runtime, beside_runs=True
            ) as reader:
                reader.add(Page(rows=tuple(rows), read=len(rows), total=None, more=False))
                reader.flush()
        except RunHeldError as error:
            # Going on would move the time from which the next comparison reads the list.
            raise StoppedError(
                "The tenant lists requests that the ledger does not know, and another process is importing requests "
                "right now.",
                next_step="Nothing was sent. Run the same command again once that has ended.",
            ) from error
        if imported := reader.outcomes[AdoptionOutcome.IMPORTED]:
            self._screen.say(
                f"Imported {count(imported, 'requested change')} that the ledger did not know. They belong to no input "
                "now: if you submit an older input again that a later one has undone, its changes are sent again."
            )
            self._ledger.lost.put_last(access.tenant, self._lost, self._runtime.process, self._runtime.now())
        if left := reader.not_adoptable.total():
            reasons = ", ".join(why for why, number in reader.not_adoptable.items() if number)
            self._missing = f"{count(left, 'requested change')} can't be imported, since {reasons}"
            self._screen.say(f"The ledger does not know everything that was requested: {self._missing}.")


def _require_readable(lost: Iterable[Head], folder: Path) -> None:
    """Stop if the file of a head can't be read: the ledger may have lost requests that only this file names.

    Raises:
        StoppedError: The file beside a head can't be read.
    """
    if unread := [head.run for head in lost if head.number == UNREADABLE]:
        raise StoppedError(
            f"{folder / unread[0]} can't be read. It tells which requests of run {unread[0]} were on their way, in "
            "case the ledger was put back.",
            next_step="Nothing was sent. If the ledger was not put back, remove that file, and run the same command "
            "again. If it was, do so once the tenant lists everything that was requested last.",
        )


def _forgotten(runs: Sequence[str]) -> StoppedError:
    """The error if changes have arrived in runs on which another process may work, so that they can't be recorded.

    Going on would move the time from which the next comparison reads the list.
    """
    named, them = (f"run {runs[0]}", "it") if len(runs) == 1 else (f"runs {' and '.join(runs)}", "them")
    return StoppedError(
        f"The tenant lists changes of {named} that this ledger has not sent: the ledger was put back or copied, or "
        f"somebody has requested them elsewhere. They can't be recorded yet, since another process works on {them}, or "
        "died within the last minute.",
        next_step="Nothing more was sent. Once that process has ended, or a minute after it died, run the same command "
        "again: it records what has arrived.",
    )


def may_be_one(tenant: str, other: str) -> SettingsError:
    """The end of a command that finds two tenants in the ledger which may be one."""
    return SettingsError(
        f"Some of these changes were submitted to {other}, which may be the same tenant as {tenant}: only a token from "
        "there can tell.",
        next_step=f"Nothing more was sent. Run `access-batch doctor --base-url {other}` once, then the same command "
        "again.",
    )
