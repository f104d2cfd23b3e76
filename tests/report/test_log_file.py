"""The log file: its line for each event, who may read it, and what happens if it can't be written."""

from __future__ import annotations

import io
import json
import stat
from dataclasses import replace
from datetime import UTC, datetime
from io import FileIO
from typing import TYPE_CHECKING, Any

import pytest

from batch.answers.events import (
    AttemptEnded,
    AttemptStarted,
    Notice,
    PaceChanged,
    RunEvent,
    Settled,
    StatusesChanged,
    Waiting,
)
from batch.answers.outcome import decide
from batch.api.status_row import ChangeStatus
from batch.errors import SettingsError
from batch.ledger.store import Ledger
from batch.model import EMPTY_TALLY, Answer, Failure, Form, Run
from batch.report.log_file import LogFile
from batch.status.evidence import Settlement
from tests.builders import request
from tests.clocks import at, key, new_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BEGAN = datetime(2026, 11, 25, 12, tzinfo=UTC)
AT = "2026-11-25T12:00:00.000Z"
RUN = Run(id="R", tenant="T", input_digest="", inputs=("a.csv",), dialect="beta", started_at=BEGAN)
TALLY = replace(EMPTY_TALLY, requests={"PLANNED": 3, "SPLIT": 1}, changes={"PLANNED": 30, "SPLIT": 9})
ACCEPTED = Answer(status=202)
REFUSED = Answer(status=400, detail_code="400.1", text="no such role", tracking_id="t-1", form=Form.API)
THROTTLED = Answer(status=429, text="Rate Limit Exceeded", retry_after=600.0, form=Form.API)
BROKEN = Answer(failure=Failure.BROKEN, text="the connection broke")
ONE: dict[str, Any] = {"request": "R-1", "attempt": 1, "changes": 1}
SAID_400 = "the tenant answered 400: no such role (tracking id t-1)"


def ignore(_: str) -> None:
    """Nobody complains."""


def opened(path: Path, complain: Callable[[str], None] = ignore) -> LogFile:
    return LogFile.open(path, clock=at(BEGAN), complain=complain)


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The log's lines, each of them JSON."""
    text = path.read_text()
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def answered(answer: Answer, parts: int = 0) -> AttemptEnded:
    return AttemptEnded(request=request(run="R"), answer=answer, decision=decide(answer), seconds=0.31249, parts=parts)


EVENTS: list[tuple[RunEvent, dict[str, Any]]] = [
    (AttemptStarted(request=request(run="R")), {"event": "attempt", **ONE, "state": "SENDING"}),
    (answered(ACCEPTED), {"event": "answer", **ONE, "state": "ACCEPTED", "status": 202, "duration_s": 0.312}),
    (
        answered(REFUSED),
        {
            "event": "answer",
            **ONE,
            "state": "REFUSED",
            "status": 400,
            "detail_code": "400.1",
            "tracking_id": "t-1",
            "reason": SAID_400,
            "duration_s": 0.312,
        },
    ),
    (
        answered(THROTTLED),
        {
            "event": "answer",
            **ONE,
            "state": "PLANNED",
            "status": 429,
            "reason": "the tenant answered 429: Rate Limit Exceeded",
            "duration_s": 0.312,
            "retry_after": 600.0,
        },
    ),
    (
        answered(BROKEN),
        {"event": "answer", **ONE, "state": "UNCONFIRMED", "reason": "the connection broke", "duration_s": 0.312},
    ),
    (Waiting(seconds=600.0, reason="silence"), {"event": "waiting", "reason": "silence", "duration_s": 600.0}),
    (PaceChanged(allowed=50), {"event": "paced", "allowed": 50}),
    (
        Settled(request=request(run="R"), verdict=Settlement.FOUND),
        {"event": "settled", **ONE, "state": "ACCEPTED", "reason": "found"},
    ),
    (
        Settled(request=request(run="R"), verdict=Settlement.NOT_FOUND),
        {"event": "settled", **ONE, "state": "PLANNED", "reason": "not found"},
    ),
    (
        Settled(request=request(run="R"), verdict=Settlement.PARTLY),
        {"event": "settled", **ONE, "state": "SPLIT", "reason": "partly found"},
    ),
    (
        StatusesChanged(
            changes=[
                ChangeStatus(request=1, identity=identity, item_type="ROLE", item="r1", state="EXECUTING")
                for identity in ("i1", "i2")
            ]
        ),
        {"event": "tracked", "request": "R-1", "changes": 2, "state": "EXECUTING"},
    ),
    (Notice(text="a deprecation"), {"event": "notice", "reason": "a deprecation"}),
]


@pytest.mark.parametrize(("event", "line"), EVENTS)
def test_an_event_is_one_line_with_its_known_fields(event: RunEvent, line: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "log"
    with opened(path) as log:
        log.run_begins(RUN, TALLY)
        log.tell(event)
    assert lines_of(path)[1:] == [{"at": AT, "run": "R", **line}]


def test_a_divided_request_is_logged_with_its_number_of_parts(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with opened(path) as log:
        log.tell(answered(REFUSED, parts=2))
    assert [(line["state"], line["parts"]) for line in lines_of(path)] == [("SPLIT", 2)]


def test_a_run_begins_with_its_size_and_ends_with_its_duration(tmp_path: Path) -> None:
    path, times = tmp_path / "log", iter([1000.0, 8200.0])
    with LogFile.open(path, clock=replace(at(BEGAN), monotonic=lambda: next(times)), complain=ignore) as log:
        log.run_begins(RUN, TALLY)
        log.run_ends("stopped", "The tenant is lost.")
    assert lines_of(path) == [
        {"at": AT, "event": "run_begins", "run": "R", "requests": 3, "changes": 30},
        {
            "at": AT,
            "event": "run_ends",
            "run": "R",
            "state": "stopped",
            "reason": "The tenant is lost.",
            "duration_s": 7200.0,
        },
    ]


def test_a_reason_with_line_breaks_and_quotes_stays_one_line(tmp_path: Path) -> None:
    path, reason = tmp_path / "log", 'said "no"\r\n\u2028{"event": "forged"}'
    with opened(path) as log:
        log.tell(Notice(text=reason))
    assert path.read_bytes().count(b"\n") == 1
    assert json.loads(path.read_bytes())["reason"] == reason


def test_a_line_can_be_read_at_once(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with opened(path) as log:
        log.tell(Notice(text="now"))
        assert [line["reason"] for line in lines_of(path)] == ["now"]


def test_only_the_owner_can_read_a_new_log_and_an_existing_log_keeps_its_mode(tmp_path: Path) -> None:
    new, old = tmp_path / "new", tmp_path / "old"
    old.touch()
    old.chmod(0o640)
    for path in (new, old):
        with opened(path) as log:
            log.run_ends("complete")
    assert [stat.S_IMODE(path.stat().st_mode) for path in (new, old)] == [0o600, 0o640]


def test_two_processes_that_write_in_turn_overwrite_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with opened(path) as one, opened(path) as other:
        for number in range(0, 10, 2):
            one.tell(Notice(text=str(number)))
            other.tell(Notice(text=str(number + 1)))
    assert [int(line["reason"]) for line in lines_of(path)] == list(range(10))


class Sluggish(FileIO):
    """Takes seven bytes at a time."""

    def write(self, data: Any) -> int:
        return super().write(bytes(data)[:7])


def test_a_line_that_is_written_in_pieces_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with LogFile(Sluggish(path, "ab"), clock=at(BEGAN), complain=ignore) as log:
        log.tell(Notice(text="something that is longer than seven bytes"))
    assert lines_of(path)[0]["reason"] == "something that is longer than seven bytes"


def test_a_line_that_a_full_disk_cut_short_does_not_spoil_the_next(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text('{"at": "2026-')
    with opened(path) as log:
        log.tell(Notice(text="on a line of its own"))
    assert [json.loads(line)["reason"] for line in path.read_text().splitlines()[1:]] == ["on a line of its own"]


class Full(FileIO):
    """A disk without room."""

    def write(self, data: Any) -> int:  # noqa: ARG002 - a file's
        raise OSError(28, "No space left on device")


def test_a_full_disk_is_reported_once_and_not_written_to_again(tmp_path: Path) -> None:
    path, told = tmp_path / "log", list[str]()
    with LogFile(Full(path, "ab"), clock=at(BEGAN), complain=told.append) as log:
        for _ in range(3):
            log.tell(AttemptStarted(request=request(run="R")))
    assert told == [f"The log file {path} can't be written: No space left on device. The command goes on without it."]


@pytest.mark.parametrize("content", [b"operation,identity_id\n", b"PAR1\0", b"\n"])
def test_a_file_that_is_not_a_log_is_never_appended_to(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match="holds something else") as caught:
        opened(path)
    assert caught.value.exit_code == 2
    assert path.read_bytes() == content


def test_a_ledger_is_refused_as_a_log(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with Ledger.open(str(path), sandbox=False, now=BEGAN, new_id=new_id, key=key):
        pass
    with pytest.raises(SettingsError, match="holds something else"):
        opened(path)


@pytest.mark.parametrize("name", ["", "missing/log"])
def test_an_error_names_the_log_that_can_not_be_opened(name: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        opened(tmp_path / name)
    assert str(tmp_path / name) in caught.value.message
    assert "--log-file" in caught.value.next_step


def test_without_a_log_file_nothing_is_written_and_nothing_is_reported() -> None:
    told = io.StringIO()
    with LogFile.open(None, clock=at(BEGAN), complain=lambda line: print(line, file=told)) as log:
        log.run_begins(RUN, TALLY)
        log.run_ends("complete")
    assert told.getvalue() == ""
