"""The commands about runs, and about the ledger that remembers them."""

from pathlib import Path
from typing import Annotated

import typer

from batch.cli.app import DONE, app, ledger_app, runtime, screen_of, show
from batch.cli.options import HTTP, LEDGER, TENANT, TIMES, TRACKING, Call, NewestRun, RunName, takes
from batch.settings import Option, Settings


@app.command()
@takes(LEDGER, "json")
def status(settings: Settings, call: Call, run: NewestRun = "") -> None:
    """Show how far a run has come."""
    from batch.commands.runs import status as look_up
    from batch.report.runs import describe_rest, describe_run, run_as_json

    found = look_up(settings, run, runtime(), screen_of(call).say)
    show(run_as_json(*found) if call.json else [*describe_run(*found), *describe_rest(*found[:2])], is_all=True)


@app.command()
@takes(LEDGER, "json")
def runs(settings: Settings, call: Call) -> None:
    """List the runs of the ledger."""
    from batch.commands.runs import runs as look_up
    from batch.report.runs import list_runs, run_as_json

    found = look_up(settings, runtime(), screen_of(call).say)
    show({"runs": [run_as_json(*one) for one in found]} if call.json else list_runs(found), is_all=True)


@app.command()
@takes(TENANT, ("json", "out", "rate"), HTTP, TIMES, TRACKING, "quiet")
def track(settings: Settings, call: Call, run: NewestRun = "") -> None:
    """Follow the accepted changes of a run until each is provisioned, rejected, cancelled or failed."""
    from batch.commands.track import track as follow_up

    result = follow_up(settings, run, screen_of(call), runtime())
    show(result.as_json() if call.json else result.describe())
    if result.stopped is not None:
        raise result.stopped
    raise typer.Exit(result.exit_code)


@app.command()
@takes(TENANT, ("json", "rate"), HTTP, ("give_up_after", "quiet"))
def audit(
    settings: Settings,
    call: Call,
    run: Annotated[
        str, typer.Argument(metavar="[RUN]", help="A run's id, or its beginning; all runs if left out.")
    ] = "",
) -> None:
    """Compare ledger and status list; report changes that are there twice, missing or unknown (exit code 3)."""
    from batch.commands.audit import audit as compare
    from batch.report.audit import audit_as_json, describe_audit

    summary = compare(run, settings, screen_of(call), runtime())
    show(audit_as_json(summary) if call.json else describe_audit(summary), is_all=True)
    raise typer.Exit(summary.exit_code)


@app.command()
@takes(LEDGER)
def discard(run: RunName, settings: Settings) -> None:
    """Drop the requests that a run has not sent."""
    from batch.commands.runs import discard as give_up
    from batch.report.runs import describe_discard

    show(describe_discard(*give_up(settings, run, runtime(), screen_of(Call()).say)), then=DONE)


@app.command()
@takes(("arrived", "not_arrived"), TENANT, "rate", HTTP, TIMES, "quiet")
def settle(
    run: RunName,
    settings: Settings,
    call: Call,
    arrived: Annotated[bool, typer.Option("--arrived", help="All of the run's unconfirmed requests arrived.")] = False,
    not_arrived: Annotated[
        bool, typer.Option("--not-arrived", help="None of them arrived: the next submit sends them again.")
    ] = False,
) -> None:
    """Settle a run's unconfirmed requests: by the tenant's list, or by hand if the tenant does not show it."""
    from batch.commands.runs import settle_by_hand
    from batch.commands.settling import settle_run
    from batch.errors import UsageError
    from batch.report.runs import describe_settled_by_hand

    if arrived and not_arrived:
        raise UsageError(
            "Give either --arrived or --not-arrived, not both.", next_step="Without either, the tenant's list is asked."
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


@app.command()
@takes(TENANT, ("yes", "confirm", "dry_run", "comment", "json", "out", "rate", "concurrency"), HTTP, TIMES, "quiet")
def cancel(
    run: RunName,
    settings: Settings,
    call: Call,
    dry_run: Annotated[bool, Option("Only show what would be cancelled.")] = False,
    comment: Annotated[
        str, Option("Reason, sent to the tenant.", "TEXT", default="a sentence that names the run")
    ] = "",
) -> None:
    """Cancel the requests of a run that nobody has approved yet; undo.csv revokes the rest."""
    from batch.commands.cancel import cancel as cancel_run
    from batch.report.cancel import cancel_as_json, describe_cancel

    ended = cancel_run(run, settings, screen_of(call), runtime(), comment=comment, dry_run=dry_run)
    show(cancel_as_json(ended.summary) if call.json else describe_cancel(ended.summary))
    if ended.stopped is not None:
        raise ended.stopped
    raise typer.Exit(ended.summary.exit_code)


@ledger_app.command()
@takes(LEDGER)
def verify(
    settings: Settings,
    head: Annotated[str, Option("From the end of a summary: prove that nothing was cut off since.", "N:HASH")] = "",
    trust: Annotated[str, Option("Public keys of other machines that you trust, one a line.", "FILE")] = "",
) -> None:
    """Prove the ledger sound, or list what is wrong with it (exit code 3), and who has signed what."""
    from batch.commands.runs import verify as find_faults

    findings = find_faults(settings, runtime(), screen_of(Call()).say, head=head, trust=trust)
    show(findings or ["The ledger is sound."], is_all=True)
    raise typer.Exit(3 if findings else 0)


@ledger_app.command()
@takes(LEDGER)
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that does not exist yet.")], settings: Settings
) -> None:
    """Copy the ledger to a file, consistently, even while a run works."""
    from batch.commands.runs import back_up

    back_up(settings, file)
    then = (
        "If you need it one day, put it in the ledger's place and run the same command again: requests sent since then "
        "are looked up at the tenant first. On another machine, wait until the tenant's list shows everything."
    )
    show([f"The ledger was copied to {file}.", then], then=DONE)


@ledger_app.command("import")
@takes(TENANT, ("since", "everybody", "json", "rate"), HTTP, ("give_up_after", "quiet"))
def import_(
    settings: Settings,
    call: Call,
    since: Annotated[str, Option("Only requests of that time or later.", "DATE")] = "",
    everybody: Annotated[bool, Option("Requests of everybody, not only of this user.")] = False,
) -> None:
    """Import the tenant's status list into the ledger, so that nothing in it is submitted again."""
    from batch.commands.import_ import import_, moment_given
    from batch.report.import_ import describe_import, import_as_json

    summary = import_(settings, screen_of(call), runtime(), since=moment_given(since), everybody=everybody)
    show(import_as_json(summary) if call.json else describe_import(summary))
    raise typer.Exit(summary.exit_code)
