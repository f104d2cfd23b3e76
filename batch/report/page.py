"""What all our pages share: one self-contained file of HTML, light and dark, for a phone, a screen and paper.

No page has a script, and none loads anything: its own policy forbids both. All text is escaped here. Long tables are
cut, so that pages stay small; a CSV file beside the page has every line. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from itertools import chain
from typing import TYPE_CHECKING, Final

from batch.report.plan_words import MOST_TEXT
from batch.text import on_one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

MOST_LINES: Final = 2_000
"""Lines of a table."""

MOST_CHARACTERS: Final = 900_000
"""Characters of a table's lines: with six tables, the page stays below 5 MB of ASCII."""

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #fff; --quiet: #555; --line: #ddd; --bad: #9b1c1c;
  --good: #1b6e3c; --sent: #1f5fa8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --paper: #16181c; --quiet: #b0b4ba; --line: #3a3d43;
  --bad: #ff9a94; --good: #7fd19b; --sent: #7db4f0; } }
body { font: 15px/1.45 system-ui, "Segoe UI", Arial, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 72rem; margin: 2rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; overflow-wrap: anywhere; }
p, ul { margin: .4rem 0; max-width: 60rem; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: 1rem 0; }
dt { color: var(--quiet); } dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; color: var(--quiet); padding: 0 0 .4rem; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid var(--line);
  unicode-bidi: isolate; overflow-wrap: anywhere; }
tr > :first-child { padding-left: 0; }
thead th { border-bottom: 2px solid var(--quiet); white-space: nowrap; overflow-wrap: normal; }
tbody th { font-weight: normal; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.w { white-space: nowrap; }
.revoke, .bad { color: var(--bad); font-weight: 600; }
.note { color: var(--quiet); }
.many th, .many td { min-width: 7rem; font-size: .87em; } .many td:last-child { min-width: 16rem; }
svg { display: block; width: 100%; max-width: 45rem; height: auto; font: 12px system-ui, Arial, sans-serif; }
svg text { fill: var(--ink); } svg .axis { stroke: var(--quiet); } svg .limit { stroke: var(--bad); }
svg .grid { stroke: var(--line); } svg path { fill: none; stroke-width: 2; }
svg .sent { stroke: var(--sent); } svg .accepted { stroke: var(--quiet); } svg .good { stroke: var(--good); }
svg .poor { stroke: var(--bad); } svg rect { fill: var(--sent); } svg rect.good { fill: var(--good); stroke: none; }
svg rect.poor { fill: var(--bad); stroke: none; } svg rect.open { fill: var(--quiet); }
@media (max-width: 40rem) { body { margin: 1rem auto; padding: 0 1rem; } dl { display: block; }
  dd { margin: 0 0 .4rem; } svg { font-size: 18px; } th, td { padding: .3rem .4rem; }
  :is(th, td):not(.n) { min-width: 4.5rem; }
  tr > :first-child { min-width: 6rem; } thead th { white-space: normal; } }
@page { margin: 15mm; }
@media print {
  :root { color-scheme: light; --ink: #000; --paper: #fff; --quiet: #444; --line: #bbb; --bad: #9b1c1c; --good: #1b6e3c;
    --sent: #1f5fa8; }
  body { max-width: none; margin: 0; padding: 0; font-size: 10pt; }
  .scroll { overflow: visible; }
  .many th, .many td, .many td:last-child { min-width: 0; font-size: 7pt; padding: .15rem .25rem; }
  .many thead th { white-space: normal; }
  h2 { break-after: avoid; } tr, svg { break-inside: avoid; } thead { display: table-header-group; }
}
"""

_BEGINNING: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="{maker}">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
"""

END: Final = "</main>\n</body>\n</html>\n"
"""The end of every page."""

MANY: Final = 8
"""A table of more columns has small letters, and is at least so wide that each can be read."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell: its text, and how it looks."""

    text: str
    look: str = ""

    def html(self, *, heads: bool) -> str:
        """The cell; `heads` if it heads its row."""
        kind = 'th scope="row"' if heads else "td"
        look = f' class="{self.look}"' if self.look else ""
        return f"<{kind}{look}>{in_html(self.text)}</{kind[:2]}>"


def in_html(text: str, most: int = MOST_TEXT) -> str:
    """Any text on one line, escaped."""
    return escape(on_one_line(text, most=most))


def number(value: int, look: str = "") -> Cell:
    """A cell with a number."""
    return Cell(f"{value:,}", f"n {look}".rstrip())


def beginning(heading: str, maker: str = "access-batch") -> str:
    """The beginning of a page, before its header. `maker` tells our own pages apart."""
    return _BEGINNING.format(title=escape(heading), style=_STYLE, maker=escape(maker))


def facts(about: Mapping[str, str]) -> str:
    """What a page is about: names with their texts; empty ones are left out."""
    lines = "".join(
        f"<dt>{escape(name)}</dt><dd>{in_html(text, 5 * MOST_TEXT)}</dd>\n" for name, text in about.items() if text
    )
    return f"<dl>\n{lines}</dl>\n"


def table(
    heading: str,
    headers: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    caption: str,
    csv_name: str,
    *,
    before: str = "",
) -> Iterator[str]:
    """A section with a table; if it is cut, a sentence says where all is.

    Args:
        heading: Of the section.
        headers: Of the columns.
        rows: Its lines; without any, the caption is a sentence.
        caption: Says what the table has.
        csv_name: The name of the file that has every line.
        before: HTML between the heading and the table.
    """
    rows = iter(rows)
    first = next(rows, None)
    yield f"<section>\n<h2>{in_html(heading)}</h2>\n{before}"
    if first is None:
        yield f"<p>{escape(caption)}</p>\n</section>\n"
        return
    look = ' class="many"' if len(headers) > MANY else ""
    yield f'<div class="scroll" role="region" aria-label="{in_html(heading)}" tabindex="0">\n'
    yield f"<table{look}>\n<caption>{escape(caption)}</caption>\n<thead><tr>"
    for n, header in enumerate(headers):
        look = ' class="n"' if first[n].look.startswith("n") else ""
        yield f'<th scope="col"{look}>{in_html(header)}</th>'
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
    yield "</tbody>\n</table>\n</div>\n"
    if is_cut:
        yield f'<p class="note">Only the first {shown:,} are shown here: {escape(csv_name)} has every change.</p>\n'
    yield "</section>\n"
