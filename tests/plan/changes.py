"""Rows, changes and requests for tests, and a check of bodies that shares no code with the product."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import polars as pl
from hypothesis import strategies as st

from batch.api.dialects import DIALECTS, ItemType, Operation
from batch.model import Request, RequestItem
from batch.plan.body import body_of, encode
from batch.validate.rows import CHANGE_COLUMNS, Validated, validate
from tests.builders import change

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NOW: Final = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
RUN: Final = "this"

IDENTITY: Final = "2c91808568c529c60168cca6f90c1313"
OTHER_IDENTITY: Final = "2C918085-68C5-29C6-0168-CCA6F90C1314"
ITEM: Final = "2c9180857182305e0171993735622948"
OTHER_ITEM: Final = "2c918085-7182-305e-0171-993735622949"


def hex_id(number: int) -> str:
    return f"{number:032x}"


# Rows and what validation makes of them.

GOOD_ROW: Final[dict[str, str | None]] = {"identity_id": IDENTITY, "item_type": "ROLE", "item_id": ITEM}


def rows(*cells: dict[str, str | None]) -> pl.DataFrame:
    """A frame of good rows, each changed by the given cells."""
    names = dict.fromkeys(name for row in (GOOD_ROW, *cells) for name in row)
    filled = [{**dict.fromkeys(names), **GOOD_ROW, **row} for row in cells]
    return pl.DataFrame(filled, schema=dict.fromkeys(names, pl.String))


def judged(*cells: dict[str, str | None], api: str = "beta", now: datetime = NOW) -> Validated:
    return validate(rows(*cells), dialect=DIALECTS[api], now=now)


def broken_rules(api: str = "beta", **cells: str | None) -> list[str]:
    """The rules that a good row breaks once it is changed by the given cells."""
    rejected = judged(cells, api=api).rejected.get_column("rule").to_list()
    return [rule for joined in rejected for rule in joined.split("; ")]


def only_change(api: str = "beta", **cells: str | None) -> dict[str, str]:
    """The one valid change that a good row becomes once it is changed by the given cells."""
    validated = judged(cells, api=api)
    assert validated.rejected.rows() == []
    (change,) = validated.changes.rows(named=True)
    return change


# Changes, and the requests that a plan makes of them.


def changes_frame(changes: Iterable[dict[str, str]]) -> pl.DataFrame:
    return pl.DataFrame(list(changes), schema=dict.fromkeys(CHANGE_COLUMNS, pl.String))


def in_odd_chunks(frame: pl.DataFrame) -> pl.DataFrame:
    """The same frame in several chunks, the first of them empty, as a filter leaves it behind."""
    half = frame.height // 2
    parts = [
        part.with_columns(pl.lit(is_wanted).alias("is_wanted"))
        for part, is_wanted in ((frame[:1], False), (frame[:half], True), (frame[half:], True))
    ]
    odd = pl.concat(parts, rechunk=False).select(pl.exclude("is_wanted").filter(pl.col("is_wanted")))
    # polars keeps a column of equal values in one piece.
    assert any(column.chunk_lengths()[0] == 0 for column in odd.get_columns()), "otherwise this proves nothing"
    return odd


def requests_of(planned: pl.DataFrame) -> list[Request]:
    """The requests of a plan as they will stand in the ledger: products of all their identities and all their items."""
    made = []
    for (number,), part in planned.sort("request", maintain_order=True).group_by("request", maintain_order=True):
        items = {
            tuple(row[name] for name in CHANGE_COLUMNS if name != "identity_id"): row for row in part.to_dicts()
        }.values()
        made.append(
            Request(
                number=int(str(number)) + 1,
                run=RUN,
                operation=Operation(part["operation"][0]),
                recipients=tuple(part["identity_id"].unique(maintain_order=True)),
                items=tuple(_item(row) for row in items),
            )
        )
    return made


def _item(row: dict[str, str]) -> RequestItem:
    return RequestItem(
        type=ItemType(row["item_type"]),
        id=row["item_id"],
        comment=row["comment"],
        start_date=row["start_date"],
        remove_date=row["remove_date"],
        metadata=json.loads(row["metadata"] or "{}"),
    )


def bodies_of(planned: pl.DataFrame) -> list[dict[str, Any]]:
    """The bodies that are sent, read back as the tenant reads them."""
    return [json.loads(encode(body_of(request))) for request in requests_of(planned)]


# The check: what the API's documents permit (beta, March 2024), in plain Python.

_OURS = {"accessBatchRequest", "accessBatchItem"}
_ITEM_FIELDS = {"type", "id", "comment", "clientMetadata", "removeDate"}


def illegalities(body: dict[str, Any], *, later_api: bool = False) -> list[str]:
    """Everything about a body that the tenant would refuse."""
    items, people = body["requestedItems"], body["requestedFor"]
    is_revoke = body["requestType"] == "REVOKE_ACCESS"
    entitlements = [item for item in items if item["type"] == "ENTITLEMENT"]
    fields = _ITEM_FIELDS | ({"startDate"} if later_api else set())
    found = {
        "unknown member": set(body) != {"requestType", "requestedFor", "requestedItems"},
        "unknown type of request": body["requestType"] not in {"GRANT_ACCESS", "REVOKE_ACCESS"},
        "no list of identities": not isinstance(people, list) or not 1 <= len(people) <= 10,
        "an identity twice": len(set(people)) != len(people),
        "too few or too many items": not 1 <= len(items) <= 25,
        "an item twice": len({(item["type"], item["id"]) for item in items}) != len(items),
        "unknown type of item": any(item["type"] not in {"ACCESS_PROFILE", "ROLE", "ENTITLEMENT"} for item in items),
        "unknown field of an item": any(not set(item) <= fields for item in items),
        "an empty field": any(value in ("", None, {}) for item in items for value in item.values()),
        "metadata other than text": any(
            not isinstance(text, str) for item in items for text in item["clientMetadata"].values()
        ),
        "a date other than UTC": any(
            not item[name].endswith("Z") for item in items for name in ("startDate", "removeDate") if name in item
        ),
        "an entitlement with an end": not later_api and any("removeDate" in item for item in entitlements),
        "a revoke for several": is_revoke and len(people) != 1,
        "a revoke without comment": is_revoke and any(not item.get("comment") for item in items),
        "a revoke with a start": is_revoke and any("startDate" in item for item in items),
        "a revoke of an entitlement and more": is_revoke and bool(entitlements) and len(items) != 1,
    }
    return [name for name, is_so in found.items() if is_so]


def pairs_of(bodies: Sequence[dict[str, Any]]) -> Counter[tuple[str, ...]]:
    """Every change that bodies ask for, with everything that they say about it, counted."""
    return Counter(
        (
            body["requestType"].removesuffix("_ACCESS"),
            person,
            item["type"],
            item["id"],
            item.get("comment", ""),
            item.get("startDate", ""),
            item.get("removeDate", ""),
            json.dumps({key: value for key, value in item["clientMetadata"].items() if key not in _OURS}),
        )
        for body in bodies
        for person in body["requestedFor"]
        for item in body["requestedItems"]
    )


def wanted_pairs(changes: Iterable[dict[str, str]]) -> Counter[tuple[str, ...]]:
    """The same for wanted changes."""
    return Counter(
        (*(change[name] for name in CHANGE_COLUMNS[:-3]), json.dumps(json.loads(change["metadata"] or "{}")))
        for change in changes
    )


# Wanted changes: small worlds in which identities share many, some or no items.

_DATES = st.sampled_from(["", "", "2027-01-31T00:00:00Z", "2027-06-30T00:00:00Z"])
_METADATA = st.sampled_from(["", "", '{"ticket":"T-1"}', '{"ticket":"T-2"}'])
_COMMENTS = st.sampled_from(["", "", "joiner", "project"])


@st.composite
def wanted_changes(draw: st.DrawFn, identities: int = 15, items: int = 12) -> list[dict[str, str]]:
    """Changes without repeats and contradictions, as deduplication lets them through."""
    catalogue = [
        change(
            "",
            f"i{number:02}",
            item_type=draw(st.sampled_from(list(ItemType))).value,
            comment=draw(_COMMENTS),
            remove_date=draw(_DATES),
            metadata=draw(_METADATA),
        )
        for number in range(draw(st.integers(1, items)))
    ]
    everything = range(len(catalogue))
    profiles = draw(st.lists(st.sets(st.sampled_from(everything)), min_size=1, max_size=4))
    wanted = []
    for number in range(draw(st.integers(0, identities))):
        profile = draw(st.sampled_from(profiles)) ^ draw(st.sets(st.sampled_from(everything), max_size=2))
        revoked = draw(st.sets(st.sampled_from(everything), max_size=3)) if draw(st.booleans()) else set()
        for position in sorted(profile | revoked):
            one = {**catalogue[position], "identity_id": f"p{number:02}"}
            if one["item_type"] == "ENTITLEMENT":
                one["remove_date"] = ""
            if position in revoked:
                one |= {"operation": "REVOKE", "comment": one["comment"] or "leaver"}
            elif draw(st.integers(0, 9)) == 0:
                one["comment"] = "an exception"
            wanted.append(one)
    return wanted
