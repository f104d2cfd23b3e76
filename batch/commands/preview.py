"""Everything but `submit`: looking, giving up, settling by hand and verifying, without a tenant."""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import polars as pl

from batch.commands.loading import load
from batch.commands.names import Names
from batch.commands.precheck import CommandPrecheck, kept_set_aside
from batch.commands.session import SessionFactory, find_access, results_folder, tenant_name
from batch.dedupe.classify import TENANT_VERDICTS
from batch.dedupe.row_class import count_set_aside
from batch.errors import UsageError
from batch.ledger.engine import ledger_file, ledger_url
from batch.ledger.process import Process
from batch.ledger.store import Ledger
from batch.model import EMPTY_TALLY, CheckTenant
from batch.names.resolve import names_to_look_up, resolve
from batch.pipeline import as_if_planned, check_rows, classify_input, plan_fresh, with_tenant_verdicts
from batch.plan import NO_PLAN
from batch.read import read_loaded
from batch.report.files import make_folder, write_rejected
from batch.report.screen import describe_input
from batch.report.summary import Summary
from batch.states import IN_DOUBT, UNSENT
from batch.text import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import BinaryIO

    from batch.commands.screen import Screen
    from batch.model import Run, Tally, TrackSummary
    from batch.pipeline import Classified
    from batch.settings import Settings


def look(
    inputs: Sequence[str],
    settings: Settings,
    screen: Screen,
    *,
    stdin: BinaryIO,
    only_rows: bool = False,
    save_map: bool = False,
) -> Summary:
    """What `submit` would do with the inputs, without a ledger where there is none.

    The tenant is asked what the names in the inputs mean, where they have any, and what is in progress and held, where
    the settings say so; a ledger is made for that.

    Args:
        inputs: As for `submit`.
        settings: Where no tenant is given, no ledger is asked.
        screen: For messages.
        stdin: What `-` reads.
        only_rows: Only judge the rows (`validate`): no ledger, no plan, but `rejected.csv`.
        save_map: Whether to write the maps given into the config file.

    Raises:
        AccessBatchError: The inputs, the settings or the ledger can't be used.
    """
    began = time.monotonic()
    loaded = load(inputs, settings, screen, stdin=stdin, save_map=save_map)
    table = read_loaded(loaded)
    screen.say(*table.notices)
    tenant = "" if only_rows else tenant_name(settings)
    files: dict[str, str | None] = {}
    names = Names(settings, screen)
    sought = len(names_to_look_up(table.rows, settings.identity_by))
    checks = not only_rows and _is_to_be_checked(settings, tenant)
    with (
        _reached(settings, asked=checks or (bool(sought) and not only_rows)) as sessions,
        _ledger(settings) if sessions else _ledger_if_any(settings, tenant, asked=not only_rows) as ledger,
    ):
        check = CommandPrecheck(settings, screen, sessions, usual=CheckTenant.NEVER) if sessions and checks else None
        run = ledger.runs.of_input(tenant, loaded.digest) if ledger else None
        if sessions and ledger:
            names.look_up(table.rows, ledger, sessions, run)
            rows = names.resolved(table.rows, ledger, tenant, run)
        else:
            rows = resolve(table.rows, None, settings.identity_by)
        moment = run.started_at if run else _now()
        validated = check_rows(table, dialect=settings.dialect, now=moment, rows=rows)
        run_id = ledger.plans.run_id(tenant, loaded.digest) if ledger else ""
        classified = classify_input(
            table,
            validated,
            plans=ledger.plans if ledger else None,
            tenant=tenant,
            run=run_id,
            resubmit=settings.resubmit,
        )
        told = _told(ledger, check, classified, run)
        classified = with_tenant_verdicts(classified, told)
        plan = NO_PLAN if only_rows else plan_fresh(classified, settings.dialect, settings.effort)
        tally = ledger.runs.tally(run) if ledger and run else EMPTY_TALLY
    if sought and only_rows:
        screen.say(f"Not looked up: {count(sought, 'name')}. `plan` and `submit` do that.")
    screen.say(*describe_input(classified))
    if check is not None:
        check.describe(told)
    if not only_rows and not tenant:
        screen.say("No tenant is given, so the ledger was not asked what was submitted before, nor was any tenant.")
    elif not only_rows and check is None:
        screen.say("The tenant was not asked what is in progress and held already: --check-tenant auto asks it.")
    if only_rows:
        given = [content.name for content in loaded.contents]
        folder = results_folder(settings, given)
        if validated.rejected.height or table.rejected.height:
            make_folder(folder, given)
            files["rejected"] = write_rejected(folder, table, validated.rejected)
    return Summary(
        run=run_id,
        tenant=tenant,
        dry_run=True,
        rows=classified.rows,
        set_aside=count_set_aside(classified.changes),
        tally=as_if_planned(tally, plan),
        lower_bound=max(plan.lower_bound, run.lower_bound if run else 0),
        posts_now=0,
        files=files,
        elapsed=time.monotonic() - began,
        names=names.counts,
        checked=check.checked(told) if check else None,
    )


def _told(
    ledger: Ledger | None, check: CommandPrecheck | None, classified: Classified, run: Run | None
) -> pl.DataFrame:
    """What `submit` would set aside by the tenant's word; a run that goes on has set it aside before."""
    if ledger is not None and run is not None:
        states = ledger.runs.tally(run).requests
        if any(states.get(state) for state in (*UNSENT, *IN_DOUBT)):
            return kept_set_aside(ledger, run.tenant, run.id)
    if ledger is None or check is None:
        return pl.DataFrame(schema=TENANT_VERDICTS)
    return check.ask(ledger, classified)


def runs(settings: Settings) -> tuple[tuple[Run, Tally, TrackSummary], ...]:
    """Every run of the ledger with how far it has come and what the tenant last said, oldest first."""
    with _ledger_if_any(settings, "any", asked=True) as ledger:
        every = ledger.runs.all() if ledger else ()
        return tuple((run, ledger.runs.tally(run), ledger.tracks.told(run)) for run in every) if ledger else ()


def status(settings: Settings, name: str, *, tenant: str = "") -> tuple[Run, Tally, TrackSummary]:
    """One run with how far it has come and what the tenant last said.

    Args:
        settings: Say which ledger.
        name: The beginning of the run's id; empty for the newest.
        tenant: Whose newest run, where only one tenant's count; what was imported from it is none.

    Raises:
        UsageError: There is none, or more than one.
    """
    with _ledger_if_any(settings, "any", asked=True) as ledger:
        all_runs = ledger.runs.all() if ledger else ()
        every = [run for run in all_runs if name or not tenant or (run.tenant == tenant and not run.imported)]
        if ledger is None or not every:
            raise UsageError(
                "The ledger has no runs" + (f" for {tenant}." if tenant else "."),
                next_step="`access-batch submit INPUT` begins one.",
            )
        run = ledger.runs.named(name) if name else every[-1]
        return run, ledger.runs.tally(run), ledger.tracks.told(run)


def discard(settings: Settings, name: str) -> tuple[Run, int]:
    """Gives up what a run has not sent; returns the run and how many requests that were.

    Raises:
        UsageError: There is no such run.
        RunHeldError: A process is working on it.
    """
    with _held(settings, name) as (ledger, run, _):
        return run, ledger.runs.discard(run, _now())


def settle_by_hand(settings: Settings, name: str, *, arrived: bool) -> tuple[Run, int]:
    """Takes the user's word for a run's unconfirmed requests; returns the run and how many those were.

    Raises:
        UsageError: There is no such run.
        RunHeldError: A process is working on it.
    """
    with _held(settings, name) as (ledger, run, abandoned):
        if abandoned:
            raise UsageError(
                f"Just now {abandoned} more requests of run {run.id} turned out to be unconfirmed: their process died.",
                next_step="Look for them too, with `access-batch status`; then say again what you found.",
            )
        return run, ledger.runs.settle_by_hand(run, arrived=arrived, now=_now())


def verify(settings: Settings) -> tuple[str, ...]:
    """What is wrong with the ledger.

    Raises:
        UsageError: There is no ledger.
    """
    with _ledger_if_any(settings, "any", asked=True) as ledger:
        if ledger is None:
            raise UsageError(f"There is no ledger at {settings.ledger_location}.", next_step="Name it with --ledger.")
        return ledger.verify()


def _is_to_be_checked(settings: Settings, tenant: str) -> bool:
    """Whether the tenant is asked what is in progress and held; where it must be, it is missed if none is given."""
    return settings.check_tenant is CheckTenant.ALWAYS or (settings.check_tenant is CheckTenant.AUTO and bool(tenant))


@contextmanager
def _held(settings: Settings, name: str) -> Iterator[tuple[Ledger, Run, int]]:
    """The ledger and one of its runs, on which no other process works meanwhile; and how much a dead one left."""
    run, *_ = status(settings, name)
    process = Process.current()
    with Ledger.open(settings.ledger_location, sandbox=settings.sandbox, now=_now()) as ledger:
        abandoned = ledger.runs.hold(run, process, _now())
        try:
            yield ledger, run, abandoned
        finally:
            ledger.runs.release(run, process)


@contextmanager
def _reached(settings: Settings, *, asked: bool) -> Iterator[SessionFactory | None]:
    """How to reach the tenant where it is to be asked; None where it is not.

    Raises:
        SettingsError: No tenant is given, or no credentials for it.
    """
    if not asked:
        yield None
        return
    with SessionFactory(settings, find_access(settings)) as sessions:
        yield sessions


def _ledger(settings: Settings) -> Ledger:
    """The ledger, made where there is none: calls count in it, and what was said is kept in it."""
    return Ledger.open(settings.ledger_location, sandbox=settings.sandbox, now=_now())


@contextmanager
def _ledger_if_any(settings: Settings, tenant: str, *, asked: bool) -> Iterator[Ledger | None]:
    """The ledger, opened; None where it is not asked, no tenant is known, or its file does not exist yet."""
    file = ledger_file(ledger_url(settings.ledger_location))
    missing = file is not None and not file.exists()
    if not asked or not tenant or missing:
        yield None
        return
    with Ledger.open(settings.ledger_location, sandbox=settings.sandbox, now=_now()) as ledger:
        yield ledger


def _now() -> datetime:
    return datetime.now(UTC)
