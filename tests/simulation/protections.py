"""Test of the test: each protection of the product can be switched off here, and then some history must go wrong."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

import sqlalchemy as sa

import batch.api.rate_window
import batch.dedupe.classify
import batch.ledger.moving
import batch.ledger.runs
import batch.ledger.tenants
from batch.ledger import tables as t
from batch.states import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.simulation.network import Network

Replace = "Callable[[object, str, object], None]"


@dataclass(frozen=True, kw_only=True)
class Off:
    """What takes a protection away.

    Attributes:
        replace: Replaces an attribute of a module or class while a history lasts.
        network: The history's.
    """

    replace: Callable[[object, str, object], None]
    network: Network


def _linger(off: Off) -> None:
    """A kernel goes on sending the bytes of a closed connection."""
    off.network.linger = False


def _margin(off: Off) -> None:
    """A call counts until a window after its last byte was handed over."""
    off.replace(batch.api.rate_window, "SPREAD", 0.0)


def _claim_before_send(off: Off) -> None:
    """What a dead process had claimed counts as not sent."""
    real = batch.ledger.runs._mark_all

    def mark_all(connection: Any, run: Any, state: Any, event: Event, *rest: Any, **more: Any) -> int:
        return real(connection, run, state, Event.NOT_PROCESSED if event is Event.ABANDONED else event, *rest, **more)

    off.replace(batch.ledger.runs, "_mark_all", mark_all)


def _compare_and_set(off: Off) -> None:
    """A transition is written whatever the state was before."""
    c = t.request.c
    anyhow = (
        sa.update(t.request)
        .where(
            c.number == sa.bindparam("of_number"),
            # Always true, so that the parameters are used.
            sa.or_(
                c.number > 0, c.state == sa.bindparam("state_before"), c.attempts == sa.bindparam("attempts_before")
            ),
        )
        .values(state=sa.bindparam("state_after"), state_at=sa.bindparam("at"), attempts=sa.bindparam("attempts_after"))
    )
    off.replace(batch.ledger.moving, "_MOVE", anyhow)


def _tenant_identity(off: Off) -> None:
    """A tenant is known by its address."""
    off.replace(batch.ledger.tenants.Tenants, "bind", lambda *_: None)
    off.replace(batch.ledger.tenants.Tenants, "is_open", lambda *_: False)


def _in_doubt_is_not_submitted(off: Off) -> None:
    """What another run may have submitted counts as submitted."""
    off.replace(batch.dedupe.classify, "_IN_DOUBT", [])


PROTECTIONS: Final[Mapping[str, Callable[[Off], None]]] = {
    "linger": _linger,
    "margin": _margin,
    "claim before send": _claim_before_send,
    "compare-and-set": _compare_and_set,
    "tenant identity": _tenant_identity,
    "in doubt is not submitted": _in_doubt_is_not_submitted,
}
"""Each protection by name, with what takes it away."""


@contextlib.contextmanager
def without(protection: str, network: Network) -> Iterator[None]:
    """While the block lasts, a protection is switched off; all are on if it is empty."""
    with contextlib.ExitStack() as stack:

        def replace(place: object, name: str, value: object) -> None:
            stack.enter_context(mock.patch.object(place, name, value))

        if protection:
            PROTECTIONS[protection](Off(replace=replace, network=network))
        yield
