"""Which likely findings are certain, since this tenant has refused such a change before. Pure.

It counts only what cannot mislead: a refusal of one change alone, of the same item and operation, whose words name what
the rule is about, and since which nothing of that item and operation was accepted. For a rule about people, or about
what they hold, it must be the same person too, and what the change lacked then it must lack now.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import polars as pl

from batch.api.end_dates import sent_end
from batch.dedupe.overlap import KEY
from batch.text import key_of, on_one_line
from batch.validate.tenant_rules import REFUSAL_WORDS, TENANT_RULES, About

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Subject = tuple[str, str, str]
"""Operation, and the item's type and id as ids are compared."""

_LONGEST: Final = 160
"""Characters of the tenant's words in a message."""

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


def with_experience(found: pl.DataFrame, fresh: pl.DataFrame, experience: Experience) -> pl.DataFrame:
    """The findings, of which those are certain and quote the tenant that it has refused before.

    Args:
        found: By findings.FINDINGS.
        fresh: The changes that they are about.
        experience: Of their subjects.
    """
    telling: dict[Subject, list[Refusal]] = {}
    for one in sorted(experience.refusals, key=lambda one: one.at, reverse=True):
        if one.at > experience.accepted.get(one.subject, ""):
            telling.setdefault(one.subject, []).append(one)
    if not telling:
        return found
    about = found.select("rule", *KEY).join(
        fresh.select(*KEY, "operation", "comment", "remove_date").unique(KEY), on=KEY, how="left", maintain_order="left"
    )
    said = [_said(rule, row, telling) for rule, *row in about.drop("account").rows()]
    return (
        found.with_columns(said=pl.Series(said, dtype=pl.String))
        .with_columns(
            certain=pl.col("certain") | pl.col("said").is_not_null(),
            message=pl.concat_str("message", pl.col("said").fill_null("")),
        )
        .drop("said")
    )


def _said(rule: str, change: Sequence[str], telling: Mapping[Subject, Sequence[Refusal]]) -> str | None:
    """How the tenant refused such a change, to follow a message; None if it did not."""
    person, kind, item, operation, comment, remove_date = change
    if rule not in REFUSAL_WORDS:
        return None
    has = {"comment": comment, "remove_date": sent_end(remove_date)}
    for one in telling.get((operation, kind, key_of(item)), ()):
        if TENANT_RULES[rule].about is not About.ITEM and one.identity != key_of(person):
            continue
        if rule in _ALIKE and bool(has[_ALIKE[rule]]) != bool(getattr(one, _ALIKE[rule])):
            continue
        if re.search(REFUSAL_WORDS[rule], one.words, re.IGNORECASE):
            words = on_one_line(one.words[: 4 * _LONGEST], most=_LONGEST)
            return f"; on {one.at[:10]} the tenant refused such a change: '{words}'"
    return None
