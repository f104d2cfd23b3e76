"""Requests that travel in one body: whatever happens to it, each of their changes is accepted exactly once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from batch.api.dialects import Rate
from batch.sandbox.faults import Fault
from batch.sandbox.server import running_sandbox
from batch.sandbox.settings import SandboxSettings
from tests.end_to_end.program import (
    Program,
    accepted,
    environment,
    grant,
    identity,
    item,
    once,
    pair_of,
    read_rows,
    write_rows,
)
from tests.exactly_once.finishing import finish
from tests.exactly_once.killing import KILLED, Orders, run_to_its_end

if TYPE_CHECKING:
    from pathlib import Path

FAST = Rate(requests=5000, seconds=1)
UNKNOWN = frozenset(map(identity, (3, 44, 45, 91)))
BARRED = item(7)


def of_their_own(people: int, things: int = 2) -> list[dict[str, str]]:
    """A few of a dozen items for each, with a comment that nobody else has."""
    return [
        grant(person, (person + 5 * thing) % 12, comment=f"ticket {person}")
        for person in range(people)
        for thing in range(things)
    ]


@pytest.mark.thorough
def test_people_with_different_comments_share_bodies(tmp_path: Path, program: Program) -> None:
    rows = of_their_own(100)
    path = write_rows(tmp_path / "a.csv", rows)
    with running_sandbox(SandboxSettings(rate=FAST)) as tenant:
        flat = program("plan", path, "--json", "--api", "v2026", env=environment(tenant)).json["requests"]
        planned = program("plan", path, "--json", "--api", "v1", env=environment(tenant)).json["requests"]
        ended = program("submit", path, "--yes", "--json", "--api", "v1", env=environment(tenant))
        assert ended.code == 0, ended.err
        assert accepted(tenant) == once(map(pair_of, rows))
        assert (flat["planned"], planned["planned"]) == (100, 10)
        assert planned["lower_bound"] <= 10
        assert ended.json["requests"]["planned"] == ended.json["requests"]["accepted"] == 10
        assert ended.json["http"]["posts"] == tenant.tenant.audit.posts == 10
        bodies: list[dict[str, Any]] = [request.body for request in tenant.tenant.audit.accepted]
        comments = {
            (entry["identityId"], sent["comment"])
            for body in bodies
            for entry in body["requestedForWithRequestedItems"]
            for sent in entry["requestedItems"]
        }
        assert comments == {(row["identity_id"], row["comment"]) for row in rows}
        again = program("submit", path, "--yes", "--json", "--api", "v1", env=environment(tenant))
        assert (again.code, again.json["http"]["posts_now"]) == (0, 0)
    assert program("ledger", "verify").out == "The ledger is sound.\n"


@pytest.mark.thorough
@pytest.mark.parametrize("names_bad_id", [True, False], ids=["named", "not named"])
def test_only_the_bad_changes_of_a_refused_body_are_refused(
    tmp_path: Path,
    program: Program,
    names_bad_id: bool,  # noqa: FBT001 - pytest gives it by name
) -> None:
    rows = of_their_own(100)
    path = write_rows(tmp_path / "a.csv", rows)
    choices = SandboxSettings(
        rate=FAST,
        identities=frozenset(map(identity, range(100))) - UNKNOWN,
        unrequestable=frozenset({BARRED}),
        names_bad_id=names_bad_id,
    )
    with running_sandbox(choices) as tenant:
        ended = program("submit", path, "--yes", "--json", "--api", "v1", env=environment(tenant))

    def is_bad(row: dict[str, str]) -> bool:
        return row["identity_id"] in UNKNOWN or row["item_id"] == BARRED

    assert ended.code == 3, ended.err
    assert accepted(tenant) == once(pair_of(row) for row in rows if not is_bad(row))
    for row in read_rows(tmp_path / "a.results" / "results.csv"):
        assert row["_state"] == ("REFUSED" if is_bad(row) else "ACCEPTED")
    assert ended.json["http"]["posts"] == tenant.tenant.audit.posts
    assert program("ledger", "verify").out == "The ledger is sound.\n"


@pytest.mark.thorough
def test_every_fault_and_late_statuses_end_in_exactly_once(tmp_path: Path, program: Program) -> None:
    rows = of_their_own(240)  # More bodies than there are faults.
    path, ledger = write_rows(tmp_path / "a.csv", rows), tmp_path / "ledger.db"
    settings = SandboxSettings(rate=FAST, visibility_delay=1.0, latency=(0.0, 0.05))
    command = ["submit", str(path), "--yes", "--api", "v1", "--timeout", "1", "--settle-after", "2"]
    command += ["--ledger", str(ledger)]
    with running_sandbox(settings) as tenant:
        tenant.faults.add(None, *Fault)
        ended, besides = finish(program, command, ledger=ledger, tenant=tenant, spare=999)
        assert ended.code == 0, ended.err
        assert not tenant.faults.pending, "each fault has met a body"
        assert accepted(tenant) == once(map(pair_of, [*rows, *besides]))
    assert program("ledger", "verify", "--ledger", ledger).out == "The ledger is sound.\n"


@pytest.mark.thorough
@pytest.mark.parametrize("fault", [Fault.DROP_AFTER, Fault.DROP_BEFORE])
def test_killed_around_commits_and_exchanges(tmp_path: Path, program: Program, fault: Fault) -> None:
    rows = of_their_own(20)
    kills = 0
    with running_sandbox(SandboxSettings(rate=FAST, visibility_delay=0.0)) as tenant:
        wanted = []
        for point in (9, 19, 29):
            these = [{**row, "identity_id": identity(1000 * point + n)} for n, row in enumerate(rows)]
            path, ledger = write_rows(tmp_path / f"{point}.csv", these), tmp_path / f"{point}.db"
            command = ["submit", str(path), "--yes", "--api", "v1", "--settle-after", "0.2", "--ledger", str(ledger)]
            command += ["--new-ledger"]
            tenant.faults.add(fault)
            orders = Orders(
                arguments=[*command, "--concurrency", "1"],
                environment=environment(tenant),
                output=tmp_path / "out",
                die_at=point,
            )
            kills += run_to_its_end(orders) == KILLED
            while tenant.faults.pending:
                tenant.faults.next_effect()
            ended, besides = finish(program, command, ledger=ledger, tenant=tenant, spare=1000 * point + 999)
            wanted += [*these, *besides]
            assert ended.code == 0, (point, ended.err)
            assert accepted(tenant) == once(map(pair_of, wanted)), f"killed at point {point}"
            assert program("ledger", "verify", "--ledger", ledger).out == "The ledger is sound.\n"
    assert kills
