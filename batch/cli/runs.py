"""The commands about runs, and about the ledger that remembers them."""

from typing import Annotated

import typer

from batch.cli.app import app, ledger_app, settings_of, show
from batch.options import Json, LedgerOption, Profile, RunName, Sandbox


@app.command()
def status(
    run: Annotated[
        str, typer.Argument(metavar="[RUN]", help="A run's id, or its beginning; the newest if left out.")
    ] = "",
    ledger: LedgerOption = None,
    profile: Profile = "",
    sandbox: Sandbox = False,
    as_json: Json = False,
) -> None:
    """Show how far a run has come."""
    from batch.commands.look import status as look_up
    from batch.report.runs import describe_run, run_as_json

    found = look_up(settings_of(profile, ledger=ledger, sandbox=sandbox or None), run)
    show(run_as_json(*found) if as_json else describe_run(*found))


@app.command()
def runs(ledger: LedgerOption = None, profile: Profile = "", sandbox: Sandbox = False, as_json: Json = False) -> None:
    """List the runs of the ledger."""
    from batch.commands.look import runs as look_up
    from batch.report.runs import list_runs, run_as_json

    found = look_up(settings_of(profile, ledger=ledger, sandbox=sandbox or None))
    show({"runs": [run_as_json(*one) for one in found]} if as_json else list_runs(found))


@app.command()
def discard(run: RunName, ledger: LedgerOption = None, profile: Profile = "", sandbox: Sandbox = False) -> None:
    """Forget what a run has not sent."""
    from batch.commands.look import discard as give_up
    from batch.wording import count

    found, requests = give_up(settings_of(profile, ledger=ledger, sandbox=sandbox or None), run)
    show([f"Run {found.id}: {count(requests, 'request')} discarded; what was sent stays remembered."])


@app.command()
def settle(
    run: RunName,
    arrived: Annotated[bool, typer.Option("--arrived", help="All of the run's unconfirmed requests arrived.")] = False,
    not_arrived: Annotated[bool, typer.Option("--not-arrived", help="None of them arrived: send them again.")] = False,
    ledger: LedgerOption = None,
    profile: Profile = "",
    sandbox: Sandbox = False,
) -> None:
    """Settle a run's unconfirmed requests by hand, where the tenant does not let access-batch look."""
    from batch.commands.look import settle_by_hand
    from batch.errors import UsageError
    from batch.wording import count

    if arrived == not_arrived:
        raise UsageError(
            "Say what you found: --arrived or --not-arrived.",
            next_step="Where the tenant lets this client look, `submit` settles by itself.",
        )
    settings = settings_of(profile, ledger=ledger, sandbox=sandbox or None)
    found, requests = settle_by_hand(settings, run, arrived=arrived)
    then = "accepted" if arrived else "to be sent again by the same submit command"
    show([f"Run {found.id}: {count(requests, 'unconfirmed request')} {then}."])


@ledger_app.command()
def verify(ledger: LedgerOption = None, profile: Profile = "", sandbox: Sandbox = False) -> None:
    """Prove the ledger sound, or list what is wrong with it (exit code 3)."""
    from batch.commands.look import verify as find_faults

    findings = find_faults(settings_of(profile, ledger=ledger, sandbox=sandbox or None))
    show(findings or ["The ledger is sound."])
    raise typer.Exit(3 if findings else 0)
