"""Requests that went to another address, and that a ledger which was put back has lost: it may be the same tenant's.

Only the heads that this machine has seen tell of them. Ids of people and items are random, so two tenants have hardly
any in common: nothing is held back unless a lost request asks for it, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch.errors import SettingsError
from batch.text import key_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from batch.commands.heads import Heads
    from batch.ledger.store import Ledger
    from batch.model import Head, Request, Run


def require_none_elsewhere(ledger: Ledger, run: Run, tenant: str, heads: Heads) -> None:
    """Check that no lost request to another address, which may be the tenant's, asks for what the run would send.

    Args:
        ledger: May have been put back.
        run: Is about to be sent.
        tenant: An address of its tenant.
        heads: What this machine has seen of the ledger.

    Raises:
        SettingsError: One does, and only a token from there can tell.
    """
    if not (lost := _lost_elsewhere(ledger, tenant, heads)):
        return
    ledger_id, wanted = ledger.gaps.ledger_id(), _planned(ledger, run)
    runs = {one.id: one for one in ledger.runs.all()}
    for head, address in lost.items():
        asked = _asked(heads.sent(ledger_id, head))
        if head.run in runs:
            # They may have been claimed since the backup, and accepted.
            asked |= _planned(ledger, runs[head.run])
        if not wanted.isdisjoint(asked):
            raise _may_be_lost(tenant, address, heads.folder / ledger_id / head.run)


def _lost_elsewhere(ledger: Ledger, tenant: str, heads: Heads) -> Mapping[Head, str]:
    """The heads that the ledger does not have, at addresses that may be the tenant's, each with its address.

    If no token has named a tenant, its address is its name.
    """
    tenants = ledger.tenants
    if not tenants.is_named(tenant):
        return {}
    own = tenants.addresses(tenant)
    unnamed = {
        head: min(addresses)
        for head, addresses in heads.unnamed(ledger.gaps.ledger_id()).items()
        if own.isdisjoint(addresses) and not any(map(tenants.is_named, addresses))
    }
    return {head: unnamed[head] for head in ledger.gaps.lost(unnamed)}


def _planned(ledger: Ledger, run: Run) -> set[tuple[str, str]]:
    """The identities and items of what the run sends, or may send again."""
    pairs = ledger.plans.planned(run).select("identity_id", "item_id")
    return {(key_of(identity), key_of(item)) for identity, item in pairs.iter_rows()}


def _asked(requests: Iterable[Request]) -> set[tuple[str, str]]:
    return {(key_of(who), key_of(item.id)) for one in requests for who in one.recipients for item in one.items}


def _may_be_lost(tenant: str, other: str, file: Path) -> SettingsError:
    return SettingsError(
        f"Some of these changes may have been submitted to {other} already: the ledger was put back or copied, and "
        f"has no record of them. {other} and {tenant} may be one tenant: only a token from {other} can tell.",
        next_step="Nothing more was sent, and the changes stay planned. Run `access-batch doctor --base-url "
        f"{other}` once, then the same command again. If tokens from there name no tenant, that changes nothing: run "
        f"this command with --base-url {other} instead, and leave out what you have submitted to {tenant} before. If "
        "that address no longer answers, look for the changes in the tenant, take those that have arrived out of the "
        f"input, and remove {file}.",
    )
