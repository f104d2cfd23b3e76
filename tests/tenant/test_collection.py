"""A list of any length and with rows of any size is read in limited memory."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from batch.model import Answer
from batch.tenant.collection import MOST_KEPT, Answered, answers
from batch.tenant.reading import Reply


class Raw(dict[str, Any]):
    """A row that tells whether it is still kept."""


class Question:
    """A list of 10,000 rows at most, of which a name is needed.

    Args:
        rows: How many rows the list has for each value.
        name: How long each row's name is.
    """

    subject = "list of people"
    page_limit = 10
    most_rows = 10_000

    def __init__(self, rows: int, name: int) -> None:
        self._rows = rows
        self._name = name
        self._alive: list[weakref.ref[Raw]] = []
        self.most_alive = 0
        self.asked: list[tuple[str, ...]] = []

    async def ask(self, values: tuple[str, ...], offset: int) -> Reply:
        gc.collect()
        self.most_alive = max(self.most_alive, sum(row() is not None for row in self._alive))
        self.asked.append(values)
        count = min(self.page_limit, self._rows * len(values) - offset)
        rows = tuple(Raw(name=f"{offset + n:0{self._name}}", more="…") for n in range(count))
        self._alive += map(weakref.ref, rows)
        return Reply(answer=Answer(status=200), rows=rows, headers={"x-total-count": str(self._rows * len(values))})

    def read(self, raw: Any) -> str | None:
        return str(raw["name"])

    def answered(self, *values: str) -> list[Answered[str]]:
        async def program() -> list[Answered[str]]:
            return [one async for one in answers(self, [values])]

        return asyncio.run(program())


@pytest.mark.thorough
def test_rows_are_reduced_to_what_is_needed_page_by_page() -> None:
    question = Question(rows=200, name=3)
    (found,) = question.answered("a")
    assert found.rows == tuple(f"{n:03}" for n in range(200))
    assert question.most_alive <= 2 * question.page_limit


@pytest.mark.thorough
@pytest.mark.parametrize("values", [1, 4])
def test_a_list_whose_rows_hold_too_much_is_not_read_to_its_end(values: int) -> None:
    length = MOST_KEPT // 64
    question = Question(rows=1_000, name=length)
    found = question.answered(*map(str, range(values)))
    assert [(one.rows, one.refused) for one in found] == [((), "too many have it in one of their names")] * values
    assert len(question.asked) <= 7 * (2 * values - 1)
