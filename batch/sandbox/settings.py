"""The settings of a sandbox."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Self

from batch.api.dialects import ADMIN_LEVEL, ALL_SCOPES, FILTER_LIMIT, Rate
from batch.sandbox.cancelling import CancelId
from batch.sandbox.configuration import RequestConfiguration
from batch.sandbox.directory import EMPTY, Known
from batch.sandbox.faults import PASSING, Fault, FaultPlan
from batch.sandbox.item_rules import PERMISSIVE, RequestRules
from batch.sandbox.lifecycle import Handling
from batch.sandbox.made_up_directory import make_directory
from batch.sandbox.oddities import make_odd, with_birthright
from batch.sandbox.tenant import SimulatedTenant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from batch.sandbox.configuration import TriggerSubscription
    from batch.sandbox.directory import ItemFields, PersonFields
    from batch.sandbox.tenant_rules import Effect, Rule

EMBEDDED_PEOPLE: Final = 500
"""People of the embedded sandbox."""

EMBEDDED_STEP: Final = 1.0
"""Seconds that approval takes in the embedded sandbox, and provisioning after it."""


class TokenKind(StrEnum):
    """Kinds of token that a tenant issues."""

    USER = "user"
    """The token of a personal access token: a JWT that belongs to a user."""

    API_CLIENT = "api_client"
    """The token of an API client: a JWT with the authority `API` and without a user."""

    OPAQUE = "opaque"
    """A user's token that only the tenant can read."""


@dataclass(frozen=True, kw_only=True)
class SandboxSettings:
    """The settings of a sandbox. The defaults make a fast tenant without faults.

    Attributes:
        client_id: The only client.
        tenant_id: The tenant's id in its tokens; empty for one that depends on the port, so that each server is a
            tenant of its own, and the same one when it is started again.
        client_secret: Its secret. It works nowhere else, but is kept out of the repr.
        rate: The rate limit of each API version.
        visibility_delay: Seconds until the status list shows an accepted request.
        latency: Fewest and most seconds that an API call takes.
        expires_in: Lifetime of a token in seconds; the default is the example in the vendor's documents.
        tracking_response: Whether a 202 has a body (`newRequests`) instead of `{}`.
        owners_listed: Whether approvals have the fields of 2025 and later (`currentOwners`, `reviewedBy`,
            `approverComments`) instead of `currentOwner` and `comment`.
        people: Number of people in the made-up directory; None for no directory.
        strict_ids: Whether only ids in the directory, `identities` and `items` exist. Without a directory, and without
            this, every id exists.
        identities: Identity ids that exist; None if every id exists.
        items: Access item ids that exist; None if every id exists.
        unrequestable: Access item ids that exist but can't be requested.
        item_changes: Rules of single access items by id, as `Known.change_item` takes them.
        person_changes: States and accounts of single people by id, as `Known.change_person` takes them.
        odd: Whether some people and items of the made-up directory are awkward: inactive, disabled, with end dates …
        entitlement_rules: The tenant's rules for grants of entitlements that have none of their own.
        names_bad_id: Whether the refusal of an id names it.
        approval_seconds: Seconds from acceptance to the approver's decision; None for never.
        provisioning_seconds: Seconds from approval to the end of provisioning; None for never.
        rejected: Share of changes, 0 to 1, that approvers reject.
        failed: Share of approved changes, 0 to 1, whose provisioning fails.
        forwarded: Share of approvals, 0 to 1, that their owner forwards to another person.
        effects: What happens to a change that breaks a rule of the tenant, where it is not the default.
        approvals_need_owner: Whether the list of pending approvals is answered 400 without `owner-id`, as by older
            tenants.
        configuration: What the tenant allows.
        trigger_subscriptions: Who listens to its events.
        cancels_duplicates: Whether a change that is held or in progress already is cancelled on acceptance.
        search_lag: Seconds from a change of access until the search shows it.
        search_body_limit: Most bytes of a search.
        filter_limit: Most characters of a list's filter.
        understands_in: Whether the status list's filter accepts `accessRequestId in`; the documents disagree.
        cancel_id: The id that a single cancel call takes; the documents disagree.
        ignores_bulk_cancel: Whether a bulk cancel call is answered 202 but has no effect.
        seed: Makes latency, chance faults, outcomes and the directory repeatable.
        fault_probability: Chance, 0 to 1, that an attempt has a fault.
        fault_kinds: The faults that chance picks from.
        lists_others: Whether the token's user may read other users' statuses, as an ORG_ADMIN may.
        token_kind: Kind of the client's tokens.
        authorities: User levels of the token's user.
        scopes: Scopes of the tokens; calls outside them are answered 403.
        tokens: Number of tokens issued before the client's secret is withdrawn; None for no limit.
        extra_headers: Additional headers of every API answer, such as `Deprecation`.
        retry_after: Seconds in the `Retry-After` of a fault (the rate limit computes its own).
    """

    client_id: str = "sandbox"
    client_secret: str = field(default="sandbox-secret", repr=False)
    tenant_id: str = ""
    rate: Rate = field(default_factory=Rate)
    visibility_delay: float = 1.0
    latency: tuple[float, float] = (0.0, 0.0)
    expires_in: int = 749
    tracking_response: bool = False
    owners_listed: bool = False
    people: int | None = None
    strict_ids: bool = True
    identities: frozenset[str] | None = None
    items: frozenset[str] | None = None
    unrequestable: frozenset[str] = frozenset()
    item_changes: Mapping[str, ItemFields] = field(default_factory=dict)
    person_changes: Mapping[str, PersonFields] = field(default_factory=dict)
    odd: bool = False
    entitlement_rules: RequestRules = PERMISSIVE
    names_bad_id: bool = True
    approval_seconds: float | None = None
    provisioning_seconds: float | None = None
    rejected: float = 0.0
    failed: float = 0.0
    forwarded: float = 0.0
    effects: Mapping[Rule, Effect] = field(default_factory=dict)
    approvals_need_owner: bool = False
    configuration: RequestConfiguration = field(default_factory=RequestConfiguration)
    trigger_subscriptions: tuple[TriggerSubscription, ...] = ()
    cancels_duplicates: bool = True
    search_lag: float = 0.0
    search_body_limit: int = 100_000
    filter_limit: int = FILTER_LIMIT
    understands_in: bool = True
    cancel_id: CancelId = CancelId.EITHER
    ignores_bulk_cancel: bool = False
    seed: int = 0
    fault_probability: float = 0.0
    fault_kinds: Sequence[Fault] = PASSING
    lists_others: bool = True
    token_kind: TokenKind = TokenKind.USER
    authorities: tuple[str, ...] = (ADMIN_LEVEL,)
    scopes: tuple[str, ...] = (ALL_SCOPES,)
    tokens: int | None = None
    extra_headers: Mapping[str, str] = field(default_factory=dict)
    retry_after: int = 1

    @classmethod
    def embedded(cls, rate: Rate) -> Self:
        """The settings of `--sandbox`: names can be looked up, all other ids exist too, requests are provisioned."""
        return cls(
            rate=rate,
            people=EMBEDDED_PEOPLE,
            strict_ids=False,
            approval_seconds=EMBEDDED_STEP,
            provisioning_seconds=EMBEDDED_STEP,
        )

    def new_tenant(self) -> SimulatedTenant:
        """A tenant without requests."""
        handling = Handling(
            approval_seconds=self.approval_seconds,
            provisioning_seconds=self.provisioning_seconds,
            rejected=self.rejected,
            failed=self.failed,
            forwarded=self.forwarded,
            seed=self.seed,
        )
        return SimulatedTenant(
            visibility_delay=self.visibility_delay,
            tracking_response=self.tracking_response,
            owners_listed=self.owners_listed,
            known=self._known(),
            handling=handling,
            cancels_duplicates=self.cancels_duplicates,
            search_lag=self.search_lag,
            ignores_bulk_cancel=self.ignores_bulk_cancel,
            cancel_id=self.cancel_id,
            effects=self.effects,
            configuration=self.configuration,
            is_admin=ADMIN_LEVEL in self.authorities,
        )

    def _known(self) -> Known:
        identities, items = self.identities, self.items
        if self.people is not None and self.strict_ids:
            identities, items = identities or frozenset(), items or frozenset()
        directory = EMPTY if self.people is None else make_directory(self.people, seed=self.seed)
        known = Known(
            directory=with_birthright(directory) if self.odd else directory,
            identities=identities,
            items=items,
            unrequestable=self.unrequestable,
            names_bad_id=self.names_bad_id,
            entitlement_rules=self.entitlement_rules,
        )
        if self.odd:
            make_odd(known)
        for item_id, item_fields in self.item_changes.items():
            known.change_item(item_id, **item_fields)
        for identity, person_fields in self.person_changes.items():
            known.change_person(identity, **person_fields)
        return known

    def new_fault_plan(self) -> FaultPlan:
        """A plan with an empty queue."""
        return FaultPlan(
            probability=self.fault_probability, kinds=self.fault_kinds, seed=self.seed, retry_after=self.retry_after
        )
