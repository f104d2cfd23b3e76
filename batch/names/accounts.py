"""Which of a person's several accounts a row means. Pure; ambiguity is never guessed."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from batch.api.account_key import ID, NAME, NATIVE, UUID, account_key, native_word, uuid_word
from batch.api.accounts import assignment_selection, grant_selection, revoke_selection
from batch.api.dialects import ItemType, Operation
from batch.names.meaning import ITEM_WORDS, LISTED, NameMeaning, NameOutcome, shown_name
from batch.text import key_of, tidy

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
        native: Its native identity; empty if it can't be read, so that no request can name the account.
        name: As people know it.
        id: The tenant's id; empty if unknown.
        uuid: Its uuid on the source; empty if it has none.
    """

    native: str
    name: str = ""
    id: str = ""
    uuid: str = ""

    @property
    def words(self) -> dict[str, str]:
        """What tells it apart, by its kind, as it is compared."""
        return {ID: key_of(self.id), UUID: uuid_word(self.uuid), NATIVE: native_word(self.native)}

    def is_called(self, text: str) -> bool:
        """Whether a row may mean it by a text."""
        words, spoken = self.words, _spoken(text)
        said = (
            (spoken, _spoken(self.native)),
            (spoken, _spoken(self.name)),
            (key_of(text.strip()), words[ID]),
            (uuid_word(text), words[UUID]),
        )
        return any(one == other != "" for one, other in said)

    @property
    def description(self) -> str:
        """For messages."""
        named = self.name and self.native and self.name.casefold() != self.native.casefold()
        either = self.native or self.name or self.id or "one without a name"
        return f"{shown_name(self.name)} ({shown_name(self.native)})" if named else shown_name(either)


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceAccounts:
    """A person's accounts on one source of an item.

    Attributes:
        id: Id of the source.
        name: Its name; empty if the tenant leaves it out.
        accounts: Each once.
    """

    id: str
    name: str
    accounts: tuple[Account, ...]

    @property
    def description(self) -> str:
        """For messages."""
        return shown_name(self.name or self.id)

    def is_called(self, text: str) -> bool:
        """Whether a row means it by a text."""
        return key_of(text.strip()) == key_of(self.id) or _spoken(text) == _spoken(self.name)

    def key(self, account: Account) -> str:
        """What tells one of the accounts apart for good: words that another one shares do not."""
        others = [one.words for one in self.accounts if one is not account]
        own = {kind: word for kind, word in account.words.items() if all(word != other[kind] for other in others)}
        if not own.get(ID) and not own.get(UUID):
            name = native_word(account.name)
            own |= (
                {}
                if any(name == native_word(one.name) for one in self.accounts if one is not account)
                else {NAME: name}
            )
        return account_key(own)


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemAccounts:
    """What the tenant says of a person's accounts for an item.

    Attributes:
        sources: Of each of the item's sources.
        blocked: Why nobody may choose; empty if they may.
        required: Whether the tenant says that a request must choose; None if that may be said of another item.
    """

    sources: tuple[SourceAccounts, ...]
    blocked: str = ""
    required: bool | None = False

    def crowded(self) -> list[SourceAccounts]:
        """The sources with several accounts."""
        return [source for source in self.sources if len(source.accounts) > 1]


def once_each(sources: Iterable[SourceAccounts]) -> tuple[SourceAccounts, ...]:
    """The same sources and accounts without repetitions: tenants list some twice."""
    found: dict[str, SourceAccounts] = {}
    for one in sources:
        before = found.get(key_of(one.id), one)
        accounts = {tuple(account.words.values()): account for account in (*before.accounts, *one.accounts)}
        found[key_of(one.id)] = replace(before, accounts=tuple(accounts.values()))
    return tuple(found.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class Assignment:
    """An assignment of a role to a person.

    Attributes:
        id: The tenant's id, by which a revoke names it.
        accounts: The key of the source, and native identity and uuid, as they are compared, of each account that it is
            on.
        words: The same accounts for messages.
    """

    id: str
    accounts: frozenset[tuple[str, str, str]]
    words: tuple[str, ...] = ()

    def is_on(self, account: Account, source: str) -> bool:
        """Whether it is on an account of the source with this id."""
        return True in self._on(account, source)

    def is_elsewhere(self, account: Account, source: str) -> bool:
        """Whether it is on another account of this source."""
        return False in self._on(account, source)

    def _on(self, account: Account, source: str) -> set[bool]:
        """Whether each of its accounts on a source is this one."""
        words = account.words
        return {
            native == words[NATIVE] or uuid == words[UUID] != ""
            for of, native, uuid in self.accounts
            if of == key_of(source)
        }


ACCOUNT: Final = "account"
"""The ledger's word for how the account of a change was looked up, see `Wanted.as_name`."""

NO_CHOICE: Final = NameMeaning(outcome=NameOutcome.FOUND, id=json.dumps(["", ""]))
"""There is nothing to choose, or no request can say what was chosen."""

CLEAR: Final = "leave the row's account empty, and the tenant chooses"

_NAME_IT: Final = "name it in the row"


def chosen(meaning: NameMeaning) -> tuple[str, str]:
    """The key of the account, and how a body names it, of a meaning that was FOUND."""
    key, selection = json.loads(meaning.id)
    return key, selection


def needs_assignment(wanted: Wanted) -> bool:
    """Whether a row names an account that a request can only name by the assignment of a role."""
    is_revoke = wanted.operation == Operation.REVOKE and wanted.item_type == ItemType.ROLE
    return is_revoke and bool(wanted.account)


def may_choose(wanted: Wanted) -> bool:
    """Whether a request for the change could name an account without the assignment of a role."""
    return wanted.operation == Operation.GRANT or wanted.item_type == ItemType.ENTITLEMENT


def why_no_choice(wanted: Wanted) -> str:
    """That the API version has no field for the account of such a change, and which has one."""
    is_grant = wanted.operation == Operation.GRANT
    versions = "--api v1" if is_grant else "--api v1, or one from v2024 on"
    return (
        f"this API version can't {'grant' if is_grant else 'revoke'} on a chosen account: give {versions}, or {CLEAR}"
    )


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
        The account's key and selection as `id`, or why none is found. The only account that there is has no key.
        NO_CHOICE if a request need not name one: the row names none, or the only one and no request can say so.
    """
    crowded = offered.crowded()
    if not wanted.account:
        return _unnamed(wanted, offered, nested=nested) if crowded else NO_CHOICE
    if why := _why_not(wanted, offered, crowded, nested=nested):
        return NameMeaning(outcome=NameOutcome.UNKNOWN, problem=why)
    sources = _meant(wanted, crowded) if crowded else _meant(wanted, offered.sources)
    every = [(source, one) for source in sources for one in source.accounts]
    found = [(source, one) for source, one in every if one.is_called(wanted.account)]
    if not found or (crowded and len(found) > 1):
        which = "may be any of several accounts" if found else "is none of the accounts"
        listed = _listed(one.description for _, one in found or every)
        where = _listed(source.description for source in sources)
        remedy = f"{_NAME_IT}, or {CLEAR}"
        why = f"'{shown_name(wanted.account)}' {which} on {where}: {listed}; {remedy}"
        return NameMeaning(outcome=NameOutcome.UNKNOWN, problem=why)
    source, account = found[0]
    if not account.native:
        why = f"the tenant does not tell the native identity of {account.description}, which a request needs: {CLEAR}"
        return NameMeaning(outcome=NameOutcome.UNKNOWN, problem=why)
    key = source.key(account) if crowded else ""
    return _carried(wanted, account, source, offered, nested=nested, assignments=assignments, key=key)


def _carried(
    wanted: Wanted,
    account: Account,
    source: SourceAccounts,
    offered: ItemAccounts,
    *,
    nested: bool,
    assignments: Sequence[Assignment] | str,
    key: str,
) -> NameMeaning:
    """How a request names an account; NO_CHOICE if it can't, and the account is the only one, so that it has no key."""
    if needs_assignment(wanted):
        return _assigned(account, source, assignments, key=key)
    if not key and not _can_say(wanted, offered, nested=nested):
        return NO_CHOICE
    return _found(wanted, account, source, offered, key=key)


def _can_say(wanted: Wanted, offered: ItemAccounts, *, nested: bool) -> bool:
    """Whether a request has a field for the account of such a change, and the tenant lets it be used."""
    if wanted.operation == Operation.GRANT:
        return nested and not offered.blocked
    return wanted.item_type == ItemType.ENTITLEMENT


def _spoken(text: str) -> str:
    """A name or native identity as rows are compared with it: what looks the same is the same."""
    return native_word(tidy(text))


def _meant(wanted: Wanted, sources: Sequence[SourceAccounts]) -> list[SourceAccounts]:
    """The sources that a row may mean; empty if it names none of them."""
    if not wanted.source:
        return [*sources]
    only = sources[0] if len(sources) == 1 else None
    return [one for one in sources if one.is_called(wanted.source)] or ([only] if only and not only.name else [])


def _unnamed(wanted: Wanted, offered: ItemAccounts, *, nested: bool) -> NameMeaning:
    """What becomes of a row that names none of several accounts."""
    can_choose = nested if wanted.operation == Operation.GRANT else may_choose(wanted)
    if not offered.required or offered.blocked or not can_choose:
        return NO_CHOICE
    crowded = offered.crowded()
    if len(crowded) > 1:
        names = _listed(one.description for one in crowded)
        why = f"there are several accounts on each of {names}: a row can choose on one source only"
    else:
        why = f"{_several(crowded[0])}; {_NAME_IT}"
    return NameMeaning(outcome=NameOutcome.UNKNOWN, problem=why)


def _several(source: SourceAccounts) -> str:
    return f"there are several accounts on {source.description}: {_listed(one.description for one in source.accounts)}"


def _assigned(
    account: Account, source: SourceAccounts, assignments: Sequence[Assignment] | str, *, key: str
) -> NameMeaning:
    """The one assignment that is on an account alone.

    An only account (without a key) needs no proof, but none of the assignments may be on another one.
    """
    if isinstance(assignments, str):
        why = f"it is not known on which account the role is assigned ({assignments}): {CLEAR}"
        return NameMeaning(outcome=NameOutcome.UNKNOWN, problem=why) if key else NO_CHOICE
    found = [one for one in assignments if one.is_on(account, source.id)]
    if len(found) == 1 and not found[0].is_elsewhere(account, source.id):
        return _meaning(key, assignment_selection(found[0].id, account.native))
    if not key and not any(one.is_elsewhere(account, source.id) for one in assignments):
        return NO_CHOICE
    there = _listed(dict.fromkeys(shown_name(word) for one in found or assignments for word in one.words))
    if len(found) > 1:
        ids = _listed(shown_name(one.id) for one in found)
        why = f"the role is assigned several times on {account.description}: {ids}; revoke one in the tenant"
    elif found:
        why = (
            f"the role's assignment {shown_name(found[0].id)} is on several accounts ({there}), and a request would "
            "revoke it on all of them: revoke it in the tenant, or leave out the row"
        )
    else:
        but = f", but on {there}" if there else ", nor on any other account"
        why = f"the role is not assigned on {account.description}{but}; correct or leave out the row"
    return NameMeaning(outcome=NameOutcome.UNKNOWN, problem=why)


def _why_not(wanted: Wanted, offered: ItemAccounts, crowded: Sequence[SourceAccounts], *, nested: bool) -> str:
    """Why a row can name no account, and what to do; empty if it can."""
    is_grant = wanted.operation == Operation.GRANT
    sources = crowded or offered.sources
    names = _listed(one.description for one in sources)
    several, written = f"there are several accounts on {names}", shown_name(wanted.source)
    reasons = (
        (not any(one.accounts for one in offered.sources), f"the tenant offers no account of this person: {CLEAR}"),
        (
            not _meant(wanted, sources) and bool(_meant(wanted, offered.sources)),
            f"there is nothing to choose on {written}, but {several}: name one of those, or {CLEAR}",
        ),
        (not _meant(wanted, sources), f"the accounts are on {names}, not on '{written}': correct or clear the source"),
        (
            bool(crowded) and is_grant and bool(offered.blocked),
            f"the tenant lets nobody choose an account for it ({shown_name(offered.blocked)}): {CLEAR}",
        ),
        (bool(crowded) and is_grant and not nested, f"{several}, and {why_no_choice(wanted)}"),
        (len(crowded) > 1, f"there are several accounts on each of {names}: a row can choose on one source only"),
        (
            bool(crowded) and not is_grant and wanted.item_type == ItemType.ACCESS_PROFILE,
            f"a revoke of the {ITEM_WORDS[ItemType.ACCESS_PROFILE]} can't name an account: {CLEAR}",
        ),
    )
    return next((why for holds, why in reasons if holds), "")


def _found(wanted: Wanted, account: Account, source: SourceAccounts, offered: ItemAccounts, *, key: str) -> NameMeaning:
    if wanted.operation == Operation.REVOKE:
        return _meaning(key, revoke_selection(account.native))
    sole = [(one.id, one.accounts[0]) for one in offered.sources if one != source and one.accounts]
    others = [(id_, one) for id_, one in sole if one.native]
    return _meaning(key, grant_selection((id_, one.uuid, one.native) for id_, one in ((source.id, account), *others)))


def _meaning(key: str, selection: str) -> NameMeaning:
    return NameMeaning(outcome=NameOutcome.FOUND, id=json.dumps([key, selection], ensure_ascii=False))


def _listed(texts: Iterable[str]) -> str:
    names: Sequence[str] = [*texts]
    more = f"; and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return "; ".join(names[:LISTED]) + more
