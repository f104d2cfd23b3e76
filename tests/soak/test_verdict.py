"""The verdict of a soak tells a command that finds no database from one that is wrong."""

from __future__ import annotations

import psycopg
import pytest

from batch.ledger.address import ledger_url
from batch.ledger.refusals import why_refused
from tests.soak.machines import Ended
from tests.soak.verdict import problems_of

TO_THE_SERVER = 'connection failed: connection to server at "127.0.0.1", port 5432 failed:'


def ended(code: int, message: str, out: str = "{}") -> Ended:
    return Ended(
        words=("submit", "--json"),
        code=code,
        out=out,
        err=f"Read 5 rows.\naccess-batch: {message}\nDo something.\n",
        seconds=9.0,
        cut_off=1.0,
    )


@pytest.mark.parametrize(
    "error",
    [
        psycopg.OperationalError(f"{TO_THE_SERVER} Connection refused"),
        psycopg.OperationalError(f"{TO_THE_SERVER} server closed the connection unexpectedly"),
        psycopg.OperationalError(f"{TO_THE_SERVER} FATAL: the database system is starting up"),
        psycopg.OperationalError(f"{TO_THE_SERVER} FATAL: the database system is in recovery mode"),
        psycopg.OperationalError("connection timeout expired"),
        psycopg.OperationalError("consuming input failed: server closed the connection unexpectedly"),
        psycopg.errors.AdminShutdown("terminating connection due to administrator command"),
    ],
)
def test_a_command_that_finds_no_database_at_first_may_take_its_address_for_wrong(error: psycopg.Error) -> None:
    message, _ = why_refused(error, ledger_url("postgresql://postgres@127.0.0.1:5432/team"))
    assert not list(problems_of(ended(2, message)))


@pytest.mark.parametrize(
    "message",
    [
        "The ledger has sent nothing to http://x yet, but the tenant lists run 1: another ledger has submitted there.",
        "The ledger at postgresql://x is not complete: relation does not exist.",
        "The ledger postgresql://x can't be used: too many words.",
    ],
)
def test_no_other_refusal_and_no_bug_is_in_order(message: str) -> None:
    assert [problem.partition(":")[0] for problem in problems_of(ended(2, message))] == ["exit code 2"]
    assert [problem.partition(":")[0] for problem in problems_of(ended(1, message))] == ["exit code 1"]


def test_a_command_that_was_killed_owes_nothing_and_any_other_owes_one_object() -> None:
    assert not list(problems_of(ended(-9, "", out="")))
    assert [problem.partition(":")[0] for problem in problems_of(ended(4, "stopped", out=""))] == [
        "not one JSON object on stdout"
    ]
