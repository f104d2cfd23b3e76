"""Progress while requests are sent: on a terminal of 80 columns, without a terminal, and with --quiet."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from batch.answers.events import AttemptEnded, AttemptStarted, Notice, PaceChanged, Settled, Waiting
from batch.answers.outcome import decide
from batch.api.dialects import Rate
from batch.model import EMPTY_TALLY, Answer, Failure, Form, Tally
from batch.names.known import NO_KNOWN_NAMES, KnownNames
from batch.report.progress import Progress, draw
from batch.status.evidence import Settlement
from tests.builders import request
from tests.clocks import VIRTUAL
from tests.report.test_headway import BEGAN, begun
from tests.tenant.virtual_time import run_in_virtual_time

if TYPE_CHECKING:
    from collections.abc import Callable

    from batch.answers.events import Tell
    from batch.model import Request

LIMIT = Rate(requests=100, seconds=10)
TALLY = replace(EMPTY_TALLY, requests={"PLANNED": 1000}, changes={"PLANNED": 12000})
SILENCE = Answer(status=429, text="Rate Limit Exceeded", retry_after=600.0, form=Form.API)
REFUSAL = Answer(status=400, text="no such role", tracking_id="t-1", form=Form.API)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def without_terminal() -> Console:
    return Console(file=io.StringIO(), width=80)


def terminal() -> Console:
    return Console(file=io.StringIO(), width=80, height=24, force_terminal=True, _environ={"TERM": "xterm"})


def shown(
    console: Console,
    happens: Callable[[Tell], None],
    *,
    seconds: float = 0.0,
    tally: Tally = TALLY,
    names: KnownNames = NO_KNOWN_NAMES,
    quiet: bool = False,
    verbose: bool = False,
) -> list[str]:
    """The lines on a console after some events and a number of seconds."""

    async def watch() -> None:
        import asyncio  # noqa: PLC0415 - for this helper alone

        progress = Progress(console, tally, LIMIT, names=names, quiet=quiet, verbose=verbose, clock=VIRTUAL)
        async with progress:
            happens(progress.tell)
            await asyncio.sleep(seconds)

    run_in_virtual_time(watch())
    return printed(console).splitlines()


def attempt_ended(request: Request, answer: Answer, seconds: float, parts: int = 0) -> AttemptEnded:
    return AttemptEnded(request=request, answer=answer, decision=decide(answer), seconds=seconds, parts=parts)


def refuse(tell: Tell, number: int) -> None:
    tell(AttemptStarted(request=request(number)))
    tell(attempt_ended(request(number), REFUSAL, 0.5))


def nothing(_: Tell) -> None:
    """Nothing happens."""


def test_without_a_terminal_a_line_is_printed_every_ten_seconds_even_without_answers() -> None:
    lines = shown(without_terminal(), lambda tell: tell(AttemptStarted(request=request())), seconds=35)
    counts = "0 of 1,000 requests; 0 of 12,000 changes: 0 accepted, 0 refused, 0 unconfirmed"
    assert lines == [
        f"{counts}; 0.1/s of 10/s, 2 h 46 min left",
        f"{counts}; 0/s of 10/s, time left unknown",
        f"{counts}; 0/s of 10/s, time left unknown",
    ]


def test_without_a_terminal_a_wait_is_shown_when_it_begins_and_counted_down_in_each_line() -> None:
    wait = Waiting(seconds=600, reason=decide(SILENCE).reason)
    lines = shown(without_terminal(), lambda tell: tell(wait), seconds=25)
    assert lines[0] == "Waiting 10 min 0 s: the tenant answered 429: Rate Limit Exceeded"
    assert "; waiting 9 min 50 s: the tenant answered 429: Rate Limit Exceeded; " in lines[1]
    assert "; waiting 9 min 40 s: the tenant answered 429: Rate Limit Exceeded; " in lines[2]


def test_nothing_is_printed_after_the_end() -> None:
    console = without_terminal()
    shown(console, nothing, seconds=5)
    assert printed(console) == ""


def test_on_a_terminal_a_wait_is_counted_down_and_the_display_is_erased_at_the_end() -> None:
    lines = shown(terminal(), lambda tell: tell(Waiting(seconds=600, reason=decide(SILENCE).reason)))
    text = "\n".join(lines)
    assert "waiting 10 min 0 s: the tenant answered 429: Rate Limit Exceeded" in text
    assert "Waiting" not in text
    assert lines[-1].endswith("\x1b[2K"), "the last thing done is to erase the display"


def test_a_quiet_program_shows_nothing_with_and_without_a_terminal() -> None:
    def everything(tell: Tell) -> None:
        refuse(tell, 1)
        tell(Waiting(seconds=60, reason="silence"))
        tell(Settled(request=request(2), verdict=Settlement.FOUND))
        tell(Notice(text="a deprecation"))

    assert shown(terminal(), everything, seconds=60, quiet=True) == []
    assert shown(without_terminal(), everything, seconds=60, quiet=True) == []


def test_a_refused_request_is_named_with_its_change_and_the_tenants_reason() -> None:
    (item,) = request(7).items
    (person,) = request(7).recipients
    called = [("identity by alias", "ada\x1b[2J", person), ("role by name", "Payroll", item.id)]
    names = KnownNames.of_meanings(called)
    (line,) = shown(without_terminal(), lambda tell: refuse(tell, 7), names=names)
    begin = f"Request run-7 (grant of ROLE Payroll ({item.id}) for ada\\u001b[2J ({person})) was refused: the tenant"
    assert line == f"{begin} answered 400: no such role (tracking id t-1)"
    (line,) = shown(without_terminal(), lambda tell: refuse(tell, 7))
    assert line.startswith(f"Request run-7 (grant of ROLE {item.id} for {person}) was refused: the tenant ")


def test_twenty_refusals_are_shown_and_then_where_to_find_the_others() -> None:
    def many(tell: Tell) -> None:
        for number in range(100):
            refuse(tell, number)

    lines = shown(without_terminal(), many)
    assert len(lines) == 21
    assert "run-19" in lines[19]
    assert lines[20] == "Further refusals are not shown here: the results list them, and -v shows them."


@pytest.mark.parametrize(
    ("verdict", "sentence"),
    [
        (Settlement.FOUND, "Settled: request run-1 was found in the tenant."),
        (Settlement.NOT_FOUND, "Settled: request run-1 was not found in the tenant, and is sent again."),
        (Settlement.PARTLY, "Settled: request run-1 was partly found in the tenant; the rest stays unconfirmed."),
    ],
)
def test_each_settled_request_is_shown_with_its_verdict(verdict: Settlement, sentence: str) -> None:
    assert shown(without_terminal(), lambda tell: tell(Settled(request=request(), verdict=verdict))) == [sentence]


def test_a_lowered_pace_shows_in_the_next_line() -> None:
    lines = shown(without_terminal(), lambda tell: tell(PaceChanged(allowed=50)), seconds=10.5)
    assert "of 5/s (limit 10/s)" in lines[0]


def test_the_display_of_a_million_changes_fits_a_terminal_of_80_columns() -> None:
    million = begun(1_234_567, 9_876_543, ACCEPTED=1_000_000, REFUSED=1_000_000, UNCONFIRMED=1_000_000)
    console = Console(file=io.StringIO(), width=80)
    console.print(draw(million, BEGAN))
    lines = printed(console).splitlines()
    assert [line.split()[0] for line in lines] == ["requests", "changes", "1,000,000", "0/s"]
    assert lines[0].split()[-3:] == ["2,000,000", "of", "4,234,567"]
    assert lines[2].rstrip() == "1,000,000 accepted, 1,000,000 refused, 1,000,000 unconfirmed"


def test_a_long_reason_is_cut_rather_than_wrapped() -> None:
    def draw_on(tell: Tell) -> None:
        tell(Waiting(seconds=600, reason="the tenant answered 503: " + "very long " * 30))

    lines = [line for line in shown(terminal(), draw_on) if "waiting" in line]
    assert lines
    assert all("…" in line for line in lines)


def answer_each(*answers: Answer) -> Callable[[Tell], None]:
    def answer_all(tell: Tell) -> None:
        for number, answer in enumerate(answers):
            tell(AttemptStarted(request=request(number, 3)))
            tell(attempt_ended(request(number, 3), answer, 0.305, 2 * (answer is REFUSAL)))

    return answer_all


def test_when_verbose_every_answer_is_shown_with_its_status_tracking_id_and_duration() -> None:
    accepted = Answer(status=202, tracking_id="t-0")
    broken = Answer(failure=Failure.BROKEN, text="the connection broke")
    refused = "the tenant answered 400: no such role (tracking id t-1)"
    lines = shown(without_terminal(), answer_each(accepted, REFUSAL, SILENCE, broken), verbose=True)
    assert lines == [
        "Request run-0 (3 changes, attempt 1) was accepted after 0.30 s: the tenant answered 202 (tracking id t-0)",
        f"Request run-1 (3 changes, attempt 1) was refused after 0.30 s: {refused}; it is sent again in 2 parts",
        f"Request run-2 (3 changes, attempt 1) was not processed after 0.30 s: {decide(SILENCE).reason}",
        "Request run-3 (3 changes, attempt 1) is unconfirmed after 0.30 s: the connection broke",
    ]


def test_when_verbose_all_refusals_are_shown() -> None:
    lines = shown(without_terminal(), answer_each(*[REFUSAL] * 100), verbose=True)
    assert len(lines) == 100
    assert all("was refused" in line for line in lines)


def test_a_verbose_terminal_also_prints_waits_and_changes_of_the_pace() -> None:
    def slow_down(tell: Tell) -> None:
        tell(Waiting(seconds=600, reason="silence"))
        tell(PaceChanged(allowed=50))

    text = "\n".join(shown(terminal(), slow_down, verbose=True))
    assert "Waiting 10 min 0 s: silence" in text
    assert "The pace is now 50 of the 100 requests per 10 s that the limit permits." in text
