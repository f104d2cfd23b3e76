"""Runs the product's commands as processes of a simulated machine."""

from __future__ import annotations

import hashlib
import io
import traceback
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from rich.console import Console

from batch.commands.heads import Heads
from batch.commands.runtime import Runtime, Wall
from batch.commands.screen import Screen
from batch.commands.submit import submit
from batch.errors import AccessBatchError
from batch.ledger.process import Process
from batch.model import Clock
from batch.settings import load
from tests.simulation.disk import kept
from tests.simulation.process import KilledError
from tests.simulation.tenant import pair_key

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from pathlib import Path

    from batch.settings import Settings
    from tests.simulation.process import Machine, SimulatedProcess
    from tests.simulation.world import World

NAMES: Final = ("http://127.0.0.1:8080", "http://localhost:8080")
"""One tenant's addresses."""

KILLED: Final = -9
INTERRUPTED: Final = 130
BUG: Final = 1

Pair = tuple[str, str]
Work: TypeAlias = "Callable[[Settings, Screen, Runtime], int]"
"""A command: settings, screen and runtime to an exit code."""


class _PlainConsole(Console):
    """Prints without a look at the style of a text."""

    def print(self, *objects: Any, **_: Any) -> None:
        for each in objects:
            self.file.write(f"{each}\n")


class Host:
    """Runs commands.

    Args:
        world: Where.
        folder: Holds the ledger, the inputs and the results.
        database: URL of the database that holds the ledger instead; empty for none.
    """

    def __init__(self, world: World, folder: Path, database: str = "") -> None:
        self.world = world
        self.folder = folder
        self.ledger: Path | str = database or folder / "ledger.db"
        self.messages: list[str] = []

    def write_input(
        self,
        name: str,
        pairs: Iterable[Pair],
        comments: Mapping[str, str],
        *,
        revoked: Collection[Pair] = (),
        line_end: str = "\n",
    ) -> Path:
        """Write an input file."""
        rows = [
            f"{'REVOKE' if pair_key(who, what) in revoked else 'GRANT'},{who},ROLE,{what},{comments[who.lower()]}"
            for who, what in pairs
        ]
        content = line_end.join(["operation,identity_id,item_type,item_id,comment", *rows]) + line_end
        folder = kept() / hashlib.sha256(content.encode()).hexdigest()[:16]
        folder.mkdir(exist_ok=True)
        path = folder / name
        if not path.exists():
            path.write_text(content, "utf-8")
        return path

    def submit(self, machine: Machine, name: str, input_file: Path, *, base_url: str = "") -> int:
        """Run `submit` in a new process; return its exit code.

        Without an address, chance chooses one of the tenant's.
        """

        def work(settings: Settings, screen: Screen, runtime: Runtime) -> int:
            if base_url:
                settings = settings.model_copy(update={"base_url": base_url})
            result = submit([str(input_file)], settings, screen, runtime, stdin=io.BytesIO())
            if result.stopped is not None:
                raise result.stopped
            return 130 if result.interrupted else result.summary.exit_code

        return self.run(machine, name, work)

    def run(self, machine: Machine, name: str, work: Work) -> int:
        """Run a command in a new process; return its exit code."""
        world = self.world
        process = world.new_process(machine, name)
        self.prepare(process)
        before = world.current
        world.become(process)
        process.blocked = True
        said = io.StringIO()
        try:
            code, last = self._code_of(process, work, said)
        except KilledError:
            code, last = KILLED, "killed"
        finally:
            process.end()
            world.become(before)
        world.note(name, f"ends with {code} {last}")
        self.messages.append(said.getvalue())
        return code

    @property
    def alive(self) -> bool:
        """Whether any process is alive."""
        return any(process.machine.processes for process in self.world.processes)

    def prepare(self, process: SimulatedProcess) -> None:
        """Decide about the fate of a process that starts; by default it lives."""

    def _code_of(self, process: SimulatedProcess, work: Work, said: io.StringIO) -> tuple[int, str]:
        world, machine = self.world, process.machine
        chance = world.chance(f"product in {process.name}")
        wall = Wall(machine.wall)
        runtime = Runtime(
            wall=wall,
            clock=Clock(now=wall.now, monotonic=machine.shown_monotonic, boot=machine.name),
            jitter=chance.random,
            process=Process(host=machine.name, machine=machine.name, pid=process.pid, started=float(process.pid)),
            new_id=lambda: f"{chance.getrandbits(40):010x}",
            key=lambda: machine.key,
            heads=Heads(folder=self.folder / machine.name / "heads"),
        )
        screen = Screen(console=_PlainConsole(file=said, width=200))
        try:
            return work(self._settings(process), screen, runtime), ""
        except KeyboardInterrupt:
            return INTERRUPTED, "interrupted"
        except AccessBatchError as error:
            return error.exit_code, f"{type(error).__name__}: {error.message} {error.next_step}"
        except Exception as error:  # noqa: BLE001 - as at the product's own boundary
            where = traceback.extract_tb(error.__traceback__)[-1]
            return BUG, f"{type(error).__name__}: {error} in {where.filename}:{where.lineno}"

    def _waves(self) -> dict[str, Any]:
        """How a run is sent in parts. The tenant's approvers are slow, and what is poisoned is refused."""
        options = self.world.options
        if options.wave is None:
            return {}
        changes, seconds = options.wave
        return {"wave": f"{changes}/{seconds:g}", "canary": options.canary, "canary_for": 20.0, "tolerate": 100.0}

    def _settings(self, process: SimulatedProcess) -> Settings:
        options = self.world.options
        second_name = "two_names" in options.faults and self.world.chance(f"name for {process.name}").random() < 0.5
        return load(
            {
                "ledger": str(self.ledger),
                "base_url": NAMES[second_name],
                "client_id": "client",
                "yes": True,
                "out": self.folder / "results",
                "api": options.api,
                "rate": f"{options.rate[0]}/{options.rate[1]:g}",
                "check_tenant": "never",
                # Each machine knows that its ledger is new.
                "new_ledger": True,
                "concurrency": options.concurrency,
                "timeout": options.timeout,
                "settle_after": options.settle_after,
                "give_up_after": options.give_up_after,
                **self._waves(),
            },
            config_file=self.folder / "config.toml",
        )
