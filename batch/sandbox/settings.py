"""What can be chosen about a sandbox."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batch.dialects import Rate
from batch.sandbox.faults import Fault, FaultPlan
from batch.sandbox.tenant import SimulatedTenant
from batch.sandbox.throttle import RateLimit
from batch.sandbox.tokens import TokenOffice

if TYPE_CHECKING:
    from collections.abc import Sequence


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
        identities: Identity ids that exist; None means that every id does.
        items: Access item ids that exist; None means that every id does.
        unrequestable: Access item ids that exist, and can't be requested.
        names_culprit: Whether the refusal of an id says which one it was.
        seed: Makes latency and chance faults repeatable.
        fault_probability: Chance, 0 to 1, that an attempt is struck by a fault.
        fault_kinds: What chance chooses from.
        lists_others: Whether the token's user may read others' statuses, as an ORG_ADMIN may.
        retry_after: Seconds in the `Retry-After` of a fault (the rate limit computes its own).
    """

    client_id: str = "sandbox"
    client_secret: str = field(default="sandbox-secret", repr=False)
    rate: Rate = field(default_factory=Rate)
    visibility_delay: float = 1.0
    latency: tuple[float, float] = (0.0, 0.0)
    expires_in: int = 749
    tracking_response: bool = False
    identities: frozenset[str] | None = None
    items: frozenset[str] | None = None
    unrequestable: frozenset[str] = frozenset()
    names_culprit: bool = True
    seed: int = 0
    fault_probability: float = 0.0
    fault_kinds: Sequence[Fault] = tuple(Fault)
    lists_others: bool = True
    retry_after: int = 1

    def new_tenant(self) -> SimulatedTenant:
        """A tenant with empty books."""
        return SimulatedTenant(
            visibility_delay=self.visibility_delay,
            identities=self.identities,
            items=self.items,
            unrequestable=self.unrequestable,
            names_culprit=self.names_culprit,
            tracking_response=self.tracking_response,
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
        return TokenOffice(client_id=self.client_id, client_secret=self.client_secret, expires_in=self.expires_in)
