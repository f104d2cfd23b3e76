"""`plan` and `validate`: what `submit` would do with an input, without sending anything."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import polars as pl

from batch.commands.accounts import Accounts
from batch.commands.call_count import month_so_far
from batch.commands.compare import describe_if_behind
from batch.commands.guards import require_within_limits
from batch.commands.loading import digest_in, load
from batch.commands.names import Names
from batch.commands.plan_view import require_folder, view_of, write_files
from batch.commands.precheck import CommandPrecheck
from batch.commands.saved_plans import save, saved_plan
from batch.commands.session import SessionFactory, find_access, notices_on, results_folder, tenant_name
from batch.dedupe.classify import TENANT_VERDICTS
from batch.dedupe.row_class import changes_set_aside
from batch.errors import GuardError, NoCredentialsError
from batch.ledger.address import ledger_url
from batch.ledger.engine import ledger_exists
from batch.model import EMPTY_TALLY, CheckTenant, RowClass
from batch.names.resolve import names_to_look_up, resolve
from batch.pipeline import as_if_planned, classify_input, plan_fresh, with_tenant_verdicts
from batch.plan import NO_PLAN
from batch.read import read_loaded
from batch.report.files import make_folder, write_result_files
from batch.report.plan_rows import column_named
from batch.report.precheck import describe_unchecked
from batch.report.screen import describe_input
from batch.report.summary import Summary
from batch.states import IN_DOUBT, UNSENT
from batch.text import count
from batch.validate.rows import validate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from pathlib import Path
    from typing import BinaryIO

    from batch.commands.runtime import Runtime, Say
    from batch.commands.screen import Screen
    from batch.commands.session import Access
    from batch.ledger.store import Ledger
    from batch.model import Run
    from batch.names.known import KnownNames
    from batch.pipeline import Classified
    from batch.plan import Plan
    from batch.read import LoadedInputs, Table
    from batch.settings import Settings
    from batch.validate.rows import Validated


def preview(
    inputs: Sequence[str],
    settings: Settings,
    screen: Screen,
    runtime: Runtime,
    *,
    stdin: BinaryIO | None,
    only_rows: bool = False,
    save_map: bool = False,
    by: str = "",
    detail: bool = False,
    save_to: Path | None = None,
) -> Summary:
    """What `submit` would do with the inputs; nothing is planned or sent, and no ledger is needed.

    If the inputs have names, or if the settings ask for a precheck, the tenant is asked. Its answers and the calls go
    into the ledger, which is created for that if necessary.

    Args:
        inputs: As for `submit`.
        settings: Without a tenant, the ledger is not asked.
        screen: For messages.
        runtime: Clock, randomness and process.
        stdin: Read for `-`; None if it is closed.
        only_rows: Only validate the rows: no ledger and no plan, but `rejected.csv`.
        save_map: Whether to save the given maps in the config file.
        by: The user's column to count the changes by.
        detail: Whether the plan's object lists every change.
        save_to: Where to save the plan; None to save none.

    Raises:
        GuardError: The plan is not saved, as it changes more than the guards allow.
        AccessBatchError: The inputs, the settings or the ledger can't be used.
    """
    began, now = runtime.clock.monotonic(), runtime.now()
    loaded = load(inputs, settings, screen, stdin=stdin, save_map=save_map)
    table = read_loaded(loaded)
    screen.say(*table.notices)
    column = column_named(table, by) if by else None
    if not only_rows:
        require_folder(settings, [content.name for content in loaded.contents])
    tenant = "" if only_rows else tenant_name(settings)
    names, accounts = Names(settings, screen, runtime), Accounts(settings, screen, runtime)
    sought = len(names_to_look_up(table.rows, settings.identity_by))
    prechecks = not only_rows and _has_precheck(settings, tenant)
    access = (
        _access(settings, required=bool(sought or save_to) or settings.check_tenant is CheckTenant.ALWAYS)
        if (prechecks or save_to or (sought and not only_rows))
        else None
    )
    screen.say(*(access.notices if access else ()))
    with (
        _sessions(settings, runtime, access) as sessions,
        runtime.open_ledger(settings, screen.say)
        if sessions
        else _ledger_if_any(settings, runtime, screen.say, asked=bool(tenant)) as ledger,
    ):
        check = CommandPrecheck(settings, screen, sessions, runtime) if sessions and prechecks else None
        screen.say(*(describe_if_behind(ledger, runtime) if ledger else ()))
        if sessions and ledger:
            sessions.identify(ledger, notices_on(screen))
        digest = digest_in(ledger, tenant, table, settings.identity_by) if ledger else ""
        run = ledger.runs.of_input(tenant, digest) if ledger else None
        validated = _validated(table, names, accounts, settings, ledger, sessions, run, run.started_at if run else now)
        run_id = ledger.plans.run_id(tenant, digest) if ledger else ""
        classified = classify_input(
            table,
            validated,
            plans=ledger.plans if ledger else None,
            tenant=tenant,
            run=run_id,
            resubmit=settings.resubmit,
            busy=ledger.runs.busy(runtime.process, runtime.now()) if ledger else {},
            now=runtime.now(),
        )
        verdicts = _verdicts(ledger, check, classified, run)
        classified = with_tenant_verdicts(classified, verdicts)
        plan = NO_PLAN if only_rows else plan_fresh(classified, settings.dialect, settings.effort)
        tally = ledger.runs.tally(run) if ledger and run else EMPTY_TALLY
        if sessions and ledger and not only_rows:
            guarding = check or CommandPrecheck(settings, screen, sessions, runtime)
            _guard(plan, run, settings, guarding, ledger, screen, names.known(), is_saved=save_to is not None)
        ledger_id = ledger.gaps.ledger_id() if ledger else ""
        month = month_so_far(ledger, access, runtime.now()) if ledger and access else None
    tally, lower_bound = as_if_planned(tally, plan), max(plan.lower_bound, run.lower_bound if run else 0)
    checked = check.checked(verdicts) if check else None
    view, files = None, dict[str, str | None]()
    if only_rows:
        files = _described_rows(classified, loaded, settings, screen, unsought=sought)
    else:
        screen.say(*describe_input(classified, listed=[]))
        if check is None:
            screen.say(describe_unchecked(tenant, settings.check_tenant))
        else:
            check.describe(verdicts)
            check.describe_plan(plan)
        view = view_of(
            classified,
            plan,
            settings,
            names=names,
            check=check,
            checked=checked,
            tally=tally,
            lower_bound=lower_bound,
            tenant=tenant,
            now=runtime.now(),
            by=column,
            month=month,
        )
        files = write_files(view, classified, settings, screen)
        if save_to is not None:
            save(
                saved_plan(
                    classified,
                    plan,
                    view,
                    settings,
                    ledger=ledger_id,
                    tenant=tenant,
                    digest=digest,
                    now=now,
                    by=column,
                    unsaid=accounts.unsaid(),
                ),
                save_to,
                settings,
                screen,
            )
    return Summary(
        run=run_id,
        tenant=tenant,
        dry_run=True,
        rows=classified.rows,
        set_aside=changes_set_aside(classified.changes),
        tally=tally,
        lower_bound=lower_bound,
        posts_now=0,
        files=files,
        elapsed=runtime.clock.monotonic() - began,
        names=names.counts,
        left_out=table.left_out,
        precheck=checked,
        settings=check.tenant_settings if check else None,
        approvals=check.approvals if check else None,
        warned=check.preflight.warned if check else (),
        plan=view,
        detail=detail,
    )


def _validated(
    table: Table,
    names: Names,
    accounts: Accounts,
    settings: Settings,
    ledger: Ledger | None,
    sessions: SessionFactory | None,
    run: Run | None,
    moment: datetime,
) -> Validated:
    """The rows with the meaning of their names and accounts, validated; names stand in for ids if nobody is asked."""
    if ledger is None or sessions is None:
        return validate(resolve(table.rows, None, settings.identity_by), dialect=settings.dialect, now=moment)
    names.look_up(table.rows, ledger, sessions, run)
    rows = names.resolved(table.rows, ledger, sessions.access.tenant, run)
    validated = validate(rows, dialect=settings.dialect, now=moment)
    accounts.look_up(validated, rows, ledger, sessions, run)
    return accounts.resolved(validated, rows, ledger, run)


def _guard(
    plan: Plan,
    run: Run | None,
    settings: Settings,
    check: CommandPrecheck,
    ledger: Ledger,
    screen: Screen,
    names: KnownNames,
    *,
    is_saved: bool,
) -> None:
    """Check the limits: a plan that breaks them is shown, and not saved; so is what a run has planned before."""
    try:
        if run is not None:
            require_within_limits(ledger.plans.planned(run), settings, check, ledger, run=run.id)
        require_within_limits(plan.changes, settings, check, ledger, names=names)
    except GuardError as error:
        if is_saved:
            raise
        screen.say(f"`submit` would refuse this. {error.message}")


def _described_rows(
    classified: Classified, loaded: LoadedInputs, settings: Settings, screen: Screen, *, unsought: int
) -> dict[str, str | None]:
    """Show which rows are valid, and write those that are not; returns the files.

    Args:
        classified: The rows.
        loaded: The inputs.
        settings: Where to write.
        screen: For messages.
        unsought: How many names were not looked up.
    """
    if unsought:
        screen.say(f"Did not look up {count(unsought, 'name')}; `plan` and `submit` do.")
    screen.say(*describe_input(classified, listed=[RowClass.REJECTED]))
    if classified.rejected.is_empty() and classified.table.rejected.is_empty():
        return {}
    given = [content.name for content in loaded.contents]
    folder = results_folder(settings, given)
    make_folder(folder, given)
    return write_result_files(
        folder,
        classified.table,
        classified.rejected,
        None,
        out_format=settings.out_format,
        complain=screen.complain,
    )


def _verdicts(
    ledger: Ledger | None, check: CommandPrecheck | None, classified: Classified, run: Run | None
) -> pl.DataFrame:
    """What `submit` would set aside because of the tenant's answers; an unfinished run has set it aside already."""
    if ledger is not None and run is not None:
        states = ledger.runs.tally(run).requests
        if any(states.get(state) for state in (*UNSENT, *IN_DOUBT)):
            if check is not None:
                check.leave_as_planned(run)
            return ledger.decisions.set_aside(run.id)
    if ledger is None or check is None:
        return pl.DataFrame(schema=TENANT_VERDICTS)
    return check.ask(ledger, classified)


def _has_precheck(settings: Settings, tenant: str) -> bool:
    """Whether to make the precheck; `always` fails later if no tenant is given."""
    return settings.check_tenant is CheckTenant.ALWAYS or (settings.check_tenant is CheckTenant.AUTO and bool(tenant))


def _access(settings: Settings, *, required: bool) -> Access | None:
    """The tenant and its credentials; None if there are no credentials and the plan can do without.

    Raises:
        SettingsError: No tenant or no credentials are given.
    """
    try:
        return find_access(settings)
    except NoCredentialsError:
        if required:
            raise
        return None


@contextmanager
def _sessions(settings: Settings, runtime: Runtime, access: Access | None) -> Iterator[SessionFactory | None]:
    """Sessions with the tenant; None if it is not asked."""
    if access is None:
        yield None
        return
    with SessionFactory(settings, access, runtime) as sessions:
        yield sessions


@contextmanager
def _ledger_if_any(settings: Settings, runtime: Runtime, say: Say, *, asked: bool) -> Iterator[Ledger | None]:
    """The ledger to read, even if it can't be written; None if it is not asked for, or does not exist yet."""
    if not asked or not ledger_exists(ledger_url(settings.ledger_location, insecure=settings.ledger_insecure)):
        yield None
        return
    with runtime.open_ledger(settings, say, only_read=True) as ledger:
        yield ledger
