"""A few ids that the tenant refuses cost few requests and do not stop the other changes."""

from __future__ import annotations

import re
from dataclasses import replace
from math import log2
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from batch.answers.stop_rule import ALL_REFUSED_AFTER
from batch.api.dialects import Rate
from batch.sandbox.server import running_sandbox
from batch.sandbox.settings import SandboxSettings
from tests.end_to_end.program import accepted, environment, grant, identity, item, once, pair_of, read_rows, write_rows

if TYPE_CHECKING:
    from pathlib import Path

    from tests.end_to_end.program import Program

PEOPLE = range(200)
UNKNOWN = frozenset(identity(person) for person in (3, 77, 78, 101, 196))
UNREQUESTABLE = frozenset(item(thing) for thing in (1010, 1021, 1032, 1050, 1051))
COMPLAINT = re.compile(r"The (identity.* was not found|access item.* can't be requested)\.")
TRACKING_ID = re.compile(r"\(tracking id [0-9a-f]{32}\)$")


def wanted() -> list[dict[str, str]]:
    """1,000 changes: two items for everybody, and three for each of twenty teams."""
    return [
        grant(person, thing)
        for person in PEOPLE
        for thing in (0, 1, *(1000 + 10 * (person % 20) + number for number in range(3)))
    ]


def is_bad(row: dict[str, str]) -> bool:
    return row["identity_id"] in UNKNOWN or row["item_id"] in UNREQUESTABLE


@pytest.mark.parametrize("names_bad_id", [True, False], ids=["named", "not named"])
def test_ten_bad_ids_among_1000_changes_are_reported_and_everything_else_is_accepted(
    program: Program,
    tmp_path: Path,
    names_bad_id: bool,  # noqa: FBT001 - pytest passes it by name
) -> None:
    rows = wanted()
    assert len(rows) == 1000
    choices = SandboxSettings(
        rate=Rate(requests=5000, seconds=1),
        visibility_delay=0.0,
        identities=frozenset(map(identity, PEOPLE)) - UNKNOWN,
        unrequestable=UNREQUESTABLE,
        names_bad_id=names_bad_id,
    )
    path = write_rows(tmp_path / "wanted.csv", rows)
    with running_sandbox(choices) as tenant:
        planned = program("plan", path, "--json", env=environment(tenant)).json["requests"]["planned"]
        # One request at a time, so that their number does not depend on how fast the machine is.
        ended = program("submit", path, "--yes", "--json", "-v", "--concurrency", "1", env=environment(tenant))
    assert ended.code == 3
    assert accepted(tenant) == once(pair_of(row) for row in rows if not is_bad(row))
    for row in read_rows(tmp_path / "wanted.results" / "results.csv"):
        assert row["_state"] == ("REFUSED" if is_bad(row) else "ACCEPTED")
        if is_bad(row):
            assert COMPLAINT.search(row["_reason"])
            assert TRACKING_ID.search(row["_reason"])
    told = re.findall(r"for ([0-9a-f]{32}), line (\d+), attempt 1\) was refused", ended.err)
    alone = {rows[int(line) - 2]["identity_id"] == person and is_bad(rows[int(line) - 2]) for person, line in told}
    assert alone == {True}, ended.err
    assert ended.json["http"]["posts"] == tenant.tenant.audit.posts
    assert tenant.tenant.audit.posts - planned <= 10 * 2 * log2(1000)


@pytest.mark.thorough
def test_a_tenant_that_refuses_everything_gets_twenty_requests_and_the_run_can_be_resumed(
    program: Program, tmp_path: Path
) -> None:
    healthy = SandboxSettings(rate=Rate(requests=5000, seconds=1))
    choices = replace(healthy, identities=frozenset(), names_bad_id=False)
    path = write_rows(tmp_path / "wanted.csv", wanted())
    with running_sandbox(choices) as tenant:
        command = ("submit", path, "--yes", "--json")
        stopped = program(*command, "--concurrency", "1", env=environment(tenant))
        assert tenant.tenant.audit.posts == ALL_REFUSED_AFTER == 20
    with running_sandbox(healthy, port=urlsplit(tenant.base_url).port or 0) as healed:
        resumed = program("submit", path, "--yes", "--json", env=environment(healed))
        assert accepted(healed) == once(map(pair_of, wanted()))
    assert resumed.code == 0
    assert resumed.json["run"] == stopped.json["run"]
    assert stopped.code == 4
    assert "20 of 20 requests were refused" in stopped.err
    assert "Then run the same command again" in stopped.err
    assert stopped.json["changes"]["refused"] == 0
    assert stopped.json["changes"]["unsent"] == 1000
