"""Which rows of the tenant's list the ledger does not account for: it was put back to an earlier state, or copied.

A row is about a change of the ledger by our request's id, else by identity, item, operation and dates.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from batch.api.dialects import REQUEST_TYPES
from batch.api.tenant_outcome import RESUBMITTABLE, tenant_outcome
from batch.states import IN_DOUBT, VOID, State
from batch.status.matching import is_of_account, listed_item, named_item, request_id
from batch.text import RequestId, key_of, moment

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence

    from batch.api.dialects import Operation
    from batch.api.status_row import StatusRow
    from batch.model import Request, Run

LOST_RUN: Final = "lost "
"""Begins the digest of a run that has requests in the place of some that the ledger has lost."""

LONG_AGO: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""Before anything was requested."""


def sent_since(run: Run) -> datetime:
    """From when on, by our clock, a run may have sent requests: what a ledger has lost was sent at any time before."""
    return LONG_AGO if run.input_digest.startswith(LOST_RUN) else run.started_at


@dataclass(frozen=True, kw_only=True, slots=True)
class Remembered:
    """A change that the ledger has, in any state.

    Attributes:
        id: Its request's.
        operation: Grant or revoke.
        start_date: In the form that requests use; empty for none.
        remove_date: In the same form.
        state: Its request's.
        access_request: The tenant's id of the access request that a row last showed for it; empty if none did.
        account: Key of its account, if its request names one of several; empty for none.
    """

    id: RequestId
    operation: Operation
    start_date: str
    remove_date: str
    state: State
    access_request: str = ""
    account: str = ""


class Account(Enum):
    """How the ledger accounts for a row, if none of its changes that are planned or in doubt has arrived with it."""

    KNOWN = "known"
    """The ledger knows that it was submitted, or it is not of our making."""
    UNKNOWN = "unknown"
    """One of our requests asked for it, and the ledger does not have it as submitted: it has no such request, or that
    was discarded. Or the row has no id, and asks for what the ledger has given up."""


def pair_keys(row: StatusRow) -> tuple[str, str]:
    """The row's identity and item as ids are compared; the item is empty if the row does not tell it."""
    return key_of(row.identity), key_of(named_item(row) or listed_item(row))


def is_listed(request: Request, rows: Iterable[StatusRow]) -> bool:
    """Whether rows show each change of a request under its id."""
    name = RequestId(request.run, request.number, request.tag)
    listed = {pair_keys(row) for row in rows if RequestId.read(request_id(row)) == name}
    return listed >= {(key_of(who), key_of(item.id)) for who in request.recipients for item in request.items}


def account_for(
    row: StatusRow,
    changes: Sequence[Remembered],
    runs: Container[str],
    *,
    is_behind: bool = False,
    restored: Mapping[RequestId, RequestId] = MappingProxyType({}),
    listed: Container[RequestId] = (),
) -> Remembered | Account:
    """The change that has arrived, as the row shows; or how else the ledger accounts for the row.

    A change in doubt may have arrived in another request that the ledger has lost, or whose end it has lost: the row
    has an id of ours then that the ledger does not know, or that of a request which another one has replaced.

    Args:
        row: Requested by one of our users since the ledger's newest answer.
        changes: What the ledger has of the row's identity and item, in any order.
        runs: Ids of all runs of the ledger.
        is_behind: Whether the ledger is older than this machine has seen it.
        restored: Ids of requests that the ledger had lost, and those of the requests that stand in their place.
        listed: Ids of requests that have arrived with other rows, and so not with this one.
    """
    name, exact = RequestId.read(request_id(row)), _named(row, changes, restored)
    if exact is not None and exact.state not in {*VOID, State.PLANNED}:
        return Account.KNOWN
    if exact is not None and exact.state is State.PLANNED:
        return exact
    if row.access_request and any(change.access_request == row.access_request for change in changes):
        return Account.KNOWN
    # What another script of the same user has requested has no id of ours. It is no arrival of a request with an end
    # date if it has none.
    may_lack_dates = name is not None or is_behind
    same = [
        change
        for change in changes
        if change.state not in VOID and change.id not in listed and _is_same(row, change, may_lack_dates=may_lack_dates)
    ]
    # If they are for several accounts, the row must tell which.
    fits = {True} if len({change.account for change in same}) > 1 else {True, None}
    same = [change for change in same if is_of_account(row, change.account) in fits]
    if exact is not None:
        # Divided, discarded, or taken over by another run since: later requests count. Numbers grow over all runs. If
        # only another machine had said that an earlier one has not arrived, that one is in doubt again in its place.
        same = [change for change in same if change.id.number > exact.id.number or change.state in IN_DOUBT]
        if any(change.state not in {State.PLANNED, *IN_DOUBT} for change in same):
            return Account.KNOWN
    arrived = next((change for change in same if change.state is State.PLANNED), None)
    if arrived is None and name is not None:
        arrived = next((change for change in same if change.state in IN_DOUBT), None)
    if arrived is not None and ((name is not None and name.run in runs) or not _came_to_nothing(row)):
        return arrived
    # A change that was accepted before may have been requested again.
    is_other = all(change.state is State.ACCEPTED for change in same)
    # A discarded request counts as never sent, so its row would count for nothing. Neither does that of a request whose
    # change was taken over for the opposite.
    is_missing = (
        exact is None
        or not same
        or any(change.state is State.DISCARDED and change.id.number >= exact.id.number for change in changes)
    )
    if name is None:
        is_missing = _was_given_up(row, changes, may_lack_dates=may_lack_dates)
    return Account.UNKNOWN if is_missing and is_other else Account.KNOWN


def accounts_for(
    rows: Sequence[StatusRow],
    changes: Sequence[Remembered],
    runs: Container[str],
    *,
    is_behind: bool,
    restored: Mapping[RequestId, RequestId],
) -> list[Remembered | Account]:
    """How the ledger accounts for rows of one identity and item, in their order; see `account_for`.

    A request that a row names has arrived with that row. Another row may be about the same change, requested again. If
    that was undone since, it is no arrival.
    """
    account = partial(account_for, changes=changes, runs=runs, is_behind=is_behind, restored=restored)
    named = [_named(row, changes, restored) for row in rows]
    listed = {one.id for one in named if one is not None}
    first = [None if one is None else account(row, listed=listed) for row, one in zip(rows, named, strict=True)]
    listed |= {one.id for one in first if isinstance(one, Remembered)}
    accounts = [account(row, listed=listed) if one is None else one for row, one in zip(rows, first, strict=True)]
    return [
        _undone(row) if isinstance(found, Remembered) and found != one and _is_undone(row, rows) else found
        for row, one, found in zip(rows, named, accounts, strict=True)
    ]


def _is_undone(row: StatusRow, rows: Iterable[StatusRow]) -> bool:
    """Whether one of the rows of the same identity and item shows that the opposite was requested later."""
    requested = requested_at(row)
    if not row.request_type or requested is None:
        return False
    return any(
        other.request_type not in {"", row.request_type}
        and (at := requested_at(other)) is not None
        and at >= requested
        and not _came_to_nothing(other)
        for other in rows
    )


def requested_at(row: StatusRow) -> datetime | None:
    """When a row was requested, by the tenant's clock, or at the latest: when it entered its state; None if unknown."""
    return row.created or row.since


def _undone(row: StatusRow) -> Account:
    return Account.KNOWN if RequestId.read(request_id(row)) is None else Account.UNKNOWN


def _named(row: StatusRow, changes: Sequence[Remembered], restored: Mapping[RequestId, RequestId]) -> Remembered | None:
    """The change of the request that a row names, or that stands in its place."""
    name = RequestId.read(request_id(row))
    instead = restored.get(name) if name is not None else None
    found = next((change for change in changes if instead is not None and change.id.run == instead.run), None)
    return found or next((change for change in changes if change.id == name), None)


def _is_same(row: StatusRow, change: Remembered, *, may_lack_dates: bool) -> bool:
    """Whether row and change ask for the same. A row without any date may come from a list that shows none."""
    if row.request_type not in {"", REQUEST_TYPES[change.operation]}:
        return False
    dates = (moment(row.start_date), moment(row.remove_date))
    return (may_lack_dates and dates == (None, None)) or dates == (
        moment(change.start_date),
        moment(change.remove_date),
    )


def _was_given_up(row: StatusRow, changes: Sequence[Remembered], *, may_lack_dates: bool) -> bool:
    """Whether the ledger has planned the row's change, and has given it up each time.

    The list may hide our ids, and another script of the same user is not likely to have asked for the same since.
    """
    given_up = all(change.state in {State.SPLIT, State.DISCARDED} for change in changes)
    asked_for = any(_is_same(row, change, may_lack_dates=may_lack_dates) for change in changes)
    return given_up and asked_for and not _came_to_nothing(row)


def _came_to_nothing(row: StatusRow) -> bool:
    return bool(row.state) and tenant_outcome(row.state, row.said) in RESUBMITTABLE
