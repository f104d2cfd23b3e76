"""The input schema: its named rules, and a message for each rule."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import dataframely as dy
import polars as pl

from batch.api.dialects import Dialect, ItemType, Operation
from batch.validate.prepare import ID_PATTERN, RESERVED_KEYS, has_control

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

_ONE_ID: Final = rf"^{ID_PATTERN}$"
_IDS: Final = rf"^{ID_PATTERN}(?:\s*\|\s*{ID_PATTERN})*$"
_OPERATIONS: Final = [operation.value for operation in Operation]
_ITEM_TYPES: Final = [item_type.value for item_type in ItemType]


def schema(dialect: Dialect, now: datetime) -> type[dy.Schema]:
    """The input schema for one dialect at one moment, over the columns of `prepare`.

    Args:
        dialect: Which fields the API version has.
        now: Dates must be later than this.
    """

    class InputRow(dy.Schema):
        row = dy.UInt32()
        operation = dy.String(nullable=True)
        identity_id = dy.String(nullable=True)
        item_type = dy.String(nullable=True)
        item_id = dy.String(nullable=True)
        identity_problem = dy.String(nullable=True)
        item_problem = dy.String(nullable=True)
        comment = dy.String(nullable=True)
        metadata = dy.String(nullable=True)
        metadata_control = dy.Bool()
        metadata_reserved = dy.Bool()
        row_problem = dy.String(nullable=True)
        date_example = dy.String(nullable=True)
        start_date_text = dy.String(nullable=True)
        remove_date_text = dy.String(nullable=True)
        start_date = dy.Datetime(nullable=True, time_zone="UTC")
        remove_date = dy.Datetime(nullable=True, time_zone="UTC")
        start_date_zoneless = dy.Bool()
        remove_date_zoneless = dy.Bool()

        @dy.rule()
        def operation_known(cls) -> pl.Expr:
            return pl.col("operation").is_in(_OPERATIONS) | _has_problem("operation")

        @dy.rule()
        def operation_possible(cls) -> pl.Expr:
            return ~_has_problem("operation")

        @dy.rule()
        def operation_fits_item_type(cls) -> pl.Expr:
            return ~_has_problem("item_type")

        @dy.rule()
        def identity_not_account(cls) -> pl.Expr:
            return ~_has_problem("account")

        @dy.rule()
        def entitlement_whole(cls) -> pl.Expr:
            return ~_has_problem("entitlement")

        @dy.rule()
        def identity_found(cls) -> pl.Expr:
            return pl.col("identity_problem").is_null()

        @dy.rule()
        def identity_id_present(cls) -> pl.Expr:
            return pl.col("identity_id").is_not_null() | pl.col("identity_problem").is_not_null()

        @dy.rule()
        def identity_id_shape(cls) -> pl.Expr:
            return pl.col("identity_id").str.contains(_ONE_ID)

        @dy.rule()
        def item_type_present(cls) -> pl.Expr:
            return pl.col("item_type").is_not_null()

        @dy.rule()
        def item_type_known(cls) -> pl.Expr:
            return pl.col("item_type").is_in(_ITEM_TYPES)

        @dy.rule()
        def item_found(cls) -> pl.Expr:
            return pl.col("item_problem").is_null()

        @dy.rule()
        def item_id_present(cls) -> pl.Expr:
            return pl.col("item_id").is_not_null() | pl.col("item_problem").is_not_null()

        @dy.rule()
        def item_id_shape(cls) -> pl.Expr:
            return pl.col("item_id").str.contains(_IDS)

        @dy.rule()
        def revoke_has_comment(cls) -> pl.Expr:
            return (pl.col("operation") != Operation.REVOKE.value) | pl.col("comment").is_not_null()

        @dy.rule()
        def start_date_readable(cls) -> pl.Expr:
            return _is_readable("start_date")

        @dy.rule()
        def remove_date_readable(cls) -> pl.Expr:
            return _is_readable("remove_date")

        @dy.rule()
        def start_date_has_zone(cls) -> pl.Expr:
            return ~pl.col("start_date_zoneless")

        @dy.rule()
        def remove_date_has_zone(cls) -> pl.Expr:
            return ~pl.col("remove_date_zoneless")

        @dy.rule()
        def start_date_in_future(cls) -> pl.Expr:
            return pl.col("start_date") > now

        @dy.rule()
        def remove_date_in_future(cls) -> pl.Expr:
            return pl.col("remove_date") > now

        @dy.rule()
        def start_before_remove(cls) -> pl.Expr:
            return pl.col("start_date") < pl.col("remove_date")

        @dy.rule()
        def start_date_supported(cls) -> pl.Expr:
            return pl.lit(dialect.start_date) | pl.col("start_date_text").is_null()

        @dy.rule()
        def start_date_not_on_revoke(cls) -> pl.Expr:
            return (pl.col("operation") != Operation.REVOKE.value) | pl.col("start_date_text").is_null()

        @dy.rule()
        def remove_date_not_on_entitlement(cls) -> pl.Expr:
            allowed = pl.lit(dialect.entitlement_remove_date)
            return allowed | (pl.col("item_type") != ItemType.ENTITLEMENT.value) | pl.col("remove_date_text").is_null()

        @dy.rule()
        def comment_printable(cls) -> pl.Expr:
            return ~has_control(pl.col("comment"))

        @dy.rule()
        def metadata_printable(cls) -> pl.Expr:
            return ~pl.col("metadata_control")

        @dy.rule()
        def metadata_key_free(cls) -> pl.Expr:
            return ~pl.col("metadata_reserved")

    return InputRow


def _is_readable(name: str) -> pl.Expr:
    return pl.col(f"{name}_text").is_null() | pl.col(name).is_not_null()


def _has_problem(name: str) -> pl.Expr:
    return pl.col("row_problem").eq_missing(pl.lit(name))


EXCLUSIVE_RULES: Final = frozenset(
    {"operation_possible", "operation_fits_item_type", "identity_not_account", "entitlement_whole"}
)
"""Rules of IdentityIQ files: if a row breaks one, only these are reported; the rules of our own columns don't apply."""

MESSAGES: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "operation_known": ("operation", "operation '{}' is unknown: write GRANT or REVOKE"),
        "operation_possible": (
            "operation",
            "access-batch can't do IdentityIQ's operation '{}': it only grants and revokes roles and entitlements",
        ),
        "operation_fits_item_type": ("item_type", "the operation is for {}s, but item_type differs: clear item_type"),
        "identity_not_account": ("", "nativeIdentity names an account, which can't be looked up: give identityName"),
        "entitlement_whole": ("", "the entitlement is incomplete: give application, attributeName and attributeValue"),
        "identity_found": ("identity_problem", "{}"),
        "identity_id_present": ("", "the identity is missing: give identity_id or identity"),
        "identity_id_shape": ("identity_id", "identity_id '{}' is not an id: give 32 hex digits or a UUID"),
        "item_type_present": ("", "item_type is missing: write ROLE, ACCESS_PROFILE or ENTITLEMENT"),
        "item_type_known": ("item_type", "item_type '{}' is unknown: write ROLE, ACCESS_PROFILE or ENTITLEMENT"),
        "item_found": ("item_problem", "{}"),
        "item_id_present": ("", "the item is missing: give item_id or item"),
        "item_id_shape": ("item_id", "item_id '{}' is not an id: give 32 hex digits or a UUID"),
        "revoke_has_comment": ("", "a revoke needs a comment: add one, or give --comment"),
        "start_date_readable": ("start_date_text date_example", "start_date '{}' is not a date: write {}"),
        "remove_date_readable": ("remove_date_text date_example", "remove_date '{}' is not a date: write {}"),
        "start_date_has_zone": ("start_date_text", "start_date '{}' has a time without a zone: add Z or +01:00"),
        "remove_date_has_zone": ("remove_date_text", "remove_date '{}' has a time without a zone: add Z or +01:00"),
        "start_date_in_future": ("start_date_text", "start_date '{}' is not in the future: give a later date"),
        "remove_date_in_future": ("remove_date_text", "remove_date '{}' is not in the future: give a later date"),
        "start_before_remove": ("remove_date_text", "remove_date '{}' is not after start_date: give a later date"),
        "start_date_supported": ("", "this API version has no start_date: clear it, or choose a later --api"),
        "start_date_not_on_revoke": ("", "a revoke can't have a start_date: clear it"),
        "remove_date_not_on_entitlement": (
            "",
            "in this API version an entitlement can't have a remove_date: choose a later --api, or clear it",
        ),
        "comment_printable": ("", "comment contains control characters: remove them"),
        "metadata_printable": ("", "metadata contains control characters: remove them"),
        "metadata_key_free": (
            "",
            f"access-batch reserves the metadata keys {' and '.join(RESERVED_KEYS)}: rename the column",
        ),
    }
)
"""For each rule: the columns that its message shows (none, one, or several), and the message."""
