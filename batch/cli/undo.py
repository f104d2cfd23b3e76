"""The commands about what the tenant has already: withdrawing it, and taking it into the ledger."""

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
    Concurrency,
    GiveUpAfter,
    Json,
    LedgerOption,
    Out,
    Profile,
    Quiet,
    Rate,
    RunName,
    Sandbox,
    SettleAfter,
    Timeout,
    Yes,
)


@app.command()
def cancel(
    run: RunName,
    ledger: LedgerOption = None,
    base_url: BaseUrl = None,
    client_id: ClientId = None,
    client_secret_file: ClientSecretFile = None,
    client_secret_env: ClientSecretEnv = None,
    api: Api = None,
    profile: Profile = "",
    sandbox: Sandbox = False,
    yes: Yes = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", envvar="ACCESS_BATCH_DRY_RUN", show_envvar=False, help="Only show what would be cancelled."
        ),
    ] = False,
    comment: Annotated[
        str,
        typer.Option(
            "--comment",
            metavar="TEXT",
            envvar="ACCESS_BATCH_COMMENT",
            show_envvar=False,
            help="Why, for the tenant. [default: a sentence that names the run]",
        ),
    ] = "",
    as_json: Json = False,
    out: Out = None,
    rate: Rate = None,
    concurrency: Concurrency = None,
    timeout: Timeout = None,
    ca_file: CaFile = None,
    settle_after: SettleAfter = None,
    give_up_after: GiveUpAfter = None,
    quiet: Quiet = False,
) -> None:
    """Cancel what a run has created and nobody has approved yet; undo.csv revokes the rest."""
    from batch.commands.cancel import cancel as withdraw
    from batch.report.cancel import cancel_as_json, describe_cancel

    settings = settings_of(
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
        concurrency=concurrency,
        timeout=timeout,
        ca_file=ca_file,
        settle_after=settle_after,
        give_up_after=give_up_after,
    )
    ended = withdraw(run, settings, screen_of(quiet=quiet), comment=comment, dry_run=dry_run)
    show(cancel_as_json(ended.summary) if as_json else describe_cancel(ended.summary))
    if ended.stopped is not None:
        raise ended.stopped
    raise typer.Exit(ended.summary.exit_code)


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
            "--since",
            metavar="DATE",
            envvar="ACCESS_BATCH_SINCE",
            show_envvar=False,
            help="Only what was requested then or later.",
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
    give_up_after: GiveUpAfter = None,
    quiet: Quiet = False,
) -> None:
    """Take what the tenant's status list has into the ledger, so that it is not submitted again."""
    from batch.commands.import_ import import_, moment_given
    from batch.report.import_ import describe_import, import_as_json

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
        give_up_after=give_up_after,
    )
    summary = import_(settings, screen_of(quiet=quiet), since=moment_given(since), everybody=everybody)
    show(import_as_json(summary) if as_json else describe_import(summary))
    raise typer.Exit(summary.exit_code)
