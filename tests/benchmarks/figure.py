"""A figure that a benchmark measures, with or without a limit."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One measured figure.

    Attributes:
        benchmark: Name of the benchmark.
        name: The measurement and its input.
        value: The value; the median of several runs.
        unit: Unit of the value: `requests`, `s`, `MB`, `times` (a ratio within one run) …
        most: Limit of the value; None without one.
        note: A comparison or an explanation.
        measured: Machine and date.
    """

    benchmark: str
    name: str
    value: float
    unit: str
    most: float | None = None
    note: str = ""
    measured: str = ""

    @property
    def is_kept(self) -> bool:
        """Whether the value keeps its limit; true without one."""
        return self.most is None or self.value <= self.most
