"""Help of a command: its options in groups with their defaults, two examples, and its exit codes."""

import sys
import textwrap
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import typer
from typer.core import TyperCommand, TyperGroup

from batch.cli.options import HEADINGS
from batch.errors import UsageError

_WRONG_USAGE: Final = cast("type[Exception]", typer.BadParameter.__base__)
"""Every complaint of Typer's parser. Typer does not export the class itself."""

NOT_SHOWN: Final = {4: "the output could not be written; run the same command again"}
"""The exit code of commands that only show something."""

_FIRST: Final = next(iter(HEADINGS))

_EVERY_COMMAND: Final = {
    0: "done",
    1: "a bug",
    2: "wrong usage or configuration; nothing was done",
    130: "interrupted; run the same command again",
}


def command(
    group: typer.Typer, name: str | None = None, *, examples: tuple[str, str], codes: Mapping[int, str] | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Adds a command to the program.

    Args:
        group: The program, or a group of its commands.
        name: The command's name; the function's if None.
        examples: Its arguments, as one would type them after its name.
        codes: Its exit codes, if they say more than those of every command; an empty text for one that it never has.
    """
    meanings = {**_EVERY_COMMAND, **(codes or {})}
    exit_codes = [f"  {code:<4} {meanings[code]}" for code in sorted(meanings) if meanings[code]]

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        path = f"{group.info.name} {name or function.__name__}"
        typed = [f"  {path} {words}".rstrip() for words in examples]
        end = "\n".join(["Examples:", *typed, "", "Exit codes:", *exit_codes])
        return group.command(name, cls=Command, epilog=end)(function)

    return decorate


class Command(TyperCommand):
    """A command whose help has groups, defaults, examples and exit codes."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Writes the help."""
        _write_beginning(self, ctx, formatter)
        for heading, rows in grouped(self).items():
            with formatter.section(heading):
                formatter.write_dl(rows)
        formatter.write("\n")
        for line in str(self.epilog).splitlines():
            # A terminal would break a longer line within a word. An example stays in one line, to be copied.
            is_code = line.lstrip()[:1].isdigit()
            lines = textwrap.wrap(line, formatter.width, subsequent_indent=" " * 7) if is_code else [line]
            formatter.write("".join(f"{one}\n" for one in lines))


class Group(TyperGroup):
    """A group of commands. It lists each with a whole sentence, and complains about wrong usage as all of us do."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Writes the help."""
        _write_beginning(self, ctx, formatter)
        with formatter.section("Options"):
            formatter.write_dl([one.get_help_record(ctx) for one in self.get_params(ctx)])
        with formatter.section("Commands"):
            formatter.write_dl([(name, one.get_short_help_str(limit=1000)) for name, one in self.commands.items()])
        formatter.write(
            f"\nSee {ctx.find_root().command_path} COMMAND --help, and {ctx.find_root().command_path} help.\n"
        )

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Shows the help if there is no command."""
        if not args and not ctx.resilient_parsing:
            sys.stderr.write(f"{ctx.get_help()}\n")
            ctx.exit(2)
        return super().parse_args(ctx, args)

    def make_context(self, *args: Any, **extra: Any) -> Any:
        """Reads the options before any command."""
        try:
            return super().make_context(*args, **extra)
        except _WRONG_USAGE as error:
            raise _in_our_words(error, "access-batch") from None

    def invoke(self, ctx: Any) -> Any:
        """Reads a command's options, and runs it."""
        try:
            return super().invoke(ctx)
        except _WRONG_USAGE as error:
            raise _in_our_words(error, f"{ctx.command_path} {ctx.invoked_subcommand or ''}".rstrip()) from None


def grouped(one: Any) -> dict[str, list[tuple[str, str]]]:
    """The options of a command by group: the names, meaning and default of each."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for option in one.params:
        if option.param_type_name == "option":
            groups.setdefault(option.rich_help_panel or _FIRST, []).append((_names(option), _sentence(option)))
    return {heading: groups[heading] for heading in HEADINGS if heading in groups}


def _write_beginning(one: Any, ctx: Any, formatter: Any) -> None:
    arguments = [each for each in one.params if each.param_type_name == "argument"]
    pieces = ["[OPTIONS]", *map(_argument, arguments), *(["COMMAND [ARGS]..."] if isinstance(one, Group) else [])]
    formatter.write_usage(ctx.command_path, " ".join(pieces))
    one.format_help_text(ctx, formatter)
    if arguments:
        with formatter.section("Arguments"):
            formatter.write_dl([(_argument(each), each.help) for each in arguments])


def _argument(one: Any) -> str:
    """An argument: brackets say that it may be left out, dots that there may be several."""
    return one.metavar if one.nargs == 1 or one.metavar.startswith("[") else f"{one.metavar}..."


def _names(option: Any) -> str:
    short_first = sorted(option.opts, key=len)
    return " ".join(filter(None, (", ".join(short_first), "" if option.is_flag else option.metavar)))


def _sentence(option: Any) -> str:
    if option.is_flag or "[default: " in option.help:
        return str(option.help)
    default = "none" if option.default in (None, "", []) else f"{option.default:g}"
    return f"{option.help} [default: {default}]"


def _in_our_words(error: Any, path: str) -> UsageError:
    possibilities = getattr(error, "possibilities", None)
    message = " ".join(error.format_message().partition(" (Possible options")[0].split()).rstrip(".")
    if possibilities:
        message += f"; did you mean {' or '.join(sorted(possibilities))}?"
    where = error.ctx.command_path if error.ctx else path
    return UsageError(message if message.endswith("?") else f"{message}.", next_step=f"See {where} --help.")
