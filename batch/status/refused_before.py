"""Which likely findings are certain, since this tenant has refused such a change before. Pure.

It counts only what cannot mislead: a refusal of the same change alone (person, item and operation), since which nothing
of that item and operation was accepted, and what the change lacked then it must lack now. The tenant's words, without
the item's name, must name this rule and no other, nor the person if the rule is about the item. And the tenant must
show the fault after its refusal: an answer from before, be it from the cache or the search index, may be out of date.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import polars as pl

from batch.api.dialects import INDEX_LAG
from batch.api.end_dates import sent_end
from batch.dedupe.overlap import KEY
from batch.text import instant, key_of, on_one_line
from batch.validate.tenant_rules import REFUSAL_WORDS, TENANT_RULES, About

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from batch.status.in_progress import Item

Subject = tuple[str, str, str]
"""Operation, and the item's type and id as ids are compared."""

_LONGEST: Final = 160
"""Characters of the tenant's words in a message."""

_PERSON: Final = re.compile(r"\b(identit(y|ies)|users?|person|account|segment(ed|s|ation)?)\b", re.IGNORECASE)
"""Words of a refusal that may be about a person."""

_ALIKE: Final[Mapping[str, str]] = {
    "end_date_required": "remove_date",
    "end_date_too_late": "remove_date",
    "comment_required": "comment",
}
"""What a change must have, or lack, just as the refused one did."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """A change that the tenant refused, alone in its request.

    Attributes:
        subject: Operation and item.
        identity: Id of the identity, as ids are compared.
        comment: The change's comment.
        remove_date: Its end date; empty if it had none.
        words: The tenant's.
        at: When, as text.instant writes it.
    """

    subject: Subject
    identity: str
    comment: str
    remove_date: str
    words: str
    at: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Experience:
    """What a ledger knows of how the tenant treats some items.

    Attributes:
        refusals: In any order.
        accepted: When the last change of an operation and item was accepted; a missing one never was.
    """

    refusals: Sequence[Refusal] = ()
    accepted: Mapping[Subject, str] = field(default_factory=lambda: MappingProxyType({}))


def subjects(found: pl.DataFrame, fresh: pl.DataFrame) -> list[Subject]:
    """The operations and items of the likely findings that a refusal may make certain."""
    likely = found.filter(~pl.col("certain") & pl.col("rule").is_in(list(REFUSAL_WORDS)))
    rows = fresh.join(likely, on=KEY, how="semi").select("operation", "item_type", "item_id").unique().rows()
    return sorted({(operation, kind, key_of(item)) for operation, kind, item in rows})


def with_experience(
    found: pl.DataFrame,
    fresh: pl.DataFrame,
    experience: Experience,
    *,
    read: datetime,
    names: Mapping[Item, str] = MappingProxyType({}),
) -> pl.DataFrame:
    """The findings, of which those are certain and quote the tenant that it has refused before.

    Args:
        found: By findings.FINDINGS.
        fresh: The changes that they are about.
        experience: Of their subjects.
        read: When the tenant gave the oldest answer that the findings rest on.
        names: Of the items, by type and id.
    """
    telling: dict[tuple[str, Subject], list[Refusal]] = {}
    for one in sorted(experience.refusals, key=lambda one: one.at, reverse=True):
        if one.at > experience.accepted.get(one.subject, ""):
            telling.setdefault((one.identity, one.subject), []).append(one)
    if not telling:
        return found
    about = found.select("rule", *KEY).join(
        fresh.select(*KEY, "operation", "comment", "remove_date").unique(KEY), on=KEY, how="left", maintain_order="left"
    )
    said: list[str | None] = []
    for rule, person, kind, item, operation, *has in about.drop("account").rows():
        refusals = telling.get((key_of(person), (operation, kind, key_of(item))), ())
        told = (_said(rule, has, one, read=read, name=names.get((kind, item), "")) for one in refusals)
        said.append(next(filter(None, told), None))
    return (
        found.with_columns(said=pl.Series(said, dtype=pl.String))
        .with_columns(
            certain=pl.col("certain") | pl.col("said").is_not_null(),
            message=pl.concat_str("message", pl.col("said").fill_null("")),
        )
        .drop("said")
    )


def _said(rule: str, has: Sequence[str], refusal: Refusal, *, read: datetime, name: str) -> str:
    """How the tenant refused such a change for this rule, to follow a message; empty if it may have been for another.

    Args:
        rule: The rule.
        has: The change's comment and end date.
        refusal: Of the same person, item and operation.
        read: See `with_experience`.
        name: The item's name.
    """
    if rule not in REFUSAL_WORDS:
        return ""
    is_about_item = TENANT_RULES[rule].about is About.ITEM
    comment, remove_date = has
    now = {"comment": comment, "remove_date": sent_end(remove_date)}
    is_alike = rule not in _ALIKE or bool(now[_ALIKE[rule]]) == bool(getattr(refusal, _ALIKE[rule]))
    if not is_alike or refusal.at >= instant(read if is_about_item else read - INDEX_LAG):
        return ""
    words = re.sub(re.escape(name), " ", refusal.words, flags=re.IGNORECASE) if name else refusal.words
    meant = [
        REFUSAL_WORDS[one] for one in REFUSAL_WORDS if re.search(REFUSAL_WORDS[one], words, re.IGNORECASE | re.DOTALL)
    ]
    if {*meant} != {REFUSAL_WORDS[rule]} or (is_about_item and _PERSON.search(words)):
        return ""
    quoted = on_one_line(refusal.words[: 4 * _LONGEST], most=_LONGEST)
    return f"; on {refusal.at[:10]} the tenant refused this: '{quoted}'"
