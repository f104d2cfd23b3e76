"""The ledger as tables: nothing is missing, nothing is there twice, and the help explains every column."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from batch.cli.topics import text_of
from batch.ledger.export import TABLES
from tests.builders import change
from tests.ledger.ledger_helpers import ACCEPTED, REFUSED, claim, open_ledger, record, write

if TYPE_CHECKING:
    import polars as pl

    from tests.ledger.ledger_helpers import Place


def exported(place: Place) -> dict[str, pl.DataFrame]:
    found: dict[str, pl.DataFrame] = {}
    with open_ledger(place, only_read=True) as ledger:
        ledger.export(found.__setitem__)
    return found


def test_every_change_request_and_event_is_in_the_tables_once(ledger_place: Place) -> None:
    with open_ledger(ledger_place) as ledger:
        two_by_two = [change(person, item, comment="=1+1") for person in ("anna", "ben") for item in ("r1", "r2")]
        run = write(ledger, two_by_two, [change("carl", "r3")], [change("dora", "r4")])
        record(ledger, claim(ledger, run), ACCEPTED)
        record(ledger, claim(ledger, run), REFUSED)
    tables = exported(ledger_place)
    assert list(tables) == ["runs", "requests", "changes", "events", "findings"]
    assert tables["runs"].select("run", "tenant").rows() == [(run.id, "https://tenant.example")]
    assert json.loads(tables["runs"].item(0, "inputs")) == ["in.csv"]
    requests, changes = tables["requests"], tables["changes"]
    assert requests.select("state", "people", "items", "attempts").rows() == [
        ("ACCEPTED", 2, 2, 1),
        ("REFUSED", 1, 1, 1),
        ("PLANNED", 1, 1, 0),
    ]
    assert changes.select("identity_id", "item_id", "state", "comment").rows() == [
        ("anna", "r1", "ACCEPTED", "=1+1"),
        ("anna", "r2", "ACCEPTED", "=1+1"),
        ("ben", "r1", "ACCEPTED", "=1+1"),
        ("ben", "r2", "ACCEPTED", "=1+1"),
        ("carl", "r3", "REFUSED", None),
        ("dora", "r4", "PLANNED", None),
    ]
    assert set(changes.get_column("request")) == set(requests.get_column("request"))
    assert all(name.startswith(f"{run.id}-") for name in requests.get_column("request"))
    events = tables["events"]
    assert events.get_column("number").to_list() == list(range(1, events.height + 1))
    assert events.get_column("event").to_list() == ["planned", "claimed", "accepted", "claimed", "refused"]
    first, second, _ = requests.get_column("request")
    assert events.get_column("request").to_list() == [None, first, first, second, second]
    assert events.get_column("signed_by").null_count() == 0
    assert tables["findings"].is_empty()


def test_an_export_reads_a_ledger_without_changing_it(ledger_place: Place) -> None:
    with open_ledger(ledger_place) as ledger:
        write(ledger, [change("anna", "r1")])
    before = exported(ledger_place)
    assert all(exported(ledger_place)[name].equals(rows) for name, rows in before.items())


def test_the_help_explains_exactly_the_columns_that_the_tables_have(ledger_place: Place) -> None:
    with open_ledger(ledger_place) as ledger:
        write(ledger, [change("anna", "r1")])
    sections = dict(
        re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", text_of("export"), flags=re.MULTILINE | re.DOTALL),
    )
    explained = {
        name: [
            column.strip()
            for line in re.findall(r"^\| (?!column |-)([^|]+) \|", text, flags=re.MULTILINE)
            for column in line.split(",")
        ]
        for name, text in sections.items()
    }
    assert explained == {name: rows.columns for name, rows in exported(ledger_place).items()}
    assert list(explained) == list(TABLES)
