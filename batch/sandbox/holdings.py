"""The access that identities hold: from the start, set by tests, and from completed requests."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from batch.api.dialects import ItemType, Operation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from batch.sandbox.directory import Held
    from batch.sandbox.rows import Rows, StatusRow

ALWAYS: Final = datetime(2020, 1, 1, tzinfo=UTC)
"""Start of access that was not requested."""

ItemKey = tuple[ItemType, str]
"""Type and id of an item."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Holding:
    """A period of access.

    Attributes:
        since: Its start.
        until: Its end; None for no end.
        revocable: Whether a request can revoke it: not if a role or a lifecycle state gives it.
        account: Native identity of the account that was chosen for it; empty if none was.
    """

    since: datetime
    until: datetime | None = None
    revocable: bool = True
    account: str = ""


class Holdings:
    """Access by identity.

    Args:
        held: Access from the start.
        birthright: The part of it that no request can revoke.
        rows: The requests. Their completion grants and revokes access.
    """

    def __init__(self, held: Iterable[Held], rows: Rows, birthright: frozenset[Held] = frozenset()) -> None:
        self._without_request: defaultdict[str, list[tuple[ItemKey, Holding]]] = defaultdict(list)
        self._rows = rows
        for access in held:
            identity, item_type, item_id = access
            self.hold(identity, (item_type, item_id), Holding(since=ALWAYS, revocable=access not in birthright))

    def hold(self, identity: str, item: ItemKey, holding: Holding) -> None:
        """Give an identity an item without a request."""
        self._without_request[identity].append((item, holding))

    def __contains__(self, identity: object) -> bool:
        """Whether an identity has ever held an item or has any request."""
        return isinstance(identity, str) and (
            identity in self._without_request or bool(self._rows.of_identity(identity))
        )

    def __iter__(self) -> Iterator[str]:
        """All such identities, each once."""
        return iter({*self._without_request, *(row.change.identity for row in self._rows.everything())})

    def at(self, identity: str, moment: datetime) -> Mapping[ItemKey, Holding]:
        """The access of an identity at one time, on whichever account."""
        return {item: holding for (item, _), holding in self.by_account(identity, moment).items()}

    def by_account(self, identity: str, moment: datetime) -> Mapping[AccountKey, Holding]:
        """The access of an identity at one time, for each account that was chosen."""
        events: list[_Event] = [
            (holding.since, (item, holding.account), holding)
            for item, holding in self._without_request.get(identity, ())
        ]
        events += _completions(self._rows.of_identity(identity))
        held: dict[AccountKey, Holding] = {}
        for since, key, holding in sorted(events, key=lambda event: event[0]):
            if since > moment:
                break
            if holding is not None:
                held[key] = holding
            elif key[1]:
                held.pop(key, None)
            else:
                held = {other: kept for other, kept in held.items() if other[0] != key[0]}
        return {key: holding for key, holding in held.items() if holding.until is None or moment < holding.until}


AccountKey = tuple[ItemKey, str]
"""An item, and the native identity of the chosen account; empty if none was chosen."""

_Event = tuple[datetime, AccountKey, Holding | None]
"""A time, an item on an account, and the access from then on; None if it ends."""


def _completions(rows: Iterable[StatusRow]) -> Iterator[_Event]:
    """The events that requests cause. A revoke with a date takes effect on that date."""
    for row in rows:
        completed = row.completed()
        if completed is None:
            continue
        start, until = _date(row, "startDate"), _date(row, "removeDate")
        since = completed if start is None else max(completed, start)
        account = row.change.account
        key = ((row.change.item_type, row.change.item_id), account)
        if row.change.operation is Operation.GRANT:
            yield since, key, Holding(since=since, until=until, account=account)
        else:
            yield until or since, key, None


def _date(row: StatusRow, name: str) -> datetime | None:
    return datetime.fromisoformat(row.item[name]) if name in row.item else None


def assignment_id(identity: str, key: AccountKey) -> str:
    """Id of the assignment of a role on an account."""
    return blake2b(repr((identity, key)).encode(), digest_size=16).hexdigest()
