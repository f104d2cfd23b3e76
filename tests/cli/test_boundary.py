"""The boundary: every end of a program becomes an exit code and, if something went wrong, a message."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

import polars as pl
import pytest
import typer
from rich.console import Console

from batch.cli import app, boundary
from batch.cli.app import show
from batch.commands.screen import Consent, Screen
from batch.errors import (
    AccessBatchError,
    BrokenPromiseError,
    CredentialsRefusedError,
    DeclinedError,
    InputFileError,
    LedgerLostError,
    LedgerRefusedError,
    RunHeldError,
    SettingsError,
    StoppedError,
    TenantLostError,
    TooManyRefusalsError,
    UsageError,
)
from batch.report.terminal import COMMANDS
from batch.text import folded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROGRAM: Any = typer.main.get_command(app)
ROOT = Path(__file__).parents[1]
SECRET = "hunter2-hunter2"


def ending_with(error: BaseException) -> int:
    def program() -> NoReturn:
        raise error

    return boundary.run(program)


def test_a_program_that_ends_well_exits_with_0_and_no_message(capsys: pytest.CaptureFixture[str]) -> None:
    assert boundary.run(lambda: "whatever it returns") == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (UsageError, 2),
        (InputFileError, 2),
        (SettingsError, 2),
        (LedgerRefusedError, 2),
        (StoppedError, 4),
        (TenantLostError, 4),
        (CredentialsRefusedError, 4),
        (TooManyRefusalsError, 4),
        (RunHeldError, 4),
        (LedgerLostError, 4),
        (BrokenPromiseError, 1),
    ],
)
def test_each_of_our_errors_has_its_exit_code_and_a_next_step(
    kind: type[AccessBatchError], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ending_with(kind("It went wrong.", next_step="Do this.")) == code
    assert capsys.readouterr() == ("", "access-batch: It went wrong.\nDo this.\n")


def test_every_error_of_ours_has_a_documented_exit_code() -> None:
    def all_below(kind: type[AccessBatchError]) -> set[type[AccessBatchError]]:
        return {kind}.union(*(all_below(below) for below in kind.__subclasses__()))

    assert {kind.exit_code for kind in all_below(AccessBatchError)} <= {1, 2, 3, 4, 130}


def test_an_error_without_a_next_step_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert ending_with(UsageError("No.")) == 2
    assert capsys.readouterr().err == "access-batch: No.\n"


@pytest.mark.parametrize(("code", "expected"), [(None, 0), (0, 0), (2, 2), (3, 3), (130, 130)])
def test_an_exit_keeps_its_code_and_shows_nothing(
    code: int | None, expected: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ending_with(SystemExit(code)) == expected
    assert capsys.readouterr() == ("", "")


def test_an_exit_with_a_message_shows_it_as_python_would(capsys: pytest.CaptureFixture[str]) -> None:
    assert ending_with(SystemExit("Something is missing.")) == 1
    assert capsys.readouterr().err == "Something is missing.\n"


def test_ctrl_c_exits_with_130_and_tells_how_to_continue(capsys: pytest.CaptureFixture[str]) -> None:
    assert ending_with(KeyboardInterrupt()) == 130
    assert "run the same command again to continue" in capsys.readouterr().err


def test_ctrl_c_within_a_command_is_never_silent(capsys: pytest.CaptureFixture[str]) -> None:
    app = typer.Typer()

    @app.command()
    def _wait(message: str = "") -> NoReturn:
        raise KeyboardInterrupt(*filter(None, [message]))

    assert boundary.run(lambda: app([])) == 130
    assert "run the same command again to continue" in capsys.readouterr().err
    assert boundary.run(lambda: app(["--message", "Nothing was sent."])) == 130
    assert capsys.readouterr().err == "Nothing was sent.\n"


def bug(secret: str) -> NoReturn:
    raise ValueError(f"cannot use {secret}")


def test_a_bug_is_reported_with_its_place_and_without_values(capsys: pytest.CaptureFixture[str]) -> None:
    assert boundary.run(lambda: bug(SECRET)) == 1
    message = capsys.readouterr().err
    assert message.startswith("access-batch: a bug: ValueError.")
    assert "test_boundary.py" in message
    assert " in bug\n" in message
    assert SECRET not in message
    assert "cannot use" not in message


def test_the_causes_of_a_bug_show_no_values_either(capsys: pytest.CaptureFixture[str]) -> None:
    def program() -> NoReturn:
        try:
            bug(SECRET)
        except ValueError as error:
            raise RuntimeError(f"because of {SECRET}") from error

    assert boundary.run(program) == 1
    assert SECRET not in capsys.readouterr().err


@pytest.mark.parametrize(
    "error",
    [
        pl.exceptions.PanicException(f"row {SECRET}"),
        MemoryError(SECRET),
        RecursionError(SECRET),
        ExceptionGroup(SECRET, [ValueError(SECRET)]),
        GeneratorExit(SECRET),
        UnicodeDecodeError("utf-8", SECRET.encode(), 0, 1, "odd"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_unusual_exception_is_a_bug_reported_without_values(
    error: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ending_with(error) == 1
    message = capsys.readouterr().err
    assert type(error).__name__ in message
    assert SECRET not in message


def test_a_program_whose_reader_has_closed_the_pipe_goes_on_to_its_own_end_without_a_message() -> None:
    program = (
        "import sys; from batch.cli.boundary import run; from batch.commands.streams import keep_streams\n"
        "def program():\n"
        "    sys.stdin.read()\n"
        "    for number in range(100_000): print(number, flush=True)\n"
        "    sys.exit(3)\n"
        "keep_streams()\n"
        "sys.exit(run(program))"
    )
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stdin.close()
        assert process.stderr.read() == b""
        assert process.wait() == 3


END = "\x1d"


@contextlib.contextmanager
def terminal(columns: int) -> Iterator[tuple[TextIO, Callable[[], str]]]:
    """A stream to a terminal of so many columns, and what was written to it, read at the end."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with open(theirs, "w", encoding="utf-8", buffering=1) as stream, open(ours, "rb", buffering=0) as reading:  # noqa: PTH123 - descriptors

        def written() -> str:
            # A terminal hands over what was written in pieces.
            stream.write(END)
            stream.flush()
            text = ""
            while not text.endswith(END):
                text += reading.read(4096).decode()
            return text.removesuffix(END).replace("\r\n", "\n")

        yield stream, written


ERROR = UsageError("one two three four five six", next_step="Then: access-batch track 3f2a --out folder")


def test_on_a_terminal_messages_break_at_blanks_and_commands_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(24) as (stream, written):
        monkeypatch.setattr(sys, "stderr", stream)
        ending_with(ERROR)
        assert written() == "access-batch: one two\nthree four five six\nThen:\naccess-batch track 3f2a --out folder\n"
        monkeypatch.setattr(sys, "stdin", io.StringIO("n"))
        screen = Screen(console=Console(stderr=True))
        screen.complain("  one two three four five six")
        with pytest.raises(DeclinedError):
            screen.ask("Shall I submit all of them?", Consent())
        assert written() == "  one two three four\n    five six\nShall I submit all of\nthem? [y/N] "
        monkeypatch.setattr(sys, "stdout", stream)
        show(["one two three four five six"])
        show({"a": "one two three four five six"})
        assert written() == 'one two three four five\nsix\n{"a": "one two three four five six"}\n'


def test_through_a_pipe_each_message_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    long = "word " * 100
    ending_with(UsageError(long))
    Screen(console=Console(stderr=True, width=24)).complain(long)
    show([long])
    assert capsys.readouterr() == (f"{long}\n", f"access-batch: {long}\n{long}\n")


@pytest.mark.parametrize("name", PROGRAM.commands)
def test_every_command_is_known_to_stay_whole(name: str) -> None:
    assert folded(f"Next: access-batch {name} and its words", 20) == f"Next:\naccess-batch {name} and its words"


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UsageError("No.", next_step="Do."), 2, "No."),
        (LedgerLostError("Gone.", next_step="Do."), 4, "Gone."),
        (KeyboardInterrupt(), 130, "Interrupted. The ledger holds"),
        (ZeroDivisionError(), 1, "A bug: ZeroDivisionError."),
    ],
)
def test_a_command_that_owes_json_answers_once_however_it_ends(
    error: BaseException, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def program() -> NoReturn:
        COMMANDS.owes_json = True
        raise error

    assert boundary.run(program) == code
    said = json.loads(capsys.readouterr().out)
    assert (list(said), said["error"]["exit_code"]) == (["error"], code)
    assert said["error"]["message"].startswith(message)

    def answered() -> NoReturn:
        COMMANDS.owes_json = True
        show({"run": "x"})
        raise error

    boundary.run(answered)
    assert json.loads(capsys.readouterr().out) == {"run": "x"}
