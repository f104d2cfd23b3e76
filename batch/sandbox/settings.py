"""What can be chosen about a sandbox."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from batch.api.dialects import ADMIN_LEVEL, ALL_SCOPES, FILTER_LIMIT, Rate
from batch.sandbox.cancelling import CancelId
from batch.sandbox.directory import NOBODY, make_directory
from batch.sandbox.faults import Fault, FaultPlan
from batch.sandbox.known import Known
from batch.sandbox.lifecycle import Handling
from batch.sandbox.tenant import SimulatedTenant
from batch.sandbox.throttle import RateLimit
from batch.sandbox.tokens import TokenKind, TokenOffice

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


EMBEDDED_PEOPLE: Final = 500
"""People of the embedded sandbox."""

EMBEDDED_STEP: Final = 1.0
"""Seconds that approving takes there, and provisioning."""


@dataclass(frozen=True, kw_only=True)
class SandboxSettings:
    """Everything that can be chosen about a sandbox; the defaults are a quick and faultless tenant.

    Attributes:
        client_id: The one client that exists.
        client_secret: Its secret; worth nothing anywhere else, and still kept out of the repr.
        rate: The rate limit, for each API version apart.
        visibility_delay: Seconds until an accepted request shows in the status list.
        latency: Least and most seconds that an API call takes.
        expires_in: Seconds for which a token is good; the default is the example of the vendor's documents.
        tracking_response: Whether a 202 has a body (`newRequests`), or `{}`.
        people: How many people the generated directory has; None for no directory.
        strict_ids: Whether only those exist who stand in the directory or in `identities`, and what stands in it or in
            `items`; without a directory, and without this, every id exists.
        identities: Identity ids that exist; None means that every id does.
        items: Access item ids that exist; None means that every id does.
        unrequestable: Access item ids that exist, and can't be requested.
        names_culprit: Whether the refusal of an id says which one it was.
        approval_seconds: Seconds until an approver decides on what was accepted; None for never.
        provisioning_seconds: Seconds from then until it is carried out; None for never.
        rejected: Share of changes, 0 to 1, that approvers reject.
        failed: Share of approved changes, 0 to 1, whose provisioning fails.
        cancels_duplicates: Whether a change that is held or under way already shows as cancelled at once.
        search_lag: Seconds from a change of access until the search knows it.
        search_body_limit: Most bytes of a search.
        filter_limit: Most characters of a list's filter.
        understands_in: Whether the status list's filter takes `accessRequestId in`: documentation disagrees.
        cancel_id: Which id cancelling one at a time takes: documentation disagrees.
        ignores_bulk_cancel: Whether cancelling in bulk is answered 202, and does nothing.
        seed: Makes latency, chance faults, fates and the directory repeatable.
        fault_probability: Chance, 0 to 1, that an attempt is struck by a fault.
        fault_kinds: What chance chooses from.
        lists_others: Whether the token's user may read others' statuses, as an ORG_ADMIN may.
        token_kind: What kind of token the client gets.
        authorities: Levels of the token's user.
        scopes: What tokens are limited to; what they don't let do is answered 403.
        tokens: How many tokens are given out before the client's secret is withdrawn; None for no end.
        extra_headers: Headers that every API answer has besides its own, such as `Deprecation`.
        retry_after: Seconds in the `Retry-After` of a fault (the rate limit computes its own).
    """

    client_id: str = "sandbox"
    client_secret: str = field(default="sandbox-secret", repr=False)
    rate: Rate = field(default_factory=Rate)
    visibility_delay: float = 1.0
    latency: tuple[float, float] = (0.0, 0.0)
    expires_in: int = 749
    tracking_response: bool = False
    people: int | None = None
    strict_ids: bool = True
    identities: frozenset[str] | None = None
    items: frozenset[str] | None = None
    unrequestable: frozenset[str] = frozenset()
    names_culprit: bool = True
    approval_seconds: float | None = None
    provisioning_seconds: float | None = None
    rejected: float = 0.0
    failed: float = 0.0
    cancels_duplicates: bool = True
    search_lag: float = 0.0
    search_body_limit: int = 100_000
    filter_limit: int = FILTER_LIMIT
    understands_in: bool = True
    cancel_id: CancelId = CancelId.EITHER
    ignores_bulk_cancel: bool = False
    seed: int = 0
    fault_probability: float = 0.0
    fault_kinds: Sequence[Fault] = tuple(Fault)
    lists_others: bool = True
    token_kind: TokenKind = TokenKind.USER
    authorities: tuple[str, ...] = (ADMIN_LEVEL,)
    scopes: tuple[str, ...] = (ALL_SCOPES,)
    tokens: int | None = None
    extra_headers: Mapping[str, str] = field(default_factory=dict)
    retry_after: int = 1

    @classmethod
    def embedded(cls, rate: Rate) -> Self:
        """The sandbox of `--sandbox`: names can be looked up, every other id exists too, and things move on.

        Args:
            rate: The rate limit.
        """
        return cls(
            rate=rate,
            people=EMBEDDED_PEOPLE,
            strict_ids=False,
            approval_seconds=EMBEDDED_STEP,
            provisioning_seconds=EMBEDDED_STEP,
        )

    def new_tenant(self) -> SimulatedTenant:
        """A tenant with empty books."""
        handling = Handling(
            approval_seconds=self.approval_seconds,
            provisioning_seconds=self.provisioning_seconds,
            rejected=self.rejected,
            failed=self.failed,
            seed=self.seed,
        )
        return SimulatedTenant(
            visibility_delay=self.visibility_delay,
            tracking_response=self.tracking_response,
            known=self._known(),
            handling=handling,
            cancels_duplicates=self.cancels_duplicates,
            search_lag=self.search_lag,
            ignores_bulk_cancel=self.ignores_bulk_cancel,
            cancel_id=self.cancel_id,
        )

    def _known(self) -> Known:
        identities, items = self.identities, self.items
        if self.people is not None and self.strict_ids:
            identities, items = identities or frozenset(), items or frozenset()
        return Known(
            directory=NOBODY if self.people is None else make_directory(self.people, seed=self.seed),
            identities=identities,
            items=items,
            unrequestable=self.unrequestable,
            names_culprit=self.names_culprit,
        )

    def new_fault_plan(self) -> FaultPlan:
        """A plan with an empty queue."""
        return FaultPlan(
            probability=self.fault_probability, kinds=self.fault_kinds, seed=self.seed, retry_after=self.retry_after
        )

    def new_rate_limit(self) -> RateLimit:
        """A rate limit that has seen no call."""
        return RateLimit(self.rate)

    def new_token_office(self) -> TokenOffice:
        """A token office that has issued nothing."""
        return TokenOffice(
            client_id=self.client_id,
            client_secret=self.client_secret,
            expires_in=self.expires_in,
            kind=self.token_kind,
            authorities=self.authorities,
            scopes=self.scopes,
            tokens=self.tokens,
        )
