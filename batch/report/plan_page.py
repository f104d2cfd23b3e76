"""A plan as one page of HTML that a manager can read and print: no script, nothing from elsewhere, all text escaped.

Long tables are cut, so that the page stays small; `plan.csv` has every line.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from batch.model import RowClass
from batch.report.page import END, MOST_LINES, Cell, beginning, facts, in_html, table
from batch.report.plan_words import (
    CLASS_WORDS,
    MOST_TEXT,
    PACKING,
    approvals_in_words,
    describe_cost,
    ends_in_words,
    item_in_words,
    named,
    skipped_in_words,
    title,
    when,
)
from batch.text import count, metadata_said, on_one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from batch.report.plan_view import Counted, PlanView

_TERMS: Final = (
    "A change grants one access item to one person, or revokes it. This page shows what would be sent: when it was "
    "written, nothing was."
)


def plan_page(view: PlanView, *, csv_name: str = "plan.csv") -> Iterator[str]:
    """The page, in parts.

    Args:
        view: Of the plan.
        csv_name: The name of the file that has every line.
    """
    heading = f"Plan: {title(view)}"
    yield beginning(heading)
    yield f"<header>\n<h1>{escape(heading)}</h1>\n{_about(view)}<p>{escape(_TERMS)}</p>\n</header>\n<main>\n"
    yield from _warnings(view)
    yield from _tables(view, csv_name)
    yield END


def _about(view: PlanView) -> str:
    about = view.about
    read = sum(view.rows.values())
    classes = [
        f"{number:,} {CLASS_WORDS[RowClass(name)] if name in set(RowClass) else name}"
        for name, number in view.rows.items()
        if number and name != RowClass.SUBMITTED
    ]
    rows = f"{read:,} read, {view.rows.get(RowClass.SUBMITTED, 0):,} part of the plan"
    return facts(
        {
            "Tenant": about.tenant,
            "Requests are made by": about.requester,
            "Planned by": about.made_by,
            "Planned at": when(about.made_at),
            "Input": ", ".join(about.inputs),
            "Rows": ", ".join([rows, *classes]),
            "Request metadata": metadata_said(about.metadata),
            "Cost": " ".join(describe_cost(view.cost)) if view.all.total else "",
        }
    )


def _warnings(view: PlanView) -> Iterator[str]:
    if view.warnings:
        texts = "".join(f"<li>{in_html(one, 5 * MOST_TEXT)}</li>\n" for one in view.warnings)
        yield f'<section aria-labelledby="warnings">\n<h2 id="warnings">Warnings</h2>\n<ul>\n{texts}</ul>\n</section>\n'


def _tables(view: PlanView, csv_name: str) -> Iterator[str]:
    operations = list(view.all.changes)
    counts = [*(f"{one.capitalize()}s" for one in operations), "People"]
    if view.all.total:
        yield from table(
            "By operation",
            ["Operation", "Changes"],
            ([Cell(name.capitalize()), Cell(f"{number:,}", "n")] for name, number in view.all.changes.items()),
            f"All {count(view.all.total, 'change')} by what is done.",
            csv_name,
        )
        yield from table(
            "By access item",
            ["Item", *counts, "End dates", "Owner"],
            (
                [
                    Cell(item_in_words(one.item_type, one.name, one.item_id)),
                    *_numbers(one.counted, operations),
                    Cell(ends_in_words(one.counted)),
                    Cell(one.owner),
                ]
                for one in view.items
            ),
            f"{count(len(view.items), 'access item')}, those with the most changes first.",
            csv_name,
        )
    if view.groups:
        yield from table(
            f"By {on_one_line(view.about.by, most=MOST_TEXT)}",
            [view.about.by, *counts],
            ([Cell(one.value), *_numbers(one.counted, operations)] for one in view.groups),
            "Changes by this column of the input.",
            csv_name,
        )
    if view.all.total:
        yield from table(
            "People with the most changes",
            ["Person", *counts[:-1]],
            ([Cell(named(one.name, one.identity_id)), *_numbers(one.counted, operations)[:-1]] for one in view.people),
            f"{len(view.people):,} of {view.all.people:,} people.",
            csv_name,
        )
    if view.all.total and view.approvals is not None:
        yield from table(
            "Approvals that it causes",
            ["Who decides", "Number"],
            ([Cell(words), Cell(f"{number:,}", "n")] for words, number in approvals_in_words(view.approvals)),
            f"{PACKING[:1].upper()}{PACKING[1:]}.",
            csv_name,
        )
    if view.skipped:
        yield from table(
            "Not sent",
            ["Class", "Changes", "Why"],
            (
                [
                    Cell(CLASS_WORDS.get(one.row_class, one.row_class), "w"),
                    Cell(f"{one.changes:,}", "n"),
                    Cell(skipped_in_words(one)),
                ]
                for one in view.skipped
            ),
            f"{count(sum(one.changes for one in view.skipped), 'change')} of the input, and why each is not sent.",
            csv_name,
        )
    if view.all.total:
        yield from table(
            "Changes",
            ["Operation", "Person", "Item", "Ends", "Line", "Request", "Comment"],
            _changes(view),
            f"All {count(view.all.total, 'change')}, in the order of the input.",
            csv_name,
        )


def _changes(view: PlanView) -> Iterator[list[Cell]]:
    several = len(view.about.inputs) > 1
    columns = (
        *("operation", "person", "identity_id", "item_type", "item", "item_id", "remove_date"),
        *("file", "line", "request", "comment"),
    )
    # One more than fits, so that the table knows that it is cut.
    for operation, person, identity, kind, item, item_id, end, file, line, request, comment in (
        view.planned.select(columns).head(MOST_LINES + 1).iter_rows()
    ):
        yield [
            Cell(operation.capitalize(), operation.lower()),
            Cell(named(person, identity)),
            Cell(item_in_words(kind, item, item_id)),
            Cell(end[:10]),
            Cell(f"{file}, {line}" if several else f"{line}"),
            Cell(f"{request}", "n"),
            Cell(comment),
        ]


def _numbers(counted: Counted, operations: Sequence[str]) -> list[Cell]:
    numbers = [counted.changes.get(one, 0) for one in operations]
    looks = [f"n {one.lower()}" if number else "n" for one, number in zip(operations, numbers, strict=True)]
    return [
        *(Cell(f"{number:,}", look) for number, look in zip(numbers, looks, strict=True)),
        Cell(f"{counted.people:,}", "n"),
    ]
