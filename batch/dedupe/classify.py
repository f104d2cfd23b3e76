"""What is the same change: within one input, and against everything the ledger remembers.

The key of a change is identity, item type and item id (in one tenant). Dates make two changes of one key different;
comments and metadata do not. Ambiguity is never guessed: all changes that contradict each other are set aside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from batch.api.dialects import IN_PROGRESS
from batch.api.tenant_outcome import (
    EXISTING,
    OUTCOME_WORDS,
    RESUBMITTABLE,
    WITHOUT_EFFECT,
    TenantOutcome,
    outcome_column,
)
from batch.model import RowClass
from batch.states import IN_DOUBT, VOID, State
from batch.text import phrase

if TYPE_CHECKING:
    from collections.abc import Collection

KEY: Final = ("identity_id", "item_type", "item_id")
"""Columns of the key of a change."""

INTENTION: Final = ("operation", "start_date", "remove_date")
"""Columns that make two changes of one key the same or different."""

_LISTED: Final = 5
"""Places that a reason names."""

KNOWN_SCHEMA: Final = {
    **dict.fromkeys(KEY, pl.String),
    **dict.fromkeys(INTENTION, pl.String),
    "state": pl.String,
    "run": pl.String,
    "request": pl.Int64,
    "at": pl.String,
    "tracked": pl.String,
    "who": pl.String,
    "said": pl.String,
    "since": pl.String,
}
"""Columns of what the ledger knows: one line per earlier change of a wanted key, with the state of its request, its
run, the request's number (later ones are greater) and when that state was entered; then what the tenant last said of
the change: the vendor's name of its state, who is behind it, what was said, since when (all empty where nothing)."""


TENANT_VERDICTS: Final = {**dict.fromkeys(KEY, pl.String), "tenant_class": pl.String, "tenant_reason": pl.String}
"""Columns of what the tenant's word makes of changes: their key, once each, their class, and why."""

_YIELDING: Final = (RowClass.SUBMITTED, RowClass.ALREADY_SUBMITTED, RowClass.HELD_BACK)


def apply_tenant_view(changes: pl.DataFrame, told: pl.DataFrame) -> pl.DataFrame:
    """Sets changes aside by the tenant's word.

    It counts for the one change that stands for its key in the input, and not where the run itself has requested it.

    Args:
        changes: From `classify`.
        told: By TENANT_VERDICTS, of changes that were fresh when the tenant was asked.

    Returns:
        `changes` in its order and with its columns.
    """
    if told.is_empty():
        return changes
    yields = pl.col("class").is_in([one.value for one in _YIELDING]) & pl.col("own_request").is_null()
    is_told = pl.col("tenant_class").is_not_null() & yields
    return (
        changes.join(told, on=KEY, how="left", maintain_order="left")
        .with_columns(
            pl.when(is_told).then("tenant_class").otherwise("class").alias("class"),
            pl.when(is_told).then("tenant_reason").otherwise("reason").alias("reason"),
            (pl.col("fresh") & ~is_told).alias("fresh"),
        )
        .select(changes.columns)
    )


def classify(
    changes: pl.DataFrame, known: pl.DataFrame, *, run: str, resubmit: Collection[TenantOutcome] = ()
) -> pl.DataFrame:
    """Gives every change its class and reason.

    Args:
        changes: `row`, `file` and `line` of the row it came from, and validate's CHANGE_COLUMNS.
        known: What the ledger remembers of these keys, by KNOWN_SCHEMA.
        run: Id of the run being classified for; its own earlier changes are its own plan, not repeats.
        resubmit: Earlier changes that have come to this are submitted again, those of RESUBMITTABLE.

    Returns:
        `changes` in its order with `class` (a RowClass), `reason` (empty where nothing needs saying), `own_request`
        (the number of this run's request that already has it, or null) and `fresh` (whether a request must still be
        made).
    """
    # Different hashes are certainly different keys, and comparing them is several times faster.
    keys = changes.select(*KEY, *INTENTION, "file", "line", _HASH).with_row_index("change")
    within = _within_input(keys)
    against = _against_ledger(keys, known, run, [one.value for one in resubmit if one in RESUBMITTABLE])
    # The verdicts are put together apart and set beside the changes, whose many columns are never copied.
    verdicts = _beside(_beside(keys.select("change"), within), against)
    is_first = pl.col("within_class").is_null()
    return changes.hstack(
        verdicts.select(
            pl.coalesce("within_class", "against_class", pl.lit(RowClass.SUBMITTED.value)).alias("class"),
            pl.coalesce("within_reason", "against_reason", pl.lit("")).alias("reason"),
            pl.when(is_first).then(pl.col("own_request")).alias("own_request"),
            (is_first & pl.col("own_request").is_null() & pl.col("against_class").is_null()).alias("fresh"),
        )
    )


def _beside(verdicts: pl.DataFrame, some: pl.DataFrame) -> pl.DataFrame:
    """Adds the columns of `some`, which has lines for a few of the changes, or for all."""
    if some.is_empty():
        return verdicts.with_columns(
            pl.lit(None, dtype=dtype).alias(name) for name, dtype in some.schema.items() if name != "change"
        )
    return verdicts.join(some, on="change", how="left", maintain_order="left")


def _within_input(keys: pl.DataFrame) -> pl.DataFrame:
    """`within_class` and `within_reason` of each `change` that is not the one of its key to stand for it."""
    suspects = keys.filter(pl.col("hash").is_duplicated())
    repeated = suspects.filter(suspects.select(KEY).is_duplicated())
    groups = (
        repeated.group_by(KEY)
        .agg(
            (pl.struct(INTENTION).n_unique() > 1).alias("contradictory"),
            pl.col("change").min().alias("first"),
            pl.col("operation").n_unique().alias("operations"),
            _place().sort_by("change").unique(maintain_order=True).alias("places"),
            pl.col("line").sort_by("change").unique(maintain_order=True).cast(pl.String).alias("lines"),
            pl.col("file").n_unique().alias("files"),
        )
        .join(repeated.select(pl.col("change").alias("first"), _place().alias("first_place")), on="first", how="left")
    )
    in_one_file = pl.concat_str(pl.lit("lines "), _listed("lines"))
    where = pl.when(pl.col("files") == 1).then(in_one_file).otherwise(_listed("places"))
    contradiction = (
        pl.when(pl.col("operations") > 1)
        .then(pl.lit("both granted and revoked"))
        .otherwise(pl.lit("wanted with different dates"))
    )
    return (
        repeated.join(groups, on=KEY, how="left")
        .filter(pl.col("contradictory") | (pl.col("first") != pl.col("change")))
        .select(
            "change",
            pl.when(pl.col("contradictory"))
            .then(pl.lit(RowClass.CONFLICT_IN_INPUT.value))
            .otherwise(pl.lit(RowClass.DUPLICATE_IN_INPUT.value))
            .alias("within_class"),
            pl.when(pl.col("contradictory"))
            .then(pl.concat_str(contradiction, pl.lit(" in "), where))
            .otherwise(pl.concat_str(pl.lit("repeats "), pl.col("first_place")))
            .alias("within_reason"),
        )
    )


def _listed(name: str) -> pl.Expr:
    """The first of a list of texts, joined."""
    more = pl.when(pl.col(name).list.len() > _LISTED).then(pl.lit(" …")).otherwise(pl.lit(""))
    return pl.concat_str(pl.col(name).list.head(_LISTED).list.join(", "), more)


def _place() -> pl.Expr:
    return pl.concat_str(pl.lit("line "), pl.col("line"), pl.lit(" of "), pl.col("file"))


def _against_ledger(keys: pl.DataFrame, known: pl.DataFrame, run: str, resubmit: list[str]) -> pl.DataFrame:
    """`own_request`, `against_class` and `against_reason` of each `change` whose key the ledger knows.

    What the run has planned itself has its `own_request` and no class. Where nothing of a key is in progress or stands
    in the way any more, there is no line.
    """
    live = _with_standing(known.filter(~pl.col("state").is_in([state.value for state in VOID]))).select(
        _HASH, *(pl.col(name).alias(f"known_{name}") for name in (*KNOWN_SCHEMA, "standing"))
    )
    is_same_key = pl.all_horizontal(pl.col(name) == pl.col(f"known_{name}") for name in KEY)
    is_own = pl.col("known_run") == run
    same = pl.all_horizontal(pl.col(name) == pl.col(f"known_{name}") for name in INTENTION)
    latest = keys.join(live, on="hash", how="inner").filter(is_same_key)
    if latest.get_column("known_standing").null_count() < latest.height:
        # What is to be submitted again is as good as never submitted, and what had no effect changed no intention.
        is_void = (
            pl.when(same | is_own).then(_fate().is_in(resubmit)).otherwise(_fate().is_in([*map(str, WITHOUT_EFFECT)]))
        )
        latest = latest.filter(~is_void.fill_null(value=False))
    is_open = _fate().is_null() | (_fate() == TenantOutcome.OPEN.value)
    own_number: pl.Expr = pl.when(is_own).then("known_request")
    superseded = pl.lit(value=False)
    if latest.get_column("change").is_duplicated().any():
        latest = _decisive(latest.with_columns(own=is_own, same=same, open=is_open))
        superseded = pl.col("superseded")
        own_number = pl.when(superseded).then("own_number").otherwise(own_number)
    unsent = pl.col("known_state") == State.PLANNED.value
    decides = pl.when(superseded | (~is_own & ~(same & ~unsent))).then(_HELD_BACK).when(~is_own).then(_ALREADY)
    return latest.filter(is_own | superseded | same | is_open).select(
        "change",
        own_number.alias("own_request"),
        decides.alias("against_class"),
        pl.when(superseded)
        .then(phrase(_SUPERSEDED, pl.col("known_run"), _wanted_then()))
        .when(~is_own)
        .then(_ledger_reason(same, unsent))
        .alias("against_reason"),
    )


def _decisive(lines: pl.DataFrame) -> pl.DataFrame:
    """The one line that decides about each `change`, of all that the ledger has of its key.

    What the run has planned itself goes before all others, unless another run has wanted something else since: then
    that line is `superseded`, and `own_number` is the run's own request. Otherwise the newest line says what was last
    wanted; but where that is over, what is still in progress decides.

    Args:
        lines: With whether each is the run's `own`, wants the `same`, and is `open`.
    """
    lines = lines.sort(*age("change", prefix="known_"))
    newest = lines.unique("change", keep="last", maintain_order=True)
    own = lines.filter("own").unique("change", keep="last", maintain_order=True)
    in_the_way = lines.filter(~pl.col("own") & ~pl.col("same") & pl.col("open")).unique(
        "change", keep="last", maintain_order=True
    )
    overtaken = newest.filter(~pl.col("own") & ~pl.col("same")).join(
        own.select("change", pl.col("known_request").alias("own_number")), on="change", how="inner"
    )
    over = newest.filter(~pl.col("same") & ~pl.col("open")).select("change")
    first_come = [
        overtaken.with_columns(superseded=pl.lit(value=True)),
        own,
        in_the_way.join(over, on="change", how="semi"),
        newest,
    ]
    return (
        pl.concat(first_come, how="diagonal")
        .with_columns(pl.col("superseded").fill_null(value=False))
        .unique("change", keep="first", maintain_order=True)
    )


def age(*key: str, prefix: str = "") -> tuple[pl.Expr, ...]:
    """What the lines of each key are sorted by, the newest last.

    Later requests have greater numbers, but among what was imported, where what is older may come later.

    Args:
        key: Columns of the key.
        prefix: Stands before the names of KNOWN_SCHEMA.
    """
    request = pl.col(f"{prefix}request")
    return request.max().over(*key, f"{prefix}run"), pl.col(f"{prefix}at"), request


_HASH: Final = pl.struct(KEY).hash().alias("hash")
_ALREADY: Final = pl.lit(RowClass.ALREADY_SUBMITTED.value)
_HELD_BACK: Final = pl.lit(RowClass.HELD_BACK.value)


def _fate() -> pl.Expr:
    return pl.col("known_standing")


def _with_standing(known: pl.DataFrame) -> pl.DataFrame:
    """`known` with the `standing` of each line; null where nothing was said of an accepted change."""
    tracked = (pl.col("tracked") != "") & (pl.col("state") == State.ACCEPTED.value)
    if not known.select(tracked.any()).item():
        return known.with_columns(pl.lit(None, dtype=pl.String).alias("standing"))
    return known.with_columns(
        pl.when(tracked).then(outcome_column(pl.col("tracked"), pl.col("said"))).alias("standing")
    )


def _ledger_reason(same: pl.Expr, unsent: pl.Expr) -> pl.Expr:
    run = pl.col("known_run")
    in_doubt = pl.col("known_state").is_in([state.value for state in IN_DOUBT])
    return (
        pl.when(same & unsent)
        .then(phrase("planned in run {} and not sent yet: submit its input again, or discard that run", run))
        .when(same & in_doubt)
        .then(phrase("sent in run {}, arrival unconfirmed since {}", run, pl.col("known_at")))
        .when(same)
        .then(phrase("accepted in run {} at {}{}", run, pl.col("known_at"), _what_became_of_it()))
        .otherwise(phrase("in_progress_conflict: run {} has a {} of it in progress", run, _wanted_then()))
    )


def _wanted_then() -> pl.Expr:
    """What an earlier change wanted, in words."""
    return pl.concat_str(
        pl.col("known_operation").str.to_lowercase(),
        pl.when(pl.col("known_start_date") != "").then(pl.concat_str(pl.lit(" from "), pl.col("known_start_date"))),
        pl.when(pl.col("known_remove_date") != "").then(pl.concat_str(pl.lit(" until "), pl.col("known_remove_date"))),
        ignore_nulls=True,
    )


def _what_became_of_it() -> pl.Expr:
    """What the tenant last said, as the end of a sentence; empty where it said nothing."""
    words = {standing.value: said for standing, said in OUTCOME_WORDS.items()}
    who, said, since = (pl.col(f"known_{name}") for name in ("who", "said", "since"))
    # Names of states that are not known yet stand for themselves.
    is_odd = (_fate() == TenantOutcome.OPEN.value) & ~pl.col("known_tracked").is_in([IN_PROGRESS, EXISTING])
    waits = _fate() == TenantOutcome.OPEN.value
    again = _fate().is_in([standing.value for standing in RESUBMITTABLE])
    return (
        pl.when(_fate().is_null())
        .then(pl.lit(""))
        .otherwise(
            pl.concat_str(
                phrase(", {}", _fate().replace_strict(words, default=None, return_dtype=pl.String)),
                pl.when(is_odd).then(phrase(" ({})", pl.col("known_tracked"))),
                pl.when(who != "").then(
                    pl.when(waits).then(phrase(", waiting for {}", who)).otherwise(phrase(" by {}", who))
                ),
                pl.when(since != "").then(phrase(" since {}", since)),
                pl.when(said != "").then(phrase(": {}", said)),
                pl.when(again).then(phrase("; --resubmit {} submits it again", _fate())),
                pl.when(_fate() == TenantOutcome.DUPLICATE.value).then(pl.lit(_NEVER_AGAIN)),
                ignore_nulls=True,
            )
        )
    )


_SUPERSEDED: Final = (
    "this input submitted it, and run {} has a {} of it since: to submit it once more, put the row into another file"
)
_NEVER_AGAIN: Final = "; the tenant had the same already, so --resubmit does not submit it again"
