"""The one exception tree: the type says whose fault it is, the message says what to do next.

AccessBatchError
├── UsageError                 exit 2: nothing was sent; the user changes the command or the configuration
│   ├── InputFileError         … the input file as a whole (single bad rows are data, never exceptions)
│   ├── SettingsError          … an option, an environment variable or the config file
│   ├── UnfitTokenError        … a token with which nobody can submit: it has no user behind it
│   └── LedgerRefusedError     … a ledger that is not ours, too new, or not writable
├── StoppedError               exit 4: stopped early, everything recorded, resumable by the same command
│   ├── TenantLostError        … the tenant can't be reached or answers nonsense
│   ├── CredentialsRefusedError … the tenant refuses the client or its rights
│   ├── TooManyRefusalsError   … nearly everything is refused: the configuration, not the rows
│   ├── RunHeldError           … another process works on this run
│   └── LedgerLostError        … the ledger can't be written any more
├── DeclinedError              exit 130: the user was asked and said no
└── BrokenPromiseError         exit 1: a bug of ours: a check that guards the tenant has failed
"""

from __future__ import annotations

from typing import ClassVar


class AccessBatchError(Exception):
    """Root of everything that access-batch raises on purpose.

    Args:
        message: What happened, in a sentence for the person at the terminal.
        next_step: What that person can do now; printed on a line of its own.
    """

    exit_code: ClassVar[int] = 1

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


class UnfitTokenError(UsageError):
    """The tenant gives out a token, but of a kind that may not submit: known before anything was sent."""


class LedgerRefusedError(UsageError):
    """A ledger that must not be used: newer than this program, of another kind, or not to be opened."""


class StoppedError(AccessBatchError):
    """Stopped early; everything that happened is in the ledger and the same command continues."""

    exit_code = 4


class TenantLostError(StoppedError):
    """The tenant can't be reached, or what answers there is not the API."""


class CredentialsRefusedError(StoppedError):
    """The tenant refuses the client's credentials, or its user may not submit."""


class TooManyRefusalsError(StoppedError):
    """The tenant refuses nearly everything, so that the configuration must be wrong."""


class RunHeldError(StoppedError):
    """Another live process holds the run."""


class LedgerLostError(StoppedError):
    """The ledger can't be written any more, so nothing more may be sent."""


class DeclinedError(AccessBatchError):
    """The user was asked before sending, and said no."""

    exit_code = 130


class BrokenPromiseError(AccessBatchError):
    """A check that stands between our own code and the tenant has failed: a bug, and nothing was sent because of it."""

    exit_code = 1
