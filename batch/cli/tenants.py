"""The commands about a tenant and how to reach it: login, logout, doctor, sandbox."""

from typing import Annotated

import typer

from batch.cli.app import app, screen_of, settings_of, show
from batch.cli.options import (
    Api,
    BaseUrl,
    CaFile,
    ClientId,
    ClientSecretEnv,
    ClientSecretFile,
    Json,
    LedgerOption,
    Profile,
    Rate,
    Sandbox,
    Timeout,
)


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
    show(log_in(settings, screen_of(quiet=False), check=not no_check))


@app.command()
def logout(base_url: BaseUrl = None, profile: Profile = "") -> None:
    """Forget what login has stored."""
    from batch.commands.login import logout as log_out
    from batch.settings import load

    show(log_out(load({"base_url": base_url}, profile=profile)))


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
    from batch.report.doctor_checks import checks_as_json, describe_checks, exit_code

    settings = settings_of(
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
    show(checks_as_json(shown) if as_json else describe_checks(shown))
    raise typer.Exit(exit_code(kept))


@app.command()
def sandbox(
    port: Annotated[int, typer.Option("--port", metavar="N", min=0, max=65535, help="Port; 0 for any.")] = 8080,
    rate: Rate = None,
    people: Annotated[
        int | None,
        typer.Option("--people", metavar="N", min=1, help="Make up a directory of so many people, and what they hold."),
    ] = None,
    approval_seconds: Annotated[
        float | None,
        typer.Option("--approval-seconds", metavar="S", min=0, help="How long approving takes. [default: for ever]"),
    ] = None,
    provisioning_seconds: Annotated[
        float | None,
        typer.Option(
            "--provisioning-seconds", metavar="S", min=0, help="How long provisioning takes. [default: for ever]"
        ),
    ] = None,
    rejected: Annotated[
        float, typer.Option("--rejected", metavar="SHARE", min=0, max=1, help="Share of changes that is rejected.")
    ] = 0.0,
    failed: Annotated[
        float, typer.Option("--failed", metavar="SHARE", min=0, max=1, help="Share of approved changes that fails.")
    ] = 0.0,
) -> None:
    """Run the simulated tenant alone, until Ctrl-C."""
    from batch.report.screen import describe_sandbox
    from batch.sandbox.server import serve_forever
    from batch.sandbox.settings import SandboxSettings

    def announce(base_url: str, client_id: str, client_secret: str) -> None:
        show(describe_sandbox(base_url, client_id, client_secret))

    chosen = SandboxSettings(
        rate=settings_of("", rate=rate).pace,
        people=people,
        approval_seconds=approval_seconds,
        provisioning_seconds=provisioning_seconds,
        rejected=rejected,
        failed=failed,
    )
    serve_forever(chosen, port, announce)
