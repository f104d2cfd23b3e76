"""The program as Typer knows it, and what its commands have in common."""

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from batch import __version__

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


def settings_of(profile: str, **flags: object) -> "Settings":
    """The settings, from flags, environment and config file.

    Raises:
        SettingsError: They can't be used.
    """
    from batch.credentials.find import check_profile
    from batch.settings import load

    settings = load(flags, profile=profile)
    check_profile(settings)
    return settings


def screen_of(*, quiet: bool, verbose: bool = False) -> "Screen":
    """Where messages go.

    Raises:
        UsageError: Both were asked for.
    """
    from rich.console import Console

    from batch.commands.screen import Screen
    from batch.errors import UsageError

    if quiet and verbose:
        raise UsageError(
            "--quiet and --verbose exclude each other.", next_step="Nothing was sent. Leave one of them out."
        )
    return Screen(console=Console(stderr=True), quiet=quiet, verbose=verbose)


def show(answer: Any) -> None:
    """Prints a command's answer on stdout: an object as JSON, lines as they are but for what can't be printed."""
    import json

    from batch.text import visible

    lines = [json.dumps(answer, ensure_ascii=False)] if isinstance(answer, dict) else answer
    try:
        for line in lines:
            sys.stdout.write(f"{visible(line)}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read it has gone; what the command did, and its exit code, stay what they are.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
