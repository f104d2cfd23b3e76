"""Tracking against a tenant that is a list: which lists it reads how often, and what it records."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from batch.answers.events import RunEvent, StatusesChanged, StatusesRead
from batch.answers.outcome import decide
from batch.api.dialects import ITEM_ID_KEY, REQUEST_ID_KEY
from batch.errors import TenantLostError
from batch.ledger.answered import Answered
from batch.loops.track import Tracker
from batch.model import Clock, Existing
from batch.tenant.reading import ForbiddenError, RefusedError
from tests.builders import NOW, our_row, product, status_row
from tests.fakes import FakeStatusList
from tests.ledger.ledger_helpers import ACCEPTED, ME, claim, record, write
from tests.tenant import virtual_time
from tests.tenant.fake_tenant import FakeApprovals

if TYPE_CHECKING:
    from collections.abc import Callable

    from batch.api.status_row import ChangeStatus, StatusRow
    from batch.ledger.store import Ledger
    from batch.model import Run
    from batch.tenant.status import Page, Query

START = 1000.0


def clock() -> datetime:
    return NOW + timedelta(seconds=virtual_time.now() - START)


class MovingList(FakeStatusList):
    """A tenant's status list whose rows a test can move."""

    def __init__(self, *rows: StatusRow) -> None:
        super().__init__(rows, is_mine=lambda row: row.requester == "me")
        self.looks: list[tuple[float, Query]] = []
        self.before_page: Callable[[float], None] = lambda _seconds: None
        self.cut = False

    async def page(self, query: Query, offset: int) -> Page:
        await asyncio.sleep(0.01)
        seconds = virtual_time.now() - START
        self.looks.append((seconds, query))
        self.before_page(seconds)
        page = await super().page(query, offset)
        return replace(page, rows=(), read=0, more=False) if self.cut and offset else page

    def moves(self, identity: str, state: str) -> None:
        self.rows = [replace(row, state=state) if row and row.identity == identity else row for row in self.rows]


class Diary(list[RunEvent]):
    """The events reported so far."""

    @property
    def found(self) -> list[ChangeStatus]:
        return [one for event in self if isinstance(event, StatusesChanged) for one in event.changes]

    @property
    def waits(self) -> list[tuple[int, float]]:
        return [(event.open_changes, event.wait) for event in self if isinstance(event, StatusesRead)]


def people(number: int) -> list[str]:
    return [f"i{n:04}" for n in range(number)]


def accepted_run(ledger: Ledger, number: int) -> Run:
    """A run of one request for each of so many people."""
    run = write(ledger, *(product([one], ["r1"]) for one in people(number)))
    for _ in range(number):
        record(ledger, claim(ledger, run), ACCEPTED)
    return run


def rows_of(run: Run, number: int, state: str = "EXECUTING") -> list[StatusRow]:
    return [
        our_row(f"{run.id}-{n}", one, access_request=f"a{n}", state=state, requester="me", item_type="", activity="")
        for n, one in enumerate(people(number), 1)
    ]


def tracker(
    run: Run,
    ledger: Ledger,
    listing: MovingList,
    diary: Diary,
    track_for: float | None = None,
    approvals: FakeApprovals | None = None,
    *,
    by_request: bool = True,
) -> Tracker:
    return Tracker(
        run,
        ledger=ledger,
        listing=listing,
        approvals=approvals or FakeApprovals(),
        by_request=by_request,
        settle_after=60.0,
        clock=Clock(now=clock, monotonic=virtual_time.now),
        tell=diary.append,
        track_for=track_for,
    )


def track(run: Run, ledger: Ledger, listing: MovingList, track_for: float | None = None) -> Diary:
    diary = Diary()
    virtual_time.run_in_virtual_time(tracker(run, ledger, listing, diary, track_for).track())
    return diary


def states(ledger: Ledger, run: Run) -> list[str | None]:
    return ledger.tracks.of_run(run).sort("identity_id").get_column("state").to_list()


def test_readings_become_rarer_until_a_state_changes_and_end_with_the_last_change(ledger: Ledger) -> None:
    run = accepted_run(ledger, 2)
    listing = MovingList(*rows_of(run, 2))

    def later(seconds: float) -> None:
        if seconds > 500:
            listing.moves("i0000", "REQUEST_COMPLETED")
        if seconds > 5000:
            listing.moves("i0001", "REJECTED")

    listing.before_page = later
    diary = track(run, ledger, listing)
    assert states(ledger, run) == ["REQUEST_COMPLETED", "REJECTED"]
    waits = [wait for _, wait in diary.waits]
    assert waits[:4] == [2, 4, 8, 16]
    assert max(waits) == 300
    moved = [open_changes for open_changes, _ in diary.waits].index(1)
    assert waits[moved] == waits[moved - 1] / 2
    assert [open_changes for open_changes, _ in diary.waits][-1] == 0
    assert len(diary.found) == 4, "only what is new is written"


def test_a_large_run_is_tracked_in_few_calls_and_each_page_counts_once(ledger: Ledger) -> None:
    run = write(ledger, *(product(people(1000)[n : n + 10], ["r1"]) for n in range(0, 1000, 10)))
    for _ in range(100):
        record(ledger, claim(ledger, run), ACCEPTED)
    rows = [
        replace(row, metadata={REQUEST_ID_KEY: f"{run.id}-{1 + n // 10}", ITEM_ID_KEY: "r1"}, state="REQUEST_COMPLETED")
        for n, row in enumerate(rows_of(run, 1000))
    ]
    listing = MovingList(*rows)
    diary = track(run, ledger, listing)
    assert (len(listing.looks), len(diary.found)) == (4, 1000)
    assert set(states(ledger, run)) == {"REQUEST_COMPLETED"}


def test_the_last_open_changes_of_a_large_run_are_read_by_access_request(ledger: Ledger) -> None:
    run = accepted_run(ledger, 3)
    others = [
        replace(row, metadata={"ticket": "T"}, identity=f"x{n}", access_request="x")
        for n in range(300)
        for row in rows_of(run, 2)
    ]
    listing = MovingList(*rows_of(run, 3), *others)
    track(run, ledger, listing, track_for=1)
    first, second = (listing.looks[0][1], listing.looks[-1][1])
    assert (first.access_requests, second.access_requests) == ((), ("a1", "a2", "a3"))


@pytest.mark.parametrize(
    ("refused", "then"),
    [
        (lambda query: len(query.access_requests) > 1, [("a1",), ("a2",)]),
        (lambda query: bool(query.access_requests), [(), ()]),
        (lambda query: bool(query.access_requests or query.requested_for), [(), (), (), ()]),
    ],
)
def test_if_the_filter_takes_no_several_access_requests_other_queries_are_used(
    refused: Callable[[Query], bool], then: list[tuple[str, ...]], ledger: Ledger
) -> None:
    run = accepted_run(ledger, 2)
    others = [
        replace(row, metadata={"ticket": "T"}, identity=f"x{n}", access_request="x")
        for n in range(400)
        for row in rows_of(run, 2)
    ]
    listing = MovingList(*rows_of(run, 2), *others)
    track(run, ledger, listing, track_for=0)
    listing.moves("i0000", "REQUEST_COMPLETED")
    listing.forbids = lambda query: "no" if refused(query) else ""
    listing.looks.clear()
    second = Diary()
    virtual_time.run_in_virtual_time(tracker(run, ledger, listing, second, track_for=0).track())
    assert [query.access_requests for _, query in listing.looks if not refused(query)][-len(then) :] == then
    assert states(ledger, run) == ["REQUEST_COMPLETED", "EXECUTING"]


def test_changes_that_others_had_requested_are_tracked_too_and_marked_at_once(ledger: Ledger) -> None:
    run = write(ledger, product(["i0000", "i0001"], ["r1"]))
    request = claim(ledger, run)
    existing = [
        Existing(identity="i0000", item_type="ROLE", item="r1", access_request="theirs"),
        Existing(identity="i0009", item_type="ROLE", item="r1", access_request="theirs"),
        Existing(identity="i0001", item_type="ENTITLEMENT", item="r1", access_request="theirs"),
    ]
    answer = replace(ACCEPTED, existing=tuple(existing))
    ledger.requests.record(Answered(request=request, answer=answer, decision=decide(answer), at=NOW), process=ME)
    assert states(ledger, run) == ["EXISTING_REQUEST", None]
    theirs = status_row(
        "i0000", created=NOW - timedelta(days=9), access_request="theirs", state="REQUEST_COMPLETED",
        requester="another",
    )  # fmt: skip
    own = replace(rows_of(run, 2)[1], metadata={REQUEST_ID_KEY: f"{run.id}-1", ITEM_ID_KEY: "r1"}, state="REJECTED")
    listing = MovingList(theirs, own)
    track(run, ledger, listing)
    assert states(ledger, run) == ["REQUEST_COMPLETED", "REJECTED"]
    assert any(query.everybody and query.access_requests == ("theirs",) for _, query in listing.looks)


def test_a_user_who_may_not_see_others_requests_does_not_wait_for_them(ledger: Ledger) -> None:
    run = accepted_run(ledger, 1)
    ledger.tracks.write(
        run,
        [
            # As the answer to a submit leaves it.
            replace(finding, state="EXISTING_REQUEST", access_request="theirs")
            for finding in track(run, ledger, MovingList(*rows_of(run, 1)), track_for=0).found
        ],
        NOW,
    )
    listing = MovingList()
    listing.forbids = lambda query: "no" if query.everybody or query.requested_for else ""
    track(run, ledger, listing)
    assert states(ledger, run) == ["EXISTING_REQUEST"]
    assert virtual_end(listing) < 65


def virtual_end(listing: MovingList) -> float:
    return max(seconds for seconds, _ in listing.looks)


def test_a_change_that_never_shows_is_looked_up_by_identity_and_awaited_no_longer_than_settle_after(
    ledger: Ledger,
) -> None:
    run = accepted_run(ledger, 2)
    by_another_user = replace(rows_of(run, 2)[1], requester="another", state="REQUEST_COMPLETED")
    listing = MovingList(by_another_user)
    track(run, ledger, listing)
    assert states(ledger, run) == [None, "REQUEST_COMPLETED"]
    assert 60 <= virtual_end(listing) < 65
    assert {query.requested_for for _, query in listing.looks} == {"", "i0000", "i0001"}


@pytest.mark.parametrize(("track_for", "looks"), [(0, 1), (1, 2), (7, 4)])
def test_tracking_ends_when_its_time_is_up(track_for: float, looks: int, ledger: Ledger) -> None:
    run = accepted_run(ledger, 1)
    diary = track(run, ledger, MovingList(*rows_of(run, 1)), track_for)
    assert len(diary.waits) == looks


def test_a_list_that_ends_early_stops_tracking_and_its_states_are_kept(ledger: Ledger) -> None:
    run = accepted_run(ledger, 300)
    listing = MovingList(*rows_of(run, 300, "REQUEST_COMPLETED"))
    listing.cut = True
    with pytest.raises(TenantLostError, match="250 of 300"):
        track(run, ledger, listing)
    assert states(ledger, run).count("REQUEST_COMPLETED") == 250


def test_a_forbidden_list_stops_tracking(ledger: Ledger) -> None:
    run = accepted_run(ledger, 1)
    listing = MovingList()
    listing.forbids = lambda _query: "no"
    with pytest.raises(TenantLostError, match="does not let this client list its requests: no"):
        track(run, ledger, listing)


def test_stopped_tracking_keeps_the_states_it_has_found(ledger: Ledger) -> None:
    run = accepted_run(ledger, 300)
    listing = MovingList(*rows_of(run, 300))
    diary = Diary()
    made = tracker(run, ledger, listing, diary)
    pages = 0

    def stop_at_the_second(_seconds: float) -> None:
        nonlocal pages
        pages += 1
        if pages == 2:
            made.stop()

    listing.before_page = stop_at_the_second
    virtual_time.run_in_virtual_time(made.track())
    assert states(ledger, run).count("EXECUTING") in {250, 300}
    assert len(listing.looks) == 2


def test_a_run_without_accepted_changes_makes_no_call(ledger: Ledger) -> None:
    run = write(ledger, product(["i0000"], ["r1"]))
    listing = MovingList()
    assert track(run, ledger, listing).waits == []
    assert listing.looks == []


# Whom changes wait for.


def approvals_of(run: Run, number: int, **fields: Any) -> FakeApprovals:
    """The pending approvals of the first so many changes of a run, which wait for Bo."""
    usual: dict[str, Any] = {"who": "Bo (forwarded by Ann)", "since": NOW, "item_type": "ROLE"}
    return FakeApprovals(rows=[replace(row, **usual | fields) for row in rows_of(run, number)])


def look(run: Run, ledger: Ledger, listing: MovingList, approvals: FakeApprovals, **more: Any) -> tuple[Tracker, Diary]:
    """Read the list once."""
    diary = Diary()
    made = tracker(run, ledger, listing, diary, 0, approvals, **more)
    virtual_time.run_in_virtual_time(made.track())
    return made, diary


def whom(ledger: Ledger, run: Run) -> list[str]:
    return ledger.tracks.of_run(run).sort("identity_id").get_column("who").to_list()


def test_the_pending_approvals_tell_whom_open_changes_wait_for_and_who_forwarded_them(ledger: Ledger) -> None:
    run = accepted_run(ledger, 3)
    listing = MovingList(*(replace(row, who="Bo") for row in rows_of(run, 3)))
    approvals = approvals_of(run, 2)
    look(run, ledger, listing, approvals)
    assert whom(ledger, run) == ["Bo (forwarded by Ann)", "Bo (forwarded by Ann)", "Bo"]
    assert approvals.calls == Counter(requests=1)
    _, again = look(run, ledger, listing, approvals)
    assert again.found == [], "nothing is new"
    listing.rows = [replace(row, who="Cy") for row in listing.rows if row]
    approvals.rows.clear()
    look(run, ledger, listing, approvals)
    assert whom(ledger, run) == ["Cy"] * 3


def test_an_approver_who_was_asked_before_is_forgotten_as_soon_as_the_status_list_names_another(
    ledger: Ledger,
) -> None:
    run = accepted_run(ledger, 1)
    listing = MovingList(*(replace(row, who="Bo") for row in rows_of(run, 1)))
    approvals = approvals_of(run, 1)

    def later(seconds: float) -> None:
        if seconds > 3:
            approvals.refuses = dict.fromkeys(("requests", "people", "all"), RefusedError)
            listing.rows = [replace(row, who="Cy") for row in listing.rows if row]

    listing.before_page = later
    made = tracker(run, ledger, listing, Diary(), 20, approvals)
    virtual_time.run_in_virtual_time(made.track())
    assert whom(ledger, run) == ["Cy"]
    assert made.closed_approvals == "requests: no"
    assert approvals.calls["people"] == 1, "refused once, and never asked again"


@pytest.mark.parametrize(
    "other",
    [
        {"identity": "i0009"},
        {"item": "r9", "metadata": {}},
        {"metadata": {REQUEST_ID_KEY: "0123456789ab-1-abc", ITEM_ID_KEY: "r1"}},
        {"metadata": None, "access_request": "another"},
        {"metadata": None, "request_type": "REVOKE_ACCESS"},
        {"who": ""},
    ],
)
def test_an_approval_of_something_else_tells_nothing(other: dict[str, Any], ledger: Ledger) -> None:
    run = accepted_run(ledger, 1)
    listing = MovingList(*(replace(row, who="Dee") for row in rows_of(run, 1)))
    look(run, ledger, listing, approvals_of(run, 1, **other), by_request=False)
    assert whom(ledger, run) == ["Dee"]


def test_an_approval_without_metadata_is_found_by_the_access_request_and_the_item(ledger: Ledger) -> None:
    run = accepted_run(ledger, 1)
    look(run, ledger, MovingList(*rows_of(run, 1)), approvals_of(run, 1, metadata=None))
    assert whom(ledger, run) == ["Bo (forwarded by Ann)"]


def test_a_version_without_that_filter_is_asked_for_people(ledger: Ledger) -> None:
    run = accepted_run(ledger, 2)
    approvals = approvals_of(run, 2)
    look(run, ledger, MovingList(*rows_of(run, 2)), approvals, by_request=False)
    assert approvals.calls == Counter(people=1)
    assert whom(ledger, run) == ["Bo (forwarded by Ann)"] * 2


@pytest.mark.parametrize("error", [RefusedError, ForbiddenError, TenantLostError])
def test_pending_approvals_that_can_not_be_read_do_not_break_tracking(error: type[Exception], ledger: Ledger) -> None:
    run = accepted_run(ledger, 1)
    listing = MovingList(*(replace(row, who="Dee") for row in rows_of(run, 1)))
    refused = FakeApprovals(refuses=dict.fromkeys(("requests", "people", "all"), error))
    made, _ = look(run, ledger, listing, refused)
    assert made.closed_approvals
    assert whom(ledger, run) == ["Dee"]


def test_nothing_open_or_nothing_reported_asks_for_no_approval(ledger: Ledger) -> None:
    run = accepted_run(ledger, 1)
    approvals = FakeApprovals()
    look(run, ledger, MovingList(), approvals)
    look(run, ledger, MovingList(*rows_of(run, 1, "REQUEST_COMPLETED")), approvals)
    assert approvals.calls == Counter()


def test_too_many_approvals_are_not_read_and_not_counted_again_at_every_look(ledger: Ledger) -> None:
    some = people(1_050)
    run = write(ledger, *(product(some[n : n + 10], ["r1"]) for n in range(0, 1_050, 10)))
    for _ in range(105):
        record(ledger, claim(ledger, run), ACCEPTED)
    rows = [
        replace(row, metadata={REQUEST_ID_KEY: f"{run.id}-{1 + n // 10}", ITEM_ID_KEY: "r1"})
        for n, row in enumerate(rows_of(run, 1_050))
    ]
    approvals = FakeApprovals(rows=[replace(row, who="Bo") for row in rows] * 5)
    made = tracker(run, ledger, MovingList(*rows), Diary(), 30, approvals, by_request=False)
    virtual_time.run_in_virtual_time(made.track())
    assert approvals.calls == Counter(all=1, people=1)
    assert (made.closed_approvals, set(whom(ledger, run))) == ("", {""})
