"""The input schema: its columns, and its named rules, each with the message for a row that breaks it."""

from __future__ import annotations

from types import new_class
from typing import TYPE_CHECKING, Final, NamedTuple, cast

import dataframely as dy
import polars as pl

from batch.api.dialects import RESERVED_KEYS, Dialect, ItemType, Operation
from batch.api.end_dates import EXTEND, NO_END
from batch.read.columns import SAYS_NOTHING
from batch.read.identityiq import PROBLEMS
from batch.validate.prepare import DATE_COLUMNS, ID_PATTERN, has_control

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

_ONE_ID: Final = rf"^{ID_PATTERN}$"
_IDS: Final = rf"^{ID_PATTERN}(?:\s*\|\s*{ID_PATTERN})*$"
_TEXTS: Final = (
    "operation", "identity_id", "item_type", "item_id", "identity_problem", "item_problem",
    "identity_conflict", "item_conflict", "ticket_problem", "comment", "metadata", "row_problem", "date_example",
    "start_date_text", "remove_date_text", "start_date_clock", "remove_date_clock",
)  # fmt: skip
_FLAGS: Final = ("metadata_control", "metadata_reserved", "start_date_zoneless", "remove_date_zoneless")


class Rule(NamedTuple):
    """A rule of the input schema.

    holds: Whether a row keeps the rule; null counts as kept.
    message: For a row that breaks the rule, with a `{}` for each column in `shown`.
    shown: Columns whose text the message shows.
    """

    holds: pl.Expr
    message: str
    shown: tuple[str, ...] = ()


EXCLUSIVE_RULES: Final = frozenset(
    {"cell_readable", "operation_possible", "operation_fits_item_type", "identity_not_account", "entitlement_whole"}
)
"""Rules of IdentityIQ files and of workbooks: if a row breaks one, only these are reported."""


def rules(dialect: Dialect, now: datetime) -> dict[str, Rule]:
    """The rules by name, over the columns of `prepare`, in the order of their messages.

    Args:
        dialect: Which fields the API version has.
        now: Dates must be later than this.
    """
    is_grant = pl.col("operation") != Operation.REVOKE.value
    has_start, has_end = (pl.col(f"{name}_text").is_not_null() for name in DATE_COLUMNS)
    is_extension, has_no_end = pl.col("operation") == EXTEND, pl.col("remove_date_text").eq_missing(pl.lit(NO_END))
    return {
        "operation_known": Rule(
            pl.col("operation").is_in([*(operation.value for operation in Operation), EXTEND])
            | _has_problem("operation"),
            "operation '{}' is unknown: write GRANT, REVOKE or EXTEND",
            ("operation",),
        ),
        "operation_possible": Rule(
            ~_has_problem("operation"),
            "access-batch can't do IdentityIQ's operation '{}': it only grants and revokes roles and entitlements",
            ("operation",),
        ),
        "operation_fits_item_type": Rule(
            ~_has_problem("item_type"),
            "the operation is for {}s, but item_type differs: clear item_type",
            ("item_type",),
        ),
        "cell_readable": Rule(
            pl.col("row_problem").is_null() | pl.col("row_problem").is_in(list(PROBLEMS)), "{}", ("row_problem",)
        ),
        "identity_not_account": Rule(
            ~_has_problem("account"), "nativeIdentity names an account, which can't be looked up: give identityName"
        ),
        "entitlement_whole": Rule(
            ~_has_problem("entitlement"),
            "the entitlement is incomplete: give application, attributeName and attributeValue",
        ),
        "identity_found": Rule(pl.col("identity_problem").is_null(), "{}", ("identity_problem",)),
        "identity_id_present": Rule(
            pl.col("identity_id").is_not_null() | pl.col("identity_problem").is_not_null(),
            "the identity is missing: give identity_id or identity",
        ),
        "identity_id_shape": Rule(
            pl.col("identity_id").str.contains(_ONE_ID),
            "identity_id '{}' is not an id: give 32 hex digits or a UUID",
            ("identity_id",),
        ),
        "identity_agrees": Rule(pl.col("identity_conflict").is_null(), "{}", ("identity_conflict",)),
        "item_type_present": Rule(
            pl.col("item_type").is_not_null(), "item_type is missing: write ROLE, ACCESS_PROFILE or ENTITLEMENT"
        ),
        "item_type_known": Rule(
            pl.col("item_type").is_in([item_type.value for item_type in ItemType]),
            "item_type '{}' is unknown: write ROLE, ACCESS_PROFILE or ENTITLEMENT",
            ("item_type",),
        ),
        "item_found": Rule(pl.col("item_problem").is_null(), "{}", ("item_problem",)),
        "item_id_present": Rule(
            pl.col("item_id").is_not_null() | pl.col("item_problem").is_not_null(),
            "the item is missing: give item_id or item",
        ),
        "item_id_shape": Rule(
            pl.col("item_id").str.contains(_IDS),
            "item_id '{}' is not an id: give 32 hex digits or a UUID",
            ("item_id",),
        ),
        "item_agrees": Rule(pl.col("item_conflict").is_null(), "{}", ("item_conflict",)),
        "ticket_given": Rule(pl.col("ticket_problem").is_null(), "{}", ("ticket_problem",)),
        "revoke_has_comment": Rule(
            is_grant | pl.col("comment").is_not_null(), "a revoke needs a comment: add one, or give --comment"
        ),
        "revoke_comment_says_why": Rule(
            is_grant | ~pl.col("comment").str.contains(SAYS_NOTHING),
            "a revoke needs a comment, and '{}' says nothing: say why, or clear it and give --comment",
            ("comment",),
        ),
        "start_date_readable": _readable("start_date"),
        "remove_date_readable": _readable("remove_date", but=has_no_end),
        "extend_has_remove_date": Rule(
            ~is_extension | has_end, f"an EXTEND changes an end date: give a remove_date, or the word {NO_END}"
        ),
        "extend_removes_remove_date": Rule(
            ~has_no_end | is_extension,
            f"only an EXTEND can have the remove_date '{NO_END}': write EXTEND to remove an end date, or clear it",
        ),
        "extend_has_no_start_date": Rule(
            ~(is_extension & has_start), "an EXTEND is for access that has begun: clear start_date"
        ),
        "start_date_has_zone": _has_zone("start_date"),
        "remove_date_has_zone": _has_zone("remove_date"),
        "start_date_on_clock": _on_clock("start_date"),
        "remove_date_on_clock": _on_clock("remove_date"),
        "start_date_in_future": _in_future("start_date", now),
        "remove_date_in_future": _in_future("remove_date", now),
        "start_before_remove": Rule(
            pl.col("start_date") < pl.col("remove_date"),
            "remove_date '{}' is not after start_date: give a later date",
            ("remove_date_text",),
        ),
        "start_date_supported": Rule(
            pl.lit(dialect.start_date) | ~has_start,
            "this API version has no start_date: clear it, or choose a later --api",
        ),
        "start_date_not_on_revoke": Rule(is_grant | ~has_start, "a revoke can't have a start_date: clear it"),
        "remove_date_not_on_entitlement": Rule(
            pl.lit(dialect.entitlement_remove_date)
            | (pl.col("item_type") != ItemType.ENTITLEMENT.value)
            | (~has_end | has_no_end),
            "in this API version an entitlement can't have a remove_date: choose a later --api, or clear it",
        ),
        "comment_printable": Rule(~has_control(pl.col("comment")), "comment contains control characters: remove them"),
        "metadata_printable": Rule(~pl.col("metadata_control"), "metadata contains control characters: remove them"),
        "metadata_key_free": Rule(
            ~pl.col("metadata_reserved"),
            f"access-batch reserves the metadata keys {', '.join(RESERVED_KEYS)}: rename the column",
        ),
    }


def schema(declared: Mapping[str, Rule]) -> type[dy.Schema]:
    """The schema of the columns of `prepare` with the rules."""
    members = {
        "row": dy.UInt32(),
        **{name: dy.String(nullable=True) for name in _TEXTS},
        **{name: dy.Bool() for name in _FLAGS},
        **{name: dy.Datetime(nullable=True, time_zone="UTC") for name in DATE_COLUMNS},
        **{name: dy.rule()(_constant(rule.holds)) for name, rule in declared.items()},
    }
    return cast("type[dy.Schema]", new_class("InputRow", (dy.Schema,), exec_body=lambda names: names.update(members)))


def _constant(holds: pl.Expr) -> Callable[[type], pl.Expr]:
    return lambda _: holds


def _has_problem(name: str) -> pl.Expr:
    return pl.col("row_problem").eq_missing(pl.lit(name))


def _readable(name: str, *, but: pl.Expr | None = None) -> Rule:
    """Whether a cell is a date; `but` tells the words that another rule judges."""
    text, others = f"{name}_text", pl.lit(value=False) if but is None else but
    return Rule(
        pl.col(text).is_null() | pl.col(name).is_not_null() | others,
        f"{name} '{{}}' is not a date: write {{}}",
        (text, "date_example"),
    )


def _has_zone(name: str) -> Rule:
    message = f"{name} '{{}}' has a time without a zone: add Z or +01:00, or give --time-zone"
    return Rule(~pl.col(f"{name}_zoneless") | pl.col(f"{name}_clock").is_not_null(), message, (f"{name}_text",))


def _on_clock(name: str) -> Rule:
    message = f"{name} '{{}}' is {{}}: write another time, or add Z or +01:00"
    return Rule(pl.col(f"{name}_clock").is_null(), message, (f"{name}_text", f"{name}_clock"))


def _in_future(name: str, now: datetime) -> Rule:
    message = f"{name} '{{}}' is not in the future: give a later date"
    return Rule(pl.col(name) > now, message, (f"{name}_text",))
