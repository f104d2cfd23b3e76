"""Which process works on a run, and whether it is alive."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from batch.errors import LedgerLostError, RunHeldError
from batch.ledger import tables as t
from batch.ledger.address import place
from batch.ledger.events import PLACES
from batch.ledger.machine_key import KEY
from batch.ledger.messages import ask
from batch.ledger.postgresql import COMPARES_FIRST, moment, server_of, silent_since
from batch.ledger.process import SILENT_FOR, Process
from batch.ledger.sessions import begun
from batch.ledger.whereabouts import whereabouts
from batch.states import State
from batch.text import instant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy.engine import Connection, Engine

    from batch.model import Run

_PROCESS: Final = ("host", "machine", "pid", "process_started")
HELD_BY: Final = sa.and_(
    t.holder.c.run == t.RUN_NUMBER,
    *(t.holder.c[name] == sa.bindparam(f"of_{name}") for name in _PROCESS),
)
"""Whether a process holds a run."""
_HELD: Final = sa.select(t.holder.c.pid).where(HELD_BY)
_LOOK: Final = PLACES.add_columns(sa.exists().where(HELD_BY).label("held"))
_HOLDER: Final = sa.select(t.holder).where(t.holder.c.run == t.RUN_NUMBER)
_WAITING: Final = (
    sa.select(t.run.c.id, t.wave.c.changes, t.wave.c.seconds)
    .join_from(t.wave, t.run, t.run.c.number == t.wave.c.run)
    .where(sa.exists().where(t.request.c.run == t.wave.c.run, t.request.c.state == State.PLANNED.value))
)
_HELD_RUNS: Final = sa.select(t.run.c.id, t.holder).join(t.holder, t.holder.c.run == t.run.c.number)


def holding(run: str, process: Process) -> dict[str, Any]:
    """The values of HELD_BY for a process as the ledger knows it."""
    values = (run, process.host, process.machine, process.pid, process.started)
    return {f"of_{name}": value for name, value in zip(("run", *_PROCESS), values, strict=True)}


def require_held(connection: Connection, run: str, process: Process) -> None:
    """Checks that `process` holds the run with this id.

    Raises:
        RunHeldError: It does not.
    """
    if connection.execute(_HELD, holding(run, known(connection, process))).first() is None:
        row = connection.execute(_HOLDER, {"of_run": run}).first()
        if row is None and (to := whereabouts(connection).moved_to):
            raise RunHeldError(
                f"The ledger {place(connection.engine.url)} has moved to {to}, because this process did not report for "
                "too long.",
                next_step=f"Nothing more is sent from here. Run the same command with --ledger {to}",
            )
        if row is None:
            raise RunHeldError(
                f"The ledger no longer says that this process works on run {run}: it was put back to an earlier state, "
                "or another process took this one for dead.",
                next_step=COMPARES_FIRST,
            )
        raise RunHeldError(
            f"Process {row.pid} on {row.host} has taken over run {run}, because this one did not report for too long.",
            next_step="Let the other one finish; then run the same command again.",
        )


def look(connection: Connection, run: str, process: Process) -> Callable[[], Any]:
    """Asks for what `events.append` must know; the result returns it, with the check of `require_held`.

    Raises:
        RunHeldError: By the result: the process does not hold the run.
    """
    public: str = connection.get_execution_options()[KEY]().public
    asked = ask(connection, _LOOK, {**holding(run, known(connection, process)), "public": public})

    def seen() -> Any:
        places = asked()
        if not places:
            raise LedgerLostError(f"The ledger has lost run {run}.", next_step=COMPARES_FIRST)
        (place,) = places
        if not place.held:
            require_held(connection, run, process)
        return place

    return seen


def busy_runs(connection: Connection, process: Process, now: datetime) -> dict[str, str]:
    """The ids of the runs that another process works on, and why they must be left alone, as words."""
    busy, process, now = {}, known(connection, process), moment(connection, now)
    for row in connection.execute(_HELD_RUNS):
        holder = _holder_in(row)
        if holder != process and holder.is_alive(beat=silent_since(connection, row.beat), now=now):
            busy[row.id] = f"process {row.pid} on {row.host} is working on that run"
    return busy


def kept_runs(connection: Connection, process: Process, now: datetime) -> dict[str, str]:
    """The ids of the runs from which nothing may be taken, and why, as words: those that wait on purpose, too."""
    waiting = connection.execute(_WAITING).all()
    words = {run: f"that run is sent in {_in_waves(changes, seconds)}" for run, changes, seconds in waiting}
    return {**words, **busy_runs(connection, process, now)}


def _in_waves(changes: int, seconds: float) -> str:
    return f"waves of {changes:,} changes" if changes and seconds else "parts, or by a plan that was approved"


def refuse_if_held(connection: Connection, run: Run, process: Process, now: datetime) -> Process | None:
    """Checks that no other process works on a run.

    Returns:
        The last holder, if it is known to be gone: only its own machine can tell.

    Raises:
        RunHeldError: Another process does.
    """
    row = connection.execute(_HOLDER, {"of_run": run.id}).first()
    if row is None:
        return None
    process, now = known(connection, process), moment(connection, now)
    holder, beat = _holder_in(row), silent_since(connection, row.beat)
    if holder != process and holder.is_alive(beat=beat, now=now):
        left = datetime.fromisoformat(beat) + SILENT_FOR - now
        unless = (
            f" If it has died, this command works in {left.total_seconds():.0f} s." if server_of(connection) else ""
        )
        raise RunHeldError(
            f"Process {row.pid} on {row.host} has been working on run {run.id} since {row.since}.",
            next_step=f"Wait for it to end, or stop it; then run the same command again.{unless}",
        )
    return holder if holder.machine == process.machine else None


def known(ledger: Connection | Engine, process: Process) -> Process:
    """A process of this machine, as the ledger knows it.

    If machines share the ledger, each process is a machine of its own: its number says nothing elsewhere, and machines
    may have equal names, or be copies of each other. Then only what it reports shows that it is alive.
    """
    server = server_of(ledger)
    return process if server is None else replace(process, machine=server.name)


def correct_beats(connection: Connection) -> None:
    """Lets no process have reported in the future, by the database's clock: a dead one would be alive until then."""
    now = instant(begun(connection).now)
    connection.execute(sa.update(t.holder).where(t.holder.c.beat > now).values(beat=now))


def silent(connection: Connection) -> dict[int, str]:
    """The last reports of the processes that have not reported for a minute, by the numbers of their runs."""
    now = begun(connection).now
    return {
        row.run: row.beat
        for row in connection.execute(_HELD_RUNS)
        if now - datetime.fromisoformat(silent_since(connection, row.beat)) >= SILENT_FOR
    }


def end_holds(connection: Connection, silent_ones: Mapping[int, str]) -> None:
    """Ends the holds of processes that have not reported since then either."""
    h = t.holder.c
    for run, beat in silent_ones.items():
        connection.execute(sa.delete(t.holder).where(h.run == run, h.beat == beat))


def _holder_in(row: Any) -> Process:
    return Process(host=row.host, machine=row.machine, pid=row.pid, started=row.process_started)
