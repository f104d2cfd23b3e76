"""Counts the lines of a plan into what people read. Pure."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from batch.api.dialects import PAGE_LIMIT, Operation, Rate
from batch.api.end_dates import NO_END
from batch.model import RowClass
from batch.report.plan_view import Cost, Counted, GroupLine, ItemLine, PersonLine, PlanAbout, PlanView, Skipped
from batch.status.approvals_ahead import ApprovalsAhead, Awaited

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST_PEOPLE: Final = 20
"""People with the most changes who are named."""

EMPTY: Final = "(empty)"
"""In place of the text of an empty cell."""

_ANOTHER: Final = r"\b(lines?) \d+(?:, (?:line )?\d+)*(?: …)?(?: of [^:;]+)?"
_INSTANT: Final = r" (?:at|since) \d{4}-\d\d-\d\d(?:T[\d:.]+(?:Z|\+00:00))?"
_HAS_END: Final = ~pl.col("remove_date").is_in(["", NO_END])


def plan_view(
    lines: pl.DataFrame,
    *,
    rows: Mapping[str, int],
    cost: Cost,
    about: PlanAbout,
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


def view_again(document: Mapping[str, Any], lines: pl.DataFrame) -> PlanView:
    """The view that was written down.

    Args:
        document: From `PlanView.as_json`.
        lines: Its lines.
    """
    calls, by, said = document["calls"], document["by"], document["approvals"]
    requests, seconds = calls["rate"].split("/")
    about = {name: document[name] for name in ("tenant", "made_at", "made_by", "requester")}
    awaited = tuple(Awaited(**one) for one in said["by_approver"]) if said else ()
    return plan_view(
        lines,
        rows=document["rows"],
        cost=Cost(
            requests=calls["sending"],
            lower_bound=calls["lower_bound"],
            checking=calls["checking"],
            tracking=calls["tracking_look"],
            rate=Rate(requests=int(requests), seconds=float(seconds)),
            month=calls.get("month", ""),
            made=calls.get("made_in_month", 0),
            budget=calls.get("monthly_calls"),
            without_tickets=calls.get("without_tickets"),
        ),
        about=PlanAbout(
            inputs=tuple(document["inputs"]),
            by=by["column"] if by else "",
            metadata=document["request_metadata"],
            **about,
        ),
        approvals=ApprovalsAhead(**{**said, "by_approver": awaited}) if said else None,
        warnings=document["warnings"],
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
