"""Has plans signed, and checks who has signed them.

Signatures are evidence, not enforcement: whoever holds the token can send requests without any plan.
"""

from __future__ import annotations

import shlex
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from batch.commands.screen import Consent
from batch.credentials.ssh_signatures import in_words, key_of_signature, may_be_one, sign, signers_of
from batch.errors import DeclinedError, PlanRefusedError, SettingsError
from batch.plan.saved import APPROVER, DATE, PLANNER, PlanSignature, signed_text
from batch.tenant.address import tenant_names
from batch.text import count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from batch.commands.screen import Screen
    from batch.plan.saved import SavedPlan
    from batch.settings import Settings

_ROLES: Final = {PLANNER: "planned", APPROVER: "approved"}


def approve(
    plan: SavedPlan,
    name: str,
    settings: Settings,
    screen: Screen,
    *,
    reread: Callable[[], SavedPlan],
    now: datetime,
) -> tuple[SavedPlan, str, int]:
    """Add a second person's signature to a plan, after asking for the tenant's name.

    Args:
        plan: From the file.
        name: The file, as it was given.
        settings: The key, and whose key is whose.
        screen: For the question.
        reread: Reads the file again.
        now: When.

    Returns:
        The plan with one more signature, who has made it, and how many approvals there are.

    Raises:
        PlanRefusedError: It is not signed by its planner, or this person has planned or approved it.
        SettingsError: The key or the allowed signers can't be used, or the tenant's name can't be asked for.
        DeclinedError: The answer is not the tenant's name.
    """
    about = plan.circumstances
    if settings.signing_key is None or settings.allowed_signers is None:
        missing = "signing_key" if settings.signing_key is None else "allowed_signers"
        raise SettingsError(
            f"An approval needs your SSH key and the file of allowed signers; {missing} is not set.",
            next_step="Nothing was signed. Set it in the config file: see `access-batch help approval`.",
        )
    _approvers(plan, settings, now)
    names = tenant_names(about.address) if "://" in about.address else (about.address,)
    if settings.confirm.strip().lower() not in (*names, ""):
        raise SettingsError(
            f"--confirm names {settings.confirm}, but the plan is for {names[0]} ({about.address}).",
            next_step="Nothing was signed. Look at the plan again.",
        )
    given = bool(settings.confirm.strip())
    if not given and (sys.stdin is None or not sys.stdin.isatty()):
        raise SettingsError(
            "An approval needs the tenant's name, and there is no terminal to type it on.",
            next_step=f"Nothing was signed. Give it in the command: access-batch approve {name} --confirm {names[0]}",
        )
    consent = Consent(given=given, names=names, why="Your signature lets others send exactly this")
    try:
        screen.ask(f"Approve {count(plan.changes.height, 'change')} for {about.tenant}?", consent)
    except DeclinedError:
        raise DeclinedError("Nothing was signed.", next_step="The same command asks again.") from None
    signature = signature_of(plan, APPROVER, settings.signing_key, now.astimezone(UTC).strftime(DATE))
    # Somebody else may have signed it while this question was open.
    latest = reread()
    if latest.digest != plan.digest:
        raise PlanRefusedError(
            f"{name} was replaced by another plan while you looked at it.",
            next_step=f"Nothing was signed. Look at the new one: access-batch approve {name}",
        )
    signed = latest.signed(signature)
    approvers = _approvers(signed, settings, now)
    return signed, in_words(approvers[-1]), len(approvers)


def require_signatures(plan: SavedPlan, name: str, settings: Settings, *, at: datetime) -> None:
    """Check that a plan is signed by its planner and by as many other people as the settings demand.

    Args:
        plan: The plan.
        name: Its file, as it was given.
        settings: How many, and whose key is whose.
        at: When the keys must have been valid.

    Raises:
        PlanRefusedError: It is not.
        SettingsError: The allowed signers can't be used.
    """
    if not settings.approvals_required:
        return
    if settings.allowed_signers is None:
        raise SettingsError(
            "approvals_required is set, but no file says whose key is whose.",
            next_step="Nothing was sent. Set allowed_signers in the config file.",
        )
    given = len(_approvers(plan, settings, at))
    if given < settings.approvals_required:
        raise PlanRefusedError(
            f"The plan has {count(given, 'approval')}, and {settings.approvals_required} must be there.",
            next_step=f"Nothing was sent. Have another person look at it and sign it: access-batch approve {name}",
        )


def signers(plan: SavedPlan, allowed: Path, at: datetime) -> list[tuple[PlanSignature, frozenset[str]]]:
    """Each signature of a plan, and the principals who have made it; none if it is not valid."""
    return [
        (one, signers_of(signed_text(plan.digest, one.role, one.at), one.signature, allowed, at))
        for one in plan.signatures
    ]


def describe_signatures(plan: SavedPlan, settings: Settings, at: datetime) -> Iterable[str]:
    """A line for each signature."""
    if settings.allowed_signers is None:
        for one in plan.signatures:
            yield f"{_ROLES.get(one.role, one.role)} {one.at}: not checked, as no file of allowed signers is set"
        return
    for one, principals in signers(plan, settings.allowed_signers, at):
        who = in_words(principals) or "INVALID: no allowed signer has made this signature"
        if not principals and (before := _signed_then(plan, one, settings.allowed_signers)):
            who = f"INVALID: {before}, whose key has expired since"
        yield f"{_ROLES.get(one.role, one.role)} {one.at}: {who}"


def _approvers(plan: SavedPlan, settings: Settings, at: datetime) -> list[frozenset[str]]:
    """The approvers, each another person than the planner and the approvers before.

    Raises:
        PlanRefusedError: Its planner has not signed it, a signature is not valid, or somebody has signed twice.
    """
    assert settings.allowed_signers is not None  # noqa: S101 - its callers have looked
    found = signers(plan, settings.allowed_signers, at)
    planners = [(one, who) for one, who in found if one.role == PLANNER]
    if len(planners) == 1 and not planners[0][1]:
        _require_unexpired(plan, planners[0][0], settings.allowed_signers)
    if len(planners) != 1 or not planners[0][1]:
        raise PlanRefusedError(
            "The plan is not signed by its planner, with a key of the file of allowed signers.",
            next_step="Nothing was sent or signed. Plan the input again, and have the new plan approved: access-batch "
            "plan INPUT --signing-key KEY --save FILE",
        )
    ((planned, seen),) = planners
    keys = {key_of_signature(planned.signature)}
    approvers = []
    for one, who in found:
        if one.role != APPROVER:
            continue
        if not who:
            _require_unexpired(plan, one, settings.allowed_signers)
            raise PlanRefusedError(
                f"No allowed signer has made the approval of {one.at}.",
                next_step="Nothing was sent or signed. The key may be missing in the file of allowed signers.",
            )
        key = key_of_signature(one.signature)
        if key in keys or any(may_be_one(name, before) for name in who for before in seen):
            raise PlanRefusedError(
                f"{in_words(who)} has planned or approved it already, or somebody with the same key or a name "
                "that allowed_signers does not tell apart; an approval needs another person.",
                next_step="Nothing was sent or signed. Ask somebody else: access-batch approve PLAN. If that was "
                "somebody else, give each key a name of its own in allowed_signers.",
            )
        seen |= who
        keys.add(key)
        approvers.append(who)
    return approvers


def _signed_then(plan: SavedPlan, one: PlanSignature, allowed: Path) -> str:
    """Who has made a signature, if the key was valid when it was made, as the signature says; else empty."""
    try:
        at = datetime.strptime(one.at, DATE).replace(tzinfo=UTC)
    except ValueError:
        return ""
    return in_words(signers_of(signed_text(plan.digest, one.role, one.at), one.signature, allowed, at))


def _require_unexpired(plan: SavedPlan, one: PlanSignature, allowed: Path) -> None:
    """Check that it is not only for its age that a key does not count.

    Raises:
        PlanRefusedError: The key was valid when it signed, and has expired since.
    """
    if who := _signed_then(plan, one, allowed):
        named = shlex.join(plan.circumstances.inputs)
        raise PlanRefusedError(
            f"{who} {'planned' if one.role == PLANNER else 'approved'} it on {one.at}, with a key that has expired in "
            "the file of allowed signers since.",
            next_step="Nothing was sent or signed. Plan the input again, with keys that are valid, and have the new "
            f"plan approved: access-batch plan {named} --save FILE",
        )


def signature_of(plan: SavedPlan, role: str, key: Path, at: str) -> PlanSignature:
    """A signature of a plan with a key, at a moment in RFC 3339.

    Raises:
        SettingsError: The key can't sign.
    """
    return PlanSignature(role=role, at=at, signature=sign(signed_text(plan.digest, role, at), key.expanduser()))
