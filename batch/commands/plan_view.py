"""The view of a plan that was just made, and its files."""

from __future__ import annotations

import getpass
from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from batch.pipeline import plan_fresh
from batch.read.comment import TICKET, has_ticket
from batch.report.end_dates import describe_end_dates
from batch.report.files import make_folder
from batch.report.plan_count import plan_view, tracking_calls
from batch.report.plan_files import NAMES, write_plan_files
from batch.report.plan_rows import plan_rows
from batch.report.plan_view import Cost, PlanAbout
from batch.report.precheck import describe_doubts, describe_unchecked
from batch.report.preflight import describe_warnings
from batch.report.summary import count_states
from batch.report.tenant_settings import describe_cautions
from batch.text import instant

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from batch.answers.events import PrecheckResult
    from batch.commands.names import Names
    from batch.commands.precheck import CommandPrecheck
    from batch.commands.screen import Screen
    from batch.ledger.budget import MonthCount
    from batch.model import Tally
    from batch.pipeline import Classified
    from batch.plan import Plan
    from batch.read import Column
    from batch.report.plan_view import PlanView
    from batch.settings import Settings


def view_of(
    classified: Classified,
    plan: Plan,
    settings: Settings,
    *,
    names: Names,
    check: CommandPrecheck | None,
    checked: PrecheckResult | None,
    tally: Tally,
    lower_bound: int,
    tenant: str,
    now: datetime,
    by: Column | None = None,
    month: MonthCount | None = None,
) -> PlanView:
    """The view of a plan.

    Args:
        classified: The input's changes.
        plan: Of those that still need a request.
        settings: The rate limit.
        names: The input's names.
        check: What the tenant was asked; None if it was not.
        checked: What the tenant answered.
        tally: Of the run, as if the plan were written.
        lower_bound: No plan of the run's changes needs fewer requests.
        tenant: The tenant's name.
        now: When the plan was made.
        by: The user's column to count the changes by.
        month: The client's calls of this month; None if they are not known.
    """
    preflight = check.preflight if check else None
    lines = plan_rows(
        classified,
        plan,
        names=names.known(),
        items=preflight.items if preflight else None,
        people=preflight.people if preflight else None,
        by=by,
    )
    shown = check.tenant_settings if check else None
    requester = shown.requester if shown else None
    states = count_states(tally.requests)
    requests = states["unsent"]
    planned = int(lines.get_column("request").is_not_null().sum())
    return plan_view(
        lines,
        rows={row_class.value: number for row_class, number in classified.rows.items()},
        cost=Cost(
            requests=requests,
            # What is left of a run may need fewer than all of it.
            lower_bound=lower_bound if requests == states["planned"] else 0,
            checking=names.counts.calls + (checked.calls if checked else 0),
            tracking=tracking_calls(planned),
            rate=check.pace if check else settings.pace,
            month=month.month if month else "",
            made=month.calls if month else 0,
            budget=settings.monthly_calls if month else None,
            without_tickets=_without_tickets(classified, plan, settings, requests),
        ),
        about=PlanAbout(
            tenant=tenant,
            inputs=tuple(classified.table.originals.get_column("_file").unique(maintain_order=True)),
            made_at=instant(now),
            made_by=_user(),
            requester=(requester.name or requester.id) if requester else "",
            by=by.header if by else "",
            metadata=settings.metadata,
        ),
        approvals=check.approvals if check else None,
        warnings=[*_warnings(check, checked, settings, requests)]
        if check
        else [describe_unchecked(tenant, settings.check_tenant), *describe_end_dates(classified.changes)],
    )


def _without_tickets(classified: Classified, plan: Plan, settings: Settings, requests: int) -> int | None:
    """How many of the requests would do if comments had no tickets; None without tickets."""
    if not has_ticket(settings.comment) or not plan.requests:
        return None
    rows, changes = classified.table.rows, classified.changes
    tickets = rows.get_column(TICKET)[changes.get_column("row")] if TICKET in rows.columns else [None] * changes.height
    pairs = zip(changes.get_column("comment"), tickets, strict=True)
    # A revoke needs a comment, even if its ticket is all of it.
    comments = [
        text.replace(ticket.strip(), "-") if text and ticket and ticket.strip() else text for text, ticket in pairs
    ]
    alike = replace(classified, changes=changes.with_columns(pl.Series("comment", comments, pl.String)))
    return requests - max(0, plan.bodies - plan_fresh(alike, settings.dialect, settings.effort).bodies)


def _warnings(
    check: CommandPrecheck, checked: PrecheckResult | None, settings: Settings, requests: int
) -> Iterator[str]:
    """What the tenant does not show, what its answers leave open, and what may surprise people."""
    yield from check.unknown
    if checked:
        yield from describe_doubts(checked)
    if check.tenant_settings and check.approvals:
        yield from describe_cautions(check.tenant_settings, check.approvals, settings.pace, requests)
    yield from check.end_dates
    yield from describe_warnings(check.preflight.warned, several_files=check.preflight.several_files)


def require_folder(settings: Settings, inputs: Sequence[str]) -> None:
    """Check that the files of a plan can be written, if they are asked for, before anything is asked.

    Raises:
        SettingsError: They can't.
    """
    if settings.out is not None:
        make_folder(settings.out, inputs, names=NAMES)


def write_files(view: PlanView, classified: Classified, settings: Settings, screen: Screen) -> dict[str, str | None]:
    """Write the files of a plan, if they are asked for."""
    if settings.out is None:
        return {}
    return write_plan_files(settings.out, view, form=classified.table.form, complain=screen.complain)


def _user() -> str:
    """The name of this user of the machine; empty if it has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return ""
