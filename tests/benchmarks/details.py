"""Turns pairs into changes: ids, item types, comments as in real files, and revokes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from batch.api.dialects import ItemType, Operation
from batch.validate.rows import CHANGE_COLUMNS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.benchmarks.workloads import Numbers, Pairs

PERSON_ID: Final = "2c918085{:024x}"
ITEM_ID: Final = "2c918086{:024x}"


class Comments(StrEnum):
    """The comments in a file's rows."""

    NONE = "none"
    TICKET = "ticket"
    DEPARTMENT = "department"


@dataclass(frozen=True, kw_only=True, slots=True)
class Details:
    """The contents of a file besides its pairs of person and item.

    Attributes:
        seed: Seed of the random choices.
        comments: A request has one comment for each item, so different comments keep changes in separate requests.
        people_per_ticket: Number of people per ticket, if comments are tickets.
        item_types: Shares of roles, access profiles and entitlements among the items.
        revokes: Share of revokes among the changes.
    """

    seed: int = 3
    comments: Comments = Comments.NONE
    people_per_ticket: int = 25
    item_types: tuple[float, float, float] = (1.0, 0.0, 0.0)
    revokes: float = 0.0


PLAIN: Final = Details()
"""Grants of roles without comments."""


def changes_of(pairs: Pairs, details: Details = PLAIN) -> pl.DataFrame:
    """The changes, as validation returns them."""
    source = np.random.default_rng(details.seed)
    item_types = source.choice(3, int(pairs.items.max(initial=0)) + 1, p=details.item_types)
    revoked = source.random(len(pairs)) < details.revokes
    operation = (
        pl.when(pl.Series(revoked)).then(pl.lit(Operation.REVOKE.value)).otherwise(pl.lit(Operation.GRANT.value))
    )
    comment = pl.when(pl.Series(revoked)).then(pl.lit("leaves")).otherwise(pl.Series(_comments(pairs, details)))
    types = pl.Series([ItemType.ROLE, ItemType.ACCESS_PROFILE, ItemType.ENTITLEMENT])
    frame = pl.DataFrame(
        {
            "identity_id": _formatted(PERSON_ID, pairs.people),
            "item_type": types[item_types[pairs.items]],
            "item_id": _formatted(ITEM_ID, pairs.items),
        },
        schema=dict.fromkeys(("identity_id", "item_type", "item_id"), pl.String),
    )
    nothing = [pl.lit("").alias(name) for name in ("start_date", "remove_date", "metadata", "account", "selection")]
    return frame.with_columns(operation.alias("operation"), comment.alias("comment"), *nothing).select(CHANGE_COLUMNS)


def write_file(changes: pl.DataFrame, path: Path) -> None:
    """Write changes as a user's file, one row each."""
    changes.select(name for name in CHANGE_COLUMNS if name not in {"metadata", "account", "selection"}).write_csv(path)


def _comments(pairs: Pairs, details: Details) -> pl.Series:
    match details.comments:
        case Comments.NONE:
            return _formatted("", pairs.people)
        case Comments.TICKET:
            return _formatted("TICKET-{:06}", pairs.people // details.people_per_ticket)
        case Comments.DEPARTMENT:
            return _formatted("joins department {}", pairs.departments[pairs.people])


def _formatted(form: str, numbers: Numbers) -> pl.Series:
    """Each number as text. Each distinct number is formatted only once."""
    distinct, positions = np.unique(numbers, return_inverse=True)
    return pl.Series([form.format(number) for number in distinct], dtype=pl.String)[positions]
