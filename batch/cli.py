"""The command line: parses, calls one function, prints. Imports stand in the commands, so that --help starts fast."""

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from batch import __version__
from batch.options import (
    Api,
    BaseUrl,
    CaFile,
    ClientId,
    ClientSecretEnv,
    ClientSecretFile,
    Concurrency,
    EffortOption,
    GiveUpAfter,
    Inputs,
    Json,
    LedgerOption,
    LogFile,
    Out,
    Profile,
    Quiet,
    Rate,
    RunName,
    Sandbox,
    SettleAfter,
    Timeout,
    Verbose,
    Yes,
)

if TYPE_CHECKING:
    from batch.commands.screen import Screen
    from batch.settings import Settings

app = typer.Typer(
    name="access-batch",
    help="Submits access changes in bulk to SailPoint Identity Security Cloud, exactly once.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ledger_app = typer.Typer(help="Look after the ledger.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(ledger_app, name="ledger")


@app.command()
def submit(
    inputs: Inputs,
    ledger: LedgerOption = None,
    base_url: BaseUrl = None,
    client_id: ClientId = None,
    client_secret_file: ClientSecretFile = None,
    client_secret_env: ClientSecretEnv = None,
    api: Api = None,
    profile: Profile = "",
    sandbox: Sandbox = False,
    yes: Yes = False,
    as_json: Json = False,
    out: Out = None,
    rate: Rate = None,
    effort: EffortOption = None,
    concurrency: Concurrency = None,
    timeout: Timeout = None,
    ca_file: CaFile = None,
    settle_after: SettleAfter = None,
    give_up_after: GiveUpAfter = None,
    log_file: LogFile = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Validate, deduplicate, plan, confirm, send, summarise. The same command again continues."""
    import shlex

    from batch.commands.submit import submit as run_submit
    from batch.report.screen import describe_outcome

    settings = _settings(
        profile,
        ledger=ledger,
        base_url=base_url,
        client_id=client_id,
        client_secret_file=client_secret_file,
        client_secret_env=client_secret_env,
        api=api,
        sandbox=sandbox or None,
        yes=yes or None,
        out=out,
        rate=rate,
        effort=effort,
        concurrency=concurrency,
        timeout=timeout,
        ca_file=ca_file,
        settle_after=settle_after,
        give_up_after=give_up_after,
        log_file=log_file,
    )
    screen = _screen(quiet=quiet, verbose=verbose)
    result = run_submit(inputs, settings, screen, stdin=sys.stdin.buffer)
    again = shlex.join(["access-batch", *sys.argv[1:]])
    _print(result.summary.as_json() if as_json else describe_outcome(result.summary, again))
    if result.stopped is not None:
        raise result.stopped
    raise typer.Exit(130 if result.interrupted else result.summary.exit_code)


@app.command()
def plan(
    inputs: Inputs,
    ledger: LedgerOption = None,
    base_url: BaseUrl = None,
    api: Api = None,
    profile: Profile = "",
    sandbox: Sandbox = False,
    effort: EffortOption = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show what submit would send, without writing or sending anything."""
    from batch.commands.look import look
    from batch.report.screen import describe_outcome

    settings = _settings(profile, ledger=ledger, base_url=base_url, api=api, sandbox=sandbox or None, effort=effort)
    summary = look(inputs, settings, _screen(quiet=quiet), stdin=sys.stdin.buffer)
    _print(summary.as_json() if as_json else describe_outcome(summary, ""))
    raise typer.Exit(summary.exit_code)


@app.command()
def validate(
    inputs: Inputs,
    api: Api = None,
    profile: Profile = "",
    as_json: Json = False,
    out: Out = None,
    quiet: Quiet = False,
) -> None:
    """Judge the rows of the inputs, and write rejected.csv. Needs no tenant and no ledger."""
    from batch.commands.look import look
    from batch.report.screen import describe_verdict

    settings = _settings(profile, api=api, out=out)
    summary = look(inputs, settings, _screen(quiet=quiet), stdin=sys.stdin.buffer, only_rows=True)
    _print(summary.as_json() if as_json else describe_verdict(summary))
    raise typer.Exit(summary.exit_code)


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

    found = look_up(_settings(profile, ledger=ledger, sandbox=sandbox or None), run)
    _print(run_as_json(*found) if as_json else describe_run(*found))


@app.command()
def runs(ledger: LedgerOption = None, profile: Profile = "", sandbox: Sandbox = False, as_json: Json = False) -> None:
    """List the runs of the ledger."""
    from batch.commands.look import runs as look_up
    from batch.report.runs import list_runs, run_as_json

    found = look_up(_settings(profile, ledger=ledger, sandbox=sandbox or None))
    _print({"runs": [run_as_json(*one) for one in found]} if as_json else list_runs(found))


@app.command()
def discard(run: RunName, ledger: LedgerOption = None, profile: Profile = "", sandbox: Sandbox = False) -> None:
    """Forget what a run has not sent."""
    from batch.commands.look import discard as give_up
    from batch.wording import count

    found, requests = give_up(_settings(profile, ledger=ledger, sandbox=sandbox or None), run)
    _print([f"Run {found.id}: {count(requests, 'request')} discarded; what was sent stays remembered."])


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
    settings = _settings(profile, ledger=ledger, sandbox=sandbox or None)
    found, requests = settle_by_hand(settings, run, arrived=arrived)
    then = "accepted" if arrived else "to be sent again by the same submit command"
    _print([f"Run {found.id}: {count(requests, 'unconfirmed request')} {then}."])


@app.command()
def login(
    base_url: BaseUrl = None,
    client_id: ClientId = None,
    profile: Profile = "",
    ca_file: CaFile = None,
    no_check: Annotated[
        bool,
        typer.Option(
            "--no-check", envvar="ACCESS_BATCH_NO_CHECK", show_envvar=False, help="Store without asking the tenant."
        ),
    ] = False,
) -> None:
    """Store a tenant's client id and secret in the system keyring. Asks for the secret, or reads it from stdin."""
    from batch.commands.login import login as log_in
    from batch.settings import load

    # A profile that nobody knows yet is made by the login.
    settings = load({"base_url": base_url, "client_id": client_id, "ca_file": ca_file}, profile=profile)
    _print(log_in(settings, _screen(quiet=False), check=not no_check))


@app.command()
def logout(base_url: BaseUrl = None, profile: Profile = "") -> None:
    """Forget what login has stored."""
    from batch.commands.login import logout as log_out
    from batch.settings import load

    _print(log_out(load({"base_url": base_url}, profile=profile)))


@ledger_app.command()
def verify(ledger: LedgerOption = None, profile: Profile = "", sandbox: Sandbox = False) -> None:
    """Prove the ledger sound, or list what is wrong with it (exit code 3)."""
    from batch.commands.look import verify as find_faults

    findings = find_faults(_settings(profile, ledger=ledger, sandbox=sandbox or None))
    _print(findings or ["The ledger is sound."])
    raise typer.Exit(3 if findings else 0)


@app.command()
def doctor(
    ledger: LedgerOption = None,
    base_url: BaseUrl = None,
    client_id: ClientId = None,
    client_secret_file: ClientSecretFile = None,
    client_secret_env: ClientSecretEnv = None,
    api: Api = None,
    profile: Profile = "",
    sandbox: Sandbox = False,
    as_json: Json = False,
    rate: Rate = None,
    timeout: Timeout = None,
    ca_file: CaFile = None,
) -> None:
    """Check credentials, token, rights, clock, limits, API version and ledger, changing nothing at the tenant."""
    from itertools import tee

    from batch.commands.doctor import doctor as examine
    from batch.report.checkup import describe_findings, exit_code, findings_as_json

    settings = _settings(
        profile,
        ledger=ledger,
        base_url=base_url,
        client_id=client_id,
        client_secret_file=client_secret_file,
        client_secret_env=client_secret_env,
        api=api,
        sandbox=sandbox or None,
        rate=rate,
        timeout=timeout,
        ca_file=ca_file,
    )
    shown, kept = tee(examine(settings))
    _print(findings_as_json(shown) if as_json else describe_findings(shown))
    raise typer.Exit(exit_code(kept))


@app.command()
def sandbox(
    port: Annotated[int, typer.Option("--port", metavar="N", min=0, max=65535, help="Port; 0 for any.")] = 8080,
    rate: Rate = None,
) -> None:
    """Run the simulated tenant alone, until Ctrl-C."""
    from batch.report.screen import describe_sandbox
    from batch.sandbox.server import serve_forever
    from batch.sandbox.settings import SandboxSettings

    def announce(base_url: str, client_id: str, client_secret: str) -> None:
        _print(describe_sandbox(base_url, client_id, client_secret))

    serve_forever(SandboxSettings(rate=_settings("", rate=rate).pace), port, announce)


def _version(value: bool) -> None:
    if value:
        sys.stdout.write(f"access-batch {__version__}\n")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options before any command."""


def _settings(profile: str, **flags: object) -> "Settings":
    from batch.credentials.find import check_profile
    from batch.settings import load

    settings = load(flags, profile=profile)
    check_profile(settings)
    return settings


def _screen(*, quiet: bool, verbose: bool = False) -> "Screen":
    from rich.console import Console

    from batch.commands.screen import Screen
    from batch.errors import UsageError

    if quiet and verbose:
        raise UsageError(
            "--quiet and --verbose exclude each other.", next_step="Nothing was sent. Leave one of them out."
        )
    return Screen(console=Console(stderr=True), quiet=quiet, verbose=verbose)


def _print(answer: Any) -> None:
    """Prints a command's answer on stdout: an object as JSON, lines as they are."""
    import json

    lines = [json.dumps(answer, ensure_ascii=False)] if isinstance(answer, dict) else answer
    try:
        for line in lines:
            sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read it has gone; what the command did, and its exit code, stay what they are.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main() -> None:
    """The program: the one place where errors become messages and exit codes."""
    from batch.boundary import run

    sys.exit(run(app))
