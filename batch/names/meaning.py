"""What a name in the input may mean: the people and items that the tenant has of it, and whether it is exactly one.

Nothing is ever guessed: a name resolves where it fits one only, and every other outcome is said with its candidates.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from batch.api.dialects import ItemType
from batch.model import IdentityBy
from batch.read.item_names import entitlement_name
from batch.text import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from batch.read.item_names import EntitlementName

LISTED: Final = 5
"""Candidates that a message lists."""

MOST_SHOWN: Final = 80
"""Characters of a name that a message shows."""

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
"""The fields of an identity by which it can be named."""

_ID: Final = re.compile(r"[0-9A-Fa-f]{32}|[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """An identity as the tenant lists it; what it does not say is empty.

    Attributes:
        id: The tenant's id of it.
        alias: Its unique name, as its account in the authoritative source has it.
        email: Its e-mail address.
        numbers: Its employee number, in each of the places where the tenant says it.
        name: Its display name.
    """

    id: str
    alias: str = ""
    email: str = ""
    numbers: tuple[str, ...] = ()
    name: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """An access item as the tenant lists it; what it does not say is empty.

    Attributes:
        id: The tenant's id of it.
        names: Its name and its display name.
        owner: Its owner's name.
        source: Its source's name.
        attribute: Of an entitlement, the account attribute that holds it.
        value: Of an entitlement, the attribute's value.
    """

    id: str
    names: tuple[str, ...]
    owner: str = ""
    source: str = ""
    attribute: str = ""
    value: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class NameCandidate:
    """One that a name may mean.

    Attributes:
        id: The tenant's id of it.
        said: What tells it from others, on one line.
        exact: Whether the name is written as the tenant writes it.
    """

    id: str
    said: str
    exact: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class NameMatches:
    """What the tenant has of one name.

    Attributes:
        candidates: Whom or what it may mean.
        looked: Fields that were compared; empty for items.
        refused: Why the tenant can't be asked for it; empty where it was asked.
    """

    candidates: tuple[NameCandidate, ...] = ()
    looked: tuple[IdentityBy, ...] = ()
    refused: str = ""


class NameOutcome(StrEnum):
    """What came of looking a name up."""

    FOUND = "found"
    UNKNOWN = "unknown"
    AMBIGUOUS = "ambiguous"


@dataclass(frozen=True, kw_only=True, slots=True)
class NameMeaning:
    """What a name means.

    Attributes:
        outcome: Whether that is known.
        id: The one id; empty where there is none.
        problem: Why there is none, as a sentence.
    """

    outcome: NameOutcome
    id: str = ""
    problem: str = ""


def is_id(text: str) -> bool:
    """Whether a text has the shape of a tenant's id: 32 hex digits or a UUID."""
    return _ID.fullmatch(text) is not None


def identity_fields(by: IdentityBy) -> tuple[IdentityBy, ...]:
    """The fields in which a name is looked for; none where it is an id."""
    if by is IdentityBy.AUTO:
        return tuple(FIELD_WORDS)
    return () if by is IdentityBy.ID else (by,)


def match_people(
    names: Iterable[str], people: Iterable[Person], fields: Sequence[IdentityBy], clean: Callable[[str], str]
) -> dict[str, tuple[NameCandidate, ...]]:
    """The people that each name may mean, whatever else was listed beside them.

    Args:
        names: As written, without surrounding space.
        people: As listed.
        fields: Fields to compare: all without regard to case, but the employee number, which is compared as it is.
        clean: Makes a text of the tenant's fit to be kept and shown.

    Returns:
        For every name its candidates by id; a person who is listed twice is one.
    """
    by_text: dict[str, dict[str, Person]] = defaultdict(dict)
    numbered: dict[str, dict[str, Person]] = defaultdict(dict)
    for person in people:
        for field in fields:
            target = numbered if field is IdentityBy.EMPLOYEE_NUMBER else by_text
            for text in _texts(person, field):
                target[text][person.id] = person
    found = {}
    for name in names:
        fitting = {**by_text.get(casefolded(name), {}), **numbered.get(name.strip(), {})}
        found[name] = tuple(_person_candidate(fitting[id_], name, fields, clean) for id_ in sorted(fitting))
    return found


def match_items(
    item_type: ItemType, names: Iterable[str], items: Iterable[Item], clean: Callable[[str], str]
) -> dict[str, tuple[NameCandidate, ...]]:
    """The items that each name may mean, whatever else was listed beside them.

    Args:
        item_type: Kind of the items.
        names: As written; of entitlements with source and attribute.
        items: As listed.
        clean: Makes a text of the tenant's fit to be kept and shown.

    Returns:
        For every name its candidates by id.
    """
    by_name: dict[tuple[str, ...], dict[str, tuple[Item, set[tuple[str, ...]]]]] = defaultdict(dict)
    for item in items:
        for written in _ways(item_type, item):
            _, ways = by_name[tuple(map(casefolded, written))].setdefault(item.id, (item, set()))
            ways.add(written)
    found = {}
    for name in names:
        written = _written(item_type, name)
        fitting = by_name.get(tuple(map(casefolded, written)), {})
        found[name] = tuple(
            NameCandidate(
                id=id_, said=_said_of_item(item_type, fitting[id_][0], clean), exact=written in fitting[id_][1]
            )
            for id_ in sorted(fitting)
        )
    return found


def person_meaning(name: str, found: NameMatches) -> NameMeaning:
    """Whom a name means: the one whom it fits, and nobody where it fits several."""
    shown = _shown(name)
    if found.refused:
        return _refused(shown, found)
    if not found.candidates:
        problem = f"no identity has '{shown}' as {_either([FIELD_WORDS[field] for field in found.looked])}"
        return NameMeaning(outcome=NameOutcome.UNKNOWN, problem=problem)
    if len(found.candidates) == 1:
        return NameMeaning(outcome=NameOutcome.FOUND, id=found.candidates[0].id)
    return _ambiguous(f"'{shown}' may be any of {len(found.candidates)} identities", found.candidates)


def item_meaning(item_type: ItemType, name: str, found: NameMatches) -> NameMeaning:
    """Which item a name means: the only one that is written like it, or else the only one but for the case."""
    word, shown = ITEM_WORDS[item_type], _shown(name)
    exact = [one for one in found.candidates if one.exact]
    if found.refused:
        return _refused(shown, found)
    if not found.candidates:
        hint = ", and the tenant can't be asked for names with a +: give its id" if "+" in name else ""
        return NameMeaning(outcome=NameOutcome.UNKNOWN, problem=f"there is no {word} '{shown}'{hint}")
    if len(exact) == 1 or len(found.candidates) == 1:
        return NameMeaning(outcome=NameOutcome.FOUND, id=(exact or found.candidates)[0].id)
    return _ambiguous(f"'{shown}' may be any of {len(found.candidates)} {word}s", found.candidates)


def casefolded(text: str) -> str:
    """A text as it is compared where case and surrounding space are of no matter."""
    return text.strip().casefold()


def _texts(person: Person, field: IdentityBy) -> list[str]:
    """What a field of a person is compared by; nothing where it is empty."""
    if field is IdentityBy.EMPLOYEE_NUMBER:
        return [text for number in person.numbers if (text := number.strip())]
    texts = {IdentityBy.ALIAS: person.alias, IdentityBy.EMAIL: person.email, IdentityBy.NAME: person.name}
    return [text] if (text := casefolded(texts[field])) else []


def _person_candidate(
    person: Person, name: str, fields: Sequence[IdentityBy], clean: Callable[[str], str]
) -> NameCandidate:
    given = {IdentityBy.EMPLOYEE_NUMBER: name.strip()}
    by = [FIELD_WORDS[field] for field in fields if given.get(field, casefolded(name)) in _texts(person, field)]
    who = clean(person.name) or clean(person.alias)
    about = [f"alias {clean(person.alias)}" if person.alias else "", f"id {person.id}", f"by its {' and '.join(by)}"]
    return NameCandidate(id=person.id, said=f"{who} ({', '.join(filter(None, about))})".strip())


def _ways(item_type: ItemType, item: Item) -> set[tuple[str, ...]]:
    """The ways in which an item can be named."""
    names = {name.strip() for name in item.names if name.strip()}
    if item_type is not ItemType.ENTITLEMENT:
        return {(name,) for name in names}
    source, attribute, value = item.source.strip(), item.attribute.strip(), item.value.strip()
    whole = {(source, attribute, value)} if attribute and value else set()
    return {(source, "", name) for name in names} | whole


def _written(item_type: ItemType, name: str) -> tuple[str, ...]:
    if item_type is not ItemType.ENTITLEMENT:
        return (name.strip(),)
    parts: EntitlementName | None = entitlement_name(name)
    return (parts.source, parts.attribute, parts.value) if parts else ()


def _said_of_item(item_type: ItemType, item: Item, clean: Callable[[str], str]) -> str:
    name = next(filter(None, map(clean, item.names)), "")
    what = f"{clean(item.attribute)} {clean(item.value)}" if item_type is ItemType.ENTITLEMENT else ""
    about = [
        what.strip(),
        f"source {clean(item.source)}" if item.source else "",
        f"owner {clean(item.owner)}" if item.owner else "",
        f"id {item.id}",
    ]
    return f"{name} ({', '.join(filter(None, about))})".strip()


def _refused(shown: str, found: NameMatches) -> NameMeaning:
    problem = f"'{shown}' can't be looked up, give its id instead: {found.refused}"
    return NameMeaning(outcome=NameOutcome.UNKNOWN, problem=problem)


def _ambiguous(beginning: str, candidates: Sequence[NameCandidate]) -> NameMeaning:
    more = f"; and {len(candidates) - LISTED} more" if len(candidates) > LISTED else ""
    listed = "; ".join(one.said for one in candidates[:LISTED])
    return NameMeaning(outcome=NameOutcome.AMBIGUOUS, problem=f"{beginning}: {listed}{more}")


def _either(words: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _shown(name: str) -> str:
    # What can't be seen is written out: it may be the very reason why nobody has this name.
    line = visible(name[: MOST_SHOWN + 1].replace("\n", " ")).strip()
    return line if len(line) <= MOST_SHOWN else f"{line[:MOST_SHOWN]}…"
