"""A plan on the terminal: short tables of at most 80 columns, and every change if asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from batch.api.end_dates import NO_END
from batch.report.plan_words import (
    CLASS_WORDS,
    PACKING,
    approvals_in_words,
    describe_cost,
    ends_in_words,
    item_in_words,
    named,
    named_with_id,
    skipped_in_words,
    title,
)
from batch.report.screen import describe_outcome
from batch.text import cells, count, metadata_said, on_one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from batch.report.plan_view import Counted, PlanView
    from batch.report.summary import Summary

WIDTH: Final = 80
"""Columns of a line of a table."""

SHOWN: Final = 8
"""Lines of a table that are shown without --detail."""

_MORE: Final = "  … and {} more: --detail"
_NUMBER: Final = 9
_FEWEST: Final = 24
_MOST_BESIDE: Final = {"ends": 24, "owner": 18}
_MARGIN: Final = "  "
_Line = TypeVar("_Line")


def describe_plan(view: PlanView, *, detail: bool = False, warnings: bool = True) -> Iterator[str]:
    """A plan in lines.

    Args:
        view: Of the plan.
        detail: Whether to list everything, and every change.
        warnings: Whether to show its warnings.
    """
    if view.all.total:
        yield f"The plan: {title(view)}."
        yield from _items(view, detail=detail)
        yield from _groups(view, detail=detail)
        yield from _people(view)
        yield from _approvals(view, detail=detail)
        if view.about.metadata:
            yield _cut(f"Each request carries {metadata_said(view.about.metadata)}.", WIDTH)
    yield from _skipped(view, detail=detail)
    if warnings and view.warnings:
        yield "Warnings:"
        yield from (f"{_MARGIN}{one}" for one in view.warnings)
    if detail:
        yield from _changes(view)
    if view.all.total:
        yield from describe_cost(view.cost)


def describe_preview(summary: Summary, *, detail: bool, warnings: bool) -> Iterator[str]:
    """What `plan` shows: the plan, its files, and that nothing was sent; arguments as for `describe_plan`."""
    if summary.plan is not None:
        yield from describe_plan(summary.plan, detail=detail, warnings=warnings)
    yield from (f"{_MARGIN}{name}: {path}" for name, path in summary.files.items() if path)
    yield from describe_outcome(summary, "")


def _items(view: PlanView, *, detail: bool) -> Iterator[str]:
    operations = list(view.all.changes)
    shown = _some(view.items, detail=detail)
    beside = {
        "ends": [ends_in_words(one.counted) if view.all.first_end else "" for one in shown],
        "owner": [on_one_line(one.owner, most=WIDTH) for one in shown],
    }
    beside = {name: texts for name, texts in beside.items() if any(texts)}
    rows = [
        [item_in_words(one.item_type, one.name, one.item_id), *_numbers(one.counted, operations), *texts]
        for one, *texts in zip(shown, *beside.values(), strict=True)
    ]
    widths = [min(_MOST_BESIDE[name], max(map(cells, (name, *texts)))) for name, texts in beside.items()]
    headers = [f"{len(view.items):,} items" if len(view.items) > 1 else "1 item", *_headers(operations), *beside]
    yield from _table(headers, rows, [_NUMBER] * (len(operations) + 1), last=widths)
    yield from _more(view.items, detail=detail)


def _groups(view: PlanView, *, detail: bool) -> Iterator[str]:
    if not view.groups:
        return
    operations = list(view.all.changes)
    rows = [
        [on_one_line(one.value, most=WIDTH), *_numbers(one.counted, operations)]
        for one in _some(view.groups, detail=detail)
    ]
    headers = [f"by {on_one_line(view.about.by, most=WIDTH)}", *_headers(operations)]
    yield from _table(headers, rows, [_NUMBER] * (len(operations) + 1))
    yield from _more(view.groups, detail=detail)


def _people(view: PlanView) -> Iterator[str]:
    """Two people a line."""
    if view.people[0].counted.total == 1:
        yield f"Each of {view.all.people:,} people has one change." if view.all.people > 1 else "It is one change."
        return
    yield f"People with the most changes (of {view.all.people:,}):"
    half = WIDTH // 2 - len(_MARGIN)
    shown = [
        f"{_fit(named(one.name, one.identity_id), half - _NUMBER)}{one.counted.total:>{_NUMBER},}"
        for one in view.people
    ]
    rows = -(-len(shown) // 2)
    for n in range(rows):
        yield "".join(f"{_MARGIN}{one}" for one in (shown[n], *shown[n + rows : n + rows + 1]))


def _approvals(view: PlanView, *, detail: bool) -> Iterator[str]:
    if view.approvals is None:
        return
    who = approvals_in_words(view.approvals)
    yield f"Who decides ({PACKING}):"
    for words, number in _some(who, detail=detail):
        yield f"{_MARGIN}{_fit(words, WIDTH - _NUMBER - len(_MARGIN))}{number:>{_NUMBER},}"
    yield from _more(who, detail=detail)


def _skipped(view: PlanView, *, detail: bool) -> Iterator[str]:
    if not view.skipped:
        return
    yield f"Not sent ({sum(one.changes for one in view.skipped):,}):"
    for one in _some(view.skipped, detail=detail):
        words = CLASS_WORDS.get(one.row_class, one.row_class)
        why = skipped_in_words(one)
        line = f"{one.changes:>{_NUMBER},}  {words}{': ' if why else ''}{why}"
        yield line if detail else _cut(line, WIDTH)
    yield from _more(view.skipped, detail=detail)


def _changes(view: PlanView) -> Iterator[str]:
    """Every line of the input."""
    several = view.lines.get_column("file").n_unique() > 1
    yield f"All {count(view.lines.height, 'change')}:"
    columns = (
        *("file", "line", "class", "rule", "reason", "request", "operation", "person", "identity_id"),
        *("item_type", "item", "item_id", "account", "start_date", "remove_date"),
    )
    for (
        file,
        line,
        row_class,
        rule,
        reason,
        request,
        operation,
        person,
        identity,
        kind,
        item,
        item_id,
        *rest,
    ) in view.lines.select(columns).iter_rows():
        account, start, end = rest
        item_named, who = item_in_words(kind, item, item_id), named_with_id(person, identity)
        what = f"{operation.lower() or 'change'} of {item_named}{f' ({item_id})' if item and item_id else ''} for {who}"
        begins, ends = (f" {word} {date}" if date else "" for word, date in (("from", start), ("until", end)))
        dates = begins + (" without an end date" if end == NO_END else ends)
        on = f" on account {account}" if account else ""
        fate = f"request {request}" if request else CLASS_WORDS.get(row_class, row_class)
        why = ": ".join(filter(None, ("" if request else rule, "" if request else reason)))
        where = f"{file}, line {line}" if several else f"line {line}"
        yield on_one_line(f"{where}: {what}{on}{dates}: {fate}{f' ({why})' if why else ''}", most=WIDTH * WIDTH)


def _headers(operations: Sequence[str]) -> list[str]:
    return [*(f"{one.lower()}s" for one in operations), "people"]


def _numbers(counted: Counted, operations: Sequence[str]) -> list[str]:
    return [f"{counted.changes.get(one, 0):,}" for one in operations] + [f"{counted.people:,}"]


def _some(lines: Sequence[_Line], *, detail: bool) -> Sequence[_Line]:
    """All lines with detail, else the first: one more takes no more room than to say that there is one more."""
    return lines if detail or len(lines) <= SHOWN + 1 else lines[:SHOWN]


def _more(lines: Sequence[object], *, detail: bool) -> Iterator[str]:
    if (left := len(lines) - len(_some(lines, detail=detail))) > 0:
        yield _MORE.format(f"{left:,}")


def _table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int], last: Sequence[int] = ()
) -> Iterator[str]:
    """Lines of a table: a text, which takes the room that is left, then numbers and other texts of fixed widths.

    The last columns are left out if they leave too little room.
    """
    while (first := WIDTH - len(_MARGIN) - sum(widths) - sum(one + 2 for one in last)) < _FEWEST and last:
        last = last[:-1]
    for number, row in enumerate([headers, *rows]):
        texts = row[1 + len(widths) :]
        line = (
            _fit(row[0], first + (0 if number else len(_MARGIN)))
            + "".join(f"{one:>{width}}" for one, width in zip(row[1:], widths, strict=False))
            + "".join(f"  {_fit(one, width)}" for one, width in zip(texts, last, strict=False))
        )
        yield (_MARGIN if number else "") + line.rstrip()


def _fit(text: str, width: int) -> str:
    """A text in exactly so many columns of a terminal."""
    short = _cut(text, width)
    return short + " " * (width - cells(short))


def _cut(text: str, width: int) -> str:
    """A text in at most so many columns."""
    if cells(text) <= width:
        return text
    kept = text[:width]
    while cells(kept) > width - 1:
        kept = kept[:-1]
    return f"{kept.rstrip()}…"
