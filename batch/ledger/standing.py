"""What a run has on its way: what must be known of it if the ledger is put back to an earlier state."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar

import sqlalchemy as sa

from batch.api.dialects import DIALECTS
from batch.ledger import tables as t
from batch.ledger.doubts import load_doubts
from batch.ledger.rows import REQUEST
from batch.states import IN_DOUBT
from batch.text import RequestId

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from sqlalchemy.engine import Connection

    from batch.model import Doubt, Request, Run
    from batch.plan.body import Body

_DOUBTFUL: Final = REQUEST.where(
    t.run.c.id == sa.bindparam("of_run"), t.request.c.state.in_([state.value for state in IN_DOUBT])
)
_ALONE: Final = (
    sa.select(t.request.c.number)
    .join(t.run, t.run.c.number == t.request.c.run)
    .outerjoin(t.envelope, t.envelope.c.request == t.request.c.number)
    .where(
        t.run.c.id == sa.bindparam("of_run"),
        t.run.c.dialect.in_([dialect.name for dialect in DIALECTS.values() if dialect.nested]),
        t.request.c.attempts > 1,
        t.request.c.parent.is_(None),
        t.envelope.c.request.is_(None),
    )
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """A request that was sent and may have arrived.

    Attributes:
        request: By the id that was sent with it.
        body: The id of the attempt, which all requests of its body share; empty for one of an older ledger.
        arrived: Whether something of its body is known to have arrived: then all of it has.
    """

    request: Request
    body: str = ""
    arrived: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """What a run has on its way.

    Attributes:
        doubtful: Its requests in doubt, by their numbers.
        alone: Numbers of requests that had a body of their own when they were sent last, although others may have
            shared it before.
    """

    doubtful: dict[int, Sent] = field(default_factory=dict)
    alone: set[int] = field(default_factory=set)

    def claim(self, run: Run, bodies: Iterable[Body], *, shared: Collection[int]) -> None:
        """Follow the claim of bodies of the run; `shared` has the numbers of requests that may share theirs."""
        for body in bodies:
            self.doubtful.update((one.number, Sent(request=one, body=body.attempt)) for one in body.requests)
            if DIALECTS[run.dialect].nested:
                self.alone.update(one.number for one in body.requests if one.attempts > 1 and one.number not in shared)

    def settle(self, number: int, *, arrived: bool) -> None:
        """Follow the verdict about a request: if it has arrived, so has the rest of its body."""
        one = self.doubtful.pop(number, None)
        if one and one.body and arrived:
            self.doubtful.update(
                (other, replace(sent, arrived=True)) for other, sent in self.doubtful.items() if sent.body == one.body
            )


_P = ParamSpec("_P")
_Result = TypeVar("_Result")


def in_turn(method: Callable[Concatenate[Any, _P], _Result]) -> Callable[Concatenate[Any, _P], _Result]:
    """Lets one such method of an object work at a time, by the lock that is its `turn`.

    Answers are recorded and doubts are settled while the next requests are claimed, each by a thread of its own. What
    they change in a Standing, and what is kept outside of the ledger, must come in the order of their transactions.
    """

    @functools.wraps(method)
    def alone(self: Any, /, *args: _P.args, **kwargs: _P.kwargs) -> _Result:
        with self.turn:
            return method(self, *args, **kwargs)

    return alone


def doubtful_of(lost: Iterable[Standing]) -> list[Sent]:
    """The requests in doubt of several runs."""
    return [one for known in lost for one in known.doubtful.values()]


def names_of(lost: Iterable[Standing]) -> frozenset[RequestId]:
    """The ids of the requests in doubt of several runs."""
    found = (RequestId.read(one.request.id) for one in doubtful_of(lost))
    return frozenset(name for name in found if name is not None)


def standing(connection: Connection, run_id: str) -> Standing:
    """What a run has on its way."""
    doubts = load_doubts(connection, connection.execute(_DOUBTFUL, {"of_run": run_id}).all())
    return Standing(
        doubtful={doubt.request.number: _as_sent(doubt) for doubt in doubts},
        alone=set(connection.execute(_ALONE, {"of_run": run_id}).scalars()),
    )


def _as_sent(doubt: Doubt) -> Sent:
    request, name = doubt.request, RequestId.read(doubt.sent_id)
    if name is not None:
        request = replace(request, run=name.run, number=name.number, tag=name.tag)
    return Sent(request=request, body=doubt.attempt, arrived=doubt.arrived)
