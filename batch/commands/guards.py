"""The guards of a plan: limits that are checked before it is written or saved."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from batch.errors import GuardError
from batch.plan.guards import PlanLimits, RevokedItem, broken_guards, broken_share, items_revoked
from batch.tenant.address import tenant_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from batch.commands.precheck import CommandPrecheck
    from batch.commands.screen import Consent
    from batch.ledger.store import Ledger
    from batch.model import Tally
    from batch.settings import Settings

MOST_COUNTED: Final = 300
"""Most items whose holders are counted for one plan: each takes a call."""


def require_within_limits(
    changes: pl.DataFrame, settings: Settings, check: CommandPrecheck, ledger: Ledger
) -> tuple[RevokedItem, ...]:
    """Check that a plan is within the limits of the settings.

    Args:
        changes: The planned changes.
        settings: The limits.
        check: Asks the tenant.
        ledger: Counts the calls.

    Returns:
        The items that it revokes, with their holders if there is a limit on their share.

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
    broken = [*broken_guards(changes, limits)]
    revoked = items_revoked(changes)
    counted: tuple[RevokedItem, ...] = ()
    if limits.max_revoke_share is not None and revoked and not broken:
        holders = check.holders(ledger, [item for _, item, _ in revoked[:MOST_COUNTED]])
        counted = tuple(
            RevokedItem(item_type=kind, item_id=item, people=people, holders=holders.get(item))
            for kind, item, people in revoked
        )
        broken += broken_share(counted, limits.max_revoke_share)
    if broken:
        raise GuardError(
            " ".join(["The plan is larger than the guards allow.", *broken]),
            next_step="Nothing was written or sent. Divide the input or correct it; raise a limit only if this is "
            f"meant: {_options(broken)}.",
        )
    return counted


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
    why = f"{changes:,} changes are more than --confirm-above {most:,} allows without it"
    return replace(consent, given=False, names=consent.names or names, why=why)


def _options(broken: Sequence[str]) -> str:
    named = (name for name in PlanLimits.__dataclass_fields__ if any(name in one for one in broken))
    return ", ".join(f"--{name.replace('_', '-')}" for name in named)
