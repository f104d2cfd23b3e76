"""The report of a run as a page of HTML with charts: all text escaped, no script, nothing from elsewhere. Pure."""

from __future__ import annotations

from html import escape
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from batch.model import RowClass
from batch.report.page import END, Cell, beginning, facts, in_html, number, table
from batch.report.plan_words import CLASS_WORDS, item_in_words, named, when
from batch.report.run_charts import pace_chart, seconds_in_words, shares, timeline
from batch.report.run_view import OPEN, POOR, Standing
from batch.report.screen import duration
from batch.text import count, metadata_said, moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from batch.report.run_view import Pace, RunAbout, RunView, Series

MAKER: Final = "access-batch report"
"""Tells a report of ours from any other file."""

MOST_DETAILS: Final = 1_000
"""Changes that the page lists; the CSV file has all."""

UNKNOWN: Final = "not known"

STANDING_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        Standing.REFUSED: "refused by the tenant",
        Standing.FAILED: "failed in provisioning",
        Standing.REJECTED: "rejected by an approver",
        Standing.UNCONFIRMED: "unconfirmed: it may or may not have arrived",
        Standing.CANCELLED: "cancelled",
        Standing.AWAITING: "waiting for an approver",
        Standing.IN_PROGRESS: "in progress",
        Standing.EXISTING: "requested already by others",
        Standing.UNREPORTED: "accepted, no report yet",
        Standing.UNSENT: "not sent yet",
        Standing.TAKEN_OUT: "taken out of the run before it was sent",
        Standing.DISCARDED: "discarded before it was sent",
        Standing.DUPLICATE: "cancelled by the tenant as a duplicate",
        Standing.PROVISIONED: "provisioned",
    }
)

_DETAILS: Final = (
    *("How it stands", "Operation", "Person", "Item", "Comment", "Line", "Request", "Sent", "Accepted"),
    *("Access request", "Approver", "Since", "Reason given"),
)


def run_page(view: RunView, *, csv_name: str) -> Iterator[str]:
    """The page, in parts.

    Args:
        view: Of the run.
        csv_name: The name of the file that has every change.
    """
    heading = f"Report of run {view.about.run}"
    yield beginning(heading, MAKER)
    yield f"<header>\n<h1>{in_html(heading)}</h1>\n{facts(dict(_about(view)))}"
    yield "".join(f"<p>{escape(one)}</p>\n" for one in _notes(view, csv_name))
    yield "</header>\n<main>\n"
    yield from _standings(view, csv_name)
    yield from _open(view, csv_name)
    yield from _refusals(view, csv_name)
    yield from _times(view, csv_name)
    yield from _paces(view.pace)
    yield from _asked_for(view, csv_name)
    yield from _changes(view, csv_name)
    yield END


def _about(view: RunView) -> Iterator[tuple[str, str]]:
    about = view.about
    people = count(view.people, "person") if view.people == 1 else f"{view.people:,} people"
    done = " and ".join(count(view.of(*Standing, operation=one), one.lower()) for one in view.operations)
    yield "Asked for", f"{done} for {people}" if view.total else "nothing"
    yield "Tenant", about.tenant
    yield "Input", ", ".join(about.inputs)
    yield "Asked for by", _requesters(about)
    yield "Recorded with the keys", ", ".join(about.machines)
    yield "Planned", when(about.started_at)
    yield "API version", about.api
    yield "Request metadata", metadata_said(about.metadata)
    yield "Last look at the tenant", when(about.looked_at) or "none recorded"
    yield "Ledger", f"head {about.head}" if about.head else ""
    yield "Report made", when(about.made_at)


def _requesters(about: RunAbout) -> str:
    """The ledger keeps users by tenant, not by run."""
    if not about.requesters:
        return UNKNOWN
    if len(about.requesters) == 1 and not about.imported:
        return f"the user {about.requesters[0]}: no other has sent requests to this tenant with this ledger"
    return f"{UNKNOWN}; these users have sent requests to this tenant with this ledger: {', '.join(about.requesters)}"


def _notes(view: RunView, csv_name: str) -> Iterator[str]:
    yield (
        "A change grants one access item to one person, or revokes it. This page says what the ledger knows; times of "
        "approval and provisioning are the tenant's, as it was last asked. Anything that the ledger does not know is "
        "said to be unknown."
    )
    if view.about.imported:
        yield "These requests were imported from the tenant's list: when they were sent is not known."
    if view.set_aside:
        left = ", ".join(
            f"{number:,} {CLASS_WORDS[RowClass(name)] if name in set(RowClass) else name}"
            for name, number in view.set_aside.items()
        )
        yield f"The check before sending left out more changes of the input, which are not counted here: {left}."
    if view.about.redacted:
        yield (
            "Names, ids of people, accounts, comments and names of files are pseudonyms: the same person has the same "
            "one everywhere in this report, and another one in each other report. No key to them is kept."
        )
    yield f"{csv_name}, beside this page, has every change."


def _standings(view: RunView, csv_name: str) -> Iterator[str]:
    operations = view.operations
    lines = [one for one in reversed(Standing) if view.of(one)]
    rows = [
        [
            Cell(_first_up(STANDING_WORDS[one])),
            *(number(view.of(one, operation=done)) for done in operations),
            number(view.of(one), _look(one)),
        ]
        for one in lines
    ]
    if rows:
        totals = [number(view.of(*Standing, operation=done)) for done in operations]
        rows.append([Cell("All changes"), *totals, number(view.total)])
    rest = (Standing.TAKEN_OUT, Standing.DISCARDED, Standing.DUPLICATE)
    bar = shares(
        [
            ("provisioned", "good", view.of(Standing.PROVISIONED)),
            ("open", "open", view.of(*OPEN)),
            ("without effect", "sent", view.of(*rest)),
            ("refused, failed, rejected or cancelled", "poor", view.of(*POOR)),
        ]
    )
    yield from table(
        "How it ended",
        ["How it stands", *(f"{one.capitalize()}s" for one in operations), "Changes"],
        rows,
        f"All {count(view.total, 'change')}, each counted once, as it was last submitted." if rows else "No changes.",
        csv_name,
        before=bar,
    )


def _open(view: RunView, csv_name: str) -> Iterator[str]:
    """What is still open, and whom it waits for."""
    still = view.of(*OPEN)
    words = "Nothing is open." if not still else f"{count(still, 'change')} may still end in any way."
    rows = [
        [Cell(_first_up(STANDING_WORDS[one])), number(view.of(one)), Cell(_next(one, view.about.run))]
        for one in OPEN
        if view.of(one)
    ]
    yield from table("Still open", ["How it stands", "Changes", "To do"], rows, words, csv_name)
    if view.approvers:
        waiting = [
            [
                Cell(one.name),
                number(one.changes),
                Cell(when(one.first) or UNKNOWN, "w"),
                Cell(_waited(one.first, view), "w"),
            ]
            for one in view.approvers
        ]
        yield from table(
            "The longest waits by approver",
            ["Approver", "Changes", "Waiting since", "So far"],
            waiting,
            f"Until {when(view.about.made_at)}, when this report was made; the approvers are those of the last look.",
            csv_name,
        )


def _next(standing: Standing, run: str) -> str:
    if standing is Standing.UNSENT:
        return "Submit the same input again"
    return f"access-batch {'settle' if standing is Standing.UNCONFIRMED else 'track'} {run}"


def _waited(since: str, view: RunView) -> str:
    first, now = moment(since), moment(view.about.made_at)
    if first is None or now is None:
        return UNKNOWN
    seconds = max(0.0, (now - first).total_seconds())
    return f"{seconds // _DAY:,.0f} days" if seconds >= _DAYS_SHOWN * _DAY else duration(seconds)


_DAY: Final = 86_400.0
_DAYS_SHOWN: Final = 2
"""From so many days on, hours do not count."""


def _refusals(view: RunView, csv_name: str) -> Iterator[str]:
    if view.refusals:
        yield from table(
            "Why the tenant refused changes",
            ["Cause", "Changes", "For example"],
            ([Cell(one.name or UNKNOWN), number(one.changes), Cell(one.example, "w")] for one in view.refusals),
            f"{count(view.of(Standing.REFUSED), 'refused change')} by what the tenant said, without tracking ids.",
            csv_name,
        )


def _times(view: RunView, csv_name: str) -> Iterator[str]:
    rows = [_time(one) for one in view.timeline if one.total]
    yield from table(
        "Timeline",
        ["Event", "Changes", "First", "Last", "At an unknown time"],
        rows,
        "Sent and accepted: by the clock of the machine that sent. The end: by the tenant's. When a change was "
        "approved is not known apart from its end."
        if rows
        else "Nothing was sent yet.",
        csv_name,
        before=timeline(view.timeline),
    )


def _time(one: Series) -> list[Cell]:
    first, last = (one.points[0][0], one.points[-1][0]) if one.points else (None, None)
    return [
        Cell(_first_up(one.name)),
        number(one.total),
        Cell(_at(first), "w"),
        Cell(_at(last), "w"),
        number(one.untimed),
    ]


def _at(seconds: float | None) -> str:
    return UNKNOWN if seconds is None else seconds_in_words(seconds)


def _paces(pace: Pace) -> Iterator[str]:
    yield "<section>\n<h2>Pace</h2>\n"
    if not pace.posts:
        yield "<p>The ledger knows of no attempt to send.</p>\n</section>\n"
        return
    limit = pace.limit
    slower = f"{count(pace.throttled, 'time')} told to slow down (429)"
    span = (
        f"from {seconds_in_words(pace.began)} to {seconds_in_words(pace.ended)} ({duration(pace.ended - pace.began)})"
    )
    busiest = f"The busiest {limit.seconds:g} seconds had {pace.busiest:,}"
    today = f"today's limit is {limit.requests:,} calls per {limit.seconds:g} seconds"
    yield f"<p>{count(pace.posts, 'attempt')}, {slower}, {escape(span)}. {busiest}; {today}, which other calls, such "
    yield "as those that look up names, share.</p>\n"
    yield pace_chart(pace)
    yield "</section>\n"


def _asked_for(view: RunView, csv_name: str) -> Iterator[str]:
    if not view.total:
        return
    yield from table(
        "By access item",
        ["Item", "Operation", "Changes", "Provisioned", "Open", "Refused or failed"],
        (
            [
                Cell(item_in_words(one.item_type, one.name, one.item_id)),
                Cell(one.operation.capitalize(), one.operation.lower()),
                number(one.total),
                number(one.of([Standing.PROVISIONED])),
                number(one.of(OPEN)),
                number(one.of(POOR), "bad" if one.of(POOR) else ""),
            ]
            for one in view.items
        ),
        f"{_some(len(view.items), view.items_in_all, 'item')}, those with the most changes first. The last column also "
        "counts what was rejected or cancelled.",
        csv_name,
    )
    yield from table(
        "By comment",
        ["Comment", "Changes"],
        ([Cell(one.name or "none"), number(one.changes)] for one in view.comments),
        f"{_some(len(view.comments), view.comments_in_all, 'comment')} as they were sent, the most frequent first.",
        csv_name,
    )


def _changes(view: RunView, csv_name: str) -> Iterator[str]:
    if not view.total:
        return
    shown = min(view.total, MOST_DETAILS)
    all_of_them = (
        f"All {count(view.total, 'change')}"
        if shown == view.total
        else f"{shown:,} of {view.total:,} changes; {csv_name} has every change"
    )
    yield from table(
        "Changes",
        _DETAILS,
        _details(view),
        f"{all_of_them}. Refused, failed and rejected changes come first, then open ones.",
        csv_name,
    )


def _details(view: RunView) -> Iterable[list[Cell]]:
    for one in view.lines.head(MOST_DETAILS).iter_rows(named=True):
        standing = Standing(one["standing"])
        was_sent = standing not in (Standing.UNSENT, Standing.TAKEN_OUT, Standing.DISCARDED)
        was_accepted = was_sent and standing not in (Standing.REFUSED, Standing.UNCONFIRMED)
        yield [
            Cell(STANDING_WORDS[standing], _look(standing)),
            Cell(one["operation"].capitalize(), one["operation"].lower()),
            Cell(named(one["person"], one["identity_id"])),
            Cell(item_in_words(one["item_type"], one["item"], one["item_id"])),
            Cell(one["comment"]),
            Cell(_line(one)),
            Cell(one["request"]),
            Cell(when(one["sent_at"]) or (UNKNOWN if was_sent else "")),
            Cell(when(one["accepted_at"]) or (UNKNOWN if was_accepted else "")),
            Cell(one["access_request"] or (UNKNOWN if was_accepted else "")),
            Cell(one["who"] or (UNKNOWN if was_accepted else "")),
            Cell(when(one["since"]) or (UNKNOWN if was_accepted else "")),
            Cell(one["reason"] or one["said"]),
        ]


def _line(one: Mapping[str, str]) -> str:
    return f"{one['line']} of {one['file']}" if one["line"] and one["file"] else one["line"] or UNKNOWN


def _look(standing: Standing) -> str:
    return "bad" if standing in POOR else ""


def _some(shown: int, everything: int, noun: str) -> str:
    return count(everything, noun) if shown == everything else f"{shown:,} of {count(everything, noun)}"


def _first_up(text: str) -> str:
    return text[:1].upper() + text[1:]
