"""Every fact about the API, one row per API version: paths, limits, allowed fields.

Sources: the vendor's published OpenAPI documents of the API versions (operation `createAccessRequest` and its
neighbours), and for the rate limit the vendor's page on rate limits. Where documents and live tenants disagree, the
stricter reading stands here. No other module holds a limit, a path or a field name as a literal.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
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

ROLES_PAGE_LIMIT: Final = 50
"""The same for the list of roles, of which the vendor's documents allow fewer."""

SEARCH_VALUES: Final = 800
"""Values that one search may ask for, by the vendor's description of it."""

ADDRESS_LIMIT: Final = 8_192
"""Characters of a path and its query beyond which a gateway answers 414."""

EXPERIMENTAL_HEADER: Final = "X-SailPoint-Experimental"
"""Header with the value `true` that the administration list wants."""

FILTER_LIMIT: Final = 4_000
"""Characters of one `filters` parameter: longer ones come near the length at which addresses are refused (414)."""

FILTER_VALUES: Final = 50
"""Values that one filter asks for, as a chain of OR or as a list of IN."""

ENCODED_LIMIT: Final = 6_000
"""Characters of one `filters` parameter as it stands in the address, where most others become three: addresses of
about 8 KB are refused."""

SEARCH_BYTES: Final = 60_000
"""Bytes of one search's query: no limit is documented, and a body of this size is nowhere refused."""

SEARCH_WINDOW: Final = 10_000
"""Rows of one search that can be read page by page. Source: the vendor's page on standard collection parameters."""

PEOPLE_INDEX: Final = "identities"
"""The search index of identities."""

SEARCH_FIELDS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "alias": ("name",),
        "email": ("email",),
        "employee_number": ("employeeNumber", "attributes.employeeNumber"),
        "name": ("displayName",),
    }
)
"""Fields of an `IdentityDocument` that hold what identities are named by. With `.exact` they would be compared with
regard to case. An employee number is documented in one place and reported from another."""

ACCESS_FIELD: Final = "access"
"""Where a document of that index lists what somebody holds, each with `id` and `type` (`ItemType`)."""

CANCEL_LIMIT: Final = 50
"""Access requests that one call of the bulk cancellation may name."""


class TenantOutcome(StrEnum):
    """What a change has come to at the tenant, as far as anything depends on it."""

    OPEN = "open"
    """It may still end in any way: it waits for an approver or a connector."""
    PROVISIONED = "provisioned"
    """Done."""
    REJECTED = "rejected"
    """An approver said no."""
    CANCELLED = "cancelled"
    """Somebody withdrew it."""
    DUPLICATE = "duplicate"
    """The tenant cancelled it because the same was held or requested already."""
    FAILED = "failed"
    """It was approved, and could not be carried out, or not in full."""


EXISTING: Final = "EXISTING_REQUEST"
"""Our own word beside the vendor's states: the answer to a submit listed it under `existingRequests`."""

EXISTING_SAID: Final = "the tenant answered that this was requested already"
"""Begins what is said of such a change, also once its state is known."""

TENANT_OUTCOMES: Final[Mapping[str, TenantOutcome]] = MappingProxyType(
    {
        EXISTING: TenantOutcome.OPEN,
        "EXECUTING": TenantOutcome.OPEN,
        "PROVISIONING_VERIFICATION_PENDING": TenantOutcome.OPEN,
        "REQUEST_COMPLETED": TenantOutcome.PROVISIONED,
        "REJECTED": TenantOutcome.REJECTED,
        "CANCELLED": TenantOutcome.CANCELLED,
        "TERMINATED": TenantOutcome.FAILED,
        "PROVISIONING_FAILED": TenantOutcome.FAILED,
        "NOT_ALL_ITEMS_PROVISIONED": TenantOutcome.FAILED,
        "ERROR": TenantOutcome.FAILED,
    }
)
"""The `state` of the status list (`RequestedItemStatusRequestState`). A value that does not stand here is taken as
open, since new ones may appear at any time."""

DUPLICATE: Final = "duplicate"
"""The word by which the comment of a cancellation says that it was the tenant's own."""

PARTLY_PROVISIONED: Final = "NOT_ALL_ITEMS_PROVISIONED"
"""The failure that may have granted something."""

IN_PROGRESS: Final = "EXECUTING"
"""What `request-state` asks the status list for: the one value it takes."""


def tenant_outcome(state: str, said: str = "") -> TenantOutcome:
    """What a state of the status list amounts to.

    Args:
        state: The vendor's name of it.
        said: The comment beside it: a cancellation that speaks of a duplicate was the tenant's own.
    """
    found = TENANT_OUTCOMES.get(state, TenantOutcome.OPEN)
    return TenantOutcome.DUPLICATE if found is TenantOutcome.CANCELLED and DUPLICATE in said.lower() else found


def is_existing(state: str, said: str) -> bool:
    """Whether what is known of a change is known of a request that was there before ours, which created nothing."""
    return state == EXISTING or said.startswith(EXISTING_SAID)


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
class Paths:
    """Where the endpoints of one API version are.

    Attributes:
        submit: Path of `POST …/access-requests`.
        status: Path of `GET …/access-request-status`.
        cancel: Path of `POST …/access-requests/cancel`, for one at a time.
        bulk_cancel: Path of `POST …/access-requests/bulk-cancel`; empty where this version has none.
        administration: Path of `GET …/access-request-administration`, everybody's; empty where there is none.
        search: Path of `POST …/search`. Beta has none of its own, and asks v3's.
        people: Path of `GET …/identities`; of `GET …/public-identities` where this version has no other.
        roles: Path of `GET …/roles`.
        access_profiles: Path of `GET …/access-profiles`.
        entitlements: Path of `GET …/entitlements`. v3 has none of its own, and asks beta's.
    """

    submit: str
    status: str
    cancel: str
    bulk_cancel: str
    administration: str
    search: str
    people: str
    roles: str
    access_profiles: str
    entitlements: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialect:
    """One API version.

    Attributes:
        name: What `--api` calls it.
        paths: Where its endpoints are.
        nested: Whether a grant may give each identity its own items (`requestedForWithRequestedItems`) instead of
            `requestedFor` and `requestedItems`: by its schema, only v1.
        start_date: Whether a grant may carry `startDate`.
        entitlement_remove_date: Whether an entitlement may carry `removeDate`.
        limits: What one request may hold.
        rate: The documented rate limit, per client id and API version.
        submit_scopes: Scopes of which any one lets a token submit; the first is the one to ask for.
        status_scopes: The same for the status list.
        administration_scopes: The same for the administration list.
        cancel_scopes: The same for cancelling one at a time.
        bulk_cancel_scopes: The same for cancelling in bulk.
        search_scopes: The same for searching.
        people_scopes: The same for the list of people.
        roles_scopes: The same for the list of roles.
        access_profiles_scopes: The same for the list of access profiles.
        entitlements_scopes: The same for the list of entitlements.
        people_filters: Fields by which identities can be listed.
        support_ends: The day from which this version has no support, where its end is announced.
        stops: When it stops, in words; empty where no end is announced.
    """

    name: str
    paths: Paths
    nested: bool = False
    start_date: bool = False
    entitlement_remove_date: bool = False
    limits: Limits = field(default_factory=Limits)
    rate: Rate = field(default_factory=Rate)
    submit_scopes: tuple[str, ...] = ("idn:access-request:manage", "idn:access-request-self:manage")
    status_scopes: tuple[str, ...] = ("idn:access-request-status:read",)
    administration_scopes: tuple[str, ...] = ("idn:access-request-administration:read",)
    cancel_scopes: tuple[str, ...] = ("idn:access-request:manage",)
    bulk_cancel_scopes: tuple[str, ...] = ("idn:access-request-administration:manage",)
    search_scopes: tuple[str, ...] = ("sp:search:read",)
    people_scopes: tuple[str, ...] = ("idn:identity:read", "idn:identity:manage")
    roles_scopes: tuple[str, ...] = (
        "idn:role-unchecked:read",
        "idn:role-checked:read",
        "idn:role-unchecked:manage",
        "idn:role-checked:manage",
    )
    access_profiles_scopes: tuple[str, ...] = ("idn:access-profile:read",)
    entitlements_scopes: tuple[str, ...] = ("idn:entitlement:read", "idn:entitlement:manage")
    people_filters: tuple[str, ...] = ("alias", "email", "name")
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


def _paths(version: str) -> Paths:
    """The paths of a version whose paths begin with its name, where it has all of them."""
    return Paths(
        submit=f"/{version}/access-requests",
        status=f"/{version}/access-request-status",
        cancel=f"/{version}/access-requests/cancel",
        bulk_cancel=f"/{version}/access-requests/bulk-cancel",
        administration=f"/{version}/access-request-administration",
        search=f"/{version}/search",
        people=f"/{version}/identities",
        roles=f"/{version}/roles",
        access_profiles=f"/{version}/access-profiles",
        entitlements=f"/{version}/entitlements",
    )


_SUPPORT_ENDS: Final = date(2028, 4, 1)
_STOPS: Final = "the first quarter of 2029"
"""Of beta, v3 and all v202X, by the vendor's page on API versioning."""


def _later(version: str, paths: Paths) -> Dialect:
    """One of the versions after beta whose paths begin with their name."""
    return Dialect(
        name=version,
        paths=paths,
        start_date=True,
        entitlement_remove_date=True,
        support_ends=_SUPPORT_ENDS,
        stops=_STOPS,
    )


DIALECTS: Final[Mapping[str, Dialect]] = MappingProxyType(
    {
        "beta": Dialect(
            name="beta",
            paths=replace(_paths("beta"), search="/v3/search", bulk_cancel=""),
            # The later two stand in beta's documents since 2024.
            submit_scopes=(
                "idn:access-request:create",
                "idn:access-request:manage",
                "idn:access-request-self:manage",
            ),
            support_ends=_SUPPORT_ENDS,
            stops=_STOPS,
        ),
        "v3": replace(
            _later(
                "v3",
                replace(
                    _paths("v3"),
                    bulk_cancel="",
                    administration="",
                    people="/v3/public-identities",
                    entitlements="/beta/entitlements",
                ),
            ),
            # The public identities have names, and no filter for them.
            people_scopes=("sp:scopes:default",),
            people_filters=("alias", "email"),
        ),
        **{version: _later(version, _paths(version)) for version in ("v2024", "v2025", "v2026")},
        "v1": Dialect(
            name="v1",
            paths=Paths(
                submit="/access-requests/v1",
                status="/access-request-status/v1",
                cancel="/access-requests/v1/cancel",
                bulk_cancel="/access-requests/v1/bulk-cancel",
                administration="/access-request-administration/v1",
                search="/search/v1",
                people="/identities/v1",
                roles="/roles/v1",
                access_profiles="/access-profiles/v1",
                entitlements="/entitlements/v1",
            ),
            nested=True,
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
