"""What happens while a run is sent or tracked: one frozen event type, and the function type that takes it.

The loops and the tenant client report events. The screen, the log file and the commands consume them. A consumer
returns at once; it may raise to end the work that reports.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from batch.answers.outcome import Decision
    from batch.api.status_row import ChangeStatus
    from batch.model import Answer, Request


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptStarted:
    """A request is SENDING in the ledger and about to leave."""

    request: Request


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptEnded:
    """An attempt has ended, and its outcome is in the ledger.

    Attributes:
        request: As it was sent.
        answer: What came back.
        decision: What that means.
        seconds: How long the attempt took.
        parts: How many requests take over from a refused one.
    """

    request: Request
    answer: Answer
    decision: Decision
    seconds: float
    parts: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Settled:
    """An unconfirmed request is settled; the verdict is a status.evidence.Settlement."""

    request: Request
    verdict: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TakenApart:
    """A request that never gets through is divided into so many parts, or refused if it has none."""

    request: Request
    reason: str
    parts: int


@dataclass(frozen=True, kw_only=True, slots=True)
class StatusesChanged:
    """The tenant shows new states of accepted changes, and they are in the ledger."""

    changes: Sequence[ChangeStatus]


@dataclass(frozen=True, kw_only=True, slots=True)
class StatusesRead:
    """One reading of the tenant's status list has ended.

    Attributes:
        open_changes: Changes whose end is not known yet.
        wait: Seconds to the next reading; 0 if there is none.
    """

    open_changes: int
    wait: float


@dataclass(frozen=True, kw_only=True, slots=True)
class PrecheckResult:
    """The result of a precheck.

    Attributes:
        calls: Calls that this process made for it.
        in_progress: Changes set aside because of something in progress; None if that is not known.
        held: Grants of held access, set aside; None if that is not known, or if no grant without dates is wanted.
        not_held: Revokes of access that is not held, set aside; None if that is not known, or if none is wanted.
        unsure: Revokes that are sent although the index shows no such access: it may have been granted since.
        unchecked: The lines of those of them that nobody looked up further, by file, as that takes too many calls.
        several_files: Whether the input has more than one file.
        age: Seconds since the oldest answer that counted; None if an earlier process asked.
        unclear: Rows in progress that may or may not be of wanted items.
    """

    calls: int
    in_progress: int | None
    held: int | None
    age: float | None
    unclear: int
    not_held: int | None = None
    unsure: int = 0
    unchecked: Mapping[str, Sequence[int]] = field(default_factory=lambda: MappingProxyType({}))
    several_files: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class PrecheckCost:
    """A precheck is about to make most of its calls.

    Attributes:
        calls: Calls left to make at most.
        people: Identities that it asks about.
    """

    calls: float
    people: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """No call leaves for so many seconds from now."""

    seconds: float
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PaceChanged:
    """A window of the rate limit holds at most `allowed` calls from now on."""

    allowed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """A sentence that the user should read once."""

    text: str


RunEvent: TypeAlias = (
    AttemptStarted
    | AttemptEnded
    | Settled
    | TakenApart
    | StatusesChanged
    | StatusesRead
    | PrecheckCost
    | Waiting
    | PaceChanged
    | Notice
)

Tell: TypeAlias = Callable[[RunEvent], None]
"""What takes events."""


def tell_each(*consumers: Tell) -> Tell:
    """Pass each event to every consumer, in order."""

    def tell(event: RunEvent) -> None:
        for consumer in consumers:
            consumer(event)

    return tell
