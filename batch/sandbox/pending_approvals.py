"""The list of pending approvals (`GET …/access-request-approvals/pending`): what waits for an approver.

Source: the operation `listPendingApprovals` of the vendor's documents. Beta can filter neither by access request nor by
creation, and does not show the former. Reports from live tenants add that older ones answer 400 to an administrator who
does not say whose approvals are asked for.
"""

from __future__ import annotations

from hashlib import blake2b
from http import HTTPStatus
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from batch.api.dialects import REQUEST_TYPES, Operation
from batch.sandbox.answers import Answer, BadQueryError, page_of, problem
from batch.sandbox.row_filters import and_terms, moment_test, sort_rows
from batch.sandbox.rows import requested_accounts
from batch.sandbox.tenant import REQUESTER_ID
from batch.text import instant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from batch.api.dialects import Dialect
    from batch.sandbox.directory import Known
    from batch.sandbox.filter_ast import Term
    from batch.sandbox.rows import Forward, StatusRow, VisibleRows


def list_pending_approvals(
    visible: VisibleRows,
    query: Mapping[str, str],
    *,
    dialect: Dialect,
    known: Known,
    tracking_id: str,
    needs_owner: bool = False,
    own_only: bool = False,
) -> Answer:
    """One page of the pending approvals, oldest first.

    Args:
        visible: The rows that are visible now.
        query: The query parameters: `owner-id`, `filters`, `sorters`, `limit`, `offset`, `count`. `me` stands for the
            sandbox's own user.
        dialect: The API version that was asked.
        known: Says how long each item may be held.
        tracking_id: For an error.
        needs_owner: Whether the tenant is an older one, which answers 400 if `owner-id` is absent.
        own_only: Whether the token's user is no administrator, and may see only the approvals that wait for that user.

    Returns:
        200 with a JSON array, and `X-Total-Count` if `count=true`; 400 or 403 with the cause.
    """
    owner = REQUESTER_ID if query.get("owner-id") == "me" else query.get("owner-id", "")
    if own_only and owner != REQUESTER_ID:
        return problem(HTTPStatus.FORBIDDEN, "owner-id must be the current user.", tracking_id=tracking_id)
    try:
        if needs_owner and not owner:
            raise BadQueryError("owner-id is required.")  # noqa: TRY301 - answered like the other causes
        page = page_of(query)
        rows = _chosen(visible, query, owner, dialect)
        return page.cut(rows, lambda row: _as_json(row, known, dialect))
    except BadQueryError as bad:
        return problem(HTTPStatus.BAD_REQUEST, str(bad), tracking_id=tracking_id)


def approval_id(row: StatusRow) -> str:
    """The id of a row's approval, which differs from all its other ids."""
    return blake2b(f"approval {row.account_activity_item_id}".encode(), digest_size=16).hexdigest()


def _chosen(visible: VisibleRows, query: Mapping[str, str], owner: str, dialect: Dialect) -> list[StatusRow]:
    terms = and_terms(query.get("filters", ""))
    rows = [row for row in _candidates(visible, terms) if row.awaits_approval(visible.now)]
    for term in terms:
        test = _test(term, dialect)
        rows = [row for row in rows if test(row)]
    if owner:
        rows = [row for row in rows if row.owner.id == owner]
    sort_rows(rows, query.get("sorters", ""), {"created": attrgetter("created"), "modified": _modified})
    return rows


def _candidates(visible: VisibleRows, terms: list[Term]) -> list[StatusRow]:
    """A small superset of the rows to find, by the fastest index."""
    for term in terms:
        if term.field == "requestedFor.id":
            rows = [row for identity in dict.fromkeys(term.values) for row in visible.of_identity(identity)]
            return sorted(rows, key=attrgetter("created"))
    return visible.everything()


def _test(term: Term, dialect: Dialect) -> Callable[[StatusRow], bool]:
    wanted = frozenset(term.values)
    match term.field, term.operator:
        case "id", "eq" | "in":
            return lambda row: approval_id(row) in wanted
        case "requestedFor.id", "eq" | "in":
            return lambda row: row.change.identity in wanted
        case ("accessRequestId", "eq" | "in") if dialect.approvals_by_request:
            return lambda row: row.access_request_id in wanted
        case "modified", _:
            return moment_test(term, _modified)
        case ("created", _) if dialect.approvals_by_request:
            return moment_test(term, attrgetter("created"))
        case _:
            raise BadQueryError(f"filters does not know {term.field} {term.operator}.")


def _modified(row: StatusRow) -> datetime:
    return row.forwards[-1].at if row.forwards else row.created


def _as_json(row: StatusRow, known: Known, dialect: Dialect) -> dict[str, object]:
    rules = known.request_rules(known.item(row.change.item_id, row.change.item_type))
    longest = rules.longest if row.change.operation is Operation.GRANT else None
    approval: dict[str, object] = {
        "id": approval_id(row),
        "name": row.name,
        "created": instant(row.created),
        "modified": instant(_modified(row)),
        "requestCreated": instant(row.created),
        "requestType": REQUEST_TYPES[row.change.operation],
        "requester": row.requester.as_json(),
        "requestedFor": row.requested_for.as_json(),
        "owner": row.owner.as_json(),
        "requestedObject": {"id": row.change.item_id, "name": row.name, "type": row.change.item_type},
        "requesterComment": _comment(row),
        "previousReviewersComments": [],
        "forwardHistory": [_forward(forward) for forward in row.forwards],
        "commentRequiredWhenRejected": rules.denial_comments_required,
        **_dates(row),
        "sodViolationContext": None,
        "clientMetadata": row.item.get("clientMetadata"),
        "requestedAccounts": requested_accounts(row.item) or None,
        "privilegeLevel": None,
        "maxPermittedAccessDuration": None if longest is None else longest.as_json(),
    }
    return approval | ({"accessRequestId": row.access_request_id} if dialect.approvals_by_request else {})


def _comment(row: StatusRow) -> dict[str, object] | None:
    if "comment" not in row.item:
        return None
    return {"comment": row.item["comment"], "created": instant(row.created), "author": row.requester.as_json()}


def _forward(forward: Forward) -> dict[str, object]:
    return {
        "oldApproverName": forward.by.name,
        "newApproverName": forward.to.name,
        "comment": forward.comment or None,
        "modified": instant(forward.at),
        "forwarderName": forward.by.name,
        "reassignmentType": "MANUAL_REASSIGNMENT",
    }


def _dates(row: StatusRow) -> dict[str, Any]:
    """The dates that were asked for, and the end that the access had before."""
    dates: dict[str, Any] = {name: row.item[name] for name in ("removeDate", "startDate") if name in row.item}
    if not row.was_held:
        return dates | {"removeDateUpdateRequested": False}
    current = None if row.held_until is None else instant(row.held_until)
    changes = row.item.get("removeDate") != current and (
        row.change.operation is Operation.GRANT or "removeDate" in row.item
    )
    dates |= {"removeDateUpdateRequested": changes}
    return dates if current is None else dates | {"currentRemoveDate": current}
