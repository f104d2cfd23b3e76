"""The tenant's status list: what it says of requests, page by page, under the same pace as everything else."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol

from batch.dialects import PAGE_LIMIT
from batch.errors import TenantLostError
from batch.model import StatusRow
from batch.outcome import Situation, Then, decide
from batch.tenant.wire import Exchange, fetch, hiding

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    import httpx

    from batch.dialects import Dialect
    from batch.model import Answer
    from batch.tenant.pace import Pace, Permit
    from batch.tenant.token import Token

MOST_PAGE_BYTES: Final = 16 << 20
"""Bytes read of one page: 250 rows with everything that the vendor puts into one."""

MOST_ROWS: Final = 1_000_000
"""Rows of one list that are read: a list that goes on after them never ends."""

_LONGEST_ID: Final = 256
_LONGEST_COUNT: Final = 12

MYSELF: Final = "me"
"""How the list names the user behind the token."""


class ListingForbiddenError(Exception):
    """The token's user may not list this; the message is the tenant's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """What to list.

    Attributes:
        since: Only rows made then or later, by the tenant's clock.
        requested_for: Only this identity's rows; empty for everything that the token's user requested.
    """

    since: datetime
    requested_for: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """A page of the list.

    Attributes:
        rows: Its rows.
        read: How many rows it has: the next page begins so much later.
        total: Rows of all pages; None where the tenant does not say.
        more: Whether there may be another page.
    """

    rows: tuple[StatusRow, ...]
    read: int
    total: int | None
    more: bool


class Listing(Protocol):
    """What can list statuses: a tenant over HTTP, or a fake."""

    async def page(self, query: Query, offset: int) -> Page:
        """The page that begins at row `offset` (from 0) of a list."""

    async def clock_offset(self) -> timedelta:
        """How far the tenant's clock is ahead of ours."""


class StatusList:
    """The status list of one tenant in one dialect.

    Args:
        http: A client whose base URL is the tenant.
        token: Its token.
        dialect: The API version.
        pace: Status calls count against the rate limit too.
        clock: Our clock.
        luck: A random number from 0 to 1, new each time.
        give_up_after: Seconds without a usable answer after which the list can't be had.
        heard: Is told the headers of every answer.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        token: Token,
        dialect: Dialect,
        pace: Pace,
        *,
        clock: Callable[[], datetime],
        luck: Callable[[], float],
        give_up_after: float,
        heard: Callable[[Mapping[str, str]], object],
    ) -> None:
        self._http = http
        self._token = token
        self._dialect = dialect
        self._pace = pace
        self._clock = clock
        self._luck = luck
        self._give_up_after = give_up_after
        self._heard = heard
        self._offset: timedelta | None = None

    async def probe(self) -> tuple[Answer, Mapping[str, str]]:
        """What the tenant answers, with which headers, when it is asked for one row of our own.

        Raises:
            TenantLostError: The list can't be had.
        """
        answer, _, headers = await self._get({"requested-by": MYSELF, "limit": "1"})
        hide = hiding(self._http)
        return answer, {name: hide(value) for name, value in headers.items()}

    async def clock_offset(self) -> timedelta:
        """How far the tenant's clock is ahead of ours, by its `Date` header; asked once."""
        if self._offset is None:
            server_time = (await self.probe())[0].server_time
            self._offset = server_time - self._clock() if server_time else timedelta()
        return self._offset

    async def page(self, query: Query, offset: int) -> Page:
        """The page that begins at row `offset` of a list, oldest first, so that new rows don't shift the pages.

        Raises:
            ListingForbiddenError: The token's user may not list this, or an identity's list can't be understood.
            TenantLostError: The list can't be had.
        """
        whom = {"requested-for": query.requested_for} if query.requested_for else {"requested-by": MYSELF}
        parameters = {
            **whom,
            "filters": f'created ge "{query.since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"',
            "sorters": "created",
            "limit": str(PAGE_LIMIT),
            "offset": str(offset),
            "count": "true",
        }
        answer, raw, headers = await self._get(parameters)
        if answer.status == 400 and offset:  # noqa: PLR2004 - HTTP
            # An offset at the end of the list may be an error rather than an empty page.
            return Page(rows=(), read=0, total=None, more=False)
        if answer.status in {400, 403}:
            raise ListingForbiddenError(answer.text or f"the tenant answered {answer.status}")
        rows = tuple(row for one in raw if (row := _row(one)) is not None)
        if query.requested_for and len(rows) < len(raw):
            raise ListingForbiddenError(f"the list of {query.requested_for} has rows that can't be understood")
        said = headers.get("x-total-count", "")
        total = int(said) if said.isdecimal() and len(said) <= _LONGEST_COUNT else None
        more = bool(raw) and (len(raw) == PAGE_LIMIT if total is None else offset + len(raw) < total)
        return Page(rows=rows, read=len(raw), total=total, more=more)

    async def _get(self, parameters: dict[str, str]) -> tuple[Answer, list[Any], Mapping[str, str]]:
        """What ended with a list, 400 or 403: answer, rows and headers; others are waited out as long as is allowed."""
        loop = asyncio.get_running_loop()
        began, silenced = loop.time(), self._pace.silenced
        refused, failures = "", 0
        while True:
            token = await self._token.get(other_than=refused)
            exchange, permit = await self._exchange(parameters, token)
            answer = exchange.answer
            rows = _rows(exchange.content) if answer.status == 200 else []  # noqa: PLR2004 - HTTP
            if answer.status in {200, 400, 403} and rows is not None:
                return answer, rows, exchange.headers
            situation = Situation(
                new_token=bool(refused),
                failures_in_a_row=failures,
                without_success=loop.time() - began - (self._pace.silenced - silenced),
                give_up_after=self._give_up_after,
                luck=self._luck(),
            )
            decision = decide(answer, situation)
            said = decision.reason if rows is not None else "what came is not a list, broke off, or is too long"
            match decision.then:
                case Then.RENEW_TOKEN:
                    refused = token
                    continue
                case Then.SLOW_DOWN | Then.WAIT:
                    violated = decision.then is Then.SLOW_DOWN
                    await self._pace.pause(decision.pause, permitted_at=permit.given_at, violated=violated)
                case Then.BACK_OFF:
                    self._pace.hold(decision.pause)
                case _:
                    raise TenantLostError(
                        f"The tenant's status list can't be had: {said}.",
                        next_step="Unconfirmed requests stay unconfirmed. Run the same command again later.",
                    )
            self._pace.tell(decision.pause, f"{said}, when asked for the status list")
            refused, failures = "", failures + 1

    async def _exchange(self, parameters: dict[str, str], token: str) -> tuple[Exchange, Permit]:
        (permit,) = await self._pace.wait()
        try:
            exchange = await fetch(
                self._http,
                "GET",
                self._dialect.paths.status,
                most_bytes=MOST_PAGE_BYTES,
                gone=permit.gone,
                params=parameters,
                headers={"Authorization": f"Bearer {token}"},
            )
        finally:
            permit.gone()
        self._heard(exchange.headers)
        return exchange, permit


def _rows(content: bytes) -> list[Any] | None:
    """The rows of a page; None where it is none, or not whole."""
    if len(content) > MOST_PAGE_BYTES:
        return None
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, list) else None


def _row(raw: Any) -> StatusRow | None:
    """A row as far as it can be understood; None where it does not say whom it is for."""
    if not isinstance(raw, dict) or not isinstance(raw.get("requestedFor"), dict):
        return None
    if not (identity := _text(raw["requestedFor"].get("id"))):
        return None
    metadata = raw.get("clientMetadata")
    return StatusRow(
        identity=identity,
        item=_text(raw.get("id")),
        request_type=_text(raw.get("requestType")),
        created=_moment(raw.get("created")),
        metadata={k: _text(v) for k, v in metadata.items()} if isinstance(metadata, dict) else None,
        access_request=_text(raw.get("accessRequestId")),
    )


def _text(value: object) -> str:
    """An id as text that the ledger can keep; empty where it is none."""
    text = str(value) if isinstance(value, str | int) else ""
    return text if text.isprintable() and len(text) <= _LONGEST_ID else ""


def _moment(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError):
        return None


async def all_pages(listing: Listing, query: Query, first: Page | None = None) -> AsyncIterator[StatusRow]:
    """Every row of a list.

    Args:
        listing: What lists.
        query: What to list.
        first: Its first page, where that was read already.

    Raises:
        TenantLostError: The list ended before it was complete, or does not end.
    """
    page = first or await listing.page(query, 0)
    total, read = page.total, page.read
    for row in page.rows:
        yield row
    while page.more:
        rows, page = page.rows, await listing.page(query, read)
        read += page.read
        if read > MOST_ROWS or (rows and rows == page.rows):
            raise TenantLostError(
                f"The tenant's status list does not end: after {read} rows it still goes on.",
                next_step="Unconfirmed requests stay unconfirmed. Run the same command again later.",
            )
        for row in page.rows:
            yield row
    if total is not None and read < total:
        raise TenantLostError(
            f"The tenant's status list ended after {read} of {total} rows.",
            next_step="Unconfirmed requests stay unconfirmed. Run the same command again later.",
        )
