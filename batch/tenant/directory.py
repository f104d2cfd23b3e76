"""The tenant's directory: looks names up in as few calls as its limits allow.

A search for people compares all kinds of names at once; names that the search index does not know yet are looked up in
the list of identities. We compare every match of the tenant's again.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from batch.answers.events import Notice
from batch.api.dialects import ItemType
from batch.errors import SettingsError
from batch.names.meaning import (
    FIELD_WORDS,
    ITEM_WORDS,
    NameMatches,
    identity_fields,
    item_texts,
    match_items,
    match_people,
    nearest,
    person_texts,
)
from batch.read.item_names import entitlement_name
from batch.tenant.collection import answers
from batch.tenant.directory_questions import Caller, Items, People, Search
from batch.tenant.reading import ForbiddenError
from batch.text import on_one_line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

    from batch.answers.events import Tell
    from batch.api.dialects import Dialect
    from batch.model import IdentityBy
    from batch.tenant.reading import Reader

MOST_TEXT: Final = 100
"""Most characters kept of a text from the tenant."""

MOST_SUGGESTED: Final = 20
"""For so many names of a kind that nobody has, names that are spelled nearly so are looked for."""


class Directory:
    """The directory of one tenant in one dialect.

    Args:
        reader: Asks the tenant.
        dialect: The API version.
        tell: Takes notices.
        suggests: Whether to look for names that are spelled nearly like one that nobody has: one call for each kind.
    """

    def __init__(self, reader: Reader, dialect: Dialect, *, tell: Tell, suggests: bool = False) -> None:
        self._suggests = suggests
        self._caller = Caller(reader, dialect)
        self._reader = reader
        self._dialect = dialect
        self._tell = tell

    @property
    def calls(self) -> int:
        """Calls made so far."""
        return self._caller.calls

    async def people(self, names: Sequence[str], by: IdentityBy) -> AsyncIterator[dict[str, NameMatches]]:
        """The people that each name may mean, for some of the names at a time.

        Args:
            names: As written, without surrounding space.
            by: The kind of the names; not an id.

        Raises:
            SettingsError: The token may not look names up.
            TenantLostError: The directory can't be read.
        """
        fields = identity_fields(by)
        missing: list[str] = []
        try:
            async for found in self._searched(names, fields):
                missing += [name for name, one in found.items() if not one.candidates and not one.refusal]
                yield {name: one for name, one in found.items() if one.candidates or one.refusal}
        except ForbiddenError:
            listed = tuple(field for field in fields if field in self._dialect.people_filters)
            if not listed:
                raise self._forbidden("search", self._dialect.search_scopes, "identity_id") from None
            self._tell_of(field for field in fields if field not in listed)
            missing, fields = list(names), listed
        async for found in self._listed(missing, fields):
            yield found

    async def items(self, item_type: ItemType, names: Sequence[str]) -> AsyncIterator[dict[str, NameMatches]]:
        """The items that each name may mean, for some of the names at a time; see `people`.

        Args:
            item_type: Kind of the items.
            names: As written; for entitlements with source and attribute.
        """
        if item_type is ItemType.ENTITLEMENT:
            whole: list[str] = []
            short: list[str] = []
            for name in names:
                parts = entitlement_name(name)
                (whole if parts and parts.attribute else short).append(name)
            groups = [("value", whole), ("name", short)]
        else:
            groups = [("name", list(names))]
        for field, group in groups:
            question = Items(self._caller, item_type, field)
            try:
                unknown: dict[str, NameMatches] = {}
                async for answer in answers(question, question.portions(group)):
                    named = match_items(item_type, answer.values, answer.rows, self._clean)
                    refusal = self._clean(answer.refused)
                    found = {name: NameMatches(candidates=named[name], refusal=refusal) for name in named}
                    yield _without_unknown(found, unknown)
                yield await self._with_suggestions(question, unknown, partial(item_texts, item_type))
            except ForbiddenError:
                scopes = _scopes(self._dialect, item_type)
                raise self._forbidden(f"read {ITEM_WORDS[item_type]}s", scopes, "item_id") from None

    async def _searched(
        self, names: Iterable[str], fields: tuple[IdentityBy, ...]
    ) -> AsyncIterator[dict[str, NameMatches]]:
        question = Search(self._caller, fields)
        async for answer in answers(question, question.portions(names)):
            named = match_people(answer.values, answer.rows, fields, self._clean)
            refused = self._clean(answer.refused)
            yield {name: NameMatches(candidates=named[name], fields=fields, refusal=refused) for name in named}

    async def _listed(
        self, names: Iterable[str], fields: tuple[IdentityBy, ...]
    ) -> AsyncIterator[dict[str, NameMatches]]:
        """The people of each name in the list of identities; names that can't stand in it are not looked up."""
        question = People(self._caller, tuple(field for field in fields if field in self._dialect.people_filters))
        unknown = {name: NameMatches(fields=fields) for name in names if not question.terms(name)}
        try:
            async for answer in answers(question, question.portions(name for name in names if question.terms(name))):
                named = match_people(answer.values, answer.rows, fields, self._clean)
                refused = self._clean(answer.refused)
                found = {name: NameMatches(candidates=named[name], fields=fields, refusal=refused) for name in named}
                yield _without_unknown(found, unknown)
            yield await self._with_suggestions(question, unknown, partial(person_texts, fields=fields))
        except ForbiddenError:
            raise self._forbidden("read identities", self._dialect.people_scopes, "identity_id") from None

    async def _with_suggestions(
        self, question: People | Items, unknown: dict[str, NameMatches], texts_of: Callable[[Any], Mapping[str, str]]
    ) -> dict[str, NameMatches]:
        """The names that nobody has, the first of them with names that are spelled nearly so."""
        asked = list(unknown)[:MOST_SUGGESTED] if self._suggests and question.fields else []
        if not asked:
            return unknown
        rows = map(question.read, await question.ask_beginnings(asked))
        pairs = {pair for row in rows if row is not None for pair in texts_of(row).items()}
        texts = dict(sorted((self._clean(text), self._clean(suggested)) for text, suggested in pairs))
        return unknown | {name: replace(unknown[name], near=nearest(name, texts)) for name in asked}

    def _clean(self, text: str) -> str:
        return on_one_line(text[: 4 * MOST_TEXT], most=MOST_TEXT)

    def _tell_of(self, unseen: Iterable[IdentityBy]) -> None:
        if words := " and ".join(f"{FIELD_WORDS[field]}s" for field in unseen):
            scope = self._dialect.search_scopes[0]
            text = f"The token may not search (scope {scope}), so names are not compared with {words}."
            self._tell(Notice(text=text))

    def _forbidden(self, what: str, scopes: tuple[str, ...], column: str) -> SettingsError:
        return SettingsError(
            f"The token may not {what}, so names can't be looked up.",
            next_step=f"Nothing was sent. Give the token the scope {scopes[0]}, or give ids alone, in the column "
            f"{column}.",
        )


def _without_unknown(found: dict[str, NameMatches], unknown: dict[str, NameMatches]) -> dict[str, NameMatches]:
    """The names that have a candidate, or that were refused; the others go into `unknown`."""
    unknown |= {name: one for name, one in found.items() if not one.candidates and not one.refusal}
    return {name: one for name, one in found.items() if name not in unknown}


def _scopes(dialect: Dialect, item_type: ItemType) -> tuple[str, ...]:
    match item_type:
        case ItemType.ROLE:
            return dialect.roles_scopes
        case ItemType.ACCESS_PROFILE:
            return dialect.access_profiles_scopes
        case ItemType.ENTITLEMENT:
            return dialect.entitlements_scopes
