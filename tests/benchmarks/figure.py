"""What a benchmark measures: figures, some with a limit that they must keep."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One measured figure.

    Attributes:
        benchmark: Which benchmark it belongs to.
        name: What was measured, on which input.
        value: The median where it was measured several times.
        unit: Of the value: `requests`, `s`, `MB`, `times` (a ratio in one run) …
        most: What the value must not exceed; None where nothing is promised.
        note: What it is compared with, or how it came about.
        measured: On which machine, and when.
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
        """Whether the promise is kept, where there is one."""
        return self.most is None or self.value <= self.most
