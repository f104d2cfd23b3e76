"""Makes changes out of pairs: ids, kinds of item, comments as real files carry them, and revokes."""

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
    """What the comments of a file's rows are."""

    NONE = "none"
    TICKET = "ticket"
    DEPARTMENT = "department"


@dataclass(frozen=True, kw_only=True, slots=True)
class Dress:
    """What a file says beside who wants what.

    Attributes:
        seed: Of whatever is left to chance.
        comments: A request has one comment for each item, so comments keep apart what could share a request.
        people_per_ticket: How many people were asked for with one ticket, where comments are tickets.
        kinds: Shares of roles, access profiles and entitlements among the items.
        revokes: Share of revokes among the changes.
    """

    seed: int = 3
    comments: Comments = Comments.NONE
    people_per_ticket: int = 25
    kinds: tuple[float, float, float] = (1.0, 0.0, 0.0)
    revokes: float = 0.0


PLAIN: Final = Dress()
"""Grants of roles without comments."""


def changes_of(pairs: Pairs, dress: Dress = PLAIN) -> pl.DataFrame:
    """The changes, as validation would yield them."""
    source = np.random.default_rng(dress.seed)
    kinds = source.choice(3, int(pairs.items.max(initial=0)) + 1, p=dress.kinds)
    revoked = source.random(len(pairs)) < dress.revokes
    operation = (
        pl.when(pl.Series(revoked)).then(pl.lit(Operation.REVOKE.value)).otherwise(pl.lit(Operation.GRANT.value))
    )
    comment = pl.when(pl.Series(revoked)).then(pl.lit("leaves")).otherwise(pl.Series(_comments(pairs, dress)))
    frame = pl.DataFrame(
        {
            "identity_id": _spelled(PERSON_ID, pairs.people),
            "item_type": pl.Series([ItemType.ROLE, ItemType.ACCESS_PROFILE, ItemType.ENTITLEMENT])[kinds[pairs.items]],
            "item_id": _spelled(ITEM_ID, pairs.items),
        },
        schema=dict.fromkeys(("identity_id", "item_type", "item_id"), pl.String),
    )
    nothing = [pl.lit("").alias(name) for name in ("start_date", "remove_date", "metadata")]
    return frame.with_columns(operation.alias("operation"), comment.alias("comment"), *nothing).select(CHANGE_COLUMNS)


def write_file(changes: pl.DataFrame, path: Path) -> None:
    """The changes as the file that a user would have of them, a row each."""
    changes.select(name for name in CHANGE_COLUMNS if name != "metadata").write_csv(path)


def _comments(pairs: Pairs, dress: Dress) -> pl.Series:
    match dress.comments:
        case Comments.NONE:
            return _spelled("", pairs.people)
        case Comments.TICKET:
            return _spelled("TICKET-{:06}", pairs.people // dress.people_per_ticket)
        case Comments.DEPARTMENT:
            return _spelled("joins department {}", pairs.departments[pairs.people])


def _spelled(form: str, numbers: Numbers) -> pl.Series:
    """Each number in words; every different number is spelled once only."""
    different, positions = np.unique(numbers, return_inverse=True)
    return pl.Series([form.format(number) for number in different], dtype=pl.String)[positions]
