"""The independent check of a plan, right before it is written: it asks for exactly the wanted pairs.

It shares no code with the planner on purpose. It reads the plan as what it will become, products of identities and
items, and compares these with the wanted changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from batch.api.dialects import ItemType, Operation
from batch.errors import BrokenPromiseError

if TYPE_CHECKING:
    from batch.api.dialects import Limits

_PAIR: Final = [
    "identity_id", "operation", "item_type", "item_id", "comment", "start_date", "remove_date", "metadata", "account",
    "selection",
]  # fmt: skip
_ACCESS: Final = ["identity_id", "item_type", "item_id"]
_KEY: Final = [*_ACCESS, "account"]


_CANT_NAME: Final = "a request names an account, which grants of this API version can't"


def check_plan(
    planned: pl.DataFrame,
    wanted: pl.DataFrame,
    limits: Limits,
    envelopes: pl.DataFrame | None = None,
    *,
    nested: bool = False,
) -> None:
    """Proves that the requests of a plan ask for exactly the wanted changes and are legal.

    Args:
        planned: The planned changes with `request`.
        wanted: The changes to plan.
        limits: Limits of one request.
        envelopes: Which requests share a body, as `request` and `number`; None if none do.
        nested: Whether the API version allows such bodies.

    Raises:
        BrokenPromiseError: The plan must not be sent.
    """
    _refuse(planned.height != wanted.height, "it has more or fewer changes than wanted")
    marks = planned.select(
        "request",
        pl.struct(_KEY).hash().alias("key"),
        pl.struct(_ACCESS).hash().alias("access"),
        pl.col("identity_id").hash().alias("identity"),
        pl.struct(_PAIR[1:]).hash().alias("item"),
        (pl.col("operation") == Operation.REVOKE.value).alias("revoke"),
        (pl.col("item_type") == ItemType.ENTITLEMENT.value).alias("entitlement"),
        (pl.col("comment") == "").alias("uncommented"),
        (pl.col("selection") != "").alias("account"),
    )
    _refuse(_repeats(planned, marks.get_column("key")), "it asks for a change twice")
    _refuse(not _same(planned.select(_PAIR), wanted.select(_PAIR)), "it asks for an unwanted change")
    requests = marks.group_by("request").agg(
        pl.len().alias("changes"),
        pl.col("identity").n_unique().alias("recipients"),
        pl.col("item").n_unique().alias("items"),
        (pl.col("revoke").any() != pl.col("revoke").all()).alias("mixed"),
        pl.col("revoke").any(),
        pl.col("entitlement").any(),
        pl.col("uncommented").any(),
        pl.col("account").any(),
        (pl.col("access").n_unique() < pl.len()).alias("several"),
    )

    def any_request(condition: pl.Expr) -> bool:
        return bool(requests.select(condition.any()).item())

    recipients, items = pl.col("recipients"), pl.col("items")
    _refuse(any_request(pl.col("mixed")), "a request mixes grants and revokes")
    _refuse(any_request(recipients * items != pl.col("changes")), "a request's product holds an unwanted pair")
    _refuse(any_request((recipients > limits.recipients) | (items > limits.items)), "a request is too large")
    _refuse(any_request(pl.col("several")), "a request asks for an item on several accounts of one identity")
    _refuse(any_request(pl.col("account") & (recipients > 1)), "a request names an account for several identities")
    _refuse(not nested and any_request(pl.col("account") & ~pl.col("revoke")), _CANT_NAME)
    revoke = pl.col("revoke")
    _refuse(any_request(revoke & (recipients > 1)), "a revoke has several identities")
    _refuse(any_request(revoke & (items > limits.revoke_items)), "a revoke has too many items")
    _refuse(
        any_request(revoke & pl.col("entitlement") & (items > limits.revoke_entitlements)),
        "a revoke mixes entitlements",
    )
    _refuse(any_request(revoke & pl.col("uncommented")), "a revoke lacks its comment")
    if envelopes is not None and envelopes.height:
        _refuse(not nested, "requests share a body, which this API version does not know")
        _check_envelopes(envelopes, marks, limits)


def _check_envelopes(envelopes: pl.DataFrame, marks: pl.DataFrame, limits: Limits) -> None:
    """Proves that shared bodies are legal, once it is known that no pair is in two requests.

    The requests of a body have consecutive numbers, because the ledger claims whole bodies that way.
    """
    _refuse(bool(envelopes.get_column("request").is_duplicated().any()), "a request is in two bodies")
    _refuse(
        not envelopes.join(marks, on="request", how="anti").is_empty(),
        "a body holds a request that does not exist",
    )
    members = envelopes.group_by("number").agg(
        pl.len().alias("requests"), pl.col("request").min().alias("first"), pl.col("request").max().alias("last")
    )
    asked = (
        marks.join(envelopes, on="request")
        .group_by("number")
        .agg(
            pl.len().alias("items"),
            pl.col("identity").n_unique().alias("people"),
            pl.col("revoke").any(),
            pl.col("access").n_unique().alias("accesses"),
        )
    )
    number, first, last, requests = (pl.col(name) for name in ("number", "first", "last", "requests"))
    _refuse(
        bool(members.select(((number != first) | (last - first + 1 != requests) | (requests == 1)).any()).item()),
        "the requests of a body are not consecutive",
    )
    too_large = (pl.col("items") > limits.items) | (pl.col("people") > limits.recipients)
    _refuse(bool(asked.select(too_large.any()).item()), "a body of several requests is too large")
    _refuse(bool(asked.select(pl.col("revoke").any()).item()), "a body of several requests revokes")
    several = pl.col("accesses") < pl.col("items")
    _refuse(bool(asked.select(several.any()).item()), "a body asks for an item on several accounts of one identity")


def _repeats(planned: pl.DataFrame, hashes: pl.Series) -> bool:
    """Whether a key occurs twice; compares the keys themselves only if their hashes suggest it."""
    return hashes.n_unique() < planned.height and bool(planned.select(_KEY).is_duplicated().any())


def _same(pairs: pl.DataFrame, wanted: pl.DataFrame) -> bool:
    """Whether two frames without repeats have the same rows, in any order."""
    return pairs.equals(wanted) or pairs.join(wanted, on=_PAIR, how="anti").is_empty()


def _refuse(broken: bool, what: str) -> None:  # noqa: FBT001 - reads as a sentence at the call
    if broken:
        raise BrokenPromiseError(
            f"The plan failed its check: {what}.",
            next_step="Nothing was written or sent. Please report this as a bug, with the input if you can.",
        )
