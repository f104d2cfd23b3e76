"""The status list (`GET …/access-request-status`): its filters, its pages and their quirks.

Source: the operation `listAccessRequestStatus` of the vendor's documents; that an offset at the end of the list is an
error rather than an empty page is a report from live tenants.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from batch.dialects import PAGE_LIMIT
from batch.sandbox.answers import Answer, problem
from batch.sandbox.tenant import EXECUTING, REQUESTER_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from batch.sandbox.tenant import StatusRow

_CLAUSE: Final = re.compile(
    r"""\s*(?P<field>\w+)\s+(?P<operator>\w+)\s*(?P<value>\([^)]*\)|"[^"]*"|\S+)\s*(?P<end>\band\s+|$)""", re.IGNORECASE
)
_LIST_MEMBER: Final = re.compile(r'\s*(?:"([^"]*)"|([^\s",]+))\s*(?:,|$)')
_SORTABLE: Final[Mapping[str, Callable[[StatusRow], Any]]] = {
    "created": attrgetter("created"),
    "modified": attrgetter("created"),
    "accountActivityItemId": attrgetter("account_activity_item_id"),
    "name": attrgetter("name"),
}


class _BadQueryError(ValueError):
    """The query breaks a rule of the list; becomes a 400 before it leaves this module."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Page:
    limit: int
    offset: int
    counted: bool


def list_statuses(rows: Sequence[StatusRow], query: Mapping[str, str], *, tracking_id: str) -> Answer:
    """One page of the status list.

    Args:
        rows: Every row that shows by now.
        query: The query parameters: `requested-for`, `requested-by`, `regarding-identity`, `request-state`,
            `filters`, `sorters`, `limit`, `offset`, `count`. `me` stands for the sandbox's own user.
        tracking_id: Goes into a 400.

    Returns:
        200 with a JSON array, and `X-Total-Count` where `count=true`; or 400 with the cause.
    """
    try:
        page = _page(query)
        chosen = _chosen(rows, query)
        _check_offset(page, len(chosen))
    except _BadQueryError as bad:
        return problem(HTTPStatus.BAD_REQUEST, str(bad), tracking_id=tracking_id)
    return Answer(
        status=HTTPStatus.OK,
        body=[row.as_json() for row in chosen[page.offset : page.offset + page.limit]],
        headers={"X-Total-Count": str(len(chosen))} if page.counted else {},
    )


def is_about_requester(query: Mapping[str, str]) -> bool:
    """Whether a query asks for the token's own user only, which everybody may."""
    people = {query.get(name, "me") for name in ("requested-for", "requested-by", "regarding-identity")}
    return people <= {"me", REQUESTER_ID}


def _chosen(rows: Sequence[StatusRow], query: Mapping[str, str]) -> list[StatusRow]:
    tests = [*_people_tests(query), *_state_tests(query), *_filter_tests(query.get("filters", ""))]
    chosen = [row for row in rows if all(test(row) for test in tests)]
    _sort(chosen, query.get("sorters", ""))
    return chosen


def _check_offset(page: _Page, total: int) -> None:
    if total and page.offset >= total:
        raise _BadQueryError(f"offset {page.offset} is beyond the {total} results.")


def _page(query: Mapping[str, str]) -> _Page:
    counted = query.get("count", "false").lower()
    if counted not in {"true", "false"}:
        raise _BadQueryError("count must be true or false.")
    limit = _whole_number(query, "limit", PAGE_LIMIT)
    if limit > PAGE_LIMIT:
        raise _BadQueryError(f"limit must be at most {PAGE_LIMIT}.")
    return _Page(limit=limit, offset=_whole_number(query, "offset", 0), counted=counted == "true")


def _whole_number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise _BadQueryError(f"{name} must be a whole number of 0 or more.")
    return int(text)


def _people_tests(query: Mapping[str, str]) -> list[Callable[[StatusRow], bool]]:
    people = {
        name: REQUESTER_ID if query[name] == "me" else query[name]
        for name in ("requested-for", "requested-by", "regarding-identity")
        if query.get(name)
    }
    if "regarding-identity" in people and len(people) > 1:
        raise _BadQueryError("regarding-identity excludes requested-for and requested-by.")
    tests: Mapping[str, Callable[[StatusRow], bool]] = {
        "requested-for": lambda row: row.change.identity == people["requested-for"],
        "requested-by": lambda _row: people["requested-by"] == REQUESTER_ID,
        "regarding-identity": lambda row: people["regarding-identity"] in {REQUESTER_ID, row.change.identity},
    }
    return [tests[name] for name in people]


def _state_tests(query: Mapping[str, str]) -> list[Callable[[StatusRow], bool]]:
    if "request-state" not in query:
        return []
    if query["request-state"] != EXECUTING:
        raise _BadQueryError(f"request-state must be {EXECUTING}.")
    return [lambda row: row.state == EXECUTING]


def _filter_tests(filters: str) -> list[Callable[[StatusRow], bool]]:
    tests = []
    place = 0
    while place < len(filters):
        clause = _CLAUSE.match(filters, place)
        if clause is None or (clause["end"] and clause.end() == len(filters)):
            raise _BadQueryError(f"filters can't be read from {filters[place:]!r} on.")
        tests.append(_filter_test(clause["field"], clause["operator"].lower(), clause["value"]))
        place = clause.end()
    return tests


def _filter_test(field: str, operator: str, value: str) -> Callable[[StatusRow], bool]:
    match field, operator:
        case "created", "ge":
            since = _moment(value.strip('"'))
            return lambda row: row.created >= since
        case "accessRequestId", "eq":
            wanted = value.strip('"')
            return lambda row: row.access_request_id == wanted
        case "accessRequestId", "in":
            members = _list_members(value)
            return lambda row: row.access_request_id in members
        case _:
            raise _BadQueryError(f"filters does not know {field} {operator}.")


def _list_members(value: str) -> frozenset[str]:
    inside = value[1:-1]
    members = set()
    place = 0
    while value.startswith("(") and place < len(inside):
        member = _LIST_MEMBER.match(inside, place)
        if member is None:
            break
        members.add(member[1] if member[1] is not None else member[2])
        place = member.end()
    if not members or place < len(inside):
        raise _BadQueryError(f'filters needs a list such as ("a", "b"), not {value}.')
    return frozenset(members)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise _BadQueryError(f"filters needs a date and time with its zone, not {text!r}.")
    return moment


def _sort(rows: list[StatusRow], sorters: str) -> None:
    # From the last sorter to the first: each sort is stable, so the first one has the last word.
    for sorter in reversed(sorters.split(",") if sorters else []):
        name = sorter.strip().removeprefix("-")
        if name not in _SORTABLE:
            raise _BadQueryError(f"sorters does not know {name!r}.")
        rows.sort(key=_SORTABLE[name], reverse=sorter.strip().startswith("-"))
