"""How strictly cancelling and tracking match a row to a change of the run."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from batch.api.dialects import Operation
from batch.api.status_row import StatusRow
from batch.status.matching import AcceptedChange, Confidence, RunChanges

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


def test_the_type_decides_in_a_named_access_request_only_if_the_item_is_unknown_and_one_change_is_left() -> None:
    own = RunChanges("run", [change(2), change(2, "ENTITLEMENT")])
    assert own.of_access_request(row(None), [0, 1]) == (Confidence.LIKELY, [0])
    assert own.of_access_request(row(None, item="id of a request"), [0, 1]) == (Confidence.POSSIBLE, [0])
    assert own.of_access_request(row(None, item="id of a request", item_type=""), [0, 1]) == (Confidence.POSSIBLE, [])
    assert own.of_access_request(row(None, item="id of a request"), []) == (Confidence.POSSIBLE, [])
