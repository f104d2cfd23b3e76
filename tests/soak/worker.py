"""The program on a machine of its own: `python -m tests.soak.worker HOST SHIFT WORDS…`.

Its wall clock is SHIFT seconds ahead, its host is called HOST, and what counts since its boot began at another moment.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from batch import cli
from batch.cli.app import runtime
from batch.commands.runtime import Wall
from batch.ledger.process import boot_time
from batch.model import Clock

if TYPE_CHECKING:
    from batch.commands.runtime import Runtime


def runtime_of(host: str, shift: float) -> Runtime:
    """What a machine with another clock gives its commands."""
    own = runtime()
    wall = Wall(lambda: datetime.now(UTC) + timedelta(seconds=shift))
    clock = Clock(now=wall.now, monotonic=lambda: boot_time() + abs(shift), boot=f"boot of {host}")
    process = dataclasses.replace(own.process, host=host, machine=f"{host}/{os.getpid()}")
    return dataclasses.replace(own, clock=clock, wall=wall, process=process)


def main(host: str, shift: float, words: list[str]) -> None:
    """Run the program with another machine's runtime."""

    def build() -> Runtime:
        return runtime_of(host, shift)

    for commands in (cli.inputs, cli.runs, cli.tenants):
        # The only place where the command line takes clock and process from the machine.
        vars(commands)["runtime"] = build
    sys.argv = ["access-batch", *words]
    cli.main()


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), sys.argv[3:])
