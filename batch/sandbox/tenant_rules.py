"""The rules of a request that depend on the tenant's data: people, items, accounts and what people hold.

Sources: the operation `createAccessRequest` of the vendor's documents says which requests are refused (access that a
role or a lifecycle state gives can't be revoked; a revoke's end must be earlier than the present one), and reports from
live tenants say the same of unknown ids and of items that can't be requested. What a tenant does with a request that
breaks another rule is not documented, so a setting decides for each.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from batch.api.dialects import ItemType, Operation
from batch.sandbox.accounts_selection import accounts_on, crowded_sources, is_blocked
from batch.sandbox.configuration import RequestConfiguration

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from batch.sandbox.directory import AccessItem, Known, Person
    from batch.sandbox.holdings import AccountKey, Holding, ItemKey


class Rule(StrEnum):
    """The rules, in the order in which a refusal names them."""

    UNKNOWN_PERSON = "unknown_person"
    UNKNOWN_ITEM = "unknown_item"
    NOT_REQUESTABLE = "not_requestable"
    DISABLED_ITEM = "disabled_item"
    ENTITLEMENTS_BARRED = "entitlements_barred"
    """The tenant's configuration allows no requests for entitlements."""
    NOT_FOR_OTHERS = "not_for_others"
    """The requester is no administrator, and the tenant's configuration allows no request for this person."""
    SELF_REVOKE = "self_revoke"
    """Nobody can revoke their own access by request."""
    INACTIVE_PERSON = "inactive_person"
    PROTECTED_PERSON = "protected_person"
    END_DATE_REQUIRED = "end_date_required"
    END_DATE_TOO_LATE = "end_date_too_late"
    """The access would last longer than the item allows; also if it has no end."""
    COMMENT_REQUIRED = "comment_required"
    FORM_REQUIRED = "form_required"
    REAUTHORIZATION_REQUIRED = "reauthorization_required"
    NOT_REVOCABLE = "not_revocable"
    """A role or a lifecycle state gives the access."""
    LATER_END_DATE = "later_end_date"
    """The end date of a revoke is not earlier than the present one."""
    ACCOUNT_UNKNOWN = "account_unknown"
    ACCOUNT_BLOCKED = "account_blocked"
    """An account is chosen for an item of which it says that no choice is allowed."""
    ACCOUNT_CHOICE = "account_choice"
    """The person has several accounts on the item's source, and none is chosen."""


class Effect(StrEnum):
    """What a tenant does with a change that breaks a rule."""

    REFUSED = "refused"
    """400 for the whole request."""
    CANCELLED = "cancelled"
    """It is accepted, and its status row says CANCELLED."""
    ERROR = "error"
    """It is accepted, and its status row says ERROR."""
    IGNORED = "ignored"
    """It is accepted as if the rule did not exist."""


DEFAULT_EFFECTS: Final[Mapping[Rule, Effect]] = dict.fromkeys(Rule, Effect.ERROR) | {
    Rule.UNKNOWN_PERSON: Effect.REFUSED,
    Rule.UNKNOWN_ITEM: Effect.REFUSED,
    Rule.NOT_REQUESTABLE: Effect.REFUSED,
    Rule.NOT_FOR_OTHERS: Effect.REFUSED,
    Rule.SELF_REVOKE: Effect.REFUSED,
    Rule.NOT_REVOCABLE: Effect.REFUSED,
    Rule.LATER_END_DATE: Effect.REFUSED,
    Rule.REAUTHORIZATION_REQUIRED: Effect.IGNORED,
}
"""The first seven are documented or reported to be refused; the last concerns the browser."""

_TEXTS: Final[Mapping[Rule, str]] = {
    Rule.UNKNOWN_PERSON: "The identity{person} was not found.",
    Rule.UNKNOWN_ITEM: "The access item{item} was not found.",
    Rule.NOT_REQUESTABLE: "The access item{item} can't be requested.",
    Rule.DISABLED_ITEM: "The access item{item} is disabled.",
    Rule.ENTITLEMENTS_BARRED: "Entitlements such as{item} can't be requested in this tenant.",
    Rule.NOT_FOR_OTHERS: "You can't make this request for the identity{person}.",
    Rule.SELF_REVOKE: "You can't revoke your own access to{item}.",
    Rule.INACTIVE_PERSON: "The identity{person} is inactive.",
    Rule.PROTECTED_PERSON: "The identity{person} is protected.",
    Rule.END_DATE_REQUIRED: "The access item{item} needs a removeDate.",
    Rule.END_DATE_TOO_LATE: "The access item{item} can't be held that long.",
    Rule.COMMENT_REQUIRED: "The access item{item} needs a comment.",
    Rule.FORM_REQUIRED: "The access item{item} needs a completed form.",
    Rule.REAUTHORIZATION_REQUIRED: "The access item{item} needs a reauthorization.",
    Rule.NOT_REVOCABLE: "The access item{item} of the identity{person} is given by a role or a lifecycle state.",
    Rule.LATER_END_DATE: "The access item{item} of the identity{person} has an earlier removeDate already.",
    Rule.ACCOUNT_UNKNOWN: "The identity{person} has no such account for the access item{item}.",
    Rule.ACCOUNT_BLOCKED: "No account can be chosen for the access item{item} of the identity{person}.",
    Rule.ACCOUNT_CHOICE: "The identity{person} has several accounts for the access item{item}: choose one.",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Asker:
    """Who asks, and what the tenant allows.

    Attributes:
        id: Identity id of the requester.
        is_admin: Whether the requester may request for everybody whatever the configuration says.
        configuration: The tenant's configuration.
    """

    id: str
    is_admin: bool = True
    configuration: RequestConfiguration = field(default_factory=RequestConfiguration)

    def may_ask_for(self, person: Person, operation: Operation) -> bool:
        """Whether the requester may make such a request for a person."""
        if self.is_admin:
            return True
        if person.manager == self.id and (operation is Operation.REVOKE or self.configuration.manager_for_reports):
            return True
        is_open = self.configuration.anyone_for_anyone or person.id == self.id
        return operation is Operation.GRANT and is_open


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """One change that a request asks for.

    Attributes:
        operation: Grant or revoke.
        person: For whom.
        item: What.
        fields: The item's fields in the body.
        held: What the person holds, and on which account.
        assignments: The person's roles by the ids of their assignments.
    """

    operation: Operation
    person: Person
    item: AccessItem
    fields: Mapping[str, Any]
    held: Mapping[AccountKey, Holding]
    assignments: Mapping[str, AccountKey]

    @property
    def key(self) -> ItemKey:
        """Type and id of the item."""
        return self.item.type, self.item.id

    @property
    def chosen(self) -> list[tuple[str, str]]:
        """The chosen accounts: source id (empty for any) and native identity or uuid."""
        if self.operation is Operation.GRANT:
            selection = self.fields.get("accountSelection") or ()
            return [
                (source["sourceId"], account.get("nativeIdentity") or account["accountUuid"])
                for source in selection
                for account in source["accounts"]
            ]
        native_identity = self.fields.get("nativeIdentity")
        return [("", native_identity)] if native_identity else []

    @property
    def account(self) -> str:
        """Native identity of the first chosen account; empty if none is chosen."""
        assigned = self.assignments.get(self.fields.get("assignmentId") or "")
        if assigned is not None:
            return assigned[1]
        return next((name for _, name in self.chosen), "")

    @property
    def holdings(self) -> list[Holding]:
        """How the person holds the item, on any account."""
        return [holding for (key, _), holding in self.held.items() if key == self.key]


def text_of(rule: Rule, wanted: Wanted, known: Known) -> str:
    """A broken rule as the tenant words it."""
    return _TEXTS[rule].format(person=known.named(wanted.person.id), item=known.named(wanted.item.id))


def broken_by(wanted: Wanted, known: Known, now: datetime, asker: Asker) -> Iterator[Rule]:
    """The rules that a change breaks, in the order of `Rule`.

    Args:
        wanted: The change.
        known: People and items.
        now: The tenant's time.
        asker: Who asks.
    """
    if not known.has_person(wanted.person.id):
        yield Rule.UNKNOWN_PERSON
    if not known.has_item(wanted.item.id):
        yield Rule.UNKNOWN_ITEM
    if not wanted.item.requestable:
        yield Rule.NOT_REQUESTABLE
    if not wanted.item.enabled:
        yield Rule.DISABLED_ITEM
    if wanted.item.type is ItemType.ENTITLEMENT and not asker.configuration.entitlements:
        yield Rule.ENTITLEMENTS_BARRED
    if wanted.operation is Operation.REVOKE and wanted.person.id == asker.id:
        yield Rule.SELF_REVOKE
    elif not asker.may_ask_for(wanted.person, wanted.operation):
        yield Rule.NOT_FOR_OTHERS
    if wanted.operation is Operation.GRANT:
        yield from _broken_by_grant(wanted, known, now)
    else:
        yield from _broken_by_revoke(wanted)
    yield from _broken_by_accounts(wanted, known)


def _broken_by_grant(wanted: Wanted, known: Known, now: datetime) -> Iterator[Rule]:
    fields, rules = wanted.fields, known.request_rules(wanted.item)
    if wanted.person.inactive:
        yield Rule.INACTIVE_PERSON
    if wanted.person.protected:
        yield Rule.PROTECTED_PERSON
    if rules.require_end_date and "removeDate" not in fields:
        yield Rule.END_DATE_REQUIRED
    if rules.longest is not None:
        start = _date(fields, "startDate") or now
        end = _date(fields, "removeDate")
        if end is None or end > rules.longest.after(start):
            yield Rule.END_DATE_TOO_LATE
    if rules.comments_required and not str(fields.get("comment", "")).strip():
        yield Rule.COMMENT_REQUIRED
    if rules.form is not None and not fields.get("formInstanceId"):
        yield Rule.FORM_REQUIRED
    if rules.reauthorization_required:
        yield Rule.REAUTHORIZATION_REQUIRED


def _broken_by_revoke(wanted: Wanted) -> Iterator[Rule]:
    if any(not holding.revocable for holding in wanted.holdings):
        yield Rule.NOT_REVOCABLE
    end = _date(wanted.fields, "removeDate")
    if end is not None and any(holding.until is not None and end >= holding.until for holding in wanted.holdings):
        yield Rule.LATER_END_DATE


def _broken_by_accounts(wanted: Wanted, known: Known) -> Iterator[Rule]:
    person, item, fields = wanted.person, wanted.item, wanted.fields
    is_grant = wanted.operation is Operation.GRANT
    assignment = fields.get("assignmentId")
    chosen = wanted.chosen
    if not all(_exists(source, name, wanted, known) for source, name in chosen) or (
        assignment and (assignment not in wanted.assignments or wanted.assignments[assignment][0] != wanted.key)
    ):
        yield Rule.ACCOUNT_UNKNOWN
    blocked = is_grant and is_blocked(item, {key for key, _ in wanted.held})
    if blocked and chosen:
        yield Rule.ACCOUNT_BLOCKED
    needs_choice = item.type is not ItemType.ACCESS_PROFILE or is_grant
    if blocked or not needs_choice or assignment:
        return
    crowded = {source.id for source in crowded_sources(known, person, item)}
    settled = crowded if chosen and not is_grant else {source for source, _ in chosen}
    if crowded - settled:
        yield Rule.ACCOUNT_CHOICE


def _exists(source_id: str, name: str, wanted: Wanted, known: Known) -> bool:
    sources = [source for source in wanted.item.sources if source_id in {"", source.id}]
    accounts = (account for source in sources for account in accounts_on(known, wanted.person, source))
    return any(name in {account.native_identity, account.uuid} for account in accounts)


def first_refused(
    changes: Iterable[tuple[Wanted, tuple[Rule, ...]]], effects: Mapping[Rule, Effect]
) -> tuple[Rule, Wanted] | None:
    """The first rule, with the first change that breaks it, for which a whole request is refused; None without one."""
    order = list(Rule)
    refused = [
        (order.index(rule), rule, wanted)
        for wanted, broken in changes
        for rule in broken
        if effects[rule] is Effect.REFUSED
    ]
    first = min(refused, key=lambda entry: entry[0], default=None)
    return None if first is None else first[1:]


def _date(fields: Mapping[str, Any], name: str) -> datetime | None:
    return datetime.fromisoformat(fields[name]) if name in fields else None
