"""Helpers for the tests of the ledger and of the code that uses it."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import polars as pl
import psycopg

from batch.answers.outcome import decide
from batch.api.status_row import ChangeStatus
from batch.dedupe.overlap import ACCESS
from batch.errors import RunHeldError
from batch.ledger.answered import Answered
from batch.ledger.process import Process
from batch.ledger.runs import NewRun
from batch.ledger.store import Ledger
from batch.ledger.tables import metadata
from batch.model import Answer, Form, Run
from batch.plan import Plan
from batch.plan.plan import ENVELOPE_SCHEMA
from batch.validate.rows import CHANGE_COLUMNS
from tests.builders import NOW, change
from tests.clocks import key, new_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from batch.ledger.decisions import Decisions
    from batch.ledger.machine_key import LedgerMemory, MachineKey
    from batch.model import Part, Request

ME = Process.current()
TENANT = "https://tenant.example"
ACCEPTED = Answer(status=202)
REFUSED = Answer(status=400, text="Bad item.", form=Form.API)
THROTTLED = Answer(status=429, retry_after=1.0, form=Form.API)
FAILED = Answer(status=500)

Place: TypeAlias = Path | str
"""Where a test's ledger is: the file of an SQLite ledger, or the URL of a PostgreSQL database."""

Change: TypeAlias = dict[str, str]
"""One line of a plan: a value for each of CHANGE_COLUMNS."""


def plan_of(*requests: list[Change], lower_bound: int = 0, together: Iterable[Sequence[int]] = ()) -> Plan:
    """A plan with exactly these requests, those of each envelope `together` by their positions."""
    lines = [{**line, "request": number} for number, lines in enumerate(requests) for line in lines]
    schema = {**dict.fromkeys(CHANGE_COLUMNS, pl.String), "request": pl.Int64}
    frame = pl.DataFrame(lines, schema=schema)
    members = [(position, envelope[0]) for envelope in together for position in envelope]
    envelopes = pl.DataFrame(members, schema=ENVELOPE_SCHEMA, orient="row")
    return Plan(changes=frame, requests=len(requests), lower_bound=lower_bound, envelopes=envelopes)


def singles(count: int, *, prefix: str = "i") -> list[list[Change]]:
    """Requests of one change each."""
    return [[change(f"{prefix}{number:03}", "r1")] for number in range(count)]


def new_run(digest: str = "digest", *, tenant: str = TENANT, now: datetime = NOW) -> NewRun:
    return NewRun(tenant=tenant, input_digest=digest, inputs=("in.csv",), dialect="beta", started_at=now)


def open_ledger(
    path: Place,
    *,
    sandbox: bool = False,
    now: datetime = NOW,
    new_id: Callable[[], str] = new_id,
    key: Callable[[], MachineKey] = key,
    memory: LedgerMemory | None = None,
    backed_up: bool = False,
    only_read: bool = False,
) -> Ledger:
    return Ledger.open(
        str(path),
        sandbox=sandbox,
        now=now,
        new_id=new_id,
        key=key,
        memory=memory,
        backed_up=backed_up,
        only_read=only_read,
    )


def write(
    ledger: Ledger,
    *requests: list[Change],
    digest: str = "digest",
    tenant: str = TENANT,
    now: datetime = NOW,
    together: Iterable[Sequence[int]] = (),
    decisions: Decisions | None = None,
) -> Run:
    """Writes a run with exactly these requests, added to those it has."""
    plan = plan_of(*requests, together=together)
    upto = ledger.plans.known(tenant, plan.changes).upto
    new = new_run(digest, tenant=tenant, now=now)
    run_id = ledger.plans.write(new, plan, upto=upto, now=now, decisions=decisions)
    return ledger.runs.named(run_id)


def newest(ledger: Ledger) -> str:
    """The id of the ledger's newest request, as `known` has it."""
    return ledger.plans.known(TENANT, pl.DataFrame(schema=dict.fromkeys(ACCESS, pl.String))).upto


def claim_if_any(ledger: Ledger, run: Run, now: datetime = NOW, process: Process = ME) -> Request | None:
    """The next request if there is one, claimed by a process that takes hold of the run where it has to."""
    try:
        claimed = ledger.requests.claim(run, now, process)
    except RunHeldError:
        ledger.runs.hold(run, process, now)
        claimed = ledger.requests.claim(run, now, process)
    return claimed[0].requests[0] if claimed else None


def claim(ledger: Ledger, run: Run, now: datetime = NOW, process: Process = ME) -> Request:
    """The next request, which must be there."""
    request = claim_if_any(ledger, run, now, process)
    assert request is not None
    return request


def record(
    ledger: Ledger,
    request: Request,
    answer: Answer,
    *,
    now: datetime = NOW,
    parts: tuple[Part, ...] = (),
    process: Process = ME,
) -> None:
    """Records an answer with the product's decision about it."""
    answered = Answered(request=request, answer=answer, decision=decide(answer), at=now, parts=parts)
    ledger.requests.record(answered, process=process)


def a_process(pid: int = 1, *, host: str = "elsewhere", started: float = 1.0) -> Process:
    return Process(host=host, machine=host, pid=pid, started=started)


@contextmanager
def raw(place: Place) -> Iterator[Callable[..., list[Any]]]:
    """Runs statements with `?` for parameters as somebody else would, commits each, and checks no foreign keys."""
    if isinstance(place, Path):
        with closing(sqlite3.connect(place, isolation_level=None)) as opened:
            yield lambda sql, *parameters: opened.execute(sql, parameters).fetchall()
        return

    def run(sql: str, *parameters: object) -> list[Any]:
        marked = sql.replace("%", "%%").replace("?", "%s") if parameters else sql
        found = connection.execute(marked, parameters or None)
        return found.fetchall() if found.description else []

    address = place.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(address, autocommit=True, options="-c session_replication_role=replica") as connection:
        yield run


def rows(place: Place, sql: str, *parameters: object) -> list[Any]:
    """The rows that another connection sees: committed ones only."""
    with raw(place) as run:
        return run(sql, *parameters)


def attempts(path: Place) -> list[tuple[int, int, str]]:
    """Request, number and time of every attempt among the events."""
    return rows(path, "SELECT request, attempt, at FROM event WHERE event = 'claimed' ORDER BY request, attempt")


def answers(path: Place) -> list[tuple[int, int, str, int | None]]:
    """Request, number of the attempt, event and status of everything that came back."""
    return rows(
        path,
        "SELECT request, attempt, event, status FROM event WHERE attempt IS NOT NULL AND event <> 'claimed' "
        "ORDER BY request, attempt",
    )


def alter(place: Place, *statements: str) -> None:
    """Changes a ledger as somebody else or an accident would."""
    with raw(place) as run:
        for statement in statements:
            run(statement)


def content_of(place: Place) -> bytes:
    """Everything that a ledger holds."""
    if isinstance(place, Path):
        return b"".join(file.read_bytes() for file in place.parent.glob(f"{place.name}*"))
    return repr([rows(place, f"SELECT * FROM {table.name}") for table in metadata.sorted_tables]).encode()  # noqa: S608


def change_status(request: int, identity: str, state: str, **other: str) -> ChangeStatus:
    return ChangeStatus(request=request, identity=identity, item_type="ROLE", item="r1", state=state, **other)


def break_connections(ledger: Ledger) -> None:
    """Breaks the ledger's open connections, as a database server does that goes away and comes back."""
    pool: Any = ledger._engine.pool
    opened = [pool.connect() for _ in range(max(1, pool.checkedin()))]
    drivers = [connection.driver_connection for connection in opened]
    for connection in opened:
        connection.close()
    for driver in drivers:
        driver.close()
