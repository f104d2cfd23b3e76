"""The lines of a plan: every change of an input with its names and what becomes of it. Pure.

A saved plan can keep this table: all that is shown of a plan, and `plan.csv`, is made of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from batch.api.accounts import named_account
from batch.api.end_dates import EXTEND
from batch.dedupe.overlap import KEY
from batch.errors import UsageError
from batch.model import RowClass
from batch.names.known import NO_KNOWN_NAMES
from batch.read.columns import bare_name
from batch.states import IN_DOUBT, State
from batch.status.findings import rule_and_message
from batch.text import HIDDEN, key_of, on_one_line
from batch.validate.rows import EXTENDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from batch.names.known import KnownNames
    from batch.pipeline import Classified
    from batch.plan import Plan
    from batch.read import Column, Table
    from batch.status.in_progress import Item
    from batch.status.tenant_facts import ItemFacts, PersonFacts

PLAN_ROWS: Final = {
    "file": pl.String,
    "line": pl.Int64,
    "class": pl.String,
    "rule": pl.String,
    "reason": pl.String,
    "request": pl.Int64,
    "operation": pl.String,
    "identity_id": pl.String,
    "person": pl.String,
    "item_type": pl.String,
    "item_id": pl.String,
    "item": pl.String,
    "owner": pl.String,
    "account": pl.String,
    "start_date": pl.String,
    "remove_date": pl.String,
    "comment": pl.String,
    "group": pl.String,
}
"""Columns of a plan's lines: one for each change, and one for each row that is rejected as a whole.

`class` is a RowClass, `rule` names the rules that a rejected line breaks. `request` counts the requests of the plan
from 1 in the order of sending; it is null for a change that the plan does not send. `person`, `item` and `owner` are
names, or empty if none is known. `group` is the text of the user's own column by which the plan is counted. All else
that is not known is empty."""

SENT: Final = "sent by this run already"
UNCONFIRMED: Final = "sent by this run and unconfirmed: `submit` settles it first"

_MOST_SHOWN: Final = 80
_MOST_COLUMNS: Final = 30


def operation_said() -> pl.Expr:
    """The operation of a change as its row says it."""
    return pl.when(EXTENDS).then(pl.lit(EXTEND)).otherwise("operation").alias("operation")


def column_named(table: Table, wanted: str) -> Column:
    """The column of the input that the user names by its header, or by our name for it.

    Raises:
        UsageError: There is none.
    """
    name = bare_name(wanted).lower()
    for column in table.columns:
        if name and name in {bare_name(column.header).lower(), column.name.lower()}:
            return column
    headers = [f"`{on_one_line(column.header, most=_MOST_SHOWN)}`" for column in table.columns]
    more = f" and {len(headers) - _MOST_COLUMNS:,} more" if len(headers) > _MOST_COLUMNS else ""
    raise UsageError(
        f"The input has no column `{on_one_line(wanted, most=_MOST_SHOWN)}`, which --by names. Its columns are "
        f"{', '.join(headers[:_MOST_COLUMNS])}{more}.",
        next_step="Nothing was sent. Name one of them.",
    )


def plan_rows(
    classified: Classified,
    plan: Plan,
    *,
    names: KnownNames = NO_KNOWN_NAMES,
    items: Mapping[Item, ItemFacts] | None = None,
    people: Mapping[str, PersonFacts] | None = None,
    by: Column | None = None,
) -> pl.DataFrame:
    """The lines of a plan, by PLAN_ROWS, in the order of the input.

    Args:
        classified: The input's changes.
        plan: Of those that still need a request.
        names: The input's names of ids.
        items: What the tenant says of items: their names and owners.
        people: What the tenant says of people.
        by: The user's column whose text becomes the `group`.
    """
    table = classified.table
    group = _group(table, by)
    changes = _with_requests(classified, plan)
    rule, message = rule_and_message(pl.col("reason"))
    accounts = [named_account(*one) for one in changes.select("account", "selection").iter_rows()]
    is_rejected = pl.col("class") == RowClass.REJECTED.value
    of_changes = changes.select(
        "file",
        "line",
        "class",
        pl.when(is_rejected).then(rule).otherwise(pl.lit("")).alias("rule"),
        pl.when(is_rejected).then(message).otherwise("reason").alias("reason"),
        "request",
        operation_said(),
        *("identity_id", "item_type", "item_id"),
        pl.Series("account", accounts, pl.String),
        *("start_date", "remove_date", "comment"),
        group.gather(changes.get_column("row")),
    )
    of_rows = _rejected(table, classified.rejected, group)
    lines = pl.concat([of_changes, of_rows], how="diagonal_relaxed").sort("file", "line", maintain_order=True)
    return _named(lines, names, items or {}, people or {}).select(
        pl.col(name).fill_null("").cast(dtype) if dtype == pl.String else pl.col(name).cast(dtype)
        for name, dtype in PLAN_ROWS.items()
    )


def _group(table: Table, by: Column | None) -> pl.Series:
    """The text of the user's column in each row."""
    if by is None:
        return pl.repeat("", table.rows.height, dtype=pl.String, eager=True).alias("group")
    return table.originals.get_column(by.name).str.strip_chars().fill_null("").alias("group")


def body_numbers(requests: int, envelopes: pl.DataFrame) -> pl.DataFrame:
    """The `body`, counted from 1, in which each `request` is sent, counted from 0: several may share one."""
    numbered = pl.int_range(requests, eager=True).to_frame("request")
    return numbered.join(envelopes, on="request", how="left").select(
        "request", body=pl.coalesce("number", "request").rank("dense").cast(pl.Int64)
    )


def _with_requests(classified: Classified, plan: Plan) -> pl.DataFrame:
    """The changes with the `request` of each, counted from 1: first what the run has planned before and not sent."""
    replaced = [State.SPLIT.value, State.DISCARDED.value]
    own = (
        classified.known.filter((pl.col("run") == classified.run) & ~pl.col("state").is_in(replaced))
        .sort("request")
        .unique(KEY, keep="last")
    )
    is_waiting = pl.col("state") == State.PLANNED.value
    earlier = own.filter(is_waiting).select("request").unique().sort("request").with_row_index("number", offset=1)
    own = own.join(earlier, on="request", how="left").select(
        *KEY, pl.when(is_waiting).then(pl.col("number").cast(pl.Int64)).alias("waiting"), own_state="state"
    )
    bodies = body_numbers(plan.requests, plan.envelopes).with_columns(pl.col("body") + earlier.height)
    planned = pl.DataFrame(schema={**dict.fromkeys(KEY, pl.String), "body": pl.Int64})
    if plan.requests:
        planned = plan.changes.join(bodies, on="request", how="left").select(*KEY, "body")
    in_doubt = pl.col("own_state").is_in([state.value for state in IN_DOUBT])
    is_own = (pl.col("class") == RowClass.SUBMITTED.value) & pl.col("request").is_null()
    return (
        classified.changes.join(own, on=KEY, how="left", maintain_order="left")
        .join(planned, on=KEY, how="left", maintain_order="left")
        .with_columns(
            # Repeats and contradictions have the same key as a change that is planned.
            pl.when("fresh")
            .then("body")
            .when((pl.col("class") == RowClass.SUBMITTED.value) & pl.col("own_request").is_not_null())
            .then("waiting")
            .alias("request")
        )
        .with_columns(
            pl.when(is_own & in_doubt)
            .then(pl.lit(UNCONFIRMED))
            .when(is_own)
            .then(pl.lit(SENT))
            .otherwise("reason")
            .alias("reason")
        )
    )


def _rejected(table: Table, rejected: pl.DataFrame, group: pl.Series) -> pl.DataFrame:
    """The rows that are rejected as a whole, with the texts that they have in place of ids and names."""
    cells = {"person": ("identity", "identity_id"), "item": ("item", "item_id")}
    written = table.rows.select(
        pl.col("_file").alias("file"),
        pl.col("_line").alias("line"),
        *(
            pl.coalesce(*(pl.col(name) for name in several if name in table.rows.columns), pl.lit("")).alias(cell)
            for cell, several in cells.items()
        ),
        *(pl.col(name) for name in ("operation", "item_type") if name in table.rows.columns),
        group,
    )
    broken = written[rejected.get_column("row")].with_columns(
        rejected.get_column("rule"), rejected.get_column("message").alias("reason")
    )
    unread = table.rejected.select(
        pl.col("_file").alias("file"),
        pl.col("_line").alias("line"),
        pl.col("_rule").alias("rule"),
        pl.col("_message").alias("reason"),
    )
    return pl.concat([broken, unread], how="diagonal_relaxed").with_columns(
        pl.lit(RowClass.REJECTED.value).alias("class")
    )


def _named(
    lines: pl.DataFrame, names: KnownNames, items: Mapping[Item, ItemFacts], people: Mapping[str, PersonFacts]
) -> pl.DataFrame:
    """The lines with the names of people, items and owners: the input's own, else the tenant's."""
    facts = {(kind, key_of(item)): said for (kind, item), said in items.items()}
    persons = {key_of(person): said.name for person, said in people.items()}

    def item_name(kind: str, item: str) -> str:
        said = facts.get((kind, key_of(item)))
        return names.item(kind, item) or _shown((said and said.name) or "")

    def owner(kind: str, item: str) -> str:
        said = facts.get((kind, key_of(item)))
        return _shown(said.owner_name or said.owner or "") if said else ""

    def person_name(person: str) -> str:
        return names.identity(person) or _shown(persons.get(key_of(person), ""))

    of_items = _looked_up(lines, ["item_type", "item_id"], item_of=item_name, owner=owner)
    of_people = _looked_up(lines, ["identity_id"], person_of=person_name)
    named = lines.join(of_items, on=["item_type", "item_id"], how="left", maintain_order="left").join(
        of_people, on="identity_id", how="left", maintain_order="left"
    )
    return named.with_columns(item=pl.coalesce("item_of", "item"), person=pl.coalesce("person_of", "person"))


def _looked_up(lines: pl.DataFrame, key: list[str], **found: Callable[..., str]) -> pl.DataFrame:
    """The distinct ids of some columns, with what functions say of each."""
    distinct = lines.select(key).drop_nulls().unique()
    return distinct.with_columns(
        pl.Series(name, [function(*ids) for ids in distinct.rows()], pl.String) for name, function in found.items()
    )


def _shown(name: str) -> str:
    """A name from the tenant; empty for what was hidden because it held a secret."""
    return "" if name == HIDDEN else name
