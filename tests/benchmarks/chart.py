"""Draws the figures that the README shows as one SVG. Needs the `bench` extra."""

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
"""Readable on white and on nearly black alike: the page behind the chart shows through."""

Bars = dict[str, float]
"""Value by way, in the order of drawing."""


def draw(figures: Sequence[Figure], file: Path) -> None:
    """Writes the chart: requests by way of packing, and wall time by way of submitting, where they were measured.

    Args:
        figures: Of all benchmarks.
        file: Where the SVG goes.
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
                    # One change per request is so many times the others that it would make them all look alike.
                    _bars(axes, panel, end=1.35 * sorted(panel.values())[-2], form="{:,.0f}")
                else:
                    _bars(axes, panel, end=1.25 * max(panel.values()), form="{:,.1f} s")
            panels[0].invert_yaxis()
        drawing.supxlabel(
            "\n".join(sorted({one.measured for one in figures if one.benchmark in {packing.NAME, ways.NAME}})),
            fontsize=8,
        )
        drawing.savefig(file, format="svg", transparent=True, metadata={"Date": None})


def _requests(figures: Sequence[Figure]) -> dict[str, Bars]:
    values = {one.name: one.value for one in figures if one.benchmark == packing.NAME}
    return {
        f"{workload}: {values[f'{workload}: {packing.WAYS[0]}']:,.0f} changes": {
            way: values[f"{workload}: {way}"] for way in packing.WAYS
        }
        for workload in WORKLOADS
        if f"{workload}: {packing.OURS}" in values
    }


def _wall_times(figures: Sequence[Figure]) -> dict[str, Bars]:
    measured = [one for one in figures if one.benchmark == ways.NAME and one.name.endswith(ways.WALL_TIME)]
    return {
        size: {one.name.split(": ")[1]: one.value for one in of_size}
        for size, of_size in groupby(measured, key=lambda one: one.name.split(": ")[0])
    }


def _bars(axes: Axes, bars: Bars, *, end: float, form: str) -> None:
    """A bar for each way; one that is longer than the axis runs to its end and has an arrow."""
    for way, value in bars.items():
        colour = BLUE if way == packing.OURS else GREY
        (bar,) = axes.barh(way, min(value, end), color=colour, height=0.65)
        place: dict[str, Any] = {"textcoords": "offset points", "va": "center"}
        middle, label = bar.get_y() + bar.get_height() / 2, form.format(value)
        if value < end:
            axes.annotate(label, (value, middle), (5, 0), color=colour, **place)
        else:
            axes.annotate(f"{label}  \N{RIGHTWARDS ARROW}", (end, middle), (-5, 0), color="white", ha="right", **place)
    axes.set_xlim(0, end)
    axes.set_xticks([])
    axes.tick_params(length=0)
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)
