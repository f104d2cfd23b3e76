"""Changes that may be the same although one of them names an account. Pure.

The account is part of a change's key only if its person has several on the item's source, and is empty otherwise. Older
changes, and those of which nobody knew that there are several, have none: they may be about any account of the person,
so an empty account overlaps every one. Two accounts overlap as well if nothing tells them apart, see api.account_key.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from batch.api.account_key import ID, NAME, NATIVE, UUID, word_of_pattern

ACCESS: Final = ("identity_id", "item_type", "item_id")
"""Columns of an access: the key of a change without its account."""

KEY: Final = (*ACCESS, "account")
"""Columns of the key of a change."""


def is_one(account: pl.Expr, other: pl.Expr) -> pl.Expr:
    """Whether two accounts of one access are certainly the same."""
    return (account == other) | _share(account, other, ID, UUID, NATIVE)


def may_be_one(account: pl.Expr, other: pl.Expr) -> pl.Expr:
    """Whether two accounts of one access may be the same: they share a word, or nothing tells them apart."""
    differ = pl.any_horizontal(
        _word(account, kind).is_not_null() & _word(other, kind).is_not_null() for kind in (ID, UUID, NATIVE)
    )
    return (account == other) | ~differ | _share(account, other, ID, UUID, NATIVE, NAME)


def _share(account: pl.Expr, other: pl.Expr, *kinds: str) -> pl.Expr:
    return pl.any_horizontal((_word(account, kind) == _word(other, kind)).fill_null(value=False) for kind in kinds)


def _word(account: pl.Expr, kind: str) -> pl.Expr:
    return account.str.extract(word_of_pattern(kind))


def in_words(account: pl.Expr) -> pl.Expr:
    """An account as messages name it; empty for none."""
    word = pl.coalesce(*(_word(account, kind) for kind in (NATIVE, NAME, ID, UUID)), account)
    return word.str.replace_all(r"\\(.)", "$1")


def overlapping(lines: pl.DataFrame, others: pl.DataFrame) -> pl.DataFrame:
    """The lines, in their order, that may be about the same change as one of the others; both have KEY."""
    return lines.filter(_overlaps(lines, others))


def not_overlapping(lines: pl.DataFrame, others: pl.DataFrame) -> pl.DataFrame:
    """The rest of the lines, in their order."""
    return lines.filter(~_overlaps(lines, others))


def _overlaps(lines: pl.DataFrame, others: pl.DataFrame) -> pl.Series:
    """Whether each line overlaps one of the others."""
    numbered = lines.select(KEY).with_row_index("line")
    wanted = others.select(*ACCESS, pl.col("account").alias("other")).unique()
    # Hardly any change has an account. Without one on either side, the access decides.
    if (numbered.get_column("account") == "").all() or (wanted.get_column("other") == "").all():
        found = numbered.join(wanted, on=ACCESS, how="semi")
    else:
        found = numbered.join(wanted, on=ACCESS, how="inner").filter(may_be_one(pl.col("account"), pl.col("other")))
    return numbered.get_column("line").is_in(found.get_column("line").unique().implode())
