"""The open ledger."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, Self

from batch.errors import AccessBatchError, BrokenPromiseError, LedgerLostError
from batch.ledger.address import ledger_file, ledger_url
from batch.ledger.budget import MonthCount, calls_in, month_of
from batch.ledger.cache import Cache
from batch.ledger.calls import Calls
from batch.ledger.decisions import DecisionStore
from batch.ledger.doubts import DoubtStore
from batch.ledger.engine import connect, reading, writing
from batch.ledger.events import newest
from batch.ledger.evidence import evidence_of
from batch.ledger.export import export
from batch.ledger.gaps import Gaps
from batch.ledger.health import health
from batch.ledger.holders import correct_beats, end_holds, silent
from batch.ledger.imported import Imported
from batch.ledger.lost import LostRequests
from batch.ledger.permit_clock import ClockMemory
from batch.ledger.plans import Plans
from batch.ledger.postgresql import Server, server_of
from batch.ledger.repeating import insist, repeated
from batch.ledger.report import records_of
from batch.ledger.requests import Requests
from batch.ledger.runs import CancelLog, Runs
from batch.ledger.tenants import Tenants
from batch.ledger.track import TrackStore
from batch.ledger.unreadable import explain
from batch.ledger.upgrade import bring_up_to_date, for_reading_only
from batch.ledger.verify import verify
from batch.ledger.verify_seals import has_head, signers
from batch.ledger.waves import WaveStore
from batch.ledger.whereabouts import require_here
from batch.text import count

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import polars as pl
    from sqlalchemy.engine import Engine

    from batch.api.dialects import Rate
    from batch.ledger.calls import RateKey
    from batch.ledger.evidence import RunEvidence
    from batch.ledger.health import Health
    from batch.ledger.machine_key import LedgerMemory, MachineKey
    from batch.ledger.process import Process
    from batch.ledger.report import RunRecords
    from batch.ledger.verify_seals import Signer
    from batch.model import Clock, Head, Run


_UNTIL_A_REPORT: Final = 12.0
"""Seconds within which a process that is alive reports; it does so every ten."""


@repeated
class Ledger:
    """An open ledger; every method of its parts is one short transaction.

    Attributes:
        runs: Runs and who works on them.
        plans: What is known about changes, and new requests.
        requests: Requests on their way.
        doubts: What is known of requests that may or may not have arrived.
        waves: Runs that are sent in waves.
        tracks: The tenant's last reports on accepted changes.
        cache: The tenant's recent answers about people and items.
        decisions: What the runs' plans rest on.
        imported: Changes imported from the tenant's list.
        tenants: Tenants and their addresses.
        gaps: Compares the ledger with what was seen of it elsewhere.
        cancels: What was cancelled at the tenant.
        notices: What was done to open it, for the user.
    """

    def __init__(
        self,
        engine: Engine,
        new_id: Callable[[], str],
        notices: tuple[str, ...] = (),
        memory: LedgerMemory | None = None,
    ) -> None:
        self._engine = engine
        self.runs = Runs(engine, new_id)
        self.plans = Plans(engine, new_id)
        self.requests = Requests(engine, new_id)
        self.doubts = DoubtStore(engine, memory)
        self.waves = WaveStore(engine, new_id)
        self.tracks = TrackStore(engine)
        self.cache = Cache(engine)
        self.decisions = DecisionStore(engine)
        self.imported = Imported(engine)
        self.tenants = Tenants(engine, new_id)
        self.gaps = Gaps(engine, new_id)
        self.lost = LostRequests(engine, new_id)
        self.cancels = CancelLog(engine)
        self.notices = notices
        self._memory = memory

    @classmethod
    def open(
        cls,
        location: str,
        *,
        sandbox: bool,
        now: datetime,
        new_id: Callable[[], str],
        key: Callable[[], MachineKey],
        memory: LedgerMemory | None = None,
        only_read: bool = False,
        backed_up: bool = False,
        insecure: bool = False,
        patience: float = 0.0,
        say: Callable[[str], None] = lambda _line: None,
    ) -> Self:
        """Opens the ledger at a path or URL; creates or upgrades it if necessary.

        Args:
            location: Path or URL.
            sandbox: Whether it is the sandbox's.
            now: This moment.
            new_id: A random id, new each time, for the ids of requests and attempts.
            key: Returns this machine's key. It is not called before something must be signed or checked.
            memory: What this machine knows of ledgers; None to know nothing.
            only_read: Whether it will only be read, so that one that can't be written will do.
            backed_up: Whether its database was backed up for an upgrade; a file is copied anyway.
            insecure: Whether the connection to a database server may do without TLS.
            patience: Seconds to wait for a database server that has gone.
            say: Shows the user why that takes so long.

        Raises:
            LedgerRefusedError: It can't be used, or must not be.
            LedgerChangedError: Somebody has changed it.
            LedgerLostError: Its server has gone, and has not come back in time.
        """
        url = ledger_url(location, insecure=insecure)
        if only_read and (readable := for_reading_only(url, sandbox=sandbox)) is not None:
            engine = connect(readable, key=key, only_look=True)
            return cls(engine, new_id, require_here(engine, memory, key=key, now=now, only_read=True), memory)
        server = None
        if ledger_file(url) is None:
            server = Server(name="-".join(new_id() for _ in range(2)), patience=patience, say=say)

        def ready() -> tuple[str, ...]:
            return bring_up_to_date(
                url,
                sandbox=sandbox,
                now=now,
                key=key,
                memory=memory,
                server=server,
                only_read=only_read,
                backed_up=backed_up,
            )

        notices = insist(server, ready)
        return cls(connect(url, key=key, server=server), new_id, notices, memory)

    def calls(
        self, rate_key: RateKey, *, rate: Rate, process: Process, clock: Clock, monthly: int | None = None
    ) -> Calls:
        """Where `process` asks for permits to call; see Calls."""
        keeper = self._memory if server_of(self._engine) is not None else None
        memory = None
        if keeper is not None:
            known = self.gaps.ledger_id()
            memory = ClockMemory(recall=partial(keeper.clock, known), keep=partial(keeper.keep_clock, known))
        return Calls(self._engine, rate_key, rate=rate, process=process, clock=clock, memory=memory, monthly=monthly)

    def month_count(self, url: str, client: str, now: datetime) -> MonthCount:
        """How many calls of a client to the tenant at an address were counted in the present month."""
        month = month_of(now.timestamp())
        with reading(self._engine) as connection:
            return MonthCount(month=month, calls=calls_in(connection, url, client, month))

    def verify(self) -> tuple[str, ...]:
        """Everything that is wrong with the ledger; see verify.verify."""
        return verify(self._engine)

    def export(self, take: Callable[[str, pl.DataFrame], object]) -> None:
        """Everything in it as tables, as it is at one moment; see export.export."""
        export(self._engine, take)

    def records(self, run: Run) -> RunRecords:
        """Everything that a report says of a run; see report.records_of."""
        return records_of(self._engine, run)

    def evidence(self, run: Run) -> RunEvidence:
        """Everything that the ledger has of a run, exactly; see evidence.evidence_of."""
        return evidence_of(self._engine, run)

    def signers(self) -> tuple[Signer, ...]:
        """Who has signed what."""
        with reading(self._engine) as connection:
            return signers(connection)

    def has_head(self, number: int, digits: str) -> bool:
        """Whether some run has an event with this number whose hash begins with these digits."""
        with reading(self._engine) as connection:
            return has_head(connection, number, digits)

    def head(self, run: Run) -> Head:
        """The newest event of a run."""
        with reading(self._engine) as connection:
            return newest(connection, run.id)

    def health(self) -> Health:
        """What the ledger looks like from inside; see health.health."""
        return health(self._engine)

    def shared_clock(self, *, only_read: bool = False) -> Callable[[], datetime] | None:
        """The clock that all machines of the ledger share; None if it is this machine's own.

        If it was set back, no process counts as alive for longer than usual because of that.
        """
        server = server_of(self._engine)
        if server is None:
            return None
        if only_read:
            with reading(self._engine):
                return server.now
        with writing(self._engine) as connection:
            correct_beats(connection)
            silent_ones = silent(connection)
        if silent_ones:
            # If the clock was set forward, they may be alive, and report again by now.
            server.wait(_UNTIL_A_REPORT, f"{count(len(silent_ones), 'run')} may still be worked on")
            with writing(self._engine) as connection:
                end_holds(connection, silent_ones)
        return server.now

    def hurry(self) -> None:
        """Wait no longer for a database server that has gone: the user does not either."""
        if (server := server_of(self._engine)) is not None:
            server.hurry()

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        try:
            # What looks like a bug may be due to a row that somebody has written.
            is_ours = isinstance(error, AccessBatchError) and not isinstance(
                error, BrokenPromiseError | LedgerLostError
            )
            if isinstance(error, Exception) and not is_ours:
                explain(self._engine, error)
        finally:
            self.close()
