"""Sentences over columns."""

from __future__ import annotations

import polars as pl


def phrase(template: str, *values: pl.Expr) -> pl.Expr:
    """`template` with each `{}` replaced by a value in turn; null where a value is null.

    polars' own `format` panics (2.1.0) on a column whose first chunk is empty, as filtering leaves it behind.
    """
    fixed = template.split("{}")
    parts: list[pl.Expr] = [pl.lit(fixed[0])]
    for value, text in zip(values, fixed[1:], strict=True):
        parts += [value.cast(pl.String), pl.lit(text)]
    return pl.concat_str(parts)
