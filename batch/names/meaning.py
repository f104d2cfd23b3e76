"""The identities and items that a name may mean, and whether it means exactly one.

Nothing is guessed: a name resolves only if it fits exactly one; every other outcome lists its candidates.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from operator import itemgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Final
from unicodedata import normalize

from batch.api.dialects import ItemType
from batch.model import IdentityBy
from batch.read.item_names import EntitlementName, entitlement_name
from batch.text import tidy, written_out
from batch.validate.prepare import ID_PATTERN, MOST_SHOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

LISTED: Final = 5
"""Candidates that a message lists."""

ITEM_WORDS: Final[Mapping[ItemType, str]] = MappingProxyType(
    {ItemType.ROLE: "role", ItemType.ACCESS_PROFILE: "access profile", ItemType.ENTITLEMENT: "entitlement"}
)

FIELD_WORDS: Final[Mapping[IdentityBy, str]] = MappingProxyType(
    {
        IdentityBy.ALIAS: "alias",
        IdentityBy.EMAIL: "e-mail",
        IdentityBy.EMPLOYEE_NUMBER: "employee number",
        IdentityBy.NAME: "display name",
    }
)
"""The fields of an identity that can name it."""

_SUGGESTED: Final = 3
_NEARNESS: Final = 0.8
"""How near a spelling must be to be suggested, from 0 to 1: in ten letters one may be wrong and one missing."""

_ID: Final = re.compile(ID_PATTERN)


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """An identity as the tenant lists it; fields without a value are empty.

    Attributes:
        id: The tenant's id of it.
        alias: Its unique name, from its account in the authoritative source.
        email: Its e-mail address.
        numbers: Its employee number, from each place where the tenant shows one.
        name: Its display name.
    """

    id: str
    alias: str = ""
    email: str = ""
    numbers: tuple[str, ...] = ()
    name: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """An access item as the tenant lists it; fields without a value are empty.

    Attributes:
        id: The tenant's id of it.
        names: Its name and its display name.
        owner: Its owner's name.
        source: Its source's name.
        attribute: For an entitlement, the account attribute that holds it.
        value: For an entitlement, the attribute's value.
    """

    id: str
    names: tuple[str, ...]
    owner: str = ""
    source: str = ""
    attribute: str = ""
    value: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class NameCandidate:
    """An identity or item that a name may mean.

    Attributes:
        id: The tenant's id of it.
        description: Distinguishes it from the other candidates, on one line.
        exact: Whether the name is written as the tenant writes it, in the same case.
    """

    id: str
    description: str
    exact: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class NameMatches:
    """The tenant's answer about one name.

    Attributes:
        candidates: The identities or items that the name may mean.
        fields: The fields compared; empty for items.
        refusal: Why the tenant can't look the name up; empty if it did.
        near: If it means nobody, names that are spelled nearly so: only suggestions.
    """

    candidates: tuple[NameCandidate, ...] = ()
    fields: tuple[IdentityBy, ...] = ()
    refusal: str = ""
    near: tuple[str, ...] = ()


class NameOutcome(StrEnum):
    """The outcome of looking up a name."""

    FOUND = "found"
    UNKNOWN = "unknown"
    AMBIGUOUS = "ambiguous"


@dataclass(frozen=True, kw_only=True, slots=True)
class NameMeaning:
    """The meaning of a name.

    Attributes:
        outcome: Whether exactly one identity or item has the name.
        id: Its id; empty unless FOUND.
        problem: Why the name has no id, as a sentence; empty if FOUND.
        candidates: If AMBIGUOUS, the ids of all that it may mean; empty if they were not kept. None if the name could
            not be looked up, so that nothing is known of it.
    """

    outcome: NameOutcome
    id: str = ""
    problem: str = ""
    candidates: tuple[str, ...] | None = dataclasses.field(default=(), compare=False)


def is_id(text: str) -> bool:
    """Whether a text has the shape of a tenant's id: 32 hex digits or a UUID."""
    return _ID.fullmatch(text) is not None


def identity_fields(by: IdentityBy) -> tuple[IdentityBy, ...]:
    """The fields to compare with a name; none if the name is an id."""
    if by is IdentityBy.AUTO:
        return tuple(FIELD_WORDS)
    return () if by is IdentityBy.ID else (by,)


def match_people(
    names: Iterable[str], people: Iterable[Person], fields: Sequence[IdentityBy], clean: Callable[[str], str]
) -> dict[str, tuple[NameCandidate, ...]]:
    """The identities that each name may mean; the tenant may have listed others beside them.

    Args:
        names: As written, without surrounding space.
        people: As listed.
        fields: Fields to compare: without regard to case, except the employee number.
        clean: Makes a text from the tenant fit to be stored and shown.

    Returns:
        For every name its candidates by id, each once.
    """
    by_text: dict[str, dict[str, Person]] = defaultdict(dict)
    by_number: dict[str, dict[str, Person]] = defaultdict(dict)
    for person in people:
        for field in fields:
            index = by_number if field is IdentityBy.EMPLOYEE_NUMBER else by_text
            for text in _field_texts(person, field):
                index[text][person.id] = person
    matches = {}
    for name in names:
        fitting = {**by_text.get(_folded(name), {}), **by_number.get(name.strip(), {})}
        matches[name] = tuple(_person_candidate(fitting[id_], name, fields, clean) for id_ in sorted(fitting))
    return matches


def match_items(
    item_type: ItemType, names: Iterable[str], items: Iterable[Item], clean: Callable[[str], str]
) -> dict[str, tuple[NameCandidate, ...]]:
    """The items that each name may mean; the tenant may have listed others beside them.

    Args:
        item_type: Type of the items.
        names: As written; an entitlement's with source and attribute.
        items: As listed.
        clean: Makes a text from the tenant fit to be stored and shown.

    Returns:
        For every name its candidates by id.
    """
    by_name: dict[tuple[str, ...], dict[str, tuple[Item, set[tuple[str, ...]]]]] = defaultdict(dict)
    for item in items:
        for parts in _item_names(item_type, item):
            _, spellings = by_name[tuple(map(_folded, parts))].setdefault(item.id, (item, set()))
            spellings.add(tuple(map(composed, parts)))
    matches = {}
    for name in names:
        parts = tuple(map(composed, _name_parts(item_type, name)))
        fitting = by_name.get(tuple(map(_folded, parts)), {})
        matches[name] = tuple(
            NameCandidate(id=id_, description=_describe_item(item_type, item, clean), exact=parts in spellings)
            for id_, (item, spellings) in sorted(fitting.items(), key=itemgetter(0))
        )
    return matches


def person_meaning(name: str, matches: NameMatches) -> NameMeaning:
    """The identity that a name means, if it fits exactly one."""
    shown = shown_name(name)
    if matches.refusal:
        return _refused(shown, matches)
    if not matches.candidates:
        by = _either([FIELD_WORDS[field] for field in matches.fields])
        problem = f"no identity has '{shown}' as {by}{_suggested(matches)}"
        return NameMeaning(outcome=NameOutcome.UNKNOWN, problem=problem)
    if len(matches.candidates) == 1:
        return NameMeaning(outcome=NameOutcome.FOUND, id=matches.candidates[0].id)
    return _ambiguous(f"'{shown}' may be any of {len(matches.candidates)} identities", matches.candidates)


def item_meaning(item_type: ItemType, name: str, matches: NameMatches) -> NameMeaning:
    """The item that a name means: the only one spelled exactly so, or else the only one apart from case."""
    word, shown = ITEM_WORDS[item_type], shown_name(name)
    if matches.refusal:
        return _refused(shown, matches)
    if not matches.candidates:
        hint = ", and the tenant can't look up names with a +: give its id" if "+" in name else ""
        problem = f"there is no {word} '{shown}'{hint}{_suggested(matches)}"
        return NameMeaning(outcome=NameOutcome.UNKNOWN, problem=problem, candidates=None if hint else ())
    exact = [candidate for candidate in matches.candidates if candidate.exact]
    if len(exact) == 1 or len(matches.candidates) == 1:
        return NameMeaning(outcome=NameOutcome.FOUND, id=(exact or matches.candidates)[0].id)
    return _ambiguous(f"'{shown}' may be any of {len(matches.candidates)} {word}s", matches.candidates)


def nearest(name: str, texts: Mapping[str, str]) -> tuple[str, ...]:
    """What `texts` suggests for those that are spelled nearly like a name, the nearest first."""
    by_folded = {_folded(text): suggested for text, suggested in texts.items()}
    near = difflib.get_close_matches(_folded(name), by_folded, n=_SUGGESTED, cutoff=_NEARNESS)
    return tuple(dict.fromkeys(by_folded[folded] for folded in near))


def person_texts(person: Person, fields: Sequence[IdentityBy]) -> dict[str, str]:
    """The names of a person, each with the name to suggest for it: of these fields, since no other one is compared.

    An employee number is near to many, so it is left out.
    """
    texts = {IdentityBy.ALIAS: person.alias, IdentityBy.EMAIL: person.email, IdentityBy.NAME: person.name}
    compared = [text for field in fields if (text := texts.get(field, ""))]
    return {text: text if text in compared else compared[0] for text in texts.values() if text and compared}


def item_texts(item_type: ItemType, item: Item) -> dict[str, str]:
    """The names of an item as a cell may have them; each may be suggested."""
    if item_type is not ItemType.ENTITLEMENT:
        return dict(zip(item.names, item.names, strict=True))
    parts = [(item.source, "", name) for name in item.names]
    if item.attribute and item.value:
        parts.append((item.source, item.attribute, item.value))
    texts = [EntitlementName(source=one, attribute=two, value=three).text for one, two, three in parts]
    return dict(zip(texts, texts, strict=True))


def _suggested(matches: NameMatches) -> str:
    near = [f"'{shown_name(name)}'" for name in matches.near]
    return f" (did you mean {_either(near)}?)" if near else ""


def _folded(text: str) -> str:
    """The text for comparisons that ignore case, the encoding of accents, and the kind and amount of white space."""
    text = " ".join(tidy(text).split()).casefold()
    return text if text.isascii() else composed(text)


def composed(text: str) -> str:
    """The text with each letter and its accents as one character: some systems keep them apart, and nobody sees it."""
    return normalize("NFC", text)


def _field_texts(person: Person, field: IdentityBy) -> list[str]:
    """A field's texts for comparison; none if it is empty."""
    if field is IdentityBy.EMPLOYEE_NUMBER:
        return [text for number in person.numbers if (text := number.strip())]
    texts = {IdentityBy.ALIAS: person.alias, IdentityBy.EMAIL: person.email, IdentityBy.NAME: person.name}
    return [text] if (text := _folded(texts[field])) else []


def _person_candidate(
    person: Person, name: str, fields: Sequence[IdentityBy], clean: Callable[[str], str]
) -> NameCandidate:
    given = {IdentityBy.EMPLOYEE_NUMBER: name.strip()}
    by = [FIELD_WORDS[field] for field in fields if given.get(field, _folded(name)) in _field_texts(person, field)]
    title = clean(person.name) or clean(person.alias)
    details = [f"alias {clean(person.alias)}" if person.alias else "", f"id {person.id}", f"by its {' and '.join(by)}"]
    return NameCandidate(id=person.id, description=f"{title} ({', '.join(filter(None, details))})".strip())


def _item_names(item_type: ItemType, item: Item) -> set[tuple[str, ...]]:
    """Every name of an item, as the parts of `_name_parts`."""
    names = {name.strip() for name in item.names if name.strip()}
    if item_type is not ItemType.ENTITLEMENT:
        return {(name,) for name in names}
    source, attribute, value = item.source.strip(), item.attribute.strip(), item.value.strip()
    full_name = {(source, attribute, value)} if attribute and value else set()
    return {(source, "", name) for name in names} | full_name


def _name_parts(item_type: ItemType, name: str) -> tuple[str, ...]:
    if item_type is not ItemType.ENTITLEMENT:
        return (name.strip(),)
    entitlement = entitlement_name(name)
    return (entitlement.source, entitlement.attribute, entitlement.value) if entitlement else ()


def _describe_item(item_type: ItemType, item: Item, clean: Callable[[str], str]) -> str:
    name = next(filter(None, map(clean, item.names)), "")
    entitlement = f"{clean(item.attribute)} {clean(item.value)}" if item_type is ItemType.ENTITLEMENT else ""
    details = [
        entitlement.strip(),
        f"source {clean(item.source)}" if item.source else "",
        f"owner {clean(item.owner)}" if item.owner else "",
        f"id {item.id}",
    ]
    return f"{name} ({', '.join(filter(None, details))})".strip()


def _refused(shown: str, matches: NameMatches) -> NameMeaning:
    problem = f"'{shown}' can't be looked up, give its id instead: {matches.refusal}"
    return NameMeaning(outcome=NameOutcome.UNKNOWN, problem=problem, candidates=None)


def _ambiguous(beginning: str, candidates: Sequence[NameCandidate]) -> NameMeaning:
    more = f"; and {len(candidates) - LISTED} more" if len(candidates) > LISTED else ""
    listed = "; ".join(candidate.description for candidate in candidates[:LISTED])
    ids = tuple(candidate.id for candidate in candidates)
    return NameMeaning(outcome=NameOutcome.AMBIGUOUS, problem=f"{beginning}: {listed}{more}", candidates=ids)


def _either(words: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def shown_name(name: str) -> str:
    """A name for messages: short, and with what can't be seen written out."""
    # Unprintable characters may be the very reason why nobody has this name.
    line = written_out(name[: MOST_SHOWN + 1].strip())
    return line if len(line) <= MOST_SHOWN else f"{line[:MOST_SHOWN]}…"
