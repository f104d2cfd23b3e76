"""A row of the tenant's list shows that a planned change has arrived, or that the ledger lacks one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from batch.api.account_key import UUID, account_key, row_key
from batch.api.dialects import Operation
from batch.states import State
from batch.status.compare import Account, Remembered, account_for, accounts_for
from batch.text import RequestId
from tests.builders import NOW, our_row

if TYPE_CHECKING:
    from batch.api.status_row import StatusRow

OURS = "aaaaaaaaaaaa"
CORRECTED = "bbbbbbbbbbbb"
ELSEWHERE = "cccccccccccc"
RUNS = {OURS, CORRECTED}


def change(run: str, number: int, state: State, operation: Operation = Operation.GRANT) -> Remembered:
    return Remembered(id=RequestId(run, number, "7a9"), operation=operation, start_date="", remove_date="", state=state)


def row(run: str, number: int, state: str = "EXECUTING") -> StatusRow:
    return our_row(str(RequestId(run, number, "7a9")), state=state)


def test_a_change_that_another_run_took_over_has_arrived_with_the_request_that_had_it_before() -> None:
    taken, planned = change(OURS, 7, State.SPLIT), change(CORRECTED, 20, State.PLANNED)
    assert account_for(row(OURS, 7), [taken, planned], RUNS) == planned


def test_a_change_planned_before_a_divided_request_has_not_arrived_with_it() -> None:
    planned, divided = change(CORRECTED, 5, State.PLANNED), change(OURS, 7, State.SPLIT)
    part = change(OURS, 8, State.ACCEPTED)
    assert account_for(row(OURS, 7), [planned, divided, part], RUNS) is Account.KNOWN


def test_what_was_taken_over_for_the_opposite_and_is_listed_is_unknown() -> None:
    taken, opposite = change(OURS, 7, State.SPLIT), change(CORRECTED, 20, State.UNCONFIRMED, Operation.REVOKE)
    assert account_for(row(OURS, 7), [taken, opposite], RUNS) is Account.UNKNOWN


def test_a_change_that_was_taken_over_and_accepted_is_known() -> None:
    changes = [change(OURS, 7, State.SPLIT), change(CORRECTED, 20, State.ACCEPTED)]
    assert account_for(row(OURS, 7), changes, RUNS) is Account.KNOWN


def test_a_cancelled_request_of_another_ledger_is_no_arrival() -> None:
    planned = change(OURS, 7, State.PLANNED)
    assert account_for(row(ELSEWHERE, 3, "CANCELLED"), [planned], RUNS) is Account.KNOWN
    assert account_for(row(ELSEWHERE, 3), [planned], RUNS) == planned


def test_a_cancelled_request_of_this_ledger_has_arrived() -> None:
    planned = change(OURS, 7, State.PLANNED)
    assert account_for(row(OURS, 7, "CANCELLED"), [planned], RUNS) == planned
    assert account_for(row(OURS, 3, "CANCELLED"), [planned], RUNS) == planned


def test_a_discarded_request_that_is_listed_is_unknown_until_it_is_planned_again_or_imported() -> None:
    discarded = change(OURS, 7, State.DISCARDED)
    assert account_for(row(OURS, 7), [discarded], RUNS) is Account.UNKNOWN
    assert account_for(row(OURS, 7), [change(CORRECTED, 5, State.ACCEPTED), discarded], RUNS) is Account.UNKNOWN
    taken = [change(OURS, 7, State.SPLIT), change(CORRECTED, 20, State.DISCARDED)]
    assert account_for(row(OURS, 7), taken, RUNS) is Account.UNKNOWN
    planned = change(CORRECTED, 20, State.PLANNED)
    assert account_for(row(OURS, 7), [discarded, planned], RUNS) == planned
    assert account_for(row(OURS, 7), [discarded, change(ELSEWHERE, 20, State.ACCEPTED)], RUNS) is Account.KNOWN


def test_what_another_script_grants_for_ever_is_no_arrival_of_a_grant_with_an_end_date() -> None:
    planned = replace(change(OURS, 7, State.PLANNED), remove_date="2031-01-31T00:00:00Z")
    endless, dated = our_row("", state="EXECUTING"), our_row("", state="EXECUTING", remove_date="2031-01-31T00:00:00Z")
    assert account_for(endless, [planned], RUNS) is Account.KNOWN
    assert account_for(dated, [planned], RUNS) == planned
    assert account_for(endless, [planned], RUNS, is_behind=True) == planned, "its list may show neither ids nor dates"
    assert account_for(row(ELSEWHERE, 3), [planned], RUNS) == planned, "it has an id of ours"


@pytest.mark.parametrize("state", [State.SPLIT, State.DISCARDED])
def test_what_was_given_up_and_then_requested_without_an_id_is_unknown(state: State) -> None:
    without_id, given_up = our_row("", state="EXECUTING"), change(OURS, 7, state)
    assert account_for(without_id, [given_up], RUNS) is Account.UNKNOWN
    assert account_for(our_row("", state="CANCELLED"), [given_up], RUNS) is Account.KNOWN
    assert account_for(without_id, [change(OURS, 7, state, Operation.REVOKE)], RUNS) is Account.KNOWN
    for other in (State.ACCEPTED, State.REFUSED, State.UNCONFIRMED):
        assert account_for(without_id, [given_up, change(CORRECTED, 20, other)], RUNS) is Account.KNOWN, other
    planned = change(CORRECTED, 20, State.PLANNED)
    assert account_for(without_id, [given_up, planned], RUNS) == planned
    assert account_for(without_id, [], RUNS) is Account.KNOWN, "anybody may have asked"


def test_another_operation_does_not_make_a_request_known() -> None:
    held = change(OURS, 7, State.ACCEPTED, Operation.REVOKE)
    assert account_for(row(OURS, 40), [held], RUNS) is Account.UNKNOWN


@pytest.mark.parametrize("state", [State.UNCONFIRMED, State.SENDING])
def test_a_change_in_doubt_has_arrived_with_a_request_that_the_ledger_has_lost(state: State) -> None:
    doubtful = change(OURS, 7, state)
    assert account_for(row(OURS, 40), [doubtful], RUNS) == doubtful
    assert account_for(row(ELSEWHERE, 40), [doubtful], RUNS) == doubtful
    assert account_for(row(ELSEWHERE, 40, "CANCELLED"), [doubtful], RUNS) is Account.KNOWN
    assert account_for(row(OURS, 7), [doubtful], RUNS) is Account.KNOWN, "settling looks for its own id"
    assert account_for(our_row("", state="EXECUTING"), [doubtful], RUNS) is Account.KNOWN, "anybody may have asked"


@pytest.mark.parametrize("state", [State.UNCONFIRMED, State.SENDING])
def test_a_change_in_doubt_has_arrived_with_the_request_that_had_it_before(state: State) -> None:
    taken, doubtful = change(OURS, 7, State.SPLIT), change(CORRECTED, 20, state)
    assert account_for(row(OURS, 7), [taken, doubtful], RUNS) == doubtful


def test_a_change_that_is_in_doubt_again_has_arrived_with_the_request_that_was_planned_in_its_place() -> None:
    doubtful, dropped = change(OURS, 1, State.UNCONFIRMED), change(OURS, 8, State.SPLIT)
    assert account_for(row(OURS, 8), [doubtful, dropped], RUNS) == doubtful


def all_accounts(*rows: StatusRow, changes: list[Remembered]) -> list[Remembered | Account]:
    return accounts_for(rows, changes, RUNS, is_behind=False, restored={})


@pytest.mark.parametrize("state", [State.PLANNED, State.UNCONFIRMED])
def test_a_request_that_is_listed_itself_has_not_arrived_with_a_later_one_for_the_same_change(state: State) -> None:
    ours, later = change(OURS, 7, state), row(ELSEWHERE, 40)
    own = ours if state is State.PLANNED else Account.KNOWN
    assert all_accounts(later, row(OURS, 7), changes=[ours]) == [Account.UNKNOWN, own]
    assert all_accounts(row(OURS, 7), later, changes=[ours]) == [own, Account.UNKNOWN]
    assert all_accounts(later, changes=[ours]) == [ours]


def test_a_part_whose_request_is_listed_has_not_arrived_with_a_later_one_for_the_same_change() -> None:
    whole, part = change(OURS, 7, State.SPLIT), change(OURS, 9, State.UNCONFIRMED)
    rows = row(ELSEWHERE, 40), row(OURS, 7)
    assert all_accounts(*rows, changes=[whole, part]) == [Account.UNKNOWN, part]


def test_what_was_undone_since_is_no_arrival_of_a_change_that_is_wanted_now() -> None:
    planned = change(OURS, 7, State.PLANNED)
    granted, revoked = row(ELSEWHERE, 3), replace(row(ELSEWHERE, 4), request_type="REVOKE_ACCESS")
    later = replace(revoked, created=NOW + timedelta(minutes=1))
    assert accounts_of([granted, later], planned) == [Account.UNKNOWN, Account.UNKNOWN]
    before = replace(revoked, created=NOW - timedelta(minutes=1))
    assert accounts_of([granted, before], planned) == [planned, Account.UNKNOWN]
    cancelled = replace(later, state="CANCELLED")
    assert accounts_of([granted, cancelled], planned)[0] == planned
    undated = replace(granted, created=None)
    assert accounts_of([undated, later], planned)[0] == planned, "nobody knows which was later"
    own = row(OURS, 7)
    assert accounts_of([own, later], planned)[0] == planned, "the request itself has arrived"
    taken = change(OURS, 5, State.SPLIT)
    assert accounts_of([row(OURS, 5)], taken, planned) == [planned]
    assert accounts_of([row(OURS, 5), later], taken, planned)[0] is Account.UNKNOWN


def test_a_row_that_names_another_account_is_no_arrival() -> None:
    second = account_key({UUID: "2"})
    planned = replace(change(OURS, 7, State.PLANNED), account=second)
    named = replace(row(ELSEWHERE, 3), accounts=frozenset({row_key("1", "")}))
    assert account_for(named, [planned], RUNS) != planned
    assert account_for(replace(named, accounts=frozenset({row_key("2", "")})), [planned], RUNS) == planned
    assert account_for(replace(named, accounts=frozenset()), [planned], RUNS) == planned, "the list names none"


def accounts_of(rows: list[StatusRow], *changes: Remembered) -> list[Remembered | Account]:
    return accounts_for(rows, changes, RUNS, is_behind=False, restored={})
