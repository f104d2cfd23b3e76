"""The help topics: Markdown files that travel with the package."""

import pkgutil
import re
import sys
from typing import Annotated, Final

import typer

from batch.cli.app import app, show
from batch.cli.help_text import NOT_SHOWN, command

TOPICS: Final = (
    "input",
    "plan",
    "approval",
    "waves",
    "results",
    "evidence",
    "credentials",
    "commands",
    "ledger",
    "export",
    "teams",
    "automation",
    "webhook",
    "rate-limit",
    "how-it-works",
    "packing",
)
"""All topics, in the order in which they are listed."""

_WIDEST: Final = 100


@command(app, "help", examples=("input", "ledger verify"), codes={2: "there is no such topic", **NOT_SHOWN})
def help_(
    context: typer.Context,
    topic: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TOPIC]",
            help="A topic or a command; lists the topics if left out.",
            autocompletion=lambda: list(TOPICS),
        ),
    ] = None,
) -> None:
    """Show a help topic, or list them."""
    from batch.errors import UsageError

    words = topic or []
    name = "-".join(words).lower()
    if not words:
        titles = [(one, text_of(one).partition("\n")[0].removeprefix("# ")) for one in TOPICS]
        show(["Topics, for access-batch help TOPIC:", *(f"  {one:13} {title}" for one, title in titles)], is_all=True)
    elif name in TOPICS:
        _print(text_of(name))
    elif (found := _command_help(context, words)) is not None:
        show(found.splitlines(), is_all=True)
    else:
        raise UsageError(f"There is no topic {name!r}.", next_step=f"Topics: {', '.join(TOPICS)}.")


def text_of(topic: str) -> str:
    """A topic, as it was written."""
    return (pkgutil.get_data("batch", f"help/{topic}.md") or b"").decode()


def rendered(text: str, width: int | None = None) -> str:
    """A topic for a terminal of so many columns; None stands for those of this one."""
    from rich.console import Console
    from rich.markdown import Markdown

    without_images = re.sub(r"^!\[.*\n", "", text, flags=re.MULTILINE)
    linked = re.sub(r"\[[^\]]+\]\(([\w-]+)\.md\)", r"`access-batch help \1`", without_images)
    console = Console(force_terminal=True, width=min(width or Console().width, _WIDEST))
    with console.capture() as printed:
        console.print(Markdown(linked, code_theme="ansi_dark"))
    return printed.get()


def _print(text: str) -> None:
    if sys.stdout.isatty():
        sys.stdout.write(rendered(text))
    else:
        show(text.splitlines(), is_all=True)


def _command_help(context: typer.Context, words: list[str]) -> str | None:
    """The help of a command such as `ledger verify`; None if there is none."""
    at = context.find_root()
    for word in words:
        command = getattr(at.command, "commands", {}).get(word)
        if command is None:
            return None
        at = typer.Context(command, info_name=word, parent=at)
    return at.get_help()
