"""Between a plan and its application, ledger and tenant move at random: each move is caught, or does not matter."""

from __future__ import annotations

import os
import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from batch.api.dialects import ItemType, Operation, Rate
from batch.sandbox.server import running_sandbox
from batch.sandbox.settings import SandboxSettings
from tests.end_to_end.program import accepted, environment, grant, identity, item, once, pair_of, read_rows, write_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from batch.sandbox.tenant import SimulatedTenant
    from tests.end_to_end.program import Pair, Program

HISTORIES = int(os.environ.get("ACCESS_BATCH_TEST_MOVES", "8"))
"""How many random histories are tried: more outside the gate."""

CALM = SandboxSettings(rate=Rate(requests=5000, seconds=1), visibility_delay=0.0)
AT_ONCE = SandboxSettings(
    rate=Rate(requests=5000, seconds=1), visibility_delay=0.0, approval_seconds=0.0, provisioning_seconds=0.0
)
PEOPLE, THINGS, HELD = range(1, 5), range(1, 4), 9


def revoke(person: int) -> dict[str, str]:
    return {**grant(person, HELD), "operation": "REVOKE", "comment": "left"}


def request(tenant: SimulatedTenant, row: Mapping[str, str], operation: Operation) -> None:
    tenant.request_by_other(
        datetime.now(UTC),
        identity=row["identity_id"],
        item_type=ItemType.ROLE,
        item_id=row["item_id"],
        operation=operation,
    )


def give(tenant: SimulatedTenant, row: Mapping[str, str]) -> None:
    tenant.hold(row["identity_id"], ItemType.ROLE, row["item_id"], since=datetime.now(UTC))


MOVES: dict[str, Callable[[SimulatedTenant, Mapping[str, str]], None]] = {
    "a colleague requests the same": lambda tenant, row: request(tenant, row, Operation(row["operation"])),
    "a colleague requests the opposite": lambda tenant, row: request(tenant, row, Operation.REVOKE),
    "the access is given otherwise": give,
}
"""What a colleague does about a planned change, so that it must not be sent."""


def moves_that_matter(row: Mapping[str, str], *, at_once: bool) -> list[str]:
    """The moves after which a change must not be sent.

    A grant of access that is held comes to nothing, and an opposite request that has ended leaves the change wanted.
    """
    if row["operation"] == "REVOKE":
        return ["a colleague requests the same"]
    return [name for name in MOVES if not (at_once and name == "a colleague requests the opposite")]


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(HISTORIES))
def test_what_moved_is_left_out_with_its_reason_and_all_else_is_sent_once(
    seed: int, program: Program, tmp_path: Path
) -> None:
    chance = random.Random(seed)  # noqa: S311 - it must repeat
    at_once = chance.random() < 0.5
    rows = [grant(person, thing) for person in PEOPLE for thing in THINGS] + [revoke(person) for person in PEOPLE]
    path, saved = write_rows(tmp_path / "wanted.csv", rows), tmp_path / "load.plan"
    with running_sandbox(AT_ONCE if at_once else CALM) as sandbox:
        tenant, env = sandbox.tenant, environment(sandbox)
        for person in PEOPLE:
            tenant.hold(identity(person), ItemType.ROLE, item(HELD))
        assert program("plan", path, "--save", saved, env=env).code == 0
        moved: dict[Pair, str] = {}
        for row in chance.sample(rows, chance.randint(0, 5)):
            name = chance.choice(moves_that_matter(row, at_once=at_once))
            MOVES[name](tenant, row)
            moved[pair_of(row)] = name
        others = [row for row in rows if pair_of(row) not in moved]
        by_another_run = chance.sample(others, chance.randint(0, 3))
        if by_another_run:
            another = write_rows(tmp_path / "another.csv", by_another_run)
            assert program("submit", another, "--yes", env=env).code == 0
            moved |= {pair_of(row): "another run has submitted it" for row in by_another_run}
        for stranger in range(50, 50 + chance.randint(0, 3)):
            request(tenant, grant(stranger, 1), Operation.GRANT)
            give(tenant, grant(stranger, 2))
        before = accepted(sandbox)
        if moved and chance.random() < 0.3:
            assert program("submit", saved, "--yes", "--all-or-nothing", env=env).code == 2
            assert accepted(sandbox) == before
        ended = program("submit", saved, "--yes", env=env)
        assert ended.code in {0, 3}, ended.err
        assert accepted(sandbox) == once(map(pair_of, others)), "\n".join([*map(str, moved.items()), ended.err])
        assert ("Since it was planned" in ended.err) == bool(moved)
        results = {pair_of(row): row for row in read_rows(tmp_path / "load.results" / "results.csv")}
        for pair, why in moved.items():
            operation, who, _, thing = pair
            assert f"{operation.lower()} of ROLE {thing} for {who}: " in ended.err, why
            assert results[pair]["_class"] != "submitted", why
            assert results[pair]["_reason"] or results[pair]["_class"] == "already_submitted", why
        again = program("submit", saved, "--yes", env=env)
        assert again.code in {0, 3}
        assert accepted(sandbox) == once(map(pair_of, others))
