"""One tenant: submits requests to it, and gives access to its lists, its search, its token and its cancelling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from batch.answers.events import Notice
from batch.api.deprecation import deprecation_notice
from batch.api.token_claims import token_needed, what_is_missing
from batch.errors import CHECK_ADDRESS, TenantLostError
from batch.model import Form
from batch.tenant.accounts import AccountChoices
from batch.tenant.approvals import ApprovalList
from batch.tenant.cancel import CancelClient
from batch.tenant.holdings import SearchIndex
from batch.tenant.reading import Reader
from batch.tenant.sockets import close
from batch.tenant.status import StatusList
from batch.tenant.tenant_settings import SettingsClient
from batch.tenant.token import Token
from batch.tenant.wire import fetch, http_client

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime
    from pathlib import Path

    from batch.answers.events import Tell
    from batch.api.dialects import Dialect
    from batch.api.token_claims import TokenClaims
    from batch.model import Answer, Clock
    from batch.plan.body import Body
    from batch.settings import Credentials
    from batch.tenant.pace import Pace


class Tenant:
    """A connection to one tenant in one dialect; an async context manager.

    Args:
        base_url: The tenant's origin.
        dialect: The API version.
        credentials: Client id and secret.
        timeout: Seconds for one attempt.
        concurrency: Most attempts at the same time.
        pace: Permits every call but a submit, whose caller needs a permit.
        clock: This machine's clock.
        jitter: A random number from 0 to 1, new each time.
        give_up_after: Seconds without any success after which the tenant is lost.
        tell: Takes each wait for a token before it begins, and once the notice that this API version ends.
        ca_file: PEM certificates to trust instead of the system's.
        on_claims: Takes the claims of each new token before its first use; see Token.
        reached: Whether this command has reached the tenant before.

    Attributes:
        reader: Asks it questions.
        statuses: Its status list.
        approvals: Its list of pending approvals.
        holdings: Its search index, for the access items that people hold.
        accounts: Says which accounts there are.
        cancel_client: Cancels access requests.
        settings: What holds for all of its requests.
    """

    def __init__(
        self,
        *,
        base_url: str,
        dialect: Dialect,
        credentials: Credentials,
        timeout: float,
        concurrency: int,
        pace: Pace,
        clock: Clock,
        jitter: Callable[[], float],
        give_up_after: float,
        tell: Tell,
        ca_file: Path | None = None,
        on_claims: Callable[[TokenClaims], Awaitable[None]] | None = None,
        reached: bool = False,
    ) -> None:
        self._http = http_client(base_url, timeout=timeout, concurrency=concurrency, ca_file=ca_file)
        self._token = Token(
            self._http,
            credentials,
            clock=clock,
            jitter=jitter,
            give_up_after=give_up_after,
            tell=tell,
            on_claims=on_claims,
            reached=reached,
        )
        self._dialect = dialect
        self._tell = tell
        self._clock = clock
        self._noticed = False
        self.reader = Reader(
            self._http,
            self._token,
            pace,
            clock=clock,
            jitter=jitter,
            give_up_after=give_up_after,
            on_headers=self._on_headers,
        )
        self.statuses = StatusList(self.reader, dialect, clock=clock.now)
        advisory = self.reader.advisory()
        self.approvals = ApprovalList(advisory, dialect)
        self.holdings = SearchIndex(self.reader, dialect)
        self.accounts = AccountChoices(advisory, dialect)
        self.cancel_client = CancelClient(self.reader, dialect)
        self.settings = SettingsClient(advisory, dialect)

    async def token(self, *, other_than: str = "") -> str:
        """A token that is good now; see Token.get."""
        return await self._token.get(other_than=other_than)

    def token_expires(self, token: str) -> datetime | None:
        """When a token expires, by the tenant's clock; see Token.expires."""
        return self._token.expires(token)

    async def token_claims(self) -> TokenClaims:
        """Whose token ours is; see Token.claims."""
        return await self._token.claims()

    async def prove(self) -> None:
        """Requires that the API answers a question, so that base URL and API version are right.

        A refusal in the API's own form proves as much.

        Raises:
            TenantLostError: Something else answers there, or nothing.
            CredentialsRefusedError: The tenant refuses the client.
        """
        try:
            answer, _ = await self.statuses.probe()
        except TenantLostError as error:
            raise TenantLostError(error.message, next_step=CHECK_ADDRESS) from error
        if answer.status != 200 and answer.form is not Form.API:  # noqa: PLR2004 - HTTP
            found = f"{answer.status} {answer.text}".rstrip(" .")
            raise TenantLostError(
                f"Something other than the API answers at the tenant's address: {found}.", next_step=CHECK_ADDRESS
            )

    def explain_forbidden(self) -> str:
        """Which right is missing after a 403 to a submit, and which token to make, as sentences."""
        return f"{what_is_missing(self._token.last_claims, self._dialect)} {token_needed(self._dialect)}"

    async def submit(self, body: Body, token: str, *, on_sent: Callable[[], None]) -> Answer:
        """Makes one attempt with a body.

        It calls `on_sent` once the last byte has left. A failure is an answer too.
        """
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        exchange = await fetch(
            self._http,
            "POST",
            self._dialect.paths.submit,
            now=self._clock.now,
            on_sent=on_sent,
            content=body.content,
            headers=headers,
        )
        self._on_headers(exchange.headers)
        return exchange.answer

    def _on_headers(self, headers: Mapping[str, str]) -> None:
        """Reports, once, that an answer's headers announce the end of this API version."""
        if not self._noticed and (notice := deprecation_notice(headers)):
            self._noticed = True
            self._tell(Notice(text=notice))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await close(self._http)
