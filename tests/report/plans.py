"""Plans for tests of how they are shown: from a CSV text, through the same steps as the command."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from batch.api.dialects import DIALECTS, Rate
from batch.names.known import NO_KNOWN_NAMES
from batch.pipeline import classify_input, plan_fresh
from batch.read import LoadedInputs, read_loaded
from batch.read.inputs import Content
from batch.report.plan_count import plan_view
from batch.report.plan_rows import column_named, plan_rows
from batch.report.plan_view import Cost, PlanAbout
from batch.validate.rows import validate
from tests.plan.changes import RUN, hex_id

if TYPE_CHECKING:
    from batch.names.known import KnownNames
    from batch.pipeline import Classified
    from batch.report.plan_view import PlanView

BETA = DIALECTS["beta"]
NOW = datetime(2026, 11, 23, tzinfo=UTC)
HEADER = "operation,identity_id,item_type,item_id,comment,remove_date,department"
ROLE = hex_id(0xA)


def line(person: int, item: int = 0xA, operation: str = "GRANT", end: str = "", department: str = "Sales") -> str:
    """A row of an input with the columns of HEADER."""
    return f"{operation},{hex_id(person)},ROLE,{hex_id(item)},why,{end},{department}"


def classified(*lines: str, header: str = HEADER) -> Classified:
    text = "\n".join([header, *lines])
    read = read_loaded(LoadedInputs((Content("in.csv", text.encode()),), "digest"))
    return classify_input(read, validate(read.rows, dialect=BETA, now=NOW), plans=None, tenant="t", run=RUN)


def view(
    *lines: str, by: str = "", names: KnownNames = NO_KNOWN_NAMES, header: str = HEADER, facts: Any = None, **more: Any
) -> PlanView:
    """The view of a plan of these rows.

    Args:
        lines: The rows.
        by: The column to count by.
        names: The input's names.
        header: The header.
        facts: The keyword arguments `items` and `people` of `plan_rows`.
        more: Arguments of `plan_view`.
    """
    made = classified(*lines, header=header)
    plan = plan_fresh(made, BETA)
    column = column_named(made.table, by) if by else None
    about = PlanAbout(tenant="https://acme.example", inputs=("in.csv",), by=column.header if column else "")
    cost = Cost(
        requests=plan.bodies,
        lower_bound=plan.lower_bound,
        checking=3,
        tracking=1,
        rate=Rate(requests=100, seconds=10),
    )
    rows = {row_class.value: number for row_class, number in made.rows.items()}
    return plan_view(
        plan_rows(made, plan, names=names, by=column, **(facts or {})),
        **{"rows": rows, "cost": cost, "about": about, **more},
    )
