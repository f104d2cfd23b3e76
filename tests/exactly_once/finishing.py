"""Finishing a run whose last requests are in doubt: another accepted request has to come, as in life."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.end_to_end.program import environment, grant, write_rows

if TYPE_CHECKING:
    from batch.sandbox.server import RunningSandbox
    from tests.end_to_end.program import Ended, Program
    from tests.ledger.ledger_helpers import Place


def finish(
    program: Program, command: list[str], *, ledger: Place, tenant: RunningSandbox, spare: int
) -> tuple[Ended, list[dict[str, str]]]:
    """Runs a command again until it ends; if nothing shows that the list is up to date, another run's request does.

    Args:
        program: Runs it.
        command: The command line.
        ledger: Its ledger.
        tenant: Its tenant, which has no faults left.
        spare: Number of a person for whom nothing else is requested.

    Returns:
        How the command ended, and the rows that were requested besides.
    """
    ended = program(*command, env=environment(tenant))
    if ended.code != 4 or "unconfirmed, and" not in ended.err:
        return ended, []
    extra = grant(spare, spare)
    path = write_rows(Path(f"spare {spare}.csv").absolute(), [extra])
    other = program("submit", path, "--yes", "--ledger", ledger, env=environment(tenant))
    assert other.code == 0, other.err
    return program(*command, env=environment(tenant)), [extra]
