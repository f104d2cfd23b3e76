"""Messages and questions: messages go to stderr, answers come from the terminal."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batch.errors import DeclinedError, SettingsError
from batch.text import visible

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, kw_only=True, slots=True)
class Screen:
    """Where messages go.

    Attributes:
        console: On stderr.
        quiet: Whether only errors are shown.
        verbose: Whether every answer of the tenant is shown.
    """

    console: Console
    quiet: bool = False
    verbose: bool = False

    def say(self, *lines: str) -> None:
        """Shows lines, with unprintable characters escaped."""
        if not self.quiet:
            for line in lines:
                self.complain(line)

    def complain(self, line: str) -> None:
        """Shows an error, on a quiet screen too."""
        self.console.print(visible(line), markup=False, highlight=False, soft_wrap=True)

    def ask(self, question: str, *, yes: bool) -> None:
        """Asks whether to go on, unless `yes` answers already.

        Raises:
            DeclinedError: The answer is no.
        """
        if yes:
            return
        self.console.print(f"{visible(question)} [y/N] ", markup=False, highlight=False, soft_wrap=True, end="")
        if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
            raise DeclinedError("Nothing was sent.", next_step="The same command asks again.")


def require_an_answer(*, yes: bool, stdin_is_input: bool) -> None:
    """Refuses to start if a question is needed and can't be asked.

    Raises:
        SettingsError: There is no terminal, or standard input is the input file.
    """
    if yes:
        return
    if stdin_is_input or not sys.stdin.isatty():
        raise SettingsError(
            "There is no terminal to ask on before sending.",
            next_step="Nothing was sent. Add --yes to send without asking.",
        )
