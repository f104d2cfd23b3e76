"""The commands that take inputs: submit, plan, validate."""

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from batch.cli.app import app, runtime, screen_of, show
from batch.cli.help_text import command
from batch.cli.options import (
    GUARDS,
    HTTP,
    NAMES,
    PLANNING,
    READING,
    TENANT,
    TIMES,
    TRACKING,
    WAVES,
    Call,
    Inputs,
    takes,
)
from batch.settings import Option, Settings


@command(
    app,
    examples=("wanted.csv", "hires.csv leavers.csv --yes --json --log-file submit.log"),
    codes={
        0: "every change is submitted, or already was; with --wait: is provisioned",
        2: "wrong usage, configuration or input; nothing more was sent",
        3: "finished, but some rows need attention: see the files that the last lines name",
        4: "stopped early, or still waiting for the tenant; run the same command again",
        130: "declined or interrupted; run the same command again",
    },
)
@takes(
    READING,
    TENANT,
    ("yes", "confirm", "json", "out", "out_format", "report", "rate", "monthly_calls"),
    PLANNING,
    GUARDS,
    ("confirm_above", "plan_age", "all_or_nothing", "trust", "concurrency", *WAVES),
    HTTP,
    TIMES,
    NAMES,
    "wait",
    TRACKING,
    ("quiet", "verbose"),
)
def submit(inputs: Inputs, settings: Settings, call: Call) -> None:
    """Submit the changes of the inputs, each exactly once.

    Checks the rows, skips changes that were submitted before, plans the requests, asks, sends them, and sums up.
    Run the same command again to continue after anything that stopped it.
    """
    from batch.commands.guards import with_guards
    from batch.commands.sources import saved_plan_in
    from batch.commands.streams import standard_input
    from batch.commands.submit import submit as run_submit
    from batch.commands.webhook import END, STOP, webhook_of, with_stop
    from batch.errors import UnconfirmedError, UsageError, WrongEndsError
    from batch.report.screen import describe_outcome

    if "track_for" in settings.sources.flags and not settings.wait:
        raise UsageError(
            "--track-for limits --wait, which is not given.",
            next_step="Nothing was sent. Add --wait, or leave --track-for out.",
        )
    settings = with_guards(settings)
    if settings.require_plan and saved_plan_in(inputs) is None:
        _only_plan(inputs, settings, call)
    screen = screen_of(call)
    with webhook_of(settings, screen) as webhook:
        result = run_submit(
            inputs, settings, screen, runtime(), stdin=standard_input(), webhook=webhook, save_map=call.save_map
        )
        document = with_stop(result.summary.as_json(), result.stopped)
        webhook.tell(STOP if result.stopped or result.interrupted else END, document)
    wrong = result.stopped if isinstance(result.stopped, WrongEndsError) else None
    outcome = describe_outcome(
        result.summary,
        _again(inputs, tolerate=wrong.tolerate if wrong else None),
        is_advised=isinstance(result.stopped, UnconfirmedError),
        is_all_the_same=wrong is not None,
        reading=_reading(settings),
        only_plans=settings.require_plan,
    )
    show(document if call.json else outcome)
    if result.stopped is not None:
        raise result.stopped
    raise typer.Exit(130 if result.interrupted else result.summary.exit_code)


@command(
    app,
    examples=("wanted.csv", "wanted.csv --map 'User=identity' --map 'Role=item' --save-map"),
    codes={
        2: "wrong usage, configuration or input",
        3: "planned, but some rows need attention",
        4: "stopped early: the tenant did not answer; run the same command again",
    },
)
@takes(
    *(READING, TENANT, "rate", "monthly_calls", PLANNING, GUARDS, HTTP, "give_up_after", NAMES),
    ("by", "detail", "save", "signing_key", "json", "out", "quiet"),
    out="no files",
)
def plan(
    inputs: Inputs,
    settings: Settings,
    call: Call,
    by: Annotated[str, Option("Count the changes by a column of the input, too.", "COLUMN")] = "",
    detail: Annotated[bool, Option("Show every item and every change.")] = False,
    save: Annotated[str, Option("Save the plan in this file, to be approved and submitted.", "FILE")] = "",
) -> None:
    """Show what submit would send, and send nothing. --check-tenant never plans without asking."""
    from batch.commands.guards import with_guards
    from batch.commands.preview import preview
    from batch.commands.streams import standard_input
    from batch.report.plan_screen import describe_preview

    settings = with_guards(settings)
    summary = preview(
        *(inputs, settings, screen_of(call), runtime()),
        stdin=standard_input(),
        save_map=call.save_map,
        by=by,
        detail=detail,
        save_to=Path(save) if save else None,
    )
    # The warnings stand among the messages, unless these are not shown.
    described = describe_preview(summary, detail=detail, warnings=call.quiet)
    show(summary.as_json() if call.json else described, is_all=True)
    raise typer.Exit(summary.exit_code)


@command(
    app,
    examples=("wanted.csv", "wanted.csv --date-format us --out checked"),
    codes={0: "every row is valid", 2: "wrong usage, configuration or input", 3: "some rows were rejected"},
)
@takes(READING, ("api", "profile", "identity_by", "json", "out", "out_format"), HTTP, "quiet")
def validate(inputs: Inputs, settings: Settings, call: Call) -> None:
    """Check the rows of the inputs and write rejected.csv. Needs no tenant and no ledger."""
    from batch.commands.preview import preview
    from batch.commands.streams import standard_input
    from batch.report.screen import describe_verdict

    screen = screen_of(call)
    summary = preview(
        inputs, settings, screen, runtime(), stdin=standard_input(), only_rows=True, save_map=call.save_map
    )
    only_plans = settings.require_plan or settings.approvals_required > 0
    described = describe_verdict(summary, reading=_reading(settings), only_plans=only_plans)
    show(summary.as_json() if call.json else described, is_all=True)
    raise typer.Exit(summary.exit_code)


def _only_plan(inputs: list[str], settings: Settings, call: Call) -> NoReturn:
    """Show what would be sent: the config file says that only saved plans are."""
    import shlex

    from batch.commands.preview import preview
    from batch.commands.streams import standard_input
    from batch.errors import SettingsError
    from batch.read import shown
    from batch.report.plan_screen import describe_preview
    from batch.report.terminal import error_as_json

    planning = settings.model_copy(update={"out": None})
    summary = preview(inputs, planning, screen_of(call), runtime(), stdin=standard_input(), save_map=call.save_map)
    named = shlex.join([*map(shown, inputs), *_reading(settings)])
    error = SettingsError(
        "Only saved plans are sent here: the config file has require_plan or approvals_required.",
        next_step=f"Nothing was sent. Save the plan: access-batch plan {named} --save FILE",
    )
    answer = error_as_json(error.exit_code, error.message, error.next_step, summary.as_json())
    show(answer if call.json else describe_preview(summary, detail=False, warnings=call.quiet))
    raise error


def _again(inputs: list[str], *, tolerate: int | None) -> str:
    """The command that goes on where this one ended; perhaps with another tolerance."""
    import re
    import shlex

    from batch.read import shown

    words = [shown(word) if word in inputs else word for word in sys.argv[1:]]
    if tolerate is None:
        return shlex.join(["access-batch", *words])
    for place, word in enumerate(words):
        if re.fullmatch("--tolerate(=.*)?", word):
            del words[place : place + (1 if "=" in word else 2)]
            break
    return shlex.join(["access-batch", *words, "--tolerate", str(tolerate)])


def _reading(settings: Settings) -> list[str]:
    """The options given here that say how the input's rows are read."""
    given = [
        name
        for name in ("map", "date_format", "time_zone", "comment", "ticket_pattern")
        if name in settings.sources.flags
    ]
    values = [(name, value) for name in given for value in _each(getattr(settings, name))]
    return [word for name, value in values for word in (f"--{name.replace('_', '-')}", value)]


def _each(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else (value,)
