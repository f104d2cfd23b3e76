"""A plan as people read it: what it changes for whom, what it skips, what it costs. Pure: made of plain values.

A plan that was just made and one that was saved are shown by the same view: see `plan_rows` for the table that it
takes. The numbers add up: those of the items, of the people and of the groups each to the changes that are planned.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from batch.api.dialects import PAGE_LIMIT, Operation
from batch.model import RowClass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from batch.api.dialects import Rate
    from batch.status.approvals_ahead import ApprovalsAhead

MOST_PEOPLE: Final = 20
"""People with the most changes who are named."""

EMPTY: Final = "(empty)"
"""In place of the text of an empty cell."""

_ANOTHER: Final = r"\b(lines?) \d+(?:, (?:line )?\d+)*(?: …)?(?: of [^:;]+)?"
_INSTANT: Final = r" (?:at|since) \d{4}-\d\d-\d\dT[\d:.]+(?:Z|\+00:00)"
_HAS_END: Final = pl.col("remove_date") != ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Counted:
    """Changes that are counted together.

    Attributes:
        changes: How many, by operation; only operations that occur.
        people: Of how many people.
        first_end: The earliest end date among those that are no revokes; empty if none has one.
        last_end: The latest.
        endless: How many of them have none.
    """

    changes: Mapping[str, int]
    people: int = 0
    first_end: str = ""
    last_end: str = ""
    endless: int = 0

    @property
    def total(self) -> int:
        """How many changes there are."""
        return sum(self.changes.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemLine:
    """An access item of a plan; `name` and `owner` are empty if they are not known."""

    item_type: str
    item_id: str
    name: str
    owner: str
    counted: Counted


@dataclass(frozen=True, kw_only=True, slots=True)
class PersonLine:
    """A person of a plan; `name` is empty if it is not known."""

    identity_id: str
    name: str
    counted: Counted


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupLine:
    """The changes of rows with one text in the user's own column."""

    value: str
    counted: Counted


@dataclass(frozen=True, kw_only=True, slots=True)
class Skipped:
    """Changes, or whole rows, that the plan does not send for one reason.

    Attributes:
        row_class: Their class.
        rule: The rules that they break; empty unless they are rejected.
        reason: Why; if they differ in details, why the first of them is skipped.
        changes: How many.
    """

    row_class: str
    rule: str
    reason: str
    changes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What a plan costs at the tenant.

    Attributes:
        requests: Requests to send.
        lower_bound: No plan of these changes needs fewer.
        checking: Calls made to look up names and to ask what the tenant knows.
        tracking: About how many calls one look takes at all changes after they are sent.
        rate: The limit for all calls.
    """

    requests: int
    lower_bound: int
    checking: int
    tracking: int
    rate: Rate

    @property
    def seconds(self) -> float:
        """The least time that sending takes at that rate."""
        return max(0, self.requests - 1) * self.rate.seconds / self.rate.requests


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanAbout:
    """What a plan is and where it comes from, for its heading; empty texts for what is not known.

    Attributes:
        tenant: The tenant's name.
        inputs: Names of the files.
        made_at: When it was made, as an instant.
        made_by: Who made it.
        requester: In whose name the requests are made.
        by: The header of the user's own column that the changes are counted by.
    """

    tenant: str = ""
    inputs: Sequence[str] = ()
    made_at: str = ""
    made_by: str = ""
    requester: str = ""
    by: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanView:
    """Everything that is shown of a plan.

    Attributes:
        about: What it is.
        rows: Number of rows by class; they add up to the rows read.
        all: All planned changes.
        items: Its items, those with the most changes first.
        people: The people with the most changes, at most MOST_PEOPLE.
        groups: Its changes by the user's own column; empty without one.
        skipped: What is not sent, and why; in the order of the classes, the most frequent reason first.
        cost: What it costs.
        approvals: What it asks of approvers; None if that is not known.
        warnings: Sentences.
        lines: By plan_rows.PLAN_ROWS.
    """

    about: PlanAbout
    rows: Mapping[str, int]
    all: Counted
    items: tuple[ItemLine, ...]
    people: tuple[PersonLine, ...]
    groups: tuple[GroupLine, ...]
    skipped: tuple[Skipped, ...]
    cost: Cost
    approvals: ApprovalsAhead | None = None
    warnings: tuple[str, ...] = ()
    lines: pl.DataFrame = field(default_factory=pl.DataFrame, repr=False, compare=False)

    @property
    def planned(self) -> pl.DataFrame:
        """The lines that are sent."""
        return self.lines.filter(pl.col("request").is_not_null())

    def as_json(self, *, detail: bool = False) -> dict[str, Any]:
        """The documented object; with `detail`, every line too."""
        return {
            "tenant": self.about.tenant,
            "inputs": list(self.about.inputs),
            "made_at": self.about.made_at,
            "made_by": self.about.made_by,
            "requester": self.about.requester,
            "rows": dict(self.rows),
            **_as_json(self.all),
            "items": [
                {"item_type": one.item_type, "item_id": one.item_id, "name": one.name, "owner": one.owner}
                | _as_json(one.counted)
                for one in self.items
            ],
            "top_people": [
                {"identity_id": one.identity_id, "name": one.name, **_as_json(one.counted)} for one in self.people
            ],
            "by": {
                "column": self.about.by,
                "groups": [{"value": one.value, **_as_json(one.counted)} for one in self.groups],
            }
            if self.about.by
            else None,
            "skipped": [
                {"class": one.row_class, "rule": one.rule, "reason": one.reason, "changes": one.changes}
                for one in self.skipped
            ],
            "calls": {
                "sending": self.cost.requests,
                "lower_bound": self.cost.lower_bound,
                "checking": self.cost.checking,
                "tracking_look": self.cost.tracking,
                "rate": f"{self.cost.rate.requests}/{self.cost.rate.seconds:g}",
                "least_s": round(self.cost.seconds, 3),
            },
            "approvals": self.approvals and asdict(self.approvals),
            "warnings": list(self.warnings),
            **({"changes": self.lines.to_dicts()} if detail else {}),
        }


def _as_json(counted: Counted) -> dict[str, Any]:
    return {
        "operations": dict(counted.changes),
        "people": counted.people,
        "first_end": counted.first_end,
        "last_end": counted.last_end,
        "endless": counted.endless,
    }


def plan_view(
    lines: pl.DataFrame,
    *,
    rows: Mapping[str, int],
    cost: Cost,
    about: PlanAbout = PlanAbout(),
    approvals: ApprovalsAhead | None = None,
    warnings: Sequence[str] = (),
) -> PlanView:
    """The view of a plan.

    Args:
        lines: By plan_rows.PLAN_ROWS.
        rows: Number of rows by class.
        cost: What it costs.
        about: Where it comes from.
        approvals: What it asks of approvers; None if that is not known.
        warnings: Sentences.
    """
    planned = lines.filter(pl.col("request").is_not_null())
    total = _counted(planned, [])
    return PlanView(
        about=about,
        rows=rows,
        all=total[0][1] if total else Counted(changes=MappingProxyType({})),
        items=tuple(
            ItemLine(item_type=kind, item_id=item, name=name, owner=owner, counted=counted)
            for (kind, item, name, owner), counted in _counted(planned, ["item_type", "item_id"], "item", "owner")
        ),
        people=tuple(
            PersonLine(identity_id=person, name=name, counted=counted)
            for (person, name), counted in _counted(planned, ["identity_id"], "person", most=MOST_PEOPLE)
        ),
        groups=tuple(
            GroupLine(value=value or EMPTY, counted=counted) for (value,), counted in _counted(planned, ["group"])
        )
        if about.by
        else (),
        skipped=tuple(_skipped(lines)),
        cost=cost,
        approvals=approvals,
        warnings=tuple(warnings),
        lines=lines,
    )


def tracking_calls(changes: int) -> int:
    """About how many calls one look at so many changes takes: each is a row of a page of the tenant's status list."""
    return -(-changes // PAGE_LIMIT)


def _counted(
    planned: pl.DataFrame, key: list[str], *shown: str, most: int | None = None
) -> list[tuple[tuple[str, ...], Counted]]:
    """The changes by some columns, the most frequent first; `shown` columns are the same for one key.

    Returns:
        The values of the key and of `shown`, and what is counted. Without a key, one line for all changes.
    """
    if planned.is_empty():
        return []
    operations = sorted(planned.get_column("operation").unique(), key=_rank)
    lasting = pl.col("operation") != Operation.REVOKE.value
    found = (
        planned.with_columns(pl.lit(0).alias("_all"))
        .group_by(key or ["_all"])
        .agg(
            *(pl.col(name).first() for name in shown),
            *((pl.col("operation") == name).sum().alias(f"_{n}") for n, name in enumerate(operations)),
            pl.col("identity_id").n_unique().alias("_people"),
            pl.col("remove_date").filter(lasting & _HAS_END).min().fill_null("").alias("_first"),
            pl.col("remove_date").filter(lasting & _HAS_END).max().fill_null("").alias("_last"),
            (lasting & ~_HAS_END).sum().alias("_endless"),
            pl.len().alias("_changes"),
        )
        .sort("_changes", *(key or ["_all"]), descending=[True, *[False] * max(1, len(key))])
        .head(most or planned.height)
    )
    numbers = [f"_{n}" for n in range(len(operations))]
    ours = found.select(*numbers, "_people", "_first", "_last", "_endless").rows()
    values = found.select(*key, *shown).rows() if key else [()]
    return [
        (
            value,
            Counted(
                changes={name: n for name, n in zip(operations, one, strict=False) if n},
                people=one[-4],
                first_end=one[-3],
                last_end=one[-2],
                endless=one[-1],
            ),
        )
        for value, one in zip(values, ours, strict=True)
    ]


def _rank(operation: str) -> tuple[int, str]:
    """Revokes come first: they hurt most if they are wrong."""
    return (operation != Operation.REVOKE.value, operation)


def _skipped(lines: pl.DataFrame) -> list[Skipped]:
    """What is not sent, by class and reason; details such as lines and instants make no other reason."""
    plain = pl.col("reason").str.replace_all(_INSTANT, "").str.replace_all(_ANOTHER, "$1 …")
    order = pl.Enum([row_class.value for row_class in RowClass])
    found = (
        lines.filter(pl.col("request").is_null())
        .with_columns(pl.when(pl.col("rule") == "").then(plain).otherwise(pl.lit("")).alias("_plain"))
        .group_by(pl.col("class").cast(order), "rule", "_plain")
        .agg(pl.len().alias("changes"), pl.col("reason").first())
        .sort("class", "changes", "rule", "_plain", descending=[False, True, False, False])
    )
    return [
        Skipped(row_class=row_class, rule=rule, reason=plain_reason or reason, changes=changes)
        for row_class, rule, plain_reason, reason, changes in found.select(
            "class", "rule", "_plain", "reason", "changes"
        ).rows()
    ]
