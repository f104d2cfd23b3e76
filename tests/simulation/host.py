"""Runs the product's commands as processes of a simulated machine."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console

from batch.commands.runtime import Runtime
from batch.commands.screen import Screen
from batch.commands.submit import submit
from batch.errors import AccessBatchError
from batch.ledger.process import Process
from batch.model import Clock
from batch.settings import load
from tests.simulation.process import KilledError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from tests.simulation.process import Machine, SimulatedProcess
    from tests.simulation.world import World

TENANT: Final = "http://127.0.0.1:8080"
KILLED: Final = -9
CRASHED: Final = 1

Pair = tuple[str, str]


class Host:
    """Runs commands.

    Args:
        world: Where.
        folder: Holds the ledger, the inputs and the results.
    """

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.folder = folder
        self.ledger = folder / "ledger.db"
        self.messages: list[str] = []

    def write_input(self, name: str, pairs: Iterable[Pair], comments: Mapping[str, str]) -> Path:
        """Write an input file."""
        path = self.folder / name
        rows = [f"GRANT,{identity},ROLE,{item},{comments[identity]}" for identity, item in pairs]
        path.write_text("\n".join(["operation,identity_id,item_type,item_id,comment", *rows]) + "\n", "utf-8")
        return path

    def submit(self, machine: Machine, name: str, input_file: Path, **flags: Any) -> int:
        """Run `submit` in a new process; return its exit code."""
        world = self.world
        process = world.new_process(machine, name)
        self.prepare(process)
        before = world.current
        world.become(process)
        process.blocked = True
        try:
            code, last = self._submit(process, input_file, **flags)
        except KilledError:
            code, last = KILLED, "killed"
        finally:
            process.end()
            world.become(before)
        world.note(name, f"ends with {code}: {last}")
        return code

    def prepare(self, process: SimulatedProcess) -> None:
        """Decide about the fate of a process that starts; by default it lives."""

    def _submit(self, process: SimulatedProcess, input_file: Path, **flags: Any) -> tuple[int, str]:
        options, world, machine = self.world.options, self.world, process.machine
        screen = io.StringIO()
        runtime = Runtime(
            clock=Clock(now=machine.wall, monotonic=machine.monotonic, boot=machine.name),
            jitter=world.random.random,
            process=Process(host=machine.name, machine=machine.name, pid=process.pid, started=float(process.pid)),
            new_id=lambda: f"{world.random.getrandbits(50):010x}"[:10],
        )
        try:
            settings = load(
                {
                    "ledger": str(self.ledger),
                    "base_url": TENANT,
                    "client_id": "client",
                    "yes": True,
                    "out": self.folder / "results",
                    "rate": f"{options.rate[0]}/{options.rate[1]:g}",
                    "check_tenant": "never",
                    "concurrency": options.concurrency,
                    "timeout": options.timeout,
                    "settle_after": options.settle_after,
                    "give_up_after": options.give_up_after,
                    **flags,
                },
                config_file=self.folder / "config.toml",
            )
            shown = Screen(console=Console(file=screen, width=200))
            result = submit([str(input_file)], settings, shown, runtime, stdin=io.BytesIO())
        except AccessBatchError as error:
            return error.exit_code, f"{error.message} {error.next_step}"
        finally:
            said = screen.getvalue()
            self.messages.append(said)
        if result.stopped is not None:
            return result.stopped.exit_code, f"{result.stopped.message} {result.stopped.next_step}"
        return (130 if result.interrupted else result.summary.exit_code), "complete" if result.summary.complete else ""
