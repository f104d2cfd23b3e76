"""What holds for every request at a tenant: who requests, what its configuration allows, and who waits for answers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from batch.api.dialects import ADMIN_LEVEL, Rate

if TYPE_CHECKING:
    from collections.abc import Mapping

WAITING_TRIGGERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "idn:access-request-pre-approval": "Access Request Submitted",
        "idn:access-request-dynamic-approver": "Access Request Dynamic Approval",
    }
)
"""The triggers of type REQUEST_RESPONSE about access requests, by id: the tenant waits for the subscriber's answer.

`idn:access-request-post-approval` is FIRE_AND_FORGET. Source: the vendor's list of available event triggers. Each of
them may have one subscription.
"""

TRIGGER_RATE: Final = Rate(requests=2, seconds=10)
"""What the vendor sizes these triggers for, at most: one to two access requests in ten seconds."""

PROPOSED: Final = f"{TRIGGER_RATE.requests}/{TRIGGER_RATE.seconds:g}"
"""The same, as `--rate` takes it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Requester:
    """Whose requests they will be. Values that the token lacks are empty.

    Attributes:
        id: Of the identity.
        name: Of the identity.
        levels: User levels, such as `ORG_ADMIN`.
    """

    id: str = ""
    name: str = ""
    levels: tuple[str, ...] = ()

    @property
    def is_admin(self) -> bool:
        """Whether the requester may request for everybody."""
        return ADMIN_LEVEL in self.levels


@dataclass(frozen=True, kw_only=True, slots=True)
class AccessRequestConfig:
    """The configuration of access requests. A field is None if the tenant does not send it.

    Attributes:
        for_anyone: Whether anybody may request for anybody.
        for_reports: Whether managers may request for their direct reports.
        external_approvals: Whether an external system decides; then only administrators may request.
        auto_approval: Whether a request is approved at once if its requester would approve it.
        reauthorization: Whether items that ask for reauthorization get it.
        entitlements: Whether entitlements may be requested.
    """

    for_anyone: bool | None = None
    for_reports: bool | None = None
    external_approvals: bool | None = None
    auto_approval: bool | None = None
    reauthorization: bool | None = None
    entitlements: bool | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Subscription:
    """A subscriber whose answer the tenant waits for.

    Attributes:
        trigger: Id of the trigger, one of WAITING_TRIGGERS.
        name: The subscription's name.
        filtered: Whether it has a filter, so that it concerns some requests only.
    """

    trigger: str
    name: str = ""
    filtered: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Unshown:
    """Why the tenant does not show something.

    Attributes:
        why: In the tenant's words, or ours.
        forbidden: Whether the token lacks a right.
    """

    why: str
    forbidden: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class TenantSettings:
    """What a tenant says of itself.

    Attributes:
        requester: Whose requests they will be.
        config: Its configuration of access requests.
        subscriptions: The enabled subscribers that it waits for.
    """

    requester: Requester
    config: AccessRequestConfig | Unshown
    subscriptions: tuple[Subscription, ...] | Unshown

    def as_json(self) -> dict[str, Any]:
        """Requester, configuration and triggers for scripts; null for what the tenant does not show."""
        config, subscriptions = self.config, self.subscriptions
        return {
            "requester": asdict(self.requester),
            "access_request_config": None if isinstance(config, Unshown) else asdict(config),
            "triggers": None
            if isinstance(subscriptions, Unshown)
            else {"waiting": [asdict(one) for one in subscriptions], "rate": PROPOSED if subscriptions else None},
        }
