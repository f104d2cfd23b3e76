"""A run has the digest of this input, and has planned what no row of it asks for. Nothing of that is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from batch.ledger.machine_key import MachineKey
from tests.builders import NOW, change
from tests.end_to_end.program import accepted, environment, grant, write_rows
from tests.ledger.ledger_helpers import FAILED, ME, claim, open_ledger, record, rows, write

if TYPE_CHECKING:
    from pathlib import Path

    from batch.sandbox.server import RunningSandbox
    from tests.end_to_end.program import Program

THIEF = MachineKey(b"another machine's key...........")


@pytest.mark.parametrize("beside", ["nothing", "another machine's plan", "a doubt"])
def test_changes_that_nobody_wants_are_not_sent(
    program: Program, tenant: RunningSandbox, tmp_path: Path, beside: str
) -> None:
    path, ledger = write_rows(tmp_path / "new.csv", [grant(1, 1), grant(2, 2)]), tmp_path / "ledger.db"
    wrong = {**environment(tenant), "SAIL_CLIENT_SECRET": "wrong"}
    program("submit", path, "--yes", "--check-tenant", "never", "--ledger", tmp_path / "copy.db", env=wrong)
    ((digest,),) = rows(tmp_path / "copy.db", "SELECT input_digest FROM run")
    to = {"digest": digest, "tenant": tenant.base_url}
    with open_ledger(ledger) as here:
        run = write(here, [change(grant(7, 7)["identity_id"], grant(7, 7)["item_id"])], **to)
        if beside == "a doubt":
            record(here, claim(here, run), FAILED)
            here.runs.release(run, ME, NOW)
    if beside == "another machine's plan":
        with open_ledger(ledger, key=lambda: THIEF) as elsewhere:
            write(elsewhere, [change(grant(1, 1)["identity_id"], grant(1, 1)["item_id"])], **to)
    ended = program("submit", path, "--yes", "--check-tenant", "never", "--ledger", ledger, env=environment(tenant))
    assert ended.code == 2, ended.err
    assert "has planned 1 change that no row of this input asks for" in ended.err
    assert accepted(tenant) == {}
