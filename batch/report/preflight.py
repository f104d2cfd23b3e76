"""What the tenant may refuse, and which of its rules it does not show, for people and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from batch.api.dialects import ItemType
from batch.names.meaning import ITEM_WORDS
from batch.status.tenant_facts import CONFIGURATIONS, PEOPLE
from batch.text import count
from batch.validate.tenant_rules import TENANT_RULES, Rejects

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from batch.api.dialects import Dialect
    from batch.api.tenant_settings import Unshown
    from batch.status.findings import Warned

_WORDS: Final = {PEOPLE: "identities", CONFIGURATIONS: "single entitlements"}
_LINES_SHOWN: Final = 5
"""Lines that a warning names; the JSON has all."""


def describe_warnings(warned: Sequence[Warned], *, several_files: bool) -> Iterator[str]:
    """One line for each rule that rows break which the tenant may refuse.

    Args:
        warned: The rows.
        several_files: Whether the input has more than one file.
    """
    for one in warned:
        rule = TENANT_RULES[one.rule]
        it, remedy = "it" if one.rows == 1 else "them", rule.remedy
        kind = " or ".join(word for item_type, word in ITEM_WORDS.items() if item_type in one.kinds)
        strict = f"`--strict` rejects {it}, " if rule.rejects is Rejects.STRICT else ""
        yield (
            f"The tenant may refuse {count(one.rows, 'row')} ({places(one.lines, several_files=several_files)}): "
            f"{rule.problem.replace('{}', kind)} ({one.rule}). {remedy[0].upper()}{remedy[1:]}; {strict}"
            f"`--ignore {one.rule}` silences this."
        )


def describe_late(*, strict: bool, ignored: Collection[str]) -> Iterator[str]:
    """That options which choose what is planned come too late for a run that continues; nothing without them."""
    given = [*(["--strict"] if strict else []), *(["--ignore"] if ignored else [])]
    if given:
        count_only = "counts only" if len(given) == 1 else "count only"
        yield f"This run is sent as it was planned: {_listed(given)} {count_only} when changes are planned."


def warnings_as_json(warned: Sequence[Warned]) -> list[dict[str, Any]]:
    """The documented list: an entry for each rule and file."""
    return [{"rule": one.rule, **place} for one in warned for place in places_as_json(one.lines)]


def places_as_json(lines: Mapping[str, Sequence[int]]) -> list[dict[str, Any]]:
    """Lines of files: an entry for each file."""
    return [{"file": file, "count": len(some), "lines": list(some)} for file, some in lines.items()]


def describe_unsought(people: int, most: int) -> Iterator[str]:
    """That people whom the search index does not show are not all looked for, if they are too many."""
    if people > most:
        yield (
            f"The search index does not show {people:,} of these people. Only the first {most:,} of them are looked "
            "for in the list of identities: is this file meant for this tenant?"
        )


def describe_unconfigured(entitlements: int, most: int) -> Iterator[str]:
    """That the configuration of each entitlement is not asked for, if there are too many."""
    if entitlements > most:
        yield (
            f"The input grants {entitlements:,} entitlements. The tenant is asked for the request configuration of "
            f"the {most:,} that are granted most often; the others may need an end date or a comment all the same."
        )


def describe_closed(dialect: Dialect, closed: Mapping[str, Unshown]) -> Iterator[str]:
    """Which rules the tenant does not show, why, and which scopes the token lacks; nothing if it shows all.

    Args:
        dialect: The API version.
        closed: From loops.preflight.Preflight.
    """
    if not closed:
        return
    scopes = {
        ItemType.ROLE.value: dialect.roles_scopes,
        ItemType.ACCESS_PROFILE.value: dialect.access_profiles_scopes,
        ItemType.ENTITLEMENT.value: dialect.entitlements_scopes,
    }
    scopes |= {CONFIGURATIONS: dialect.entitlements_scopes, PEOPLE: dialect.people_scopes}
    words = [_WORDS.get(one) or f"{ITEM_WORDS[ItemType(one)]}s" for one in closed]
    needed = list(dict.fromkeys(scopes[one][0] for one, unshown in closed.items() if unshown.forbidden))
    takes = f": that takes the {'scope' if len(needed) == 1 else 'scopes'} {_listed(needed)}" if needed else ""
    why = "; ".join(dict.fromkeys(unshown.why.rstrip(".") for unshown in closed.values()))
    yield f"The tenant does not show the rules of {_listed(words)} ({why}){takes}."


def places(lines: Mapping[str, Sequence[int]], *, several_files: bool) -> str:
    """The first lines, such as `lines 3, 8, 9 …`; with several files, each with its name."""
    every = [(line, file) for file, some in lines.items() for line in some]
    shown = [f"{line} of {file}" if several_files else str(line) for line, file in every[:_LINES_SHOWN]]
    word = "line" if len(every) == 1 else "lines"
    return f"{word} {', '.join(shown)}{' …' if len(every) > _LINES_SHOWN else ''}"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
