"""Statements that travel in one message: few round trips to a database far away, and nothing is lost or comes late."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy as sa

from batch.answers.outcome import decide
from batch.api.dialects import Rate
from batch.errors import LedgerLostError
from batch.ledger import tables as t
from batch.ledger.answered import Answered
from batch.ledger.calls import RateKey
from batch.ledger.engine import connect, writing
from batch.ledger.messages import ask, count_written, write
from batch.ledger.postgresql import BrokenOffError, Server
from batch.ledger.process import boot_id, boot_time
from batch.model import Clock
from tests.builders import NOW
from tests.ledger.ledger_helpers import ACCEPTED, ME, TENANT, claim, open_ledger, record, rows, singles
from tests.ledger.ledger_helpers import write as plan
from tests.soak.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy.engine import Connection

    from tests.postgresql import Server as RealServer

pytestmark = [pytest.mark.postgresql, pytest.mark.also_postgresql]

ADD = sa.insert(t.requester)
RENAME = (
    sa.update(t.requester)
    .where(t.requester.c.identity == sa.bindparam("old"))
    .values(identity=sa.bindparam("new", type_=t.TEXT))
)
NAMES = sa.select(t.requester.c.identity).where(t.requester.c.tenant == sa.bindparam("of")).order_by("identity")
RATE = Rate(requests=9, seconds=10.0)
RATE_KEY = RateKey(tenant=TENANT, client="c", dialect="beta")
REAL = Clock(now=lambda: NOW, monotonic=boot_time, boot=boot_id())
ODD = 'a "quoted" \\ one,\nwith a line, \u00e9\U0001f600 and %s'


@contextmanager
def transaction(url: str) -> Iterator[Connection]:
    with open_ledger(url) as ledger:
        plan(ledger, *singles(1))
    engine = connect(sa.make_url(url), server=Server(name="me", patience=0.0, say=lambda _line: None))
    try:
        with writing(engine) as connection:
            yield connection
    finally:
        engine.dispose()


def people(*names: str) -> list[dict[str, Any]]:
    return [{"tenant": 1, "identity": name} for name in names]


def test_what_waits_is_seen_by_the_next_statement_and_committed(postgresql: str) -> None:
    with transaction(postgresql) as connection:
        write(connection, ADD, people("b", ODD))
        asked = ask(connection, NAMES, {"of": 1})
        write(connection, ADD, people("c"))
        seen = connection.execute(NAMES, {"of": 1}).scalars().all()
        assert count_written(connection, RENAME, [{"old": "b", "new": "x"}, {"old": "nobody", "new": "y"}]) == 1
        write(connection, ADD, people("d"))
    assert [row.identity for row in asked()] == [ODD, "b"]
    assert seen == [ODD, "b", "c"]
    assert rows(postgresql, "SELECT identity FROM requester ORDER BY 1") == [(ODD,), ("c",), ("d",), ("x",)]


def test_an_answer_that_is_wanted_first_does_not_wait(postgresql: str) -> None:
    with transaction(postgresql) as connection:
        write(connection, ADD, people("a"))
        assert [row.identity for row in ask(connection, NAMES, {"of": 1})()] == ["a"]


def test_a_write_that_fails_with_the_commit_undoes_everything_and_is_reported(postgresql: str) -> None:
    def adds_one_twice() -> None:
        with transaction(postgresql) as connection:
            write(connection, ADD, people("a", "b"))
            write(connection, ADD, people("a"))

    with pytest.raises(LedgerLostError, match="duplicate key"):
        adds_one_twice()
    assert rows(postgresql, "SELECT identity FROM requester") == []


def test_what_waits_in_a_transaction_that_is_undone_is_never_written(postgresql: str) -> None:
    with open_ledger(postgresql) as ledger:
        plan(ledger, *singles(1))
    engine = connect(sa.make_url(postgresql), server=Server(name="me", patience=0.0, say=lambda _line: None))

    def changes_its_mind() -> None:
        with writing(engine) as connection:
            write(connection, ADD, people("a"))
            raise KeyError

    with pytest.raises(KeyError):
        changes_its_mind()
    with writing(engine) as connection:
        assert connection.execute(NAMES, {"of": 1}).all() == []
    engine.dispose()


def breaks_in_a_message(url: str) -> None:
    """Ends its own session at the server while statements are waiting."""
    with suppress(BrokenOffError), transaction(url) as connection:
        write(connection, ADD, people("a"))
        (session,) = connection.execute(sa.text("SELECT pg_backend_pid()")).one()
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", (session,))
        write(connection, ADD, people("b"))
        connection.execute(NAMES, {"of": 1})


def test_the_driver_writes_nothing_to_the_screen_if_the_connection_breaks_within_a_message(postgresql: str) -> None:
    script = (
        f"import sys\nfrom {__name__} import breaks_in_a_message\nbreaks_in_a_message(sys.argv[1])\nprint('broken')"
    )
    ended = subprocess.run([sys.executable, "-c", script, postgresql], capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr) == ("broken\n", "")


def test_a_claim_its_answer_and_permits_take_few_round_trips(postgresql: str, postgresql_server: RealServer) -> None:
    database = sa.make_url(postgresql).database
    with Proxy(postgresql_server.socket, delay=0.02) as proxy:
        url = f"postgresql+psycopg://postgres@127.0.0.1:{proxy.port}/{database}?sslmode=disable"
        with open_ledger(url) as ledger:
            run = plan(ledger, *singles(25))
            calls = ledger.calls(RATE_KEY, rate=RATE, process=ME, clock=REAL)
            record(ledger, claim(ledger, run), ACCEPTED)
            permits = calls.permit(wanted=1, counted={})
            seen = []
            for _ in range(3):
                claims = partial(ledger.requests.claim, run, NOW, ME, most=8)
                more = partial(calls.permit, wanted=2, counted=dict.fromkeys(permits.numbers, REAL.monotonic()))
                claimed, for_a_claim = round_trips(proxy, claims)
                permits, for_permits = round_trips(proxy, more)
                sent = [request for body in claimed for request in body.requests]
                answered = [Answered(request=one, answer=ACCEPTED, decision=decide(ACCEPTED), at=NOW) for one in sent]
                _, for_answers = round_trips(proxy, partial(ledger.requests.record, *answered, process=ME))
                assert (len(claimed), len(permits.numbers)) == (8, 2)
                seen.append((for_a_claim, for_permits, for_answers))
    # A slow machine sends a message in parts, or says in between that it is alive; nothing makes it fewer.
    assert tuple(map(min, zip(*seen, strict=True))) == (5, 3, 3)


def round_trips(proxy: Proxy, work: Callable[[], Any]) -> tuple[Any, int]:
    before = proxy.round_trips
    return work(), proxy.round_trips - before
