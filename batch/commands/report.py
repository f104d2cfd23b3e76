"""`report`, and the reports of `submit --report` and `track --report`: a run as a page, every change beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from batch.api.accounts import named_account
from batch.api.dialects import DIALECTS
from batch.commands.runs import status
from batch.errors import SettingsError
from batch.report.run_count import run_lines, run_view
from batch.report.run_files import Origin, input_operations, results_of, rows_in_results
from batch.report.run_redaction import Pseudonyms, redacted_about, redacted_lines
from batch.report.run_report import page_name, require_ours, write_report
from batch.report.run_view import RunAbout
from batch.text import instant

if TYPE_CHECKING:
    from batch.commands.runtime import Runtime
    from batch.commands.screen import Screen
    from batch.ledger.store import Ledger
    from batch.model import Run
    from batch.report.files import Complain
    from batch.report.run_view import RunView
    from batch.settings import Settings


def report(
    settings: Settings, name: str, screen: Screen, runtime: Runtime, *, file: str = "", redact: bool = False
) -> tuple[RunView, dict[str, str | None]]:
    """Write the report of a run; the tenant is not asked.

    Args:
        settings: Name the ledger.
        name: The beginning of the run's id; empty for the newest.
        screen: For messages.
        runtime: Clock, randomness and process.
        file: Where the page goes; empty for a file beside the run's results, or in the current folder.
        redact: Whether people and texts become pseudonyms.

    Raises:
        UsageError: The run does not exist.
        SettingsError: A file can't be written, or would replace one that is no report.
    """
    run, *_ = status(settings, name, runtime, screen.say)
    folders = folders_of(settings, run)
    page = Path(file) if file else place_in(folders) / page_name(run.id)
    require_ours(page)
    with runtime.existing_ledger(settings, screen.say, only_read=True) as ledger:
        view = view_of(ledger, run, settings, folders, runtime, redact=redact)
    troubles: list[str] = []
    files = write_report(page, view, troubles.append)
    if troubles:
        raise SettingsError(troubles[0], next_step="The ledger stays as it is.")
    return view, files


def report_beside(
    ledger: Ledger, run: Run, settings: Settings, folder: Path | None, complain: Complain, runtime: Runtime
) -> dict[str, str | None]:
    """Write the report of a run after another command has done its work, which fails for nothing here.

    Args:
        ledger: The open ledger.
        run: The run.
        settings: Whether there is to be a report, and the rate limit.
        folder: Where the command writes its files; None for the place where `report` would write.
        complain: Takes a sentence if the report can't be written.
        runtime: Clock and randomness.

    Returns:
        The path of `report`, or None if it could not be written; empty if none is wanted.
    """
    if not settings.report:
        return {}
    folders = [folder] if folder else folders_of(settings, run)
    page = (folder or place_in(folders)) / page_name(run.id)
    try:
        require_ours(page)
    except SettingsError as error:
        complain(error.message)
        return {"report": None}
    files = write_report(page, view_of(ledger, run, settings, folders, runtime, redact=False), complain)
    return {"report": files["report"]}


def view_of(
    ledger: Ledger, run: Run, settings: Settings, folders: list[Path], runtime: Runtime, *, redact: bool
) -> RunView:
    """What the report shows of a run.

    Args:
        ledger: The open ledger.
        run: The run.
        settings: The rate limit.
        folders: Where the run's results may be: they have the lines of the input.
        runtime: Clock and randomness.
        redact: Whether people and texts become pseudonyms.
    """
    records = ledger.records(run)
    changes, names = records.changes, ledger.decisions.known_names(run.id)
    origin = Origin(run=run.id, inputs=run.inputs, names=names, rows=rows_in_results(folders, run.id))
    columns = origin.columns(changes)
    unknown = pl.lit(None, dtype=pl.String)
    accounts = [named_account(*one) for one in changes.select("account", "selection").iter_rows()]
    shown = columns.select(
        pl.col("_identity_name").alias("person"),
        pl.col("_item_name").alias("item"),
        (pl.col("_file") if "_file" in columns.columns else unknown).alias("file"),
        pl.col("_line").alias("line"),
        pl.Series("account", accounts, dtype=pl.String),
    )
    lines = run_lines(run.id, changes.with_columns(operation=input_operations(names, changes)), records.events, shown)
    about = RunAbout(
        run=run.id,
        tenant=run.tenant,
        inputs=run.inputs,
        api=run.dialect,
        imported=run.imported,
        requesters=records.requesters,
        machines=records.machines,
        started_at=instant(run.started_at),
        looked_at=ledger.tracks.summary(run).looked_at,
        made_at=instant(runtime.now()),
        head=ledger.head(run).short,
        metadata=run.metadata,
    )
    if redact:
        pseudonyms = Pseudonyms("".join(runtime.new_id() for _ in range(_IDS_OF_A_KEY)), lines)
        lines, about = redacted_lines(lines, pseudonyms), redacted_about(about, pseudonyms)
    limit = settings.rate or DIALECTS.get(run.dialect, settings.dialect).rate
    set_aside = ledger.decisions.set_aside(run.id).group_by("tenant_class").len().sort("tenant_class").rows()
    return run_view(lines, records.events, about, limit=limit, set_aside=dict(set_aside))


_IDS_OF_A_KEY = 4
"""Of 50 random bits each."""


def folders_of(settings: Settings, run: Run) -> list[Path]:
    """Where the results of a run may be."""
    return [settings.out, *results_of(run.inputs)] if settings.out else results_of(run.inputs)


def place_in(folders: list[Path]) -> Path:
    """The folder of the run's results, if there is one; else the current one."""
    return next((folder for folder in folders if folder.is_dir()), Path())
