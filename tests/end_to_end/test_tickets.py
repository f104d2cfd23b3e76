"""Tickets reach the tenant's own records, in the comments that a template makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.credentials.places import write_config
from tests.end_to_end.program import environment, grant, read_rows, write_rows

if TYPE_CHECKING:
    from pathlib import Path

    from batch.sandbox.server import RunningSandbox
    from tests.end_to_end.program import Program


def comments(tenant: RunningSandbox) -> list[str]:
    """The comments of all items of accepted requests."""
    bodies: list[Any] = [accepted.body for accepted in tenant.tenant.audit.accepted]
    return sorted(one["comment"] for body in bodies for one in body["requestedItems"])


def test_the_tenants_own_records_name_the_ticket_and_the_plan_says_what_that_costs(
    program: Program, tmp_path: Path, tenant: RunningSandbox
) -> None:
    write_config(
        r"""
        comment = "{comment} [{ticket}]"
        ticket_pattern = "INC\\d{7}"
        """
    )
    tickets = {1: "INC0000001", 2: "INC0000002", 3: "INC12"}
    rows = [grant(person, 1, comment="joins", ticket=ticket) for person, ticket in tickets.items()]
    path, env = write_rows(tmp_path / "joiners.csv", rows), environment(tenant)
    planned = program("plan", path, env=env)
    assert "Tickets in comments divide them: 1 request would do without." in planned.out
    first = program("submit", path, "--yes", "--json", env=env)
    assert (first.code, first.json["rows"]["submitted"], first.json["rows"]["rejected"]) == (3, 2, 1)
    sent = ["joins [INC0000001]", "joins [INC0000002]"]
    assert comments(tenant) == sent
    (rejected,) = read_rows(tmp_path / "joiners.results" / "rejected.csv")
    assert (rejected["_rule"], rejected["ticket"]) == ("ticket_given", "INC12")
    again = program("submit", path, "--yes", "--json", env=env)
    assert (again.json["run"], again.json["http"]["posts_now"]) == (first.json["run"], 0)
    # What comes back is corrected and sent again: its own comment is not rendered twice.
    corrected = write_rows(tmp_path / "rejected.csv", [{**rejected, "ticket": "INC0000003"}])
    assert program("submit", corrected, "--yes", env=env).code == 0
    assert comments(tenant) == [*sent, "joins [INC0000003]"]


def test_a_plan_counts_only_the_requests_that_tickets_cost_and_plans_revokes_too(
    program: Program, tmp_path: Path, tenant: RunningSandbox
) -> None:
    own = [grant(person, 1, comment=f"own {person}", ticket=f"T{person}") for person in range(1, 5)]
    alike = [grant(person, 2, comment="alike", ticket=f"T{person}") for person in range(5, 9)]
    leaves = {**grant(9, 3, comment="leaves", ticket="T9"), "operation": "REVOKE"}
    path, saved = write_rows(tmp_path / "all.csv", [*own, *alike, leaves]), tmp_path / "all.plan"
    env = {**environment(tenant), "ACCESS_BATCH_CHECK_TENANT": "never"}
    planned = program("plan", path, "--save", saved, "--comment", "{comment} [{ticket}]", env=env)
    assert planned.code == 0, planned.err
    assert "Tickets in comments divide them: 6 requests would do without." in planned.out
    assert program("submit", saved, "--yes", env=env).code == 0
    assert comments(tenant)[:4] == [f"alike [T{person}]" for person in range(5, 9)]
    assert "leaves [T9]" in comments(tenant)
