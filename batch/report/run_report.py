"""The files of a run's report: a page, and a CSV file beside it with every change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from batch.errors import SettingsError
from batch.files import first_bytes
from batch.read import PLAIN
from batch.report.files import write_csv, write_whole
from batch.report.plan_files import shown_safely
from batch.report.run_page import MAKER, run_page
from batch.report.run_view import LINES, OPEN, POOR, Standing
from batch.report.workbook import Sheet
from batch.text import count

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

    from batch.report.files import Complain
    from batch.report.run_view import RunView

_COLUMNS: Final = {**{name: name for name in LINES}, "who": "approver", "file": "_file", "line": "_line"}
_BEGINNING: Final = 1_000


def page_name(run: str) -> str:
    """The usual name of a run's report."""
    return f"report-{run}.html"


def csv_beside(page: Path) -> Path:
    """The file beside a page that has every change."""
    return page.with_name(f"{page.stem}.csv")


def require_ours(page: Path) -> None:
    """Check that a report replaces nothing but an older report.

    Raises:
        SettingsError: It would replace another file.
    """
    if page.suffix.lower() == ".csv":
        raise SettingsError(
            f"{page} is a name for the file with every change, which stands beside the page.",
            next_step="Nothing was written. Name the page with --out, such as report.html.",
        )
    marks = {page: f'content="{MAKER}"', csv_beside(page): ",".join(f'"{name}"' for name in _COLUMNS.values())}
    for path, mark in marks.items():
        if (path.exists() or path.is_symlink()) and mark.encode() not in first_bytes(path, _BEGINNING):
            raise SettingsError(
                f"{path} exists, and access-batch has not written it as a report.",
                next_step="Nothing was written. Choose another file with --out.",
            )


def write_report(page: Path, view: RunView, complain: Complain) -> dict[str, str | None]:
    """Write both files.

    Args:
        page: Where the page goes; the CSV file stands beside it.
        view: Of the run.
        complain: Takes a sentence if one can't be written.

    Returns:
        The paths of `report` and `changes`; None for one that could not be written.
    """
    beside = csv_beside(page)
    changes = write_csv(beside, changes_sheet(view.lines), PLAIN, complain)
    return {"report": write_whole(page, lambda file: write_page(file, view, beside.name), complain), "changes": changes}


def write_page(file: BinaryIO, view: RunView, csv_name: str) -> None:
    """Write the page of a report, which names the file that has every change."""
    file.writelines(part.encode("utf-8", "replace") for part in run_page(view, csv_name=csv_name))


def changes_sheet(lines: pl.DataFrame) -> Sheet:
    """Every change of a report, as the file beside the page has it."""
    rows = lines.select(pl.col(name).replace("", None).alias(shown) for name, shown in _COLUMNS.items())
    rows = rows.select(shown_safely(column) for column in rows.iter_columns())
    return Sheet(tuple(rows.columns), rows)


def describe_report(view: RunView, files: dict[str, str | None]) -> Iterator[str]:
    """The totals of a report in one line, and the paths of its files."""
    ended = f"{view.of(*POOR):,} refused, failed, rejected or cancelled"
    yield f"Run {view.about.run}: {count(view.total, 'change')}, {view.of(*OPEN):,} open, {ended}."
    yield from (f"  {name}: {path}" for name, path in files.items() if path)
    if view.of(*set(OPEN) - {Standing.UNSENT}):
        yield f"To look at the tenant again: access-batch track {view.about.run}"
    if view.about.redacted:
        yield "Names, comments and ids of people are pseudonyms there. Names of items and of the tenant are not."


def report_as_json(view: RunView, files: dict[str, str | None]) -> dict[str, Any]:
    """The same for `--json`."""
    return {**view.as_json(), "files": files}
