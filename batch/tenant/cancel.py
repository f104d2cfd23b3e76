"""Cancelling access requests at the tenant, which answers before it has done so: reading back shows what was done.

Source: the operations `cancelAccessRequest` and `cancelAccessRequestInBulk` of the vendor's OpenAPI documents. The
first one takes an `accountActivityId`; the documents of the status list call its `accessRequestId` that, and live
tenants are said to take the `accountActivityItemId` of a single row, too.
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
        reader: Asks the tenant; cancelling twice is as good as once.
        dialect: The API version.
    """

    def __init__(self, reader: Reader, dialect: Dialect) -> None:
        self._reader = reader
        self._paths = dialect.paths

    @property
    def in_bulk(self) -> bool:
        """Whether this API version cancels many at a time."""
        return bool(self._paths.bulk_cancel)

    async def many(self, access_requests: Sequence[str], comment: str) -> Answer:
        """Asks for the cancellation of whole access requests, at most dialects.CANCEL_LIMIT.

        Returns:
            2xx for asked, whatever is done then; any other is a refusal.

        Raises:
            TenantLostError: No usable answer came for too long.
            CredentialsRefusedError: The tenant refuses the client.
        """
        body = {"accessRequestIds": list(access_requests), "comment": comment}
        return await self._ask(self._paths.bulk_cancel, body)

    async def one(self, account_activity: str, comment: str) -> Answer:
        """Asks for the cancellation of one access request, or of one row of it; as `many`."""
        return await self._ask(self._paths.cancel, {"accountActivityId": account_activity, "comment": comment})

    async def _ask(self, path: str, body: dict[str, Any]) -> Answer:
        reply = await self._reader.ask("POST", path, subject="cancellation", body=body, settling=_SETTLING)
        return reply.answer
