"""The commands about saved plans."""

from typing import Annotated

import typer

from batch.cli.app import DONE, app, runtime, screen_of
from batch.cli.app import show as print_out
from batch.cli.help_text import command
from batch.cli.options import READING_ONLY, Call, takes
from batch.settings import Option, Settings

PlanFile = Annotated[str, typer.Argument(metavar="PLAN", help="A file that `plan --save` has written.")]


@command(
    app,
    examples=("load.plan", "load.plan --input load.csv"),
    codes={2: "the file is not a saved plan, or was changed", 3: "the input is not the one that was planned"},
)
@takes("input", "detail", "profile", "json", READING_ONLY)
def show(
    plan: PlanFile,
    settings: Settings,
    call: Call,
    detail: Annotated[bool, Option("Show every item and every change.")] = False,
    input: Annotated[  # noqa: A002 - the option's name
        str, Option("Say whether this file is the one that was planned, and which lines differ.", "FILE")
    ] = "",
) -> None:
    """Show a saved plan, and who has signed it."""
    from batch.commands.shown_plan import shown_plan

    found = shown_plan(plan, settings, runtime(), screen_of(call), of_input=input)
    print_out(found.as_json(detail=detail) if call.json else [*found.describe(detail=detail)], is_all=True)
    raise typer.Exit(3 if found.compared and not found.compared.is_same else 0)


@command(
    app,
    examples=("load.plan", "load.plan --signing-key key.pub --confirm acme"),
    codes={2: "you can't approve it; nothing was signed", 130: "declined; nothing was signed"},
)
@takes("signing_key", "confirm", "profile", "quiet")
def approve(plan: PlanFile, settings: Settings, call: Call) -> None:
    """Look at a saved plan, and approve it with your SSH key."""
    from batch.commands.shown_plan import approved

    print_out(approved(plan, settings, screen_of(call), runtime()), then=DONE)
