"""The guards of a plan: limits that are checked before it is written or saved."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from batch.credentials.find import find_tenant, profiles_of
from batch.errors import GuardError, SettingsError
from batch.names.known import NO_KNOWN_NAMES
from batch.plan.guards import PlanLimits, RevokedItem, broken_guards, broken_share, greatest_share, items_revoked
from batch.settings import GuardSettings
from batch.tenant.address import tenant_names
from batch.text import count, metadata_said

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import polars as pl

    from batch.commands.precheck import CommandPrecheck
    from batch.commands.screen import Consent
    from batch.ledger.store import Ledger
    from batch.model import Run, Tally
    from batch.names.known import KnownNames
    from batch.plan.guards import RevokeShare
    from batch.settings import Settings

MOST_COUNTED: Final = 300
"""Most items whose holders are counted for the guard of one plan: each takes a call."""

MOST_SHOWN: Final = 20
"""Most items whose holders are counted only to show their share in the question."""


def require_within_limits(
    changes: pl.DataFrame,
    settings: Settings,
    check: CommandPrecheck,
    ledger: Ledger,
    *,
    names: KnownNames = NO_KNOWN_NAMES,
    run: str = "",
    asks: bool = False,
) -> RevokeShare | None:
    """Check that a plan, or what is left of one, is within the limits of the settings.

    Args:
        changes: The planned changes.
        settings: The limits.
        check: Asks the tenant.
        ledger: Counts the calls.
        names: Names of people and items, if a plan is new.
        run: Id of the run that has planned them before; empty for a new plan.
        asks: Whether a question follows that shows the share, for which the tenant may be asked.

    Returns:
        How large a share of an item's holders loses it; None if they were not counted.

    Raises:
        GuardError: It is not, or the holders of an item can't be counted.
        StoppedError: The tenant can't be asked.
    """
    limits = PlanLimits(
        max_changes=settings.max_changes,
        max_revokes=settings.max_revokes,
        max_per_person=settings.max_per_person,
        max_revoke_share=settings.max_revoke_share,
    )
    names = ledger.decisions.known_names(run) if run else names
    broken = [*broken_guards(changes, limits, names.person_in_words)]
    revoked = items_revoked(changes)
    most = MOST_COUNTED if limits.max_revoke_share is not None else MOST_SHOWN if asks else 0
    share: RevokeShare | None = None
    if most and revoked and not broken:
        holders = check.holders(ledger, [item for _, item, _ in revoked[:most]])
        counted = [
            RevokedItem(item_type=kind, item_id=item, people=people, holders=holders.get(item))
            for kind, item, people in revoked
        ]
        share = greatest_share(counted[:most], of=len(revoked))
        if limits.max_revoke_share is not None:
            broken += broken_share(counted, limits.max_revoke_share, names.item_in_words)
    if broken and run:
        raise GuardError(
            " ".join([f"The rest of run {run} is larger than the guards allow.", *broken]),
            next_step=f"Nothing more was sent. Drop what is left: access-batch discard {run}; raise a limit only if "
            f"this is meant: {_options(broken)}.",
        )
    if broken:
        raise GuardError(
            " ".join(["The plan is larger than the guards allow.", *broken]),
            next_step="Nothing was written or sent. Divide the input or correct it; raise a limit only if this is "
            f"meant: {_options(broken)}.",
        )
    return share


def require_same_api(run: Run, settings: Settings) -> None:
    """Check that a run was planned for the API version of the settings.

    Raises:
        SettingsError: It was not.
    """
    if run.dialect != settings.api:
        raise SettingsError(
            f"Run {run.id} of this input was planned for --api {run.dialect}, not {settings.api}.",
            next_step=f"Nothing was sent. Continue it with --api {run.dialect}.",
        )


def require_same_metadata(run: Run, metadata: Mapping[str, str]) -> None:
    """Check that the rest of a run may be sent with the request metadata that it was planned with.

    Args:
        run: The run.
        metadata: What is asked for now; empty for whatever the run has.

    Raises:
        SettingsError: Other metadata is asked for.
    """
    if metadata and metadata != run.metadata:
        planned = f"the request metadata {metadata_said(run.metadata)}" if run.metadata else "no request metadata"
        raise SettingsError(
            f"Run {run.id} of this input was planned with {planned}, not with {metadata_said(metadata)}.",
            next_step="Nothing more was sent. The run keeps what it was planned with: leave out --request-metadata, or "
            "request_metadata of the config file.",
        )


def with_guards(settings: Settings, addresses: Collection[str] = ()) -> Settings:
    """The settings with the guards of every profile of the tenant: leaving out --profile does not leave out guards.

    Args:
        settings: All settings.
        addresses: More addresses of the tenant, as the ledger knows them.

    Raises:
        SettingsError: The tenant, or a guard of one of its profiles, can't be read.
    """
    if settings.approvals_required:
        settings = settings.model_copy(update={"require_plan": True})
    tenant = None if settings.sandbox else find_tenant(settings)
    if tenant is None:
        return settings
    for name, table in profiles_of(settings, {tenant.origin, *addresses}):
        entries = {key: value for key, value in table.items() if key in GuardSettings.model_fields}
        try:
            other = GuardSettings(**entries)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            raise SettingsError(
                f"The guard {first['loc'][0]} of the profile {name!r} can't be read: {first['msg']}.",
                next_step=f"Nothing was sent. Correct it in {settings.sources.config_file}.",
            ) from None
        settings = settings.model_copy(update=settings.with_guards_of(other, given=settings.sources.flags))
        settings = settings.model_copy(
            update={"require_plan": settings.require_plan or settings.approvals_required > 0}
        )
    return settings


def consent_to(tally: Tally, consent: Consent, settings: Settings, tenant: str) -> Consent:
    """The consent that so many changes need: above a threshold, the tenant's name.

    Args:
        tally: What is to be sent.
        consent: What the tenant needs, however many there are.
        settings: The threshold, and whether the name is given.
        tenant: The tenant's address, or the sandbox's word.
    """
    most, changes = settings.confirm_above, tally.grants + tally.revokes
    if most is None or changes <= most or settings.confirm.strip():
        return consent
    names = tenant_names(tenant) if "://" in tenant else (tenant,)
    why = f"{count(changes, 'change')} {'is' if changes == 1 else 'are'} more than the {most:,} of --confirm-above"
    return replace(consent, given=False, names=consent.names or names, why=why)


def _options(broken: Sequence[str]) -> str:
    named = (name for name in PlanLimits.__dataclass_fields__ if any(name in one for one in broken))
    return ", ".join(f"--{name.replace('_', '-')}" for name in named)
