"""Every fact about the API, one row per API version: paths, limits, allowed fields.

Sources: the vendor's published OpenAPI documents of the API versions (operation `createAccessRequest` and its
neighbours), and for the rate limit the vendor's page on rate limits. Where documents and live tenants disagree, the
stricter reading stands here. No other module holds a limit, a path or a field name as a literal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from batch.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Operation(StrEnum):
    """What is wanted: to give an access item, or to take it away."""

    GRANT = "GRANT"
    REVOKE = "REVOKE"


class ItemType(StrEnum):
    """The kinds of access item that can be requested."""

    ACCESS_PROFILE = "ACCESS_PROFILE"
    ROLE = "ROLE"
    ENTITLEMENT = "ENTITLEMENT"


REQUEST_TYPES: Final[Mapping[Operation, str]] = MappingProxyType(
    {Operation.GRANT: "GRANT_ACCESS", Operation.REVOKE: "REVOKE_ACCESS"}
)
"""The API's `requestType` of each operation."""

REQUEST_ID_KEY: Final = "accessBatchRequest"
"""Key of the item-level `clientMetadata` that carries a request's id; the status list returns it."""

ITEM_ID_KEY: Final = "accessBatchItem"
"""Key that carries the item's id beside it: in later API versions the status list's `id` is not the item's."""

PAGE_LIMIT: Final = 250
"""Most rows of one page of a collection, and how many it has when nobody asks for less."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How much one request may hold.

    Attributes:
        recipients: Identities of one grant.
        items: Access items of one grant.
        revoke_items: Roles and access profiles of one revoke (which has exactly one identity).
        revoke_entitlements: Entitlements of one revoke; an entitlement stands alone in its request.
    """

    recipients: int = 10
    items: int = 25
    revoke_items: int = 25
    revoke_entitlements: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Rate:
    """A tenant's rate limit: at most `requests` calls in any window of `seconds`."""

    requests: int = 100
    seconds: float = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialect:
    """One API version.

    Attributes:
        name: What `--api` calls it.
        submit_path: Path of `POST …/access-requests`.
        status_path: Path of `GET …/access-request-status`.
        start_date: Whether a grant may carry `startDate`.
        entitlement_remove_date: Whether an entitlement may carry `removeDate`.
        limits: What one request may hold.
        rate: The documented rate limit, per client id and API version.
        submit_scopes: Scopes of which any one lets a token submit; the first is the one to ask for.
        status_scopes: The same for the status list.
        support_ends: The day from which this version has no support, where its end is announced.
        stops: When it stops, in words; empty where no end is announced.
    """

    name: str
    submit_path: str
    status_path: str
    start_date: bool = False
    entitlement_remove_date: bool = False
    limits: Limits = field(default_factory=Limits)
    rate: Rate = field(default_factory=Rate)
    submit_scopes: tuple[str, ...] = ("idn:access-request:manage", "idn:access-request-self:manage")
    status_scopes: tuple[str, ...] = ("idn:access-request-status:read",)
    support_ends: date | None = None
    stops: str = ""


TOKEN_PATH: Final = "/oauth/token"  # noqa: S105 - a path, not a password
"""Path of the token endpoint, the same for every API version."""

ALL_SCOPES: Final = "sp:scopes:all"
"""The scope that has all others in it."""

ADMIN_LEVEL: Final = "ORG_ADMIN"
"""The user level (a token's authority) that may submit for everybody, revoke from everybody, and list it all.

Source: `x-sailpoint-userLevels` and the descriptions of `createAccessRequest` and `listAccessRequestStatus`. Other
users may request for themselves, for others where the tenant is configured so, and list their own requests only.
"""

CLIENT_AUTHORITY: Final = "API"
"""The authority of a token without a user, as an API client gets with client credentials: it may not submit."""

WHERE_TOKENS_ARE_MADE: Final = (
    "in the tenant under your user name: Preferences, then Personal Access Tokens, then New Token"
)
"""Source: the vendor's page "Managing Personal Access Tokens"."""

_SUPPORT_ENDS: Final = date(2028, 4, 1)
_STOPS: Final = "the first quarter of 2029"
"""Of beta, v3 and all v202X, by the vendor's page on API versioning."""

DIALECTS: Final[Mapping[str, Dialect]] = MappingProxyType(
    {
        "beta": Dialect(
            name="beta",
            submit_path="/beta/access-requests",
            status_path="/beta/access-request-status",
            # The later two stand in beta's documents since 2024.
            submit_scopes=(
                "idn:access-request:create",
                "idn:access-request:manage",
                "idn:access-request-self:manage",
            ),
            support_ends=_SUPPORT_ENDS,
            stops=_STOPS,
        ),
        **{
            version: Dialect(
                name=version,
                submit_path=f"/{version}/access-requests",
                status_path=f"/{version}/access-request-status",
                start_date=True,
                entitlement_remove_date=True,
                support_ends=_SUPPORT_ENDS,
                stops=_STOPS,
            )
            for version in ("v3", "v2024", "v2025", "v2026")
        },
        "v1": Dialect(
            name="v1",
            submit_path="/access-requests/v1",
            status_path="/access-request-status/v1",
            start_date=True,
            entitlement_remove_date=True,
        ),
    }
)
"""API versions by name. `beta` is the operation as documented in March 2024, the strictest of all; `startDate`, and
`removeDate` on entitlements, stand in the later documents."""


def dialect_named(name: str) -> Dialect:
    """The dialect that `--api` names.

    Raises:
        SettingsError: There is no such dialect.
    """
    try:
        return DIALECTS[name]
    except KeyError:
        known = ", ".join(DIALECTS)
        raise SettingsError(f"There is no API version {name!r}.", next_step=f"Choose --api from: {known}.") from None
