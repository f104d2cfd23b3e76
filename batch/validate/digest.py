"""The digest that identifies an input: of its set of rows, in the columns that are sent, however they are written."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import polars as pl

from batch.model import IdentityBy
from batch.text import id_key
from batch.validate.prepare import ACCOUNT_COLUMNS, DATE_COLUMNS, ID_PATTERN, blank_to_null, prepare, rfc3339

if TYPE_CHECKING:
    from batch.read import Table

_AT_ONCE: Final = 100_000
"""Rows that are hashed at once; this bounds the memory."""

_CELL, _ROW, _KIND = "\x1f", "\x1e", "\x1d"
"""Separators. If a cell contains one, each row ends with the lengths of its cells: no two inputs look the same."""


def input_digest(table: Table, identity_by: IdentityBy) -> str:
    """Identifies an input: equal for inputs that want the same, in any order, number, encoding and file format.

    It is the SHA-256 over the distinct rows, sorted, in canonical form: keys of ids, instants, metadata by key. A name
    stands as written, with what the names of identities are. A record that can't be parsed stands as its text.

    Args:
        table: As read.
        identity_by: What the names of identities are.
    """
    digest = hashlib.sha256()
    unread = table.rejected.select(blank_to_null(pl.col("_raw")))
    for cells in (_canonical(table.rows, identity_by), unread):
        lines = _lines(cells).sort()
        lines = lines.filter((lines != lines.shift()).fill_null(value=True))
        for start in range(0, lines.len(), _AT_ONCE):
            digest.update((lines.slice(start, _AT_ONCE).str.join(_ROW).item() + _ROW).encode())
        digest.update(_KIND.encode())
    return digest.hexdigest()


def _lines(cells: pl.DataFrame) -> pl.Series:
    """Each row as one text."""
    filled = cells.select(pl.all().fill_null(""))
    parts = [pl.col(name) for name in filled.columns]
    if filled.select(pl.any_horizontal(part.str.contains(f"[{_CELL}{_ROW}{_KIND}]").any() for part in parts)).item():
        parts.append(pl.concat_str([part.str.len_bytes() for part in parts], separator=","))
    return filled.select(pl.concat_str(parts, separator=_CELL).alias("line")).to_series()


def _canonical(rows: pl.DataFrame, identity_by: IdentityBy) -> pl.DataFrame:
    """The columns that are sent, in canonical form: equal for rows that mean the same."""
    dated = [name for name in rows.columns if name in DATE_COLUMNS]
    # In this order, the members of the metadata are sorted by key; `select` would take some names for patterns.
    ordered = [rows.get_column(name) for name in sorted(set(rows.columns) - set(dated))]
    prepared = prepare(pl.DataFrame(ordered)).collect()
    items = prepared.get_column("item_id").str.replace_all(r"\s*\|\s*", "|")
    # The columns that differ most stand first, which makes sorting several times faster.
    return prepared.select(
        _id_or_name(rows, prepared.get_column("identity_id"), "identity", identity_by),
        _id_or_name(rows, items, "item", IdentityBy.AUTO),
        "operation",
        "item_type",
        "comment",
        "metadata",
        "row_problem",
        *(_date(rows, name) if name in dated else pl.lit("").alias(name) for name in DATE_COLUMNS),
        *_accounts(rows),
    )


def _accounts(rows: pl.DataFrame) -> list[pl.Series]:
    """The accounts and their sources, as written; nothing without accounts, as in digests of older versions."""
    names = [name for name in ACCOUNT_COLUMNS if name in rows.columns]
    written = rows.select(blank_to_null(pl.col(name)) for name in names)
    return written.get_columns() if ACCOUNT_COLUMNS[0] in names and written[ACCOUNT_COLUMNS[0]].count() else []


def _id_or_name(rows: pl.DataFrame, ids: pl.Series, name: str, by: IdentityBy) -> pl.Series:
    """The key of each id, or the name instead of it; no name looks like the key of an id."""
    keys = pl.select(id_key(pl.lit(ids))).to_series().alias(name)
    if name not in rows.columns or not ids.null_count():
        return keys
    written = blank_to_null(pl.col(name))
    is_id = pl.lit(by is IdentityBy.ID) | (written.str.contains(f"^{ID_PATTERN}$") & pl.lit(by is IdentityBy.AUTO))
    instead = pl.when(is_id).then(id_key(written)).otherwise(pl.concat_str(pl.lit(f"{by} "), written))
    return rows.select(pl.coalesce(pl.lit(keys), instead).alias(name)).to_series()


def _date(rows: pl.DataFrame, name: str) -> pl.Series:
    """The instants; a text that is none stays a text. Each text is read once: many rows have the same."""
    key = [column for column in (name, "_dates") if column in rows.columns]
    texts = rows.select(key).unique()
    is_instant = pl.col(name).is_not_null() & ~pl.col(f"{name}_zoneless")
    read = prepare(texts).select(
        pl.when(is_instant).then(rfc3339(pl.col(name))).otherwise(f"{name}_text").alias("meant")
    )
    named = texts.hstack(read.collect())
    joined = rows.select(key).join(named, on=key, how="left", nulls_equal=True, maintain_order="left")
    return joined.get_column("meant").alias(name)
