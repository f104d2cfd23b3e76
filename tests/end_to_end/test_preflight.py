"""The preflight: rows that come to nothing are rejected before they are sent, and what may come to nothing is told."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from batch.api.dialects import DIALECTS, REQUEST_TYPES, ItemType, Operation, Rate
from batch.sandbox.item_rules import Duration, RequestRules
from batch.sandbox.server import running_sandbox
from batch.sandbox.settings import SandboxSettings
from batch.sandbox.tenant_rules import Effect, Rule
from tests.end_to_end.program import (
    accepted,
    environment,
    grant,
    identity,
    item,
    once,
    pair_of,
    read_rows,
    write_rows,
)  # fmt: skip

if TYPE_CHECKING:
    from pathlib import Path

    from batch.sandbox.server import RunningSandbox
    from tests.end_to_end.program import Ended, Program

SETTINGS = SandboxSettings(
    rate=Rate(requests=5000, seconds=1),
    visibility_delay=0.0,
    items=frozenset(map(item, range(8))),
    identities=frozenset(map(identity, range(8))),
    item_changes={
        item(1): {"request": RequestRules(require_end_date=True)},
        item(2): {"request": RequestRules(comments_required=True, longest=Duration(value=90))},
        item(3): {"enabled": False},
    },
    person_changes={identity(4): {"inactive": True}},
)


def submit(program: Program, sandbox: RunningSandbox, path: Path, *more: str) -> Ended:
    return program("submit", path, "--yes", "--json", *more, env=environment(sandbox))


def revoke(person: int, thing: int) -> dict[str, str]:
    return grant(person, thing) | {"operation": "REVOKE", "comment": "has left"}


def test_access_that_no_request_may_revoke_is_a_warning_while_the_index_may_be_older_than_a_refusal(
    program: Program, tmp_path: Path
) -> None:
    rows = [grant(0, 0), revoke(1, 5), revoke(2, 6)]
    path = write_rows(tmp_path / "a.csv", rows)
    with running_sandbox(SETTINGS) as sandbox:
        sandbox.tenant.hold(identity(1), ItemType.ROLE, item(5), revocable=False)
        sandbox.tenant.hold(identity(2), ItemType.ROLE, item(6))
        first = submit(program, sandbox, path)
        assert accepted(sandbox) == once(map(pair_of, [rows[0], rows[2]]))
        assert [(one["rule"], one["lines"]) for one in first.json["warnings"]] == [("held_by_membership", [3])]
        assert "(line 3): the tenant does not show this role as revocable, so a role or a lifecycle state" in first.err
        assert (first.code, first.json["changes"]["refused"], first.json["rows"]["rejected"]) == (3, 1, 0)
        sandbox.tenant.hold(identity(3), ItemType.ROLE, item(5), revocable=False)
        again = submit(program, sandbox, write_rows(tmp_path / "b.csv", [revoke(1, 5), revoke(3, 5)]))
        assert [one["lines"] for one in again.json["warnings"]] == [[2, 3]]
        assert (again.json["rows"]["rejected"], sandbox.tenant.audit.refused) == (0, 3)


def test_an_id_that_the_tenant_does_not_list_is_sent_since_only_the_tenant_knows_whether_it_exists(
    program: Program, tmp_path: Path
) -> None:
    rows = [grant(0, 0), grant(0, 99), grant(99, 0)]
    path = write_rows(tmp_path / "a.csv", rows)
    with running_sandbox(SETTINGS) as sandbox:
        ended = submit(program, sandbox, path)
        assert accepted(sandbox) == once([pair_of(rows[0])])
        results = read_rows(tmp_path / "a.results" / "results.csv")
        assert [row["_state"] for row in results] == ["ACCEPTED", "REFUSED", "REFUSED"]
        assert [(one["rule"], one["lines"]) for one in ended.json["warnings"]] == [
            ("item_unlisted", [3]),
            ("person_unlisted", [4]),
        ]
        assert (ended.code, ended.json["rows"]["rejected"]) == (3, 0)


def test_what_the_tenant_may_refuse_is_sent_with_a_warning_that_counts_the_lines(
    program: Program, tmp_path: Path
) -> None:
    rows = [grant(0, 1), grant(1, 1), grant(1, 2), grant(0, 3), grant(4, 0)]
    path = write_rows(tmp_path / "a.csv", rows)
    with running_sandbox(SETTINGS) as sandbox:
        planned = program("plan", path, "--json", env=environment(sandbox))
        ended = submit(program, sandbox, path)
        assert accepted(sandbox) == once(map(pair_of, rows))
    assert (planned.code, ended.code) == (0, 0)
    assert (
        ended.json["warnings"]
        == planned.json["warnings"]
        == [
            {"rule": "item_disabled", "file": str(path), "count": 1, "lines": [5]},
            {"rule": "end_date_required", "file": str(path), "count": 2, "lines": [2, 3]},
            {"rule": "end_date_too_late", "file": str(path), "count": 1, "lines": [4]},
            {"rule": "comment_required", "file": str(path), "count": 1, "lines": [4]},
            {"rule": "person_inactive", "file": str(path), "count": 1, "lines": [6]},
        ]
    )
    for shown in (planned.err, ended.err):
        assert (
            "The tenant may refuse 2 rows (lines 2, 3): the role needs an end date, and none is given "
            "(end_date_required). Give a remove_date; `--strict` rejects them, `--ignore end_date_required` silences "
            "this."
        ) in shown


def test_strict_rejects_what_the_tenant_may_refuse_and_ignore_silences_a_rule(program: Program, tmp_path: Path) -> None:
    rows = [grant(0, 1), grant(0, 0), grant(4, 0)]
    path = write_rows(tmp_path / "a.csv", rows)
    with running_sandbox(SETTINGS) as sandbox:
        ended = submit(program, sandbox, path, "--strict", "--ignore", "person_inactive")
        assert accepted(sandbox) == once(map(pair_of, rows[1:]))
    assert (ended.code, ended.json["rows"]["rejected"], ended.json["warnings"]) == (3, 1, [])
    assert "person_inactive" not in ended.err


def test_the_command_that_is_proposed_after_strict_rejects_the_same_rows(program: Program, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.csv", [grant(0, 1)])
    with running_sandbox(SETTINGS) as sandbox:
        words = ("submit", path, "--yes", "--strict")
        first = program(*words, env=environment(sandbox))
        rejected = tmp_path / "a.results" / "rejected.csv"
        assert f"Correct the rejected rows, then: access-batch submit {rejected} --strict\n" in first.out + first.err
        assert program("submit", rejected, "--yes", "--strict", env=environment(sandbox)).code == 3
        assert sandbox.tenant.audit.posts == 0


def test_the_command_that_is_proposed_after_ignore_lets_the_same_rows_through(program: Program, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.csv", [grant(0, 1), grant(4, 0)])
    ignored = ("--ignore", "end_date_required", "--ignore", "form_required")
    with running_sandbox(SETTINGS) as sandbox:
        first = program("submit", path, "--yes", "--strict", *ignored, env=environment(sandbox))
        rejected = tmp_path / "a.results" / "rejected.csv"
        words = " ".join(["--strict", *ignored])
        assert f"Correct the rejected rows, then: access-batch submit {rejected} {words}\n" in first.out + first.err
        assert accepted(sandbox) == once([pair_of(grant(0, 1))])


def test_a_row_of_which_one_item_is_rejected_comes_back_with_that_item(program: Program, tmp_path: Path) -> None:
    row = grant(0, 0)
    row["item_id"] = f"{item(0)}|{item(99)}|{item(1)}"
    path = write_rows(tmp_path / "a.csv", [row, grant(1, 0)])
    with running_sandbox(SETTINGS) as sandbox:
        ended = submit(program, sandbox, path, "--strict", "--ignore", "end_date_required")
        assert accepted(sandbox) == once(map(pair_of, [grant(0, 0), grant(0, 1), grant(1, 0)]))
    assert (ended.code, ended.json["rows"]["rejected"], ended.json["rows"]["submitted"]) == (3, 1, 1)
    (back,) = read_rows(tmp_path / "a.results" / "rejected.csv")
    assert (back["item_id"], back["_rule"]) == (item(99), "item_unlisted")


def test_an_ignored_rule_lets_the_tenant_decide(program: Program, tmp_path: Path) -> None:
    with running_sandbox(SETTINGS) as sandbox:
        sandbox.tenant.hold(identity(1), ItemType.ROLE, item(5), revocable=False)
        for name in ("a.csv", "b.csv"):
            path = write_rows(tmp_path / name, [revoke(1, 5)])
            ended = submit(program, sandbox, path, "--ignore", "held_by_membership")
        assert sandbox.tenant.audit.refused == 2
    assert (ended.json["rows"]["rejected"], ended.json["warnings"], ended.json["changes"]["refused"]) == (0, [], 1)


def test_a_token_without_the_scopes_gets_one_notice_and_goes_on(program: Program, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.csv", [grant(0, 1), grant(0, 0)])
    scopes = ("idn:access-request:create", "idn:access-request-status:read", "sp:search:read")
    with running_sandbox(replace(SETTINGS, scopes=scopes)) as sandbox:
        ended = submit(program, sandbox, path)
        assert accepted(sandbox) == once(map(pair_of, [grant(0, 1), grant(0, 0)]))
    assert (ended.code, ended.json["warnings"]) == (0, [])
    assert ended.err.count("The tenant does not show the rules of roles") == 1
    assert "that takes the scope idn:role-unchecked:read." in ended.err


@pytest.mark.parametrize("when", ["always", "never"])
def test_check_tenant_requires_the_rules_or_asks_nothing(program: Program, tmp_path: Path, when: str) -> None:
    path = write_rows(tmp_path / "a.csv", [grant(0, 99)])
    scopes = ("idn:access-request:create", "idn:access-request-status:read", "sp:search:read")
    with running_sandbox(replace(SETTINGS, scopes=scopes)) as sandbox:
        ended = submit(program, sandbox, path, "--check-tenant", when)
        assert sandbox.tenant.audit.calls["roles"] == (1 if when == "always" else 0)
        assert sandbox.tenant.audit.posts == (0 if when == "always" else 1)
    assert ended.code == (2 if when == "always" else 3)


def test_the_second_run_asks_about_no_item_again(program: Program, tmp_path: Path) -> None:
    with running_sandbox(SETTINGS) as sandbox:
        submit(program, sandbox, write_rows(tmp_path / "a.csv", [grant(0, 0), grant(0, 1)]))
        submit(program, sandbox, write_rows(tmp_path / "b.csv", [grant(1, 0), grant(1, 1)]))
        assert len(accepted(sandbox)) == 4
        assert sandbox.tenant.audit.calls["roles"] == 1


@pytest.mark.parametrize("api", ["beta", "v3", "v2026", "v1"])
def test_an_entitlements_own_rules_are_warned_of(program: Program, tmp_path: Path, api: str) -> None:
    rows = [grant(0, 1) | {"item_type": "ENTITLEMENT"}, grant(0, 0) | {"item_type": "ENTITLEMENT"}]
    path = write_rows(tmp_path / "a.csv", rows)
    with running_sandbox(SETTINGS) as sandbox:
        ended = submit(program, sandbox, path, "--api", api)
        assert accepted(sandbox) == once(map(pair_of, rows))
        assert sandbox.tenant.audit.calls["entitlement_config"] == 2
        submit(program, sandbox, write_rows(tmp_path / "b.csv", [rows[0] | {"identity_id": identity(1)}]), "--api", api)
        assert sandbox.tenant.audit.calls["entitlement_config"] == 2
    assert ended.json["warnings"] == [{"rule": "end_date_required", "file": str(path), "count": 1, "lines": [2]}]


DOCUMENTED = (Rule.UNKNOWN_PERSON, Rule.UNKNOWN_ITEM, Rule.NOT_REVOCABLE)
"""What the vendor documents to be refused. This tenant does not even notice the rest."""


def would_refuse(sandbox: RunningSandbox, row: dict[str, str]) -> bool:
    """Whether the tenant refuses a row alone."""
    operation = Operation(row["operation"])
    wanted: dict[str, Any] = {"type": row["item_type"], "id": row["item_id"]}
    if row.get("comment"):
        wanted["comment"] = row["comment"]
    body = {
        "requestedFor": [row["identity_id"]],
        "requestType": REQUEST_TYPES[operation],
        "requestedItems": [wanted],
    }
    return sandbox.tenant.submit(body, datetime.now(UTC), DIALECTS["v1"]).status == 400


_SEVERAL = "there are several accounts on"


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(4))
def test_no_row_is_rejected_that_the_tenant_would_take(program: Program, tmp_path: Path, seed: int) -> None:
    given = random.Random(seed)  # noqa: S311 - repeatable
    settings = SandboxSettings(
        rate=Rate(requests=5000, seconds=1),
        visibility_delay=0.0,
        people=60,
        odd=True,
        seed=seed,
        effects=dict.fromkeys(Rule, Effect.IGNORED) | dict.fromkeys(DOCUMENTED, Effect.REFUSED),
        cancels_duplicates=False,
    )
    with running_sandbox(settings) as sandbox:
        directory = sandbox.tenant.known.directory
        people = [*(person.id for person in directory.people), identity(0), identity(1)]
        grants = [
            {"operation": "GRANT", "identity_id": person, "item_type": str(one.type), "item_id": one.id, "comment": ""}
            for person in people
            for one in given.sample(directory.items, 2)
        ]
        # More of them at the front of the plan would stop the run.
        lost = [{**row, "item_id": identity(given.randrange(9))} for row in given.sample(grants, 8)]
        revokes = [
            {"operation": "REVOKE", "identity_id": person, "item_type": str(kind), "item_id": one, "comment": "left"}
            for person, kind, one in given.sample(directory.held, 80)
        ]
        rows = list({tuple(row.values())[1:4]: row for row in [*grants, *lost, *revokes]}.values())
        ended = submit(program, sandbox, write_rows(tmp_path / "a.csv", rows), "--api", "v1")
        assert ended.code == 3, ended.err
        results = {row["_line"]: row for row in read_rows(tmp_path / "a.results" / "results.csv")}
        # Where the tenant says that an account must be chosen, the row must choose: it could be the wrong one.
        rejected = [row for row in results.values() if row["_class"] == "rejected"]
        assert [row for row in rejected if _SEVERAL not in row["_reason"]] == [], "nothing was refused before"
        refused = [row for line, row in enumerate(rows, 2) if results[str(line)]["_state"] == "REFUSED"]
        assert {row["operation"] for row in refused} == {"GRANT", "REVOKE"}
        assert [row for row in refused if not would_refuse(sandbox, row)] == []
        path = write_rows(tmp_path / "b.csv", [row | {"comment": "once more"} for row in rows])
        submit(program, sandbox, path, "--api", "v1")
        results = {row["_line"]: row for row in read_rows(tmp_path / "b.results" / "results.csv")}
        rejected = [
            row
            for line, row in enumerate(rows, 2)
            if results[str(line)]["_class"] == "rejected" and _SEVERAL not in results[str(line)]["_reason"]
        ]
        assert [row for row in rejected if not would_refuse(sandbox, row)] == []


def test_access_that_was_granted_anew_since_the_index_was_made_is_revoked_all_the_same(
    program: Program, tmp_path: Path
) -> None:
    path = write_rows(tmp_path / "a.csv", [revoke(1, 5), revoke(2, 5)])
    with running_sandbox(replace(SETTINGS, search_lag=3600.0)) as sandbox:
        now = datetime.now(UTC)
        for person in (1, 2):
            sandbox.tenant.hold(
                identity(person), ItemType.ROLE, item(5), until=now - timedelta(minutes=30), revocable=False
            )
        sandbox.tenant.request_by_other(
            now - timedelta(minutes=20), identity=identity(1), item_type=ItemType.ROLE, item_id=item(5)
        )
        sandbox.tenant.conclude("REQUEST_COMPLETED", identity=identity(1), now=now - timedelta(minutes=10))
        ended = submit(program, sandbox, path)
        assert accepted(sandbox) == once(map(pair_of, [revoke(1, 5), revoke(2, 5)]))
    assert ended.json["rows"]["rejected"] == 0
    assert [(one["rule"], one["lines"]) for one in ended.json["warnings"]] == [("held_by_membership", [2, 3])]


@pytest.mark.thorough
def test_what_this_tenant_has_refused_before_is_rejected_if_it_still_shows_the_fault(
    program: Program, tmp_path: Path
) -> None:
    with running_sandbox(replace(SETTINGS, effects={Rule.END_DATE_REQUIRED: Effect.REFUSED})) as sandbox:
        first = submit(program, sandbox, write_rows(tmp_path / "a.csv", [grant(0, 1)]))
        assert (first.json["changes"]["refused"], sandbox.tenant.audit.posts) == (1, 1)
        cached = submit(program, sandbox, write_rows(tmp_path / "cached.csv", [grant(0, 1) | {"comment": "again"}]))
        assert (cached.json["rows"]["rejected"], sandbox.tenant.audit.refused) == (0, 2)
        path = write_rows(tmp_path / "b.csv", [grant(0, 1), grant(1, 1), grant(1, 0)])
        second = submit(program, sandbox, path, "--max-age", "0")
        assert accepted(sandbox) == once([pair_of(grant(1, 0))])
        assert sandbox.tenant.audit.refused == 4, "in a bundle, then alone: another person was not refused yet"
        (back,) = read_rows(tmp_path / "b.results" / "rejected.csv")
        assert (back["_line"], back["_rule"]) == ("2", "end_date_required")
        assert f"; on {datetime.now(UTC):%Y-%m-%d} the tenant refused this: '" in back["_message"]
        assert back["_message"].endswith("needs a removeDate.'")
        assert (second.code, [one["lines"] for one in second.json["warnings"]]) == (3, [[3]])
        more = ("--max-age", "0", "--ignore", "end_date_required")
        submit(program, sandbox, write_rows(tmp_path / "c.csv", [grant(0, 1)]), *more)
        assert sandbox.tenant.audit.refused == 5
        submit(program, sandbox, write_rows(tmp_path / "d.csv", [grant(3, 1) | {"remove_date": "2099-01-31"}]))
        again = submit(program, sandbox, write_rows(tmp_path / "e.csv", [grant(0, 1)]), "--max-age", "0")
        assert [one["rule"] for one in again.json["warnings"]] == ["end_date_required"]
