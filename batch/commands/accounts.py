"""The accounts that the rows of one input name: looked up once per command, like names."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import polars as pl

from batch.commands.session import notices_on
from batch.dedupe.classify import TENANT_VERDICTS
from batch.errors import SettingsError
from batch.loops.accounts import MOST_ASSIGNMENTS, AccountLookup
from batch.model import CheckTenant, RowClass
from batch.names.accounts import ACCOUNT, NO_CHOICE, Wanted, chosen, needs_assignment
from batch.names.meaning import NameMeaning, NameOutcome
from batch.report.precheck import describe_assignments, describe_no_accounts
from batch.text import count
from batch.validate.prepare import ACCOUNT_COLUMNS, blank_to_null

if TYPE_CHECKING:
    from collections.abc import Mapping
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

RULE: Final = "account_found"
"""The rule that a row breaks whose account is not found, or that needs one and names none."""

_MOST_BYTES: Final = 1_000
"""Of an account and its source. No account has a longer name, and databases limit what an index may hold."""

_CHANGE: Final = ("identity_id", "item_type", "item_id", "operation")
_TOO_LONG: Final = NameMeaning(
    outcome=NameOutcome.UNKNOWN, problem=f"account and source are longer than {_MOST_BYTES:,} bytes: shorten them"
)


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
        wanted = list(dict.fromkeys(_wanted(validated, rows).values()))
        known = self._meanings or {}
        planned = self._planned(wanted, ledger, run)
        known |= {one: meaning for one, meaning in planned.items() if meaning.outcome is NameOutcome.FOUND}
        missing = [one for one in wanted if one not in known]
        if missing and self._settings.check_tenant is CheckTenant.NEVER:
            self._screen.say(
                f"{count(len(missing), 'change')} of this input may be for another account than the rows name: "
                "--check-tenant never asks nothing, and the tenant chooses."
            )
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
        """What the accounts mean, to be kept with the run's plan; what needs none is left out."""
        return {
            (ACCOUNT, one.as_name): meaning
            for one, meaning in (self._meanings or {}).items()
            if meaning not in (NO_CHOICE, _TOO_LONG)
        }

    def _planned(self, wanted: list[Wanted], ledger: Ledger, run: Run | None) -> dict[Wanted, NameMeaning]:
        if run is None or not wanted or not ledger.decisions.has_planned(run.id):
            return {}
        names = {one: (ACCOUNT, one.as_name) for one in wanted}
        kept = ledger.decisions.names(run.id, names.values())
        return {one: kept.get(name, NO_CHOICE) for one, name in names.items()}

    async def _ask(self, wanted: list[Wanted], ledger: Ledger, sessions: SessionFactory) -> dict[Wanted, NameMeaning]:
        by_assignment = {(one.identity, one.item) for one in wanted if needs_assignment(one)}
        self._screen.say(*describe_assignments(len(by_assignment), MOST_ASSIGNMENTS))
        long = {one: _TOO_LONG for one in wanted if len(f"{one.account}{one.source}".encode()) > _MOST_BYTES}
        async with sessions.open(ledger, notices_on(self._screen)) as session:
            since = self._runtime.now() - timedelta(seconds=self._settings.max_age)
            lookup = account_lookup(session, ledger, sessions.access.tenant, self._settings, self._runtime, since=since)
            found = await lookup.meanings(one for one in wanted if one not in long)
        unknown = describe_no_accounts(lookup.closed, self._settings.dialect)
        if unknown and self._settings.check_tenant is CheckTenant.ALWAYS:
            raise SettingsError(
                " ".join(unknown), next_step="Nothing was sent. --check-tenant auto continues without it."
            )
        self._screen.say(*unknown)
        return found | long


def account_lookup(
    session: TenantSession, ledger: Ledger, tenant: str, settings: Settings, runtime: Runtime, *, since: datetime
) -> AccountLookup:
    """A lookup of accounts in one session."""
    dialect = settings.dialect
    return AccountLookup(
        index=session.tenant.holdings,
        choices=session.tenant.accounts,
        memory=ledger.cache,
        tenant=tenant,
        since=since,
        clock=runtime.clock,
        width=settings.concurrency,
        has_choices=bool(dialect.paths.accounts_selection),
        nested=dialect.nested,
    )


async def unchosen(lookup: AccountLookup, fresh: pl.DataFrame, view: TenantView) -> pl.DataFrame:
    """The fresh changes without an account that need one, by dedupe's TENANT_VERDICTS."""
    crowded = fresh.filter((pl.col("account") == "") & pl.col("identity_id").is_in(list(view.crowded)))
    wanted = [Wanted(*change) for change in crowded.select(_CHANGE).rows()]
    found = await lookup.meanings(wanted, view.crowded) if wanted else {}
    return pl.DataFrame(
        [
            (*one[:3], "", RowClass.REJECTED.value, f"{RULE}: {meaning.problem}")
            for one, meaning in found.items()
            if meaning.outcome is not NameOutcome.FOUND
        ],
        schema=TENANT_VERDICTS,
        orient="row",
    )


def with_accounts(
    validated: Validated, wanted: Mapping[int, Wanted], meanings: Mapping[Wanted, NameMeaning]
) -> Validated:
    """The changes with their accounts; rows whose account is not found are rejected.

    Args:
        validated: Changes without accounts.
        wanted: By the position of a change, what its row names.
        meanings: What that means; without any it means no account.
    """
    found = {position: meanings.get(one, NO_CHOICE) for position, one in wanted.items()}
    changes = validated.changes.with_row_index("position")
    rows = changes.get_column("row")
    problems: dict[int, list[str]] = {}
    for position, meaning in found.items():
        if meaning.problem:
            problems.setdefault(int(rows[position]), []).append(meaning.problem)
    lines = [(position, *chosen(meaning)) for position, meaning in found.items() if not meaning.problem]
    accounts = pl.DataFrame(lines, schema={"position": pl.UInt32, "key": pl.String, "how": pl.String}, orient="row")
    changes = (
        changes.join(accounts, on="position", how="left", maintain_order="left")
        .filter(~pl.col("row").is_in(list(problems)))
        .with_columns(account=pl.col("key").fill_null(""), selection=pl.col("how").fill_null(""))
        .select(validated.changes.columns)
    )
    rejected = pl.DataFrame(
        [(row, RULE, "; ".join(dict.fromkeys(texts))) for row, texts in problems.items()],
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
