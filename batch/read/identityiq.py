"""Batch request files of IdentityIQ: recognised by their operations, and translated into grants and revokes. Pure.

Format, from the product's help, “Batch Request Types and Examples” and “Adding Roles by Batch Request”: a header line;
`operation, roles, identityName, sunrise, sunset` for roles; `application`, `attributeName`, `attributeValue` and
`identityName` or `nativeIdentity` for entitlements; `|` separates several roles or values in one cell; dates are
MM/DD/YYYY, optionally with H:m:s and a zone. The help names no column for comments; we read `comments` as one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from batch.api.dialects import ItemType, Operation
from batch.errors import InputFileError
from batch.read.columns import ITEM_TYPES, KNOWN_COLUMNS, as_word
from batch.read.date_forms import US
from batch.read.header import API_NAMES
from batch.read.item_names import EntitlementName, join_items

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from batch.read.interpretation import Interpretation

PROBLEMS: Final = ("operation", "account", "entitlement", "item_type")
"""Why a row can't be read: its operation does not change access; it names an account instead of an identity; a part of
its entitlement is missing; its operation contradicts its item_type."""

DATE_COLUMNS: Final = ("sunrise", "sunset")
NAME_COLUMNS: Final = frozenset({"identityname", "roles", "application", "attributename", "attributevalue"})
"""Columns, in lower case, that hold names and ids."""


class _Change(NamedTuple):
    operation: Operation
    item_type: ItemType


_OPERATIONS: Final = {
    "addrole": _Change(Operation.GRANT, ItemType.ROLE),
    "removerole": _Change(Operation.REVOKE, ItemType.ROLE),
    "addentitlement": _Change(Operation.GRANT, ItemType.ENTITLEMENT),
    "removeentitlement": _Change(Operation.REVOKE, ItemType.ENTITLEMENT),
}
_ITEM_TYPE_OF: Final = {word: change.item_type.value for word, change in _OPERATIONS.items()}
_OPERATION_OF: Final = {word: change.operation.value for word, change in _OPERATIONS.items()}
_UNSUPPORTED: Final = (
    "createidentity", "modifyidentity", "createaccount", "deleteaccount", "enableaccount", "disableaccount",
    "unlockaccount", "changepassword",
)  # fmt: skip
_PARTS: Final = ("application", "attributename", "attributevalue")
_COLUMNS: Final = ("identityname", "nativeidentity", "roles", *_PARTS, *DATE_COLUMNS, "comments")
_OURS: Final = (
    "operation", "identity", "item_type", "item", "comment", "start_date", "remove_date", "account", "source",
)  # fmt: skip
_SOURCES: Final = {
    "identity": "identityname",
    "comment": "comments",
    "start_date": "sunrise",
    "remove_date": "sunset",
    "account": "nativeidentity",
    "source": "application",
}
"""For our columns, the column of IdentityIQ with the same meaning."""


def recognised_names(interpretation: Interpretation) -> frozenset[str]:
    """Lower-case column names that identify a header as well as our own do, the API's among them."""
    return frozenset({*_COLUMNS, *API_NAMES, *(column_map.key for column_map in interpretation.maps)})


def is_theirs(name: str) -> bool:
    """Whether a column has one of IdentityIQ's names, in any case."""
    return name.lower() in _COLUMNS


def items_column(operation: str | None, names: Sequence[str]) -> str | None:
    """The column of IdentityIQ from which a row's items are read; None if they are read from ours.

    Args:
        operation: The row's operation, as written.
        names: Canonical names of the file's columns.
    """
    change = _OPERATIONS.get((operation or "").strip().lower())
    if change is None:
        return None
    theirs = {name.lower(): name for name in names}
    return theirs.get("roles" if change.item_type is ItemType.ROLE else "attributevalue")


def is_identityiq(rows: pl.DataFrame) -> bool:
    """Whether any row has an operation of IdentityIQ.

    Args:
        rows: As written, columns by their canonical names.
    """
    if "operation" not in rows.columns:
        return False
    return not set(_lowered("operation", rows).unique()).isdisjoint((*_OPERATIONS, *_UNSUPPORTED))


def translate(
    rows: pl.DataFrame, names: Sequence[str], file: str, interpretation: Interpretation
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Translate the rows that have an operation of IdentityIQ; leave the others as they are.

    Args:
        rows: As written, columns by their canonical names.
        names: Canonical names of the user's columns.
        file: The file's name for messages.
        interpretation: The user's reading options.

    Returns:
        The rows with our columns filled, plus `_row_problem` and `_dates` for IdentityIQ's rows; and notices.

    Raises:
        InputFileError: Two columns have one name in IdentityIQ.
    """
    theirs = _their_columns(names, file)
    cells = _cells(rows, theirs).with_columns(
        _by_word(_ITEM_TYPE_OF).alias("their_item_type"), _by_word(_OPERATION_OF).alias("their_operation")
    )
    is_access = pl.col("their_item_type").is_not_null()
    is_foreign = is_access | _is_unsupported()
    cells = cells.with_columns(_entitlements(cells).alias("entitlements"))
    translations = {
        name: pl.when(is_foreign).then(pl.col(source)).otherwise(pl.col(f"our_{name}"))
        for name, source in _SOURCES.items()
        if source in theirs
    }
    translations |= {
        "operation": pl.coalesce("their_operation", "our_operation"),
        "item_type": pl.coalesce("their_item_type", "our_item_type"),
        "item": pl.when(is_access).then(_item(theirs)).otherwise(pl.col("our_item")),
        "_row_problem": _problem(theirs, names),
        "_dates": pl.when(is_foreign).then(pl.lit(interpretation.dates(US))),
    }
    translated = cells.select(expression.alias(name) for name, expression in translations.items())
    notices = tuple(_notices(file, interpretation, cells.filter(is_access)))
    return rows.with_columns(translated.get_columns()), notices


def _cells(rows: pl.DataFrame, theirs: Mapping[str, str]) -> pl.DataFrame:
    """The rows' cells under fixed names; null if the file has no such column.

    Returns:
        `word` (the operation in lower case); each of `_COLUMNS` without surrounding space, blank cells null; each of
        `_OURS` as `our_…`, as written.
    """

    def cell(name: str) -> pl.Expr:
        stripped = pl.col(theirs[name]).str.strip_chars() if name in theirs else pl.lit(None, pl.String)
        return pl.when(stripped != "").then(stripped).alias(name)

    def ours(name: str) -> pl.Expr:
        return (pl.col(name) if name in rows.columns else pl.lit(None, pl.String)).alias(f"our_{name}")

    return rows.select(
        _lowered("operation", rows).alias("word"), *(cell(name) for name in _COLUMNS), *(ours(name) for name in _OURS)
    )


def _by_word(values: Mapping[str, str]) -> pl.Expr:
    return pl.col("word").replace_strict(values, default=None, return_dtype=pl.String)


def _is_unsupported() -> pl.Expr:
    return pl.col("word").is_in(list(_UNSUPPORTED))


def _is_entitlement() -> pl.Expr:
    return pl.col("their_item_type").eq_missing(pl.lit(ItemType.ENTITLEMENT.value))


def _has_parts(theirs: Mapping[str, str]) -> bool:
    return not theirs.keys().isdisjoint(_PARTS)


def _item(theirs: Mapping[str, str]) -> pl.Expr:
    """The item in our form; from our own column if the file has none of IdentityIQ's columns for it."""
    # In IdentityIQ a backslash is plain text; in our form it is an escape before a bar.
    roles = pl.col("roles").str.replace_all(r"(\\+)\|", "${1}${1}|") if "roles" in theirs else pl.col("our_item")
    entitlements = pl.col("entitlements") if _has_parts(theirs) else pl.col("our_item")
    return pl.when(_is_entitlement()).then(entitlements).otherwise(roles)


def _problem(theirs: Mapping[str, str], names: Sequence[str]) -> pl.Expr:
    own_type = as_word(pl.col("our_item_type"), ITEM_TYPES)
    has_identity = "identityname" not in theirs and "identity" in names
    is_account = pl.col("identityname").is_null() & pl.col("nativeidentity").is_not_null()
    is_incomplete = _is_entitlement() & pl.col("entitlements").is_null()
    return (
        pl.when(_is_unsupported())
        .then(pl.lit("operation"))
        .when(own_type != pl.col("their_item_type"))
        .then(pl.lit("item_type"))
        .when(pl.lit(not has_identity) & pl.col("their_item_type").is_not_null() & is_account)
        .then(pl.lit("account"))
        .when(pl.lit(_has_parts(theirs)) & is_incomplete)
        .then(pl.lit("entitlement"))
    )


def _lowered(name: str, rows: pl.DataFrame) -> pl.Series:
    return rows.get_column(name).fill_null("").str.strip_chars().str.to_lowercase()


def _their_columns(names: Sequence[str], file: str) -> dict[str, str]:
    """The canonical name of each column of IdentityIQ that the file has, by its lower-case name."""
    theirs: dict[str, str] = {}
    for name in names:
        lowered = name.lower()
        if lowered in _COLUMNS and name not in KNOWN_COLUMNS:
            if lowered in theirs:
                raise InputFileError(
                    f"{file} has two columns for `{lowered}`: `{theirs[lowered]}` and `{name}`.",
                    next_step="Remove or rename one of them.",
                )
            theirs[lowered] = name
    return theirs


def _entitlements(cells: pl.DataFrame) -> pl.Series:
    """The entitlements of each row in our form, one for each value; null if a part is missing."""
    parts = cells.select(*_PARTS, _is_entitlement().alias("is_entitlement")).rows()
    return pl.Series([_entitlement_cell(*row) if is_one else None for *row, is_one in parts], dtype=pl.String)


def _entitlement_cell(application: str | None, attribute: str | None, cell: str | None) -> str | None:
    values = [value.strip() for value in (cell or "").split("|")]
    if not application or not attribute or not all(values):
        return None
    names = [EntitlementName(source=application, attribute=attribute, value=value).text for value in values]
    return join_items(ItemType.ENTITLEMENT, names)


def _notices(file: str, interpretation: Interpretation, access_rows: pl.DataFrame) -> list[str]:
    date_format = interpretation.date_format or "month/day/year"
    recognised = (
        f"{file} is a batch file of IdentityIQ: AddRole and AddEntitlement are read as GRANT, RemoveRole and "
        f"RemoveEntitlement as REVOKE, sunrise and sunset as start_date and remove_date ({date_format})."
    )
    notices = [recognised]
    revokes = access_rows.filter(pl.col("their_operation") == Operation.REVOKE.value)
    if not interpretation.comment and revokes.filter(pl.coalesce("comments", "our_comment").is_null()).height:
        notices.append(f"{file}: a revoke needs a comment; --comment TEXT adds one to every row without its own.")
    if access_rows.select("nativeidentity", "identityname").drop_nulls().height:
        notices.append(f"{file}: nativeIdentity is read as account, for people with several accounts.")
    return notices
