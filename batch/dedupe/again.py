"""What is planned and about to be sent, judged once more. Pure."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import polars as pl

from batch.dedupe.classify import TENANT_VERDICTS, classify
from batch.dedupe.overlap import KEY
from batch.validate.rows import CHANGE_COLUMNS, EXTENDS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime


def as_if_unplanned(
    changes: pl.DataFrame,
    known: pl.DataFrame,
    *,
    run: str,
    requests: Collection[int],
    busy: Mapping[str, str] = MappingProxyType({}),
    now: datetime | None = None,
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """The changes of some of a run's planned requests, classified as if these requests were not there.

    Args:
        changes: All changes of the input, from `classify`.
        known: The ledger's knowledge of their keys.
        run: The run's id.
        requests: Numbers of its requests.
        busy: See `classify`.
        now: See `classify`.

    Returns:
        These changes with their classes; all changes, of which only these can be fresh; and the knowledge without these
        requests.
    """
    own = (pl.col("run") == run) & pl.col("request").is_in([*requests])
    mine, rest = known.filter(own).select(KEY).unique(), known.filter(~own)
    numbered = changes.with_row_index("place")
    asked = numbered.join(mine, on=KEY, how="semi", maintain_order="left")
    again = classify(asked.select("row", "file", "line", *CHANGE_COLUMNS, EXTENDS), rest, run=run, busy=busy, now=now)
    others = numbered.join(mine, on=KEY, how="anti").with_columns(fresh=pl.lit(value=False))
    both = pl.concat([others, asked.select("place").hstack(again).select(others.columns)])
    return again, both.sort("place").drop("place"), rest


def moved(changes: pl.DataFrame, verdicts: pl.DataFrame) -> pl.DataFrame:
    """What is not to be sent any more of the changes from `as_if_unplanned`, by TENANT_VERDICTS.

    Args:
        changes: The changes.
        verdicts: What the tenant says of them.
    """
    aside = changes.filter(~pl.col("fresh")).select(
        *KEY, pl.col("class").alias("tenant_class"), pl.col("reason").alias("tenant_reason")
    )
    both = pl.concat([one.select(list(TENANT_VERDICTS)).cast(TENANT_VERDICTS) for one in (aside, verdicts)])  # type: ignore[arg-type]
    return both.unique(KEY, keep="first", maintain_order=True)
