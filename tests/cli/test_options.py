"""Each command's options, their order, and what else sets them: scripts and config files depend on these."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from batch.cli import app
from batch.settings import CONSENTS, Settings, options_of

if TYPE_CHECKING:
    from collections.abc import Iterator

SNAPSHOT = Path(__file__).with_name("options.txt")


def commands(group: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path}{name} ")
        else:
            yield f"{path}{name}", command


def described(parameter: Any) -> str:
    """One line: names, metavar, the default that Typer applies, environment variables and config entry."""
    if parameter.param_type_name == "argument":
        return f"  {parameter.metavar}{'' if parameter.required else ' (optional)'}"
    words = [", ".join(parameter.opts)]
    if parameter.metavar:
        words.append(parameter.metavar)
    if parameter.multiple:
        words.append("(repeatable)")
    if parameter.default:
        words.append(f"default={parameter.default}")
    options = options_of(Settings)
    if parameter.envvar:
        words.append(f"env={parameter.envvar}")
    elif parameter.name in options and parameter.name not in CONSENTS:
        vendor = f",SAIL_{parameter.name.upper()}" if options[parameter.name][0].vendor else ""
        words.append(f"env=ACCESS_BATCH_{parameter.name.upper()}{vendor} config={parameter.name}")
    return "  " + " ".join(words)


def options_now() -> str:
    lines = []
    for name, command in commands(typer.main.get_command(app)):
        lines.append(name)
        lines += [described(one) for one in command.params if one.name != "help"]
    return "".join(f"{line}\n" for line in lines)


def test_every_command_keeps_its_options() -> None:
    assert options_now() == SNAPSHOT.read_text("utf-8")


def test_help_starts_fast_because_it_imports_no_heavy_library() -> None:
    program = (
        "import sys, batch.cli.boundary; print(sorted({'httpx', 'polars', 'rich', 'sqlalchemy'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"
