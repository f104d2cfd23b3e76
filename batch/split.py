"""Which smaller requests take over from a refused one, so that the one bad change ends up alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch.model import Part

if TYPE_CHECKING:
    from batch.model import Request


def halve(request: Request) -> tuple[Part, ...]:
    """Two halves of a request, parted between its recipients, or between its items where it has one recipient.

    Returns:
        Nothing where the request is a single change and can't be parted.
    """
    recipients, items = tuple(range(len(request.recipients))), tuple(range(len(request.items)))
    if len(recipients) > 1:
        middle = len(recipients) // 2
        return (
            Part(recipients=recipients[:middle], items=items),
            Part(recipients=recipients[middle:], items=items),
        )
    if len(items) > 1:
        middle = len(items) // 2
        return (Part(recipients=recipients, items=items[:middle]), Part(recipients=recipients, items=items[middle:]))
    return ()
