"""The status list (`GET …/access-request-status`) and the administrators' (`GET …/access-request-administration`).

Source: the operations `listAccessRequestStatus` and `listAdministratorsAccessRequestStatus` of the vendor's documents.
The lists differ in the rows that they show and the filters that they accept.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from batch.sandbox.answers import Answer, BadQueryError, page_of, problem
from batch.sandbox.lifecycle import EXECUTING, Approval
from batch.sandbox.row_filters import and_terms, moment_test, read_moment, sort_rows
from batch.sandbox.tenant import REQUESTER_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from batch.sandbox.filter_ast import Term
    from batch.sandbox.rows import StatusRow, VisibleRows

_PEOPLE: Final = ("requested-for", "requested-by", "regarding-identity", "assigned-to")


@dataclass(frozen=True, kw_only=True, slots=True)
class ListRules:
    """The behaviour of one of the two lists.

    Attributes:
        own_only: Whether it shows only rows that the token's user requested or that were requested for that user.
        administration: Whether it is the administrators' list. Its filters accept `status` and `accessRequestId in`.
        understands_in: Whether the other list's filters accept `accessRequestId in`; the documents disagree.
    """

    own_only: bool = False
    administration: bool = False
    understands_in: bool = True


def list_statuses(
    visible: VisibleRows, query: Mapping[str, str], *, tracking_id: str, rules: ListRules | None = None
) -> Answer:
    """One page of a status list.

    Args:
        visible: The rows that are visible now.
        query: The query parameters: `requested-for`, `requested-by`, `regarding-identity`, `assigned-to`,
            `request-state`, `filters`, `sorters`, `limit`, `offset`, `count`. `me` stands for the sandbox's own user.
        tracking_id: For a 400.
        rules: Selects the list; None for the status list as an ORG_ADMIN sees it.

    Returns:
        200 with a JSON array, and `X-Total-Count` if `count=true`; or 400 with the cause.
    """
    try:
        page = page_of(query)
        chosen = _chosen(visible, query, rules or ListRules())
        return page.cut(chosen, lambda row: row.as_json(visible.now))
    except BadQueryError as bad:
        return problem(HTTPStatus.BAD_REQUEST, str(bad), tracking_id=tracking_id)


def is_about_requester(query: Mapping[str, str]) -> bool:
    """Whether a query is limited to the token's own user, which every user may ask."""
    return {query.get(name) or "me" for name in _PEOPLE} <= {"me", REQUESTER_ID}


def _chosen(visible: VisibleRows, query: Mapping[str, str], rules: ListRules) -> list[StatusRow]:
    terms = and_terms(query.get("filters", ""))
    people = _people(query)
    tests = [
        *_people_tests(people, visible),
        *_state_tests(query, visible),
        *(_filter_test(term, visible, rules) for term in terms),
    ]
    if rules.own_only:
        tests.append(lambda row: REQUESTER_ID in {row.requester.id, row.change.identity})
    rows = _candidates(visible, people, terms)
    for test in tests:
        rows = [row for row in rows if test(row)]
    _sort(rows, query.get("sorters", ""), visible)
    return rows


def _candidates(visible: VisibleRows, people: Mapping[str, str], terms: list[Term]) -> list[StatusRow]:
    """A small superset of the rows to find, by the fastest index."""
    by_request = [term for term in terms if term.field == "accessRequestId"]
    if by_request:
        return visible.of_requests(by_request[0].values)
    if "requested-for" in people:
        return visible.of_identity(people["requested-for"])
    since = [read_moment(term.values[0]) for term in terms if (term.field, term.operator) == ("created", "ge")]
    return visible.everything(max(since, default=None))


def _people(query: Mapping[str, str]) -> dict[str, str]:
    people = {name: REQUESTER_ID if query[name] == "me" else query[name] for name in _PEOPLE if query.get(name)}
    if "regarding-identity" in people and not {"requested-for", "requested-by"}.isdisjoint(people):
        raise BadQueryError("regarding-identity excludes requested-for and requested-by.")
    return people


def _people_tests(people: Mapping[str, str], visible: VisibleRows) -> list[Callable[[StatusRow], bool]]:
    tests: Mapping[str, Callable[[StatusRow], bool]] = {
        "requested-for": lambda row: row.change.identity == people["requested-for"],
        "requested-by": lambda row: row.requester.id == people["requested-by"],
        "regarding-identity": lambda row: people["regarding-identity"] in {row.requester.id, row.change.identity},
        "assigned-to": lambda row: row.owner.id == people["assigned-to"] and _is_pending(row, visible),
    }
    return [tests[name] for name in people]


def _is_pending(row: StatusRow, visible: VisibleRows) -> bool:
    return row.stage(visible.now).approval is Approval.PENDING


def _state_tests(query: Mapping[str, str], visible: VisibleRows) -> list[Callable[[StatusRow], bool]]:
    if "request-state" not in query:
        return []
    if query["request-state"] != EXECUTING:
        raise BadQueryError(f"request-state must be {EXECUTING}.")
    return [lambda row: row.state(visible.now) == EXECUTING]


def _filter_test(term: Term, visible: VisibleRows, rules: ListRules) -> Callable[[StatusRow], bool]:
    wanted = frozenset(term.values)
    match term.field, term.operator:
        case "created", "ge" | "gt" | "le" | "lt":
            return moment_test(term, attrgetter("created"))
        case ("accessRequestId", "eq"):
            return lambda row: row.access_request_id in wanted
        case ("accessRequestId", "in") if rules.administration or rules.understands_in:
            return lambda row: row.access_request_id in wanted
        case "accountActivityItemId", "eq" | "in":
            return lambda row: row.account_activity_item_id in wanted
        case ("status", "eq" | "in") if rules.administration:
            return lambda row: row.state(visible.now) in wanted
        case _:
            raise BadQueryError(f"filters does not know {term.field} {term.operator}.")


def _sort(rows: list[StatusRow], sorters: str, visible: VisibleRows) -> None:
    sortable: Mapping[str, Callable[[StatusRow], Any]] = {
        "created": attrgetter("created"),
        "modified": lambda row: row.stage(visible.now).since,
        "accountActivityItemId": attrgetter("account_activity_item_id"),
        "accessRequestId": attrgetter("access_request_id"),
        "name": attrgetter("name"),
    }
    sort_rows(rows, sorters, sortable)
