"""What holds for every request at a tenant, for people and scripts: requester, configuration, triggers, approvals."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from batch.api.dialects import ADMIN_LEVEL
from batch.api.tenant_settings import PROPOSED, TRIGGER_RATE, WAITING_TRIGGERS, AccessRequestConfig, Unshown
from batch.report.doctor_checks import CheckResult, DoctorCheck, warning
from batch.report.screen import duration
from batch.text import count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batch.api.dialects import Dialect, Rate
    from batch.api.tenant_settings import Requester, Subscription, TenantSettings
    from batch.status.approvals_ahead import ApprovalsAhead

_SIZED: Final = (
    f"the vendor sizes such a trigger for 1 to {TRIGGER_RATE.requests} access requests per {TRIGGER_RATE.seconds:g} s"
)
_NO_CONFIG: Final = "The tenant does not show its configuration of access requests"
_NO_TRIGGERS: Final = "The tenant does not show whether event triggers wait for answers about access requests"
_BY_ADMIN: Final = f"Have a user with the level {ADMIN_LEVEL} make the token."


def describe_settings(settings: TenantSettings, ahead: ApprovalsAhead, rate: Rate, requests: int) -> Iterator[str]:
    """What a plan's reader should know before it is sent.

    Args:
        settings: The tenant's.
        ahead: What the plan asks of approvers.
        rate: The limit in use.
        requests: How many requests the plan has.
    """
    requester, config = settings.requester, settings.config
    if who := _who(requester):
        level = f", {', '.join(requester.levels)}" if requester.levels else ""
        mine = f"; {_of(ahead.for_requester, ahead.changes)} to their own access" if ahead.for_requester else ""
        yield f"Requester: {who}{level}{mine}."
    if isinstance(config, AccessRequestConfig) and (allowed := _allowed(config)):
        yield f"The tenant's configuration: {' '.join(allowed)}"
    yield from _not_allowed(settings, ahead)
    yield from _triggers(settings, rate, requests)
    yield from _approvals(ahead)
    yield from _by_requester(settings, ahead)


def describe_cautions(settings: TenantSettings, ahead: ApprovalsAhead, rate: Rate, requests: int) -> Iterator[str]:
    """The part of it that may surprise people."""
    yield from _not_allowed(settings, ahead)
    yield from _triggers(settings, rate, requests)
    yield from _by_requester(settings, ahead)


def _not_allowed(settings: TenantSettings, ahead: ApprovalsAhead) -> Iterator[str]:
    """That the tenant takes changes of this plan from administrators only, if the requester is none."""
    requester, config = settings.requester, settings.config
    if not requester.levels or requester.is_admin or not isinstance(config, AccessRequestConfig):
        return
    others = ahead.changes - (0 if config.external_approvals else ahead.for_requester)
    if others and (config.external_approvals or config.for_anyone is False):
        but = ", or the person's manager" if config.for_reports and not config.external_approvals else ""
        yield (
            f"The tenant may refuse {count(others, 'change')}: the requester is not {ADMIN_LEVEL}, and by the tenant's "
            f"configuration only administrators may request them{but}. {_BY_ADMIN}"
        )


def _triggers(settings: TenantSettings, rate: Rate, requests: int) -> Iterator[str]:
    if not isinstance(settings.subscriptions, Unshown) and settings.subscriptions:
        least = duration(max(0, requests - 1) * TRIGGER_RATE.seconds / TRIGGER_RATE.requests)
        takes = f", with which {count(requests, 'request')} take at least {least}" if requests > 1 else ""
        slower = f": consider --rate {PROPOSED}{takes}" if _is_above(rate) else ", which your --rate keeps to"
        yield f"{_waiting(settings.subscriptions)} {_SIZED[:1].upper()}{_SIZED[1:]}{slower}."


def describe_unshown(settings: TenantSettings, dialect: Dialect) -> Iterator[str]:
    """What the tenant does not show of its settings, why, and what the token lacks."""
    for what, answer, scopes in (
        (_NO_CONFIG, settings.config, dialect.access_request_config_scopes),
        (_NO_TRIGGERS, settings.subscriptions, dialect.trigger_subscriptions_scopes),
    ):
        if isinstance(answer, Unshown):
            takes = f": that takes the scope {scopes[0]}" if answer.forbidden else ""
            yield f"{what} ({answer.why.rstrip('.')}){takes}."


def check_settings(settings: TenantSettings, rate: Rate, dialect: Dialect) -> tuple[DoctorCheck, DoctorCheck]:
    """The checks of a tenant's settings: its configuration, and its triggers.

    Args:
        settings: The tenant's.
        rate: The limit in use.
        dialect: The API version.
    """
    config, subscriptions = settings.config, settings.subscriptions
    allowed = (
        _not_shown("config", _NO_CONFIG, config, dialect.access_request_config_scopes)
        if isinstance(config, Unshown)
        else _check_config(config, settings.requester)
    )
    return (
        replace(allowed, facts=settings.as_json()),
        _not_shown("triggers", _NO_TRIGGERS, subscriptions, dialect.trigger_subscriptions_scopes)
        if isinstance(subscriptions, Unshown)
        else _check_triggers(subscriptions, rate),
    )


def _not_shown(name: str, what: str, answer: Unshown, scopes: tuple[str, ...]) -> DoctorCheck:
    to_do = f"Give the token the scope {scopes[0]}, or leave it: submitting works without."
    reason = answer.why.rstrip(".")
    return warning(name, f"{what}: {reason}.", to_do if answer.forbidden else "Nothing: submitting works without it.")


def _check_config(config: AccessRequestConfig, requester: Requester) -> DoctorCheck:
    message = " ".join(_allowed(config)) or "The tenant shows no setting that concerns requests."
    is_other_user = bool(requester.levels) and not requester.is_admin
    if is_other_user and (config.external_approvals or config.for_anyone is False):
        return warning("config", message, _BY_ADMIN)
    if config.entitlements is False:
        return warning("config", message, "Leave entitlements out of your files, or have an administrator allow them.")
    return DoctorCheck(name="config", result=CheckResult.OK, message=message)


def _check_triggers(subscriptions: tuple[Subscription, ...], rate: Rate) -> DoctorCheck:
    if not subscriptions:
        message = "No event trigger waits for an answer about access requests."
        return DoctorCheck(name="triggers", result=CheckResult.OK, message=message)
    message = f"{_waiting(subscriptions)} {_SIZED[:1].upper()}{_SIZED[1:]}."
    if _is_above(rate):
        return warning("triggers", message, f"Consider --rate {PROPOSED} (`access-batch help rate-limit`).")
    return DoctorCheck(name="triggers", result=CheckResult.OK, message=message)


def _who(requester: Requester) -> str:
    return f"{requester.name} ({requester.id})" if requester.name and requester.id else requester.name or requester.id


def _allowed(config: AccessRequestConfig) -> list[str]:
    """What a configuration allows and demands, as sentences. A field that the tenant does not send has none."""
    sentences = []
    if config.external_approvals:
        sentences.append("An external system decides on requests, so only administrators may make them.")
    elif config.for_anyone:
        sentences.append("Everybody may request access for themselves and for others.")
    elif config.for_anyone is False:
        managers = ", and managers for their direct reports" if config.for_reports else ""
        sentences.append(
            f"Everybody may request access for themselves{managers}; anything else takes an administrator."
        )
    if config.entitlements is False:
        sentences.append("Entitlements can't be requested.")
    if config.auto_approval:
        sentences.append("A change is approved at once if its requester would have to approve it.")
    if config.reauthorization:
        sentences.append("Items that ask for reauthorization get it.")
    return sentences


def _waiting(subscriptions: tuple[Subscription, ...]) -> str:
    named = [
        f"{WAITING_TRIGGERS[one.trigger]}{f' ({one.name})' if one.name else ''}{', for some of them' * one.filtered}"
        for one in subscriptions
    ]
    waits = "waits" if len(named) == 1 else "wait"
    return f"{count(len(named), 'event trigger')} {waits} for an answer about access requests: {'; '.join(named)}."


def _is_above(rate: Rate) -> bool:
    return rate.requests * TRIGGER_RATE.seconds > TRIGGER_RATE.requests * rate.seconds


def _approvals(ahead: ApprovalsAhead) -> Iterator[str]:
    if not ahead.changes:
        return
    unknown, needed = ahead.unknown, ahead.changes - ahead.unneeded - ahead.unknown
    parts = []
    if needed:
        parts.append(f"{count(needed, 'change')} to approve in {count(ahead.known, 'step')}")
    if unknown:
        other = "other " if unknown < ahead.changes else ""
        each = "" if unknown == 1 else "each "
        steps = "in as many steps as the tenant has set for the item, if any"
        parts.append(f"{count(unknown, f'{other}change')} to approve {each}{steps}")
    if ahead.unneeded:
        parts.append(f"{count(ahead.unneeded, 'change')} without approval")
    yield (
        f"Approvals: {'; '.join(parts)}. Packing saves requests, not approvals. Which of them send an "
        "e-mail depends on the tenant's templates."
    )


def _by_requester(settings: TenantSettings, ahead: ApprovalsAhead) -> Iterator[str]:
    if ahead.by_requester:
        config = settings.config if isinstance(settings.config, AccessRequestConfig) else AccessRequestConfig()
        theirs = {
            True: "the tenant is set to approve such a change at once",
            False: "the tenant passes that on to an administrator",
            None: "the tenant passes that on to an administrator, or approves at once if it is set so",
        }[config.auto_approval]
        yield (
            f"In at least {count(ahead.by_requester, 'step')} the requester would decide, as the item's owner: "
            f"{theirs}."
        )


def _of(part: int, whole: int) -> str:
    return f"all {count(whole, 'change')} are" if part == whole > 1 else f"{count(part, 'change')} {_are(part)}"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
