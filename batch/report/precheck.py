"""What people read of what the tenant was asked before planning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from batch.api.dialects import ADMIN_LEVEL
from batch.report.screen import duration
from batch.text import count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batch.api.dialects import Dialect, Rate
    from batch.model import PrecheckResult

_TOLD_FROM: Final = 20
"""Calls from which on it is told beforehand that they are made."""

_FRESH: Final = 5.0
"""Seconds up to which an answer has no age worth telling."""


def describe_cost(calls: float, rate: Rate, *, dear: bool) -> Iterator[str]:
    """How long asking takes, where that is long.

    Args:
        calls: Calls that are left to make.
        rate: The limit that is kept.
        dear: Whether it takes more than sending does.
    """
    if calls < _TOLD_FROM:
        return
    least = duration(calls * rate.seconds / rate.requests)
    asking = f"Asking the tenant what is in progress and held already: {calls:,.0f} calls, at least {least}"
    if dear:
        asking += ", which may be longer than sending takes; --check-tenant never leaves it out"
    yield f"{asking}."


def describe_precheck(checked: PrecheckResult | None) -> Iterator[str]:
    """What the tenant said, and how long ago; how much of it nobody understands."""
    if checked is None:
        return
    known = [
        (number, what)
        for number, what in ((checked.in_progress, "in progress"), (checked.held, "held"))
        if number is not None
    ]
    if known:
        asked = f"The tenant was asked in {count(checked.calls, 'call')}"
        ago = f" (some of it up to {duration(checked.age)} ago)" if checked.age and checked.age > _FRESH else ""
        yield f"{asked}{ago}: {_found(known)} already."
    if checked.unclear:
        yield (
            f"{count(checked.unclear, 'row')} of what is in progress for these people {_are(checked.unclear)} of items "
            "whose ids the tenant does not tell: look there whether they are among the wanted."
        )


def describe_unknown(dialect: Dialect, *, closed_list: str, closed_index: str) -> Iterator[str]:
    """What the tenant does not let us know, why, and what is missing.

    Args:
        dialect: The API version.
        closed_list: Why what is in progress can't be known; empty where it can.
        closed_index: The same for what is held.
    """
    if closed_list:
        lists = [dialect.status_scopes, *([dialect.administration_scopes] if dialect.paths.administration else [])]
        yield (
            f"What others have in progress is not known, as the tenant does not tell ({closed_list}): that takes a "
            f"user with {ADMIN_LEVEL} and the scope {' or '.join(scopes[0] for scopes in lists)}."
        )
    if closed_index:
        yield (
            f"What is held already is not known, as the tenant does not tell ({closed_index}): that takes the scope "
            f"{dialect.search_scopes[0]}."
        )


def _found(known: list[tuple[int, str]]) -> str:
    if not any(number for number, _ in known):
        return f"nothing of what is wanted is {' or '.join(what for _, what in known)}"
    parts = [f"{count(number, 'change')} {_are(number)} {what}" for number, what in known]
    return f"of what is wanted, {' and '.join(parts)}"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
