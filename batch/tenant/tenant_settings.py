"""The tenant's configuration of access requests, and the event triggers that wait for an answer about them.

Sources: `getAccessRequestConfig` (its second version in v1), `listSubscriptions` and `listIdentities` of the vendor's
OpenAPI documents. A field that we do not understand is read as absent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from batch.api.dialects import PAGE_LIMIT
from batch.api.tenant_settings import WAITING_TRIGGERS, AccessRequestConfig, Subscription
from batch.tenant.paging import lost, page_of, pages, require_the_apis
from batch.tenant.reading import EXPERIMENTAL, ForbiddenError, RefusedError, quoted
from batch.text import key_of, on_one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batch.api.dialects import Dialect
    from batch.tenant.paging import Page
    from batch.tenant.reading import Reader, Reply

# Nothing depends on these answers: only another token and patience with a full tenant are worth a second call.
_ERRORS: Final = frozenset(range(400, 600)) - {401, 429}
_MOST_NAME: Final = 100
_CONFIG: Final = "configuration of access requests"
_SUBSCRIPTIONS: Final = "list of event trigger subscriptions"
_PEOPLE: Final = "list of identities"


class ShownSettings(Protocol):
    """Shows a tenant's settings: a tenant over HTTP, or a fake. A call raises what those of SettingsClient raise."""

    async def config(self) -> AccessRequestConfig:
        """The configuration of access requests."""

    async def subscriptions(self) -> tuple[Subscription, ...]:
        """The enabled subscribers that the tenant waits for."""

    async def name_of(self, identity: str) -> str:
        """The name of an identity; empty if the tenant does not show it."""


class SettingsClient:
    """Reads the settings of one tenant.

    Args:
        reader: Asks the tenant.
        dialect: The API version.
    """

    def __init__(self, reader: Reader, dialect: Dialect) -> None:
        self._reader = reader
        self._dialect = dialect

    async def config(self) -> AccessRequestConfig:
        """The configuration of access requests.

        Raises:
            ForbiddenError: The token may not read it.
            RefusedError: The tenant refuses for another reason.
            TenantLostError: It can't be read.
        """
        reply = await self._ask(self._dialect.paths.access_request_config, _CONFIG, {}, settling=_ERRORS | {200})
        if reply.refusal:
            raise (ForbiddenError if reply.answer.status == 403 else RefusedError)(reply.refusal)  # noqa: PLR2004 - HTTP
        if not isinstance(reply.document, dict):
            raise lost("answer", "is no JSON object")
        return read_config(reply.document)

    async def subscriptions(self) -> tuple[Subscription, ...]:
        """The enabled subscribers that the tenant waits for.

        Raises:
            ForbiddenError: The token may not list them.
            RefusedError: The tenant refuses for another reason.
            TenantLostError: They can't be read.
        """
        found: list[Subscription] = []
        for trigger in WAITING_TRIGGERS:
            rows = await self._rows(
                self._dialect.paths.trigger_subscriptions, _SUBSCRIPTIONS, f"triggerId eq {quoted(trigger)}"
            )
            found += [one for row in rows if (one := read_subscription(row)) and one.trigger == trigger]
        return tuple(found)

    async def name_of(self, identity: str) -> str:
        """The name of an identity; empty if the tenant does not show it.

        Raises:
            ForbiddenError: The token may not list identities.
            RefusedError: The tenant refuses for another reason.
            TenantLostError: They can't be read.
        """
        rows = await self._rows(self._dialect.paths.people, _PEOPLE, f"id eq {quoted(identity)}")
        return next(
            (
                name
                for row in rows
                if isinstance(row, dict)
                and key_of(str(row.get("id"))) == key_of(identity)
                and (name := _text(row.get("name")))
            ),
            "",
        )

    async def _rows(self, path: str, subject: str, filters: str) -> list[Any]:
        async def read_page(offset: int) -> Page[Any]:
            params = {"filters": filters, "limit": str(PAGE_LIMIT), **({"offset": str(offset)} if offset else {})}
            reply = await self._ask(path, subject, params, settling=_ERRORS)
            return page_of(reply, offset=offset, limit=PAGE_LIMIT)

        return [row async for page in pages(read_page, subject=subject) for row in page.rows]

    async def _ask(self, path: str, subject: str, params: Mapping[str, str], *, settling: frozenset[int]) -> Reply:
        reply = await self._reader.ask(
            "GET", path, subject=subject, params=params, headers=EXPERIMENTAL, settling=settling
        )
        require_the_apis(reply.answer, subject)
        return reply


def read_config(document: Mapping[str, Any]) -> AccessRequestConfig:
    """What a configuration says, in any version's shape."""
    others, entitlements = document.get("requestOnBehalfOfConfig"), document.get("entitlementRequestConfig")
    return AccessRequestConfig(
        for_anyone=_flag(others, "allowRequestOnBehalfOfAnyoneByAnyone"),
        for_reports=_flag(others, "allowRequestOnBehalfOfEmployeeByManager"),
        external_approvals=_flag(document, "approvalsMustBeExternal"),
        auto_approval=_flag(document, "autoApprovalEnabled"),
        reauthorization=_flag(document, "reauthorizationEnabled"),
        entitlements=_flag(entitlements, "allowEntitlementRequest"),
    )


def read_subscription(row: object) -> Subscription | None:
    """A subscription; None if it is not certainly enabled, or does not name its trigger."""
    if not isinstance(row, dict) or row.get("enabled") is not True or not _text(row.get("triggerId")):
        return None
    return Subscription(
        trigger=_text(row["triggerId"]), name=_text(row.get("name")), filtered=bool(_text(row.get("filter")))
    )


def _flag(document: object, name: str) -> bool | None:
    value = document.get(name) if isinstance(document, dict) else None
    return value if isinstance(value, bool) else None


def _text(value: object) -> str:
    return on_one_line(value[: 4 * _MOST_NAME], most=_MOST_NAME) if isinstance(value, str) else ""
