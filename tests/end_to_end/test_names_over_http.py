"""Names in place of ids, over HTTP: the tenant's directory gives their meaning, and ambiguous names are rejected."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from batch.api.dialects import ALL_SCOPES, ItemType, Rate
from batch.sandbox.faults import Fault
from batch.sandbox.made_up_directory import make_directory
from batch.sandbox.server import RunningSandbox, running_sandbox
from batch.sandbox.settings import SandboxSettings
from tests.end_to_end.program import accepted, once, read_rows, write_rows
from tests.end_to_end.program import environment as usual_environment
from tests.ledger.ledger_helpers import alter
from tests.make_samples import NAMED_HEADER, sample_mistakes, sample_rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import Any

    from tests.end_to_end.program import Program

PEOPLE = 200
DIRECTORY = make_directory(PEOPLE)
OTHER_SEED = 7
OTHER_DIRECTORY = make_directory(PEOPLE, seed=OTHER_SEED)
"""Many people there have the same names as people here, with other ids; some do not."""


def sandbox(port: int = 0, **chosen: Any) -> AbstractContextManager[RunningSandbox]:
    defaults = {"rate": Rate(requests=5000, seconds=1), "visibility_delay": 0.0, "people": PEOPLE}
    return running_sandbox(SandboxSettings(**{**defaults, **chosen}), port=port)


@pytest.fixture
def tenant() -> Iterator[RunningSandbox]:
    with sandbox() as running:
        yield running


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    rows = [*sample_rows(DIRECTORY, 150), *sample_mistakes(DIRECTORY)]
    return write_rows(tmp_path / "names.csv", [dict(zip(NAMED_HEADER, row, strict=True)) for row in rows])


def environment(tenant: RunningSandbox) -> dict[str, str]:
    """The settings to reach a tenant without a precheck, because its people already hold items."""
    return {**usual_environment(tenant), "ACCESS_BATCH_CHECK_TENANT": "never"}


def role(number: int) -> str:
    return DIRECTORY.of_type(ItemType.ROLE)[number].name


def row(name: str, wanted: str, **others: str) -> dict[str, str]:
    return {"identity": name, "item_type": "ROLE", "item": wanted, **others}


def test_rows_with_clear_names_are_submitted_and_all_others_are_rejected(
    program: Program, tenant: RunningSandbox, sample: Path
) -> None:
    ended = program("submit", sample, "--yes", "--json", env=environment(tenant))
    results = read_rows(sample.with_name("names.results") / "results.csv")
    mistakes = read_rows(sample.with_name("names.results") / "rejected.csv")
    assert ended.code == 3
    assert (ended.json["rows"]["submitted"], ended.json["rows"]["rejected"]) == (150, 3)
    assert accepted(tenant) == once(
        (result["operation"], result["_identity_id"], result["item_type"], result["_item_id"])
        for result in results
        if result["_class"] == "submitted"
    )
    people = {person.id: person for person in DIRECTORY.people}
    for result in results[:150]:
        person = people[result["_identity_id"]]
        assert result["identity"] in {person.alias, person.email, person.employee_number, person.display_name}
        assert DIRECTORY.item_by_id[result["_item_id"]].name in result["item"] or "|" in result["item"]
    assert [mistake["_rule"] for mistake in mistakes] == ["identity_found", "identity_found", "item_found"]
    assert mistakes[1]["_message"].count("(alias ") == 2
    assert list(mistakes[0]) == [*NAMED_HEADER, "_line", "_rule", "_message"]
    program("track", "--offline", "--out", sample.parent, env=environment(tenant))
    for change in read_rows(sample.with_name("tracked.csv")):
        person = people[change["identity_id"]]
        called = {person.alias, person.email, person.employee_number, person.display_name}
        assert set(change["_identity_name"].split("; ")) <= called
        named = change["_item_name"]
        assert DIRECTORY.item_by_id[change["item_id"]].name in named or "|" in named
    would = program("cancel", ended.json["run"], "--dry-run", "--json", env=environment(tenant)).json["would_cancel"]
    assert len(would) == 150
    assert all(one["identity_name"] and one["item_name"] for one in would)


def test_the_screen_and_the_json_report_the_names(program: Program, tenant: RunningSandbox, sample: Path) -> None:
    ended = program("plan", sample, "--json", env=environment(tenant))
    names = ended.json["names"]
    assert names == {"looked_up": names["found"] + 3, "calls": 8, "found": names["found"], "unknown": 2, "ambiguous": 1}
    assert f"{names['looked_up']} names looked up in 8 calls: {names['found']} found, 2 unknown, 1 amb" in ended.err
    assert accepted(tenant) == {}


@pytest.mark.thorough
def test_recent_names_are_not_looked_up_again(program: Program, tenant: RunningSandbox, sample: Path) -> None:
    first = program("plan", sample, env=environment(tenant))
    assert "Nothing was sent." in first.out
    again = program("submit", sample, "--yes", "--json", env=environment(tenant))
    assert again.json["names"]["calls"] == 0
    assert "names known from before" in again.err
    anew = program("plan", sample, "--json", "--max-age", "0", env=environment(tenant))
    assert anew.json["names"]["calls"] > 0


def moved() -> tuple[str, str, str]:
    """An alias that means one person in each directory, and the ids of both people."""
    there = {person.alias: person.id for person in OTHER_DIRECTORY.people}
    alias, first = next((person.alias, person.id) for person in DIRECTORY.people if person.alias in there)
    assert first != there[alias]
    return alias, first, there[alias]


def port_of(tenant: RunningSandbox) -> int:
    return int(tenant.base_url.rpartition(":")[2])


def test_an_input_stays_the_same_run_if_a_name_moves_to_somebody_else(program: Program, tmp_path: Path) -> None:
    alias, first, second = moved()
    command = ("submit", write_rows(tmp_path / "in.csv", [row(alias, role(0))]), "--yes", "--json", "--max-age", "0")
    with sandbox() as tenant:
        before = program(*command, env=environment(tenant))
        assert {pair[1] for pair in accepted(tenant)} == {first}
        port = port_of(tenant)
    with sandbox(port, seed=OTHER_SEED, strict_ids=False) as tenant:
        after = program(*command, env=environment(tenant))
        assert after.json["run"] == before.json["run"]
        assert (after.json["changes"], accepted(tenant)) == (before.json["changes"], {})
        other = write_rows(tmp_path / "other.csv", [row(alias, role(1))])
        program("submit", other, "--yes", "--max-age", "0", env=environment(tenant))
        assert {pair[1] for pair in accepted(tenant)} == {second}


@pytest.mark.thorough
def test_a_stopped_run_continues_for_the_people_in_its_plan(program: Program, tmp_path: Path) -> None:
    alias, first, _ = moved()
    shared = sample_mistakes(DIRECTORY)[1][NAMED_HEADER.index("identity")]
    twin, _ = (person.id for person in DIRECTORY.people if person.display_name == shared)
    rows = [
        row(alias, role(0), identity_id=""),
        row("nobody.known", role(0)),
        row(shared, role(0), identity_id=twin),
        row(alias, role(0), identity_id=twin),
    ]
    ledger = tmp_path / "ledger.db"
    given = write_rows(tmp_path / "in.csv", rows)
    command = ("submit", given, "--yes", "--json", "--max-age", "0", "--ledger", str(ledger))
    with sandbox() as tenant:
        tenant.faults.add(Fault.FORBIDDEN_403)
        stopped = program(*command, env=environment(tenant))
        assert (stopped.code, accepted(tenant)) == (4, {})
        port = port_of(tenant)
    alter(ledger, "DELETE FROM cached")
    with sandbox(port, seed=OTHER_SEED, strict_ids=False) as tenant:
        ended = program(*command, env=environment(tenant))
        assert {pair[1] for pair in accepted(tenant)} == {first, twin}
        assert ended.json["rows"]["rejected"] == ended.json["rows"]["submitted"] == 2
        assert ended.json["names"]["calls"] == 0


@pytest.mark.thorough
def test_a_new_joiner_is_found_if_the_same_input_is_submitted_again(program: Program, tmp_path: Path) -> None:
    known = {name for person in DIRECTORY.people for name in (person.alias, person.display_name)}
    joiner = next(person for person in OTHER_DIRECTORY.people if person.alias not in known)
    rows = [row(DIRECTORY.people[0].alias, role(0)), row(joiner.alias, role(0))]
    command = ("submit", write_rows(tmp_path / "in.csv", rows), "--yes", "--json", "--max-age", "0")
    with sandbox() as tenant:
        before = program(*command, env=environment(tenant))
        assert before.json["rows"]["rejected"] == 1
        port = port_of(tenant)
    with sandbox(port, seed=OTHER_SEED, strict_ids=False) as tenant:
        after = program(*command, env=environment(tenant))
        assert {pair[1] for pair in accepted(tenant)} == {joiner.id}
        assert after.json["run"] == before.json["run"]
        assert (after.json["rows"]["rejected"], after.json["rows"]["submitted"]) == (0, 2)


def test_an_option_restricts_names_to_a_single_field(program: Program, tenant: RunningSandbox, tmp_path: Path) -> None:
    person = DIRECTORY.people[0]
    rows = write_rows(tmp_path / "in.csv", [row(person.alias, role(0)), row(person.email, role(1))])
    ended = program("submit", rows, "--yes", "--json", "--identity-by", "email", env=environment(tenant))
    assert len(accepted(tenant)) == ended.json["rows"]["submitted"] == 1
    assert f"no identity has '{person.alias}' as e-mail" in ended.err
    other = program("submit", rows, "--yes", "--json", env=environment(tenant))
    assert other.json["run"] != ended.json["run"], "the same names by another field are another input"
    assert (other.json["rows"]["already_submitted"], other.json["rows"]["submitted"]) == (1, 1)
    assert set(accepted(tenant).values()) == {1}


def test_an_id_in_a_name_column_counts_as_an_id_and_a_name_beside_an_id_must_be_its_own(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    first, second, third = DIRECTORY.people[:3]
    rows = [
        row(first.id, role(0), identity_id=""),
        row("", role(0), identity_id=second.id),
        row(third.alias, role(0), identity_id=third.id),
        row("who knows", role(1), identity_id=second.id),
        row(first.alias, role(1), identity_id=second.id),
        row("", role(1)[:-1], identity_id=second.id),
    ]
    given = write_rows(tmp_path / "in.csv", rows)
    ended = program("submit", given, "--yes", env=environment(tenant))
    assert {pair[1] for pair in accepted(tenant)} == {first.id, second.id, third.id}
    mistakes = read_rows(given.with_name("in.results") / "rejected.csv")
    assert [(mistake["_line"], mistake["_rule"]) for mistake in mistakes] == [
        ("5", "identity_agrees"),
        ("6", "identity_agrees"),
        ("7", "item_found"),
    ]
    assert mistakes[2]["_message"].startswith(f"there is no role '{role(1)[:-1]}' (did you mean '{role(1)}'")
    assert (
        f"line 6: identity_agrees: identity '{first.alias}' has the id {first.id}, but identity_id is '{second.id}'"
        in ended.err
    )


def test_an_identityiq_file_gets_its_names_resolved_and_keeps_its_columns(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    person = DIRECTORY.people[3]
    group = next(found for found in DIRECTORY.of_type(ItemType.ENTITLEMENT) if found.source and "\\" in found.value)
    assert group.source
    theirs = dict.fromkeys(("operation", "roles", "application", "attributeName", "attributeValue", "identityName"), "")
    whole = {"application": group.source.name, "attributeName": group.attribute, "attributeValue": group.value}
    rows = [
        {**theirs, "operation": "AddRole", "roles": f"{role(0)} | {role(1)}", "identityName": person.alias},
        {**theirs, "operation": "AddEntitlement", **whole, "identityName": person.alias},
    ]
    program("submit", write_rows(tmp_path / "iiq.csv", rows), "--yes", env=environment(tenant))
    roles = [("GRANT", person.id, "ROLE", DIRECTORY.of_type(ItemType.ROLE)[number].id) for number in range(2)]
    assert accepted(tenant) == once([*roles, ("GRANT", person.id, "ENTITLEMENT", group.id)])
    results = read_rows(tmp_path / "iiq.results" / "results.csv")
    assert {result["_identity_id"] for result in results} == {person.id}
    assert {result["_item_id"] for result in results} == {pair[3] for pair in accepted(tenant)}
    assert [name for name in results[0] if not name.startswith("_")] == list(theirs)


def test_validate_checks_rows_without_looking_up_names_and_reports_it(program: Program, tmp_path: Path) -> None:
    rows = [row("anna", "Clerk"), row("ANNA", "Clerk"), row("bob", ""), row("", "Clerk"), row("eve", "Spy|Clerk")]
    ended = program("validate", write_rows(tmp_path / "in.csv", rows), "--json")
    assert (ended.json["rows"]["rejected"], ended.json["rows"]["duplicate_in_input"]) == (2, 1)
    assert "Did not look up 6 names" in ended.err


def test_a_plan_with_names_needs_a_tenant(program: Program, tmp_path: Path) -> None:
    ended = program("plan", write_rows(tmp_path / "in.csv", [row("anna", "Clerk")]))
    assert ended.code == 2
    assert "tenant" in ended.err


def test_a_token_that_may_not_read_roles_sends_nothing_and_the_error_names_the_scope(
    program: Program, tmp_path: Path
) -> None:
    scopes = ("idn:access-request:manage", "sp:search:read", "idn:identity:read", "idn:access-request-status:read")
    assert ALL_SCOPES not in scopes
    with sandbox(scopes=scopes) as tenant:
        rows = write_rows(tmp_path / "in.csv", [row(DIRECTORY.people[0].alias, role(0))])
        ended = program("submit", rows, "--yes", env=environment(tenant))
        assert ended.code == 2
        assert "idn:role-unchecked:read" in ended.err
        assert tenant.tenant.audit.posts == 0


@pytest.mark.thorough
def test_the_embedded_sandbox_resolves_names(program: Program, sample: Path) -> None:
    ended = program("submit", sample, "--sandbox", "--yes", "--json", "--rate", "5000/1")
    assert ended.json["names"]["ambiguous"] == 1
    assert ended.json["changes"]["accepted"] == ended.json["rows"]["submitted"] > 100
