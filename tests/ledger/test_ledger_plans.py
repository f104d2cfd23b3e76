"""Plans are written completely or not at all, and the ledger knows their changes afterwards."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl
import pytest

from batch.api.dialects import DIALECTS
from batch.dedupe.classify import KNOWN_SCHEMA, TENANT_VERDICTS
from batch.dedupe.overlap import KEY
from batch.errors import BrokenPromiseError, LedgerLostError
from batch.ledger.decisions import Decisions
from batch.ledger.take_over import LedgerMovedError
from batch.plan import plan
from tests.builders import NOW, change, product
from tests.fakes import FakeClock
from tests.ledger.ledger_helpers import (
    ACCEPTED,
    REFUSED,
    TENANT,
    Place,
    alter,
    claim,
    new_run,
    newest,
    open_ledger,
    plan_of,
    record,
    rows,
    write,
)

if TYPE_CHECKING:
    from pathlib import Path

    from batch.ledger.store import Ledger
    from tests.ledger.ledger_helpers import Change

OTHER_TENANT = "https://other.example"


def keys(*pairs: tuple[str, str], item_type: str = "ROLE") -> pl.DataFrame:
    return plan_of([change(identity, item, item_type=item_type) for identity, item in pairs]).changes.select(KEY)


def table_of(path: Place, name: str) -> list[tuple[object, ...]]:
    return rows(path, f"SELECT * FROM {name}")  # noqa: S608 - a table's name


def test_the_ledger_returns_every_column_of_a_written_change(ledger: Ledger) -> None:
    dates = {"start_date": "2026-04-01T00:00:00Z", "remove_date": "2027-01-01T00:00:00Z"}
    grant = change("i1", "e1", item_type="ENTITLEMENT", **dates)
    revoke = change("i2", "r1", operation="REVOKE", comment="Left.")
    run = write(ledger, [grant], [revoke])
    known = ledger.plans.known(TENANT, plan_of([grant, revoke]).changes.select(KEY))
    at = "2026-03-01T12:00:00.000Z"
    assert known.upto == newest(ledger)
    assert known.upto.startswith(f"{run.id}-2-")
    assert known.changes.schema == pl.Schema(KNOWN_SCHEMA)
    nothing = {"tenant_state": "", "tenant_who": "", "tenant_comment": "", "tenant_since": ""}
    assert known.changes.select(list(nothing)).unique().to_dicts() == [nothing]
    assert sorted(known.changes.drop(list(nothing)).rows()) == [
        (
            "i1",
            "ENTITLEMENT",
            "e1",
            "",
            "GRANT",
            grant["start_date"],
            grant["remove_date"],
            "",
            "PLANNED",
            run.id,
            1,
            at,
        ),
        ("i2", "ROLE", "r1", "", "REVOKE", "", "", "", "PLANNED", run.id, 2, at),
    ]


def test_the_ledger_returns_only_changes_with_the_given_keys(ledger: Ledger) -> None:
    write(ledger, product(["i1", "i2"], ["r1", "r2"]))
    known = ledger.plans.known(TENANT, keys(("i1", "r2"), ("i1", "r2"), ("i9", "r1"))).changes
    assert known.select("identity_id", "item_id").rows() == [("i1", "r2")]


def test_the_ledger_returns_every_earlier_change_of_a_key_with_its_state_and_time(ledger: Ledger) -> None:
    clock = FakeClock()
    first = write(ledger, [change("i1", "r1")], digest="one")
    clock.advance(60)
    record(ledger, claim(ledger, first, clock.now), ACCEPTED, now=clock.now)
    second = write(ledger, [change("i1", "r1", operation="REVOKE", comment="x")], digest="two")
    known = ledger.plans.known(TENANT, keys(("i1", "r1"))).changes.sort("request")
    assert known.select("operation", "state", "run", "at").rows() == [
        ("GRANT", "ACCEPTED", first.id, "2026-03-01T12:01:00.000Z"),
        ("REVOKE", "PLANNED", second.id, "2026-03-01T12:00:00.000Z"),
    ]


def test_a_new_tenant_has_no_changes_but_the_newest_request_is_known(ledger: Ledger) -> None:
    run = write(ledger, [change("i1", "r1")])
    known = ledger.plans.known(OTHER_TENANT, keys(("i1", "r1")))
    assert known.changes.is_empty()
    assert known.changes.schema == pl.Schema(KNOWN_SCHEMA)
    assert known.upto.startswith(f"{run.id}-1-")


def test_no_keys_give_no_changes(ledger: Ledger) -> None:
    write(ledger, [change("i1", "r1")])
    assert ledger.plans.known(TENANT, keys()).changes.is_empty()


def test_two_tenants_do_not_see_each_others_changes(ledger: Ledger) -> None:
    run = write(ledger, [change("i1", "r1")])
    other = write(ledger, [change("i1", "r1")], tenant=OTHER_TENANT)
    for tenant, expected in ((TENANT, run), (OTHER_TENANT, other)):
        assert ledger.plans.known(tenant, keys(("i1", "r1"))).changes.get_column("run").to_list() == [expected.id]


def test_a_request_sends_ids_as_its_own_input_spelled_them(ledger: Ledger) -> None:
    for digest, identity, item in (("one", "abc", "r1"), ("two", "A-BC", "R1")):
        run = write(ledger, [change(identity, item)], digest=digest)
        request = claim(ledger, run)
        assert (request.recipients, request.items[0].id) == ((identity,), item)


def test_the_ledger_knows_a_change_however_it_was_spelled_and_answers_in_the_spelling_asked_for(ledger: Ledger) -> None:
    runs = {write(ledger, [change(who, what)], digest=who).id for who, what in (("abc", "r1"), ("AB-C", "R-1"))}
    write(ledger, [change("abcd", "r1")], [change("abc", "r2")], digest="others")
    known = ledger.plans.known(TENANT, keys(("Abc", "R1")))
    assert known.changes.select("identity_id", "item_id").rows() == [("Abc", "R1")] * 2
    assert set(known.changes.get_column("run")) == runs
    assert known.respelled == 4
    assert ledger.plans.known(TENANT, keys(("abcd", "r1"))).respelled == 0


def test_the_same_id_with_two_types_is_two_items(ledger: Ledger) -> None:
    write(ledger, [change("i1", "x"), change("i1", "x", item_type="ACCESS_PROFILE")])
    known = ledger.plans.known(TENANT, keys(("i1", "x"), item_type="ACCESS_PROFILE")).changes
    assert known.get_column("item_type").to_list() == ["ACCESS_PROFILE"]


def test_the_ledger_stores_details_that_many_changes_share_once(path: Place, ledger: Ledger) -> None:
    write(ledger, product(["i1", "i2"], ["r1", "r2"], comment="Same."), digest="one")
    write(ledger, product(["i3"], ["r1"], comment="Same."), digest="two")
    assert [row[:5] for row in table_of(path, "detail")] == [(1, "Same.", "", "", "")]


def test_a_plan_is_refused_if_another_plan_was_written_after_the_ledger_was_read(path: Place, ledger: Ledger) -> None:
    wanted = plan_of([change("i1", "r1")])
    known = ledger.plans.known(TENANT, wanted.changes)
    with open_ledger(path) as other_process:
        write(other_process, [change("i1", "r1")], digest="other")
    ours = Decisions(
        set_aside=pl.DataFrame([("i1", "ROLE", "r1", "", "already_held", "")], TENANT_VERDICTS, orient="row")
    )
    with pytest.raises(LedgerMovedError):
        ledger.plans.write(new_run(), wanted, upto=known.upto, now=NOW, decisions=ours)
    run_id = ledger.plans.run_id(TENANT, new_run().input_digest)
    assert ledger.decisions.set_aside(run_id).is_empty(), "the refused plan leaves no decisions"
    assert [run.input_digest for run in ledger.runs.all()] == ["other"]
    assert rows(path, "SELECT count(*) FROM request") == [(1,)]


def test_a_plan_that_fails_midway_leaves_nothing_behind(path: Place, ledger: Ledger) -> None:
    bad = plan_of([change("i1", "r1")], [change("i2", "x", item_type="BADGE")])
    with pytest.raises(LedgerLostError, match="type_known"):
        ledger.plans.write(new_run(), bad, upto="", now=NOW)
    for name in ("tenant", "run", "identity", "item", "detail", "request", "recipient", "request_item", "changes"):
        assert table_of(path, name) == []
    assert write(ledger, [change("i1", "r1")]).input_digest == "digest"


@pytest.mark.parametrize(
    "lines",
    [
        [change("i1", "r1"), change("i2", "r2")],
        [change("i1", "r1"), change("i1", "r1")],
        [change("i1", "r1"), change("i2", "r1", comment="x")],
        [change("i1", "r1"), change("i1", "r1"), change("i2", "r1"), change("i2", "r2")],
    ],
    ids=["corners", "a repeat", "two details of one item", "as many as a product has"],
)
def test_a_request_that_is_not_a_product_is_not_written(lines: list[Change], path: Place, ledger: Ledger) -> None:
    with pytest.raises(BrokenPromiseError, match="not the product"):
        ledger.plans.write(new_run(), plan_of([change("i0", "r0")], lines), upto="", now=NOW)
    assert table_of(path, "run") == table_of(path, "request") == []


def test_a_database_browser_shows_every_change_in_words(path: Place, ledger: Ledger) -> None:
    run = write(ledger, product(["i1", "i2"], ["r1"], comment="Please.", remove_date="2027-01-01T00:00:00Z"))
    record(ledger, claim(ledger, run), ACCEPTED)
    assert rows(
        path,
        "SELECT run, operation, identity_id, item_type, item_id, comment, remove_date, state FROM changes ORDER BY 3",
    ) == [
        (run.id, "GRANT", identity, "ROLE", "r1", "Please.", "2027-01-01T00:00:00Z", "ACCEPTED")
        for identity in ("i1", "i2")
    ]


@pytest.mark.also_postgresql
def test_a_plan_appears_completely_or_not_at_all(path: Place, ledger: Ledger) -> None:
    # The last table refuses its rows, as a full disk would; the rows of the earlier tables must not appear.
    alter(path, "ALTER TABLE request_item RENAME TO somewhere_else")
    with pytest.raises(LedgerLostError, match="request_item"):
        ledger.plans.write(new_run(), plan_of([change("i1", "r1")]), upto="", now=NOW)
    assert table_of(path, "request") == table_of(path, "run") == []


def test_a_new_plan_of_a_run_takes_over_its_refused_requests(ledger: Ledger) -> None:
    run = write(ledger, [change("i1", "r1")], [change("i2", "r1")], [change("i3", "r1")])
    record(ledger, claim(ledger, run), REFUSED)
    record(ledger, claim(ledger, run), ACCEPTED)
    again = write(ledger, [change("i1", "r1")])
    assert again.id == run.id
    assert dict(ledger.runs.tally(again).requests) == {"SPLIT": 1, "ACCEPTED": 1, "PLANNED": 2}


def test_the_refused_requests_of_another_run_stay_refused(ledger: Ledger) -> None:
    run = write(ledger, [change("i1", "r1")], digest="one")
    record(ledger, claim(ledger, run), REFUSED)
    write(ledger, [change("i1", "r1")], digest="two")
    assert dict(ledger.runs.tally(run).requests) == {"REFUSED": 1}


def test_a_run_has_the_greatest_lower_bound_of_its_plans(ledger: Ledger) -> None:
    ledger.plans.write(new_run(), plan_of([change("i1", "r1")], lower_bound=1), upto="", now=NOW)
    ledger.plans.write(new_run(), plan_of([change("i2", "r1")], lower_bound=2), upto=newest(ledger), now=NOW)
    assert ledger.runs.named("").lower_bound == 2
    ledger.plans.write(new_run(), plan_of([change("i3", "r1")], lower_bound=1), upto=newest(ledger), now=NOW)
    assert ledger.runs.named("").lower_bound == 2


def test_a_run_reads_back_as_it_was_written(ledger: Ledger) -> None:
    new = replace(new_run(), inputs=("a ü.csv", 'b".csv'), dialect="v2025")
    run_id = ledger.plans.write(new, plan_of([change("i1", "r1")]), upto="", now=NOW)
    run = ledger.runs.of_input(TENANT, "digest")
    assert run is not None
    assert (run.id, run.tenant, run.input_digest) == (run_id, TENANT, "digest")
    assert (run.inputs, run.dialect, run.started_at) == (new.inputs, "v2025", NOW)
    assert ledger.runs.of_input(OTHER_TENANT, "digest") is None
    assert ledger.runs.of_input(TENANT, "other") is None


def test_a_password_that_an_older_version_stored_in_an_inputs_url_is_not_shown(ledger: Ledger) -> None:
    new = replace(new_run(), inputs=("https://user:pass-word@host/a@b.csv?signature=secret", "a.csv?"))
    ledger.plans.write(new, plan_of([change("i1", "r1")]), upto="", now=NOW)
    assert ledger.runs.named("").inputs == ("https://host/a@b.csv", "a.csv?")


@pytest.mark.thorough
def test_a_bulk_lookup_gives_the_same_changes_as_single_lookups(ledger: Ledger) -> None:
    many = plan_of([change(f"i{number:05}", "r1", comment=f"{number}") for number in range(20_001)]).changes
    made = plan(many.drop("request"), DIALECTS["beta"].limits)
    ledger.plans.write(new_run("small"), plan_of([change("i00000", "r1", comment="0")]), upto="", now=NOW)
    ledger.plans.write(new_run("big"), made, upto=newest(ledger), now=NOW)
    by_bulk = ledger.plans.known(TENANT, many.select(KEY)).changes.sort("identity_id", "request")
    assert by_bulk.height == 20_002
    some = many.filter(pl.col("identity_id").is_in(["i00000", "i10000", "i20000"]))
    one_by_one = ledger.plans.known(TENANT, some.select(KEY)).changes.sort("identity_id", "request")
    assert by_bulk.join(some, on="identity_id", how="semi", maintain_order="left").rows() == one_by_one.rows()
    assert one_by_one.get_column("identity_id").to_list() == ["i00000", "i00000", "i10000", "i20000"]


@pytest.mark.parametrize(
    "greatest",
    [1, pytest.param(1 << 62, marks=pytest.mark.sqlite_only)],
    ids=["small numbers", "numbers too great to be packed"],
)
def test_a_lookup_of_all_items_gives_the_same_as_a_lookup_of_each_item(
    greatest: int, path: Place, ledger: Ledger
) -> None:
    alter(path, f"INSERT INTO detail VALUES ({greatest}, 'another', '', '', '', 'x', '', '')")  # noqa: S608 - a number
    people, items = [f"i{number:04}" for number in range(1_000)], [f"r{number}" for number in range(6)]
    first = write(ledger, product(people, items[:3], remove_date="2027-01-01T00:00:00Z"), digest="one")
    second = write(ledger, product(people[::2], items[2:4], comment="x"), digest="two")
    asked = plan_of(product(people, items)).changes.select(KEY)
    together = ledger.plans.known(TENANT, asked).changes
    apart = [ledger.plans.known(TENANT, asked.filter(pl.col("item_id") == item)).changes for item in items]
    order = [*KEY, "request"]
    assert together.sort(order).rows() == pl.concat(apart).sort(order).rows()
    assert together.group_by("run", "item_id").len().sort("run", "item_id").rows() == sorted(
        [*((first.id, item, 1_000) for item in items[:3]), *((second.id, item, 500) for item in items[2:4])]
    )


def test_a_run_always_has_the_same_id_in_one_ledger(path: Place, ledger: Ledger) -> None:
    asked = ledger.plans.run_id(TENANT, "digest")
    assert write(ledger, [change("i1", "r1")]).id == asked
    with open_ledger(path) as again:
        assert again.plans.run_id(TENANT, "digest") == asked


def test_run_ids_differ_between_ledgers_tenants_and_inputs(ledger: Ledger, tmp_path: Path) -> None:
    with open_ledger(tmp_path / "other.db") as other:
        ids = {
            ledger.plans.run_id(TENANT, "digest"),
            ledger.plans.run_id(OTHER_TENANT, "digest"),
            ledger.plans.run_id(TENANT, "other"),
            other.plans.run_id(TENANT, "digest"),
        }
    assert len(ids) == 4


def test_two_ledgers_with_the_same_plan_hold_the_same_rows(tmp_path: Path) -> None:
    lines = product([f"i{number}" for number in range(30)], ["r2", "r1", "r3"], comment="x")
    paths = [tmp_path / "seed.db", tmp_path / "one.db", tmp_path / "two.db"]
    open_ledger(paths[0]).close()
    for path, order in zip(paths[1:], (lines, lines[::-1]), strict=True):
        shutil.copy(paths[0], path)
        made = plan(plan_of(order).changes.drop("request"), DIALECTS["beta"].limits)
        with open_ledger(path, new_id=lambda: "tag") as ledger:
            ledger.plans.write(new_run(), made, upto="", now=NOW)
    for name in ("identity", "item", "detail", "request", "recipient", "request_item", "changes"):
        assert table_of(paths[1], name) == table_of(paths[2], name) != []
