"""Counts what the report of a run shows, from what the ledger knows of it. Pure."""

from __future__ import annotations

import bisect
import json
from collections import Counter
from typing import TYPE_CHECKING, Final

import polars as pl

from batch.api.tenant_outcome import EXISTING, TenantOutcome, outcome_column
from batch.errors import BrokenPromiseError
from batch.report.run_view import LINES, POOR, Group, ItemGroup, Pace, RunView, Series, Standing
from batch.states import IN_DOUBT, Event, State
from batch.text import id_key, moment, phrase

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from batch.api.dialects import Rate
    from batch.report.run_view import RunAbout

MOST_ITEMS: Final = 50
MOST_TEXTS: Final = 20
"""Items and comments that are listed, those with the most changes first."""

MOST_POINTS: Final = 120
MOST_BARS: Final = 60
"""Points and bars of a chart."""


def run_lines(run: str, changes: pl.DataFrame, events: pl.DataFrame, shown: pl.DataFrame) -> pl.DataFrame:
    """Every change of a run once, by LINES.

    Args:
        run: The run's id.
        changes: By ledger.report's CHANGES_SCHEMA: also those of requests that others have replaced.
        events: By its EVENTS_SCHEMA.
        shown: The columns `person`, `item`, `file`, `line` and `account` of the changes, in the same order.
    """
    state, outcome = pl.col("state"), outcome_column(pl.col("tenant_state"), pl.col("said"))
    is_open = outcome == TenantOutcome.OPEN.value
    times = _times(changes, events)
    tag = pl.when(pl.col("tag").fill_null("") == "").then(pl.lit("")).otherwise(phrase("-{}", pl.col("tag")))
    keys = [id_key(pl.col("identity_id")), pl.col("item_type"), id_key(pl.col("item_id")), pl.col("account")]
    replaced = {State.SPLIT.value: 0, State.DISCARDED.value: 1}
    every = (
        changes.with_columns(
            standing=pl.when(state == State.PLANNED.value)
            .then(pl.lit(Standing.UNSENT.value))
            .when(state.is_in([one.value for one in IN_DOUBT]))
            .then(pl.lit(Standing.UNCONFIRMED.value))
            .when(state == State.REFUSED.value)
            .then(pl.lit(Standing.REFUSED.value))
            .when(state == State.DISCARDED.value)
            .then(pl.lit(Standing.DISCARDED.value))
            .when(state == State.SPLIT.value)
            .then(pl.lit(Standing.TAKEN_OUT.value))
            .when(outcome.is_null())
            .then(pl.lit(Standing.UNREPORTED.value))
            .when(pl.col("tenant_state") == EXISTING)
            .then(pl.lit(Standing.EXISTING.value))
            .when(is_open & (pl.col("who").fill_null("") != ""))
            .then(pl.lit(Standing.AWAITING.value))
            .when(is_open)
            .then(pl.lit(Standing.IN_PROGRESS.value))
            .otherwise(outcome),
            rank=state.replace_strict(replaced, default=2, return_dtype=pl.Int64),
            key=pl.struct(key.alias(str(n)) for n, key in enumerate(keys)),
        )
        .drop("account")
        .hstack(shown)
        .join(times, on="request", how="left", maintain_order="left")
        .sort("rank", "request", maintain_order=True)
        .unique("key", keep="last", maintain_order=True)
    )
    was_sent = ~pl.col("state").is_in([State.PLANNED.value, State.DISCARDED.value, State.SPLIT.value])
    is_accepted = pl.col("state") == State.ACCEPTED.value
    access = pl.col("access_request").fill_null("")
    order = {one.value: place for place, one in enumerate(Standing)}
    return (
        every.with_columns(
            request=pl.concat_str(pl.lit(f"{run}-"), pl.col("request").cast(pl.String), tag),
            sent_at=pl.when(was_sent).then(pl.col("sent_at")),
            accepted_at=pl.when(is_accepted).then(pl.col("accepted_at")),
            access_request=pl.when(access != "").then(access).when(is_accepted).then(pl.col("found")),
            reason=pl.when(pl.col("standing").is_in([Standing.REFUSED.value, Standing.UNCONFIRMED.value])).then(
                pl.col("reason")
            ),
        )
        .sort(pl.col("standing").replace_strict(order, return_dtype=pl.Int64), maintain_order=True)
        .select(pl.col(name).cast(pl.String).fill_null("") for name in LINES)
    )


_TIMES: Final = {"request": pl.Int64, **dict.fromkeys(("sent_at", "accepted_at", "reason", "found"), pl.String)}


_ACCEPTING: Final = (Event.ACCEPTED.value, Event.FOUND.value)


def _times(changes: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """By request: when it was last sent and accepted, why it was refused or is in doubt, and what it was found as.

    What arrived as a part of another request was sent with that one, and accepted when that was found out. Only events
    count, since the chain covers them; imported requests have none, and came into their state when the tenant says.
    """
    sent: dict[int, str] = {}
    accepted: dict[int, str] = {}
    divided: dict[int, str] = {}
    reasons: dict[int, str] = {}
    found: dict[int, str] = {}
    for at, request, event, reason, detail in events.select("at", "request", "event", "reason", "found").iter_rows():
        if request is None:
            continue
        if event in _ACCEPTING:
            accepted[request] = at
        if event == Event.CLAIMED.value:
            sent[request] = at
        elif event == Event.TAKEN_OVER.value:
            divided[request] = at
        elif event == Event.FOUND.value:
            names = json.loads(detail or "{}").get("access_requests", [])
            # Of several, nobody knows which change is in which.
            found[request] = str(names[0]) if len(names) == 1 else ""
        if reason and event in (Event.REFUSED.value, Event.UNDECIDED.value):
            reasons[request] = reason
    rows = []
    parents = dict(changes.select("request", "parent").unique().iter_rows())
    kept = dict(changes.select("request", "state_at").unique().iter_rows())
    for request in sorted(parents):
        first: int | None = request
        while first is not None and first not in sent:
            first = parents.get(first)
        at = accepted.get(request) or divided.get(parents[request] or 0) or ("" if first in sent else kept[request])
        rows.append((request, sent.get(first or 0, ""), at, reasons.get(request, ""), found.get(request, "")))
    return pl.DataFrame(rows, schema=_TIMES, orient="row")


def run_view(
    lines: pl.DataFrame, events: pl.DataFrame, about: RunAbout, *, limit: Rate, set_aside: Mapping[str, int]
) -> RunView:
    """The view of a run.

    Args:
        lines: By LINES; see `run_lines`.
        events: By ledger.report's EVENTS_SCHEMA.
        about: What the run is.
        limit: Of all calls.
        set_aside: Number of changes that its precheck left out, by class.

    Raises:
        BrokenPromiseError: The totals do not add up.
    """
    counted = lines.group_by("operation", "standing", maintain_order=True).len().rows()
    counts = {(operation, standing): changes for operation, standing, changes in counted}
    by_item = _items(lines)
    of_refused = lines.filter(pl.col("standing") == Standing.REFUSED.value)
    comments = _groups(lines, "comment")
    view = RunView(
        about=about,
        counts=counts,
        people=lines.select(id_key(pl.col("identity_id"))).n_unique(),
        items=tuple(by_item[:MOST_ITEMS]),
        items_in_all=len(by_item),
        comments=tuple(comments[:MOST_TEXTS]),
        comments_in_all=len(comments),
        set_aside=dict(set_aside),
        timeline=tuple(_timeline(lines)),
        pace=_pace(events, limit),
        refusals=tuple(_groups(of_refused.with_columns(reason=cause(pl.col("reason"))), "reason")),
        approvers=tuple(_approvers(lines)),
        lines=lines,
    )
    refused = sum(one.changes for one in view.refusals)
    sums = {
        "by standing": view.of(*Standing),
        "by item": sum(one.total for one in by_item),
        "by comment": sum(one.changes for one in comments),
        "by cause": view.total - view.of(Standing.REFUSED) + refused,
    }
    if wrong := [name for name, number in sums.items() if number != lines.height]:
        raise BrokenPromiseError(
            f"The totals of the report do not add up to the run's changes: {', '.join(wrong)}.",
            next_step="No report was written. Please report this as a bug.",
        )
    return view


_TRACKING_ID: Final = r" \(tracking id [^()]*\)"
_ANY_ID: Final = r"(?i)\b(?:[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[0-9a-f]{32})\b"


def cause(reason: pl.Expr) -> pl.Expr:
    """Reasons without what differs between changes that were refused for the same cause."""
    return reason.str.replace_all(_TRACKING_ID, "").str.replace_all(_ANY_ID, "…")


def _groups(lines: pl.DataFrame, column: str) -> list[Group]:
    """Lines by the text of a column, the most frequent first."""
    found = (
        lines.group_by(pl.col(column).alias("name"), maintain_order=True)
        .agg(pl.len().alias("changes"), pl.col("request").first().alias("example"))
        .sort("changes", "name", descending=[True, False])
    )
    return [Group(name=name, changes=changes, example=example) for name, changes, example in found.iter_rows()]


def _approvers(lines: pl.DataFrame) -> list[Group]:
    """The people whom changes wait for: the longest wait first, and unknown waits last."""
    waiting = lines.filter(pl.col("standing") == Standing.AWAITING.value)
    known = pl.col("since").filter(pl.col("since") != "")
    found = waiting.group_by("who", maintain_order=True).agg(
        pl.len().alias("changes"), known.min().alias("first"), pl.col("request").first().alias("example")
    )
    groups = [Group(name=who, changes=n, first=first or "", example=one) for who, n, first, one in found.iter_rows()]
    return sorted(groups, key=lambda one: (not one.first, one.first, -one.changes, one.name))


def _items(lines: pl.DataFrame) -> list[ItemGroup]:
    counts: dict[tuple[str, str, str], Counter[str]] = {}
    ids: dict[tuple[str, str, str], tuple[str, str]] = {}
    found = lines.group_by(
        "operation", "item_type", id_key(pl.col("item_id")).alias("key"), "standing", maintain_order=True
    ).agg(pl.col("item_id").first(), pl.col("item").first(), pl.len().alias("changes"))
    for operation, item_type, item_key, standing, item_id, name, changes in found.iter_rows():
        one = (operation, item_type, item_key)
        counts.setdefault(one, Counter())[standing] += changes
        ids.setdefault(one, (item_id, name))
    groups = [
        ItemGroup(item_type=one[1], item_id=ids[one][0], name=ids[one][1], operation=one[0], counts=counts[one])
        for one in counts
    ]
    return sorted(groups, key=lambda one: (-one.total, one.name, one.item_id, one.operation))


def _timeline(lines: pl.DataFrame) -> Iterator[Series]:
    standing = pl.col("standing")
    ended_poorly = [one.value for one in (*POOR, Standing.DUPLICATE) if one is not Standing.REFUSED]
    accepted = [one.value for one in Standing if one not in _NEVER_ACCEPTED]
    in_doubt = [Standing.UNCONFIRMED.value, Standing.REFUSED.value]
    for name, look, those, column in (
        ("sent", "sent", standing.is_in([*accepted, *in_doubt]), "sent_at"),
        ("accepted", "accepted", standing.is_in(accepted), "accepted_at"),
        ("provisioned", "good", standing == Standing.PROVISIONED.value, "since"),
        ("rejected, cancelled or failed", "poor", standing.is_in(ended_poorly), "since"),
    ):
        instants = lines.filter(those).get_column(column)
        distinct = {text: found.timestamp() for text in instants.unique() if (found := moment(text))}
        times = sorted(distinct[text] for text in instants if text in distinct)
        yield Series(name=name, look=look, points=tuple(_points(times)), untimed=instants.len() - len(times))


_NEVER_ACCEPTED: Final = (
    *(Standing.REFUSED, Standing.UNCONFIRMED, Standing.UNSENT, Standing.TAKEN_OUT, Standing.DISCARDED),
)


def _points(times: Sequence[float]) -> Iterator[tuple[float, int]]:
    """How many of sorted times had come at some of them, in few points."""
    if not times:
        return
    step = (times[-1] - times[0]) / MOST_POINTS
    last = None
    for place, at in enumerate(times, start=1):
        is_newest = place == len(times) or times[place] > at
        if is_newest and (last is None or at - last >= step or place == len(times)):
            last = at
            yield at, place


def _pace(events: pl.DataFrame, limit: Rate) -> Pace:
    own = events.filter(pl.col("within").is_null())
    claims = own.filter(pl.col("event") == Event.CLAIMED.value).get_column("at")
    times = sorted(found.timestamp() for text in claims if (found := moment(text)))
    throttled = own.filter(pl.col("status") == _TOO_MANY).height
    if not times:
        return Pace(limit=limit, throttled=throttled)
    began, ended = times[0], times[-1]
    parts = max(1, min(MOST_BARS, int((ended - began) / limit.seconds) + 1))
    bars = [0] * parts
    for place, at in enumerate(times, start=1):
        in_window = place - bisect.bisect_right(times, at - limit.seconds)
        part = min(parts - 1, int((at - began) / (ended - began) * parts)) if ended > began else 0
        bars[part] = max(bars[part], in_window)
    return Pace(
        limit=limit,
        posts=len(times),
        throttled=throttled,
        busiest=max(bars),
        began=began,
        ended=ended,
        bars=tuple(bars),
    )


_TOO_MANY: Final = 429
