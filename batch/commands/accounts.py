"""The accounts that the rows of one input name: looked up once per command, like names."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import polars as pl

from batch.commands.call_count import stop_for_lack_of
from batch.commands.session import notices_on
from batch.dedupe.classify import TENANT_VERDICTS
from batch.loops.accounts import AccountLookup
from batch.loops.preflight import meanwhile
from batch.model import CheckTenant, RowClass
from batch.names.accounts import ACCOUNT, CLEAR, NO_CHOICE, Wanted, chosen
from batch.names.meaning import NameMeaning, NameOutcome
from batch.report.end_dates import describe_closed_assignments
from batch.report.precheck import (
    describe_account_calls,
    describe_accounts_asked,
    describe_calls,
    describe_left_to_tenant,
    describe_no_accounts,
)
from batch.text import id_key, key_of
from batch.validate.prepare import ACCOUNT_COLUMNS, blank_to_null
from batch.validate.tenant_rules import ACCOUNT_FOUND

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from batch.commands.runtime import Runtime
    from batch.commands.screen import Screen
    from batch.commands.session import SessionFactory, TenantSession
    from batch.ledger.decisions import NameKey
    from batch.ledger.store import Ledger
    from batch.model import Run
    from batch.settings import Settings
    from batch.status.in_progress import TenantView
    from batch.validate.rows import Validated

_MOST_BYTES: Final = 1_000
"""Of an account and its source. No account has a longer name, and databases limit what an index may hold."""

SHOWN_EVERY: Final = 10.0
"""Seconds between two lines that say how far the questions have come."""

_CHANGE: Final = ("identity_id", "item_type", "item_id", "operation")


def _unknown(problem: str) -> NameMeaning:
    return NameMeaning(outcome=NameOutcome.UNKNOWN, problem=problem)


_TOO_LONG: Final = _unknown(f"account and source are longer than {_MOST_BYTES:,} bytes: shorten them")
_NEVER: Final = _unknown(f"nobody asked the tenant for the account: leave out --check-tenant never, or {CLEAR}")
_NOT_KEPT: Final = _unknown(
    "which account was planned is not known to this machine: discard the run's plan and submit the input again, or "
    f"{CLEAR}"
)


_SEVERAL_NOW: Final = "the person has several accounts there by now: submit the row again"


def _key(identity: str, item_type: str, item: str, operation: str) -> tuple[str, str, str, str]:
    return key_of(identity), item_type, key_of(item), operation


def _is_too_long(one: Wanted) -> bool:
    return len(f"{one.account}{one.source}".encode()) > _MOST_BYTES


def names_accounts(rows: pl.DataFrame) -> bool:
    """Whether a row names an account."""
    name = ACCOUNT_COLUMNS[0]
    return name in rows.columns and rows.select(blank_to_null(pl.col(name)).count()).item() > 0


class Accounts:
    """The accounts of one input.

    Args:
        settings: Whether to ask, API version, how long answers stay valid.
        screen: For messages.
        runtime: Clock, randomness and process.
    """

    def __init__(self, settings: Settings, screen: Screen, runtime: Runtime) -> None:
        self._settings = settings
        self._screen = screen
        self._runtime = runtime
        self._meanings: dict[Wanted, NameMeaning] | None = None

    def look_up(
        self, validated: Validated, rows: pl.DataFrame, ledger: Ledger, sessions: SessionFactory, run: Run | None
    ) -> None:
        """Find the accounts that rows name; ask the tenant for unknown ones.

        Accounts that the input's run was planned with stay the same, and so does what needed none.

        Args:
            validated: The rows, validated.
            rows: As read, with ids instead of names.
            ledger: Caches recent answers.
            sessions: Sessions with the tenant.
            run: The input's run, if it has one.

        Raises:
            SettingsError: The accounts must be looked up, and the tenant does not allow it.
            StoppedError: The tenant can't be asked.
        """
        if self._meanings is not None and run is None:
            return
        wanted = [one for one in dict.fromkeys(_wanted(validated, rows).values()) if not _is_too_long(one)]
        known = self._meanings or {}
        planned = self._planned(wanted, ledger, run)
        known |= {one: meaning for one, meaning in planned.items() if meaning.outcome is NameOutcome.FOUND}
        missing = [one for one in wanted if one not in known]
        if missing and self._settings.check_tenant is CheckTenant.NEVER:
            known |= dict.fromkeys(missing, _NEVER)
        elif missing:
            known |= asyncio.run(self._ask(missing, ledger, sessions))
        self._meanings = known

    def resolved(self, validated: Validated, rows: pl.DataFrame, ledger: Ledger, run: Run | None) -> Validated:
        """The changes with their accounts; rows whose account is not found are rejected.

        Without a lookup, the accounts are those of the run's plan.
        """
        wanted = _wanted(validated, rows)
        if not wanted:
            return validated
        if self._meanings is None:
            self._meanings = self._planned(list(dict.fromkeys(wanted.values())), ledger, run)
        return with_accounts(validated, wanted, self._meanings)

    def meanings(self) -> dict[NameKey, NameMeaning]:
        """What the accounts mean, to be kept with the run's plan."""
        return {(ACCOUNT, one.as_name): meaning for one, meaning in (self._meanings or {}).items()}

    def keep(self, unsaid: Iterable[Wanted]) -> None:
        """Know what the rows of a saved plan name."""
        self._meanings = dict.fromkeys(unsaid, NO_CHOICE)

    def unsaid(self) -> tuple[Wanted, ...]:
        """What rows name without a request that can say so: the only accounts of their people."""
        known = (self._meanings or {}).items()
        return tuple(one for one, meaning in known if not meaning.problem and not any(chosen(meaning)))

    def _planned(self, wanted: list[Wanted], ledger: Ledger, run: Run | None) -> dict[Wanted, NameMeaning]:
        """The accounts with which the run was planned, as far as the ledger has kept them."""
        if run is None or not wanted or not ledger.decisions.has_planned(run.id):
            return {}
        names = {one: (ACCOUNT, one.as_name) for one in wanted if not _is_too_long(one)}
        kept = ledger.decisions.names(run.id, names.values())
        return {one: kept[name] for one, name in names.items() if name in kept}

    async def _ask(self, wanted: list[Wanted], ledger: Ledger, sessions: SessionFactory) -> dict[Wanted, NameMeaning]:
        settings = self._settings

        def show() -> None:
            self._screen.say(*describe_calls(lookup.calls, lookup.about))

        async with sessions.open(ledger, notices_on(self._screen)) as session:
            since = self._runtime.now() - timedelta(seconds=settings.max_age)
            tenant = sessions.access.tenant
            lookup = account_lookup(session, ledger, tenant, settings, self._screen, self._runtime, since=since)
            async with meanwhile(show, every=SHOWN_EVERY):
                found = await lookup.meanings(wanted)
        untold = [*describe_closed_assignments(lookup.closed_assignments, settings.dialect)]
        unknown = [*describe_no_accounts(lookup.closed), *untold]
        if unknown and settings.check_tenant is CheckTenant.ALWAYS:
            forbidden = lookup.closed_assignments is not None and lookup.closed_assignments.forbidden
            stop_for_lack_of(unknown, forbidden=bool(lookup.closed) or forbidden)
        self._screen.say(*untold)
        self._screen.say(*describe_accounts_asked(lookup.calls))
        return found


def account_lookup(
    session: TenantSession,
    ledger: Ledger,
    tenant: str,
    settings: Settings,
    screen: Screen,
    runtime: Runtime,
    *,
    since: datetime,
) -> AccountLookup:
    """A lookup of accounts in one session, which says how many calls it will make."""

    def announce(calls: int, left: int) -> None:
        screen.say(*describe_account_calls(calls, settings.pace, left))

    dialect = settings.dialect
    return AccountLookup(
        # A named account is sent only if it is found, so nothing is lost by giving up soon.
        choices=session.tenant.accounts,
        memory=ledger.cache,
        tenant=tenant,
        since=since,
        clock=runtime.clock,
        width=settings.concurrency,
        has_choices=bool(dialect.paths.accounts_selection),
        nested=dialect.nested,
        scope=dialect.accounts_selection_scopes[0],
        announce=announce,
    )


async def no_longer_only(lookup: AccountLookup, fresh: pl.DataFrame, unsaid: Iterable[Wanted]) -> pl.DataFrame:
    """The fresh changes whose row names an only account that is gone or has got company, by dedupe's TENANT_VERDICTS.

    Args:
        lookup: Says which accounts there are now.
        fresh: The changes.
        unsaid: From Accounts.unsaid.
    """
    named = {_key(*one[:4]): one for one in unsaid}
    plain = fresh.filter((pl.col("account") == "") & (pl.col("selection") == "")).select(_CHANGE).rows()
    wanted = {change: named[_key(*change)] for change in plain if _key(*change) in named}
    found = await lookup.meanings(wanted.values()) if wanted else {}
    return pl.DataFrame(
        [
            (*change[:3], "", RowClass.REJECTED.value, f"{ACCOUNT_FOUND}: {meaning.problem or _SEVERAL_NOW}")
            for change, meaning in ((change, found[one]) for change, one in wanted.items())
            if meaning.problem or chosen(meaning)[0]
        ],
        schema=TENANT_VERDICTS,
        orient="row",
    )


async def unchosen(
    lookup: AccountLookup,
    fresh: pl.DataFrame,
    view: TenantView,
    screen: Screen,
    unsaid: Sequence[Wanted],
    *,
    ignored: Collection[str],
) -> pl.DataFrame:
    """The fresh changes without an account that need one, and `no_longer_only`; unless the rule is ignored."""
    no_more = await no_longer_only(lookup, fresh, unsaid)
    if ACCOUNT_FOUND in ignored:
        return no_more
    named = {_key(*one[:4]) for one in unsaid}
    crowded = fresh.filter(
        (pl.col("account") == "") & (pl.col("selection") == "") & pl.col("identity_id").is_in(list(view.crowded))
    )
    wanted = [Wanted(*change) for change in crowded.select(_CHANGE).rows() if _key(*change) not in named]
    found = await lookup.meanings(wanted, view.crowded) if wanted else {}
    screen.say(*describe_left_to_tenant(len(lookup.left_to_tenant)))
    unnamed = pl.DataFrame(
        [
            (*one[:3], "", RowClass.REJECTED.value, f"{ACCOUNT_FOUND}: {meaning.problem}")
            for one, meaning in found.items()
            if meaning.outcome is not NameOutcome.FOUND
        ],
        schema=TENANT_VERDICTS,
        orient="row",
    )
    return pl.concat([no_more, unnamed])


def with_accounts(
    validated: Validated, wanted: Mapping[int, Wanted], meanings: Mapping[Wanted, NameMeaning]
) -> Validated:
    """The changes with their accounts; rows whose account is not found are rejected.

    Args:
        validated: Changes without accounts.
        wanted: By the position of a change, what its row names.
        meanings: What that means. A row whose meaning is missing is rejected.
    """
    found = {
        position: _TOO_LONG if _is_too_long(one) else meanings.get(one, _NOT_KEPT) for position, one in wanted.items()
    }
    changes = validated.changes.with_row_index("position")
    rows = changes.get_column("row")
    problems: dict[int, list[str]] = {}
    for position, meaning in found.items():
        if meaning.problem:
            problems.setdefault(int(rows[position]), []).append(meaning.problem)
    lines = [(position, *chosen(meaning)) for position, meaning in found.items() if not meaning.problem]
    accounts = pl.DataFrame(lines, schema={"position": pl.UInt32, "key": pl.String, "how": pl.String}, orient="row")
    alike = (id_key(pl.col("identity_id")), "item_type", id_key(pl.col("item_id")), "operation", "account")
    named = pl.col("selection").max().over(*alike)
    changes = (
        changes.join(accounts, on="position", how="left", maintain_order="left")
        .filter(~pl.col("row").is_in(list(problems)))
        .with_columns(account=pl.col("key").fill_null(""), selection=pl.col("how").fill_null(""))
        # Of rows that repeat each other, one is sent: with the only account, if one of them names it.
        .with_columns(pl.when(pl.col("account") == "").then(named).otherwise("selection").alias("selection"))
        .select(validated.changes.columns)
    )
    rejected = pl.DataFrame(
        [(row, ACCOUNT_FOUND, "; ".join(dict.fromkeys(texts))) for row, texts in problems.items()],
        schema=validated.rejected.schema,
        orient="row",
    )
    return replace(validated, changes=changes, rejected=pl.concat([validated.rejected, rejected]).sort("row"))


def _wanted(validated: Validated, rows: pl.DataFrame) -> dict[int, Wanted]:
    """What rows name, by the positions of their changes; rows without an account are left out."""
    if not names_accounts(rows):
        return {}
    row = validated.changes.get_column("row")
    written = [
        rows.select(blank_to_null(pl.col(name)).fill_null("")).to_series().gather(row).alias(f"written_{name}")
        if name in rows.columns
        else pl.Series(f"written_{name}", [""] * row.len(), dtype=pl.String)
        for name in ACCOUNT_COLUMNS
    ]
    named = (
        validated.changes.select(_CHANGE)
        .with_columns(*written)
        .with_row_index("position")
        .filter(pl.col("written_account") != "")
    )
    return {position: Wanted(*rest) for position, *rest in named.rows()}
