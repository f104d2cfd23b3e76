"""Which rows of the list are about a change: what each of the five users of matching concludes from the same row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from batch.api.dialects import ITEM_ID_KEY, REQUEST_ID_KEY, Operation
from batch.api.status_row import ChangeStatus, StatusRow
from batch.api.tenant_outcome import EXISTING, EXISTING_SAID
from batch.dedupe.classify import INTENTION, KNOWN_SCHEMA
from batch.dedupe.overlap import KEY
from batch.ledger.track import TRACK_SCHEMA
from batch.model import Doubt
from batch.status.adopt import AdoptionOutcome, plan_adoption, read_listed
from batch.status.cancel import rows_of_run
from batch.status.evidence import read_rows
from batch.status.in_progress import TenantView, open_rows, tenant_verdicts
from batch.status.matching import AcceptedChange, Confidence, LedgerChange, RunChanges
from batch.status.progress import TrackedRun
from batch.text import key_of
from tests import builders

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def change(request: int, item_type: str = "ROLE", operation: Operation = Operation.GRANT) -> AcceptedChange:
    return AcceptedChange(
        request=request, operation=operation, identity="i1", item_type=item_type, item="r1", accepted_at=NOW
    )


def row(name: str | None, **other: str) -> StatusRow:
    metadata = None if name is None else {"accessBatchRequest": name, "accessBatchItem": "r1"}
    usual: dict[str, Any] = {"identity": "i1", "item": "r1", "request_type": "GRANT_ACCESS", "item_type": "ROLE"}
    return StatusRow(created=NOW, metadata=metadata, **{**usual, **other})


ROLE_AND_ENTITLEMENT = RunChanges("run", [change(2), change(2, "ENTITLEMENT"), change(5)])


@pytest.mark.parametrize(
    ("own", "of", "cancelled", "tracked"),
    [
        (ROLE_AND_ENTITLEMENT, row("run-2"), 0, 0),
        (ROLE_AND_ENTITLEMENT, row("run-2", item_type="ENTITLEMENT"), 1, 1),
        # Without a type, cancelling takes the first of several changes, and tracking takes none.
        (ROLE_AND_ENTITLEMENT, row("run-2", item_type=""), 0, None),
        (RunChanges("run", [change(2)]), row("run-2", item_type=""), 0, 0),
        # Another type is never the run's for cancelling; for tracking, the request and the item decide.
        (RunChanges("run", [change(2)]), row("run-2", item_type="ENTITLEMENT"), None, 0),
        # Request 1 was divided, and request 2 took over.
        (ROLE_AND_ENTITLEMENT, row("run-1"), 0, 0),
        (ROLE_AND_ENTITLEMENT, row("run-3"), 2, 2),
        (ROLE_AND_ENTITLEMENT, row("run-6"), None, None),
        # No request of ours has such an id.
        (ROLE_AND_ENTITLEMENT, row("run-x"), None, None),
        # Tenants may change the case of letters. A tag or none, the number tells the request.
        (ROLE_AND_ENTITLEMENT, row("RUN-2-TAG"), 0, 0),
        (ROLE_AND_ENTITLEMENT, row("other-2"), None, None),
        (ROLE_AND_ENTITLEMENT, row("run-2", identity="i2"), None, None),
        (ROLE_AND_ENTITLEMENT, row(None), None, None),
    ],
)
def test_cancelling_and_tracking_are_strict_in_their_own_ways(
    own: RunChanges, of: StatusRow, cancelled: int | None, tracked: int | None
) -> None:
    assert (own.created_for(of), own.tracked_by(of)) == (cancelled, tracked)


@pytest.mark.parametrize(
    ("other", "found"),
    [
        ({}, [0, 2]),
        ({"item_type": "ENTITLEMENT"}, [1]),
        ({"item_type": ""}, [0, 1, 2]),
        ({"request_type": "REVOKE_ACCESS"}, []),
        ({"request_type": ""}, [0, 2]),
        ({"item": "r2"}, []),
    ],
)
def test_a_row_without_metadata_may_be_any_change_of_its_pair_type_and_operation(
    other: dict[str, str], found: list[int]
) -> None:
    assert ROLE_AND_ENTITLEMENT.of_bare(row(None, **other)) == found


def test_a_change_that_arrived_in_a_lost_request_is_followed_by_the_access_request_of_that() -> None:
    listed = row("other-9", access_request="AR7")
    for state, said, found in (("EXECUTING", "", [0]), (EXISTING, "", []), ("EXECUTING", EXISTING_SAID, [])):
        known = ChangeStatus(
            request=2, identity="i1", item_type="ROLE", item="r1", state=state, said=said, access_request="AR7"
        )
        own = RunChanges("run", [replace(change(2), known=known)])
        assert own.of_access_request(listed, [0])[1] == found
    elsewhere = RunChanges("run", [replace(change(2), known=replace(known, said="", access_request="AR8"))])
    assert elsewhere.of_access_request(listed, [0])[1] == []


def test_the_type_decides_in_a_named_access_request_only_if_the_item_is_unknown_and_one_change_is_left() -> None:
    own = RunChanges("run", [change(2), change(2, "ENTITLEMENT")])
    assert own.of_access_request(row(None), [0, 1]) == (Confidence.LIKELY, [0])
    assert own.of_access_request(row(None, item="id of a request"), [0, 1]) == (Confidence.POSSIBLE, [0])
    assert own.of_access_request(row(None, item="id of a request", item_type=""), [0, 1]) == (Confidence.POSSIBLE, [])
    assert own.of_access_request(row(None, item="id of a request"), []) == (Confidence.POSSIBLE, [])


@pytest.mark.parametrize("listed", [row(None, request_type="REVOKE_ACCESS"), row("other-2")])
def test_a_row_of_another_operation_or_run_is_about_no_change_whatever_the_ledger_says(listed: StatusRow) -> None:
    assert RunChanges("run", [change(2)]).of_access_request(listed, [0]) == (Confidence.POSSIBLE, [])


# One row, and what each user concludes of it. Request 2 of the run grants role r1 to anna.


@dataclass(frozen=True)
class Concluded:
    """What the users of matching conclude from a row.

    Attributes:
        evidence: Whether it proves that the request arrived, if that is in doubt; empty if it is another's.
        progress: Whether tracking takes it for the change's state, if the request was accepted.
        cancel: Whether cancelling the run cancels it.
        adopt: What importing makes of it, if the request was accepted.
        in_progress: What becomes of the same change that another input wants; empty if it is submitted.
    """

    evidence: str
    progress: bool
    cancel: bool
    adopt: str
    in_progress: str


def sees_evidence(row: StatusRow) -> str:
    asked = builders.request(2, ["anna"], ["r1"])
    reading = read_rows(Doubt(request=asked, first_attempt=NOW, ended=NOW), [row], since=NOW, known=builders.EVERY_ID)
    if reading.arrived:
        assert reading.listed
        return "sure"
    return ", ".join(one.confidence.name.lower() for one in reading.resembling)


def is_tracked(row: StatusRow) -> bool:
    columns = {"request": 2, "operation": "GRANT", "identity_id": "anna", "item_type": "ROLE", "item_id": "r1"}
    table = pl.DataFrame([{**columns, "accepted_at": NOW.isoformat()}], schema=TRACK_SCHEMA)
    run = TrackedRun("run", table, since=NOW)
    run.set_clock(timedelta())
    run.begin_look()
    return bool([*run.take([row]), *run.end_look()])


def is_cancelled(row: StatusRow) -> bool:
    own = RunChanges("run", [replace(change(2), identity="anna")])
    return bool(rows_of_run([row], own).rows)


def is_adopted(row: StatusRow) -> str:
    listed, not_adoptable = read_listed([row])
    known = [LedgerChange(run="run", request=2, state="ACCEPTED")]
    same = {one.key: known for one in listed if tuple(map(key_of, one.key)) == ("anna", "role", "r1")}
    outcomes = plan_adoption(listed, same, imported="imported").outcomes
    return "".join(outcome for outcome in AdoptionOutcome if outcomes[outcome]) or "".join(not_adoptable)


def sets_aside(row: StatusRow) -> str:
    wanted = pl.DataFrame([builders.change("anna", "r1")]).select(*KEY, *INTENTION)
    view = TenantView(in_progress={"anna": open_rows([row])})
    return "".join(tenant_verdicts(wanted, pl.DataFrame(schema=KNOWN_SCHEMA), view).get_column("tenant_class"))


OURS = builders.our_row("run-2", "anna", "r1", created=NOW)
BARE = replace(OURS, metadata=None)
SUBMITTED = "already_submitted"
NO_ITEM = "they have no id of their item"


@pytest.mark.parametrize(
    ("listed", "concluded"),
    [
        pytest.param(OURS, Concluded("sure", True, True, "updated", SUBMITTED), id="as sent"),
        pytest.param(
            replace(OURS, identity="ANNA", item="R-1", metadata={REQUEST_ID_KEY: "RUN-2", ITEM_ID_KEY: "R1"}),
            Concluded("sure", True, True, "updated", SUBMITTED),
            id="in capitals",
        ),
        pytest.param(
            replace(OURS, item="a1"),
            Concluded("sure", True, True, "updated", SUBMITTED),
            id="an id that is the request's",
        ),
        pytest.param(
            replace(OURS, item="a1", metadata={REQUEST_ID_KEY: "run-2"}),
            Concluded("sure", False, False, NO_ITEM, ""),
            id="our request's id, and no item's",
        ),
        pytest.param(replace(OURS, created=None), Concluded("sure", True, True, "updated", SUBMITTED), id="no time"),
        pytest.param(
            replace(OURS, item_type=""),
            Concluded("sure", True, True, "they are of a kind of item that is not known here", SUBMITTED),
            id="no type",
        ),
        pytest.param(
            replace(OURS, item_type="ENTITLEMENT"), Concluded("sure", True, False, "imported", ""), id="another type"
        ),
        pytest.param(
            builders.our_row("run-9", "anna", "r1", created=NOW),
            Concluded("", False, False, "known", SUBMITTED),
            id="a later request of the run",
        ),
        pytest.param(
            builders.our_row("other-2", "anna", "r1", created=NOW),
            Concluded("", False, False, "known", SUBMITTED),
            id="another run's",
        ),
        pytest.param(
            replace(OURS, metadata={"source": "workflow"}),
            Concluded("possible", False, False, "known", SUBMITTED),
            id="replaced metadata",
        ),
        pytest.param(BARE, Concluded("likely", True, False, "known", SUBMITTED), id="no metadata"),
        pytest.param(
            replace(BARE, identity="ANNA", item="R-1"),
            Concluded("likely", True, False, "known", SUBMITTED),
            id="no metadata, in capitals",
        ),
        pytest.param(
            replace(BARE, item="a1"), Concluded("possible", False, False, NO_ITEM, ""), id="no metadata and no item"
        ),
        pytest.param(
            replace(BARE, created=None),
            Concluded("possible", False, False, "known", SUBMITTED),
            id="no metadata, no time",
        ),
        pytest.param(
            replace(BARE, created=NOW - timedelta(minutes=1)),
            Concluded("possible", False, False, "known", SUBMITTED),
            id="no metadata, older",
        ),
        pytest.param(
            replace(BARE, request_type="REVOKE_ACCESS"),
            Concluded("", False, False, "known", "held_back"),
            id="no metadata, the opposite",
        ),
        pytest.param(
            replace(BARE, identity="ben"), Concluded("", False, False, "imported", ""), id="no metadata, another person"
        ),
        pytest.param(
            replace(BARE, item="r2"),
            Concluded("possible", False, False, "imported", ""),
            id="no metadata, another item",
        ),
    ],
)
def test_five_users_conclude_from_one_row(listed: StatusRow, concluded: Concluded) -> None:
    assert concluded == Concluded(
        sees_evidence(listed), is_tracked(listed), is_cancelled(listed), is_adopted(listed), sets_aside(listed)
    )


def test_people_and_items_are_compared_without_case_and_hyphens() -> None:
    own = RunChanges("run", [replace(change(2), identity="4B5C-6D", item="R-1")])
    spelled = row(None, identity="4b5c6d", item="r1")
    assert own.of_bare(spelled) == [0]
    assert own.of_access_request(spelled, [0]) == (Confidence.LIKELY, [0])
    assert own.tracked_by(row("run-2", identity="4b5c6D")) == own.created_for(row("run-2", identity="4b5c6D")) == 0
