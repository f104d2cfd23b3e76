"""The errors with which an answer of the tenant stops a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from batch.answers.outcome import Then
from batch.errors import CHECK_ADDRESS, CredentialsRefusedError, TenantLostError, TooManyRefusalsError
from batch.states import Event

if TYPE_CHECKING:
    from batch.answers.outcome import Decision
    from batch.errors import StoppedError
    from batch.model import Run

_LOST: Final = (
    "No request has succeeded for {:.0f} s. Everything sent is recorded, and unconfirmed requests are settled before "
    "they are sent again: run the same command again when the tenant has recovered."
)
_REFUSES_ITS_OWN: Final = "The tenant issues new tokens and refuses them: ask its administrators why."


def stopped_by(decision: Decision, give_up_after: float) -> StoppedError | None:
    """The error that a decision asks for; None if the run goes on.

    Args:
        decision: About one answer.
        give_up_after: Seconds without success after which sending stops.
    """
    if decision.then is Then.STOP_CREDENTIALS:
        return CredentialsRefusedError(
            f"The tenant does not let this client submit: {decision.reason}.",
            next_step=f"{_REFUSES_ITS_OWN} Then run the same command again.",
        )
    if decision.then is Then.STOP_TENANT:
        never_left = decision.event is Event.NOT_PROCESSED
        return TenantLostError(
            f"The tenant can't be used: {decision.reason.rstrip('.')}.",
            next_step=CHECK_ADDRESS if never_left else _LOST.format(give_up_after),
        )
    return None


def too_many_refusals(run: Run, verdict: str, reason: str) -> TooManyRefusalsError:
    """The error for a tenant that refuses nearly everything, and last for this reason."""
    return TooManyRefusalsError(
        f"{verdict[0].upper()}{verdict[1:]}; the last: {reason}.",
        next_step="So many refusals point to the configuration: check --api, the tenant and what the user may "
        "request. Then run the same command again, or give up the rest with `access-batch discard "
        f"{run.id}`.",
    )
