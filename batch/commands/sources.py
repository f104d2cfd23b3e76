"""What `submit` takes: inputs, or one saved plan."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from batch.api.tenant_outcome import TenantOutcome
from batch.commands.guards import with_guards
from batch.commands.input_run import InputRun
from batch.commands.loading import load
from batch.commands.plan_run import PlanRun
from batch.commands.plan_table import require_sound
from batch.errors import InputFileError, PlanRefusedError, SettingsError, UsageError
from batch.files import first_bytes, read_whole
from batch.model import Effort
from batch.plan.saved import from_bytes, is_saved_plan
from batch.read import shown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

    from batch.commands.runtime import Runtime
    from batch.commands.screen import Consent, Screen
    from batch.ledger.store import Ledger
    from batch.plan.saved import SavedPlan
    from batch.read import LoadedInputs
    from batch.settings import Settings

_MOST_BYTES: Final = 1 << 30
_ENOUGH: Final = 64
_FIXED: Final = (
    *("sheet", "where", "map", "date_format", "time_zone", "comment", "max_input", "identity_by"),
    *("api", "effort", "resubmit", "strict", "ignore"),
)
"""Options that have done their work when a plan was saved."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Loaded inputs, or a saved plan.

    Attributes:
        inputs: As they were given.
        names: Of the files.
        settings: All settings, with those that the plan was made with.
        loaded: The inputs; None for a plan.
        saved: The plan; None for inputs.
    """

    inputs: Sequence[str]
    names: Sequence[str]
    settings: Settings
    loaded: LoadedInputs | None = None
    saved: SavedPlan | None = None

    def guarded(self, ledger: Ledger, tenant: str) -> Source:
        """The same with the guards of all profiles of the tenant: the ledger knows its other addresses.

        Raises:
            SettingsError: Only saved plans are sent to it, and this is none: the file was replaced since a first look,
                or the tenant has another address than in the profile that demands it.
        """
        settings = with_guards(self.settings, ledger.tenants.addresses(tenant))
        if settings.require_plan and self.saved is None:
            raise SettingsError(
                "Only saved plans are sent to this tenant: the config file has require_plan or approvals_required.",
                next_step="Nothing was sent. Save a plan, and submit that: access-batch plan INPUT --save FILE",
            )
        return replace(self, settings=settings)

    def run(self, screen: Screen, runtime: Runtime, *, tenant: str, consent: Consent) -> InputRun:
        """Its run for a tenant."""
        inputs = [*map(shown, self.inputs)]
        if self.saved is not None:
            return PlanRun(
                self.saved,
                inputs[0],
                self.settings,
                screen=screen,
                runtime=runtime,
                tenant=tenant,
                names=self.names,
                inputs=inputs,
                consent=consent,
            )
        assert self.loaded is not None  # noqa: S101 - one of the two
        return InputRun(
            self.loaded,
            self.settings,
            screen,
            runtime,
            tenant=tenant,
            names=self.names,
            inputs=inputs,
            consent=consent,
        )


def open_source(
    inputs: Sequence[str], settings: Settings, screen: Screen, *, stdin: BinaryIO | None, save_map: bool
) -> Source:
    """Load inputs, or a saved plan.

    Raises:
        UsageError: A plan stands beside other inputs, or beside options that can't change it any more; or an input
            beside options that are about saved plans.
        PlanRefusedError: The plan was changed.
        InputFileError: See `load`.
    """
    if (saved := saved_plan_in(inputs)) is None:
        _require_no_plans_options(settings)
        loaded = load(inputs, settings, screen, stdin=stdin, save_map=save_map)
        return Source(
            inputs=inputs, names=[content.name for content in loaded.contents], settings=settings, loaded=loaded
        )
    if len(inputs) > 1:
        raise UsageError(
            "A saved plan is submitted alone.",
            next_step="Nothing was sent. Submit the plan first, then the other inputs in another command.",
        )
    given = [name for name in _FIXED if name in settings.sources.flags]
    if given or save_map:
        option = given[0].replace("_", "-") if given else "save-map"
        raise UsageError(
            f"--{option} can't change a saved plan.",
            next_step=f"Nothing was sent. Leave it out, or plan the input again with it: access-batch plan INPUT "
            f"--{option} … --save FILE",
        )
    made_with = settings_of(saved, settings)
    # Dates may have passed since: as of then, all of it must be sound.
    require_sound(saved, inputs[0], made_with.dialect, datetime.fromisoformat(saved.circumstances.planned_at))
    return Source(inputs=inputs, names=inputs, settings=made_with, saved=saved)


def _require_no_plans_options(settings: Settings) -> None:
    flags = settings.sources.flags
    in_parts = settings.wave is not None or settings.canary is not None
    if "plan_age" in flags or ("all_or_nothing" in flags and not in_parts):
        option = "--plan-age" if "plan_age" in flags else "--all-or-nothing"
        besides = "" if "plan_age" in flags else ", or about a run that is sent with --wave or --canary"
        raise UsageError(
            f"{option} is about a saved plan{besides}; an input is planned as it is sent, without the rows that must "
            "not be sent.",
            next_step="Nothing was sent. Leave it out; or save a plan, and submit that: access-batch plan INPUT --save "
            "FILE",
        )


def saved_plan_in(inputs: Sequence[str]) -> SavedPlan | None:
    """The saved plan among inputs; None without one."""
    for name in inputs:
        if "://" not in name and name != "-" and is_saved_plan(first_bytes(Path(name), _ENOUGH)):
            return read_saved(name)
    return None


def read_saved(name: str) -> SavedPlan:
    """Read a saved plan.

    Args:
        name: A file.

    Raises:
        InputFileError: The file can't be read, or is no plan.
        PlanRefusedError: It was changed.
    """
    try:
        data = read_whole(Path(name), most=_MOST_BYTES)[0]
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "it is not a path"
        raise InputFileError(f"{name} can't be read: {why}.", next_step="Name a saved plan.") from None
    if not is_saved_plan(data):
        raise InputFileError(
            f"{name} is not a saved plan.", next_step=f"Save one: access-batch plan {name} --save FILE"
        )
    return from_bytes(data, name)


def settings_of(saved: SavedPlan, settings: Settings) -> Settings:
    """The settings with those of a plan: nothing that the tenant said before it was made counts any more."""
    about = saved.circumstances
    try:
        made_with = {
            "effort": Effort(about.effort),
            "resubmit": frozenset(map(TenantOutcome, about.options["resubmit"])),
            "ignore": tuple(about.options["ignore"]),
            "strict": bool(about.options["strict"]),
        }
    except (KeyError, TypeError, ValueError):
        raise PlanRefusedError(
            "The plan has options that this version of access-batch does not know.",
            next_step="Nothing was sent. Plan the input again: access-batch plan INPUT --save FILE",
        ) from None
    return settings.model_copy(update={**made_with, "api": about.api, "max_age": 0.0})
