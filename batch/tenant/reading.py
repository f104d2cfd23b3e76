"""Asking the tenant a question, again and again until it answers, within the rate limit.

Only for calls that are safe to repeat: those that read, and those that have the same effect once or twice, such as a
cancellation. A submit is never repeated here.
"""

from __future__ import annotations

import math
from copy import copy
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from batch.answers.outcome import Retries, Then
from batch.api.dialects import EXPERIMENTAL_HEADER
from batch.errors import TenantLostError
from batch.tenant.wire import fetch
from batch.text import count

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import httpx

    from batch.model import Answer, Clock
    from batch.tenant.answers import Exchange
    from batch.tenant.pace import Pace, Permit
    from batch.tenant.token import Token

MOST_REPLY_BYTES: Final = 16 << 20
"""Most bytes of one answer, enough for 250 rows with every field that the vendor documents."""

EXPERIMENTAL: Final = MappingProxyType({EXPERIMENTAL_HEADER: "true"})
"""The header that experimental endpoints require."""

ADVISORY_TRIES: Final = 2
"""Most unusable answers to a question whose answer only advises."""

ADVISORY_SECONDS: Final = 10.0
"""Most seconds that one is asked, without the waits that the tenant or the rate limit asks for."""

_LONGEST_COUNT: Final = 12
_FINAL: Final = frozenset({200, 400, 403})


class RefusedError(Exception):
    """The tenant refuses the question; the message is the tenant's."""


class ForbiddenError(RefusedError):
    """The token's user may not ask this."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """An answer that settles a question.

    Attributes:
        answer: Status and message.
        rows: The rows of a list; none for any other answer.
        headers: The answer's headers.
        document: The whole body, if it is JSON and arrived as a whole; else None.
    """

    answer: Answer
    rows: tuple[Any, ...]
    headers: Mapping[str, str]
    document: Any = None

    @property
    def total(self) -> int | None:
        """Rows of the whole list, by `X-Total-Count`; None if the header is missing or no number."""
        total = self.headers.get("x-total-count", "")
        return int(total) if total.isdecimal() and len(total) <= _LONGEST_COUNT else None

    @property
    def refusal(self) -> str:
        """Why the tenant refuses the question; empty if it answers."""
        return "" if self.answer.status == 200 else self.answer.text or f"the tenant answered {self.answer.status}"  # noqa: PLR2004 - HTTP


class Reader:
    """Asks one tenant questions.

    Args:
        http: A client whose base URL is the tenant.
        token: Its token.
        pace: Permits each call.
        clock: This machine's clock.
        jitter: A random number from 0 to 1, new each time.
        give_up_after: Seconds without a usable answer after which the tenant is lost.
        on_headers: Takes the headers of every answer.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        token: Token,
        pace: Pace,
        *,
        clock: Clock,
        jitter: Callable[[], float],
        give_up_after: float,
        on_headers: Callable[[Mapping[str, str]], object],
    ) -> None:
        self._http = http
        self._token = token
        self._pace = pace
        self._clock = clock
        self._jitter = jitter
        self._give_up_after = give_up_after
        self._on_headers = on_headers
        # A list, since the readers that advise count with this one.
        self._made = [0]
        self._most_tries: float = math.inf
        self._longest = math.inf

    @property
    def calls(self) -> int:
        """Calls made so far, also again and by advisory readers; none of them asks for a token."""
        return self._made[0]

    def advisory(self) -> Reader:
        """This reader, for questions that nothing depends on: it gives up soon; see ADVISORY_TRIES."""
        reader = copy(self)
        reader._most_tries = ADVISORY_TRIES  # noqa: SLF001 - our own
        reader._longest = ADVISORY_SECONDS  # noqa: SLF001 - our own
        reader._give_up_after = min(self._give_up_after, ADVISORY_SECONDS)  # noqa: SLF001 - our own
        return reader

    async def ask(
        self,
        method: str,
        path: str,
        *,
        subject: str,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
        settling: frozenset[int] = frozenset(),
    ) -> Reply:
        """Asks until an answer settles the question: 200 with a list of at most `limit` rows, 400 or 403.

        Args:
            method: `GET`, or `POST` if the call is safe to repeat.
            path: From dialects.Paths.
            subject: Names the question in messages: `status list`.
            params: Query parameters, with the `limit` of a list.
            body: The JSON body of a `POST`.
            headers: Headers besides those of every call.
            settling: More statuses that settle it. If 200 is among them, the answer need not be a list.

        Raises:
            TenantLostError: No usable answer came for too long.
            CredentialsRefusedError: The tenant refuses the client.
        """
        retries = Retries(give_up_after=self._give_up_after, now=self._now())
        tries = 0
        refused = ""
        arguments: dict[str, Any] = {} if body is None else {"json": dict(body)}
        limit = int((params or {}).get("limit", 0))
        while True:
            await self._token.get(other_than=refused)
            (permit,) = await self._pace.wait()
            try:
                # Asked again: the pace may have held us back for longer than the token lives.
                token = await self._token.get(other_than=refused)
            except BaseException:
                permit.unused()
                raise
            if permit.is_old:
                permit.unused()
                continue
            sent = {**headers, "Authorization": f"Bearer {token}"}
            exchange = await self._exchange(permit, method, path, params=params or {}, headers=sent, **arguments)
            answer = exchange.answer
            is_list = answer.status == 200 and 200 not in settling  # noqa: PLR2004 - HTTP
            unusable = _why_unusable(exchange.document, limit) if is_list else ""
            if answer.status in _FINAL | settling and not unusable:
                rows = tuple(exchange.document) if is_list else ()
                return Reply(answer=answer, rows=rows, headers=exchange.headers, document=exchange.document)
            decision = retries.decide(answer, now=self._now(), jitter=self._jitter(), new_token=bool(refused))
            reason = unusable or decision.reason
            match decision.then:
                case Then.RENEW_TOKEN:
                    refused = token
                    continue
                case Then.SLOW_DOWN | Then.WAIT:
                    violated = decision.then is Then.SLOW_DOWN
                    await self._pace.pause(decision.pause, permitted_at=permit.given_at, violated=violated)
                case Then.BACK_OFF if (tries := tries + 1) < self._most_tries:
                    self._pace.hold(decision.pause)
                case _:
                    raise TenantLostError(
                        f"The tenant's {subject} can't be read: {reason}.",
                        next_step="The ledger stays as it is. Run the same command again later.",
                    )
            self._pace.report_wait(decision.pause, f"{reason}, when asked for the {subject}")
            refused = ""

    def _now(self) -> float:
        """Seconds of the monotonic clock, without the silence that the tenant asked for."""
        return self._clock.monotonic() - self._pace.silenced

    async def _exchange(self, permit: Permit, method: str, path: str, **arguments: Any) -> Exchange:
        self._made[0] += 1
        try:
            exchange = await fetch(
                self._http,
                method,
                path,
                now=self._clock.now,
                most_bytes=MOST_REPLY_BYTES,
                on_sent=permit.on_sent,
                longest=self._longest,
                **arguments,
            )
        finally:
            permit.on_sent()
        permit.on_answer(exchange.answer)
        self._on_headers(exchange.headers)
        return exchange


def reason_of(error: RefusedError | TenantLostError) -> str:
    """Why there is no answer, as a part of a sentence about the tenant."""
    return error.reason if isinstance(error, TenantLostError) else str(error).rstrip(".")


def _why_unusable(document: Any, limit: int) -> str:
    """Why an answer is no page of a list; empty if it is one."""
    if not isinstance(document, list):
        return "its answer is not a list, broke off, or is too long"
    return (
        f"its page has {count(len(document), 'row')}, more than the {limit} asked for" if len(document) > limit else ""
    )


def quoted(value: str) -> str:
    """A value in double quotes, with its quotes and backslashes escaped.

    Source: the vendor's page on standard collection parameters.
    """
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
