"""Settings that limit what one command may change, and say who must have looked at it before."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field

from batch.settings.option import Option
from batch.settings.values import read_duration, read_share


class GuardSettings(BaseModel):
    """Guards; a field without an `Option` can only be set in the config file."""

    require_plan: bool = False
    """Whether `submit` sends saved plans only."""
    approvals_required: Annotated[int, Field(ge=0, le=2)] = 0
    """How many people besides its planner must have signed a plan before it is applied."""
    allowed_signers: Path | None = None
    """The file that says whose SSH key is whose, as `ssh-keygen` reads it."""
    signing_key: Annotated[Path | None, Option("SSH key that signs plans; of an agent, its public key.", "PATH")] = None
    plan_age: Annotated[
        float,
        BeforeValidator(read_duration),
        Field(gt=0, le=31_536_000),
        Option("Apply a saved plan only if it is not older, such as 12h or 7d.", "AGE", default="7d"),
    ] = 604_800.0
    all_or_nothing: Annotated[
        bool, Option("Send nothing of a saved plan, or of a wave, if some of it is not to be sent any more.")
    ] = False
    max_changes: Annotated[int | None, Field(ge=0), Option("Most changes that one plan may have.", "N")] = None
    max_revokes: Annotated[int | None, Field(ge=0), Option("Most revokes that one plan may have.", "N")] = None
    max_per_person: Annotated[int | None, Field(ge=0), Option("Most changes for one person in a plan.", "N")] = None
    max_revoke_share: Annotated[
        float | None,
        BeforeValidator(read_share),
        Field(ge=0, le=100),
        Option("Most of an item's holders that may lose it by one plan, in percent.", "PERCENT"),
    ] = None
    confirm_above: Annotated[
        int | None, Field(ge=0), Option("Ask for the tenant's name if a plan has more changes.", "N")
    ] = None

    def with_guards_of(self, other: GuardSettings, *, given: Collection[str]) -> dict[str, object]:
        """The fields in which the guards of another profile of the same tenant are stricter.

        Args:
            other: That profile's.
            given: Fields that the command line gives: they stay.
        """
        found: dict[str, object] = {
            "require_plan": self.require_plan or other.require_plan,
            "approvals_required": max(self.approvals_required, other.approvals_required),
            "allowed_signers": self.allowed_signers or other.allowed_signers,
            "plan_age": min(self.plan_age, other.plan_age),
            "all_or_nothing": self.all_or_nothing or other.all_or_nothing,
        }
        for name in ("max_changes", "max_revokes", "max_per_person", "max_revoke_share", "confirm_above"):
            limits = [limit for limit in (getattr(self, name), getattr(other, name)) if limit is not None]
            found[name] = min(limits, default=None)
        return {name: value for name, value in found.items() if name not in given}
