"""Which of the tenant's rules the fresh changes break, and what follows: rejected rows, or warnings. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import polars as pl

from batch.api.dialects import ItemType, Operation
from batch.api.end_dates import NO_END
from batch.dedupe.classify import TENANT_VERDICTS
from batch.dedupe.overlap import KEY
from batch.model import RowClass
from batch.status.tenant_facts import ItemFacts, PersonFacts
from batch.text import phrase
from batch.validate.tenant_rules import TENANT_RULES, Rejects

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from batch.status.in_progress import Item

FINDINGS: Final = {
    **dict.fromkeys(KEY, pl.String),
    "row": pl.UInt32,
    "file": pl.String,
    "line": pl.Int64,
    "rule": pl.String,
    "certain": pl.Boolean,
    "message": pl.String,
}
"""Columns of findings: one line for each rule that a change breaks, with the place of its row."""

_IS_GRANT: Final = pl.col("operation") == Operation.GRANT.value
_HAS_NO_END: Final = pl.col("remove_date").is_in(["", NO_END])
_IS_ENTITLEMENT: Final = pl.col("item_type") == ItemType.ENTITLEMENT.value
_IS_REVOKE: Final = pl.col("operation") == Operation.REVOKE.value

BREAKS: Final[Mapping[str, pl.Expr]] = {
    "item_unlisted": ~pl.col("item_listed"),
    "item_disabled": _IS_GRANT & ~pl.col("item_enabled"),
    "item_not_requestable": _IS_GRANT & ~pl.col("item_requestable"),
    "end_date_required": _IS_GRANT & pl.col("item_end_date_required") & _HAS_NO_END,
    "end_date_too_late": _IS_GRANT
    & (
        (pl.col("hours") > pl.col("item_longest_hours"))
        | (_HAS_NO_END & (pl.col("item_longest_hours") > 0) & ~pl.col("item_end_date_required").fill_null(value=False))
    ),
    "comment_required": _IS_GRANT & pl.col("item_comment_required") & (pl.col("comment") == ""),
    "form_required": _IS_GRANT & pl.col("item_form_required"),
    "reauthorization_required": _IS_GRANT & pl.col("item_reauthorization_required"),
    "person_unlisted": _IS_GRANT & ~pl.col("person_listed"),
    "person_inactive": _IS_GRANT & pl.col("person_inactive"),
    "person_protected": _IS_GRANT & pl.col("person_protected"),
    "held_by_membership": _IS_REVOKE & ~_IS_ENTITLEMENT & pl.col("pair_irrevocable"),
    "held_indirectly": _IS_REVOKE & _IS_ENTITLEMENT & pl.col("pair_irrevocable"),
    "extend_not_held": _IS_GRANT & pl.col("pair_unheld"),
}
"""Whether a change breaks each of the rules, over the columns of `_with_facts`. Null, the unknown, breaks none."""

_PAIR: Final = ("identity_id", "item_type", "item_id")
_REASON: Final = ": "


@dataclass(frozen=True, kw_only=True, slots=True)
class TenantFacts:
    """What the tenant says of the items, people and pairs of some changes; what is missing was not asked or answered.

    Attributes:
        items: By type and id.
        people: By id.
        irrevocable: Items of identities that it does not show as revocable by a request.
        unheld: Items of identities whose end date is to be changed, and which the tenant does not show.
    """

    items: Mapping[Item, ItemFacts] = field(default_factory=lambda: MappingProxyType({}))
    people: Mapping[str, PersonFacts] = field(default_factory=lambda: MappingProxyType({}))
    irrevocable: Mapping[str, Collection[Item]] = field(default_factory=lambda: MappingProxyType({}))
    unheld: Mapping[str, Collection[Item]] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, kw_only=True, slots=True)
class Warned:
    """The rows that the tenant may refuse for one reason.

    Attributes:
        rule: The rule that they break.
        lines: Their line numbers, by file.
        kinds: The types of items concerned.
    """

    rule: str
    lines: Mapping[str, tuple[int, ...]]
    kinds: frozenset[str]

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return sum(map(len, self.lines.values()))


def findings(fresh: pl.DataFrame, facts: TenantFacts, *, now: datetime, ignored: Collection[str] = ()) -> pl.DataFrame:
    """The rules that changes break.

    Args:
        fresh: Classified changes that still need a request, with `row`, `file`, `line` and validate's CHANGE_COLUMNS.
        facts: What the tenant says.
        now: A grant without a start date begins now.
        ignored: Rules that do not count.

    Returns:
        By FINDINGS, in the order of the rows.
    """
    known = _with_facts(fresh, facts, now)
    found = [
        known.filter(BREAKS[name].fill_null(value=False)).select(
            *KEY,
            pl.col("row").cast(pl.UInt32),
            "file",
            pl.col("line").cast(pl.Int64),
            pl.lit(name).alias("rule"),
            pl.lit(rule.rejects is Rejects.ALWAYS).alias("certain"),
            _problem(rule.problem, rule.remedy).alias("message"),
        )
        for name, rule in TENANT_RULES.items()
        if name not in ignored
    ]
    return pl.concat([pl.DataFrame(schema=FINDINGS), *found]).sort("row", maintain_order=True)


def rejections(found: pl.DataFrame, *, strict: bool) -> pl.DataFrame:
    """The changes that certainly come to nothing, by dedupe's TENANT_VERDICTS; with `strict`, the likely ones too.

    The reason begins with the names of the rules, as `rule_and_message` reads it.
    """
    likely = pl.col("rule").is_in([name for name, rule in TENANT_RULES.items() if rule.rejects is Rejects.STRICT])
    counted = found.filter(pl.col("certain") | likely) if strict else found.filter("certain")
    return (
        counted.group_by(KEY, maintain_order=True)
        .agg(pl.col("rule").unique(maintain_order=True), pl.col("message").unique(maintain_order=True))
        .select(
            *KEY,
            pl.lit(RowClass.REJECTED.value).alias("tenant_class"),
            pl.concat_str(pl.col("rule").list.join("; "), pl.lit(_REASON), pl.col("message").list.join("; ")).alias(
                "tenant_reason"
            ),
        )
        .cast(TENANT_VERDICTS)  # type: ignore[arg-type]
    )


def rule_and_message(reason: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
    """The names of the rules, and the message, from the reason of a rejected change."""
    parts = reason.str.splitn(_REASON, 2)
    return parts.struct.field("field_0"), parts.struct.field("field_1").fill_null("")


def warnings(found: pl.DataFrame, rejected: pl.DataFrame) -> tuple[Warned, ...]:
    """The rows that the tenant may refuse, by rule; without the rejected changes."""
    rows = (
        found.filter(~pl.col("certain"))
        .join(rejected.select(KEY), on=KEY, how="anti", maintain_order="left")
        .unique(["rule", "row"], keep="first", maintain_order=True)
    )
    return together(
        Warned(rule=rule, lines={file: tuple(lines)}, kinds=frozenset(kinds))
        for rule, file, lines, kinds in rows.group_by("rule", "file", maintain_order=True)
        .agg("line", "item_type")
        .rows()
    )


def together(*several: Iterable[Warned]) -> tuple[Warned, ...]:
    """Warnings of several plans of one input, each rule once."""
    lines: dict[str, dict[str, set[int]]] = {}
    kinds: dict[str, frozenset[str]] = {}
    for one in (one for some in several for one in some):
        kinds[one.rule] = kinds.get(one.rule, frozenset()) | one.kinds
        for file, numbers in one.lines.items():
            lines.setdefault(one.rule, {}).setdefault(file, set()).update(numbers)
    return tuple(
        Warned(
            rule=rule,
            lines={file: tuple(sorted(numbers)) for file, numbers in lines[rule].items()},
            kinds=kinds[rule],
        )
        for rule in TENANT_RULES
        if rule in lines
    )


def items_to_ask(fresh: pl.DataFrame) -> dict[str, list[str]]:
    """The items of changes whose rules matter, by type: ids in order."""
    items = fresh.select("item_type", "item_id").unique().sort("item_type", "item_id")
    found: dict[str, list[str]] = {}
    for item_type, item in items.rows():
        found.setdefault(item_type, []).append(item)
    return found


def entitlements_to_ask(fresh: pl.DataFrame) -> list[str]:
    """The entitlements that changes grant, whose own configuration matters: those of the most changes first."""
    granted = fresh.filter(
        (pl.col("operation") == Operation.GRANT.value) & (pl.col("item_type") == ItemType.ENTITLEMENT.value)
    )
    counted = granted.group_by("item_id").len().sort(["len", "item_id"], descending=[True, False])
    return counted.get_column("item_id").to_list()


def getters(fresh: pl.DataFrame) -> list[str]:
    """The people who shall get something, in order."""
    return (
        fresh.filter(pl.col("operation") == Operation.GRANT.value).get_column("identity_id").unique().sort().to_list()
    )


def people_to_ask(fresh: pl.DataFrame, known: Mapping[str, PersonFacts]) -> list[str]:
    """The people who shall get something and whom the search index does not show: it may lag behind."""
    return [person for person in getters(fresh) if person in known and known[person].listed is False]


def lines_of(changes: pl.DataFrame) -> dict[str, tuple[int, ...]]:
    """The lines of the rows of changes, by file."""
    rows = changes.group_by("file", maintain_order=True).agg(pl.col("line").unique().sort()).rows()
    return {file: tuple(lines) for file, lines in rows}


def _with_facts(fresh: pl.DataFrame, facts: TenantFacts, now: datetime) -> pl.DataFrame:
    """The changes beside the facts of each, in columns `item_…`, `person_…` and `pair_…`, null for unknown ones."""
    begins, ends = (pl.col(name).str.to_datetime(_DATE, strict=False, time_zone="UTC") for name in _DATES)
    irrevocable = _pairs(facts.irrevocable).with_columns(pair_irrevocable=True)
    unheld = _pairs(facts.unheld).with_columns(pair_unheld=True)
    return (
        fresh.select(*dict.fromkeys((*KEY, "row", "file", "line", "operation", "comment", *_DATES)))
        .with_columns(((ends - pl.coalesce(begins, pl.lit(now))).dt.total_seconds() / 3600).alias("hours"))
        .join(_items(facts.items), on=["item_type", "item_id"], how="left", maintain_order="left")
        .join(_people(facts.people), on="identity_id", how="left", maintain_order="left")
        .join(irrevocable, on=_PAIR, how="left", maintain_order="left")
        .join(unheld, on=_PAIR, how="left", maintain_order="left")
    )


_DATES: Final = ("start_date", "remove_date")
_DATE: Final = "%Y-%m-%dT%H:%M:%S%.fZ"
_WORDS: Final = ("owner", "approvers", "revoke_approvers", "name", "owner_name", "lifecycle")
"""Facts that no rule looks at."""


def _items(items: Mapping[Item, ItemFacts]) -> pl.DataFrame:
    names = [one.name for one in fields(ItemFacts) if one.name not in _WORDS]
    rows = [(*item, *(getattr(facts, name) for name in names)) for item, facts in items.items()]
    types = {f"item_{name}": pl.Int64 if name == "longest_hours" else pl.Boolean for name in names}
    return pl.DataFrame(rows, schema={"item_type": pl.String, "item_id": pl.String, **types}, orient="row")


def _people(people: Mapping[str, PersonFacts]) -> pl.DataFrame:
    names = [one.name for one in fields(PersonFacts) if one.name not in _WORDS]
    rows = [(person, *(getattr(facts, name) for name in names)) for person, facts in people.items()]
    types = {f"person_{name}": pl.Boolean for name in names}
    return pl.DataFrame(rows, schema={"identity_id": pl.String, **types}, orient="row")


def _pairs(pairs: Mapping[str, Iterable[Item]]) -> pl.DataFrame:
    rows = [(person, *item) for person, items in pairs.items() for item in items]
    return pl.DataFrame(rows, schema=dict.fromkeys(_PAIR, pl.String), orient="row").unique()


def _problem(problem: str, remedy: str) -> pl.Expr:
    """A problem and its remedy, for the kind of item of a change."""
    kind = pl.col("item_type").str.replace_all("_", " ").str.to_lowercase()
    text = f"{problem}; {remedy}"
    return phrase(text, kind) if "{}" in text else pl.lit(text)
