"""Which of a person's several accounts a row means. Pure; ambiguity is never guessed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from batch.api.accounts import assignment_selection, grant_selection, revoke_selection
from batch.api.dialects import ItemType, Operation
from batch.names.meaning import ITEM_WORDS, LISTED, NameMeaning, NameOutcome, shown_name
from batch.text import key_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Wanted(NamedTuple):
    """A change, and the account that its row names.

    Attributes:
        identity: Id of the identity.
        item_type: Kind of access item.
        item: Id of the item.
        operation: Grant or revoke.
        account: As written; empty if the row names none.
        source: Its source, as written; empty if the row names none.
    """

    identity: str
    item_type: str
    item: str
    operation: str
    account: str = ""
    source: str = ""

    @property
    def as_name(self) -> str:
        """All of it as one text."""
        identity, item_type, item, *rest = self
        return json.dumps([key_of(identity), item_type, key_of(item), *rest], ensure_ascii=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """An account of a person.

    Attributes:
        native: Its native identity.
        name: As people know it.
        id: The tenant's id; empty if unknown.
        uuid: Its uuid on the source; empty if it has none.
    """

    native: str
    name: str = ""
    id: str = ""
    uuid: str = ""

    @property
    def key(self) -> str:
        """What tells it apart from others for good: an account may be moved, which changes its native identity."""
        return self.id or self.native

    @property
    def words(self) -> frozenset[str]:
        """What a row may call it, without regard to case."""
        return frozenset(text.strip().casefold() for text in (self.native, self.name, self.id, self.uuid) if text)

    @property
    def description(self) -> str:
        """For messages."""
        named = self.name and self.name.casefold() != self.native.casefold()
        return f"{shown_name(self.name)} ({shown_name(self.native)})" if named else shown_name(self.native)


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceAccounts:
    """A person's accounts on one source of an item."""

    id: str
    name: str
    accounts: tuple[Account, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemAccounts:
    """What the tenant says of a person's accounts for an item.

    Attributes:
        sources: Of each of the item's sources.
        blocked: Why nobody may choose; empty if they may.
        needless: Whether the tenant says that a grant needs no choice, however many accounts there are.
    """

    sources: tuple[SourceAccounts, ...]
    blocked: str = ""
    needless: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Assignment:
    """An assignment of a role to a person.

    Attributes:
        id: The tenant's id, by which a revoke names it.
        accounts: The key of the source, and the native identity or uuid in lower case, of each account that it is on.
        words: The same accounts for messages.
    """

    id: str
    accounts: frozenset[tuple[str, str]]
    words: tuple[str, ...] = ()

    def is_on(self, account: Account, source: str) -> bool:
        """Whether it is on an account of the source with this id."""
        names = {text.casefold() for text in (account.native, account.uuid) if text}
        return any((key_of(source), name) in self.accounts for name in names)


ACCOUNT: Final = "account"
"""The ledger's word for how the account of a change was looked up, see `Wanted.as_name`."""

NO_CHOICE: Final = NameMeaning(outcome=NameOutcome.FOUND, id=json.dumps(["", ""]))
"""There is nothing to choose."""

_NAME_IT: Final = "name it in the column account"


def chosen(meaning: NameMeaning) -> tuple[str, str]:
    """The key of the account, and how a body names it, of a meaning that was FOUND."""
    key, selection = json.loads(meaning.id)
    return key, selection


def needs_assignment(wanted: Wanted) -> bool:
    """Whether a row names an account that a request can only name by the assignment of a role."""
    is_revoke = wanted.operation == Operation.REVOKE and wanted.item_type == ItemType.ROLE
    return is_revoke and bool(wanted.account)


def choose(
    wanted: Wanted, offered: ItemAccounts, *, nested: bool, assignments: Sequence[Assignment] | str = ""
) -> NameMeaning:
    """The account that a row means.

    Args:
        wanted: The change.
        offered: Its person's accounts for its item.
        nested: Whether the API version lets a grant choose. A revoke can wherever the tenant tells the accounts.
        assignments: The person's assignments of the item, or why they are not known; see `needs_assignment`.

    Returns:
        NO_CHOICE if it needs none; otherwise the account's key and selection as `id`, or why none is found.
    """
    crowded = [source for source in offered.sources if len(source.accounts) > 1]
    if not crowded or (not wanted.account and not _must_choose(wanted, offered)):
        return NO_CHOICE
    named = [one for one in crowded if wanted.source.casefold() in {one.id.casefold(), one.name.casefold()}]
    source = (named or crowded)[0]
    if why := _why_not(wanted, offered, crowded, source, is_named=bool(named), nested=nested):
        return NameMeaning(outcome=NameOutcome.UNKNOWN, problem=why)
    found = [one for one in source.accounts if wanted.account.strip().casefold() in one.words]
    if len(found) != 1:
        which = "may be any of several accounts" if found else "is none of the accounts"
        listed = _listed(one.description for one in found or source.accounts)
        why = f"'{shown_name(wanted.account)}' {which} on {shown_name(source.name)}: {listed}; {_NAME_IT}"
        return NameMeaning(outcome=NameOutcome.UNKNOWN, problem=why)
    if needs_assignment(wanted):
        return _assigned(found[0], source, assignments)
    return _found(wanted, found[0], source, offered)


def _assigned(account: Account, source: SourceAccounts, assignments: Sequence[Assignment] | str) -> NameMeaning:
    """The one assignment that is on an account."""
    if isinstance(assignments, str):
        why = f"the tenant does not tell on which account the role is assigned ({assignments}): clear the account"
        return NameMeaning(outcome=NameOutcome.UNKNOWN, problem=why)
    found = [one for one in assignments if one.is_on(account, source.id)]
    if len(found) == 1:
        selection = assignment_selection(found[0].id)
        return NameMeaning(outcome=NameOutcome.FOUND, id=json.dumps([account.key, selection], ensure_ascii=False))
    if found:
        ids = _listed(shown_name(one.id) for one in found)
        why = f"the role is assigned several times on {account.description}: {ids}; revoke one in the tenant"
    else:
        there = _listed(dict.fromkeys(shown_name(word) for one in assignments for word in one.words)) or "no account"
        why = f"the role is not assigned on {account.description}, but on {there}; correct or leave out the row"
    return NameMeaning(outcome=NameOutcome.UNKNOWN, problem=why)


def _why_not(
    wanted: Wanted,
    offered: ItemAccounts,
    crowded: Sequence[SourceAccounts],
    source: SourceAccounts,
    *,
    is_named: bool,
    nested: bool,
) -> str:
    """Why no account can be chosen, and what to do; empty if one can."""
    names = _listed(shown_name(one.name) for one in crowded)
    accounts = _listed(one.description for one in source.accounts)
    several = f"there are several accounts on {shown_name(source.name)}: {accounts}"
    is_strange = bool(wanted.source and wanted.account) and not is_named
    written = shown_name(wanted.source)
    is_grant = wanted.operation == Operation.GRANT
    is_blocked = is_grant and bool(offered.blocked)
    is_nameless = not is_grant and wanted.item_type == ItemType.ACCESS_PROFILE
    kind = ITEM_WORDS[ItemType(wanted.item_type)]
    reasons = (
        (is_strange, f"there are several accounts on {names}, and the source is '{written}': correct it, or clear it"),
        (is_blocked, f"the tenant lets nobody choose an account for it ({shown_name(offered.blocked)}): clear it"),
        (is_grant and not nested, f"{several}; only --api v1 can choose one"),
        (len(crowded) > 1, f"there are several accounts on each of {names}: a row can choose on one source only"),
        (not wanted.account, f"{several}; {_NAME_IT}"),
        (is_nameless, f"a revoke of the {kind} can't name an account: clear it"),
    )
    return next((why for holds, why in reasons if holds), "")


def _must_choose(wanted: Wanted, offered: ItemAccounts) -> bool:
    """Whether a row that names no account must name one of several."""
    if wanted.operation == Operation.GRANT and offered.needless:
        return False
    # Revokes of roles and access profiles without an account go as they always have.
    return not offered.blocked and (wanted.operation == Operation.GRANT or wanted.item_type == ItemType.ENTITLEMENT)


def _found(wanted: Wanted, account: Account, source: SourceAccounts, offered: ItemAccounts) -> NameMeaning:
    if wanted.operation == Operation.GRANT:
        others = [(one.id, one.accounts[0]) for one in offered.sources if one != source and one.accounts]
        selection = grant_selection((id_, one.uuid, one.native) for id_, one in ((source.id, account), *others))
    else:
        selection = revoke_selection(account.native)
    return NameMeaning(outcome=NameOutcome.FOUND, id=json.dumps([account.key, selection], ensure_ascii=False))


def _listed(texts: Iterable[str]) -> str:
    names: Sequence[str] = [*texts]
    more = f"; and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return "; ".join(names[:LISTED]) + more
