"""The tenant's list of pending approvals: one row for each approver whom an identity and an item of a request wait for.

Source: the operation `listPendingApprovals` of the vendor's OpenAPI documents.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import quote

from batch.api.dialects import ENCODED_LIMIT, FILTER_LIMIT, FILTER_VALUES, PAGE_LIMIT
from batch.tenant import paging
from batch.tenant.collection import portions
from batch.tenant.reading import ForbiddenError, quoted
from batch.tenant.status_row import approval_row

if TYPE_CHECKING:
    from collections.abc import Iterable

    from batch.api.dialects import Dialect
    from batch.tenant.reading import Reader
    from batch.tenant.status import Page

_SUBJECT: Final = "list of pending approvals"
_FORBIDDEN: Final = frozenset({403, 404})
_AROUND: Final = 100
"""Characters of a filter for the words around its values, however they are encoded."""

_MOST: Final = (FILTER_VALUES, FILTER_LIMIT - _AROUND, ENCODED_LIMIT - _AROUND)


@dataclass(frozen=True, kw_only=True, slots=True)
class ApprovalQuery:
    """Which pending approvals to list: everybody's, unless a field names some.

    Attributes:
        people: Only those for these identities.
        access_requests: Only those of these access requests.
    """

    people: tuple[str, ...] = ()
    access_requests: tuple[str, ...] = ()


class Approvals(Protocol):
    """Lists pending approvals: a tenant over HTTP, or a fake."""

    async def page(self, query: ApprovalQuery, offset: int) -> Page:
        """The page that begins at row `offset`, from 0; its rows are as `status_row.approval_row` makes them."""


class ApprovalList:
    """The list of pending approvals of one tenant in one dialect.

    Args:
        reader: Asks the tenant.
        dialect: The API version.
    """

    def __init__(self, reader: Reader, dialect: Dialect) -> None:
        self._reader = reader
        self._path = dialect.paths.pending_approvals

    async def page(self, query: ApprovalQuery, offset: int) -> Page:
        """The page that begins at row `offset`, oldest row first.

        Raises:
            ForbiddenError: The token's user may not list this, or the tenant has no such list.
            RefusedError: The tenant does not understand the query; older ones require an approver's id.
            TenantLostError: The list can't be read.
        """
        field, values = (
            ("accessRequestId", query.access_requests) if query.access_requests else ("requestedFor.id", query.people)
        )
        parameters = {
            **({"filters": _filter(field, values)} if values else {}),
            "sorters": "created",
            "limit": str(PAGE_LIMIT),
            "offset": str(offset),
            "count": "true",
        }
        reply = await self._reader.ask(
            "GET", self._path, subject=_SUBJECT, params=parameters, settling=frozenset({404})
        )
        paging.require_the_apis(reply.answer, _SUBJECT)
        if reply.answer.status in _FORBIDDEN:
            raise ForbiddenError(reply.refusal)
        page = paging.page_of(reply, offset=offset, limit=PAGE_LIMIT)
        return replace(page, rows=tuple(row for raw in page.rows if (row := approval_row(raw)) is not None))


def in_portions(values: Iterable[str]) -> list[tuple[str, ...]]:
    """Ids in portions, of which each fits a filter."""
    return list(portions(dict.fromkeys(values), _weights, _MOST))


def _weights(value: str) -> tuple[int, ...]:
    text = f"{quoted(value)}, "
    return 1, len(text), len(quote(text))


def _filter(field: str, values: tuple[str, ...]) -> str:
    if len(values) == 1:
        # A single value does not need `in`.
        return f"{field} eq {quoted(values[0])}"
    return f"{field} in ({', '.join(map(quoted, values))})"
