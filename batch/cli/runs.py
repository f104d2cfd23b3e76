"""The commands about runs, and about the ledger that remembers them."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from batch.cli.app import DONE, app, ledger_app, runtime, screen_of, show
from batch.cli.help_text import NOT_SHOWN, command
from batch.cli.options import HTTP, LEDGER, TENANT, TIMES, TRACKING, Call, NewestRun, RunName, takes
from batch.settings import Option, Settings


@command(app, examples=("", "74ba1e2763da --json"), codes=NOT_SHOWN)
@takes(LEDGER, "json")
def status(settings: Settings, call: Call, run: NewestRun = "") -> None:
    """Show how far a run has come."""
    from batch.commands.runs import status as look_up
    from batch.commands.runs import waves_of
    from batch.report.runs import describe_rest, describe_run, run_as_json
    from batch.report.summary import describe_wait, waves_as_json

    found = look_up(settings, run, runtime(), screen_of(call).say)
    waves = waves_of(settings, found[0], runtime(), screen_of(call).say)
    text = [*describe_run(*found), *describe_wait(waves), *describe_rest(*found[:2], waves)]
    show({**run_as_json(*found), "waves": waves_as_json(waves)} if call.json else text, is_all=True)


@command(app, examples=("", "--ledger team.db --json"), codes=NOT_SHOWN)
@takes(LEDGER, "json")
def runs(settings: Settings, call: Call) -> None:
    """List the runs of the ledger."""
    from batch.commands.runs import runs as look_up
    from batch.report.runs import list_runs, run_as_json

    found = look_up(settings, runtime(), screen_of(call).say)
    show({"runs": [run_as_json(*one) for one in found]} if call.json else list_runs(found), is_all=True)


@command(
    app,
    examples=("", "74ba1e2763da --track-for 3600 --out tracked"),
    codes={
        0: "every accepted change is provisioned",
        3: "some changes were rejected, cancelled or failed",
        4: "some changes are still open, or tracking stopped; run the same command again",
    },
)
@takes(
    TENANT,
    ("offline", "json", "out", "report", "rate", "monthly_calls"),
    HTTP,
    TIMES,
    TRACKING,
    "quiet",
    out="none; writes no file",
)
def track(
    settings: Settings,
    call: Call,
    run: NewestRun = "",
    offline: Annotated[bool, Option("Show what the ledger knows, without asking the tenant.")] = False,
) -> None:
    """Follow a run's accepted changes until they are provisioned, rejected, cancelled or failed."""
    from batch.commands.guards import with_guards
    from batch.commands.track import track as follow_up
    from batch.commands.track import track_offline
    from batch.commands.webhook import END, STOP, webhook_of, with_stop

    screen, only_plans = screen_of(call), with_guards(settings).require_plan
    with webhook_of(settings, screen) as webhook:
        result = (track_offline if offline else follow_up)(settings, run, screen, runtime())
        document = with_stop(result.as_json(), result.stopped)
        webhook.tell(STOP if result.stopped else END, document)
    show(document if call.json else result.describe(only_plans=only_plans))
    if result.stopped is not None:
        raise result.stopped
    raise typer.Exit(result.exit_code)


@command(app, examples=("", "74ba1e2763da --redact --out audit.html"), codes=NOT_SHOWN)
@takes(LEDGER, ("json", "quiet"))
def report(
    settings: Settings,
    call: Call,
    run: NewestRun = "",
    out: Annotated[
        str,
        typer.Option(
            *("--out", "-o"),
            metavar="FILE",
            show_default=False,
            help="The page. [default: report-RUN.html beside the run's results, or in the current folder]",
        ),
    ] = "",
    redact: Annotated[
        bool, Option("Pseudonyms for people, accounts and comments, by a random key that is kept nowhere.")
    ] = False,
) -> None:
    """Write what became of a run as a page to read and print, and every change as CSV beside it.

    Says what the ledger knows, without asking the tenant: run track first.
    """
    from batch.commands.report import report as write
    from batch.report.run_report import describe_report, report_as_json

    found = write(settings, run, screen_of(call), runtime(), file=out, redact=redact)
    show(report_as_json(*found) if call.json else describe_report(*found), then=DONE)


@command(
    app,
    examples=("", "74ba1e2763da --json"),
    codes={
        0: "ledger and tenant agree",
        3: "the audit found something, and says what to do",
        4: "stopped early: the tenant did not answer; run the same command again",
    },
)
@takes(TENANT, ("json", "rate", "monthly_calls"), HTTP, ("give_up_after", "quiet"))
def audit(
    settings: Settings,
    call: Call,
    run: Annotated[
        str, typer.Argument(metavar="[RUN]", help="Id of a run, or its first characters; all runs if left out.")
    ] = "",
) -> None:
    """Compare the ledger with the tenant's list, and change neither.

    Reports changes that were submitted twice, are missing, or are unknown to the ledger.
    """
    from batch.commands.audit import audit as compare
    from batch.report.audit import audit_as_json, describe_audit

    summary = compare(run, settings, screen_of(call), runtime())
    show(audit_as_json(summary) if call.json else describe_audit(summary), is_all=True)
    raise typer.Exit(summary.exit_code)


@command(app, examples=("74ba1e2763da", "74ba --ledger team.db"))
@takes(LEDGER)
def discard(run: RunName, settings: Settings) -> None:
    """Drop the requests that a run has not sent yet."""
    from batch.commands.runs import discard as give_up
    from batch.report.runs import describe_discard

    show(describe_discard(*give_up(settings, run, runtime(), screen_of(Call()).say)), then=DONE)


@command(
    app,
    examples=("74ba1e2763da", "74ba1e2763da --not-arrived"),
    codes={
        0: "no request of the run is unconfirmed any more",
        4: "some requests are still unconfirmed; run the same command again later",
    },
)
@takes(("arrived", "not_arrived"), TENANT, "rate", "monthly_calls", HTTP, TIMES, "quiet")
def settle(
    run: RunName,
    settings: Settings,
    call: Call,
    arrived: Annotated[bool, typer.Option("--arrived", help="All of the run's unconfirmed requests arrived.")] = False,
    not_arrived: Annotated[
        bool, typer.Option("--not-arrived", help="None of them arrived: the next submit sends them again.")
    ] = False,
) -> None:
    """Find out whether a run's unconfirmed requests arrived.

    Looks at the tenant's list. If you have looked there yourself, say what you found: --arrived or --not-arrived.
    """
    from batch.commands.runs import settle_by_hand
    from batch.commands.settling import settle_run
    from batch.errors import UsageError
    from batch.report.runs import describe_settled_by_hand

    if arrived and not_arrived:
        raise UsageError(
            "Give either --arrived or --not-arrived, not both.",
            next_step="Without either, access-batch asks the tenant's list.",
        )
    if arrived or not_arrived:
        found = settle_by_hand(settings, run, runtime(), screen_of(call).say, arrived=arrived)
        show(describe_settled_by_hand(*found, arrived=arrived), then=DONE)
        return
    settled = settle_run(run, settings, screen_of(call), runtime())
    show(settled.describe())
    if settled.stopped is not None:
        raise settled.stopped
    raise typer.Exit(130 if settled.interrupted else 4 if settled.unconfirmed else 0)


@command(
    app,
    examples=("74ba1e2763da --dry-run", "74ba1e2763da --yes --comment 'Wrong quarter'"),
    codes={
        0: "everything was cancelled",
        3: "some changes were granted already (undo.csv revokes them), or could not be cancelled",
        4: "stopped early, or the tenant does not show it yet; run the same command again",
        130: "declined or interrupted; run the same command again",
    },
)
@takes(
    TENANT,
    ("yes", "confirm", "dry_run", "comment", "json", "out", "rate", "monthly_calls", "concurrency"),
    HTTP,
    TIMES,
    "quiet",
)
def cancel(
    run: RunName,
    settings: Settings,
    call: Call,
    dry_run: Annotated[bool, Option("Only show what would be cancelled.")] = False,
    comment: Annotated[
        str, Option("Reason, sent to the tenant.", "TEXT", default="a sentence that names the run")
    ] = "",
) -> None:
    """Cancel the changes of a run that nobody has approved yet.

    Writes undo.csv, which revokes the changes that were granted already: submit that file.
    """
    from batch.commands.cancel import cancel as cancel_run
    from batch.commands.guards import with_guards
    from batch.report.cancel import cancel_as_json, describe_cancel

    only_plans = with_guards(settings).require_plan
    ended = cancel_run(run, settings, screen_of(call), runtime(), comment=comment, dry_run=dry_run)
    show(cancel_as_json(ended.summary) if call.json else describe_cancel(ended.summary, only_plans=only_plans))
    if ended.stopped is not None:
        raise ended.stopped
    raise typer.Exit(ended.summary.exit_code)


@command(
    ledger_app,
    examples=("", "--head 412:9f86d081884c7d65 --trust colleagues.txt"),
    codes={0: "the ledger is sound", 3: "something is wrong with the ledger: see the list", **NOT_SHOWN},
)
@takes(LEDGER)
def verify(
    settings: Settings,
    head: Annotated[
        str, Option("Head from the end of a summary: prove that nothing up to it was cut off.", "N:HASH")
    ] = "",
    trust: Annotated[str, Option("Public keys of other machines that you trust, one a line.", "FILE")] = "",
    backed_up: Annotated[bool, Option("Upgrade a PostgreSQL ledger if it is old: you have backed it up.")] = False,
) -> None:
    """Prove that the ledger is sound, or list its faults. Also lists the keys that have signed it."""
    from batch.commands.runs import verify as find_faults

    findings = find_faults(settings, runtime(), screen_of(Call()).say, head=head, trust=trust, backed_up=backed_up)
    show(findings or ["The ledger is sound."], is_all=True)
    raise typer.Exit(3 if findings else 0)


@command(ledger_app, examples=("ledger-2027-01-11.db", "/backup/team.db --ledger team.db"))
@takes(LEDGER)
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that does not exist yet.")], settings: Settings
) -> None:
    """Copy the ledger to a file, even while a run works."""
    from batch.commands.runs import back_up

    back_up(settings, file)
    then = (
        "If you ever need this backup, end every command, put it in the ledger's place, and run the same command "
        "again: requests sent since then are looked up at the tenant first. On another machine, wait until the "
        "tenant's list shows everything. `access-batch help ledger` lists the steps."
    )
    show([f"The ledger was copied to {file}.", then], then=DONE)


@command(ledger_app, examples=("exported", "exported --format parquet --ledger team.db"))
@takes(LEDGER, ("json", "quiet"))
def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for the files.")],
    settings: Settings,
    call: Call,
    form: Annotated[
        Literal["csv", "parquet"],
        typer.Option("--format", metavar="FORMAT", help="Format of the files: csv or parquet. [default: csv]"),
    ] = "csv",
) -> None:
    """Write all runs, requests, changes, events and findings as tables, for other programs. Changes nothing."""
    from batch.commands.runs import export as export_ledger
    from batch.report.export_files import describe_export, export_as_json

    files = export_ledger(settings, folder, form, runtime(), screen_of(call).say)
    show(export_as_json(files) if call.json else describe_export(files), then=DONE)


@command(
    ledger_app,
    examples=("ledger.db postgresql://team@db.example.com/access", "postgresql://team@db.example.com/access ledger.db"),
    codes={0: "the ledger has moved", **NOT_SHOWN},
)
@takes("ledger_insecure", "quiet")
def move(
    source: Annotated[str, typer.Argument(metavar="FROM", help="Where the ledger is: a file or a URL.")],
    target: Annotated[str, typer.Argument(metavar="TO", help="An empty database, or a file that does not exist yet.")],
    settings: Settings,
    call: Call,
) -> None:
    """Move the ledger to another database. Nothing can be sent from the old place afterwards."""
    from batch.commands.runs import move as move_ledger

    place, rows = move_ledger(source, target, settings, runtime(), screen_of(call).say)
    done = (
        f"The ledger is at {place} now: {rows:,} rows were copied and compared."
        if rows
        else (f"The ledger is at {place} now.")
    )
    then = f"Use --ledger {place} from now on, on every machine. The old place can still be read."
    show([done, then], then=DONE)


@command(
    ledger_app,
    "import",
    examples=("", "--since 2026-10-01 --everybody"),
    codes={
        3: "imported, except for some rows of the list: see the lines that say why",
        4: "stopped early; run the same command again",
    },
)
@takes(TENANT, ("since", "everybody", "json", "rate", "monthly_calls"), HTTP, ("give_up_after", "quiet"))
def import_(
    settings: Settings,
    call: Call,
    since: Annotated[str, Option("Only requests made at that time or later.", "DATE", default="all")] = "",
    everybody: Annotated[bool, Option("Requests made by everybody, not only by this user.")] = False,
) -> None:
    """Import requests that the tenant already has, so that they are not submitted again."""
    from batch.commands.import_ import import_, moment_given
    from batch.report.import_ import describe_import, import_as_json

    summary = import_(settings, screen_of(call), runtime(), since=moment_given(since), everybody=everybody)
    show(import_as_json(summary) if call.json else describe_import(summary))
    raise typer.Exit(summary.exit_code)
