"""The exception tree: the type decides the exit code, and the message says what happened and what to do next.

AccessBatchError
├── UsageError                 exit 2: nothing was sent; the user changes the command or the configuration
│   ├── InputFileError         … the input file as a whole (single bad rows are data, never exceptions)
│   ├── SettingsError          … an option, an environment variable or the config file
│   │   └── NoCredentialsError … a tenant is given, and nothing to sign in with
│   ├── UnsafePlaceError       … a folder or file that others can replace or lead elsewhere
│   ├── UnreachableError       … a tenant that this command has never reached: its address or the network is wrong
│   ├── UnfitTokenError        … a token that can't submit: no user stands behind it
│   ├── GuardError             … a plan that changes more than the guards allow
│   ├── PlanRefusedError       … a saved plan that must not be applied
│   │   └── NotAllError        … some of it is not to be sent any more, and all or nothing was asked for
│   ├── LedgerRefusedError     … a ledger of another kind, too new, or not writable
│   └── LedgerChangedError     … somebody has changed the ledger: nothing more is sent
├── StoppedError               exit 4: stopped early, everything recorded, resumable by the same command
│   ├── TenantLostError        … the tenant can't be reached or answers nonsense
│   ├── CredentialsRefusedError … the tenant refuses the client, or the client lacks rights
│   ├── TooManyRefusalsError   … the tenant refuses nearly everything: the configuration is wrong, not the rows
│   ├── RunHeldError           … another process works on this run
│   ├── ForeignPlanError       … another machine has planned this run: the same command plans it anew
│   ├── WaitingError           … a run that is sent in waves: the next one is to come
│   ├── WrongEndsError         … too much of a canary or a wave was rejected or failed
│   ├── BudgetSpentError       … the calls of this month are made
│   ├── UnconfirmedError       … nothing proves yet what became of some requests
│   └── LedgerLostError        … the ledger can no longer be written
├── DeclinedError              exit 130: the user declined to go on
└── BrokenPromiseError         exit 1: a bug: a check that guards the tenant has failed
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CHECK_ADDRESS: Final = "Check the base URL, --api and the network; then run the same command again."
"""What to do if something other than the API answers."""

ASK_THE_EDGE: Final = (
    "Ask the administrators of the firewall or proxy in between to let access-batch pass, or use another network; "
    "then run the same command again."
)
"""What to do if something in front of the tenant turns this program away."""


class AccessBatchError(Exception):
    """Root of everything that access-batch raises on purpose.

    Args:
        message: What happened, in a sentence for the user.
        next_step: What the user can do now; printed on its own line.

    Attributes:
        known: What is known of the command's result all the same, for its answer in JSON.
    """

    exit_code: ClassVar[int] = 1
    known: Mapping[str, object] = MappingProxyType({})

    def __init__(self, message: str, *, next_step: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step


class UsageError(AccessBatchError):
    """Wrong usage, configuration or input: nothing was sent."""

    exit_code = 2


class InputFileError(UsageError):
    """An input file that can't be read as a whole: missing, empty, or without the needed columns."""


class SettingsError(UsageError):
    """A missing or contradictory option, environment variable or config file entry."""


class NoCredentialsError(SettingsError):
    """A tenant is given, and nothing to sign in with."""


class UnsafePlaceError(UsageError):
    """Something is not written where others could replace it or lead it elsewhere. Nothing was sent."""


class UnreachableError(UsageError):
    """A tenant that this command has never reached. Nothing was sent."""


class UnfitTokenError(UsageError):
    """The tenant issues a token that may not submit. Nothing was sent."""


class GuardError(UsageError):
    """A plan that changes more than the guards allow. Nothing was written or sent."""


class PlanRefusedError(UsageError):
    """A saved plan that was changed, lacks a signature, or was made for something else. Nothing was sent."""


class NotAllError(PlanRefusedError):
    """Not everything that was planned is to be sent any more, and all or nothing was asked for."""

    def __init__(self, message: str, *, next_step: str = "", moved: Sequence[Mapping[str, str]] = ()) -> None:
        super().__init__(message, next_step=next_step)
        self.known = {"moved": moved}


class LedgerRefusedError(UsageError):
    """A ledger that can't be used: newer than this program, of another kind, or not readable."""


class LedgerChangedError(UsageError):
    """Somebody has changed the ledger behind the product's back. Nothing more is sent."""


class StoppedError(AccessBatchError):
    """Stopped early: the ledger holds everything that happened, and the same command continues."""

    exit_code = 4


class TenantLostError(StoppedError):
    """The tenant can't be reached, or something other than the API answers."""

    @property
    def reason(self) -> str:
        """The message as a part of a sentence about the tenant."""
        said = self.message.rstrip(".").replace("The tenant's ", "its ", 1)
        return said[:1].lower() + said[1:]


class CredentialsRefusedError(StoppedError):
    """The tenant refuses the client's credentials, or its user may not submit."""


class TooManyRefusalsError(StoppedError):
    """The tenant refuses nearly everything, so the configuration must be wrong."""


class RunHeldError(StoppedError):
    """Another live process holds the run."""


class ForeignPlanError(StoppedError):
    """Another machine has planned a request, or has made it free to be sent: this one plans its changes anew."""


class WaitingError(StoppedError):
    """A run that is sent in waves waits for the next one."""


class BudgetSpentError(StoppedError):
    """The ledger has counted as many calls in this month as it may."""


class WrongEndsError(StoppedError):
    """Too much of a canary, or of a wave, was rejected or failed: what comes next is not sent.

    Attributes:
        tolerate: So many percent must be tolerated to go on all the same.
    """

    tolerate: int = 100


class UnconfirmedError(StoppedError):
    """Nothing proves yet what became of some requests. The next step says what would help."""


class LedgerLostError(StoppedError):
    """The ledger can no longer be written, so nothing more may be sent."""


class DeclinedError(AccessBatchError):
    """The user declined to go on."""

    exit_code = 130


class BrokenPromiseError(AccessBatchError):
    """A bug: a check between our code and the tenant has failed. It kept the wrong request from being sent."""

    exit_code = 1
