"""Batch request files of IdentityIQ: recognised by their operations, and read as grants and revokes. Pure.

Format: the product's help, “Batch Request Types and Examples” and “Adding Roles by Batch Request”: a header line;
`operation, roles, identityName, sunrise, sunset` for roles; `application`, `attributeName`, `attributeValue` and
`identityName` or `nativeIdentity` for entitlements; several roles or values in one cell parted by `|`; dates as
MM/DD/YYYY, with H:m:s and a zone where wanted. No column of comments is known; one named `comments` is read as such.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from batch.api.dialects import ItemType, Operation
from batch.errors import InputFileError
from batch.read.columns import KNOWN_COLUMNS
from batch.read.date_forms import US
from batch.read.header import check_misspelt
from batch.read.item_names import EntitlementName, join_items

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from batch.read.interpretation import Interpretation

PROBLEMS: Final = ("operation", "account", "entitlement", "item_type")
"""Why a row can't be read: its operation is none of access; it names an account instead of an identity; its entitlement
is not whole; its operation contradicts its item_type."""

DATE_COLUMNS: Final = ("sunrise", "sunset")


class _Meaning(NamedTuple):
    operation: Operation
    item_type: ItemType


_OPERATIONS: Final = {
    "addrole": _Meaning(Operation.GRANT, ItemType.ROLE),
    "removerole": _Meaning(Operation.REVOKE, ItemType.ROLE),
    "addentitlement": _Meaning(Operation.GRANT, ItemType.ENTITLEMENT),
    "removeentitlement": _Meaning(Operation.REVOKE, ItemType.ENTITLEMENT),
}
_TYPES: Final = {word: meaning.item_type.value for word, meaning in _OPERATIONS.items()}
_GRANTED: Final = {word: meaning.operation.value for word, meaning in _OPERATIONS.items()}
_IMPOSSIBLE: Final = (
    "createidentity", "modifyidentity", "createaccount", "deleteaccount", "enableaccount", "disableaccount",
    "unlockaccount", "changepassword",
)  # fmt: skip
_PARTS: Final = ("application", "attributename", "attributevalue")
_COLUMNS: Final = ("identityname", "nativeidentity", "roles", *_PARTS, *DATE_COLUMNS, "comments")
_OURS: Final = ("operation", "identity", "item_type", "item", "comment", "start_date", "remove_date")
_WHERE: Final = {"identity": "identityname", "comment": "comments", "start_date": "sunrise", "remove_date": "sunset"}
"""Of our columns the one of theirs that says the same."""


def recognised_names(wanted: Interpretation) -> frozenset[str]:
    """Names of columns, in small letters, that tell a header as well as ours do."""
    return frozenset({*_COLUMNS, *(one.key for one in wanted.maps)})


def is_identityiq(rows: pl.DataFrame) -> bool:
    """Whether any row has an operation of IdentityIQ.

    Args:
        rows: As written, columns by their canonical names.
    """
    if "operation" not in rows.columns:
        return False
    return not set(_lowered("operation", rows).unique()).isdisjoint((*_OPERATIONS, *_IMPOSSIBLE))


def translate(
    rows: pl.DataFrame, names: Sequence[str], file: str, wanted: Interpretation
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Reads the rows that have an operation of IdentityIQ; the others stay as they are.

    Args:
        rows: As written, columns by their canonical names.
        names: Those of the user's columns.
        file: How messages call the file.
        wanted: May say how dates are written, and give a comment.

    Returns:
        The rows with our columns filled, and `_row_problem` and `_dates` for IdentityIQ's; and sentences for the user.

    Raises:
        InputFileError: Two columns have one name in IdentityIQ, or one is nearly ours.
    """
    theirs = _their_columns(names, file)
    check_misspelt([name for name in names if name.lower() not in _COLUMNS], file)
    date_format = wanted.date_format or US
    said = _said(rows, theirs).with_columns(_kind(_TYPES).alias("kind"), _kind(_GRANTED).alias("granted"))
    is_access = pl.col("kind").is_not_null()
    is_foreign = is_access | _is_impossible()
    said = said.with_columns(_entitlements(said).alias("entitlements"))
    meant = {
        name: pl.when(is_foreign).then(pl.col(source)).otherwise(pl.col(f"our_{name}"))
        for name, source in _WHERE.items()
        if source in theirs
    }
    meant |= {
        "operation": pl.coalesce("granted", "our_operation"),
        "item_type": pl.coalesce("kind", "our_item_type"),
        "item": pl.when(is_access).then(_item(theirs)).otherwise(pl.col("our_item")),
        "_row_problem": _problem(theirs, names),
        "_dates": pl.when(is_foreign).then(pl.lit(date_format)),
    }
    meaning = said.select(expression.alias(name) for name, expression in meant.items())
    translated = rows.with_columns(meaning.get_columns())
    return translated, tuple(_notices(file, wanted, said.filter(is_access)))


def _said(rows: pl.DataFrame, theirs: Mapping[str, str]) -> pl.DataFrame:
    """What the rows say, in columns that are always there.

    Returns:
        `word` (the operation in small letters); each of `_COLUMNS` without surrounding space, null where it is blank;
        each of `_OURS` as `our_…`. Null where a column is absent.
    """

    def cell(name: str) -> pl.Expr:
        stripped = pl.col(theirs[name]).str.strip_chars() if name in theirs else pl.lit(None, pl.String)
        return pl.when(stripped != "").then(stripped).alias(name)

    def ours(name: str) -> pl.Expr:
        return (pl.col(name) if name in rows.columns else pl.lit(None, pl.String)).alias(f"our_{name}")

    return rows.select(
        _lowered("operation", rows).alias("word"), *(cell(name) for name in _COLUMNS), *(ours(name) for name in _OURS)
    )


def _kind(words: Mapping[str, str]) -> pl.Expr:
    return pl.col("word").replace_strict(words, default=None, return_dtype=pl.String)


def _is_impossible() -> pl.Expr:
    return pl.col("word").is_in(list(_IMPOSSIBLE))


def _is_entitlement() -> pl.Expr:
    return pl.col("kind").eq_missing(pl.lit(ItemType.ENTITLEMENT.value))


def _has_parts(theirs: Mapping[str, str]) -> bool:
    return not theirs.keys().isdisjoint(_PARTS)


def _item(theirs: Mapping[str, str]) -> pl.Expr:
    """The item in its form here. A file that has no such column of theirs may have ours."""
    # There a backslash means nothing; here it would before a bar.
    roles = pl.col("roles").str.replace_all(r"(\\+)\|", "${1}${1}|") if "roles" in theirs else pl.col("our_item")
    entitlements = pl.col("entitlements") if _has_parts(theirs) else pl.col("our_item")
    return pl.when(_is_entitlement()).then(entitlements).otherwise(roles)


def _problem(theirs: Mapping[str, str], names: Sequence[str]) -> pl.Expr:
    own_type = pl.col("our_item_type").str.strip_chars().str.to_uppercase()
    is_named = "identityname" not in theirs and "identity" in names
    is_account = pl.col("identityname").is_null() & pl.col("nativeidentity").is_not_null()
    is_cut = _is_entitlement() & pl.col("entitlements").is_null()
    return (
        pl.when(_is_impossible())
        .then(pl.lit("operation"))
        .when((own_type != "") & (own_type != pl.col("kind")))
        .then(pl.lit("item_type"))
        .when(pl.lit(not is_named) & pl.col("kind").is_not_null() & is_account)
        .then(pl.lit("account"))
        .when(pl.lit(_has_parts(theirs)) & is_cut)
        .then(pl.lit("entitlement"))
    )


def _lowered(name: str, rows: pl.DataFrame) -> pl.Series:
    return rows.get_column(name).fill_null("").str.strip_chars().str.to_lowercase()


def _their_columns(names: Sequence[str], file: str) -> dict[str, str]:
    """Of each column of IdentityIQ that the file has, its canonical name."""
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


def _entitlements(said: pl.DataFrame) -> pl.Series:
    """Cells of entitlements, one of them for each value; null where a part is missing."""
    parts = said.select(*_PARTS, _is_entitlement().alias("is_wanted")).rows()
    return pl.Series([_entitlement_cell(*row) if wanted else None for *row, wanted in parts], dtype=pl.String)


def _entitlement_cell(application: str | None, attribute: str | None, values: str | None) -> str | None:
    parted = [value.strip() for value in (values or "").split("|")]
    if not application or not attribute or not all(parted):
        return None
    names = [EntitlementName(source=application, attribute=attribute, value=value).text for value in parted]
    return join_items(ItemType.ENTITLEMENT, names)


def _notices(file: str, wanted: Interpretation, accesses: pl.DataFrame) -> list[str]:
    how = wanted.date_format or "month/day/year"
    recognised = (
        f"{file} is a batch file of IdentityIQ: AddRole and AddEntitlement are read as GRANT, RemoveRole and "
        f"RemoveEntitlement as REVOKE, sunrise and sunset as start_date and remove_date ({how})."
    )
    notices = [recognised]
    revokes = accesses.filter(pl.col("granted") == Operation.REVOKE.value)
    if not wanted.comment and revokes.filter(pl.coalesce("comments", "our_comment").is_null()).height:
        notices.append(f"{file}: a revoke needs a comment here; --comment gives one to every row without its own.")
    if accesses.select("nativeidentity", "identityname").drop_nulls().height:
        notices.append(f"{file}: nativeIdentity is not acted on; the tenant chooses the account.")
    return notices
