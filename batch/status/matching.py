"""Which row of the tenant's status list is about which change.

| the row has | it is matched by | used by |
|---|---|---|
| our request id in its clientMetadata | that id, identity and item | evidence, progress, cancel, adopt |
| no clientMetadata at all | identity, item, operation and time | evidence, progress |
| an access request that the tenant named for a change | that, identity, and item or type | progress, adopt |
| anything | identity, item and type | in_progress |

If a change names one of several accounts, a row without our id is about it only if the row names that account too.

The item's id is the one that we sent in clientMetadata. If a row has none, its own `id` stands in: at some tenants this
is the item's id, by the documents of later API versions it is the request's, and the documents' examples show the id of
the account activity's item (see dialects.ITEM_ID_KEY). Rows that were listed together show which it is.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import polars as pl

from batch.api.accounts import is_selected
from batch.api.dialects import ATTEMPT_ID_KEY, ITEM_ID_KEY, REQUEST_ID_KEY, REQUEST_TYPES, Operation
from batch.api.status_row import ChangeStatus
from batch.api.tenant_outcome import is_existing
from batch.states import VOID, State
from batch.text import RequestId, id_key, instant, key_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from batch.api.status_row import StatusRow

Pair = tuple[str, str]
"""Identity id and item id, as ids are compared."""


class Confidence(IntEnum):
    """How sure it is that a row is about a change, the surest last."""

    POSSIBLE = 0
    """Nothing excludes it: the person is the same, and the item or at least its type."""
    LIKELY = 1
    """Person, item and operation are the same, and the time or the access request fits."""
    SURE = 2
    """It has the id that was sent with the change."""


# What one row says.


def request_id(row: StatusRow) -> str:
    """Our request's id in the clientMetadata, in the case in which we write it; empty if there is none."""
    return (row.metadata or {}).get(REQUEST_ID_KEY, "").lower()


def attempt_id(row: StatusRow) -> str:
    """The id of the attempt in the clientMetadata; empty if there is none."""
    return (row.metadata or {}).get(ATTEMPT_ID_KEY, "").lower()


def is_bare(row: StatusRow) -> bool:
    """Whether the row has no clientMetadata at all."""
    return not row.metadata


def named_item(row: StatusRow) -> str:
    """The item's id that we sent in the clientMetadata; empty if there is none."""
    return (row.metadata or {}).get(ITEM_ID_KEY, "")


def listed_item(row: StatusRow) -> str:
    """The row's `id`; empty if it is plainly not the item's."""
    return "" if row.item in {row.access_request, row.activity} else row.item


def pair_of(row: StatusRow) -> Pair:
    """The row's identity, and the item's id that we sent, else the row's `id`, of whatever kind."""
    return key_of(row.identity), key_of((row.metadata or {}).get(ITEM_ID_KEY, row.item))


def has_type(row: StatusRow, item_type: str) -> bool:
    """Whether the row is of that type, or gives none."""
    return row.item_type in {"", item_type}


def has_operation(row: StatusRow, operation: Operation) -> bool:
    """Whether the row is of that operation, or gives none."""
    return row.request_type in {"", REQUEST_TYPES[operation]}


def is_of_account(row: StatusRow, account: str) -> bool | None:
    """Whether the row is about a change for the account with that key; None if the row does not tell it."""
    return is_selected(account, row.accounts) if account else True


def was_created_since(row: StatusRow, since: datetime) -> bool:
    """Whether the row was created then or later; a row without a time was not."""
    return row.created is not None and row.created >= since


# What rows show that were listed together.


def ids_change_with_requests(rows: Iterable[StatusRow]) -> bool:
    """Whether rows show that their ids are not the items'.

    They do if a row of ours has another id than its item, or if items of one type and name that were requested several
    times had another id each time. One such name that kept its id is enough to trust the ids: items are renamed, and
    created anew under an old name.
    """
    seen: defaultdict[tuple[str, str], defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for row in rows:
        if (named := named_item(row)) and named != row.item:
            return True
        if row.item and row.item_name:
            seen[row.item_type, row.item_name][row.item].add(row.access_request)
    kept = any(len(requests) > 1 for ids in seen.values() for requests in ids.values())
    return not kept and any(len(ids) > 1 for ids in seen.values())


def ids_cover_several_items(rows: Iterable[StatusRow]) -> bool:
    """Whether rows show one id with several types or names, as an id of a request has."""
    names: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    for row in rows:
        names[row.item].add((row.item_type, row.item_name))
    return any(len(found) > 1 for item, found in names.items() if item)


# Rows and the changes of one run.


@dataclass(frozen=True, kw_only=True, slots=True)
class AcceptedChange:
    """An accepted change of a run.

    Attributes:
        request: Number of its request.
        operation: Grant or revoke.
        identity: Id of the identity.
        item_type: Kind of access item.
        item: Id of the item.
        accepted_at: When the tenant accepted its request, by our clock.
        account: Key of the chosen account, if there are several.
        selection: How its request names the account.
        remove_date: Its end date, as the ledger has it; empty for none.
        known: Its status that the ledger has; None if the tenant never reported one.
    """

    request: int
    operation: Operation
    identity: str
    item_type: str
    item: str
    accepted_at: datetime
    account: str = ""
    selection: str = ""
    remove_date: str = ""
    known: ChangeStatus | None = None

    def status(self, row: StatusRow, *, state: str, said: str) -> ChangeStatus:
        """The status that a row gives the change."""
        return ChangeStatus(
            request=self.request,
            identity=self.identity,
            item_type=self.item_type,
            item=self.item,
            state=state,
            who=row.who,
            said=said,
            since=instant(row.since),
            access_request=row.access_request,
        )


_WHICH: Final = ("request", "identity_id", "item_type", "item_id")
_OTHERS: Final = ("account", "selection", "remove_date")
_STATUS: Final = ("state", "who", "said", "since", "access_request")


def accepted_changes(table: pl.DataFrame) -> list[AcceptedChange]:
    """The lines of ledger.track.TRACK_SCHEMA as changes."""
    changes = []
    columns = ("operation", "accepted_at", *_OTHERS, *_WHICH, *_STATUS)
    for operation, accepted_at, account, selection, remove_date, *which_and_status in table.select(columns).rows():
        request, identity, item_type, item, *status = which_and_status
        which = {"request": request, "identity": identity, "item_type": item_type, "item": item}
        known = ChangeStatus(**which, **dict(zip(_STATUS, status, strict=True))) if status[0] is not None else None
        changes.append(
            AcceptedChange(
                **which,
                operation=Operation(operation),
                accepted_at=datetime.fromisoformat(accepted_at),
                account=account,
                selection=selection,
                remove_date=remove_date,
                known=known,
            )
        )
    return changes


class RunChanges:
    """The accepted changes of a run, found by what a row of the status list says.

    Args:
        run: The run's id.
        changes: Its accepted changes, in the order of their requests.
        restored: Ids of requests that a ledger had lost, and those of the requests that stand in their place.

    Attributes:
        changes: The same; a change is known by its position.
    """

    def __init__(
        self,
        run: str,
        changes: Iterable[AcceptedChange],
        restored: Mapping[RequestId, RequestId] = MappingProxyType({}),
    ) -> None:
        self.changes = tuple(changes)
        self._run = run.lower()
        self._restored = restored
        self._of_pair: dict[Pair, list[int]] = {}
        for position, change in enumerate(self.changes):
            self._of_pair.setdefault((key_of(change.identity), key_of(change.item)), []).append(position)

    def has_pair(self, pair: Pair) -> bool:
        """Whether a change is for that identity and item."""
        return pair in self._of_pair

    def created_for(self, row: StatusRow) -> int | None:
        """For cancelling: the change for which the run created the row; None if not the run, or another type."""
        if (number := self._number(row)) is None:
            return None
        positions = [n for n in self._positions(row) if has_type(row, self.changes[n].item_type)]
        return next(iter(self._of_request(row, number, positions)), None)

    def tracked_by(self, row: StatusRow) -> int | None:
        """For tracking: the change whose state the row shows; None if its request id is not of the run.

        The type only decides between several changes.
        """
        if (number := self._number(row)) is None:
            return None
        found = self._of_request(row, number, self._positions(row))
        if len(found) > 1:
            found = [n for n in found if self.changes[n].item_type == row.item_type]
        return next(iter(found), None)

    def _positions(self, row: StatusRow) -> Sequence[int]:
        return self._of_pair.get(pair_of(row), ())

    def _number(self, row: StatusRow) -> int | None:
        """The number of the run's request; None if the row names no request of the run."""
        name = self._name(row)
        return name.number if name is not None and name.run == self._run else None

    def _name(self, row: StatusRow) -> RequestId | None:
        name = RequestId.read(request_id(row))
        return None if name is None else self._restored.get(name, name)

    def _of_request(self, row: StatusRow, number: int, positions: Sequence[int]) -> Sequence[int]:
        """Those of the changes that the request asked for.

        A divided request has handed its changes over to later requests; rows still carry its own id. So if it has none
        of the changes any more, they are the next later request's that has one. If these are for several accounts, the
        row must tell which.
        """
        if exact := [n for n in positions if self.changes[n].request == number]:
            return exact
        later = [n for n in positions if self.changes[n].request > number]
        if len({self.changes[n].account for n in later}) > 1:
            later = [n for n in later if is_of_account(row, self.changes[n].account)]
        return [n for n in later if self.changes[n].request == self.changes[later[0]].request]

    def of_bare(self, row: StatusRow) -> list[int]:
        """The changes that a row without clientMetadata may be about, in the order of their requests."""
        changes = ((n, self.changes[n]) for n in self._of_pair.get((key_of(row.identity), key_of(row.item)), ()))
        return [
            n
            for n, change in changes
            if has_operation(row, change.operation)
            and has_type(row, change.item_type)
            and is_of_account(row, change.account)
        ]

    def of_access_request(self, row: StatusRow, named: Iterable[int]) -> tuple[Confidence, list[int]]:
        """Which changes a row is about, of those for which the tenant named its access request and identity.

        In later API versions the row's `id` is the request's. The type then decides, if it leaves one change only.
        A row of another operation is about none. One with the id of another run's request only is if the change has
        arrived with it, since the ledger has lost that request.
        """
        if (name := self._name(row)) is not None and name.run != self._run:
            named = [n for n in named if self._has_arrived_with(n, row)]
        changes = ((n, self.changes[n]) for n in named)
        same_type = [n for n, one in changes if has_type(row, one.item_type) and has_operation(row, one.operation)]
        pair = pair_of(row)
        if same_item := [n for n in same_type if key_of(self.changes[n].item) == pair[1]]:
            if len({self.changes[n].account for n in same_item}) > 1:
                same_item = [n for n in same_item if is_of_account(row, self.changes[n].account)]
            return Confidence.LIKELY, same_item
        return Confidence.POSSIBLE, same_type if len(same_type) == 1 and not self.has_pair(pair) else []

    def _has_arrived_with(self, n: int, row: StatusRow) -> bool:
        """Whether the ledger has that access request of a change, and not because the tenant had it already."""
        known = self.changes[n].known
        had = known is None or is_existing(known.state, known.said)
        return known is not None and not had and known.access_request == row.access_request


# Rows and everything that the ledger has.


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerChange:
    """A change that the ledger has.

    Attributes:
        run: Id of its run.
        request: Number of its request.
        state: The request's.
        account: Key of the chosen account, if there are several.
        status: What the tenant last reported of it; None if nothing.
    """

    run: str
    request: int
    state: str
    account: str = ""
    status: ChangeStatus | None = None


def change_in_ledger(
    named: str, access_request: str, changes: Sequence[LedgerChange], *, imported: str
) -> LedgerChange | None:
    """The change of the ledger that a row is about: one that a run submitted, else one that was imported before.

    Args:
        named: Our request id in the row's clientMetadata.
        access_request: The row's access request.
        changes: What the ledger has of the row's identity, type and item, oldest first.
        imported: Id of the run of imported changes.
    """
    return _submitted_change(named, changes, imported) or next(
        (
            change
            for change in changes
            if change.run == imported and change.status and change.status.access_request == access_request
        ),
        None,
    )


def _submitted_change(named: str, changes: Sequence[LedgerChange], imported: str) -> LedgerChange | None:
    """The change that the named request asked for; if that was divided, the change that took over from it."""
    name = RequestId.read(named)
    same_run = [change for change in changes if name is not None and change.run == name.run != imported]
    exact = next((change for change in same_run if name is not None and change.request == name.number), None)
    if exact is None or exact.state not in VOID:
        return exact
    later = (change for change in same_run if change.request > exact.request and change.state == State.ACCEPTED)
    return next((change for change in later if change.account == exact.account), None)


# Rows and wanted changes, whoever requested them.


def with_rows(changes: pl.DataFrame, rows: Iterable[tuple[str, str, str]]) -> pl.DataFrame:
    """The changes that have rows, with `rows`: the positions of all rows of the same identity and item.

    Ids are compared without case and hyphens. Those of items are unique over all types, so a row that gives no type
    matches any.

    Args:
        changes: `identity_id`, `item_type`, `item_id` and any others.
        rows: Of each its identity, item id and type.
    """
    listed = pl.DataFrame(
        [(*row, position) for position, row in enumerate(rows)],
        schema={"identity_id": pl.String, "item_id": pl.String, "type": pl.String, "rows": pl.UInt32},
        orient="row",
    )
    keys = [id_key(pl.col(name)).alias(f"{name}_key") for name in ("identity_id", "item_id")]
    return (
        changes.with_columns(keys)
        .join(listed.select(*keys, "type", "rows"), on=["identity_id_key", "item_id_key"], how="inner")
        .filter((pl.col("type") == "") | (pl.col("type") == pl.col("item_type")))
        .group_by(changes.columns)
        .agg("rows")
    )
