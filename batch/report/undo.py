"""`undo.csv`: the revoke file for what a run was granted; an input like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from batch.defuse import defused
from batch.dialects import Operation

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from batch.withdraw import Change

UNDO: Final = "undo.csv"


def write_undo(folder: Path, changes: Sequence[Change], comment: str) -> str | None:
    """Writes one revoke for each change.

    Args:
        folder: Where to.
        changes: From withdraw.to_revoke.
        comment: Of each revoke; the tenant wants one.

    Returns:
        The file's path; None when there is nothing to write.
    """
    if not changes:
        return None
    rows = pl.DataFrame(
        [(Operation.REVOKE.value, one.identity, one.item_type, one.item, comment) for one in changes],
        schema=dict.fromkeys(("operation", "identity_id", "item_type", "item_id", "comment"), pl.String),
        orient="row",
    )
    path = folder / UNDO
    unfinished = path.with_name(f".{path.name}.unfinished")
    rows.with_columns(defused(pl.col(pl.String))).write_csv(unfinished)
    unfinished.replace(path)
    return str(path)
