"""The error boundary: every end of a command becomes a message on stderr and an exit code."""

from __future__ import annotations

import sys
import traceback
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from batch.commands.streams import failure_of
from batch.errors import AccessBatchError
from batch.report.terminal import COMMANDS, as_json, error_as_json, shown
from batch.text import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

INTERRUPTED: Final = 130
BUG: Final = 1


def run(program: Callable[[], object]) -> int:
    """Runs a program and returns its exit code: 0, 1 (a bug), 2, 3, 4 or 130, as documented."""
    try:
        code = _run(program)
        sys.stdout.flush()
        if failure := failure_of(sys.stdout, taken=True):
            _say(f"Standard output can't be written: {failure.strerror}.")
        return code
    finally:
        COMMANDS.given, COMMANDS.owes_json = {}, False


def _run(program: Callable[[], object]) -> int:
    try:
        program()
    except (SystemExit, KeyboardInterrupt) as ending:
        # Typer turns an interruption into a silent exit.
        interruption = _interruption(ending)
        return _code_of(ending) if interruption is None else _interrupted(interruption)
    except AccessBatchError as error:
        _say(f"access-batch: {error.message}")
        if error.next_step:
            _say(error.next_step)
        _answer(error.exit_code, error.message, error.next_step, error.known)
        return error.exit_code
    except BaseException as error:  # noqa: BLE001 - the boundary: nothing may end without a message, not even a Rust panic
        return _bug(error)
    return 0


def _code_of(ending: BaseException) -> int:
    code = getattr(ending, "code", None)
    if code is None or isinstance(code, int):
        return code or 0
    _say(str(code))
    return BUG


def _interruption(ending: BaseException) -> KeyboardInterrupt | None:
    """The interruption behind an exit; None if there is none."""
    cause: BaseException | None = ending
    while cause is not None and not isinstance(cause, KeyboardInterrupt):
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return cause


def _interrupted(interruption: KeyboardInterrupt) -> int:
    message = str(interruption) or f"Interrupted. {_HELD}"
    _say(message)
    _answer(INTERRUPTED, message)
    return INTERRUPTED


_HELD: Final = "The ledger holds everything that happened; run the same command again to continue."


def _answer(code: int, message: str, next_step: str = "", known: Mapping[str, object] = MappingProxyType({})) -> None:
    """Answers in JSON if the command has not done so: a script finds one object, whatever happens."""
    if COMMANDS.owes_json:
        sys.stdout.write(f"{visible(as_json(error_as_json(code, message, next_step, known)))}\n")


def _say(line: str) -> None:
    sys.stderr.write(f"{shown(line, sys.stderr)}\n")


def _bug(error: BaseException) -> int:
    """Reports a bug: the places in the code, but no values, which could hold a secret."""
    missing = f" ({error.name})" if isinstance(error, ImportError) else ""
    _say(
        f"access-batch: a bug: {type(error).__name__}{missing}. The ledger holds every request that was sent; run the "
        "same command again to continue."
    )
    _answer(BUG, f"A bug: {type(error).__name__}{missing}.", _HELD)
    for frame in traceback.extract_tb(error.__traceback__):
        _say(f"  {frame.filename}:{frame.lineno} in {frame.name}")
    return BUG
