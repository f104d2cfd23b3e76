"""The commands about a tenant and its credentials: login, logout, doctor, sandbox."""

from typing import Annotated

import typer

from batch.cli.app import DONE, app, runtime, screen_of, show
from batch.cli.options import CLIENT, HTTP, TENANT, Call, takes
from batch.settings import Option, Settings


@app.command()
@takes(CLIENT, ("profile", "ca_file", "no_check"), new_profile=True)
def login(
    settings: Settings,
    call: Call,
    no_check: Annotated[bool, Option("Store without asking the tenant.")] = False,
) -> None:
    """Store a tenant's client id and secret in the system keyring. Asks for the secret, or reads it from stdin."""
    from batch.commands.login import login as log_in

    show(log_in(settings, screen_of(call), runtime(), check=not no_check), then=DONE)


@app.command()
@takes(("base_url", "profile"), new_profile=True)
def logout(settings: Settings) -> None:
    """Forget what login has stored."""
    from batch.commands.login import logout as log_out

    show(log_out(settings), then=DONE)


@app.command()
@takes(TENANT, ("json", "rate"), HTTP)
def doctor(settings: Settings, call: Call) -> None:
    """Check credentials, token, rights, clock, limits, API version and ledger. Changes nothing at the tenant."""
    from itertools import tee

    from batch.commands.doctor import doctor as examine
    from batch.report.doctor_checks import checks_as_json, describe_checks, doctor_exit_code

    shown, kept = tee(examine(settings, runtime()))
    show(checks_as_json(shown) if call.json else describe_checks(shown), is_all=True)
    raise typer.Exit(doctor_exit_code(kept))


@app.command()
@takes("port", "rate")
def sandbox(
    settings: Settings,
    port: Annotated[int, typer.Option("--port", metavar="N", min=0, max=65535, help="Port; 0 for any.")] = 8080,
    people: Annotated[
        int | None,
        typer.Option("--people", metavar="N", min=1, help="Make up so many people, and what they hold."),
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
    from batch.sandbox.server import RunningSandbox, serve_forever
    from batch.sandbox.settings import SandboxSettings

    def announce(ready: RunningSandbox) -> None:
        show(describe_sandbox(ready.base_url, ready.client_id, ready.client_secret, ready.operator_token))

    chosen = SandboxSettings(
        rate=settings.pace,
        people=people,
        approval_seconds=approval_seconds,
        provisioning_seconds=provisioning_seconds,
        rejected=rejected,
        failed=failed,
    )
    serve_forever(chosen, port, announce)
