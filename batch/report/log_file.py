"""The log file: the events of a run as JSON lines, for programs that follow it or analyse it later.

Each line is one event with `at` (UTC), `event` and `run`; fields that do not apply are left out. `run` is empty during
the precheck, which comes before the run.

    run_begins  a process begins to send: `requests` and `changes` of the whole run
    attempt     a request is about to leave: `request`, `attempt` (1 is the first), `changes`, `state`, and `within`:
                the request in whose body it travels, if not in its own
    answer      the attempt has ended: the same, and `status`, `detail_code`, `tracking_id`, `retry_after`, `reason`,
                `parts` (requests that replace a refused one), `duration_s`
    waiting     no call leaves for `duration_s` from now: `reason`
    paced       a window of the rate limit now holds at most `allowed` calls
    settled     an unconfirmed request is settled: `request`, `attempt`, `changes`, `state`, `reason`
    tracked     the tenant shows a new state of accepted changes: `request`, `changes`, `state` (its name), `reason`
    notice      a notice for the user: `reason`
    run_ends    the process sends no more: `state` (complete, stopped, interrupted, failed), `reason`, `duration_s`,
                `head` (of the run, for `ledger verify --head`; empty if it failed)

Elsewhere `state` is the request's state in the ledger. `reason` is text for people. `retry_after` is in seconds.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections import Counter
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Self

from batch.answers.events import (
    AttemptEnded,
    AttemptStarted,
    Notice,
    PaceChanged,
    Settled,
    StatusesChanged,
    TakenApart,
    Waiting,
)
from batch.errors import SettingsError
from batch.files import open_log
from batch.report.summary import count_states
from batch.states import Event, State, advance
from batch.status.evidence import Settlement

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from io import FileIO
    from pathlib import Path

    from batch.answers.events import RunEvent
    from batch.model import Clock, Request, Run, Tally

_SETTLED: Final[Mapping[str, Event]] = MappingProxyType(
    {Settlement.FOUND: Event.FOUND, Settlement.NOT_FOUND: Event.NOT_FOUND, Settlement.PARTLY: Event.TAKEN_OVER}
)


class LogFile:
    """Writes a line for each event, until a write fails; a context manager.

    Args:
        file: Unbuffered, so that every line is on disk at once; None for no log.
        clock: This machine's clock.
        complain: Takes, once, the message that writing has failed.
        notices: What was done to open it.

    Attributes:
        notices: What was done to open it, for the user.
    """

    def __init__(
        self, file: FileIO | None, *, clock: Clock, complain: Callable[[str], None], notices: tuple[str, ...] = ()
    ) -> None:
        self.notices = notices
        self._file = file
        self._clock = clock
        self._complain = complain
        self._run = ""
        self._began: float | None = None

    @classmethod
    def open(cls, path: Path | None, *, clock: Clock, complain: Callable[[str], None]) -> Self:
        """Open a log file for appending; only the owner can read a new one.

        Raises:
            SettingsError: It can't be opened, or is not a log: a mistyped path must not damage an input or a ledger.
            UnsafePlaceError: It could be somebody else's text, or lead somewhere else.
        """
        if path is None:
            return cls(None, clock=clock, complain=complain)
        try:
            handle, notices = open_log(path, option="--log-file")
            file = open(path, "ab", buffering=0, opener=lambda *_: handle)  # noqa: SIM115 - Path.open takes no opener
            try:
                first, last = _ends(handle)
                if first not in {b"", b"{"}:
                    raise FileExistsError(17, "it holds something else")
                if last not in {b"", b"\n"}:
                    # A full disk has cut the last line short.
                    file.write(b"\n")
            except OSError:
                file.close()
                raise
        except OSError as error:
            raise SettingsError(
                f"The log file {path} can't be appended to: {error.strerror or error}.",
                next_step="Nothing was sent. Name another with --log-file.",
            ) from error
        return cls(file, clock=clock, complain=complain, notices=notices)

    def run_begins(self, run: Run, tally: Tally) -> None:
        """Log that sending begins, with the counts of the whole run."""
        self._run, self._began = run.id, self._clock.monotonic()
        planned = {
            "requests": count_states(tally.requests)["planned"],
            "changes": count_states(tally.changes)["planned"],
        }
        self._write("run_begins", **planned)

    def run_ends(self, state: str, reason: str = "", head: str = "") -> None:
        """Log that sending has ended.

        Args:
            state: complete, stopped, interrupted or failed.
            reason: Why it was stopped, if it was.
            head: The run's newest event, as `ledger verify --head` takes it.
        """
        took = 0.0 if self._began is None else self._clock.monotonic() - self._began
        self._write("run_ends", state=state, reason=reason, duration_s=took, head=head)

    def about(self, run: Run) -> None:
        """Name this run in the following lines, even if nothing of it is sent."""
        self._run = run.id

    def tell(self, event: RunEvent) -> None:
        """Write the line, or the lines, of an event."""
        match event:
            case AttemptStarted(request=request):
                self._write("attempt", **_named(request), state=State.SENDING)
            case AttemptEnded():
                self._answer(event)
            case Waiting(seconds=seconds, reason=reason):
                self._write("waiting", reason=reason, duration_s=seconds)
            case PaceChanged(allowed=allowed):
                self._write("paced", allowed=allowed)
            case Settled(request=request, verdict=verdict):
                state = advance(State.UNCONFIRMED, _SETTLED[verdict])
                self._write("settled", **_named(request), state=state, reason=verdict)
            case TakenApart(request=request, reason=reason, parts=parts):
                state = State.SPLIT if parts else State.REFUSED
                self._write("taken_apart", **_named(request), state=state, reason=reason, parts=parts or None)
            case StatusesChanged(changes=changes):
                groups = Counter((one.request, one.state, one.said) for one in changes)
                for (number, name, said), size in groups.items():
                    self._write("tracked", request=f"{self._run}-{number}", changes=size, state=name, reason=said)
            case Notice(text=text):
                self._write("notice", reason=text)
            case _:
                pass

    def _answer(self, event: AttemptEnded) -> None:
        answer, decision, parts = event.answer, event.decision, event.parts
        state = advance(State.SENDING, decision.event)
        self._write(
            "answer",
            **_named(event.request),
            state=advance(state, Event.TAKEN_OVER) if parts else state,
            status=answer.status,
            detail_code=answer.detail_code,
            tracking_id=answer.tracking_id,
            reason=decision.reason,
            duration_s=event.seconds,
            retry_after=answer.retry_after,
            parts=parts or None,
        )

    def _write(self, event: str, **facts: object) -> None:
        if self._file is None:
            return
        at = self._clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        known = {name: value for name, value in facts.items() if value is not None and value != ""}
        if isinstance(seconds := known.get("duration_s"), float):
            known["duration_s"] = round(seconds, 3)
        line = json.dumps({"at": at, "event": event, "run": self._run, **known}, ensure_ascii=False).encode() + b"\n"
        try:
            while line:
                line = line[self._file.write(line) :]
        except OSError as error:
            self._complain(
                f"The log file {self._file.name!s} can't be written: {error.strerror or error}. "
                "The command goes on without it."
            )
            self._close()

    def _close(self) -> None:
        if self._file is not None:
            # A disk of the network may report only now that it is full.
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()


def _named(request: Request) -> Mapping[str, object]:
    within = None if request.within is None else f"{request.run}-{request.within}"
    return {"request": request.id, "within": within, "attempt": request.attempts, "changes": request.changes}


def _ends(handle: int) -> tuple[bytes, bytes]:
    """The first and the last byte of a file; empty for anything else, such as a pipe."""
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode) or not status.st_size:
        return b"", b""
    ends = []
    for at in (0, status.st_size - 1):
        os.lseek(handle, at, os.SEEK_SET)
        ends.append(os.read(handle, 1))
    return ends[0], ends[1]
