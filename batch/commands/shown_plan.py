"""`show` and `approve`: a saved plan for people."""

from __future__ import annotations

import os
import shlex
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from batch.api.dialects import dialect_named
from batch.commands.loading import load
from batch.commands.plan_signatures import approve, describe_signatures
from batch.commands.plan_table import require_sound
from batch.commands.saved_plans import to_submit, write
from batch.commands.sources import read_saved
from batch.errors import PlanRefusedError
from batch.model import RowClass
from batch.plan.saved import compare_rows, describe_saved
from batch.read import read_loaded
from batch.report.plan_count import view_again
from batch.report.plan_rows import PLAN_ROWS, body_numbers, operation_said
from batch.report.plan_screen import describe_plan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batch.commands.runtime import Runtime
    from batch.commands.screen import Screen
    from batch.plan.saved import RowsCompared, SavedPlan
    from batch.report.plan_view import PlanView
    from batch.settings import Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownPlan:
    """A saved plan, and what is known of its signatures.

    Attributes:
        plan: The plan.
        view: What is shown of it; its numbers are counted anew.
        signatures: A line for each.
        compared: An input beside the rows of the plan; None without one.
        title: That input.
    """

    plan: SavedPlan
    view: PlanView
    signatures: tuple[str, ...]
    compared: RowsCompared | None = None
    title: str = ""

    def describe(self, *, detail: bool = False) -> Iterator[str]:
        """The plan as lines for people, as `plan` shows it."""
        about = self.plan.circumstances
        yield f"{describe_saved(self.plan)}, by {about.planned_by or 'somebody'}, with access-batch {about.version}."
        yield f"From {', '.join(about.inputs)}; digest of the rows {about.input_digest}."
        yield from describe_plan(self.view, detail=detail)
        yield f"Digest of the plan: {self.plan.digest}"
        yield from self.signatures or ("Nobody has signed it.",)
        if self.compared:
            yield from self.compared.describe(self.title)

    def as_json(self, *, detail: bool = False) -> dict[str, Any]:
        """The plan as scripts read it: as under `plan` in the JSON of `plan`, and what makes it a saved one."""
        about = self.plan.circumstances
        return {
            "digest": self.plan.digest,
            "address": about.address,
            "ledger": about.ledger,
            "api": about.api,
            "planned_at": about.planned_at,
            "planned_by": about.planned_by,
            "version": about.version,
            "input_digest": about.input_digest,
            "signatures": [*self.signatures],
            "input": self.compared and {**asdict(self.compared), "is_same": self.compared.is_same},
            **self.view.as_json(detail=detail),
        }


def shown_plan(name: str, settings: Settings, runtime: Runtime, screen: Screen, *, of_input: str = "") -> ShownPlan:
    """A saved plan from its file.

    Args:
        name: The file.
        settings: Whose key is whose, and how an input is read.
        runtime: The clock.
        screen: For messages about the input.
        of_input: An input to be compared with the plan's rows; empty for none.

    Raises:
        InputFileError: It is none, or can't be read.
        PlanRefusedError: It was changed.
    """
    plan = read_saved(name)
    about = plan.circumstances
    require_sound(plan, name, dialect_named(about.api), datetime.fromisoformat(about.planned_at))
    try:
        view = _view(plan)
    except (KeyError, TypeError, ValueError, AttributeError, pl.exceptions.PolarsError):
        raise PlanRefusedError(
            f"{name} can't be shown: it was not saved by access-batch {plan.circumstances.version}.",
            next_step="Nothing was sent. Plan the input again: access-batch plan INPUT --save FILE",
        ) from None
    compared = None
    if of_input:
        table = read_loaded(load([of_input], settings, screen, stdin=None))
        compared = compare_rows(plan, table.originals)
    signatures = (*describe_signatures(plan, settings, runtime.now()),)
    return ShownPlan(plan=plan, view=view, signatures=signatures, compared=compared, title=of_input)


def _view(plan: SavedPlan) -> PlanView:
    """The view of a plan, counted from its lines."""
    about = plan.circumstances
    bodies = body_numbers(plan.plan.requests, plan.plan.envelopes)
    planned = (
        plan.changes.join(bodies, on="request", how="left", maintain_order="left")
        .with_columns(
            operation_said(),
            pl.col("body").alias("request"),
            pl.lit(RowClass.SUBMITTED.value).alias("class"),
            rule=pl.lit(""),
            reason=pl.lit(""),
        )
        .select(list(PLAN_ROWS))
    )
    schema = {name: kind for name, kind in PLAN_ROWS.items() if name != "request"}
    skipped = pl.DataFrame([*map(list, about.skipped)], schema=schema, orient="row", strict=True)
    lines = pl.concat([planned, skipped], how="diagonal").sort("file", "line", maintain_order=True)
    return view_again({**about.known, "request_metadata": plan.metadata}, lines)


def approved(name: str, settings: Settings, screen: Screen, runtime: Runtime) -> list[str]:
    """Show a saved plan, and add the user's approval to its file.

    Raises:
        AccessBatchError: See `shown_plan` and `approve`; the file stays as it was.
    """
    found = shown_plan(name, settings, runtime, screen)
    screen.say(*found.describe())
    signed, who, given = approve(found.plan, name, settings, screen, reread=lambda: read_saved(name), now=runtime.now())
    # A link stays one.
    write(signed, Path(os.path.realpath(name)))
    if given < settings.approvals_required:
        so_far = f"{given} of {settings.approvals_required} approvals"
        return [f"Approved by {who}: {so_far}. Another person approves it: access-batch approve {shlex.quote(name)}"]
    return [f"Approved by {who}. It can be submitted now: {to_submit(signed, shlex.quote(name))}"]
