"""How a session with PostgreSQL and its transactions begin, and which of the server's errors pass by themselves.

Facts: PostgreSQL 18's documentation of client connection defaults, explicit locking, system information functions and
error codes; the driver's of `prepare_threshold`.
"""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection

    from batch.ledger.shared_clock import Reading

FROZEN_FOR: Final = 12.0
"""Seconds without a word from a process after which the server, or another process, ends its transaction."""

LOCKS: Final = 0x0ACCE55
"""The first key of our advisory locks: whoever else uses such locks in this database must not use it."""

_PASSING: Final = ("08", "25P03", "25P04", "40001", "40P01", "53300", "55P03", "57P01", "57P02", "57P03", "57P05")
"""Begin the SQLSTATEs of what passes by itself: the server ends or starts, or too many are connected."""

NOT_AVAILABLE: Final = "55P03"
"""The SQLSTATE of a lock that was waited for in vain."""


NOT_GIVEN: Final = "22023"
"""The SQLSTATE of a question about the number of a transaction that a server has not given (since a crash)."""

NOT_THERE: Final = ("0A000", "42501", "42883", "55000")
"""The SQLSTATEs of a function that a server does not have, or does not let everybody call."""


class Lock(enum.IntEnum):
    """What a transaction has to itself. If it takes several, then in this order."""

    LEDGER = 1
    """Everything but the permits to call."""
    PACE = 2
    """The permits to call, which need no other part of the ledger."""
    OWN = 3
    """The requests of runs that a process of this machine holds: other machines go on with theirs meanwhile.

    A machine's events count its signatures, so it writes one transaction at a time. No other request, person, item or
    finding may be added with this lock.
    """


def keys_of(lock: Lock, machine: str) -> tuple[tuple[int, bool], ...]:
    """The advisory locks that a lock consists of: the second key of each, and whether it is shared.

    Args:
        lock: Any lock.
        machine: Names this machine.
    """
    if lock is not Lock.OWN:
        return ((int(lock), False),)
    # Below the last bit, which is a sign; two machines with the same number only wait for each other.
    number = int.from_bytes(hashlib.sha256(machine.encode()).digest()[:4]) % (2**31 - 1000) + 1000
    return ((int(Lock.LEDGER), True), (number, False))


IDENTITY: Final = (
    "SELECT system_identifier::text FROM pg_control_system()",
    # Its first eight digits are the timeline, which changes if a standby becomes the primary, or at a restore.
    "SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)",
)
HOLDER_OF_LOCK: Final = sa.text(
    """
    SELECT a.pid, a.application_name AS name,
           a.application_name = current_setting('application_name') AS own, a.state,
           coalesce(a.wait_event_type = 'Client', false) AS waits,
           greatest(a.state_change, a.query_start) AS at,
           extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS seconds
    FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.granted AND l.classid = :locks AND l.objid = ANY(:ours)
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    LIMIT 1
    """
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Begun:
    """What a transaction learnt as it began, with its locks taken.

    Attributes:
        number: The transaction's number; empty if it only reads.
        reading: Of the server's clock.
        started: When the server was started, by its clock.
    """

    number: str
    reading: Reading
    started: float

    @property
    def now(self) -> datetime:
        """This moment, by the server's clock."""
        return datetime.fromtimestamp(self.reading.clock, UTC)


BEGUN: Final = "access_batch_begun"
"""The name under which a connection has what its transaction learnt as it began."""


def begun(connection: Connection) -> Begun:
    """What a connection's transaction learnt as it began."""
    found: Begun = connection.info[BEGUN]
    return found


class Frozen:
    """For how long the process that has a lock has not said a word."""

    def __init__(self) -> None:
        self._seen: tuple[object, ...] = ()
        self._since = 0.0

    def seen(self, pid: int, what: tuple[object, ...], *, waits: bool, now: float) -> float:
        """Seconds for which its server process has been seen to wait for it without a change."""
        if not waits or self._seen != (pid, what):
            self._seen, self._since = (pid, what), now
        return now - self._since


def batch(keys: Sequence[tuple[int, bool]], version: int, *, frozen_for: float, wait: float) -> str:
    """One message that begins a transaction: its settings, its locks, its number and the time once it has them.

    Args:
        keys: By `keys_of`; none for a transaction that only reads.
        version: The server's, by `version_of`.
        frozen_for: Seconds without a word from us after which the server ends the transaction.
        wait: Seconds to wait for a lock.
    """
    settings = {
        # Who sets these for the server or a role means other programs: a commit that a crash undoes is sent again.
        "synchronous_commit": "on",
        "lock_timeout": f"{wait * 1000:.0f}ms",
        "idle_in_transaction_session_timeout": f"{frozen_for * 1000:.0f}ms",
        "statement_timeout": "0",
        **({"transaction_timeout": "0"} if version >= _HAS_TRANSACTION_TIMEOUT else {}),
    }
    set_all = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in settings.items())
    # Who only reads has temporary tables all the same, which PostgreSQL forbids in transactions that are READ ONLY.
    mode = f"{'READ COMMITTED' if keys else 'REPEATABLE READ'} READ WRITE"
    taken = "".join(f"SELECT pg_advisory_xact_lock{'_shared' * shared}({LOCKS}, {key}); " for key, shared in keys)
    number = "pg_current_xact_id()::text" if keys else "NULL"
    learnt = ", ".join((number, *_TIMES))
    return f"BEGIN ISOLATION LEVEL {mode}; {_ONLY_OURS}; SELECT {set_all}; {taken}SELECT {learnt}"


_ONLY_OURS: Final = (
    "SELECT pg_catalog.set_config('search_path', pg_catalog.quote_ident(pg_catalog.current_schema()), true)"
)
"""Looks for names in the ledger's schema alone, after the server's own.

Whoever may make operators and functions in another schema of the path could make some that fit the types of what we
ask better than the server's own, and they would act with our rights.
"""
_SINCE: Final = "extract(epoch FROM pg_postmaster_start_time())::float8"
_TIMES: Final = ("extract(epoch FROM clock_timestamp())::float8", _SINCE)
STARTED: Final = f"SELECT {_SINCE}"
"""When the server was started: another time means another server, or the same one again."""

_HAS_TRANSACTION_TIMEOUT: Final = 170000


def version_of(raw: Any) -> int:
    """The server's version as a number: 180004 is 18.4."""
    return int(raw.info.server_version)


def connect_arguments(host: str, pid: int, process: str) -> dict[str, Any]:
    """What the driver is told beside the URL.

    Args:
        host: This machine's name, for others that wait for this process, and for the server's administrators.
        pid: This process's number there.
        process: Its random name: copies of a machine have the same names and numbers.
    """
    # The server cuts what is longer than 63 bytes.
    short = host.encode()[:24].decode(errors="ignore")
    return {
        "application_name": f"access-batch on {short}, process {pid} {process[:8]}",
        "client_encoding": "utf8",
        "connect_timeout": 10,
        # Tells within 25 s that the server's machine has gone.
        "keepalives": 1,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 20_000,
        # Behind a pooler, the next statement may run in another session.
        "prepare_threshold": None,
        # A standby lacks what was committed last.
        "target_session_attrs": "primary",
    }


def state_of(error: BaseException) -> str:
    """The SQLSTATE of a driver's error; empty if it has none."""
    return str(getattr(getattr(error, "orig", error), "sqlstate", None) or "")


def is_passing(error: BaseException, *, connected: bool = True) -> bool:
    """Whether an error passes by itself, and has undone its transaction.

    Args:
        error: Any error.
        connected: Whether the server was reached before: else its address may be wrong.
    """
    if isinstance(error, PoolTimeoutError):
        return True
    if state := state_of(error):
        return state.startswith(_PASSING)
    # The connection itself failed: the driver knows no SQLSTATE then.
    kinds = type(getattr(error, "orig", error)).__mro__
    return connected and any(kind.__name__ == "OperationalError" for kind in kinds)
