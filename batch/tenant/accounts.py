"""The accounts that a request may choose from, the assignments of roles, and the sources of access items.

Sources: the operations `loadAccountSelections` and `getRoleAssignments` of the vendor's OpenAPI documents, and the
field `source` of `AccessProfile` and `Entitlement`. What we do not understand is unknown.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol
from unicodedata import category
from urllib.parse import quote

from batch.api.account_key import native_word, uuid_word
from batch.api.dialects import FILTER_VALUES, PAGE_LIMIT, REQUEST_TYPES, ItemType, Operation
from batch.names.accounts import Account, Assignment, ItemAccounts, SourceAccounts, once_each
from batch.names.meaning import ITEM_WORDS
from batch.tenant.collection import TOO_LONG, answers
from batch.tenant.directory_questions import MOST_LISTED_ROWS, Caller
from batch.tenant.paging import lost, require_the_apis
from batch.tenant.reading import ForbiddenError, RefusedError, quoted
from batch.text import HIDDEN, key_of, moment, on_one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from batch.api.dialects import Dialect
    from batch.status.in_progress import Item
    from batch.tenant.reading import Reader, Reply

ITEMS_AT_ONCE: Final = 25
"""Most items of one question for accounts."""

_SELECTION: Final = "accounts to choose from"
_MOST_TEXT: Final = 1_000
_OK: Final = 200
_FORBIDDEN: Final = 403
_SETTLED: Final = frozenset({_OK, 404, TOO_LONG})
_ASSIGNMENTS: Final = "list of role assignments"


class Choices(Protocol):
    """Says which accounts there are: a tenant, or a fake."""

    @property
    def calls(self) -> int:
        """Calls made so far."""

    async def of(self, person: str, items: Sequence[Item]) -> Mapping[Item, ItemAccounts]:
        """A person's accounts for at most ITEMS_AT_ONCE items; those that the tenant does not tell are left out.

        Raises:
            RefusedError: The tenant refuses the question; ForbiddenError if the token's user may not ask it.
            TenantLostError: It can't be asked.
        """

    async def assignments(self, person: str, role: str) -> tuple[Assignment, ...] | None:
        """A person's assignments of a role; None if the tenant does not tell all of them. Errors as above."""

    async def sources(self, item_type: ItemType, ids: Sequence[str]) -> Mapping[str, str]:
        """The keys of the sources of access profiles or entitlements, as far as the tenant tells; errors as above."""


class AccountChoices:
    """The accounts of one tenant.

    Args:
        reader: Asks the tenant.
        dialect: The API version.
    """

    def __init__(self, reader: Reader, dialect: Dialect) -> None:
        self._caller = Caller(reader, dialect)
        self._paths = dialect.paths

    @property
    def calls(self) -> int:
        """Calls made so far."""
        return self._caller.calls

    async def of(self, person: str, items: Sequence[Item]) -> Mapping[Item, ItemAccounts]:
        """See Choices."""
        body = {
            "requestType": REQUEST_TYPES[Operation.GRANT],
            "requestedFor": [person],
            "requestedItems": [{"type": kind, "id": item} for kind, item in items],
        }
        reply = await self._caller.ask(
            "POST",
            self._paths.accounts_selection,
            _SELECTION,
            params={},
            body=body,
            settling=_SETTLED,
        )
        require_the_apis(reply.answer, _SELECTION)
        if reply.refusal:
            raise (ForbiddenError if reply.answer.status in {_FORBIDDEN, 404} else RefusedError)(reply.refusal)
        if not isinstance(reply.document, dict):
            raise lost(_SELECTION, "are no JSON object")
        asked = {(kind, key_of(item)): (kind, item) for kind, item in items}
        found = {
            asked[key]: accounts
            for identity in _objects(reply.document.get("identities"))
            if key_of(_text(identity.get("id"))) == key_of(person)
            for one in _objects(identity.get("requestedItems"))
            if (key := (_text(one.get("type")), key_of(_text(one.get("id"))))) in asked
            and (accounts := _item_accounts(one, identity.get("accountsSelectionRequired"))) is not None
        }
        # Whatever is not told, or has several accounts, may be what the choice is needed for.
        candidates = sum(item not in found or bool(found[item].crowded()) for item in items)
        if candidates > 1:
            return {item: replace(one, required=one.required and None) for item, one in found.items()}
        return found

    async def assignments(self, person: str, role: str) -> tuple[Assignment, ...] | None:
        """See Choices."""
        listed = await self._role_assignments(person, {"roleId": role})
        if listed is None:
            return None
        raw = [one for one in listed if not _is_of_another(one, role)]
        found = [one for one in map(_assignment, raw) if one is not None]
        return tuple(found) if len(found) == len(raw) else None

    async def role_ends(self, person: str) -> Mapping[str, Sequence[str]] | None:
        """See loops.end_dates.Assignments."""
        listed = await self._role_assignments(person, {})
        found: dict[str, list[str]] = {}
        for raw in listed or ():
            role, end = _role_end(raw)
            if not role or end is None:
                return None
            found.setdefault(role, []).append(end)
        return None if listed is None else found

    async def _role_assignments(self, person: str, params: Mapping[str, str]) -> list[Any] | None:
        """The list of a person's role assignments; None if it is no list."""
        reply = await self._caller.ask(
            "GET",
            self._paths.role_assignments.format(identity=quote(person, safe="")),
            _ASSIGNMENTS,
            params=params,
            settling=_SETTLED,
        )
        require_the_apis(reply.answer, _ASSIGNMENTS)
        if reply.refusal:
            raise (ForbiddenError if reply.answer.status == _FORBIDDEN else RefusedError)(reply.refusal)
        return reply.document if isinstance(reply.document, list) else None

    async def sources(self, item_type: ItemType, ids: Sequence[str]) -> Mapping[str, str]:
        """See Choices."""
        question = _SourcesById(self._caller, item_type)
        at_once = min(FILTER_VALUES, PAGE_LIMIT) - 1
        found: dict[str, str] = {}
        asked = (tuple(ids[start : start + at_once]) for start in range(0, len(ids), at_once))
        async for answer in answers(question, asked):
            found |= {key_of(item): source for item, source in answer.rows}
        return {item: found[key_of(item)] for item in ids if key_of(item) in found}


class _SourcesById:
    """A list of access profiles or entitlements that is asked for the sources of some ids."""

    page_limit = PAGE_LIMIT
    most_rows = MOST_LISTED_ROWS

    def __init__(self, caller: Caller, item_type: ItemType) -> None:
        paths = caller.dialect.paths
        self.subject = f"list of {ITEM_WORDS[item_type]}s"
        self._path = paths.entitlements if item_type is ItemType.ENTITLEMENT else paths.access_profiles
        self._caller = caller

    async def ask(self, values: tuple[str, ...], offset: int) -> Reply:
        """See collection.CollectionQuery."""
        params = {
            "filters": f"id in ({', '.join(map(quoted, values))})",
            "limit": str(self.page_limit),
            "offset": str(offset),
            "count": "true",
        }
        return await self._caller.ask("GET", self._path, self.subject, params=params)

    def read(self, raw: Any) -> tuple[str, str] | None:
        """The row's id, and the key of its source."""
        item, source = (raw.get("id"), raw.get("source")) if isinstance(raw, dict) else (None, None)
        id_ = source.get("id") if isinstance(source, dict) else None
        return (item, key_of(id_)) if isinstance(item, str) and isinstance(id_, str) and id_ else None


def _item_accounts(one: Mapping[str, Any], required: object) -> ItemAccounts | None:
    """A person's accounts for an item; None if some of them can't be read: a guess could take another one.

    Args:
        one: The item.
        required: Whether the tenant says that a choice is needed, be it for another item of the same question.
    """
    sources = [_source(source) for source in _objects(one.get("sources"))]
    blocked = one.get("accountsSelectionBlocked") is True
    reason = _text(one.get("accountsSelectionBlockedReason"))
    known = [source for source in sources if source is not None]
    if len(known) < len(sources) or not isinstance(one.get("sources"), list):
        return None
    return ItemAccounts(
        sources=once_each(known),
        blocked=(reason or "accountsSelectionBlocked") if blocked else "",
        required=required is True,
    )


def _source(raw: Mapping[str, Any]) -> SourceAccounts | None:
    accounts = raw.get("accounts")
    known = [_account(one) for one in _objects(accounts)]
    id_ = _text(raw.get("id"))
    if not id_ or not isinstance(accounts, list) or len(known) < len(accounts):
        return None
    return SourceAccounts(id=id_, name=_text(raw.get("name")), accounts=tuple(known))


def _account(raw: Mapping[str, Any]) -> Account:
    """An account; without its native identity if that can't be read, so that only rows that mean it are concerned."""
    native, name = raw.get("nativeIdentity"), raw.get("name")
    shown = next((on_one_line(one, most=_MOST_TEXT) for one in (name, native) if isinstance(one, str) and one), "")
    return Account(
        native=_words(native), name=_words(name) or shown, id=_text(raw.get("id")), uuid=_text(raw.get("uuid"))
    )


def _is_of_another(raw: object, role: str) -> bool:
    """Whether an assignment is plainly one of another role."""
    reference = raw.get("role") if isinstance(raw, dict) else None
    named = _text(reference.get("id")) if isinstance(reference, dict) else ""
    return bool(named) and key_of(named) != key_of(role)


def _assignment(raw: object) -> Assignment | None:
    """An assignment; None if its id or one of its accounts can't be read."""
    if not isinstance(raw, dict) or not isinstance(raw.get("role"), dict):
        return None
    id_, targets = _text(raw.get("id")), raw.get("accountTargets")
    accounts: set[tuple[str, str, str]] = set()
    words: list[str] = []
    for target in targets if isinstance(targets, list) else [None]:
        source, account = (
            (target.get("source"), target.get("accountInfo")) if isinstance(target, dict) else (None, None)
        )
        if not isinstance(source, dict) or not isinstance(account, dict) or not _text(source.get("id")):
            return None
        native, uuid = _words(account.get("nativeIdentity")), _text(account.get("uuid"))
        if not native:
            return None
        accounts.add((key_of(_text(source.get("id"))), native_word(native), uuid_word(uuid)))
        words.append(_text(account.get("displayName")) or native)
    return Assignment(id=id_, accounts=frozenset(accounts), words=tuple(words)) if id_ else None


def _role_end(raw: object) -> tuple[str, str | None]:
    """The key of an assignment's role, and its end date, empty for none; None if it can't be read."""
    reference, end = (raw.get("role"), raw.get("removeDate")) if isinstance(raw, dict) else (None, None)
    role = key_of(_text(reference.get("id"))) if isinstance(reference, dict) else ""
    return role, "" if end in (None, "") else end if isinstance(end, str) and moment(end) else None


def _objects(value: object) -> Iterator[dict[str, Any]]:
    return (one for one in value if isinstance(one, dict)) if isinstance(value, list) else iter(())


def _words(value: object) -> str:
    """As `_text`, for names, which may have blanks of any kind anywhere."""
    if not isinstance(value, str) or len(value) > _MOST_TEXT or not value.strip() or HIDDEN in value:
        return ""
    return value if all(one.isprintable() or category(one) == "Zs" for one in value) else ""


def _text(value: object) -> str:
    """A text that can be kept and sent back as it is; empty for anything else."""
    if not isinstance(value, str) or len(value) > _MOST_TEXT or HIDDEN in value:
        return ""
    return value if on_one_line(value, most=_MOST_TEXT) == value else ""
