"""The values that pass between modules: frozen, keyword-only, without behaviour of their own.

Tables of many rows travel as polars frames; the module that makes one describes its columns.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from batch.text import RequestId

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from batch.api.dialects import ItemType, Operation


@dataclass(frozen=True, kw_only=True, slots=True)
class Clock:
    """The time, passed to everything that needs it.

    Attributes:
        now: The wall clock, in UTC; it may be set forward or back at any moment. For dates, never for durations.
        monotonic: Seconds that only grow, also while the machine sleeps, for durations.
        boot: Names what `monotonic` counts from: clocks of the same boot agree, in any process. Empty if unknown.
    """

    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    boot: str = ""

    def epoch(self) -> float:
        """The wall clock, in seconds since 1970."""
        return self.now().timestamp()


class RowClass(StrEnum):
    """What becomes of a row. Every row ends in exactly one class. The names are those of the JSON output."""

    REJECTED = "rejected"
    DUPLICATE_IN_INPUT = "duplicate_in_input"
    CONFLICT_IN_INPUT = "conflict_in_input"
    ALREADY_SUBMITTED = "already_submitted"
    ALREADY_HELD = "already_held"
    NOT_HELD = "not_held"
    HELD_BACK = "held_back"
    SUBMITTED = "submitted"


class Effort(StrEnum):
    """How hard the planner looks for fewer requests, in rounds of work, so that plans are repeatable."""

    FAST = "fast"
    NORMAL = "normal"
    THOROUGH = "thorough"


class IdentityBy(StrEnum):
    """What a name in the column `identity` is. For `auto`: an alias, an e-mail, an employee number or a name."""

    AUTO = "auto"
    """An id is known by its shape."""
    ALIAS = "alias"
    EMAIL = "email"
    EMPLOYEE_NUMBER = "employee_number"
    NAME = "name"
    """The display name."""
    ID = "id"
    """An id, whatever the column is called."""


class CheckTenant(StrEnum):
    """Whether a precheck asks the tenant which changes are in progress or held already.

    If the tenant does not permit it, `auto` goes on with a notice, and with `always` nothing is sent.
    """

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestItem:
    """One access item as a request names it.

    Attributes:
        type: Kind of access item.
        id: The tenant's id.
        comment: For the approver and the auditor; empty for none.
        start_date: RFC 3339 in UTC with `Z`; empty for none.
        remove_date: RFC 3339 in UTC with `Z`, empty for none, or api.end_dates.NO_END.
        metadata: The user's own item-level clientMetadata.
        account: Key of the chosen account, if its person has several on the item's source; empty for none.
        selection: The fields by which a body names that account, as a JSON object; empty for none.
    """

    type: ItemType
    id: str
    comment: str = ""
    start_date: str = ""
    remove_date: str = ""
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    account: str = ""
    selection: str = ""


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
        within: Number of the request in whose body it travels; None if it has a body of its own.
        tag: The random part of its id; empty if it was planned before there were any.
        metadata: The run's request-level clientMetadata.
    """

    number: int
    run: str
    operation: Operation
    recipients: tuple[str, ...]
    items: tuple[RequestItem, ...]
    attempts: int = 0
    parent: int | None = None
    within: int | None = None
    tag: str = ""
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def id(self) -> str:
        """The id that travels in each item's clientMetadata. It is unique over all ledgers and their backups."""
        return str(RequestId(self.run, self.number, self.tag))

    @property
    def changes(self) -> int:
        """How many changes it asks for."""
        return len(self.recipients) * len(self.items)


class Failure(StrEnum):
    """How an attempt can fail without an answer."""

    NEVER_CONNECTED = "never_connected"
    """No connection was made, so nothing left."""
    UNTRUSTED = "untrusted"
    """The server could not prove to be the tenant, so nothing left. Trying again changes nothing."""
    BROKEN = "broken"
    """The connection broke, or the time ran out, after bytes may have left."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Existing:
    """A change that the answer to a submit lists as already requested; `access_request` is empty if it names none."""

    identity: str
    item_type: str
    item: str
    access_request: str = ""


class Form(StrEnum):
    """What the body of an answer looks like."""

    API = "api"
    """A JSON object with the fields that the vendor documents for this status: the API itself has answered."""
    PAGE = "page"
    """A web page: something in front of the API has answered."""
    OTHER = "other"
    """Anything else, such as nothing, or another JSON document."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What came back from one attempt: a status, or a failure to get one.

    Attributes:
        status: HTTP status; None when no answer came.
        failure: Why no answer came; None when one did.
        retry_after: Seconds that the tenant asks to wait.
        detail_code: The API's `detailCode`.
        tracking_id: The API's `trackingId`, which the vendor's support asks for; the id that a firewall's page shows.
        text: The message of the tenant or of the transport, shortened.
        server_time: The answer's `Date` header.
        form: What its body looks like.
        existing: Changes of an accepted request that the tenant lists as already requested.
    """

    status: int | None = None
    failure: Failure | None = None
    retry_after: float | None = None
    detail_code: str = ""
    tracking_id: str = ""
    text: str = ""
    server_time: datetime | None = None
    form: Form = Form.OTHER
    existing: tuple[Existing, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A part of a request, by positions in its recipients and items.

    Attributes:
        recipients: Positions of its recipients.
        items: Positions of its items.
        arrived: Whether the tenant is known to have it.
        held: Whether the tenant created nothing for it, since it is held already.
    """

    recipients: tuple[int, ...]
    items: tuple[int, ...]
    arrived: bool = False
    held: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Doubt:
    """A request that may or may not have arrived.

    Attributes:
        request: As it stands in the ledger.
        first_attempt: When it was first sent, by our clock.
        ended: When the latest attempt ended undecided, by our clock; if its process died, when that was noticed.
        sent: The id that was sent with it, if that is not its own: another request's that it is a part of.
        attempt: What stands for the body that was sent, see `Sent.body`; empty for an attempt of an older ledger.
        claimed: The place of its claim among all claims of the ledger; 0 for a request of an older ledger.
        arrived: Whether something of the same body is known to have arrived.
        tenant_before: The tenant's clock at some time before the first attempt, if it is known.
        tenant_time: The tenant's clock at some time after the latest attempt had ended, once it is known.
        fence: When the token of the latest attempt expires, if the process that made it may still live.
        ripe: How many claims the ledger had when the request could arrive no more; None until then.
    """

    request: Request
    first_attempt: datetime
    ended: datetime
    sent: str = ""
    attempt: str = ""
    claimed: int = 0
    arrived: bool = False
    tenant_before: datetime | None = None
    tenant_time: datetime | None = None
    fence: datetime | None = None
    ripe: int | None = None

    @property
    def sent_id(self) -> str:
        """The request's id in the rows of the tenant's list."""
        return self.sent or self.request.id

    @property
    def body(self) -> str:
        """Equal for the requests of one body."""
        return self.attempt or (f"claim {self.claimed}" if self.claimed else f"request {self.request.number}")


IMPORT: Final = "import"
"""In place of an input's digest, or its beginning: the run holds imported changes."""

IMPORTED_INPUT: Final = "(imported)"
"""In place of the inputs' names of such a run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StatusGroup:
    """Changes with the same report of the tenant.

    Attributes:
        state: The vendor's name of the state, or tenant_outcome.EXISTING.
        who: Names of the approvers who decided or must decide.
        said: Comment or error messages.
        since: When the first of them entered the state, in ISO 8601; empty if not known.
        changes: How many.
    """

    state: str
    who: str = ""
    said: str = ""
    since: str = ""
    changes: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackSummary:
    """The tenant's last reports on a run's accepted changes. A change submitted again counts once, as its newest.

    Attributes:
        reported: Changes that the tenant has reported on.
        silent: How many changes it has not reported on yet.
        submitted_twice: How many changes it lists with the ids of several attempts, as far as this process has seen.
        requested_since: How many rejected, cancelled or failed ones another run has requested since, likewise.
        looked_at: When the tenant's list was last searched for all of them, as the ledger writes instants; or empty.
    """

    reported: tuple[StatusGroup, ...]
    silent: int
    submitted_twice: int = 0
    requested_since: int = 0
    looked_at: str = ""

    @property
    def known(self) -> bool:
        """Whether the tenant has reported on any change, or its list was searched."""
        return bool(self.reported or self.looked_at)


HEAD_DIGITS: Final = 16
"""Digits of a hash that are shown: nobody finds another chain of events with the same 64 bits in time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """The newest event of a run in a ledger.

    Attributes:
        run: The run's id.
        number: The event's number in the run.
        hash: Its hash, which covers all events before.
        sent: The highest number of a request of the run that was ever claimed and is no part of another; 0 if unknown.
    """

    run: str
    number: int
    hash: str
    sent: int = 0

    @property
    def short(self) -> str:
        """Number and the beginning of the hash, as `ledger verify --head` takes it; empty without an event."""
        return f"{self.number}:{self.hash[:HEAD_DIGITS]}" if self.number else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One input submitted to one tenant.

    Attributes:
        id: Short, unique over all ledgers; typed on the command line and sent in clientMetadata.
        tenant: The tenant's origin, or `sandbox`.
        input_digest: Identifies the input, see validate.digest; in older runs, the SHA-256 of its bytes.
        inputs: The inputs' names as given the first time.
        dialect: Name of the API version that the requests were planned for.
        started_at: When it was first planned. Dates in the input are judged by this moment.
        lower_bound: No plan of its changes can have fewer requests.
        metadata: The request-level clientMetadata of all its requests.
    """

    id: str
    tenant: str
    input_digest: str
    inputs: tuple[str, ...]
    dialect: str
    started_at: datetime
    lower_bound: int = 0
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def imported(self) -> bool:
        """Whether it holds changes that were imported from the tenant's status list. Nothing of it is ever sent."""
        return self.input_digest.startswith(IMPORT)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """How far a run has come, over all its processes.

    Attributes:
        requests: Requests by state. Those that share a body and a state count as one.
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
"""The tally of a run that has not begun."""
