"""Cancelling a run at a tenant that answers before it cancels, if it cancels at all."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from batch.api.dialects import Operation
from batch.errors import TenantLostError
from batch.loops.cancel import Canceller
from batch.model import Answer
from batch.status.cancel import CancelOutcome, cancel_outcomes, count_outcomes
from batch.status.matching import AcceptedChange, RunChanges
from tests.builders import NOW, our_row, status_row
from tests.clocks import VIRTUAL
from tests.fakes import FakeStatusList
from tests.tenant.open_calls import Events
from tests.tenant.virtual_time import now, run_in_virtual_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batch.api.status_row import StatusRow
    from batch.tenant.status import Page, Query

TAKEN, BAD, FORBIDDEN = Answer(status=202), Answer(status=400, text="Not found."), Answer(status=403, text="No.")


def row(identity: str, item: str, *, request: str = "run-1", whole: str = "", **fields: object) -> StatusRow:
    """A row that waits for approval, in the access request of its identity unless another is named."""
    usual = {
        "access_request": whole or f"request of {identity}", "cancelable": True, "activity": f"{identity} {item}",
    }  # fmt: skip
    make = partial(our_row, request) if request else status_row
    return make(identity, item, **usual | fields)


class CancellingTenant(FakeStatusList):
    """A tenant's status list that also takes cancellations."""

    def __init__(self, *rows: StatusRow, bulk: Answer | None = TAKEN, does_bulk: bool = True) -> None:
        super().__init__(rows, page_size=10)
        self._listed = rows
        self.asked_to_cancel: list[tuple[str, ...]] = []
        self.ids = {"whole", "row"}
        self.delay = 0.0
        self.single: Answer = TAKEN
        self.calls_until_lost = 1_000_000
        self.looks: list[tuple[float, tuple[str, ...]]] = []
        self._bulk = bulk
        self._does_bulk = does_bulk
        self._cancelled: dict[str, float] = {}

    @property
    def in_bulk(self) -> bool:
        return self._bulk is not None

    async def many(self, access_requests: Sequence[str], comment: str) -> Answer:
        assert comment == "why"
        self._ask(*access_requests)
        assert self._bulk is not None
        if self._bulk is TAKEN and self._does_bulk:
            for one in self._listed:
                if one.access_request in access_requests:
                    self._cancelled.setdefault(one.activity, now() + self.delay)
        return self._bulk

    async def one(self, account_activity: str, comment: str) -> Answer:
        assert comment == "why"
        self._ask(account_activity)
        meant = [
            one.activity
            for one in self._listed
            if ("whole" in self.ids and one.access_request == account_activity)
            or ("row" in self.ids and one.activity == account_activity)
        ]
        if not meant or self.single is not TAKEN:
            return self.single if meant else BAD
        self._cancelled.update(dict.fromkeys(meant, now() + self.delay))
        return TAKEN

    def _ask(self, *names: str) -> None:
        if len(self.asked_to_cancel) >= self.calls_until_lost:
            raise TenantLostError("Gone.")
        self.asked_to_cancel.append(names)

    async def page(self, query: Query, offset: int) -> Page:
        self.looks.append((now(), query.access_requests))
        page = await super().page(query, offset)
        return replace(page, rows=tuple(map(self._by_now, page.rows)))

    def _by_now(self, listed: StatusRow) -> StatusRow:
        """The row as the tenant shows it at this moment."""
        is_cancelled = listed.cancelable and self._cancelled.get(listed.activity, now() + 1) <= now()
        return replace(listed, state="CANCELLED", cancelable=False) if is_cancelled else listed

    @property
    def cancelled(self) -> set[str]:
        return set(self._cancelled)


def cancel_run(
    tenant: CancellingTenant, own: RunChanges, *, stop_after: int = 0
) -> tuple[dict[CancelOutcome, int], Canceller, list[str]]:
    """The outcomes by the last reading, the canceller, and the notices."""
    events = Events()

    async def program() -> Canceller:
        canceller = Canceller(
            own=own,
            cancel_port=tenant,
            listing=tenant,
            since=NOW,
            comment="why",
            settle_after=60.0,
            clock=VIRTUAL,
            concurrency=3,
            tell=events.append,
        )
        await canceller.look()
        if stop_after:
            canceller.stop()
        await canceller.cancel()
        return canceller

    canceller = run_in_virtual_time(program())
    return dict(count_outcomes(cancel_outcomes(own, canceller.run_rows))), canceller, events.notices


def own_of(*rows: StatusRow) -> RunChanges:
    changes = [
        AcceptedChange(
            request=1,
            operation=Operation.GRANT,
            identity=one.identity,
            item_type="ROLE",
            item=one.item,
            accepted_at=NOW,
        )
        for one in rows
    ]
    return RunChanges("run", changes)


def many(people: int) -> list[StatusRow]:
    return [row(f"i{person}", thing) for person in range(people) for thing in ("r1", "r2")]


def test_whole_access_requests_are_cancelled_fifty_a_call() -> None:
    rows = many(60)
    tenant = CancellingTenant(*rows)
    came_to, canceller, told = cancel_run(tenant, own_of(*rows))
    assert came_to == {CancelOutcome.CANCELLED: 120}
    assert [len(names) for names in tenant.asked_to_cancel] == [50, 10]
    assert (canceller.calls, told) == ({"bulk": 2}, [])


def test_an_access_request_shared_with_others_is_cancelled_row_by_row() -> None:
    own = [row("i1", "r1"), row("i2", "r1")]
    others = [row("i1", "r2", request=""), row("i3", "r1", request="another-1"), row("i4", "r1", request="run2-1")]
    tenant = CancellingTenant(*own, *others)
    came_to, _, _ = cancel_run(tenant, own_of(*own))
    assert came_to == {CancelOutcome.CANCELLED: 2}
    assert tenant.cancelled == {"i1 r1", "i2 r1"}
    assert sorted(tenant.asked_to_cancel) == [("i1 r1",), ("request of i2",)]


def test_a_refusal_of_the_bulk_call_leads_to_single_calls() -> None:
    rows = many(3)
    tenant = CancellingTenant(*rows, bulk=FORBIDDEN)
    came_to, canceller, told = cancel_run(tenant, own_of(*rows))
    assert came_to == {CancelOutcome.CANCELLED: 6}
    assert canceller.calls == {"bulk": 1, "single": 3, "refused": 1}
    assert told == ["The tenant does not cancel in bulk (403: No.): cancelling one at a time."]
    assert not canceller.refused


def test_a_bulk_call_that_cancels_nothing_is_followed_by_single_calls() -> None:
    rows = many(3)
    tenant = CancellingTenant(*rows, does_bulk=False)
    came_to, canceller, told = cancel_run(tenant, own_of(*rows))
    assert came_to == {CancelOutcome.CANCELLED: 6}
    assert canceller.calls == {"bulk": 1, "single": 3}
    assert "took 3 access requests for cancelling in bulk and did not cancel them" in told[0]


@pytest.mark.parametrize("ids", ["whole", "row"])
def test_cancelling_works_with_either_id_that_the_tenant_may_expect(ids: str) -> None:
    rows = many(2)
    tenant = CancellingTenant(*rows, bulk=None)
    tenant.ids = {ids}
    assert cancel_run(tenant, own_of(*rows))[0] == {CancelOutcome.CANCELLED: 4}


def test_late_cancellations_are_read_back_at_growing_intervals() -> None:
    rows = many(2)
    tenant = CancellingTenant(*rows)
    tenant.delay = 40.0
    came_to, _, told = cancel_run(tenant, own_of(*rows))
    assert (came_to, told) == ({CancelOutcome.CANCELLED: 4}, [])
    assert len(tenant.looks) < 9


def test_a_cancellation_that_never_shows_is_left_open_after_settle_after() -> None:
    rows = many(2)
    tenant = CancellingTenant(*rows, bulk=None)
    tenant.delay = 1e6
    assert cancel_run(tenant, own_of(*rows))[0] == {CancelOutcome.CANCELABLE: 4}
    assert 60 <= tenant.looks[-1][0] - tenant.looks[0][0] < 61


def test_a_refused_cancellation_is_not_awaited_and_after_a_403_no_more_are_sent() -> None:
    rows = many(30)
    tenant = CancellingTenant(*rows, bulk=None)
    tenant.single = FORBIDDEN
    came_to, canceller, _ = cancel_run(tenant, own_of(*rows))
    assert came_to == {CancelOutcome.CANCELABLE: 60}
    assert canceller.refused == "403: No."
    assert len(tenant.asked_to_cancel) <= 3
    assert tenant.looks[-1][0] - tenant.looks[0][0] < 1


def test_only_awaited_access_requests_are_read_again_if_that_takes_fewer_calls() -> None:
    rows = [*many(3), *(row(f"o{n}", "r1", request="") for n in range(40))]
    tenant = CancellingTenant(*rows)
    cancel_run(tenant, own_of(*many(3)))
    assert [bool(names) for _, names in tenant.looks] == [False] * 5 + [True]
    unknowing = CancellingTenant(*rows)
    unknowing.forbids = lambda query: "no such operator" if query.access_requests else ""
    assert cancel_run(unknowing, own_of(*many(3)))[0] == {CancelOutcome.CANCELLED: 6}


def test_a_lost_tenant_ends_cancelling_and_the_last_rows_are_kept() -> None:
    rows = many(200)
    tenant = CancellingTenant(*rows)
    tenant.calls_until_lost = 2
    with pytest.raises(TenantLostError):
        cancel_run(tenant, own_of(*rows))
    assert len(tenant.cancelled) == 200


def test_after_a_stop_nothing_more_is_cancelled() -> None:
    rows = many(2)
    tenant = CancellingTenant(*rows)
    assert cancel_run(tenant, own_of(*rows), stop_after=1)[0] == {CancelOutcome.CANCELABLE: 4}
    assert tenant.asked_to_cancel == []
