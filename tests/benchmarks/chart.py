"""Draws the README's figures as figure SVG. Needs the `bench` extra."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from matplotlib import rc_context
from matplotlib.figure import Figure as Drawing

from tests.benchmarks import packing, ways

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from tests.benchmarks.figure import Figure

WORKLOADS: Final = ("onboarding", "migration", "sparse")
REQUESTS: Final = "Requests, by way of packing"
WALL_TIME: Final = "Wall time at 100 requests per 10 s, by way of submitting"

GREY, BLUE, LINE = "#76808b", "#2f81f7", "#76808b55"
"""Readable on light and dark pages: the chart is transparent."""

Bars = dict[str, float]
"""Value by way, in drawing order."""


def draw(figures: Sequence[Figure], file: Path) -> None:
    """Write the chart: requests by way of packing, and wall time by way of submitting, if they were measured.

    Args:
        figures: The figures of all benchmarks.
        file: The SVG file.
    """
    packed, timed = _requests(figures), _wall_times(figures)
    rows = [row for row in (packed, timed) if row]
    style = rc_context({
        "svg.hashsalt": packing.OURS, "font.size": 10, "text.color": GREY, "axes.labelcolor": GREY,
        "axes.edgecolor": LINE, "xtick.color": GREY, "ytick.color": GREY, "axes.titlecolor": GREY,
    })  # fmt: skip
    with style:
        bars = [max(len(panel) for panel in row.values()) for row in rows]
        drawing = Drawing(figsize=(10.5, 0.5 * sum(bars) + 0.8 * len(rows)), layout="constrained")
        parts = drawing.subfigures(len(rows), 1, squeeze=False, height_ratios=[count + 1.4 for count in bars])[:, 0]
        for part, row in zip(parts, rows, strict=True):
            part.suptitle(REQUESTS if row is packed else WALL_TIME, weight="bold")
            panels = part.subplots(1, len(row), sharey=True, squeeze=False)[0]
            for axes, (title, panel) in zip(panels, row.items(), strict=True):
                axes.set_title(title, fontsize=10)
                if row is packed:
                    # One change per request needs so many requests that all other bars would look equal.
                    _bars(axes, panel, end=1.35 * sorted(panel.values())[-2], form="{:,.0f}")
                else:
                    _bars(axes, panel, end=1.25 * max(panel.values()), form="{:,.1f} s")
            panels[0].invert_yaxis()
        drawing.supxlabel(
            "\n".join(sorted({figure.measured for figure in figures if figure.benchmark in {packing.NAME, ways.NAME}})),
            fontsize=8,
        )
        drawing.savefig(file, format="svg", transparent=True, metadata={"Date": None})


def _requests(figures: Sequence[Figure]) -> dict[str, Bars]:
    values = {figure.name: figure.value for figure in figures if figure.benchmark == packing.NAME}
    return {
        f"{workload}: {values[f'{workload}: {packing.WAYS[0]}']:,.0f} changes": {
            way: values[f"{workload}: {way}"] for way in packing.WAYS
        }
        for workload in WORKLOADS
        if f"{workload}: {packing.OURS}" in values
    }


def _wall_times(figures: Sequence[Figure]) -> dict[str, Bars]:
    measured = [figure for figure in figures if figure.benchmark == ways.NAME and figure.name.endswith(ways.WALL_TIME)]
    return {
        size: {figure.name.split(": ")[1]: figure.value for figure in of_size}
        for size, of_size in groupby(measured, key=lambda figure: figure.name.split(": ")[0])
    }


def _bars(axes: Axes, bars: Bars, *, end: float, form: str) -> None:
    """One bar for each way. A bar longer than the axis ends with an arrow."""
    for way, value in bars.items():
        colour = BLUE if way == packing.OURS else GREY
        (bar,) = axes.barh(way, min(value, end), color=colour, height=0.65)
        offset: dict[str, Any] = {"textcoords": "offset points", "va": "center"}
        middle, label = bar.get_y() + bar.get_height() / 2, form.format(value)
        if value < end:
            axes.annotate(label, (value, middle), (5, 0), color=colour, **offset)
        else:
            axes.annotate(f"{label}  \N{RIGHTWARDS ARROW}", (end, middle), (-5, 0), color="white", ha="right", **offset)
    axes.set_xlim(0, end)
    axes.set_xticks([])
    axes.tick_params(length=0)
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)
