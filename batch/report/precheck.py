"""The precheck's cost and results, for people."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Final

from batch.api.dialects import ADMIN_LEVEL, INDEX_LAG
from batch.model import CheckTenant
from batch.report.preflight import places
from batch.report.screen import duration
from batch.text import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from batch.answers.events import PrecheckResult
    from batch.api.dialects import Dialect, Rate
    from batch.loops.compare import OtherRun

_FEWEST_ANNOUNCED: Final = 20
"""Announce a precheck from this number of calls on."""

_RUNS_SHOWN: Final = 5
"""Runs of other ledgers that a message names."""

_FRESH: Final = 5.0
"""Show the age of answers older than this number of seconds."""


def describe_cost(calls: float, rate: Rate, *, dear: bool) -> Iterator[str]:
    """How long all questions before planning take, if they take long.

    Args:
        calls: How many there are at most.
        rate: The rate limit in use.
        dear: Whether the precheck may take longer than sending.
    """
    if calls < _FEWEST_ANNOUNCED:
        return
    least = duration(calls * rate.seconds / rate.requests)
    longer = "; that may take longer than sending: --check-tenant never skips it" if dear else ""
    yield (
        f"Asking the tenant which changes are in progress, held or against its rules: at most {calls:,.0f} calls, "
        f"which take {least} at this rate{longer}."
    )


def describe_calls(made: int, about: float) -> Iterator[str]:
    """How far the questions have come, while they are asked; nothing if their number is not known."""
    if about:
        yield f"Asking the tenant: {made:,} of about {max(about, made):,.0f} calls are made."


def describe_precheck(precheck: PrecheckResult | None) -> Iterator[str]:
    """The result of a precheck, the age of its answers, and rows that can't be attributed."""
    if precheck is None:
        return
    known = [
        (number, state)
        for number, state in ((precheck.in_progress, "in progress"), (precheck.held, "held"))
        if number is not None
    ]
    if known or precheck.not_held:
        age = duration(precheck.age) if precheck.age and precheck.age > _FRESH else ""
        found = _found(known, precheck.not_held or 0)
        if precheck.calls:
            ago = f" (some of it up to {age} ago)" if age else ""
            yield f"Asked the tenant in {count(precheck.calls, 'call')}{ago}: {found}."
        else:
            yield f"The tenant answered {f'up to {age}' if age else 'a moment'} ago: {found}."
    yield from describe_doubts(precheck)


def describe_doubts(precheck: PrecheckResult) -> Iterator[str]:
    """What the tenant's answers leave open."""
    if precheck.unsure:
        it, they = ("It", "is") if precheck.unsure == 1 else ("They", "are")
        yield (
            f"The search index does not show the access of {count(precheck.unsure, 'revoke')}. {it} {they} sent all "
            f"the same, since the access may have been granted in the last {INDEX_LAG / timedelta(hours=1):.0f} hours."
        )
    if unchecked := sum(map(len, precheck.unchecked.values())):
        where = places(precheck.unchecked, several_files=precheck.several_files)
        yield (
            f"{count(unchecked, 'revoke')} of these ({where}) {_were(unchecked)} not checked against "
            "the identity's own list, as that takes a call each. --check-tenant always checks all of them."
        )
    if precheck.unclear:
        yield (
            f"{count(precheck.unclear, 'pending request')} {_do(precheck.unclear)} not name the item or the person, "
            "so it could not be compared with your file: look at the tenant."
        )


def describe_unchecked(tenant: str, when: CheckTenant) -> str:
    """What a plan did not check that `submit` does, and why.

    Args:
        tenant: Empty if none is given.
        when: Whether the tenant was to be asked.
    """
    if not tenant:
        return "No tenant is given, so this plan may hold changes that are already submitted, in progress or held."
    why = "--check-tenant never" if when is CheckTenant.NEVER else "there are no credentials for it"
    return f"Did not ask the tenant which changes are in progress or held ({why})."


def describe_unknown(dialect: Dialect, *, closed_list: str, closed_approvals: str, closed_index: str) -> Iterator[str]:
    """What the tenant does not show us, why, and what the token lacks.

    Args:
        dialect: The API version.
        closed_list: Why changes in progress can't be read; empty if they can.
        closed_approvals: Why pending approvals can't be read; empty if they can.
        closed_index: Why held items can't be read; empty if they can.
    """
    if closed_list:
        lists = [dialect.status_scopes, *([dialect.administration_scopes] if dialect.paths.administration else [])]
        yield (
            f"The tenant does not show which changes of others are in progress ({closed_list}): that takes a user with "
            f"{ADMIN_LEVEL} and the scope {' or '.join(scopes[0] for scopes in lists)}."
        )
    if closed_approvals:
        yield describe_closed_approvals(dialect, closed_approvals)
    if closed_index:
        yield (
            f"The tenant does not show which access is held already ({closed_index}): that takes the scope "
            f"{dialect.search_scopes[0]}."
        )


def describe_closed_approvals(dialect: Dialect, why: str) -> str:
    """That the tenant does not show whom changes wait for, why, and what the token may lack."""
    return (
        f"The tenant does not show which changes wait for whose approval ({why}). That takes a user with "
        f"{ADMIN_LEVEL}, the scope {dialect.pending_approvals_scopes[0]}, and a tenant that lists them without an "
        "approver's id."
    )


def describe_other_runs(runs: Sequence[OtherRun]) -> str:
    """The runs of other ledgers and their times, as a part of a sentence."""
    shown = [f"run {run.id} ({count(run.changes, 'change')}{_times(run)})" for run in runs[:_RUNS_SHOWN]]
    more = [f"{count(len(runs) - _RUNS_SHOWN, 'more run')}"] if len(runs) > _RUNS_SHOWN else []
    return ", ".join([*shown, *more])


def _times(run: OtherRun) -> str:
    if run.first is None or run.last is None:
        return ""
    first, last = (f"{time.astimezone(UTC):%Y-%m-%d %H:%M}" for time in (run.first, run.last))
    return f", {first} UTC" if first == last else f", {first} to {last} UTC"


def _found(known: list[tuple[int, str]], not_held: int) -> str:
    parts = []
    if any(number for number, _ in known):
        parts += [f"{count(number, 'change')} {_are(number)} already {state}" for number, state in known]
    elif known:
        parts.append(f"no requested change is already {' or '.join(state for _, state in known)}")
    if not_held:
        parts.append(f"the access of {count(not_held, 'change')} is not held")
    return " and ".join(parts)


def _do(number: int) -> str:
    return "does" if number == 1 else "do"


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def describe_no_accounts(closed: str) -> list[str]:
    """Why it can't be asked which accounts people have; nothing if it can."""
    if not closed:
        return []
    chooses = "It chooses one itself for people with several, where the row names none."
    return [f"The tenant does not tell which accounts people have ({closed}). {chooses}"]


def describe_account_calls(calls: int, rate: Rate, left: int) -> Iterator[str]:
    """How many calls it takes to find accounts, if they are many, and for how many nobody asks.

    Args:
        calls: Calls to make.
        rate: The rate limit in use.
        left: People and items that are left out, as there are too many.
    """
    more = (
        f" {count(left, 'pair')} of a person and an item {_are(left)} left out: rows that name an account there are "
        "rejected; for the others the tenant chooses."
        if left
        else ""
    )
    if more or calls >= _FEWEST_ANNOUNCED:
        least = duration(calls * rate.seconds / rate.requests)
        yield f"Asking the tenant which accounts people have: {count(calls, 'call')}, at least {least}.{more}"


def describe_accounts_asked(calls: int) -> Iterator[str]:
    """How many calls it took to find the accounts that rows name."""
    if calls:
        yield f"Asked the tenant in {count(calls, 'call')} which accounts the rows name."


def describe_left_to_tenant(changes: int) -> Iterator[str]:
    """That the tenant chooses the account of changes whose rows name none of several."""
    if changes:
        are, names = ("is", "names") if changes == 1 else ("are", "name")
        yield (
            f"{count(changes, 'change')} {are} for people with several accounts and {names} none: the tenant chooses "
            "the account. A row can name one, with --api v1 (`access-batch help input`)."
        )
