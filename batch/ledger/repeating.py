"""Repeats what a lost connection has undone."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from batch.ledger.postgresql import BrokenOffError, server_of
from batch.ledger.process import boot_time

if TYPE_CHECKING:
    from collections.abc import Callable

    from batch.ledger.postgresql import Server

_Part = TypeVar("_Part")


def repeated(cls: type[_Part]) -> type[_Part]:
    """Repeats each public method of a class if its connection broke: each is one transaction, and was undone.

    A test proves that no method has two transactions that write.
    """
    for name, method in list(vars(cls).items()):
        if callable(method) and not isinstance(method, type) and not name.startswith("_"):
            setattr(cls, name, _repeating(method))
    return cls


def _repeating(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def until_it_holds(self: Any, *args: Any, **kwargs: Any) -> Any:
        # What can be read only once would be empty the second time.
        args = tuple(list(one) if isinstance(one, Iterator) else one for one in args)
        kwargs = {name: list(one) if isinstance(one, Iterator) else one for name, one in kwargs.items()}
        return insist(server_of(self._engine), lambda: method(self, *args, **kwargs))

    return until_it_holds


_Result = TypeVar("_Result")


def insist(server: Server | None, work: Callable[[], _Result]) -> _Result:
    """Does some work again if its connection broke, until patience is at an end. All of it may be repeated."""
    began, attempt = boot_time(), 0
    while True:
        try:
            return work()
        except BrokenOffError as error:
            if server is None or not server.may_go_on(began, attempt, error.why):
                raise
            attempt += 1
