"""What the lists of status rows share: filters whose terms are joined by AND, comparisons of times, and sorters."""

from __future__ import annotations

from datetime import datetime
from operator import eq, ge, gt, le, lt
from typing import TYPE_CHECKING, Any, Final

from batch.sandbox.answers import BadQueryError
from batch.sandbox.filter_ast import AllOf, Term
from batch.sandbox.filters import read_filter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from batch.sandbox.rows import StatusRow

_COMPARISONS: Final[Mapping[str, Callable[[datetime, datetime], bool]]] = {
    "ge": ge,
    "gt": gt,
    "le": le,
    "lt": lt,
    "eq": eq,
    "in": eq,
}


def and_terms(filters: str) -> list[Term]:
    """The terms of a filter. These lists join terms with AND only: the documents have nothing else.

    Raises:
        BadQueryError: The filter can't be read, or joins otherwise.
    """
    if not filters:
        return []
    read = read_filter(filters)
    parts = read.parts if isinstance(read, AllOf) else (read,)
    terms = [part for part in parts if isinstance(part, Term)]
    if len(terms) < len(parts):
        raise BadQueryError("filters may join with and only.")
    return terms


def moment_test(term: Term, time_of: Callable[[StatusRow], datetime]) -> Callable[[StatusRow], bool]:
    """A test of a row's time.

    Raises:
        BadQueryError: The operator does not compare, or a value is no date and time with its zone.
    """
    if term.operator not in _COMPARISONS:
        raise BadQueryError(f"filters does not know {term.field} {term.operator}.")
    compare, moments = _COMPARISONS[term.operator], [read_moment(value) for value in term.values]
    return lambda row: any(compare(time_of(row), moment) for moment in moments)


def read_moment(text: str) -> datetime:
    """A date and time with its zone.

    Raises:
        BadQueryError: It is none.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise BadQueryError(f"filters needs a date and time with its zone, not {text!r}.")
    return moment


def sort_rows(rows: list[StatusRow], sorters: str, sortable: Mapping[str, Callable[[StatusRow], Any]]) -> None:
    """Sort rows in place.

    Args:
        rows: The rows.
        sorters: The parameter: names separated by commas, a minus before those in descending order.
        sortable: The names that are known.

    Raises:
        BadQueryError: A name is unknown.
    """
    # From the last sorter to the first: sorts are stable, so the first sorter decides.
    for sorter in reversed(sorters.split(",") if sorters else []):
        name = sorter.strip().removeprefix("-")
        if name not in sortable:
            raise BadQueryError(f"sorters does not know {name!r}.")
        rows.sort(key=sortable[name], reverse=sorter.strip().startswith("-"))
