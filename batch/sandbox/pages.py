"""How every collection of the API is paged: `limit`, `offset`, `count`, and the quirk at the end.

Source: the vendor's page on standard collection parameters; that an offset at the end of a list is an error rather than
an empty page is a report from live tenants.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

from batch.api.dialects import PAGE_LIMIT
from batch.sandbox.answers import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_Entry = TypeVar("_Entry")


class BadQueryError(ValueError):
    """A query breaks a rule; becomes a 400 with this text before it leaves the sandbox."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """Which part of a collection is asked for.

    Attributes:
        limit: Most entries.
        offset: Entries to pass over.
        counted: Whether the total is wanted too.
    """

    limit: int
    offset: int
    counted: bool

    def cut(self, entries: Sequence[_Entry], as_json: Callable[[_Entry], object]) -> Answer:
        """The page as an answer.

        Args:
            entries: All that was found, in order.
            as_json: How an entry is written.

        Raises:
            BadQueryError: The offset is at the end or beyond it, and there is something.
        """
        if entries and self.offset >= len(entries):
            raise BadQueryError(f"offset {self.offset} is beyond the {len(entries)} results.")
        return Answer(
            status=HTTPStatus.OK,
            body=[as_json(entry) for entry in entries[self.offset : self.offset + self.limit]],
            headers={"X-Total-Count": str(len(entries))} if self.counted else {},
        )


def page_of(query: Mapping[str, str], *, limit: int = PAGE_LIMIT) -> Page:
    """The page that a query asks for.

    Args:
        query: The query parameters.
        limit: Most that one page of this collection may have; also how many it has when nobody asks for less.

    Raises:
        BadQueryError: A parameter is of the wrong kind, or asks for too much.
    """
    counted = query.get("count", "false").lower()
    if counted not in {"true", "false"}:
        raise BadQueryError("count must be true or false.")
    asked = _whole_number(query, "limit", limit)
    if asked > limit:
        raise BadQueryError(f"limit must be at most {limit}.")
    return Page(limit=asked, offset=_whole_number(query, "offset", 0), counted=counted == "true")


def _whole_number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise BadQueryError(f"{name} must be a whole number of 0 or more.")
    return int(text)
