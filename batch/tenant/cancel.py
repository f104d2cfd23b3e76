"""Cancelling access requests. The tenant answers before it has cancelled, so only reading back shows the outcome.

Source: the operations `cancelAccessRequest` and `cancelAccessRequestInBulk` of the vendor's OpenAPI documents. The
first takes an `accountActivityId`: the `accessRequestId` of the status list, by its documents. Users report that live
tenants also accept the `accountActivityItemId` of a single row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batch.api.dialects import Dialect
    from batch.model import Answer
    from batch.tenant.reading import Reader

_SETTLING: Final = frozenset({200, 202, 204, 404, 405, 409, 422})


class CancelClient:
    """Cancels at one tenant in one dialect.

    Args:
        reader: Asks the tenant; cancelling twice has the effect of once.
        dialect: The API version.
    """

    def __init__(self, reader: Reader, dialect: Dialect) -> None:
        self._reader = reader
        self._paths = dialect.paths

    @property
    def in_bulk(self) -> bool:
        """Whether this API version can cancel in bulk."""
        return bool(self._paths.bulk_cancel)

    async def many(self, access_requests: Sequence[str], comment: str) -> Answer:
        """Asks to cancel whole access requests, at most dialects.CANCEL_LIMIT.

        Returns:
            A 2xx if the tenant takes the request, whatever it does then; anything else is a refusal.

        Raises:
            TenantLostError: No usable answer came for too long.
            CredentialsRefusedError: The tenant refuses the client.
        """
        body = {"accessRequestIds": list(access_requests), "comment": comment}
        return await self._ask(self._paths.bulk_cancel, body)

    async def one(self, account_activity: str, comment: str) -> Answer:
        """Asks to cancel one access request, or one row of it; as `many`."""
        return await self._ask(self._paths.cancel, {"accountActivityId": account_activity, "comment": comment})

    async def _ask(self, path: str, body: dict[str, Any]) -> Answer:
        reply = await self._reader.ask("POST", path, subject="cancellation", body=body, settling=_SETTLING)
        return reply.answer
