"""The lines that people read on the terminal."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Final

import polars as pl

from batch.api.tenant_outcome import RESUBMITTABLE
from batch.dedupe.reasons import KEEP_ALIKE, WITH_AND_WITHOUT
from batch.dedupe.row_class import strongest_class
from batch.model import RowClass
from batch.report.summary import count_states, describe_heads, describe_refused
from batch.report.terminal import to_send
from batch.report.track import advice, describe_existing, describe_track, resubmission
from batch.text import count, phrase

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from batch.api.dialects import Dialect, Rate
    from batch.dedupe.row_class import SetAside
    from batch.model import Tally
    from batch.names.resolve import NameCounts
    from batch.pipeline import Classified
    from batch.plan.guards import RevokeShare
    from batch.report.summary import Summary

SHOWN: Final = 10
"""Rows of one class that are shown one by one; the result files list all."""

_CLASS_WORDS: Final = {
    RowClass.REJECTED: "rejected, with the rules broken",
    RowClass.CONFLICT_IN_INPUT: "set aside because the input contradicts itself",
    RowClass.HELD_BACK: "held back",
    RowClass.DUPLICATE_IN_INPUT: "skipped because an earlier line is the same",
    RowClass.ALREADY_SUBMITTED: "skipped as submitted before",
    RowClass.ALREADY_HELD: "skipped as held already",
    RowClass.NOT_HELD: "skipped because the access is not held",
}


def describe_input(classified: Classified, *, listed: Collection[RowClass] = tuple(RowClass)) -> Iterator[str]:
    """How many rows were read, and which are wrong or skipped and why.

    Args:
        classified: The rows.
        listed: The classes whose rows this command writes to a file.
    """
    rows = classified.rows
    files = _files(classified)
    left_out = f"; --where leaves out {classified.table.left_out:,} more" if classified.table.left_out else ""
    yield f"Read {count(sum(rows.values()), 'row')} from {', '.join(files)}{left_out}."
    if classified.spelled:
        yield (
            f"{count(classified.spelled, 'id')} spelled in several ways (case or hyphens): each is sent as its first "
            "row spells it."
        )
    if classified.respelled:
        yield (
            f"{count(classified.respelled, 'id')} spelled differently in earlier runs (case or hyphens): sent as this "
            "input spells them."
        )
    for row_class, words in _CLASS_WORDS.items():
        found = _reasons(classified, row_class)
        partly = int(found.get_column("partly").sum())
        if found.height:
            whole = count(rows[row_class], "row") if rows[row_class] else ""
            parts = f"single items of {count(partly, 'row')}" if partly else ""
            yield f"{' and '.join(filter(None, (whole, parts)))} {words}:"
            yield from _examples(found, several_files=len(files) > 1, is_listed=row_class in listed)


def describe_names(names: NameCounts) -> Iterator[str]:
    """How the names in the input were resolved; nothing if it has none."""
    if names.looked_up:
        how = f"looked up in {count(names.calls, 'call')}" if names.calls else "known from before"
        if names.calls and names.remembered:
            asked = names.looked_up - names.remembered
            how = f"({names.remembered:,} known from before, {asked:,} {how})"
        yield (
            f"{count(names.looked_up, 'name')} {how}: {names.found:,} found, {names.unknown:,} unknown, "
            f"{names.ambiguous:,} ambiguous."
        )


def _files(classified: Classified) -> list[str]:
    table = classified.table
    names = pl.concat([table.rows.get_column("_file"), table.rejected.get_column("_file")]).unique(maintain_order=True)
    return ["standard input" if name == "-" else name for name in names]


def _examples(found: pl.DataFrame, *, several_files: bool, is_listed: bool) -> Iterator[str]:
    for file, line, item, reason, _ in found.head(SHOWN).rows():
        where = f"{file}, line {line}" if several_files else f"line {line}"
        yield f"  {where}{f' (item {item})' if item else ''}: {reason}"
    if found.height > SHOWN:
        where = ", in the result files" if is_listed else "; `submit` lists all in results.csv"
        yield f"  … and {found.height - SHOWN:,} more{where}"


def _reasons(classified: Classified, row_class: RowClass) -> pl.DataFrame:
    """The changes of a class, in the input's order.

    Returns:
        `file`, `line`, `item` (null unless the row has several), `reason`, and `partly` (true once for each row of
        another class that has single items in this one).
    """
    table = classified.table
    if row_class is not RowClass.REJECTED:
        return _changes_of(classified.changes, row_class)
    places = table.rows.select(pl.col("_file").alias("file"), pl.col("_line").alias("line")).with_row_index("row")
    broken = classified.rejected.join(places, on="row", how="left").select("file", "line", "rule", "message")
    unread = table.rejected.select(file="_file", line="_line", rule="_rule", message="_message")
    of_rows = pl.concat([broken, unread]).select(
        "file",
        "line",
        pl.lit(None, dtype=pl.String).alias("item"),
        phrase("{}: {}", pl.col("rule"), pl.col("message")).alias("reason"),
        pl.lit(value=False).alias("partly"),
    )
    by_tenant = _changes_of(classified.changes, row_class)
    return pl.concat([of_rows, by_tenant.cast(of_rows.schema)]).sort("file", "line", maintain_order=True)


def _changes_of(changes: pl.DataFrame, row_class: RowClass) -> pl.DataFrame:
    several = pl.len().over("row") > 1
    return (
        changes.with_columns(pl.when(several).then(pl.col("item_id")).alias("item"))
        .with_columns((strongest_class().over("row") != row_class.value).alias("mixed"))
        .filter(pl.col("class") == row_class.value)
        .select("file", "line", "item", "reason", partly=pl.col("mixed") & pl.col("row").is_first_distinct())
    )


def describe_rate(rate: Rate, dialect: Dialect) -> Iterator[str]:
    """A notice if the rate exceeds the documented limit."""
    documented = dialect.rate
    if rate.requests * documented.seconds > documented.requests * rate.seconds:
        yield (
            f"The rate of {rate.requests} requests per {rate.seconds:g} s is above the documented "
            f"{documented.requests} per {documented.seconds:g} s: only some tenants permit it."
        )


def describe_platform(platform: str) -> Iterator[str]:
    """A notice on a system where closed connections are not known to abort.

    Args:
        platform: As sys.platform names it.
    """
    if platform not in {"linux", "darwin"}:
        yield (
            f"On this system ({platform}), a request whose connection was lost may still arrive later, so a change may "
            "be made twice: use Linux, macOS, or Windows through WSL 2."
        )


def taken_from(run: str, left: int) -> str:
    """Which changes are taken over from another run, and which stay with it.

    Args:
        run: The other run's id.
        left: How many changes it still has to send.
    """
    stays, it = ("stays", "it") if left == 1 else ("stay", "them")
    discard = f"`access-batch discard {run}` drops {it}."
    rest = f" {count(left, 'change')} that this input does not want {stays} there: {discard}" if left else ""
    return f"This run takes over the changes of this input that run {run} had planned and not sent.{rest}"


def question(tally: Tally, tenant: str, rate: Rate, share: RevokeShare | None = None) -> str:
    """The question before sending: how much, to which tenant, and the least time it takes.

    Args:
        tally: What is to be sent.
        tenant: The tenant.
        rate: The rate limit.
        share: How large a share of an item's holders loses it; None if they were not counted.
    """
    requests = count_states(tally.requests)["unsent"]
    parts = [count(number, name) for number, name in ((tally.revokes, "revoke"), (tally.grants, "grant")) if number]
    if tally.revokes:
        parts[0] += f" ({_in_words(share)})"
    least = max(0, requests - 1) * rate.seconds / rate.requests
    takes = f" It takes at least {duration(least)} at {rate.requests} requests per {rate.seconds:g} s." if least else ""
    return f"Submit {' and '.join(parts)} in {count(requests, 'request')} to {tenant}?{takes}"


def _in_words(share: RevokeShare | None) -> str:
    if share is None:
        return "share of the holders unknown"
    whose = "an item's holders" if share.items == share.of else f"the holders of the {share.items} most revoked items"
    return f"from up to {share.percent:.0f} % of {whose}"


def describe_outcome(
    summary: Summary,
    again: str,
    *,
    is_advised: bool = False,
    is_all_the_same: bool = False,
    reading: Sequence[str] = (),
    only_plans: bool = False,
) -> Iterator[str]:
    """What was sent, the results, the result files, and what to do next.

    Args:
        summary: Of the run.
        again: The command that continues the run.
        is_advised: Whether an error follows that says what to do about unconfirmed requests.
        is_all_the_same: Whether that command goes on though what was sent has ended badly.
        reading: The options with which the input was read: its rows in other files need them too.
        only_plans: Whether rows are only sent by a saved plan.
    """
    changes, requests = summary.by_state, count_states(summary.tally.requests)
    if summary.dry_run:
        left = f"{count(changes['unsent'], 'change')} in {count(requests['unsent'], 'request')}"
        yield f"{left}." if changes["unsent"] else "Nothing to send."
        yield "Nothing was sent."
        return
    if not summary.posts_now:
        nothing_needed = "Nothing to send: no row of the input needs a request now."
        yield nothing_needed if summary.complete else "Nothing was sent."
    if summary.run:
        yield (
            f"Run {summary.run}: of {count(changes['planned'], 'change')} in {count(requests['planned'], 'request')}, "
            f"{changes['accepted']:,} accepted, {changes['refused']:,} refused, "
            f"{changes['unconfirmed']:,} unconfirmed, {changes['unsent']:,} not sent."
        )
    if summary.tracked:
        yield from (describe_track if summary.was_tracked else describe_existing)(summary.tracked)
    for name, path in summary.files.items():
        if path:
            yield f"  {name}: {path}"
    yield from describe_heads({summary.run: summary.head})
    yield from _advice(summary, again, is_advised=is_advised, is_all_the_same=is_all_the_same)
    yield from _ways_back(summary, reading, only_plans=only_plans)


def _advice(summary: Summary, again: str, *, is_advised: bool, is_all_the_same: bool) -> Iterator[str]:
    if not summary.complete and not is_advised:
        yield from _how_to_continue(summary, again, is_all_the_same=is_all_the_same)
    if summary.tracked:
        is_over = summary.complete
        yield from (
            advice(summary.tracked, summary.run, is_over=is_over)
            if summary.was_tracked
            else resubmission(summary.tracked, is_over=is_over)
        )


def _ways_back(summary: Summary, reading: Sequence[str], *, only_plans: bool = False) -> Iterator[str]:
    """The files of rows that can be submitted again, each with the command to type; nothing without any."""
    if summary.by_state["refused"] and not summary.files.get("refused"):
        results = PurePath(summary.files.get("results") or "results.csv").name
        yield from describe_refused(summary.by_state["refused"], results)
    for name, words in _WAYS_BACK.items():
        if file := summary.files.get(name):
            options = [*reading, *(["--sheet", name] if file == summary.files.get("results") else [])]
            if name == "failed":
                options += ["--resubmit", ",".join(outcome.value for outcome in RESUBMITTABLE)]
            for what in _unsent(summary.set_aside, file) if name == "unsent" else (words,):
                yield f"{what}: {to_send(file, options, only_plans=only_plans)}"


def _unsent(aside: SetAside, file: str) -> Iterator[str]:
    """What to do about rows that were set aside; the same command goes on with the others that were not sent."""
    held = "each for the reason in its _message"
    if aside.contradictions:
        some, more = aside.contradictions[:_CONTRADICTIONS], len(aside.contradictions[_CONTRADICTIONS:])
        where = "; ".join(some) + (f"; and {more:,} more" if more else "")
        them = "them" if len(aside.contradictions) == 1 else "the rows that contradict each other"
        is_of_accounts = all(one.startswith(WITH_AND_WITHOUT) for one in aside.contradictions)
        keep = f"{KEEP_ALIKE}," if is_of_accounts else f": keep only one of {them}"
        yield (
            f"{where[0].upper()}{where[1:]}{keep} in {PurePath(file).name}"
            f"{f', whose other rows are held back, {held}' if aside.held_back else ''}; then"
        )
    elif aside.held_back:
        yield f"Held back, {held}; when that is dealt with"


_CONTRADICTIONS: Final = 3
"""Contradictions that the advice names; the file has all."""

_WAYS_BACK: Final = {
    "failed": "Rejected, cancelled or failed at the tenant; to submit these rows again",
    "unsent": "Not sent",
    "refused": "Refused by the tenant; correct these rows, then",
    "rejected": "Correct the rejected rows, then",
}


def _how_to_continue(summary: Summary, again: str, *, is_all_the_same: bool) -> Iterator[str]:
    waits = summary.waves.until if summary.waves else None
    words = "To go on all the same" if is_all_the_same else "To continue"
    yield f"{words}{f' from {waits:%Y-%m-%d %H:%M:%S} UTC on' if waits else ''}: {again}"
    if count_states(summary.tally.changes)["unconfirmed"]:
        yield (
            "Unconfirmed changes may have arrived. The same command looks for them in the tenant first, and never "
            "sends them again blindly."
        )
    if summary.waiting:
        it = "it" if summary.waiting == 1 else "them"
        yield (
            f"{count(summary.waiting, 'change')} of this input may have arrived from another run: the same command "
            f"looks for {it}, too."
        )


def duration(seconds: float) -> str:
    """A duration, rounded up: `8 s`, `3 min`, `2 h 45 min`."""
    whole = int(-(-seconds // 1))
    if whole < 120:  # noqa: PLR2004 - up to two minutes, show seconds
        return f"{whole} s"
    minutes = -(-whole // 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"  # noqa: PLR2004 - up to two hours, show minutes


def describe_verdict(summary: Summary, *, reading: Sequence[str] = (), only_plans: bool = False) -> Iterator[str]:
    """The result of `validate`; see `describe_outcome`."""
    good = summary.rows[RowClass.SUBMITTED]
    yield f"{count(good, 'row')} could be submitted."
    if summary.files.get("rejected"):
        yield f"  rejected: {summary.files['rejected']}"
    yield from _ways_back(summary, reading, only_plans=only_plans)


def describe_sandbox(base_url: str, client_id: str, client_secret: str, operator_token: str) -> Iterator[str]:
    """How to point a client at a sandbox, and how to see what it has accepted."""
    yield f"The sandbox listens on {base_url}. Point a client at it with:"
    yield f"  export SAIL_BASE_URL={base_url} SAIL_CLIENT_ID={client_id} SAIL_CLIENT_SECRET={client_secret}"
    yield "To see the requests that it has accepted:"
    yield f"  curl --header 'Authorization: Bearer {operator_token}' {base_url}/sandbox/audit"
    yield "Ctrl-C ends it."
