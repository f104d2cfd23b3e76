"""What requests say, hashed for many of them at once: without an object for each request and each of its items."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from batch.ledger import tables as t
from batch.ledger.bulk import Among, at_once

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy.engine import Connection

    from batch.model import RequestItem

_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def content_hash(
    run: str,
    number: int,
    tag: str,
    operation: str,
    recipients: Iterable[str],
    items: Iterable[Sequence[Any]],
    metadata: Sequence[Any] | None,
) -> str:
    """The hash of a request's content.

    Args:
        run: The run's id.
        number: The request's number.
        tag: The random part of its id; empty if it has none.
        operation: Its operation.
        recipients: Their ids, in any order.
        items: Of each its `item_content`; in any order.
        metadata: The run's own, by keys. Without any, the hash is that of older versions. None equals no metadata.
    """
    text = _encode(
        [run, number, tag, operation, sorted(recipients), sorted(items), *([metadata] if metadata != [] else [])]
    )
    return hashlib.sha256(text.encode()).hexdigest()


def item_content(item: RequestItem) -> list[Any]:
    """What a request says of an item."""
    texts = (item.type.value, item.id, item.comment, item.start_date, item.remove_date)
    return [*texts, sorted(item.metadata.items()), *_chosen(item.account, item.selection)]


def row_content(texts: Iterable[str], metadata: str, account: str, selection: str) -> list[Any]:
    """What a request says of an item, from a row: the texts are its type, id, comment and dates."""
    return [*texts, pairs(metadata), *_chosen(account, selection)]


def names_hash(meanings: Iterable[Sequence[str]]) -> str:
    """The hash of what the names in an input mean: of each its kind, name, outcome, id and problem, in their order."""
    digest = hashlib.sha256()
    for row in meanings:
        digest.update(json.dumps(list(row), ensure_ascii=False).encode() + b"\n")
    return digest.hexdigest()


def _chosen(account: str, selection: str) -> tuple[str, ...]:
    """What a request says of a chosen account; nothing without one, as older versions have sealed it."""
    return (account, selection) if account or selection else ()


def contents(connection: Connection, numbers: Iterable[int]) -> Iterator[tuple[int, str | None, str]]:
    """Of each request with one of these numbers, which ascend: its number, its seal as kept, and as it should be.

    The latter is empty if somebody has written what can't be read.
    """
    remaining, most = iter(numbers), at_once(connection)
    while some := list(islice(remaining, most)):
        requests = connection.execute(_REQUESTS, {"numbers": some}).all()
        listed_in = {int(number) for row in requests for number in row.recipients.split() if number.isdigit()}
        people = _people(connection, listed_in)
        items: dict[int, list[list[Any]]] = {}
        for request, *texts, metadata, account, selection in connection.execute(_ITEMS, {"numbers": some}):
            items.setdefault(request, []).append(row_content(texts, metadata, account, selection))
        for number, run, tag, operation, listed, kept, of_run in requests:
            recipients = [people.get(person, "") for person in listed.split()]
            try:
                seal = content_hash(run, number, tag or "", operation, recipients, items.get(number, ()), pairs(of_run))
            except (TypeError, ValueError):
                seal = ""
            yield number, kept, seal


def _people(connection: Connection, numbers: set[int]) -> dict[str, str]:
    """The ids of identities, by their numbers as lists of recipients have them."""
    ordered, found, most = sorted(numbers), {}, at_once(connection)
    for start in range(0, len(ordered), most):
        for number, name in connection.execute(_IDENTITIES, {"numbers": ordered[start : start + most]}):
            found[str(number)] = name
    return found


@lru_cache(maxsize=1000)
def pairs(metadata: str | None) -> Any:
    """Metadata by keys, from JSON; None if that can't be read."""
    try:
        return sorted(json.loads(metadata).items()) if metadata else []
    except (ValueError, TypeError, AttributeError, RecursionError):
        # It equals no metadata that was ever sealed.
        return None


_REQUESTS: Final = (
    sa.select(
        t.request.c.number,
        t.run.c.id,
        t.request.c.tag,
        t.request.c.operation,
        t.request.c.recipients,
        t.request.c.seal,
        t.run.c.metadata,
    )
    .join(t.run, t.run.c.number == t.request.c.run)
    .where(Among(t.request.c.number, "numbers"))
    .order_by(t.request.c.number)
)
_IDENTITIES: Final = sa.select(t.identity.c.id, t.identity.c.external_id).where(Among(t.identity.c.id, "numbers"))
_ITEMS: Final = (
    sa.select(
        t.request_item.c.request,
        t.item.c.type,
        t.item.c.external_id,
        t.detail.c.comment,
        t.detail.c.start_date,
        t.detail.c.remove_date,
        t.detail.c.metadata,
        t.detail.c.account,
        t.detail.c.selection,
    )
    .join(t.item, t.item.c.id == t.request_item.c.item)
    .join(t.detail, t.detail.c.id == t.request_item.c.detail)
    .where(Among(t.request_item.c.request, "numbers"))
)
