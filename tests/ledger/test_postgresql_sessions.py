"""A ledger in PostgreSQL: nothing committed is lost, a lost connection is survived, and nobody stops the others."""

from __future__ import annotations

import inspect
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

import psycopg
import pytest
import sqlalchemy as sa

from batch.api.dialects import Rate
from batch.commands.heads import Heads
from batch.errors import BrokenPromiseError, LedgerChangedError, LedgerLostError, RunHeldError
from batch.ledger import messages
from batch.ledger import tables as t
from batch.ledger.cache import Cache
from batch.ledger.calls import Calls, RateKey
from batch.ledger.decisions import DecisionStore
from batch.ledger.doubts import DoubtStore
from batch.ledger.engine import connect, writing
from batch.ledger.gaps import Gaps
from batch.ledger.imported import Imported
from batch.ledger.machine_key import KEY, MachineKey
from batch.ledger.plans import Plans
from batch.ledger.postgresql import Server
from batch.ledger.process import boot_id, boot_time
from batch.ledger.repeating import repeated
from batch.ledger.requests import Requests
from batch.ledger.runs import CancelLog, Runs
from batch.ledger.sessions import LOCKS, Lock, connect_arguments, keys_of
from batch.ledger.store import Ledger
from batch.ledger.tenants import Tenants
from batch.ledger.track import TrackStore
from batch.ledger.verify import verify
from batch.model import Clock
from batch.text import instant
from tests.builders import NOW
from tests.clocks import key, new_id
from tests.ledger.ledger_helpers import (
    ACCEPTED,
    ME,
    TENANT,
    a_process,
    alter,
    attempts,
    claim,
    open_ledger,
    record,
    rows,
    singles,
    write,
)
from tests.postgresql import Server as RealServer
from tests.postgresql import free_port, instead_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy.engine import Engine

    from batch.model import Run

pytestmark = [pytest.mark.postgresql, pytest.mark.also_postgresql]

PATIENT = 60.0
REAL = Clock(now=lambda: NOW, monotonic=boot_time, boot=boot_id())


def server(patience: float = PATIENT, said: list[str] | None = None, frozen_for: float = 12.0) -> Server:
    return Server(
        name="me", patience=patience, say=said.append if said is not None else lambda _line: None, frozen_for=frozen_for
    )


@contextmanager
def engine_of(url: str, known: Server | None = None) -> Iterator[Engine]:
    engine = connect(sa.make_url(url), server=known or server())
    try:
        yield engine
    finally:
        engine.dispose()


def claims(url: str) -> int:
    """How often the counter that the tests move was moved, and committed."""
    return int(rows(url, "SELECT claims FROM about")[0][0])


ONE_MORE = sa.update(t.about).values(claims=t.about.c.claims + 1)


class Counter:
    """Has one method that writes, and is broken in its transaction as often as is said."""

    def __init__(self, engine: Engine, breaks: list[Callable[[Any], None]]) -> None:
        self._engine = engine
        self._breaks = breaks

    def count(self) -> int:
        with writing(self._engine) as connection:
            connection.execute(ONE_MORE)
            if self._breaks:
                self._breaks.pop(0)(connection)
            return int(connection.execute(sa.select(t.about.c.claims)).scalar_one())


repeated(Counter)

SOME_MORE = sa.update(t.about).values(claims=t.about.c.claims + sa.bindparam("more", type_=sa.Integer()))


class LateCounter(Counter):
    """Writes with its COMMIT, in one message."""

    def count(self) -> int:
        with writing(self._engine) as connection:
            before: int = connection.execute(sa.select(t.about.c.claims)).scalar_one()
            messages.write(connection, SOME_MORE, [{"more": 1}])
        return before + 1


repeated(LateCounter)


class SilentCounter(Counter):
    """Writes before something that goes to the driver itself."""

    def count(self) -> int:
        with writing(self._engine) as connection:
            before: int = connection.execute(sa.select(t.about.c.claims)).scalar_one()
            messages.write(connection, SOME_MORE, [{"more": 1}])
            if self._breaks:
                self._breaks.pop(0)(connection)
            messages.send_waiting(connection)
        return before + 1


repeated(SilentCounter)


def kill_session(url: str) -> Callable[[Any], None]:
    def kill(connection: Any) -> None:
        pid = connection.connection.driver_connection.info.backend_pid
        rows(url, "SELECT pg_terminate_backend(?)", pid)

    return kill


def test_each_transaction_is_durable_whatever_the_server_is_set_to(postgresql: str) -> None:
    name = sa.make_url(postgresql).database
    alter(
        postgresql,
        *(
            f"ALTER DATABASE {name} SET {setting}"
            for setting in (
                "synchronous_commit = off",
                "default_transaction_isolation = serializable",
                "default_transaction_read_only = on",
                "statement_timeout = '1min'",
            )
        ),
    )
    with engine_of(postgresql) as engine, writing(engine) as connection:
        found = [
            connection.exec_driver_sql(f"SHOW {setting}").scalar()
            for setting in ("synchronous_commit", "transaction_isolation", "statement_timeout")
        ]
        connection.execute(ONE_MORE)
    assert (found, claims(postgresql)) == (["on", "read committed", "0"], 1)


def test_nothing_of_a_transaction_stays_in_its_session(postgresql: str) -> None:
    """Behind a pooler, the next transaction may have another session, and the next program this one."""
    with engine_of(postgresql) as engine:
        with writing(engine) as connection:
            connection.execute(ONE_MORE)
            connection.execute(sa.select(t.about.c.claims).where(t.about.c.id == sa.bindparam("one")), {"one": 1})
        with engine.connect() as connection:
            raw: Any = connection.connection.driver_connection
            left = raw.execute(
                "SELECT current_setting('synchronous_commit'), current_setting('lock_timeout'),"
                " (SELECT count(*) FROM pg_prepared_statements),"
                " (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())"
            ).fetchone()
    assert left == ("on", "0", 0, 0)


@pytest.mark.parametrize("counter", [Counter, SilentCounter])
def test_a_session_that_ends_in_a_transaction_repeats_it(postgresql: str, counter: type[Counter]) -> None:
    kill = kill_session(postgresql)
    with engine_of(postgresql) as engine:
        assert counter(engine, [kill, kill]).count() == 1
    assert claims(postgresql) == 1


def test_without_patience_a_session_that_ends_is_an_error_and_nothing_is_written(postgresql: str) -> None:
    with engine_of(postgresql, server(patience=0.0)) as engine, pytest.raises(LedgerLostError):
        Counter(engine, [kill_session(postgresql)]).count()
    assert claims(postgresql) == 0


def test_a_failed_statement_that_is_ignored_never_looks_committed(postgresql: str) -> None:
    def ignores_a_failure(engine: Engine) -> None:
        with writing(engine) as connection:
            connection.execute(ONE_MORE)
            with suppress(sa.exc.IntegrityError):
                connection.execute(sa.insert(t.about), {"id": 1, "ledger": "", "sandbox": False, "created_at": ""})

    with engine_of(postgresql) as engine, pytest.raises(BrokenPromiseError):
        ignores_a_failure(engine)
    assert claims(postgresql) == 0


class Relay:
    """Passes on what a client and a server say, and cuts the connection at a COMMIT, on one side of it."""

    def __init__(self, port: int, *, cut_before: bool, cuts: int = 1, on_cut: Callable[[], None] | None = None) -> None:
        self._server = ("127.0.0.1", port)
        self._cut_before = cut_before
        self.cuts = cuts
        self._on_cut = on_cut
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    upstream = socket.create_connection(self._server)
                except OSError:
                    client.close()
                    continue
                self._open += [client, upstream]
                cut = threading.Event()
                threading.Thread(target=self._requests, args=(client, upstream, cut), daemon=True).start()
                threading.Thread(target=self._answers, args=(client, upstream, cut), daemon=True).start()

    def _requests(self, client: socket.socket, upstream: socket.socket, cut: threading.Event) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                if b"COMMIT\0" in data and self.cuts:
                    self.cuts -= 1
                    if self._on_cut is not None:
                        self._on_cut()
                    if self._cut_before:
                        break
                    cut.set()
                upstream.sendall(data)
        self._end(client, upstream)

    def _answers(self, client: socket.socket, upstream: socket.socket, cut: threading.Event) -> None:
        with suppress(OSError):
            while data := upstream.recv(65536):
                if cut.is_set():
                    break
                client.sendall(data)
        self._end(client, upstream)

    def _end(self, *sockets: socket.socket) -> None:
        for one in sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._end(self._listener, *self._open)
        for one in (self._listener, *self._open):
            one.close()


@pytest.mark.parametrize("counter", [Counter, LateCounter])
@pytest.mark.parametrize("cut_before", [True, False], ids=["before it arrives", "before its answer arrives"])
def test_a_commit_whose_connection_breaks_is_neither_lost_nor_repeated(
    postgresql: str, postgresql_server: RealServer, counter: type[Counter], *, cut_before: bool
) -> None:
    relay = Relay(postgresql_server.port, cut_before=cut_before)
    database = sa.make_url(postgresql).database
    url = f"postgresql+psycopg://postgres@127.0.0.1:{relay.port}/{database}?sslmode=disable"
    try:
        with engine_of(url) as engine:
            assert counter(engine, []).count() == 1
    finally:
        relay.close()
    assert (claims(postgresql), relay.cuts) == (1, 0)


def test_who_says_nothing_in_a_transaction_stops_the_others_for_a_moment_only(postgresql: str) -> None:
    said: list[str] = []
    with (
        psycopg.connect(postgresql.replace("+psycopg", ""), application_name="access-batch on b, process 7") as frozen,
        engine_of(postgresql, server(said=said, frozen_for=0.6)) as engine,
    ):
        frozen.execute("SELECT pg_advisory_xact_lock(%s, %s)", (LOCKS, int(Lock.LEDGER)))
        assert Counter(engine, []).count() == 1
        with pytest.raises(psycopg.OperationalError):
            frozen.execute("SELECT 1")
    assert said[0].startswith("Waiting for the ledger: access-batch on b, process 7 has had it to itself for ")


def test_who_computes_in_a_transaction_is_not_taken_for_frozen(postgresql: str) -> None:
    with (
        engine_of(postgresql, server(frozen_for=0.4)) as engine,
        engine_of(postgresql, server(frozen_for=0.4)) as other,
    ):
        began = threading.Event()

        def compute(_connection: Any) -> None:
            began.set()
            waiting.join(1.5)

        def wait() -> None:
            began.wait()
            Counter(other, []).count()

        waiting = threading.Thread(target=wait)
        waiting.start()
        assert Counter(engine, [compute]).count() == 1
        waiting.join()
    assert claims(postgresql) == 2


def test_who_works_in_a_transaction_is_waited_for(postgresql: str) -> None:
    with (
        psycopg.connect(postgresql.replace("+psycopg", "")) as busy,
        engine_of(postgresql, server(frozen_for=0.6)) as engine,
    ):
        busy.execute("SELECT pg_advisory_xact_lock(%s, %s)", (LOCKS, int(Lock.LEDGER)))
        ended = threading.Event()

        def work() -> None:
            for _ in range(8):
                busy.execute("SELECT pg_sleep(0.2)")
            ended.set()
            busy.commit()

        thread = threading.Thread(target=work)
        thread.start()
        Counter(engine, []).count()
        was_waited_for = ended.is_set()
        thread.join()
    assert was_waited_for


def test_permits_are_given_while_a_plan_is_written(postgresql: str) -> None:
    with engine_of(postgresql) as engine, writing(engine), writing(engine, Lock.PACE) as connection:
        assert connection.execute(sa.select(t.about.c.claims)).scalar() == 0


def test_machines_record_at_the_same_time_but_not_while_a_plan_is_written(postgresql: str) -> None:
    theirs = MachineKey(b"the key of another machine......")
    with open_ledger(postgresql) as ours, open_ledger(postgresql, key=lambda: theirs) as other:
        mine, its = (one._engine for one in (ours, other))
        with writing(mine, Lock.OWN), writing(its, Lock.OWN):
            assert not can_write(its, Lock.LEDGER, postgresql)
            assert not can_write(its, Lock.OWN, postgresql)
        with writing(mine):
            assert not can_write(its, Lock.OWN, postgresql)
            assert can_write(its, Lock.PACE, postgresql)


def can_write(engine: Engine, lock: Lock, url: str) -> bool:
    """Whether a transaction with this lock could begin just now."""
    machine = engine.get_execution_options()[KEY]().public
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        asked = [
            connection.execute(f"SELECT pg_try_advisory_xact_lock{'_shared' * shared}(%s, %s)", (LOCKS, key)).fetchone()
            for key, shared in keys_of(lock, machine)
        ]
    return asked == [(True,)] * len(asked)


@pytest.fixture
def own_server(short_folder: Path) -> Iterator[RealServer]:
    own = RealServer(short_folder / "s", free_port())
    own.start()
    try:
        yield own
    finally:
        own.stop(signal.SIGQUIT)


@pytest.mark.thorough
def test_a_crash_in_a_transaction_is_survived_and_reported(own_server: RealServer) -> None:
    said: list[str] = []
    url = own_server.url("postgres")
    open_ledger(url).close()

    def crash(_connection: Any) -> None:
        own_server.stop(signal.SIGQUIT)

    def start_it_once_that_is_reported(line: str) -> None:
        said.append(line)
        own_server.start()

    known = Server(name="me", patience=PATIENT, say=start_it_once_that_is_reported)
    with engine_of(url, known) as engine:
        assert Counter(engine, [crash]).count() == 1
    assert (claims(url), said) == (1, ["Waiting for the ledger: the database can't be reached."])


def test_a_number_that_is_somebody_elses_after_a_crash_proves_no_commit(short_folder: Path) -> None:
    """A transaction's number is kept over a crash only if something of it was written to the disk."""
    own = RealServer(short_folder / "s", free_port(), {"wal_writer_delay": "10s"})
    own.start()

    def crash_and_give_the_number_away() -> None:
        own.stop(signal.SIGQUIT)
        own.start()
        with psycopg.connect(own.address(), autocommit=True) as somebody:
            for _ in range(50):
                somebody.execute("SELECT pg_current_xact_id()")

    relay = Relay(own.port, cut_before=True, cuts=0, on_cut=crash_and_give_the_number_away)
    try:
        url = f"postgresql+psycopg://postgres@127.0.0.1:{relay.port}/postgres?sslmode=disable"
        opened = Ledger.open(url, sandbox=False, now=NOW, new_id=new_id, key=key, patience=PATIENT)
        with opened as ledger:
            run = write(ledger, *singles(3))
            record(ledger, claim(ledger, run), ACCEPTED)
            relay.cuts = 1
            claimed = claim(ledger, run)
            assert attempts(own.url("postgres"))[1:] == [(claimed.number, 1, instant(NOW))]
            assert relay.cuts == 0
    finally:
        relay.close()
        own.stop(signal.SIGQUIT)


def test_another_server_behind_a_pooler_ends_everything_although_no_connection_breaks(postgresql: str) -> None:

    def answer(started: str, timeline: str = "") -> None:
        alter(postgresql, *instead_of("pg_postmaster_start_time()", "timestamptz", started))
        if timeline:
            alter(postgresql, *instead_of("pg_walfile_name(pg_lsn)", "text", f"'{timeline}0000'"))

    answer("'2026-01-01Z'::timestamptz", "00000001")
    with engine_of(postgresql) as engine:
        counter = Counter(engine, [])
        assert counter.count() == 1
        answer("'2026-01-02Z'::timestamptz")
        assert counter.count() == 2
        answer("'2026-01-03Z'::timestamptz", "00000002")
        for _ in range(2):
            with pytest.raises(LedgerLostError, match="another server answers than before"):
                counter.count()
    assert claims(postgresql) == 2
    answer("clock_timestamp()")
    with engine_of(postgresql) as engine, pytest.raises(LedgerLostError, match="another server answers each time"):
        Counter(engine, []).count()


def test_copies_of_a_machine_have_different_names_at_the_server() -> None:
    names = [connect_arguments("h\u00f6st" * 20, 7, process)["application_name"] for process in ("a" * 32, "b" * 32)]
    assert names[0] != names[1]
    assert max(len(name.encode()) for name in names) <= 63


def test_another_server_at_the_same_address_ends_everything(own_server: RealServer) -> None:
    other = RealServer(own_server.folder.with_name("o"), own_server.port)
    url = f"postgresql+psycopg://postgres@127.0.0.1:{own_server.port}/postgres?sslmode=disable"
    open_ledger(url).close()

    def replace_it(_connection: Any) -> None:
        own_server.stop(signal.SIGQUIT)
        other.start()
        open_ledger(url).close()

    try:
        with engine_of(url) as engine:
            for breaks in (1, 0):
                with pytest.raises(LedgerLostError, match="another server answers than before"):
                    Counter(engine, [replace_it] * breaks).count()
        assert claims(url) == 0
    finally:
        other.stop(signal.SIGQUIT)


THEY = a_process(7, host="b")


def two(url: str) -> tuple[Ledger, Ledger]:
    return open_ledger(url), open_ledger(url)


def test_a_clock_that_is_ahead_takes_no_live_run_over(postgresql: str) -> None:
    ours, theirs = two(postgresql)
    with ours, theirs:
        run = write(ours, *singles(2))
        ours.runs.hold(run, ME, NOW)
        for now in (NOW + timedelta(days=2), NOW - timedelta(days=2)):
            with pytest.raises(RunHeldError, match=rf"Process {ME.pid} on {ME.host} has been working"):
                theirs.runs.hold(run, THEY, now)
            assert theirs.runs.busy(THEY, now)


def test_equal_names_and_numbers_are_not_the_same_process(postgresql: str) -> None:
    ours, theirs = two(postgresql)
    with ours, theirs:
        run = write(ours, *singles(2))
        ours.runs.hold(run, ME, NOW)
        request = claim(ours, run)
        with pytest.raises(RunHeldError):
            theirs.runs.hold(run, ME, NOW)
        with pytest.raises(RunHeldError):
            record(theirs, request, ACCEPTED)
        record(ours, request, ACCEPTED)


def why_held(ledger: Ledger, run: Run) -> str:
    """What another process is told that wants to work on a run."""
    with pytest.raises(RunHeldError) as refused:
        ledger.runs.hold(run, THEY, NOW)
    return refused.value.next_step


@contextmanager
def clock_of(url: str) -> Iterator[Callable[[float], None]]:
    """Sets a database's clock ahead by so many seconds."""

    def ahead(seconds: float) -> None:
        shown = f"real_clock_timestamp() + interval '{seconds} seconds'"
        alter(url, *instead_of("clock_timestamp()", "timestamptz", shown))

    ahead(0)
    yield ahead


def test_who_is_silent_for_a_minute_loses_the_run_and_is_told_to_whom(postgresql: str) -> None:
    with clock_of(postgresql) as ahead:
        ours, theirs = two(postgresql)
        with ours, theirs:
            run = write(ours, *singles(2))
            ours.runs.hold(run, ME, NOW)
            request = claim(ours, run)
            ahead(50)
            ours.runs.beat(run, ME, NOW)
            ahead(109)
            assert why_held(theirs, run).endswith("If it has died, this command works in 1 s.")
            ahead(111)
            assert theirs.runs.hold(run, THEY, NOW) == 1
            with pytest.raises(RunHeldError, match=f"Process 7 on b has taken over run {run.id}"):
                record(ours, request, ACCEPTED)


def test_nobody_counts_as_silent_while_the_server_was_away(postgresql: str) -> None:
    with clock_of(postgresql):
        alter(
            postgresql, *instead_of("pg_postmaster_start_time()", "timestamptz", f"'{datetime.now(UTC)}'::timestamptz")
        )
        ours, theirs = two(postgresql)
        with ours, theirs:
            run = write(ours, *singles(2))
            ours.runs.hold(run, ME, NOW)
            alter(postgresql, "UPDATE holder SET beat = '2020-01-01T00:00:00+00:00'")
            left = int(why_held(theirs, run).removesuffix(" s.").rpartition(" ")[2])
            assert 30 < left <= 60


def test_a_clock_that_was_set_back_keeps_no_dead_process_alive(postgresql: str) -> None:
    with clock_of(postgresql) as ahead:
        ahead(3600)
        ours, theirs = two(postgresql)
        with ours, theirs:
            run = write(ours, *singles(2))
            ours.runs.hold(run, ME, NOW)
            ahead(0)
            # Each command begins with this.
            theirs.shared_clock()
            assert why_held(theirs, run).endswith((" 60 s.", " 59 s."))
            ahead(61)
            theirs.runs.hold(run, THEY, NOW)


def test_a_clock_that_was_set_forward_takes_no_live_run_over(postgresql: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with clock_of(postgresql) as ahead:
        ours, theirs = two(postgresql)
        with ours, theirs:
            alive, dead = (write(ours, *singles(2, prefix=name), digest=name) for name in ("a", "d"))
            ours.runs.hold(alive, ME, NOW)
            ours.runs.hold(dead, ME, NOW)
            ahead(600)
            waited: list[float] = []

            def meanwhile(_server: Server, seconds: float, _why: str) -> None:
                waited.append(seconds)
                ours.runs.beat(alive, ME, NOW)

            monkeypatch.setattr(Server, "wait", meanwhile)
            theirs.shared_clock()
            assert why_held(theirs, alive)
            theirs.runs.hold(dead, THEY, NOW)
            theirs.shared_clock()
            assert waited == [12.0]


def test_a_clock_that_was_set_back_since_the_server_started_blocks_no_run(postgresql: str) -> None:
    with clock_of(postgresql) as ahead:
        ours, theirs = two(postgresql)
        with ours, theirs:
            run = write(ours, *singles(2))
            ours.runs.hold(run, ME, NOW)
            ahead(-7200)
            theirs.shared_clock()
            assert why_held(theirs, run).endswith((" 60 s.", " 59 s."))


def test_a_dead_process_of_this_machine_may_only_be_silent(postgresql: str) -> None:
    """Its number proves nothing: it may be another machine's, which has the same name or is a copy of this one."""
    with clock_of(postgresql) as ahead:
        ours, theirs = two(postgresql)
        with ours, theirs:
            run = write(ours, *singles(2))
            dead = replace(ME, pid=999_999_999)
            ours.runs.hold(run, dead, NOW)
            claim(ours, run, process=dead)
            ahead(61)
            theirs.runs.hold(run, ME, NOW)
            assert rows(postgresql, "SELECT fence IS NULL FROM doubt") == [(False,)]


RATE = Rate(requests=4, seconds=10.0)
RATE_KEY = RateKey(tenant=TENANT, client="c", dialect="beta")


def test_after_the_databases_clock_was_set_everybody_waits_for_a_whole_window(postgresql: str) -> None:
    with clock_of(postgresql) as ahead:
        ours, theirs = two(postgresql)
        with ours, theirs:
            write(ours, *singles(1))
            mine, other = (one.calls(RATE_KEY, rate=RATE, process=ME, clock=REAL) for one in (ours, theirs))
            given = [*mine.permit(wanted=2, counted={}).numbers, *other.permit(wanted=2, counted={}).numbers]
            now = REAL.monotonic()
            assert mine.permit(wanted=0, counted=dict.fromkeys(given[:2], now)).numbers == ()
            other.permit(wanted=0, counted=dict.fromkeys(given[2:], now))
            ahead(3600)
            first, second = (one.permit(wanted=1, counted={}) for one in (mine, other))
            assert len(given) == RATE.requests
            assert (first.numbers, second.numbers) == ((), ())
            assert min(first.wait, second.wait) > RATE.seconds - 1
            assert "the database's clock was set" in first.why
            assert first.why == second.why
            ahead(3600 + 12)


NOTHING = "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"


SAME = "CREATE FUNCTION same(text, varchar) RETURNS boolean LANGUAGE sql AS 'SELECT true'"


@pytest.mark.parametrize(
    ("done", "named"),
    [
        (
            f"{NOTHING}|CREATE TRIGGER lose BEFORE INSERT ON event FOR EACH ROW EXECUTE FUNCTION nothing()",
            "added the trigger 'lose ON event'",
        ),
        ("CREATE RULE lose AS ON UPDATE TO request DO INSTEAD NOTHING", "added the rule 'lose ON request'"),
        ("ALTER TABLE event ENABLE ROW LEVEL SECURITY", "added the policy 'row level security ON event'"),
        ("CREATE TABLE more () INHERITS (event)", "added the table 'that inherits from event'"),
        ("CREATE INDEX acts ON event (upper(detail))", "added the index 'acts ON event'"),
        ("CREATE INDEX acts ON event (number) WHERE detail <> ''", "added the index 'acts ON event'"),
        ("ALTER TABLE event SET UNLOGGED", "added the table 'event that a crash empties'"),
        ("ALTER TABLE event ALTER at SET DEFAULT now()::text", "added the default 'event.at'"),
        (
            f"{SAME}|CREATE OPERATOR = (LEFTARG = text, RIGHTARG = varchar, FUNCTION = same)",
            "added the operator '=(text,character varying)'",
        ),
        (
            "CREATE FUNCTION left(varchar, integer) RETURNS text LANGUAGE sql AS $$ SELECT '' $$",
            "added the function '\"left\"(character varying,integer)'",
        ),
        ("ALTER TABLE event DROP CONSTRAINT pk_event", "removed the constraint 'event.pk_event'"),
        ("ALTER TABLE request ALTER state DROP NOT NULL", "changed the column 'request.state'"),
    ],
)
def test_a_database_in_which_something_would_act_by_itself_is_refused(postgresql: str, done: str, named: str) -> None:
    alter(postgresql, *done.split("|"))
    with pytest.raises(LedgerChangedError) as refused:
        open_ledger(postgresql)
    assert f"Somebody has {named} in the ledger" in refused.value.message


def test_what_others_may_make_in_another_schema_of_the_path_does_not_act_with_our_rights(postgresql: str) -> None:
    def fits_better(left: str, right: str) -> tuple[str, str]:
        name = f"theirs.equals_{left}_{right}"
        acts = "INSERT INTO theirs.acted DEFAULT VALUES; RETURN $1::text OPERATOR(pg_catalog.=) $2::text"
        function = f"CREATE FUNCTION {name}({left}, {right}) RETURNS boolean LANGUAGE plpgsql"
        operator = f"CREATE OPERATOR theirs.= (LEFTARG = {left}, RIGHTARG = {right}, FUNCTION = {name})"
        return f"{function} AS $$ BEGIN {acts}; END $$", operator

    path = f"ALTER DATABASE {sa.make_url(postgresql).database} SET search_path = public, theirs"
    kinds = [("text", "varchar"), ("varchar", "varchar"), ("oid", "int2"), ("oid", "int4"), ("oid", "int8")]
    alter(postgresql, "CREATE SCHEMA theirs", "CREATE TABLE theirs.acted (at timestamptz DEFAULT now())", path)
    alter(postgresql, *(one for kind in kinds for one in fits_better(*kind)))
    with open_ledger(postgresql) as ledger:
        run = write(ledger, *singles(2))
        record(ledger, claim(ledger, run), ACCEPTED)
        counter = ledger.calls(RATE_KEY, rate=RATE, process=ME, clock=REAL)
        counter.permit(wanted=0, counted=dict.fromkeys(counter.permit(wanted=1, counted={}).numbers, 1.0))
    with engine_of(postgresql) as us:
        assert verify(us) == ()
    with (
        psycopg.connect(postgresql.replace("+psycopg", "")) as busy,
        engine_of(postgresql, server(frozen_for=0.6)) as us,
    ):
        busy.execute("SELECT pg_advisory_xact_lock(%s, %s)", (LOCKS, int(Lock.LEDGER)))
        assert Counter(us, []).count() > 0
        with pytest.raises(psycopg.OperationalError):
            busy.execute("SELECT 1")
    assert rows(postgresql, "SELECT * FROM theirs.acted") == []


def test_a_clock_that_was_set_between_two_runs_is_noticed_by_what_the_machine_remembers(
    postgresql: str, tmp_path: Path
) -> None:
    def free(machine: str) -> float:
        """Seconds that a new process of a machine must wait for its first permits."""
        heads = Heads(folder=tmp_path / machine / "heads")
        with open_ledger(postgresql, memory=heads) as ledger:
            counter = ledger.calls(RATE_KEY, rate=RATE, process=ME, clock=REAL)
            given = counter.permit(wanted=2, counted={})
            counter.permit(wanted=0, counted=dict.fromkeys(given.numbers, REAL.monotonic()))
            return given.wait

    with clock_of(postgresql) as ahead:
        with open_ledger(postgresql) as ledger:
            write(ledger, *singles(1))
        assert (free("a"), free("a")) == (0.0, 0.0)
        ahead(3600)
        assert free("a") > RATE.seconds - 1
        ahead(3600 + 60)
        assert free("b") > RATE.seconds - 1, "it has never seen this clock"


def test_a_clock_that_was_set_forth_and_back_stops_nobody_for_longer_than_a_window(postgresql: str) -> None:
    with clock_of(postgresql) as ahead:
        ours, theirs = two(postgresql)
        with ours, theirs:
            write(ours, *singles(1))
            mine, other = (one.calls(RATE_KEY, rate=RATE, process=ME, clock=REAL) for one in (ours, theirs))
            for counter in (mine, other):
                counter.permit(wanted=1, counted={})
            for seconds in (3600, 0):
                ahead(seconds)
                waits = [counter.permit(wanted=1, counted={}).wait for counter in (mine, other)]
                assert max(waits) < 2 * RATE.seconds


def test_a_lock_of_a_session_that_tells_nothing_of_itself_is_waited_for(postgresql: str) -> None:
    said: list[str] = []
    with (
        psycopg.connect(postgresql.replace("+psycopg", ""), autocommit=True) as session,
        engine_of(postgresql, server(said=said, frozen_for=0.6)) as engine,
    ):
        session.execute("SELECT pg_advisory_lock(%s, %s)", (LOCKS, int(Lock.LEDGER)))
        assert Counter(engine, []).count() == 1
    assert said == ["Waiting for the ledger: somebody has had it to itself for a while."]


def test_somebody_elses_row_lock_is_waited_for_and_named_as_such(postgresql: str) -> None:
    said: list[str] = []
    with psycopg.connect(postgresql.replace("+psycopg", "")) as session:

        def give_up(line: str) -> None:
            said.append(line)
            session.rollback()

        known = Server(name="me", patience=PATIENT, say=give_up, frozen_for=3.0)
        with engine_of(postgresql, known) as engine:
            session.execute("UPDATE about SET claims = claims")
            assert Counter(engine, []).count() == 1
    assert said == ["Waiting for the ledger: somebody else's session has locked some of its rows."]


def test_a_connection_that_breaks_while_it_is_looked_at_is_no_other_server(postgresql: str) -> None:
    address, known = postgresql.replace("+psycopg", ""), server()
    with psycopg.connect(address, autocommit=True) as good, psycopg.connect(address, autocommit=True) as broken:
        known.on_connect(good, None)
        cursor = EndsAfterOne(broken, address)
        with pytest.raises(psycopg.OperationalError):
            known.on_connect(cursor, None)
        known.require_same()


class EndsAfterOne:
    """A connection, and its cursor, that the server ends after the first question."""

    Error = psycopg.Error

    def __init__(self, real: psycopg.Connection, address: str) -> None:
        self._real = real.cursor()
        self._address = address

    def cursor(self) -> EndsAfterOne:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._real.close()

    def execute(self, query: str) -> None:
        self._real.execute(query.encode())

    def fetchone(self) -> Any:
        found = self._real.fetchone()
        rows(self._address, "SELECT pg_terminate_backend(?)", self._real.connection.info.backend_pid)
        return found


def test_a_user_in_a_hurry_waits_no_longer_for_a_server_that_has_gone(postgresql: str) -> None:
    known = server()
    with engine_of(postgresql, known) as engine:
        Counter(engine, []).count()
        assert known.may_go_on(boot_time(), 0)
        known.hurry()
        assert not known.may_go_on(boot_time(), 0)


def test_who_has_waited_in_vain_for_a_server_does_not_wait_for_as_long_at_each_further_step(postgresql: str) -> None:
    known = server()
    with engine_of(postgresql, known) as engine:
        assert Counter(engine, []).count() == 1
        assert known.may_go_on(boot_time(), 0)
        assert not known.may_go_on(boot_time() - PATIENT, 0)
        assert not known.may_go_on(boot_time(), 0)


def test_two_machines_remember_the_same_user_at_the_same_time(postgresql: str) -> None:
    ours, theirs = two(postgresql)
    with ours, theirs:
        write(ours, *singles(1))
        barrier = threading.Barrier(2)

        def add(ledger: Ledger) -> None:
            barrier.wait()
            ledger.tenants.add_requester(TENANT, "somebody")

        with ThreadPoolExecutor(2) as threads:
            list(threads.map(add, (ours, theirs)))
        assert ours.tenants.requesters(TENANT) == {"somebody"}


def test_who_may_only_read_a_ledger_reads_it(postgresql: str) -> None:
    with open_ledger(postgresql) as ledger:
        write(ledger, *singles(1))
    name = sa.make_url(postgresql).database
    role = f"reader_{name}"
    alter(postgresql, f"CREATE ROLE {role} LOGIN", f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    try:
        with open_ledger(postgresql.replace("postgres@", f"{role}@"), only_read=True) as ledger:
            assert ledger.shared_clock(only_read=True) is not None
            assert len(ledger.runs.all()) == 1
    finally:
        alter(postgresql, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_every_public_method_has_one_transaction_that_writes() -> None:
    """A second one would be repeated with the first, although the first was committed."""
    parts = (
        Cache,
        Calls,
        CancelLog,
        DecisionStore,
        DoubtStore,
        Gaps,
        Imported,
        Plans,
        Requests,
        Runs,
        Tenants,
        TrackStore,
    )
    several = [
        f"{part.__name__}.{name}"
        for part in parts
        for name, method in vars(part).items()
        if inspect.isfunction(method) and inspect.getsource(inspect.unwrap(method)).count("with writing(") > 1
    ]
    assert several == []
