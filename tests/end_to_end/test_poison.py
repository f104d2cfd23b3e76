"""Answers that prove nothing, and requests that a server or a firewall never lets through because of their text."""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from batch.api.dialects import ItemType
from batch.sandbox.faults import BLOCK_ID, Fault
from tests.end_to_end.program import accepted, environment, grant, identity, item, once, pair_of, read_rows, write_rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from batch.sandbox.server import RunningSandbox
    from tests.end_to_end.program import Program

POISON = identity(3)
TOGETHER = [grant(person, thing) for person in range(8) for thing in range(3)]
"""Changes in one body."""
OTHERS = [grant(100 + number, 100 + number) for number in range(12)]
"""Changes in requests of their own."""


@contextmanager
def busy(tenant: RunningSandbox) -> Iterator[None]:
    """Other users work at the tenant, so that its list shows how current it is."""
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(0.2):
            tenant.tenant.request_by_other(
                datetime.now(UTC), identity=identity(5000), item_type=ItemType.ROLE, item_id=item(5000)
            )

    others = threading.Thread(target=work)
    others.start()
    try:
        yield
    finally:
        ended.set()
        others.join()


@pytest.mark.parametrize(
    "fault",
    [
        Fault.UNAVAILABLE_503_AFTER,
        Fault.SEE_OTHER_303_AFTER,
        Fault.NOT_FOUND_404_AFTER,
        Fault.CONFLICT_409_AFTER,
    ],
)
def test_an_answer_that_proves_nothing_never_makes_a_processed_request_go_out_again(
    program: Program, tenant: RunningSandbox, tmp_path: Path, fault: Fault
) -> None:
    rows = [grant(person, person) for person in range(10)]
    path = write_rows(tmp_path / "a.csv", rows)
    tenant.faults.add(None, fault, fault, None, fault)
    ended = program("submit", path, "--yes", "--json", "--settle-after", "5", env=environment(tenant))
    if ended.code == 4:
        ended = program("submit", path, "--yes", "--json", "--settle-after", "5", env=environment(tenant))
    assert accepted(tenant) == once(map(pair_of, rows))
    assert ended.code == 0


@pytest.mark.thorough
@pytest.mark.parametrize("fault", [Fault.ERROR_500_BEFORE, Fault.BLOCKED_403, Fault.FORBIDDEN_403])
def test_one_change_that_never_gets_through_is_refused_and_all_others_are_accepted(
    program: Program, tenant: RunningSandbox, tmp_path: Path, fault: Fault
) -> None:
    rows = [*OTHERS, *TOGETHER]
    tenant.faults.poison(POISON, fault)
    path = write_rows(tmp_path / "a.csv", rows)
    options = ["--yes", "--json", "--settle-after", "1", "--give-up-after", "60"]
    with busy(tenant):
        ended = program("submit", path, *options, env=environment(tenant))
        for _ in range(4):
            # A request stays unconfirmed as long as nothing shows that the list is current.
            if ended.code == 4:
                ended = program("submit", path, *options, env=environment(tenant))
    bad = [row for row in rows if row["identity_id"] == POISON]
    assert accepted(tenant) == once(pair_of(row) for row in rows if row not in bad)
    assert ended.code == 3
    for row in read_rows(tmp_path / "a.results" / "results.csv"):
        is_bad = row["identity_id"] == POISON
        assert row["_state"] == ("REFUSED" if is_bad else "ACCEPTED")
        if is_bad and fault is Fault.BLOCKED_403:
            assert "blocked by a firewall" in row["_reason"]
            assert BLOCK_ID in row["_reason"]
        elif is_bad:
            assert re.search("40[34]|500", row["_reason"])


@pytest.mark.thorough
def test_controls_are_kept_for_what_never_gets_through_though_nobody_else_works_at_the_tenant(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    tenant.faults.poison(POISON, Fault.ERROR_500_BEFORE)
    rows = [*OTHERS, *TOGETHER]
    path = write_rows(tmp_path / "a.csv", rows)
    ended = program("submit", path, "--yes", "--settle-after", "2", env=environment(tenant))
    # A part that fails at a time of its own needs a later control. If there is none left, it stays unconfirmed.
    controls = [grant(70 + number, 70 + number) for number in range(3)]
    for number, control in enumerate(controls):
        if ended.code == 4:
            rows.append(control)
            later = write_rows(tmp_path / f"control {number}.csv", [control])
            assert program("submit", later, "--yes", env=environment(tenant)).code == 0
            ended = program("submit", path, "--yes", "--settle-after", "2", env=environment(tenant))
    assert ended.code == 3, ended.err
    assert accepted(tenant) == once(pair_of(row) for row in rows if row["identity_id"] != POISON)
