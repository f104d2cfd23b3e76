"""Values of the tenant's status list: one row, and the tenant's last report on a change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class StatusRow:
    """One identity and one item of the tenant's status list. Values that the list lacks are empty.

    Attributes:
        identity: Id of the identity.
        item: The list's `id`: the item's, or in later API versions the request's.
        request_type: `GRANT_ACCESS` or `REVOKE_ACCESS`.
        created: By the tenant's clock; None if the list lacks it.
        metadata: Item-level clientMetadata; None if the list returns none.
        access_request: The tenant's own id of the access request.
        item_type: `ROLE`, `ACCESS_PROFILE` or `ENTITLEMENT`.
        item_name: The item's display name.
        state: The vendor's name of the state.
        requester: Name of the requester.
        who: Names of the approvers who decided or must decide, joined.
        said: The approver's comment, the reason for a cancellation, or error messages.
        since: When it entered the state, by the tenant's clock; None if the list lacks it.
        start_date: `startDate`, in RFC 3339.
        remove_date: `removeDate`, in RFC 3339.
        cancelable: Whether it can still be cancelled.
        activity: The tenant's id of this one row (`accountActivityItemId`), by which it is cancelled.
        accounts: Ids and native identities of the accounts that were chosen (`requestedAccounts`), in lower case. Empty
            if the list names none, which says nothing.
    """

    identity: str
    item: str
    request_type: str
    created: datetime | None
    metadata: Mapping[str, str] | None
    access_request: str = ""
    item_type: str = ""
    item_name: str = ""
    state: str = ""
    requester: str = ""
    who: str = ""
    said: str = ""
    since: datetime | None = None
    start_date: str = ""
    remove_date: str = ""
    cancelable: bool = False
    activity: str = ""
    accounts: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeStatus:
    """The tenant's last report on one change.

    Attributes:
        request: Number of its request.
        identity: Id of the identity.
        item_type: Kind of access item.
        item: Id of the item.
        state: The vendor's name of the state, or tenant_outcome.EXISTING.
        who: Names of the approvers who decided or must decide.
        said: Comment or error messages.
        since: When it entered the state, in ISO 8601; empty if not known.
        access_request: The tenant's own id of the access request.
    """

    request: int
    identity: str
    item_type: str
    item: str
    state: str
    who: str = ""
    said: str = ""
    since: str = ""
    access_request: str = ""
