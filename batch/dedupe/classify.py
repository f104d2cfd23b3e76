"""Which changes are the same: within one input, and compared with everything that the ledger remembers.

The key of a change is identity, item type and item id (in one tenant), and the account if the identity has several, see
dedupe.overlap. Ids are compared without case and hyphens: `in_one_spelling` first gives each id one spelling, in which
the ledger answers too. Dates make two changes of one key different; comments and metadata do not. Ambiguity is never
guessed: all changes that contradict each other are set aside.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import polars as pl

from batch.api.tenant_outcome import RESUBMITTABLE, WITHOUT_EFFECT, TenantOutcome, outcome_column
from batch.dedupe.overlap import ACCESS, KEY, is_one, may_be_one
from batch.dedupe.reasons import (
    ERASES,
    KEEP_ALIKE,
    KEEP_ONE,
    SUPERSEDED,
    UNSENT,
    WITH_AND_WITHOUT,
    known_intention,
    ledger_reason,
    would_erase,
)
from batch.model import RowClass
from batch.states import IN_DOUBT, VOID, State
from batch.text import id_key, phrase

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

INTENTION: Final = ("operation", "start_date", "remove_date")
"""Columns that make two changes of one key the same or different."""

KNOWN_SCHEMA: Final = {
    **dict.fromkeys(KEY, pl.String),
    **dict.fromkeys(INTENTION, pl.String),
    "selection": pl.String,
    "state": pl.String,
    "run": pl.String,
    "request": pl.Int64,
    "at": pl.String,
    "tenant_state": pl.String,
    "tenant_who": pl.String,
    "tenant_comment": pl.String,
    "tenant_since": pl.String,
}
"""Columns of the ledger's knowledge: one line per earlier change of a wanted key. `selection` names its account.

`state` is that of the change's request, entered `at`; later requests have greater numbers (`request`). `tenant_…` come
from the tenant's status list and are empty until it lists the change: the vendor's state, who decided or has to decide,
the comment, since when."""

TENANT_VERDICTS: Final = {**dict.fromkeys(KEY, pl.String), "tenant_class": pl.String, "tenant_reason": pl.String}
"""Columns of changes set aside because of the tenant's answers: their key, once each, their class, and why."""

_OVERRIDDEN: Final = (RowClass.SUBMITTED, RowClass.ALREADY_SUBMITTED, RowClass.HELD_BACK)
"""Classes that a tenant verdict replaces."""

_LISTED: Final = 5
"""Lines of the input that a reason names."""

_IN_DOUBT: Final = [state.value for state in IN_DOUBT]
_WITHIN: Final = {"change": pl.UInt32, "within_class": pl.String, "within_reason": pl.String}
_AGAINST: Final = {
    "change": pl.UInt32,
    "own_request": pl.Int64,
    "against_class": pl.String,
    "against_reason": pl.String,
}
_HASH: Final = pl.struct(ACCESS).hash().alias("hash")
_OUTCOME: Final = pl.col("known_outcome")
_IS_SAME_KEY: Final = pl.all_horizontal(pl.col(name) == pl.col(f"known_{name}") for name in ACCESS) & may_be_one(
    pl.col("account"), pl.col("known_account")
)


def in_one_spelling(changes: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Spell each id as the first change that has it.

    Returns:
        The changes, and how many ids they spelled in several ways.
    """
    respelled = 0
    for name in ("identity_id", "item_id"):
        distinct = changes.select(pl.col(name).unique(maintain_order=True))
        several = distinct.with_columns(id_key(pl.col(name)).alias("key")).filter(pl.col("key").is_duplicated())
        if not several.is_empty():
            first = several.select(pl.col(name).first().over("key")).to_series()
            changes = changes.with_columns(pl.col(name).replace(several.get_column(name), first))
            respelled += several.get_column("key").n_unique()
    return changes, respelled


def apply_tenant_view(changes: pl.DataFrame, verdicts: pl.DataFrame) -> pl.DataFrame:
    """Set changes aside because of the tenant's answers.

    A verdict applies to the one change that represents its key in the input, unless the run itself requested it.

    Args:
        changes: From `classify`.
        verdicts: By TENANT_VERDICTS, for changes that were fresh when the tenant was asked. Their ids may be spelled
            otherwise: an earlier process may have had the rows in another order.

    Returns:
        `changes` in its order and with its columns.
    """
    if verdicts.is_empty():
        return changes
    overridden = (
        pl.col("tenant_class").is_not_null()
        & pl.col("class").is_in([row_class.value for row_class in _OVERRIDDEN])
        & pl.col("own_request").is_null()
    )
    by_key = [id_key(pl.col("identity_id")), pl.col("item_type"), id_key(pl.col("item_id")), pl.col("account")]
    said = verdicts.select(*by_key, "tenant_class", "tenant_reason").unique(KEY, keep="first", maintain_order=True)
    return (
        changes.hstack(changes.select(by_key).join(said, on=KEY, how="left", maintain_order="left").drop(KEY))
        .with_columns(
            pl.when(overridden).then("tenant_class").otherwise("class").alias("class"),
            pl.when(overridden).then("tenant_reason").otherwise("reason").alias("reason"),
            (pl.col("fresh") & ~overridden).alias("fresh"),
        )
        .select(changes.columns)
    )


def classify(
    changes: pl.DataFrame,
    known: pl.DataFrame,
    *,
    run: str,
    resubmit: Collection[TenantOutcome] = (),
    busy: Mapping[str, str] = MappingProxyType({}),
    now: datetime | None = None,
) -> pl.DataFrame:
    """Give every change its class and reason.

    Changes that another run has planned and not sent do not count: this run may take them over.

    Args:
        changes: `row`, `file` and `line` of the change's row, and validate's CHANGE_COLUMNS.
        known: The ledger's knowledge of these keys, by KNOWN_SCHEMA.
        run: Id of the run being classified for; its own earlier changes are its own plan, not repeats.
        resubmit: Earlier changes with these outcomes are submitted again, if RESUBMITTABLE has the outcome.
        busy: Other runs from which nothing may be taken over, and why.
        now: A grant without an end date is held back if the newest earlier one has an end date after this: it would
            remove that date, and an empty cell does not ask for that. None to let it pass.

    Returns:
        `changes` in its order with `class` (a RowClass), `reason` (often empty), `own_request` (the number of this
        run's request for it, or null) and `fresh` (whether it still needs a request).
    """
    # Comparing hashes first is several times faster: different hashes are certainly different keys.
    keys = changes.select(*KEY, *INTENTION, "file", "line", _HASH).with_row_index("change")
    within = _within_input(keys)
    against = _against_ledger(
        keys, known, run, [outcome.value for outcome in resubmit if outcome in RESUBMITTABLE], busy, now
    )
    # Only these few columns are joined; the changes' many columns are never copied.
    classes = _with_columns_of(against, _with_columns_of(within, keys.select("change")))
    is_first = pl.col("within_class").is_null()
    return changes.hstack(
        classes.select(
            pl.coalesce("within_class", "against_class", pl.lit(RowClass.SUBMITTED.value)).alias("class"),
            pl.coalesce("within_reason", "against_reason", pl.lit("")).alias("reason"),
            pl.when(is_first).then(pl.col("own_request")).alias("own_request"),
            (is_first & pl.col("own_request").is_null() & pl.col("against_class").is_null()).alias("fresh"),
        )
    )


def _with_columns_of(some: pl.DataFrame, every: pl.DataFrame) -> pl.DataFrame:
    """`every` change with the columns of `some`, which has a line for only some of them."""
    if some.is_empty():
        return every.with_columns(
            pl.lit(None, dtype=dtype).alias(name) for name, dtype in some.schema.items() if name != "change"
        )
    return every.join(some, on="change", how="left", maintain_order="left")


def _within_input(keys: pl.DataFrame) -> pl.DataFrame:
    """`within_class` and `within_reason` of each `change` that repeats or contradicts another one of its key."""
    same_hash = keys.filter(pl.col("hash").is_duplicated())
    if same_hash.is_empty():
        return pl.DataFrame(schema=_WITHIN)
    # Beside a change of the same access that names no account, all are one group: it may be any of them.
    is_unclear = (pl.col("account") == "").any().over(ACCESS)
    same_hash = same_hash.with_columns(pl.when(is_unclear).then(pl.lit("")).otherwise("account").alias("group"))
    group = [*ACCESS, "group"]
    repeated = same_hash.filter(same_hash.select(group).is_duplicated())
    groups = (
        repeated.group_by(group)
        .agg(
            (pl.struct(*INTENTION, "account").n_unique() > 1).alias("contradictory"),
            (pl.struct(INTENTION).n_unique() > 1).alias("dated"),
            pl.col("change").min().alias("first"),
            pl.col("operation").n_unique().alias("operations"),
            _place().sort_by("change").unique(maintain_order=True).alias("places"),
            pl.col("line").sort_by("change").unique(maintain_order=True).cast(pl.String).alias("lines"),
            pl.col("file").n_unique().alias("files"),
        )
        .join(repeated.select(pl.col("change").alias("first"), _place().alias("first_place")), on="first", how="left")
    )
    in_one_file = pl.concat_str(pl.lit("lines "), _listed("lines"))
    places = pl.when(pl.col("files") == 1).then(in_one_file).otherwise(_listed("places"))
    contradiction = (
        pl.when(pl.col("operations") > 1)
        .then(pl.lit("both granted and revoked"))
        .when("dated")
        .then(pl.lit("wanted with different dates"))
        .otherwise(pl.lit(WITH_AND_WITHOUT))
    )
    is_of_accounts = (pl.col("operations") == 1) & ~pl.col("dated")
    keep = pl.when(is_of_accounts).then(pl.lit(KEEP_ALIKE)).otherwise(pl.lit(KEEP_ONE))
    return (
        repeated.join(groups, on=group, how="left")
        .filter(pl.col("contradictory") | (pl.col("first") != pl.col("change")))
        .select(
            "change",
            pl.when(pl.col("contradictory"))
            .then(pl.lit(RowClass.CONFLICT_IN_INPUT.value))
            .otherwise(pl.lit(RowClass.DUPLICATE_IN_INPUT.value))
            .alias("within_class"),
            pl.when(pl.col("contradictory"))
            .then(pl.concat_str(contradiction, pl.lit(" in "), places, keep))
            .otherwise(pl.concat_str(pl.lit("repeats "), pl.col("first_place")))
            .alias("within_reason"),
        )
    )


def _listed(name: str) -> pl.Expr:
    """The first texts of a list, joined."""
    more = pl.when(pl.col(name).list.len() > _LISTED).then(pl.lit(" …")).otherwise(pl.lit(""))
    return pl.concat_str(pl.col(name).list.head(_LISTED).list.join(", "), more)


def _place() -> pl.Expr:
    return pl.concat_str(pl.lit("line "), pl.col("line"), pl.lit(" of "), pl.col("file"))


def can_be_taken(run: str, busy: Collection[str]) -> pl.Expr:
    """Whether a line of the ledger's knowledge is planned in another run, not sent, and free to be taken over."""
    return (pl.col("state") == State.PLANNED.value) & _is_free(run, busy)


def is_doubt(run: str, busy: Collection[str]) -> pl.Expr:
    """Whether a line of the ledger's knowledge is in doubt in another run, which this process may settle."""
    return pl.col("state").is_in(_IN_DOUBT) & _is_free(run, busy)


def _is_free(run: str, busy: Collection[str]) -> pl.Expr:
    return ~pl.col("run").is_in([run, *busy])


def _against_ledger(
    keys: pl.DataFrame,
    known: pl.DataFrame,
    run: str,
    resubmit: list[str],
    busy: Mapping[str, str],
    now: datetime | None,
) -> pl.DataFrame:
    """`own_request`, `against_class` and `against_reason` of each `change` that an earlier change decides.

    A change that the run itself planned has its `own_request` and no class.
    """
    is_free = can_be_taken(run, busy)
    is_void = pl.col("state").is_in([state.value for state in VOID])
    free, known = known.filter(is_free), known.filter(~is_void & ~is_free)
    if known.is_empty():
        return pl.DataFrame(schema=_AGAINST)
    live = with_outcome(known).select(
        _HASH, *(pl.col(name).alias(f"known_{name}") for name in (*KNOWN_SCHEMA, "outcome"))
    )
    is_own = pl.col("known_run") == run
    same = pl.all_horizontal(pl.col(name) == pl.col(f"known_{name}") for name in INTENTION)
    earlier = keys.join(live, on="hash", how="inner").filter(_IS_SAME_KEY)
    if earlier.get_column("known_outcome").null_count() < earlier.height:
        # Ignore a change to resubmit, and a change without effect if it wanted something else.
        is_void = (
            pl.when(same | is_own)
            .then(_OUTCOME.is_in(resubmit))
            .otherwise(_OUTCOME.is_in([outcome.value for outcome in WITHOUT_EFFECT]))
        )
        earlier = earlier.filter(~is_void.fill_null(value=False))
    is_open = _OUTCOME.is_null() | _OUTCOME.eq(TenantOutcome.OPEN.value)
    in_doubt = pl.col("known_state").is_in(_IN_DOUBT)
    own_number: pl.Expr = pl.when(is_own).then("known_request")
    superseded = pl.lit(value=False)
    if earlier.get_column("change").is_duplicated().any():
        earlier = _decisive(earlier.with_columns(own=is_own, same=same, open=is_open, doubt=in_doubt & ~is_own))
        superseded = pl.col("superseded")
        own_number = pl.when(superseded).then("own_number").otherwise(own_number)
    unsent = pl.col("known_state") == State.PLANNED.value
    erases = pl.lit(value=False) if now is None else ~same & ~is_open & would_erase(now)
    sure = is_one(pl.col("account"), pl.col("known_account"))
    against_class = (
        pl.when(superseded | (~is_own & (~same | unsent | in_doubt | ~sure)))
        .then(pl.lit(RowClass.HELD_BACK.value))
        .when(~is_own)
        .then(pl.lit(RowClass.ALREADY_SUBMITTED.value))
    )
    found = earlier.filter(is_own | superseded | same | is_open | erases).select(
        "change",
        own_number.alias("own_request"),
        against_class.alias("against_class"),
        pl.when(superseded)
        .then(phrase(SUPERSEDED, pl.col("known_run"), known_intention()))
        .when(~is_own & erases)
        .then(phrase(ERASES, pl.col("known_run"), pl.col("known_remove_date")))
        .when(~is_own)
        .then(ledger_reason(same, unsent, in_doubt, sure, busy))
        .alias("against_reason"),
    )
    return found if free.is_empty() else _with_contrary_plans(found, keys, free)


def _with_contrary_plans(found: pl.DataFrame, keys: pl.DataFrame, free: pl.DataFrame) -> pl.DataFrame:
    """Hold back a submitted change if another run has planned another change of its key, which would undo it."""
    planned = free.select(_HASH, *(pl.col(name).alias(f"known_{name}") for name in free.columns))
    same = pl.all_horizontal(pl.col(name) == pl.col(f"known_{name}") for name in INTENTION)
    contrary = (
        keys.join(planned, on="hash", how="inner")
        .filter(_IS_SAME_KEY & ~same)
        .unique("change", keep="any")
        .select("change", phrase(UNSENT, known_intention(), pl.col("known_run")).alias("contrary"))
    )
    overruled = (pl.col("against_class") == RowClass.ALREADY_SUBMITTED.value) & pl.col("contrary").is_not_null()
    return (
        found.join(contrary, on="change", how="left")
        .with_columns(
            pl.when(overruled).then(pl.lit(RowClass.HELD_BACK.value)).otherwise("against_class").alias("against_class"),
            pl.when(overruled).then("contrary").otherwise("against_reason").alias("against_reason"),
        )
        .drop("contrary")
    )


def _decisive(lines: pl.DataFrame) -> pl.DataFrame:
    """For each `change`, the one earlier change of its key that decides about it.

    The run's own change decides, unless another run has requested something else since: then that line decides and is
    `superseded`, and `own_number` is the run's own request. Otherwise a line in doubt decides, or else the newest; but
    if that wants something else and is finished, a line still in progress decides.

    Args:
        lines: Earlier changes with whether each is the run's `own`, wants the `same`, is `open`, and is another run's
            `doubt`.
    """
    lines = lines.sort(*age("change", prefix="known_"))
    newest = lines.unique("change", keep="last", maintain_order=True)
    own = lines.filter("own").unique("change", keep="last", maintain_order=True)
    in_progress = lines.filter(~pl.col("own") & ~pl.col("same") & pl.col("open")).unique(
        "change", keep="last", maintain_order=True
    )
    overtaken = newest.filter(~pl.col("own") & ~pl.col("same")).join(
        own.select("change", pl.col("known_request").alias("own_number")), on="change", how="inner"
    )
    finished = newest.filter(~pl.col("same") & ~pl.col("open")).select("change")
    by_precedence = [
        overtaken.with_columns(superseded=pl.lit(value=True)),
        own,
        lines.filter("doubt").unique("change", keep="last", maintain_order=True),
        in_progress.join(finished, on="change", how="semi"),
        newest,
    ]
    return (
        pl.concat(by_precedence, how="diagonal")
        .with_columns(pl.col("superseded").fill_null(value=False))
        .unique("change", keep="first", maintain_order=True)
    )


def age(*key: str, prefix: str = "") -> tuple[pl.Expr, ...]:
    """Sort expressions for the earlier changes of each key, the newest last.

    Later requests have greater numbers, except within an import, which may add older requests later.

    Args:
        key: Columns of the key.
        prefix: Precedes the names of KNOWN_SCHEMA.
    """
    request = pl.col(f"{prefix}request")
    return request.max().over(*key, f"{prefix}run"), pl.col(f"{prefix}at"), request


def with_outcome(known: pl.DataFrame) -> pl.DataFrame:
    """`known` with the TenantOutcome of each accepted change as `outcome`; null if the tenant has not listed it."""
    listed = (pl.col("tenant_state") != "") & (pl.col("state") == State.ACCEPTED.value)
    if not known.select(listed.any()).item():
        return known.with_columns(pl.lit(None, dtype=pl.String).alias("outcome"))
    outcome = outcome_column(pl.col("tenant_state"), pl.col("tenant_comment"))
    return known.with_columns(pl.when(listed).then(outcome).alias("outcome"))
