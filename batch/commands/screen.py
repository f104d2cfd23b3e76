"""Messages and questions: messages go to stderr, answers come from the terminal."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batch.commands.streams import failure_of
from batch.errors import DeclinedError, SettingsError
from batch.report.terminal import shown
from batch.settings import CONSENTS

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
        self.console.print(shown(line, self.console.file), markup=False, highlight=False, soft_wrap=True)

    def ask(self, question: str, consent: Consent) -> None:
        """Asks whether to go on, unless the command's flags consent already.

        Raises:
            SettingsError: The question can't be shown.
            DeclinedError: The answer is no, or is not the name that must be typed.
        """
        if consent.given:
            return
        wanted = "[y/N]"
        if consent.names:
            wanted = f"{consent.why}. To go on, type the tenant's name, {consent.names[0]}:"
        asked = shown(f"{question} {wanted} ", self.console.file)
        self.console.print(asked, markup=False, highlight=False, soft_wrap=True, end="")
        if lost := failure_of(sys.stderr):
            raise SettingsError(
                f"The question can't be shown: standard error can't be written: {lost.strerror}.",
                next_step="Nothing was sent. Add --yes to send without asking.",
            )
        if sys.stdin.readline().strip().lower() not in (consent.names or {"y", "yes"}):
            raise DeclinedError("Nothing was sent.", next_step="The same command asks again.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Consent:
    """What a user has said, or must say, before a command changes something at a tenant.

    Attributes:
        given: Whether the command's flags consent.
        names: The tenant's names, if one of them must be typed; empty if a yes will do.
        why: Why it must be typed, as a sentence without its full stop.
        again: The same command, as it could be typed again.
    """

    given: bool = False
    names: tuple[str, ...] = ()
    why: str = "This is a production tenant"
    again: str = ""


def require_an_answer(consent: Consent, screen: Screen, *, stdin_is_input: bool) -> None:
    """Refuses to start if a question is needed and can't be asked.

    Raises:
        SettingsError: There is no terminal, or standard input is the input file.
    """
    if consent.given:
        return
    present = {name.upper() for name, value in os.environ.items() if value}
    for variable in sorted(present & {f"ACCESS_BATCH_{name.upper()}" for name in CONSENTS}):
        screen.complain(f"{variable} has no effect: only a flag of the command itself consents.")
    if not stdin_is_input and sys.stdin is not None and sys.stdin.isatty():
        return
    if consent.names:
        raise SettingsError(
            f"{consent.why}. The tenant's name must be typed before anything is sent, and there is no terminal to type "
            "it on.",
            next_step=f"Nothing was sent. Give its name in the command: {consent.again} --confirm {consent.names[0]}",
        )
    raise SettingsError(
        "There is no terminal to ask for confirmation.",
        next_step="Nothing was sent. Add --yes to send without asking.",
    )
