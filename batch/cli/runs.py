"""The commands about runs, and about the ledger that remembers them."""

from typing import Annotated

import typer

from batch.cli.app import app, ledger_app, screen_of, settings_of, show
from batch.cli.options import (
    Api,
    BaseUrl,
    CaFile,
    ClientId,
    ClientSecretEnv,
    ClientSecretFile,
    GiveUpAfter,
    Json,
    LedgerOption,
    LogFile,
    NewestRun,
    Out,
    Profile,
    Quiet,
    Rate,
    RunName,
    Sandbox,
    SettleAfter,
    Timeout,
    TrackFor,
)


@app.command()
def status(
    run: NewestRun = "",
    ledger: LedgerOption = None,
    profile: Profile = "",
    sandbox: Sandbox = False,
    as_json: Json = False,
) -> None:
    """Show how far a run has come."""
    from batch.commands.preview import status as look_up
    from batch.report.runs import describe_run, run_as_json

    found = look_up(settings_of(profile, ledger=ledger, sandbox=sandbox or None), run)
    show(run_as_json(*found) if as_json else describe_run(*found))


@app.command()
def runs(ledger: LedgerOption = None, profile: Profile = "", sandbox: Sandbox = False, as_json: Json = False) -> None:
    """List the runs of the ledger."""
    from batch.commands.preview import runs as look_up
    from batch.report.runs import list_runs, run_as_json

    found = look_up(settings_of(profile, ledger=ledger, sandbox=sandbox or None))
    show({"runs": [run_as_json(*one) for one in found]} if as_json else list_runs(found))


@app.command()
def track(
    run: NewestRun = "",
    ledger: LedgerOption = None,
    base_url: BaseUrl = None,
    client_id: ClientId = None,
    client_secret_file: ClientSecretFile = None,
    client_secret_env: ClientSecretEnv = None,
    api: Api = None,
    profile: Profile = "",
    sandbox: Sandbox = False,
    as_json: Json = False,
    out: Out = None,
    rate: Rate = None,
    timeout: Timeout = None,
    ca_file: CaFile = None,
    settle_after: SettleAfter = None,
    give_up_after: GiveUpAfter = None,
    track_for: TrackFor = None,
    log_file: LogFile = None,
    quiet: Quiet = False,
) -> None:
    """Follow the accepted changes of a run until each is provisioned, rejected, cancelled or failed."""
    from batch.commands.track import track as follow_up

    settings = settings_of(
        profile,
        ledger=ledger,
        base_url=base_url,
        client_id=client_id,
        client_secret_file=client_secret_file,
        client_secret_env=client_secret_env,
        api=api,
        sandbox=sandbox or None,
        out=out,
        rate=rate,
        timeout=timeout,
        ca_file=ca_file,
        settle_after=settle_after,
        give_up_after=give_up_after,
        track_for=track_for,
        log_file=log_file,
    )
    result = follow_up(settings, run, screen_of(quiet=quiet))
    show(result.as_json() if as_json else result.describe())
    if result.stopped is not None:
        raise result.stopped
    raise typer.Exit(result.exit_code)


@app.command()
def discard(run: RunName, ledger: LedgerOption = None, profile: Profile = "", sandbox: Sandbox = False) -> None:
    """Forget what a run has not sent."""
    from batch.commands.preview import discard as give_up
    from batch.text import count

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
    from batch.commands.preview import settle_by_hand
    from batch.errors import UsageError
    from batch.text import count

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
    from batch.commands.preview import verify as find_faults

    findings = find_faults(settings_of(profile, ledger=ledger, sandbox=sandbox or None))
    show(findings or ["The ledger is sound."])
    raise typer.Exit(3 if findings else 0)
