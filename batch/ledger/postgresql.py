"""Transactions in PostgreSQL: nothing that is committed is lost, one writer works at a time, and a restart is survived.

Everything that a transaction relies on is set within it, in one message with its BEGIN, so that it also holds behind a
pooler. The driver's own transactions are off.

A broken connection undoes a transaction, unless its COMMIT was on its way. Then the server is asked what became of it,
by the transaction's number. So a caller either knows that it was committed, or may repeat it: see `repeating`.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from batch.errors import BrokenPromiseError, LedgerLostError
from batch.ledger.heard import Voice
from batch.ledger.machine_key import KEY
from batch.ledger.messages import PROOF, commit_with_waiting, forget_waiting
from batch.ledger.process import boot_time
from batch.ledger.sessions import (
    BEGUN,
    FROZEN_FOR,
    HOLDER_OF_LOCK,
    IDENTITY,
    LOCKS,
    NOT_AVAILABLE,
    NOT_GIVEN,
    NOT_THERE,
    STARTED,
    Begun,
    Frozen,
    Lock,
    batch,
    begun,
    is_passing,
    keys_of,
    state_of,
    version_of,
)
from batch.ledger.shared_clock import Ahead, Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy.engine import Connection, Engine

SERVER: Final = "access_batch_server"
"""The name under which an engine's execution options have its `Server`; it has none for SQLite."""

_TELL_AFTER: Final = 2.0
"""Seconds of waiting for the server after which to report it."""

_TELL_EVERY: Final = 10.0
"""Seconds between two reports of a wait."""

_LEAST_PATIENCE: Final = 30.0
"""Seconds to wait for another process's transaction, however little patience there is for lost connections."""

_PAUSES: Final = (0.1, 0.2, 0.5, 1.0)
"""Seconds between attempts to connect again; the last one from then on."""


_LOOKS: Final = 3
"""How often to look whether a server is the same one as before, if it was started anew each time."""

_Keys: TypeAlias = "Sequence[tuple[int, bool]]"


class BrokenOffError(LedgerLostError):
    """The connection to the ledger broke; the transaction was undone, so it may be repeated."""

    why = "the database can't be reached"


COMPARES_FIRST: Final = (
    "Nothing more was sent. Run the same command again: it first compares the ledger with the tenant."
)
"""The next step if the ledger may lack its last transactions."""


class Server:
    """The database server of one engine, as this process has seen it.

    Args:
        name: Random; names this process among all that use the ledger.
        patience: Seconds to wait for a server that has gone.
        say: Shows a sentence to the user.
        frozen_for: Seconds without a word from a process after which its transaction is ended.
    """

    def __init__(
        self, *, name: str, patience: float, say: Callable[[str], None], frozen_for: float = FROZEN_FOR
    ) -> None:
        self.name = name
        self._frozen_for = frozen_for
        # Who waits for a lock looks so often who has it.
        self._look_every = frozen_for / 6
        self._patience = patience
        self._say = say
        self._identity: tuple[object, ...] | None = None
        self._started = 0.0
        self._lost = ""
        self._told = -_TELL_EVERY
        self._ahead: Ahead | None = None
        self._guard = threading.Lock()
        self._voice = Voice(frozen_for / 4)

    def now(self) -> datetime:
        """This moment by the server's clock, as it was when last asked.

        Raises:
            BrokenPromiseError: Nobody has asked yet.
        """
        if self._ahead is None:
            raise BrokenPromiseError("The database's clock was never read.")
        # The other bound is off by as long as we waited for a lock.
        return datetime.fromtimestamp(boot_time() + self._ahead.low, UTC)

    @contextmanager
    def transaction(self, engine: Engine, *locks: Lock) -> Iterator[Connection]:
        """A transaction that writes if it has locks, and otherwise a consistent view.

        Raises:
            BrokenOffError: Its connection broke, and nothing of it was committed.
            LedgerLostError: It can't be said whether it was committed, or the server is another one than before.
        """
        keys = [key for lock in sorted(locks) for key in keys_of(lock, _machine_of(engine, lock))]
        connection = self._open(engine, keys)
        try:
            try:
                with self._voice.heard(connection.connection.driver_connection):
                    yield connection
            except BaseException as error:
                forget_waiting(connection)
                with suppress(Exception):
                    connection.rollback()
                if is_passing(error):
                    raise self._broken_off(error) from error
                raise
            self._commit(engine, connection)
        finally:
            raw: Any = None if connection.invalidated else connection.connection.driver_connection
            if raw is not None and raw.closed:
                # SQLAlchemy does not notice it if the connection breaks at one of our own statements.
                connection.invalidate()
            connection.close()

    def on_connect(self, raw: Any, _record: object) -> None:
        """Refuse a server that is not the one from before: it may lack the last transactions."""
        with raw.cursor() as cursor:
            cursor.execute(STARTED)
            started = float(cursor.fetchone()[0])
            cursor.execute("SELECT oid::text FROM pg_database WHERE datname = current_database()")
            identity = [cursor.fetchone()]
            for asked in IDENTITY:
                # Some servers as a service have no such functions: they have their own ways of not losing anything.
                try:
                    cursor.execute(asked)
                except raw.Error as error:
                    if state_of(error) not in NOT_THERE:
                        raise
                else:
                    identity.append(cursor.fetchone())
        with self._guard:
            if self._identity is None:
                self._identity = tuple(identity)
            if self._identity != tuple(identity):
                self._lost = "another server answers than before, which may lack the last transactions"
            else:
                self._started = started
        self.require_same()

    def require_same(self) -> None:
        """Refuses to go on with another server than before.

        Raises:
            LedgerLostError: It is another one.
        """
        if self._lost:
            raise LedgerLostError(f"The connection to the ledger was lost: {self._lost}.", next_step=COMPARES_FIRST)

    def may_go_on(self, since: float, attempt: int, why: str = "the database can't be reached") -> bool:
        """Waits before the next attempt to reach the server; False if patience is at an end.

        Args:
            since: When it was reached last, by `boot_time`.
            attempt: How many attempts have failed since then.
            why: What keeps us waiting.
        """
        if self._identity is None:
            return False
        if boot_time() - since >= self._patience:
            # The command ends, and each of its last steps would wait for as long again.
            self.hurry()
            return False
        if boot_time() - since >= _TELL_AFTER:
            self._tell(why)
        time.sleep(_PAUSES[min(attempt, len(_PAUSES) - 1)])
        return True

    def wait(self, seconds: float, why: str) -> None:
        """Wait, and say so."""
        self._say(f"Waiting {seconds:.0f} s: {why}.")
        time.sleep(seconds)

    def hurry(self) -> None:
        """Wait no longer for a server that has gone: the user does not either."""
        self._patience = 0.0

    def _open(self, engine: Engine, keys: _Keys) -> Connection:
        began, attempt, frozen = boot_time(), 0, Frozen()
        while True:
            self.require_same()
            connection = None
            try:
                connection = engine.connect()
                self._begin(connection, keys)
                self._recognise(connection, keys)
            except BaseException as error:
                if connection is not None:
                    with suppress(Exception):
                        connection.invalidate()
                        connection.close()
                if not is_passing(error, connected=self._identity is not None):
                    raise
                if state_of(error) == NOT_AVAILABLE:
                    who = self._look(engine, keys, frozen)
                    if boot_time() - began >= max(_LEAST_PATIENCE, self._patience):
                        raise LedgerLostError(
                            f"The ledger could not be used: {who}.",
                            next_step="Nothing is sent that can't be recorded first. End that process or session, or "
                            "wait for it; then run the same command again.",
                        ) from error
                elif not self.may_go_on(began, attempt):
                    raise
                attempt += 1
            else:
                return connection

    def _recognise(self, connection: Connection, keys: _Keys) -> None:
        """Checks the server's identity again if its start time differs from before, then begins the transaction anew.

        Behind a pooler, another server may answer without any connection breaking.

        Raises:
            LedgerLostError: It is another one.
        """
        for _ in range(_LOOKS):
            if begun(connection).started == self._started:
                return
            connection.rollback()
            self.on_connect(connection.connection.driver_connection, None)
            self._begin(connection, keys)
        self._lost = "another server answers each time"
        self.require_same()

    def _begin(self, connection: Connection, keys: _Keys) -> None:
        connection.begin()
        raw: Any = connection.connection.driver_connection
        before = boot_time()
        cursor = raw.execute(batch(keys, version_of(raw), frozen_for=self._frozen_for, wait=self._look_every))
        while cursor.nextset():
            pass
        number, clock, started = cursor.fetchone()
        begun = Begun(
            number=number or "",
            reading=Reading(before=before, clock=float(clock), after=boot_time()),
            started=float(started),
        )
        connection.info[BEGUN] = begun
        connection.info.pop(PROOF, None)
        self._ahead = Ahead.of(begun.reading) if self._ahead is None else self._ahead.narrowed(begun.reading)

    def _commit(self, engine: Engine, connection: Connection) -> None:
        raw: Any = connection.connection.driver_connection
        if raw.info.transaction_status.name == "INERROR":
            # The server would answer the COMMIT with a rollback, and the driver would not mind.
            connection.rollback()
            raise BrokenPromiseError("A statement has failed, and the transaction went on.")
        number, proof = begun(connection).number, connection.info.get(PROOF)
        try:
            commit_with_waiting(connection)
        except (DBAPIError, raw.Error) as error:
            if not is_passing(error):
                raise
            if number and not self._was_committed(engine, number, proof):
                raise self._broken_off(error) from error

    def _was_committed(self, engine: Engine, number: str, proof: Any) -> bool:
        """Asks what became of a transaction whose COMMIT was not answered.

        By its number alone, it would be taken for committed if somebody else's got that number after a crash.

        Raises:
            LedgerLostError: Nobody can say.
        """
        began, attempt = boot_time(), 0
        while True:
            self.require_same()
            status: str | None = None
            try:
                with engine.connect() as connection:
                    self._begin(connection, ())
                    asked = sa.text("SELECT pg_xact_status(CAST(:number AS xid8))")
                    status = connection.execute(asked, {"number": number}).scalar()
                    if status == "committed" and proof is not None and connection.execute(*proof).first() is None:
                        status = "aborted"
            except DBAPIError as error:
                if state_of(error) == NOT_GIVEN:
                    status = "aborted"
                elif not is_passing(error, connected=True):
                    raise
            if status in {"committed", "aborted"}:
                return status == "committed"
            if not self.may_go_on(began, attempt):
                raise LedgerLostError(
                    "The connection to the ledger was lost, and it can't be said whether the last step was recorded.",
                    next_step=COMPARES_FIRST,
                )
            attempt += 1

    def _look(self, engine: Engine, keys: _Keys, frozen: Frozen) -> str:
        """Tells who has a lock that we wait for, and ends his transaction if he has been silent for too long."""
        who = "somebody has had it to itself for too long"
        with suppress(DBAPIError), engine.connect() as connection:
            self._begin(connection, ())
            asked = {"locks": LOCKS, "ours": [key for key, _ in keys]}
            row = connection.execute(HOLDER_OF_LOCK, asked).first()
            if row is None:
                return who
            silent = frozen.seen(row.pid, (row.at, row.state), waits=row.waits, now=boot_time())
            # Another role's transactions tell nothing of themselves.
            since = "a while" if row.seconds is None else f"{row.seconds:.0f} s"
            who = f"{row.name or 'somebody'} has had it to itself for {since}"
            if row.own:
                who = f"the server has not answered this command's own commit for {since}; its standby may be away"
            self._tell(who)
            if silent >= self._frozen_for:
                connection.execute(sa.select(sa.func.pg_terminate_backend(row.pid)))
        return who

    def _tell(self, why: str) -> None:
        if boot_time() - self._told >= _TELL_EVERY:
            self._told = boot_time()
            self._say(f"Waiting for the ledger: {why}.")

    def _broken_off(self, error: BaseException) -> BrokenOffError:
        broken = BrokenOffError(
            f"The connection to the ledger was lost: {getattr(error, 'orig', error)}.", next_step=COMPARES_FIRST
        )
        if state_of(error) == NOT_AVAILABLE:
            broken.why = "somebody else's session has locked some of its rows"
        return broken


def _machine_of(engine: Engine, lock: Lock) -> str:
    """This machine's public key, or nothing if the lock does not need it: a look alone must not make a key."""
    public: str = engine.get_execution_options()[KEY]().public if lock is Lock.OWN else ""
    return public


def server_of(engine_or_connection: Engine | Connection) -> Server | None:
    """The server of a ledger; None for SQLite."""
    found: Server | None = engine_or_connection.get_execution_options().get(SERVER)
    return found


def moment(connection: Connection, now: datetime) -> datetime:
    """This moment by the clock that all machines of the ledger share: the server's, or else our own `now`."""
    return now if server_of(connection) is None else begun(connection).now


def silent_since(connection: Connection, beat: str) -> str:
    """When a process was last able to report, in ISO 8601: nobody can while the server is away."""
    if server_of(connection) is None:
        return beat
    this = begun(connection)
    started = datetime.fromtimestamp(this.started, UTC)
    # The clock may have been set back since the start.
    return max(datetime.fromisoformat(beat), started).isoformat() if started <= this.now else beat
