"""The commands about what the tenant has already: withdrawing it, and taking it into the ledger."""

from typing import Annotated

import typer

from batch.cli.app import ledger_app, screen_of, settings_of, show
from batch.options import (
    Api,
    BaseUrl,
    CaFile,
    ClientId,
    ClientSecretEnv,
    ClientSecretFile,
    Json,
    LedgerOption,
    Profile,
    Quiet,
    Rate,
    Sandbox,
    Timeout,
)


@ledger_app.command("import")
def import_(
    ledger: LedgerOption = None,
    base_url: BaseUrl = None,
    client_id: ClientId = None,
    client_secret_file: ClientSecretFile = None,
    client_secret_env: ClientSecretEnv = None,
    api: Api = None,
    profile: Profile = "",
    sandbox: Sandbox = False,
    since: Annotated[
        str,
        typer.Option(
            "--since", metavar="DATE", envvar="ACCESS_BATCH_SINCE", show_envvar=False, help="Only what was requested then or later."
        ),
    ] = "",
    everybody: Annotated[
        bool,
        typer.Option(
            "--everybody",
            envvar="ACCESS_BATCH_EVERYBODY",
            show_envvar=False,
            help="What anybody requested, and not only this user.",
        ),
    ] = False,
    as_json: Json = False,
    rate: Rate = None,
    timeout: Timeout = None,
    ca_file: CaFile = None,
    quiet: Quiet = False,
) -> None:
    """Take what the tenant's status list has into the ledger, so that it is not submitted again."""
    from batch.commands.seed import moment_given, seed
    from batch.report.seeded import describe_seeded, seeded_as_json

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
    seeded = seed(settings, screen_of(quiet=quiet), since=moment_given(since), everybody=everybody)
    show(seeded_as_json(seeded) if as_json else describe_seeded(seeded))
    raise typer.Exit(seeded.exit_code)
