"""A plan as one page of HTML that a manager can read and print: no script, nothing from elsewhere, all text escaped.

Long tables are cut, so that the page stays small; `plan.csv` has every line.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from itertools import chain
from typing import TYPE_CHECKING, Final

from batch.model import RowClass
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
from batch.text import count, on_one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from batch.report.plan_view import Counted, PlanView

MOST_LINES: Final = 2_000
"""Lines of a table."""

MOST_CHARACTERS: Final = 900_000
"""Characters of a table's lines: with six tables, the page stays below 5 MB of ASCII."""

_STYLE: Final = """
:root { color-scheme: light; }
body { font: 15px/1.45 system-ui, "Segoe UI", Arial, sans-serif; color: #1a1a1a; background: #fff;
  max-width: 72rem; margin: 2rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p, ul { margin: .4rem 0; max-width: 60rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: 1rem 0; }
dt { color: #555; } dd { margin: 0; }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; color: #444; padding: 0 0 .4rem; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid #ddd;
  unicode-bidi: isolate; overflow-wrap: anywhere; }
tr > :first-child { padding-left: 0; }
thead th { border-bottom: 2px solid #555; white-space: nowrap; overflow-wrap: normal; }
tbody th { font-weight: normal; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.w { white-space: nowrap; }
.revoke { color: #9b1c1c; font-weight: 600; }
.note { color: #555; }
@page { margin: 15mm; }
@media print {
  body { max-width: none; margin: 0; padding: 0; font-size: 10pt; }
  h2 { break-after: avoid; } tr { break-inside: avoid; } thead { display: table-header-group; }
}
"""

_BEGINNING: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
"""

_TERMS: Final = (
    "A change grants one access item to one person, or revokes it. This page shows what would be sent: when it was "
    "written, nothing was."
)


@dataclass(frozen=True, slots=True)
class _Cell:
    """A cell: its text, how it looks, and whether it heads its row."""

    text: str
    look: str = ""

    def html(self, *, heads: bool) -> str:
        kind = 'th scope="row"' if heads else "td"
        look = f' class="{self.look}"' if self.look else ""
        return f"<{kind}{look}>{escape(on_one_line(self.text, most=MOST_TEXT))}</{kind[:2]}>"


def plan_page(view: PlanView, *, csv_name: str = "plan.csv") -> Iterator[str]:
    """The page, in parts.

    Args:
        view: Of the plan.
        csv_name: The name of the file that has every line.
    """
    heading = f"Plan: {title(view)}"
    yield _BEGINNING.format(title=escape(heading), style=_STYLE)
    yield f"<header>\n<h1>{escape(heading)}</h1>\n{_about(view)}<p>{escape(_TERMS)}</p>\n</header>\n<main>\n"
    yield from _warnings(view)
    yield from _tables(view, csv_name)
    yield "</main>\n</body>\n</html>\n"


def _about(view: PlanView) -> str:
    about = view.about
    read = sum(view.rows.values())
    classes = [
        f"{number:,} {CLASS_WORDS[RowClass(name)] if name in set(RowClass) else name}"
        for name, number in view.rows.items()
        if number and name != RowClass.SUBMITTED
    ]
    rows = f"{read:,} read, {view.rows.get(RowClass.SUBMITTED, 0):,} part of the plan"
    facts = {
        "Tenant": about.tenant,
        "Requests are made by": about.requester,
        "Planned by": about.made_by,
        "Planned at": when(about.made_at),
        "Input": ", ".join(about.inputs),
        "Rows": ", ".join([rows, *classes]),
        "Cost": " ".join(describe_cost(view.cost)) if view.all.total else "",
    }
    lines = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(on_one_line(text, most=5 * MOST_TEXT))}</dd>\n"
        for name, text in facts.items()
        if text
    )
    return f"<dl>\n{lines}</dl>\n"


def _warnings(view: PlanView) -> Iterator[str]:
    if view.warnings:
        texts = "".join(f"<li>{escape(on_one_line(one, most=5 * MOST_TEXT))}</li>\n" for one in view.warnings)
        yield f'<section aria-labelledby="warnings">\n<h2 id="warnings">Warnings</h2>\n<ul>\n{texts}</ul>\n</section>\n'


def _tables(view: PlanView, csv_name: str) -> Iterator[str]:
    operations = list(view.all.changes)
    counts = [*(f"{one.capitalize()}s" for one in operations), "People"]
    if view.all.total:
        yield from _table(
            "By operation",
            ["Operation", "Changes"],
            ([_Cell(name.capitalize()), _Cell(f"{number:,}", "n")] for name, number in view.all.changes.items()),
            f"All {count(view.all.total, 'change')} by what is done.",
            csv_name,
        )
        yield from _table(
            "By access item",
            ["Item", *counts, "End dates", "Owner"],
            (
                [
                    _Cell(item_in_words(one.item_type, one.name, one.item_id)),
                    *_numbers(one.counted, operations),
                    _Cell(ends_in_words(one.counted)),
                    _Cell(one.owner),
                ]
                for one in view.items
            ),
            f"{count(len(view.items), 'access item')}, those with the most changes first.",
            csv_name,
        )
    if view.groups:
        yield from _table(
            f"By {on_one_line(view.about.by, most=MOST_TEXT)}",
            [view.about.by, *counts],
            ([_Cell(one.value), *_numbers(one.counted, operations)] for one in view.groups),
            "Changes by this column of the input.",
            csv_name,
        )
    if view.all.total:
        yield from _table(
            "People with the most changes",
            ["Person", *counts[:-1]],
            ([_Cell(named(one.name, one.identity_id)), *_numbers(one.counted, operations)[:-1]] for one in view.people),
            f"{len(view.people):,} of {view.all.people:,} people.",
            csv_name,
        )
    if view.all.total and view.approvals is not None:
        yield from _table(
            "Approvals that it causes",
            ["Who decides", "Number"],
            ([_Cell(words), _Cell(f"{number:,}", "n")] for words, number in approvals_in_words(view.approvals)),
            f"{PACKING[:1].upper()}{PACKING[1:]}.",
            csv_name,
        )
    if view.skipped:
        yield from _table(
            "Not sent",
            ["Class", "Changes", "Why"],
            (
                [
                    _Cell(CLASS_WORDS.get(one.row_class, one.row_class), "w"),
                    _Cell(f"{one.changes:,}", "n"),
                    _Cell(skipped_in_words(one)),
                ]
                for one in view.skipped
            ),
            f"{count(sum(one.changes for one in view.skipped), 'change')} of the input, and why each is not sent.",
            csv_name,
        )
    if view.all.total:
        yield from _table(
            "Changes",
            ["Operation", "Person", "Item", "Ends", "Line", "Request", "Comment"],
            _changes(view),
            f"All {count(view.all.total, 'change')}, in the order of the input.",
            csv_name,
        )


def _changes(view: PlanView) -> Iterator[list[_Cell]]:
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
            _Cell(operation.capitalize(), operation.lower()),
            _Cell(named(person, identity)),
            _Cell(item_in_words(kind, item, item_id)),
            _Cell(end[:10]),
            _Cell(f"{file}, {line}" if several else f"{line}"),
            _Cell(f"{request}", "n"),
            _Cell(comment),
        ]


def _numbers(counted: Counted, operations: Sequence[str]) -> list[_Cell]:
    numbers = [counted.changes.get(one, 0) for one in operations]
    looks = [f"n {one.lower()}" if number else "n" for one, number in zip(operations, numbers, strict=True)]
    return [
        *(_Cell(f"{number:,}", look) for number, look in zip(numbers, looks, strict=True)),
        _Cell(f"{counted.people:,}", "n"),
    ]


def _table(
    heading: str, headers: Sequence[str], rows: Iterable[Sequence[_Cell]], caption: str, csv_name: str
) -> Iterator[str]:
    """A section with a table; if it is cut, a sentence says where all is."""
    rows = iter(rows)
    first = next(rows, None)
    yield f"<section>\n<h2>{escape(on_one_line(heading, most=MOST_TEXT))}</h2>\n"
    if first is None:
        yield f"<p>{escape(caption)}</p>\n</section>\n"
        return
    yield f"<table>\n<caption>{escape(caption)}</caption>\n<thead><tr>"
    for n, header in enumerate(headers):
        look = ' class="n"' if first[n].look.startswith("n") else ""
        yield f'<th scope="col"{look}>{escape(on_one_line(header, most=MOST_TEXT))}</th>'
    yield "</tr></thead>\n<tbody>\n"
    shown = size = 0
    is_cut = False
    for row in chain([first], rows):
        if shown == MOST_LINES or size > MOST_CHARACTERS:
            is_cut = True
            break
        line = "".join(cell.html(heads=n == 0) for n, cell in enumerate(row))
        yield f"<tr>{line}</tr>\n"
        shown, size = shown + 1, size + len(line)
    yield "</tbody>\n</table>\n"
    if is_cut:
        yield f'<p class="note">Only the first {shown:,} are shown here: {escape(csv_name)} has every change.</p>\n'
    yield "</section>\n"
