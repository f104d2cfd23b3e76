"""The API's words, limits and paths, with one dialect per API version.

Sources: the vendor's OpenAPI documents of each version (`createAccessRequest` and its neighbours) and its page on rate
limits. If documents and live tenants disagree, this module follows the stricter. No other module holds a limit or a
path as a literal.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from batch.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Operation(StrEnum):
    """What a change does: grant an access item, or revoke it."""

    GRANT = "GRANT"
    REVOKE = "REVOKE"


class ItemType(StrEnum):
    """The kinds of access item that a request may name."""

    ACCESS_PROFILE = "ACCESS_PROFILE"
    ROLE = "ROLE"
    ENTITLEMENT = "ENTITLEMENT"


REQUEST_TYPES: Final[Mapping[Operation, str]] = MappingProxyType(
    {Operation.GRANT: "GRANT_ACCESS", Operation.REVOKE: "REVOKE_ACCESS"}
)
"""The API's `requestType` of each operation."""

REQUEST_ID_KEY: Final = "accessBatchRequest"
"""Key in an item's `clientMetadata` for the id of our request; the status list returns it."""

ITEM_ID_KEY: Final = "accessBatchItem"
"""Key beside it for the item's id, because the status list's `id` is not the item's in later API versions."""

ATTEMPT_ID_KEY: Final = "accessBatchAttempt"
"""Key beside them for the id of the attempt: two of them for one change show that it was submitted twice."""

RESERVED_KEYS: Final = (REQUEST_ID_KEY, ITEM_ID_KEY, ATTEMPT_ID_KEY)
"""Keys of `clientMetadata` that are no user's."""

PAGE_LIMIT: Final = 250
"""Most rows of a collection's page, and the default."""

ROLES_PAGE_LIMIT: Final = 50
"""Most rows of a page of the list of roles, by the vendor's documents."""

SEARCH_VALUES: Final = 800
"""Most values in one search, by the vendor's description of the operation."""

ADDRESS_LIMIT: Final = 8_192
"""Most characters of a path and its query: a gateway answers 414 to more."""

EXPERIMENTAL_HEADER: Final = "X-SailPoint-Experimental"
"""Experimental endpoints, such as the administration list, require this header with the value `true`."""

FILTER_LIMIT: Final = 4_000
"""Most characters of a `filters` parameter, well below the length at which gateways answer 414."""

FILTER_VALUES: Final = 50
"""Most values in one filter, joined by OR or listed after IN."""

ENCODED_LIMIT: Final = 6_000
"""Most characters of a `filters` parameter once it is percent-encoded: gateways refuse addresses of about 8 KB."""

SEARCH_BYTES: Final = 60_000
"""Most bytes of a search's query. No limit is documented; no tenant is known to refuse a body of this size."""

SEARCH_WINDOW: Final = 10_000
"""Most rows of a search that paging can read. Source: the vendor's page on standard collection parameters."""

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
"""Fields of an `IdentityDocument` for each kind of name, without `.exact`, which would make the comparison
case-sensitive. Employee numbers are documented in the first field; live tenants report them in the second."""

ACCESS_FIELD: Final = "access"
"""Field of an `IdentityDocument` that lists the access items held, each with `id` and `type` (`ItemType`)."""

ACCESS_COUNT_FIELD: Final = "accessCount"
"""Field of an `IdentityDocument`: how many access items it should list."""

INDEX_LAG: Final = timedelta(hours=24)
"""How old the search index may be. It is reported to lag by hours, and no limit is documented."""

CANCEL_LIMIT: Final = 50
"""Most access requests in one bulk cancellation."""

IN_PROGRESS: Final = "EXECUTING"
"""The only value that the status list's parameter `request-state` accepts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Limits of one request.

    Attributes:
        recipients: Identities of one grant.
        items: Access items of one grant.
        revoke_items: Roles and access profiles of one revoke, which has exactly one identity.
        revoke_entitlements: Entitlements of one revoke, which then holds nothing else.
    """

    recipients: int = 10
    items: int = 25
    revoke_items: int = 25
    revoke_entitlements: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Rate:
    """At most `requests` calls in any window of `seconds`."""

    requests: int = 100
    seconds: float = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Paths:
    """The endpoints of one API version.

    Attributes:
        submit: Path of `POST …/access-requests`.
        status: Path of `GET …/access-request-status`.
        cancel: Path of `POST …/access-requests/cancel`, which cancels one access request.
        bulk_cancel: Path of `POST …/access-requests/bulk-cancel`; empty if this version has none.
        administration: Path of `GET …/access-request-administration`, of the whole tenant; empty if there is none.
        search: Path of `POST …/search`; beta has none and uses v3's.
        people: Path of `GET …/identities`, or of `GET …/public-identities` if this version has no other.
        roles: Path of `GET …/roles`.
        access_profiles: Path of `GET …/access-profiles`.
        entitlements: Path of `GET …/entitlements`; v3 has none and uses beta's.
        pending_approvals: Path of `GET …/access-request-approvals/pending`.
        access_request_config: Path of `GET …/access-request-config`.
        trigger_subscriptions: Path of `GET …/trigger-subscriptions`; v3 has none and uses beta's.
        accounts_selection: Path of `POST …/access-requests/accounts-selection`, which is experimental; empty if this
            version has none.
        role_assignments: Path of `GET …/identities/{identity}/role-assignments`; v3 has none and uses beta's.
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
    pending_approvals: str
    access_request_config: str
    trigger_subscriptions: str
    accounts_selection: str
    role_assignments: str

    @property
    def entitlement_config(self) -> str:
        """Path of `GET …/entitlements/{entitlement}/entitlement-request-config`."""
        return f"{self.entitlements}/{{entitlement}}/entitlement-request-config"


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialect:
    """One API version.

    Attributes:
        name: Its name in `--api`.
        paths: Its endpoints.
        nested: Whether a grant may list items per identity (`requestedForWithRequestedItems`) without `requestedFor`
            and `requestedItems`. Only v1's schema allows it.
        start_date: Whether a grant may carry `startDate`.
        entitlement_remove_date: Whether an entitlement may carry `removeDate`.
        revoke_account: Whether a revoke may name an account: `assignmentId` of a role, `nativeIdentity` of an
            entitlement. A grant names one by `accountSelection`, in the nested form only.
        forms: Whether a grant may carry `formInstanceId`.
        limits: Limits of one request.
        rate: The documented rate limit, per client id and API version.
        submit_scopes: Any one of these scopes lets a token submit; messages recommend the first.
        status_scopes: The same, to list statuses.
        administration_scopes: The same, to read the administration list.
        cancel_scopes: The same, to cancel one access request.
        bulk_cancel_scopes: The same, to cancel in bulk.
        search_scopes: The same, to search.
        people_scopes: The same, to list people.
        roles_scopes: The same, to list roles.
        access_profiles_scopes: The same, to list access profiles.
        entitlements_scopes: The same, to list entitlements.
        pending_approvals_scopes: The same, to list pending approvals.
        approvals_by_request: Whether the list of pending approvals can be filtered by access request.
        access_request_config_scopes: The same, to read the configuration of access requests.
        trigger_subscriptions_scopes: The same, to list the subscriptions to event triggers.
        role_assignments_scopes: The same, to list a person's roles with the ids of their assignments.
        accounts_selection_scopes: The same, to ask for the accounts that a request may choose from.
        people_filters: Fields that filter the list of people.
        support_ends: First day without the vendor's support; None if no end is announced.
        stops: When this version stops, in words; empty if no end is announced.
    """

    name: str
    paths: Paths
    nested: bool = False
    start_date: bool = False
    entitlement_remove_date: bool = False
    revoke_account: bool = False
    forms: bool = False
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
    pending_approvals_scopes: tuple[str, ...] = ("idn:access-request-approvals:read",)
    approvals_by_request: bool = True
    access_request_config_scopes: tuple[str, ...] = ("idn:access-request-config:read",)
    trigger_subscriptions_scopes: tuple[str, ...] = (
        "sp:trigger-service-subscriptions:read",
        "sp:trigger-service-subscriptions:manage",
    )
    role_assignments_scopes: tuple[str, ...] = ("idn:identity:read", "idn:identity:manage")
    accounts_selection_scopes: tuple[str, ...] = ("idn:access-request:create",)
    people_filters: tuple[str, ...] = ("alias", "email", "name")
    support_ends: date | None = None
    stops: str = ""


TOKEN_PATH: Final = "/oauth/token"  # noqa: S105 - a path, not a password
"""Path of the token endpoint, the same for every API version."""

ALL_SCOPES: Final = "sp:scopes:all"
"""The scope that includes all others."""

ADMIN_LEVEL: Final = "ORG_ADMIN"
"""The user level (an authority of the token) that may submit for, revoke from and list everybody.

Other users may request for themselves, for others only if the tenant's configuration allows it, and list only their own
requests. Source: `x-sailpoint-userLevels` and the descriptions of `createAccessRequest` and `listAccessRequestStatus`.
"""

CLIENT_AUTHORITY: Final = "API"
"""The authority of a token without a user, which an API client gets by client credentials. It may not submit."""

WHERE_TOKENS_ARE_MADE: Final = (
    "in the tenant under your user name: Preferences, then Personal Access Tokens, then New Token"
)
"""Source: the vendor's page "Managing Personal Access Tokens"."""


def _paths(version: str) -> Paths:
    """The paths of a version that has every endpoint under its own name."""
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
        pending_approvals=f"/{version}/access-request-approvals/pending",
        access_request_config=f"/{version}/access-request-config",
        trigger_subscriptions=f"/{version}/trigger-subscriptions",
        accounts_selection=f"/{version}/access-requests/accounts-selection",
        role_assignments=f"/{version}/identities/{{identity}}/role-assignments",
    )


_SUPPORT_ENDS: Final = date(2028, 4, 1)
_STOPS: Final = "the first quarter of 2029"
"""For beta, v3 and all v202X. Source: the vendor's page on API versioning."""


def _later(version: str, paths: Paths) -> Dialect:
    """A version after beta."""
    return Dialect(
        name=version,
        paths=paths,
        start_date=True,
        entitlement_remove_date=True,
        revoke_account=True,
        support_ends=_SUPPORT_ENDS,
        stops=_STOPS,
    )


DIALECTS: Final[Mapping[str, Dialect]] = MappingProxyType(
    {
        "beta": Dialect(
            name="beta",
            paths=replace(_paths("beta"), search="/v3/search", bulk_cancel="", accounts_selection=""),
            approvals_by_request=False,
            # Beta's documents list the other two since 2024.
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
                    trigger_subscriptions="/beta/trigger-subscriptions",
                    accounts_selection="",
                    role_assignments="/beta/identities/{identity}/role-assignments",
                ),
            ),
            # Public identities have names but no filter for them.
            people_scopes=("sp:scopes:default",),
            people_filters=("alias", "email"),
        ),
        **{
            version: replace(_later(version, _paths(version)), accounts_selection_scopes=("idn:access-request:manage",))
            for version in ("v2024", "v2025")
        },
        "v2026": _later("v2026", _paths("v2026")),
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
                pending_approvals="/access-request-approvals/v1/pending",
                # The vendor has deprecated /access-request-config/v1 in favour of it.
                access_request_config="/access-request-config/v2",
                trigger_subscriptions="/trigger-subscriptions/v1",
                accounts_selection="/access-requests/v1/accounts-selection",
                role_assignments="/identities/v1/{identity}/role-assignments",
            ),
            nested=True,
            start_date=True,
            entitlement_remove_date=True,
            revoke_account=True,
            forms=True,
        ),
    }
)
"""API versions by name. `beta` follows the document of March 2024, the strictest; only later ones have `startDate`, and
`removeDate` on entitlements."""


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
