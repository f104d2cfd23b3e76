"""The commands that take inputs: submit, plan, validate."""

import sys

import typer

from batch.cli.app import app, screen_of, settings_of, show
from batch.cli.options import (
    Api,
    BaseUrl,
    CaFile,
    CheckTenantOption,
    ClientId,
    ClientSecretEnv,
    ClientSecretFile,
    Comment,
    Concurrency,
    DateFormat,
    EffortOption,
    GiveUpAfter,
    IdentityByOption,
    Inputs,
    Json,
    LedgerOption,
    LogFile,
    Maps,
    MaxAge,
    Out,
    Profile,
    Quiet,
    Rate,
    Resubmit,
    Sandbox,
    SaveMap,
    SettleAfter,
    Timeout,
    TrackFor,
    Verbose,
    Wait,
    Yes,
)


@app.command()
def submit(
    inputs: Inputs,
    column_maps: Maps = None,
    save_map: SaveMap = False,
    date_format: DateFormat = None,
    comment: Comment = None,
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
    check_tenant: CheckTenantOption = None,
    concurrency: Concurrency = None,
    timeout: Timeout = None,
    ca_file: CaFile = None,
    settle_after: SettleAfter = None,
    give_up_after: GiveUpAfter = None,
    identity_by: IdentityByOption = None,
    max_age: MaxAge = None,
    resubmit: Resubmit = None,
    wait: Wait = False,
    track_for: TrackFor = None,
    log_file: LogFile = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Validate, deduplicate, plan, confirm, send, summarise. The same command again continues."""
    import shlex

    from batch.commands.submit import submit as run_submit
    from batch.errors import UsageError
    from batch.report.screen import describe_outcome

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
        effort=effort,
        check_tenant=check_tenant,
        concurrency=concurrency,
        timeout=timeout,
        ca_file=ca_file,
        settle_after=settle_after,
        give_up_after=give_up_after,
        identity_by=identity_by,
        max_age=max_age,
        resubmit=resubmit,
        wait=wait or None,
        track_for=track_for,
        log_file=log_file,
        map=column_maps or None,
        date_format=date_format,
        comment=comment,
    )
    if track_for is not None and not settings.wait:
        raise UsageError(
            "--track-for says how long --wait follows, and --wait is not given.",
            next_step="Nothing was sent. Add --wait, or leave --track-for out.",
        )
    screen = screen_of(quiet=quiet, verbose=verbose)
    result = run_submit(inputs, settings, screen, stdin=sys.stdin.buffer, save_map=save_map)
    again = shlex.join(["access-batch", *sys.argv[1:]])
    show(result.summary.as_json() if as_json else describe_outcome(result.summary, again))
    if result.stopped is not None:
        raise result.stopped
    raise typer.Exit(130 if result.interrupted else result.summary.exit_code)


@app.command()
def plan(
    inputs: Inputs,
    column_maps: Maps = None,
    save_map: SaveMap = False,
    date_format: DateFormat = None,
    comment: Comment = None,
    ledger: LedgerOption = None,
    base_url: BaseUrl = None,
    client_id: ClientId = None,
    client_secret_file: ClientSecretFile = None,
    client_secret_env: ClientSecretEnv = None,
    api: Api = None,
    profile: Profile = "",
    sandbox: Sandbox = False,
    rate: Rate = None,
    effort: EffortOption = None,
    check_tenant: CheckTenantOption = None,
    timeout: Timeout = None,
    ca_file: CaFile = None,
    give_up_after: GiveUpAfter = None,
    identity_by: IdentityByOption = None,
    max_age: MaxAge = None,
    resubmit: Resubmit = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show what submit would send, without sending anything. Asks the tenant for names, and with --check-tenant."""
    from batch.commands.preview import look
    from batch.report.screen import describe_outcome

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
        effort=effort,
        check_tenant=check_tenant,
        timeout=timeout,
        ca_file=ca_file,
        give_up_after=give_up_after,
        identity_by=identity_by,
        max_age=max_age,
        resubmit=resubmit,
        map=column_maps or None,
        date_format=date_format,
        comment=comment,
    )
    summary = look(inputs, settings, screen_of(quiet=quiet), stdin=sys.stdin.buffer, save_map=save_map)
    show(summary.as_json() if as_json else describe_outcome(summary, ""))
    raise typer.Exit(summary.exit_code)


@app.command()
def validate(
    inputs: Inputs,
    column_maps: Maps = None,
    save_map: SaveMap = False,
    date_format: DateFormat = None,
    comment: Comment = None,
    api: Api = None,
    profile: Profile = "",
    identity_by: IdentityByOption = None,
    as_json: Json = False,
    out: Out = None,
    quiet: Quiet = False,
) -> None:
    """Judge the rows of the inputs, and write rejected.csv. Needs no tenant and no ledger."""
    from batch.commands.preview import look
    from batch.report.screen import describe_verdict

    settings = settings_of(
        profile,
        api=api,
        identity_by=identity_by,
        out=out,
        map=column_maps or None,
        date_format=date_format,
        comment=comment,
    )
    screen = screen_of(quiet=quiet)
    summary = look(inputs, settings, screen, stdin=sys.stdin.buffer, only_rows=True, save_map=save_map)
    show(summary.as_json() if as_json else describe_verdict(summary))
    raise typer.Exit(summary.exit_code)
