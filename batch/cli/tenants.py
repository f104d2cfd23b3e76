"""The commands about a tenant and its credentials: login, logout, doctor, sandbox."""

from typing import Annotated

import typer

from batch.cli.app import DONE, app, runtime, screen_of, show
from batch.cli.help_text import NOT_SHOWN, command
from batch.cli.options import CLIENT, HTTP, TENANT, Call, takes
from batch.errors import SettingsError
from batch.settings import Option, Settings


@command(
    app,
    examples=("", "--base-url https://acme.api.identitynow.com --client-id 3f0c --profile test"),
    codes={0: "stored", 2: "wrong usage, or the tenant refused the client; nothing was stored"},
)
@takes(CLIENT, ("profile", "ca_file", "no_check"), new_profile=True)
def login(
    settings: Settings,
    call: Call,
    no_check: Annotated[bool, Option("Store without trying them at the tenant.")] = False,
) -> None:
    """Store a client id and its secret in the system keyring.

    Asks for them and tries them at the tenant. Without a terminal, it reads the secret from stdin.
    """
    from batch.commands.login import login as log_in

    show(log_in(settings, screen_of(call), runtime(), check=not no_check), then=DONE)


@command(app, examples=("", "--base-url https://acme.api.identitynow.com --profile test"))
@takes(("base_url", "profile"), new_profile=True)
def logout(settings: Settings) -> None:
    """Remove a stored login."""
    from batch.commands.login import logout as log_out

    show(log_out(settings), then=DONE)


@command(
    app,
    examples=("", "--profile production --json"),
    codes={
        0: "ready to submit, perhaps with warnings",
        3: "something would stop submit: see the lines that are not ok",
        **NOT_SHOWN,
    },
)
@takes(TENANT, ("json", "rate", "monthly_calls"), HTTP)
def doctor(settings: Settings, call: Call) -> None:
    """Check everything that submit needs, and say what to do. Changes nothing at the tenant."""
    from itertools import tee

    from batch.commands.doctor import doctor as examine
    from batch.report.doctor_checks import checks_as_json, describe_checks, doctor_exit_code

    shown, kept = tee(examine(settings, runtime()))
    show(checks_as_json(shown) if call.json else describe_checks(shown), is_all=True)
    raise typer.Exit(doctor_exit_code(kept))


@command(
    app,
    examples=("", "--people 500 --approval-seconds 5 --provisioning-seconds 5"),
    codes={0: "ended by Ctrl-C", 130: ""},
)
@takes("port", "rate")
def sandbox(
    settings: Settings,
    port: Annotated[int, typer.Option("--port", metavar="N", min=0, max=65535, help="Port; 0 for any.")] = 8080,
    people: Annotated[
        int | None,
        typer.Option(
            "--people",
            metavar="N",
            min=1,
            help="Simulate a company of N people, with the access that they hold. [default: none; every id exists]",
        ),
    ] = None,
    approval_seconds: Annotated[
        float | None,
        typer.Option(
            "--approval-seconds",
            metavar="SECONDS",
            min=0,
            help="Time until changes are approved. [default: never approved]",
        ),
    ] = None,
    provisioning_seconds: Annotated[
        float | None,
        typer.Option(
            "--provisioning-seconds",
            metavar="SECONDS",
            min=0,
            help="Time from approval until changes are provisioned. [default: never]",
        ),
    ] = None,
    rejected: Annotated[
        float,
        typer.Option(
            "--rejected", metavar="SHARE", min=0, max=1, help="Share of changes that approvers reject, from 0 to 1."
        ),
    ] = 0.0,
    failed: Annotated[
        float,
        typer.Option(
            "--failed",
            metavar="SHARE",
            min=0,
            max=1,
            help="Share of approved changes whose provisioning fails, from 0 to 1.",
        ),
    ] = 0.0,
    odd: Annotated[
        bool,
        typer.Option(
            "--odd",
            help="With --people, make some people and items awkward: inactive, disabled, with comments needed.",
        ),
    ] = False,
) -> None:
    """Run the simulated tenant until Ctrl-C, and show how to reach it."""
    from batch.report.screen import describe_sandbox
    from batch.sandbox.server import RunningSandbox, serve_forever
    from batch.sandbox.settings import SandboxSettings

    if odd and people is None:
        raise SettingsError("--odd changes the people of --people.", next_step="Add --people with a number.")

    def announce(ready: RunningSandbox) -> None:
        show(describe_sandbox(ready.base_url, ready.client_id, ready.client_secret, ready.operator_token))

    chosen = SandboxSettings(
        rate=settings.pace,
        people=people,
        approval_seconds=approval_seconds,
        provisioning_seconds=provisioning_seconds,
        rejected=rejected,
        failed=failed,
        odd=odd,
    )
    serve_forever(chosen, port, announce)
