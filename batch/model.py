"""The values that pass between modules: frozen, keyword-only, without behaviour of their own.

Tables of many rows travel as polars frames; their columns are described where they are made.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from batch.api.dialects import ItemType, Operation


@dataclass(frozen=True, kw_only=True, slots=True)
class Clock:
    """The time, passed to everything that needs it.

    Attributes:
        now: The wall clock, in UTC; it may be set forward or back at any moment.
        monotonic: Seconds that only grow, for durations.
    """

    now: Callable[[], datetime]
    monotonic: Callable[[], float]

    def epoch(self) -> float:
        """The wall clock, in seconds since 1970."""
        return self.now().timestamp()


class RowClass(StrEnum):
    """What becomes of a row; every row read ends in exactly one. The names are those of the JSON output."""

    REJECTED = "rejected"
    DUPLICATE_IN_INPUT = "duplicate_in_input"
    CONFLICT_IN_INPUT = "conflict_in_input"
    ALREADY_SUBMITTED = "already_submitted"
    ALREADY_HELD = "already_held"
    HELD_BACK = "held_back"
    SUBMITTED = "submitted"


class Effort(StrEnum):
    """How hard the planner looks for fewer requests: in rounds of work, so that plans are repeatable."""

    FAST = "fast"
    NORMAL = "normal"
    THOROUGH = "thorough"


class IdentityBy(StrEnum):
    """What a name in the column `identity` is."""

    AUTO = "auto"
    """Any of the following but an id, which is known by its shape."""
    ALIAS = "alias"
    EMAIL = "email"
    EMPLOYEE_NUMBER = "employee_number"
    NAME = "name"
    """The display name."""
    ID = "id"
    """An id, whatever the column is called."""


class CheckTenant(StrEnum):
    """Whether the tenant is asked, before anything is planned, what is in progress and held already."""

    AUTO = "auto"
    """Where it lets us: where not, that is said and everything goes on."""
    ALWAYS = "always"
    """Where it does not let us, nothing is sent."""
    NEVER = "never"


@dataclass(frozen=True, kw_only=True, slots=True)
class PrecheckResult:
    """What came of asking the tenant before planning.

    Attributes:
        calls: Calls that this process made for it.
        in_progress: Changes that are set aside because of what is in progress there; None where that is not known.
        held: Changes that are set aside because they are held; likewise, and None where only revokes or grants with
            dates are wanted, which nobody asks that about.
        age: Seconds since the oldest answer that counted; None where the answers were an earlier process's.
        unclear: Rows in progress that may or may not be of wanted items.
    """

    calls: int
    in_progress: int | None
    held: int | None
    age: float | None
    unclear: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestItem:
    """One access item as a request names it.

    Attributes:
        type: Kind of access item.
        id: The tenant's id of it.
        comment: For the approver and the auditor; empty for none.
        start_date: RFC 3339 in UTC with `Z`; empty for none.
        remove_date: Likewise.
        metadata: The user's own item-level clientMetadata.
    """

    type: ItemType
    id: str
    comment: str = ""
    start_date: str = ""
    remove_date: str = ""
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """Every recipient gets (or loses) every item: one API body, or in the nested form a part of one.

    Attributes:
        number: The request's number in the ledger.
        run: Id of the run it belongs to.
        operation: Grant or revoke.
        recipients: Identity ids.
        items: Access items.
        attempts: How often it has been sent so far, this attempt included.
        parent: Number of the refused request that it is a part of, if it is one.
        within: Number of the request in whose body it travels, where it does not travel in its own.
    """

    number: int
    run: str
    operation: Operation
    recipients: tuple[str, ...]
    items: tuple[RequestItem, ...]
    attempts: int = 0
    parent: int | None = None
    within: int | None = None

    @property
    def id(self) -> str:
        """The id that travels in each item's clientMetadata: unique over all ledgers, since a run's id is."""
        return f"{self.run}-{self.number}"

    @property
    def changes(self) -> int:
        """How many changes it asks for."""
        return len(self.recipients) * len(self.items)


class Failure(StrEnum):
    """How an attempt can fail without an answer."""

    NEVER_CONNECTED = "never_connected"
    """No connection was made, so nothing left."""
    UNTRUSTED = "untrusted"
    """Who answered could not prove to be the tenant, so nothing left; trying again would change nothing."""
    BROKEN = "broken"
    """The connection broke, or the time ran out, after bytes may have left."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Existing:
    """A change that the answer to a submit lists as requested already.

    Attributes:
        identity: Id of the identity.
        item_type: Kind of access item.
        item: Id of the item.
        access_request: The tenant's id of the access request that has it; empty where it names none.
    """

    identity: str
    item_type: str
    item: str
    access_request: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What came back from one attempt: a status, or a failure to get one.

    Attributes:
        status: HTTP status; None when no answer came.
        failure: Why no answer came; None when one did.
        retry_after: Seconds the tenant asks to wait, where it does.
        detail_code: The API's `detailCode`, where there is one.
        tracking_id: The API's `trackingId`: the vendor's support asks for it.
        text: The tenant's message, or the transport's, shortened.
        server_time: The answer's `Date` header.
        readable: Whether the body was empty or a JSON object, as the API's are: a gateway's page is neither.
        existing: What the tenant says was requested already, where it has accepted a request.
    """

    status: int | None = None
    failure: Failure | None = None
    retry_after: float | None = None
    detail_code: str = ""
    tracking_id: str = ""
    text: str = ""
    server_time: datetime | None = None
    readable: bool = True
    existing: tuple[Existing, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A part of a request, by positions in its recipients and items.

    Attributes:
        recipients: Positions of recipients.
        items: Positions of items.
        arrived: Whether the tenant is known to have it already.
    """

    recipients: tuple[int, ...]
    items: tuple[int, ...]
    arrived: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Doubt:
    """A request of which nobody knows whether it arrived.

    Attributes:
        request: As it was sent.
        first_attempt: When it was first sent, by our clock.
        ended: When the latest attempt ended without an answer that decides; where its process died, when that was seen.
    """

    request: Request
    first_attempt: datetime
    ended: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class StatusRow:
    """One identity and one item of the tenant's status list; what the list does not say is empty.

    Attributes:
        identity: Id of the identity that it is for.
        item: The list's `id`: the item's, or in later API versions the request's.
        request_type: `GRANT_ACCESS` or `REVOKE_ACCESS`.
        created: By the tenant's clock; None where it does not say.
        metadata: Item-level clientMetadata; None where the list does not return any.
        access_request: The tenant's own id of the access request.
        item_type: `ROLE`, `ACCESS_PROFILE` or `ENTITLEMENT`.
        item_name: The item's display name.
        state: The vendor's name of the state.
        requester: Name of who requested it.
        who: Who decided, or on whom it waits: approvers' names, joined.
        said: The approver's comment, the reason of a cancellation, or error messages.
        since: Since when it is so, by the tenant's clock; None where it does not say.
        start_date: `startDate`, in RFC 3339.
        remove_date: `removeDate`, in RFC 3339.
        cancelable: Whether it can still be withdrawn.
        activity: The tenant's id of this one row (`accountActivityItemId`), by which it is withdrawn.
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


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeStatus:
    """What the tenant last said of one change.

    Attributes:
        request: Number of the request that it is part of.
        identity: Id of the identity.
        item_type: Kind of access item.
        item: Id of the item.
        state: The vendor's name of the state, or tenant_outcome.EXISTING.
        who: Who decided, or on whom it waits.
        said: Comment or error messages.
        since: Since when it is so, in ISO 8601; empty where the tenant does not say.
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


IMPORT: Final = "import"
"""What stands in place of an input's digest for what was imported from the tenant's status list."""

IMPORTED_INPUT: Final = "(imported)"
"""What stands in place of the inputs' names for it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StatusGroup:
    """Changes of which the tenant says the same.

    Attributes:
        state: The vendor's name of the state, or tenant_outcome.EXISTING.
        who: Who decided, or on whom it waits.
        said: Comment or error messages.
        since: Since when the first of them is so, in ISO 8601; empty where the tenant does not say.
        changes: How many.
    """

    state: str
    who: str = ""
    said: str = ""
    since: str = ""
    changes: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackSummary:
    """What the tenant last said of the accepted changes of a run; of one that was submitted again, of the newest.

    Attributes:
        told: The changes of which it has said something.
        silent: How many there are of which it has said nothing yet.
    """

    told: tuple[StatusGroup, ...]
    silent: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One input submitted to one tenant.

    Attributes:
        id: Short, unique over all ledgers; typed on the command line and sent in clientMetadata.
        tenant: The tenant's origin, or `sandbox`.
        input_digest: SHA-256 of the inputs' content.
        inputs: The inputs' names as given the first time.
        dialect: Name of the API version that the requests were planned for.
        started_at: When it was first planned; dates in the input were judged by this moment.
        lower_bound: A number of requests below which no plan of its changes can go.
    """

    id: str
    tenant: str
    input_digest: str
    inputs: tuple[str, ...]
    dialect: str
    started_at: datetime
    lower_bound: int = 0

    @property
    def imported(self) -> bool:
        """Whether it is no run of ours, but what the tenant had before: nothing of it was or will be sent."""
        return self.input_digest == IMPORT


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """How far a run has come, over all its processes.

    Attributes:
        requests: Bodies by state: requests, of which those that travel in one body count as one in each state.
        changes: Changes by the state of their request.
        grants: Grants among the changes not yet sent.
        revokes: Revokes among them.
        posts: Attempts made.
        throttled: Attempts answered 429.
        retried: Attempts beyond a request's first.
    """

    requests: Mapping[str, int]
    changes: Mapping[str, int]
    grants: int
    revokes: int
    posts: int
    throttled: int
    retried: int


EMPTY_TALLY: Final = Tally(
    requests=MappingProxyType({}), changes=MappingProxyType({}), grants=0, revokes=0, posts=0, throttled=0, retried=0
)
"""Of a run that has not begun."""
