"""Test of the test: each protection of the product can be switched off here, and then some history must go wrong."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

import sqlalchemy as sa

import batch.api.rate_window
import batch.dedupe.classify
import batch.ledger.doubts
import batch.ledger.gaps
import batch.ledger.lost
import batch.ledger.moving
import batch.ledger.requests
import batch.ledger.runs
import batch.ledger.tenants
import batch.ledger.waves
import batch.loops.compare
import batch.loops.open_doubt
import batch.loops.settle
import batch.status.evidence
from batch.ledger import tables as t
from batch.ledger.events import PLACES
from batch.ledger.gaps import Compared
from batch.ledger.machine_key import KEY
from batch.plan.waves import Moment
from batch.states import Event
from batch.status.control import Proof
from batch.status.evidence import Settlement, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tests.simulation.network import Network
    from tests.simulation.process import Machine


@dataclass(frozen=True, kw_only=True)
class Off:
    """What takes a protection away.

    Attributes:
        replace: Replaces an attribute of a module or class while a history lasts.
        network: The history's; likewise the machines.
    """

    replace: Callable[[object, str, object], None]
    network: Network
    machines: Sequence[Machine]


def _linger(off: Off) -> None:
    """A kernel goes on sending the bytes of a closed connection."""
    off.network.linger = False


def _unread_bytes(off: Off) -> None:
    """A connection is used again although it has unread bytes."""
    off.network.notices_unread = False


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
    """A transition is written whatever the state was before, and whoever holds the run."""
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
    off.replace(batch.ledger.requests, "require_held", lambda *_: None)

    def look(connection: Any, run: str, _process: object) -> Any:
        public = connection.get_execution_options()[KEY]().public
        return connection.execute(PLACES, {"of_run": run, "public": public}).one()

    off.replace(batch.ledger.requests, "look", look)


def _tenant_identity(off: Off) -> None:
    """A tenant is known by its address."""
    off.replace(batch.ledger.tenants.Tenants, "bind", lambda *_: None)
    off.replace(batch.ledger.tenants.Tenants, "is_open", lambda *_: False)


def _in_doubt_is_not_submitted(off: Off) -> None:
    """What another run may have submitted counts as submitted."""
    off.replace(batch.dedupe.classify, "_IN_DOUBT", [])


def _recognition(off: Off) -> None:
    """What the list does not show under our ids is absent."""
    off.replace(batch.status.evidence, "_may_be_ours", lambda *_: False)
    off.replace(Proof, "proves_absence", property(lambda proof: proof.control or proof.current or proof.recognised))


def _currency(off: Off) -> None:
    """The list is taken to be up to date once enough time has passed."""
    off.replace(Proof, "proves_absence", property(lambda _proof: True))


def _stale_ledger(off: Off) -> None:
    """The ledger is not compared with the tenant."""

    async def compare(_self: object, *, stale: str) -> Compared:
        del stale
        return Compared(arrived=0, unknown=())

    off.replace(batch.loops.compare.Comparison, "compare", compare)
    off.replace(batch.ledger.lost.LostRequests, "doubt_claimed", lambda *_: 0)


def _settling(off: Off) -> None:
    """What is in doubt is sent again without a look at the list."""
    not_found = Verdict(settlement=Settlement.NOT_FOUND)
    off.replace(batch.loops.settle, "judge", lambda *_, **__: not_found)


def _two_clocks(off: Off) -> None:
    """Waiting is measured by this machine's wall clock alone."""
    for machine in off.machines:
        machine.has_one_clock = True
    off.replace(batch.loops.open_doubt, "seconds_without", lambda _doubt, *, own, **_: own)


def _token_fence(off: Off) -> None:
    """A silent process counts as dead."""
    real = batch.ledger.doubts.begin

    def begin(connection: Any, numbers: Any, *, fenced: bool = False) -> None:
        del fenced
        real(connection, numbers)

    off.replace(batch.ledger.doubts, "begin", begin)


def _record_of_waves(off: Off) -> None:
    """What was claimed before is not counted."""
    off.replace(batch.ledger.waves, "_claims", lambda *_: [])


def _clock_of_waves(off: Off) -> None:
    """A period is measured by the wall clock alone."""
    off.replace(Moment, "since", lambda now, earlier: (now.wall - earlier.wall).total_seconds())


def _database_clock(off: Off) -> None:
    """Machines that share a ledger go by their own clocks."""
    # Imported late, as it takes the place of what this module replaces.
    from tests.simulation.seams import SharedDisk  # noqa: PLC0415

    off.replace(SharedDisk, "now", lambda disk: disk.process.machine.wall())


PROTECTIONS: Final[Mapping[str, Callable[[Off], None]]] = {
    "linger": _linger,
    "recognition": _recognition,
    "currency of the list": _currency,
    "stale-ledger check": _stale_ledger,
    "claim before send": _claim_before_send,
    "compare-and-set": _compare_and_set,
    "settling before resending": _settling,
    "two clocks": _two_clocks,
    "margin": _margin,
    "tenant identity": _tenant_identity,
    "in doubt is not submitted": _in_doubt_is_not_submitted,
    "token fence": _token_fence,
    "unread bytes": _unread_bytes,
    "record of the waves": _record_of_waves,
    "clock of the waves": _clock_of_waves,
    "the database's clock": _database_clock,
}
"""Each protection by name, with what takes it away."""


@contextlib.contextmanager
def without(protection: str, network: Network, machines: Sequence[Machine]) -> Iterator[None]:
    """While the block lasts, a protection is switched off; all are on if it is empty."""
    with contextlib.ExitStack() as stack:

        def replace(place: object, name: str, value: object) -> None:
            stack.enter_context(mock.patch.object(place, name, value))

        if protection:
            PROTECTIONS[protection](Off(replace=replace, network=network, machines=machines))
        yield
