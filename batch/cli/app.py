"""The Typer program, and what its commands share."""

import sys
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from batch import __version__
from batch.cli.help_text import Group

if TYPE_CHECKING:
    from batch.cli.options import Call
    from batch.commands.runtime import Runtime
    from batch.commands.screen import Screen

app = typer.Typer(
    name="access-batch",
    help="Submits access changes in bulk to SailPoint Identity Security Cloud, exactly once.",
    cls=Group,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

ledger_app = typer.Typer(
    name="access-batch ledger",
    cls=Group,
    help="Verify the ledger, back it up, move it, import into it, or export it.",
    rich_markup_mode=None,
)
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


def screen_of(call: "Call") -> "Screen":
    """The screen for messages.

    Raises:
        UsageError: The call asks for both quiet and verbose.
    """
    from rich.console import Console

    from batch.commands.screen import Screen
    from batch.errors import UsageError

    if call.quiet and call.verbose:
        raise UsageError(
            "--quiet and --verbose exclude each other.", next_step="Nothing was sent. Leave one of them out."
        )
    return Screen(console=Console(stderr=True), quiet=call.quiet, verbose=call.verbose)


def runtime() -> "Runtime":
    """Clock, randomness and process, as this machine has them: nothing below the command line picks them up itself."""
    import base64
    import functools
    import random
    import secrets
    from datetime import UTC, datetime

    import platformdirs
    from rich.console import Console

    from batch.commands.heads import Heads
    from batch.commands.runtime import Runtime, Wall
    from batch.commands.screen import Screen
    from batch.credentials.machine_key import machine_key
    from batch.ledger.process import Process, boot_id, boot_time
    from batch.model import Clock
    from batch.settings import APPLICATION

    def new_id() -> str:
        # 50 bits, in one letter case, since a tenant may change it.
        return base64.b32encode(secrets.token_bytes(10)).decode()[:10].lower()

    wall = Wall(lambda: datetime.now(UTC))
    clock = Clock(now=wall.now, monotonic=boot_time, boot=boot_id())
    return Runtime(
        clock=clock,
        wall=wall,
        jitter=random.random,
        process=Process.current(),
        new_id=new_id,
        key=functools.cache(
            lambda: machine_key(
                platformdirs.user_config_path(APPLICATION) / "machine.key",
                say=lambda line: Screen(console=Console(stderr=True), quiet=False, verbose=False).complain(line),
            )
        ),
        heads=Heads(folder=platformdirs.user_state_path(APPLICATION) / "heads"),
    )


DONE: Final = "The command itself has succeeded."
"""The next step in `show` for a command that must not be repeated only to see its output again."""


def show(answer: Any, *, then: str = "The same command shows it again.", is_all: bool = False) -> None:
    """Prints a command's answer on stdout: a dict as JSON, or lines with unprintable characters escaped.

    Args:
        answer: A dict, or lines.
        then: What a user can do if it can't be printed.
        is_all: Whether the command does nothing else; else its exit code does not depend on that.

    Raises:
        StoppedError: It can't be printed, and is all that the command does.
    """
    from batch.commands.streams import failure_of
    from batch.errors import StoppedError
    from batch.report.terminal import COMMANDS, as_json, shown
    from batch.text import visible

    is_json = isinstance(answer, dict)
    if isinstance(answer, dict):
        answer, COMMANDS.owes_json = [as_json(answer)], False
    elif lost := failure_of(sys.stderr, taken=True):
        answer = [*answer, f"Messages are missing: standard error can't be written: {lost.strerror}."]
    for line in answer:
        sys.stdout.write(f"{visible(line) if is_json else shown(line, sys.stdout)}\n")
    sys.stdout.flush()
    if failure := failure_of(sys.stdout, taken=True):
        message = f"The summary can't be written to standard output: {failure.strerror}."
        if is_all:
            raise StoppedError(message, next_step=then)
        sys.stderr.write(f"{shown(f'{message} {then}', sys.stderr)}\n")
