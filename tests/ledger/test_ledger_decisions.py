"""The ledger keeps the decisions that a plan rests on, and no other operation changes them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest

from batch.dedupe.classify import TENANT_VERDICTS
from batch.ledger.decisions import Decisions
from batch.names.known import NO_KNOWN_NAMES
from batch.names.meaning import NameMeaning, NameOutcome
from tests.builders import NOW, change
from tests.ledger.ledger_helpers import TENANT, Place, alter, open_ledger, rows, write

if TYPE_CHECKING:
    from batch.ledger.store import Ledger

ANNA = ("identity by email", "anna@example.com")
NOBODY = ("identity by email", "nobody@example.com")
SALES_ROLE = ("role by name", "Sales")
SALES_PROFILE = ("access profile by name", "Sales")
UNKNOWN = NameMeaning(outcome=NameOutcome.UNKNOWN, problem="nobody has this e-mail")


def found(id_: str) -> NameMeaning:
    return NameMeaning(outcome=NameOutcome.FOUND, id=id_)


def changes_set_aside(*keys: tuple[str, str, str], class_: str = "already_held") -> pl.DataFrame:
    """Changes that a precheck set aside."""
    return pl.DataFrame(
        [(*key, "", class_, "it is held already") for key in keys], schema=TENANT_VERDICTS, orient="row"
    )


def test_names_keep_the_meaning_that_the_plan_used(ledger: Ledger) -> None:
    meanings = {ANNA: found("a1"), NOBODY: UNKNOWN, SALES_ROLE: found("r1"), SALES_PROFILE: found("p1")}
    run = write(ledger, [change("a1", "r1")], decisions=Decisions(names=meanings))
    assert ledger.decisions.names(run.id, meanings) == meanings
    assert ledger.decisions.names(run.id, [ANNA, ("identity by alias", "anna@example.com")]) == {ANNA: found("a1")}
    assert ledger.decisions.names(run.id, []) == ledger.decisions.names("another", [ANNA]) == {}


def test_a_runs_names_are_known_by_the_ids_that_they_meant(ledger: Ledger) -> None:
    meanings = {ANNA: found("a1"), NOBODY: UNKNOWN, SALES_ROLE: found("r1"), SALES_PROFILE: found("p1")}
    names = ledger.decisions.known_names(write(ledger, [change("a1", "r1")], decisions=Decisions(names=meanings)).id)
    assert (names.identity("A-1"), names.identity("a2")) == ("anna@example.com", "")
    assert [names.item(*one) for one in (("ROLE", "r1"), ("ACCESS_PROFILE", "p1"), ("ROLE", "p1"))] == [
        "Sales",
        "Sales",
        "",
    ]
    assert names.in_words("GRANT", "a1", "ROLE", "r9") == "grant of ROLE r9 for anna@example.com (a1)"
    assert ledger.decisions.known_names("another") == NO_KNOWN_NAMES


def test_a_later_plan_of_a_run_adds_and_replaces_meanings(ledger: Ledger) -> None:
    write(ledger, [change("a1", "r1")], decisions=Decisions(names={ANNA: found("a1"), NOBODY: UNKNOWN}))
    run = write(ledger, [change("a1", "r2")], decisions=Decisions(names={NOBODY: found("a2"), SALES_ROLE: found("r2")}))
    assert ledger.decisions.names(run.id, [ANNA, NOBODY, SALES_ROLE]) == {
        ANNA: found("a1"),
        NOBODY: found("a2"),
        SALES_ROLE: found("r2"),
    }


def test_each_precheck_of_a_run_replaces_the_changes_set_aside_before(ledger: Ledger) -> None:
    first, second = (
        changes_set_aside(("a1", "ROLE", "r1"), ("a2", "ROLE", "r1")),
        changes_set_aside(("a2", "ENTITLEMENT", "e1")),
    )
    run = write(ledger, [change("a3", "r1")], decisions=Decisions(set_aside=first))
    ledger.decisions.replace_set_aside("another", second, NOW)
    assert ledger.decisions.set_aside(run.id).equals(first)
    write(ledger, [change("a4", "r1")])
    assert ledger.decisions.set_aside(run.id).equals(first), "this plan has no decisions"
    ledger.decisions.replace_set_aside(run.id, second, NOW)
    assert ledger.decisions.set_aside(run.id).equals(second)
    ledger.decisions.replace_set_aside(run.id, changes_set_aside(), NOW)
    assert ledger.decisions.set_aside(run.id).is_empty()
    assert ledger.decisions.set_aside("another").equals(second)


def test_changes_set_aside_are_kept_even_if_their_run_never_begins(path: Place, ledger: Ledger) -> None:
    run_id = ledger.plans.run_id(TENANT, "all held")
    ledger.decisions.replace_set_aside(run_id, changes_set_aside(("a1", "ROLE", "r1")), NOW + timedelta(hours=1))
    assert ledger.decisions.set_aside(run_id).height == 1
    assert ledger.runs.all() == ()
    assert rows(path, "SELECT run_id, at FROM set_aside") == [(run_id, "2026-03-01T13:00:00.000Z")]


def test_emptying_the_cache_changes_no_decision(path: Place) -> None:
    set_aside = changes_set_aside(("a1", "ROLE", "r2"), class_="held_back")
    with open_ledger(path) as ledger:
        ledger.cache.put(TENANT, "identity by email", {ANNA[1]: {"looked": ["email"], "found": []}}, at=NOW)
        run = write(ledger, [change("a1", "r1")], decisions=Decisions(names={ANNA: found("a1")}, set_aside=set_aside))
    alter(path, "DELETE FROM cached")
    with open_ledger(path) as ledger:
        assert ledger.decisions.names(run.id, [ANNA]) == {ANNA: found("a1")}
        assert ledger.decisions.set_aside(run.id).equals(set_aside)
        assert ledger.verify() == ()


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("INSERT INTO name_meaning VALUES (1, 'k', 'n', 'now', 'perhaps', '', '')", "outcome_known"),
        ("INSERT INTO name_meaning VALUES (1, 'k', 'n', 'now', 'found', '', '')", "id_if_found"),
        ("INSERT INTO name_meaning VALUES (1, 'k', 'n', 'now', 'unknown', 'a1', '')", "id_if_found"),
        ("INSERT INTO name_meaning VALUES (9, 'k', 'n', 'now', 'found', 'a1', '')", "FOREIGN KEY"),
        ("INSERT INTO set_aside VALUES ('r', 'a1', 'BADGE', 'i', '', 'now', 'held_back', '')", "item_type_known"),
        ("INSERT INTO set_aside VALUES ('r', 'a1', 'ROLE', 'i', '', 'now', 'submitted', '')", "class_known"),
    ],
)
def test_an_impossible_decision_cannot_be_written(statement: str, constraint: str, path: Place, ledger: Ledger) -> None:
    write(ledger, [change("a1", "r1")])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        with pytest.raises(sqlite3.IntegrityError, match=constraint):
            connection.execute(statement)
