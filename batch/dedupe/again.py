"""What is planned and about to be sent, judged once more. Pure."""

from __future__ import annotations

from datetime import UTC
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import polars as pl

from batch.api.tenant_outcome import RESUBMITTABLE, WITHOUT_EFFECT
from batch.dedupe.classify import INTENTION, TENANT_VERDICTS, age, classify, with_outcome
from batch.dedupe.overlap import ACCESS, KEY, may_be_one
from batch.model import RowClass
from batch.states import VOID
from batch.validate.rows import CHANGE_COLUMNS, EXTENDS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
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


_DATES: Final = ("start_date", "remove_date")


def dates_passed(changes: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """Those of some changes whose dates are not in the future any more, by TENANT_VERDICTS: the tenant refuses them.

    Args:
        changes: With dedupe's KEY and the dates, as `validate` writes them.
        now: Dates must be later than this.
    """
    moment = now.astimezone(UTC).replace(tzinfo=None)
    at = {name: pl.col(name).str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="ms", strict=False) for name in _DATES}
    passed = {name: (at[name] <= moment).fill_null(value=False) for name in _DATES}
    rules = [pl.when(passed[name]).then(pl.lit(f"{name}_in_future")) for name in _DATES]
    said = [
        pl.when(passed[name]).then(pl.format(f"{name} '{{}}' is not in the future any more: give a later date", name))
        for name in _DATES
    ]
    rule, message = (pl.concat_str(*parts, separator="; ", ignore_nulls=True) for parts in (rules, said))
    found = changes.filter(pl.any_horizontal(*passed.values())).unique(KEY, keep="first", maintain_order=True)
    return found.select(
        *KEY,
        pl.lit(RowClass.REJECTED.value).alias("tenant_class"),
        pl.concat_str(rule, pl.lit(": "), message).alias("tenant_reason"),
    )


def left_to_others(again: pl.DataFrame, known: pl.DataFrame, imports: Collection[str]) -> pl.DataFrame:
    """Changes that are planned again, as they have not arrived, and that another request asks for as well.

    That request may have been sent, or will be: sending both would submit the change twice. A later one decides
    whatever it asks for, the newest earlier one if it asks for the same.

    Args:
        again: `request`, KEY and INTENTION of each change.
        known: The ledger's knowledge of their keys, which may have these requests too.
        imports: Runs of imported requests. One that was imported later than the request was planned is older.

    Returns:
        `request`, KEY, and `by`, the run of the other request; each change once.
    """
    void = pl.col("state").is_in([state.value for state in VOID])
    live = with_outcome(known.filter(~void)).with_columns(pl.col("run").is_in([*imports]).alias("imported"))
    others = live.select(*ACCESS, pl.exclude(ACCESS).name.prefix("known_"))
    both = again.with_row_index("change").join(others, on=ACCESS)
    both = both.filter(
        may_be_one(pl.col("account"), pl.col("known_account")) & (pl.col("request") != pl.col("known_request"))
    )
    same = pl.all_horizontal(pl.col(name) == pl.col(f"known_{name}") for name in INTENTION)
    came_to_nothing = pl.when(same).then(_is_outcome(RESUBMITTABLE)).otherwise(_is_outcome(WITHOUT_EFFECT))
    has_greater = pl.col("known_request") > pl.col("request")
    is_later, is_older = has_greater & ~pl.col("known_imported"), has_greater & pl.col("known_imported")
    before = both.filter(~is_later & ~came_to_nothing).sort(is_older.not_(), *age("change", prefix="known_"))
    newest = before.unique("change", keep="last", maintain_order=True).filter(same)
    going = pl.concat([both.filter(is_later), newest]).unique("change", keep="first", maintain_order=True)
    return going.sort("change").select("request", *KEY, pl.col("known_run").alias("by"))


def doubted_again(
    unsure: Iterable[int], changes: Mapping[int, Collection[object]], parts: Mapping[int, Collection[int]]
) -> list[int]:
    """The requests that must be doubted again before changes are sent (again), so that each change is doubted once.

    Args:
        unsure: Numbers of requests that may have arrived, whatever another machine says.
        changes: The changes that are about to be sent, by the numbers of the requests that have them.
        parts: Of requests that were divided, their parts.
    """

    def inside(number: int) -> set[int]:
        return {one for part in parts.get(number, ()) for one in (part, *inside(part))}

    def left(number: int) -> set[object]:
        return set(changes.get(number, ())).difference(*(changes.get(part, ()) for part in inside(number)))

    # The parts of a request that was divided have its changes. What no part has is left to the request itself.
    found = [number for number in unsure if left(number)]
    # A request that is doubted again has the changes of its parts, too.
    return [number for number in found if not any(number in inside(whole) for whole in found)]


def _is_outcome(outcomes: Collection[str]) -> pl.Expr:
    return pl.col("known_outcome").is_in([*outcomes]).fill_null(value=False)
