"""Why an earlier change sets a change aside, in words. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from batch.api.dialects import IN_PROGRESS, Operation
from batch.api.end_dates import EXTEND, NO_END
from batch.api.tenant_outcome import EXISTING, OUTCOME_WORDS, RESUBMITTABLE, TenantOutcome
from batch.dedupe.overlap import in_words
from batch.model import RowClass
from batch.states import VOID
from batch.text import id_key, phrase

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

KEEP_ONE: Final = ": keep only one of them"
WITH_AND_WITHOUT: Final = "wanted with and without an account"
KEEP_ALIKE: Final = ": keep those that name one, or one that names none"
SUPERSEDED: Final = "run {} has since requested a {} of this; to submit the row again, change its comment"
UNSENT: Final = "a {} of this is planned in run {} and not sent yet: submit its input again, or discard that run"
ERASES: Final = (
    "run {} granted this until {}, and a grant without a date would remove that end date: leave the row out, give a "
    f"remove_date, or write {EXTEND} with the remove_date {NO_END}"
)
SECOND_HAND: Final = "only another machine has recorded how "
"""What was undone or failed is wanted again by such a record alone, and the tenant's list does not show it."""
_BUSY: Final = "run {} has not sent this yet, and {}: run the same command again after that"
_BUSY_SENDING: Final = "run {} is sending this, and {}: run the same command again after that"
_CONFLICT: Final = (
    "in_progress_conflict: run {} has a {} of it in progress; `access-batch track {}` asks whether it has ended, then "
    "run the same command again"
)
_DOUBT: Final = "sent in run {}, unconfirmed since {}: the same command looks for it again"
_PERHAPS_THIS: Final = (
    "run {} has submitted this without naming an account (accepted at {}{}), so it may be for this row's; if it is for "
    "another one, request this row's in the tenant"
)
_PERHAPS_SAME: Final = (
    "run {} has submitted this for the account {} (accepted at {}{}), and this row may mean the same one; if not, {}"
)
_NAME_IT: Final = "name that in the row"
_IN_THE_TENANT: Final = "request it in the tenant"
_DUPLICATE_AT_TENANT: Final = "; the tenant had the same already, so --resubmit does not submit it again"

_DATE: Final = "%Y-%m-%dT%H:%M:%S%.fZ"
_OUTCOME: Final = pl.col("known_outcome")


_ONLY_ACCOUNT: Final = (
    "; both are for the person's only account: if that is another one by now, request this in the tenant"
)


def with_only_accounts(changes: pl.DataFrame, rows: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """The classified changes, of which those that name an only account are held back if an earlier one names another.

    If the earlier one names none that can be compared, the reason says that it may be for another one.

    Args:
        changes: From `classify`.
        rows: The rows of the input.
        known: As for `classify`.
    """
    if "account" not in rows.columns:
        return changes
    written = rows.get_column("account").gather(changes.get_column("row")).fill_null("").str.strip_chars()
    is_told = (written != "") & (pl.col("account") == "") & (pl.col("class") == RowClass.ALREADY_SUBMITTED.value)
    changes = changes.with_row_index("change").with_columns(told=is_told)
    others = _named_otherwise(changes.filter("told"), known)
    is_held = pl.col("other").is_not_null()
    reason = pl.when("told").then(pl.col("reason") + _ONLY_ACCOUNT).otherwise("reason")
    return (
        changes.join(others, on="change", how="left", maintain_order="left")
        .with_columns(
            pl.when(is_held).then(pl.lit(RowClass.HELD_BACK.value)).otherwise("class").alias("class"),
            pl.coalesce("other", reason).alias("reason"),
        )
        .drop("change", "told", "other")
    )


def _named_otherwise(named: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """`change` of those of which every earlier one names an account with other words, and why that matters: `other`."""
    by = [id_key(pl.col("identity_id")), pl.col("item_type"), id_key(pl.col("item_id")), pl.col("operation")]
    earlier = known.filter((pl.col("account") == "") & ~pl.col("state").is_in([state.value for state in VOID]))
    pairs = (
        named.select("change", *by, words=_WORDS)
        .join(
            earlier.select(*by, "run", "at", _NATIVE.alias("native"), theirs=_WORDS),
            on=["identity_id", "item_type", "item_id", "operation"],
            how="inner",
        )
        .with_columns(differ=_ARE_TOLD & (pl.col("words").list.set_intersection("theirs").list.len() == 0))
    )
    said = phrase(_PERHAPS_SAME, pl.col("run"), pl.col("native"), pl.col("at"), pl.lit(""), pl.lit(_IN_THE_TENANT))
    return (
        pairs.filter(pl.col("differ").all().over("change"))
        .unique("change", keep="last", maintain_order=True)
        .select("change", said.alias("other"))
    )


_PLAIN: Final = pl.col("selection").str.normalize("NFC").str.to_lowercase().str.replace_all(r",\s+", ",")
_WORDS: Final = _PLAIN.str.extract_all(r'"(?:nativeidentity|on|accountuuid)":"(?:[^"\\]|\\.)*"')
"""What a selection says of its accounts, as it is compared."""

_NATIVE: Final = pl.col("selection").str.extract(r'"(?:nativeIdentity|on)":"((?:[^"\\]|\\.)*)"').fill_null("")
_ARE_TOLD: Final = (pl.col("words").list.len() > 0) & (pl.col("theirs").list.len() > 0)


def would_erase(now: datetime) -> pl.Expr:
    """Whether a grant without an end date would remove the one of an earlier grant, which is still to come."""
    is_grant = (pl.col("operation") == Operation.GRANT.value) & (pl.col("known_operation") == Operation.GRANT.value)
    end = pl.col("known_remove_date").str.to_datetime(_DATE, strict=False, time_zone="UTC")
    begins = pl.col("start_date").str.to_datetime(_DATE, strict=False, time_zone="UTC").fill_null(now)
    return is_grant & (pl.col("remove_date") == "") & (end > begins).fill_null(value=False)


def ledger_reason(same: pl.Expr, unsent: pl.Expr, in_doubt: pl.Expr, sure: pl.Expr, busy: Mapping[str, str]) -> pl.Expr:
    """Why an earlier change of another run sets a change aside.

    Args:
        same: Whether it wants the same.
        unsent: Whether it is planned.
        in_doubt: Whether it is in doubt.
        sure: Whether it is certainly for the same account.
        busy: As in `classify`.
    """
    run, theirs = pl.col("known_run"), pl.col("known_account")
    remedy = pl.when(pl.col("account") == "").then(pl.lit(_NAME_IT)).otherwise(pl.lit(_IN_THE_TENANT))
    why = run.replace_strict(dict(busy), default=None, return_dtype=pl.String)
    is_busy = why.is_not_null()
    return (
        pl.when(unsent & is_busy)
        .then(phrase(_BUSY, run, why))
        .when(in_doubt & is_busy)
        .then(phrase(_BUSY_SENDING, run, why))
        .when(in_doubt)
        .then(phrase(_DOUBT, run, pl.col("known_at")))
        .when(same & sure)
        .then(phrase("accepted in run {} at {}{}", run, pl.col("known_at"), _outcome_text()))
        .when(same & (theirs == ""))
        .then(phrase(_PERHAPS_THIS, run, pl.col("known_at"), _outcome_text()))
        .when(same)
        .then(phrase(_PERHAPS_SAME, run, in_words(theirs), pl.col("known_at"), _outcome_text(), remedy))
        .otherwise(phrase(_CONFLICT, run, known_intention(), run))
    )


def known_intention() -> pl.Expr:
    """The intention of an earlier change, in words."""
    return pl.concat_str(
        pl.col("known_operation").str.to_lowercase(),
        pl.when(pl.col("known_start_date") != "").then(pl.concat_str(pl.lit(" from "), pl.col("known_start_date"))),
        pl.when(pl.col("known_remove_date") == NO_END)
        .then(pl.lit(" without an end date"))
        .when(pl.col("known_remove_date") != "")
        .then(pl.concat_str(pl.lit(" until "), pl.col("known_remove_date"))),
        ignore_nulls=True,
    )


def _outcome_text() -> pl.Expr:
    """The outcome of an earlier change as the end of a sentence; empty if the tenant has not listed it."""
    words = {outcome.value: text for outcome, text in OUTCOME_WORDS.items()}
    state, who, comment, since = (pl.col(f"known_tenant_{name}") for name in ("state", "who", "comment", "since"))
    is_open = _OUTCOME.eq(TenantOutcome.OPEN.value)
    # Show an unknown state of the vendor by its name.
    is_unusual = is_open & ~state.is_in([IN_PROGRESS, EXISTING])
    can_resubmit = _OUTCOME.is_in([outcome.value for outcome in RESUBMITTABLE])
    return (
        pl.when(_OUTCOME.is_null())
        .then(pl.lit(""))
        .otherwise(
            pl.concat_str(
                phrase(", {}", _OUTCOME.replace_strict(words, default=None, return_dtype=pl.String)),
                pl.when(is_unusual).then(phrase(" ({})", state)),
                pl.when(who != "").then(
                    pl.when(is_open).then(phrase(", waiting for {}", who)).otherwise(phrase(" by {}", who))
                ),
                pl.when(since != "").then(phrase(" since {}", since)),
                pl.when(comment != "").then(phrase(": {}", comment)),
                pl.when(can_resubmit).then(phrase("; submit it again with --resubmit {}", _OUTCOME)),
                pl.when(_OUTCOME.eq(TenantOutcome.DUPLICATE.value)).then(pl.lit(_DUPLICATE_AT_TENANT)),
                ignore_nulls=True,
            )
        )
    )
