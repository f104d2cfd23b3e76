"""The terminal that a stream writes to, and the commands in messages."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import PurePath
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from batch.text import folded, visible

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from typing import IO

_COMMAND: Final = re.compile(
    r"(?:(?<=`)|(?<=: )|(?<=, ))access-batch (([a-z]+)(?: [a-z]+)?)[^`\n]*?(?=`|$|, access-batch )", re.MULTILINE
)
"""A command stands between backticks, or at a line's end, perhaps after others."""


@dataclass(slots=True)
class Commands:
    """Completes the commands in messages, so that they work as they are: with the same ledger, tenant and names.

    A process runs one command. It sets all attributes as soon as it has read its own options.

    Attributes:
        given: Options of this command that others need too, each with its value or values; None for a flag.
        takes: The names of each command's options.
        owes_json: Whether this command has still to answer in JSON.
    """

    given: Mapping[str, str | Sequence[str] | None] = field(default_factory=dict)
    takes: Mapping[str, Collection[str]] = field(default_factory=dict)
    owes_json: bool = False

    def completed(self, text: str) -> str:
        """A message whose commands have the given options that they take and do not have yet."""
        if not self.given:
            return text
        return _COMMAND.sub(self._completed, text)

    def _completed(self, found: re.Match[str]) -> str:
        takes = self.takes.get(found[1]) or self.takes.get(found[2], ())
        there = set(re.findall(r"--[a-z-]+", found[0]))
        if "--help" in there:
            return found[0]
        missing = [
            part
            for name, value in self.given.items()
            if name in takes and name not in there
            for part in _words(name, value)
        ]
        return f"{found[0]} {shlex.join(missing)}" if missing else found[0]


def _words(name: str, value: str | Sequence[str] | None) -> Iterator[str]:
    """An option as it is written; once for each of several values."""
    if value is None:
        yield name
        return
    for one in [value] if isinstance(value, str) else value:
        yield from (name, one)


COMMANDS: Final = Commands()
"""Those of the messages of this process."""


def to_send(file: str, options: Sequence[str] = (), *, only_plans: bool) -> str:
    """The command that submits a file of rows; or that saves a plan for them, if nothing else is sent.

    Args:
        file: The file.
        options: More of the command.
        only_plans: Whether rows are only sent by a saved plan.
    """
    save = ["--save", str(PurePath(file).with_suffix(".plan"))]
    words = ["plan", file, *options, *save] if only_plans else ["submit", file, *options]
    return shlex.join(["access-batch", *words])


def shown(text: str, stream: IO[str]) -> str:
    """Text safe to show on a stream. Its long lines are broken at blanks, but only if the stream is a terminal."""
    return folded(visible(COMMANDS.completed(text)), _columns(stream))


def as_json(answer: Mapping[str, object]) -> str:
    """A command's answer as one line of JSON that standard output can show."""
    return json.dumps(answer, ensure_ascii=not sys.stdout.encoding.lower().startswith("utf"))


def error_as_json(
    code: int, message: str, next_step: str = "", known: Mapping[str, object] = MappingProxyType({})
) -> dict[str, object]:
    """The answer of a command that an error has ended.

    Args:
        code: Its exit code.
        message: What happened.
        next_step: What the user can do.
        known: What is known besides.
    """
    error = {"exit_code": code, "message": visible(message), "next_step": visible(COMMANDS.completed(next_step))}
    return {"error": error, **known}


def _columns(stream: IO[str]) -> int:
    """Columns of a stream's terminal; 0 if it is none, or does not tell."""
    try:
        return os.get_terminal_size(stream.fileno()).columns if stream.isatty() else 0
    except (OSError, ValueError):
        return 0
