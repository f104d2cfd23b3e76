"""The charts of a run's report, as SVG within the page: no script, readable in black and white. Pure.

Each is one image with a text alternative; the tables beside it have the numbers.
"""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from batch.report.run_view import Pace, Series

_WIDTH: Final = 560
_HEIGHT: Final = 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 12, 20, 34
_ROW: Final = 22
"""The height of a line of text, which is larger on a phone."""
_DASHES: Final = {"sent": "", "accepted": "6 3", "good": "2 3", "poor": "8 3 2 3"}
"""Lines differ without their colours too."""


def shares(parts: Sequence[tuple[str, str, int]]) -> str:
    """One bar, divided among parts: the name, the look and the number of each."""
    total = sum(number for _, _, number in parts)
    if not total:
        return ""
    said = ", ".join(f"{number:,} {name}" for name, _, number in parts if number)
    pieces, left = [], 0.0
    for name, look, number in parts:
        wide = _WIDTH * number / total
        if number:
            hint = f"<title>{escape(name)}: {number:,}</title>"
            pieces.append(f'<rect class="{look}" x="{left:.1f}" y="0" width="{max(1.0, wide - 1):.1f}" height="22">')
            pieces.append(f"{hint}</rect>\n")
        left += wide
    return _image("shares", 22, f"How the changes stand: {said}.", pieces)


def timeline(series: Sequence[Series]) -> str:
    """How many changes had come how far, over time; empty if no time is known."""
    drawn = [one for one in series if one.points]
    if not drawn:
        return ""
    began = min(one.points[0][0] for one in drawn)
    ended = max(one.points[-1][0] for one in drawn)
    most = max(one.points[-1][1] for one in drawn)
    said = "; ".join(f"{one.name}: {one.points[-1][1]:,}, {_span(one)}" for one in drawn)
    pieces = [*_axes(began, ended, most)]
    for place, one in enumerate(drawn):
        x, y = _x(one.points[0][0], began, ended), _y(0, most)
        path = [f"M{x:.1f} {y:.1f}"]
        for at, number in one.points:
            path.append(f"H{_x(at, began, ended):.1f}V{_y(number, most):.1f}")
        path.append(f"H{_WIDTH - _RIGHT}")
        dash = f' stroke-dasharray="{_DASHES[one.look]}"' if _DASHES.get(one.look) else ""
        pieces.append(f'<path class="{one.look}"{dash} d="{"".join(path)}"/>\n')
        row = _HEIGHT + 16 + _ROW * place
        pieces.append(f'<path class="{one.look}"{dash} d="M{_LEFT} {row - 4}h34"/>')
        pieces.append(f'<text x="{_LEFT + 42}" y="{row}">{escape(one.name)}: {one.total:,}</text>\n')
    return _image("timeline", _HEIGHT + 8 + _ROW * len(drawn), f"Changes over time. {said}.", pieces)


def pace_chart(pace: Pace) -> str:
    """The busiest windows of the run beside the limit; empty if nothing was sent."""
    if not pace.bars:
        return ""
    limit = pace.limit
    most = max(limit.requests, pace.busiest)
    wide = (_WIDTH - _LEFT - _RIGHT) / len(pace.bars)
    pieces = [*_axes(pace.began, pace.ended, most)]
    for place, number in enumerate(pace.bars):
        if number:
            y = _y(number, most)
            x, high = _LEFT + place * wide, _y(0, most) - y
            pieces.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(1.0, wide - 1):.1f}" height="{high:.1f}"/>\n')
    y = _y(limit.requests, most)
    pieces.append(f'<path class="limit" stroke-dasharray="4 3" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>\n')
    pieces.append(f'<text x="{_WIDTH - _RIGHT}" y="{y - 3:.1f}" text-anchor="end">limit: {limit.requests:,}</text>\n')
    said = (
        f"Requests in the busiest {limit.seconds:g} seconds of each part of the time: at most {pace.busiest:,}; the "
        f"limit is {limit.requests:,}."
    )
    return _image("pace", _HEIGHT, said, pieces)


def _image(name: str, height: int, said: str, pieces: Sequence[str]) -> str:
    return (
        f'<svg role="img" aria-labelledby="{name}-chart" viewBox="0 0 {_WIDTH} {height}">\n'
        f'<title id="{name}-chart">{escape(said)}</title>\n{"".join(pieces)}</svg>\n'
    )


def _span(one: Series) -> str:
    return f"from {seconds_in_words(one.points[0][0])} to {seconds_in_words(one.points[-1][0])}"


def _axes(began: float, ended: float, most: int) -> Iterator[str]:
    low = _HEIGHT - _BOTTOM
    for share in (0.5, 1):
        number = round(most * share)
        y = _y(number, most)
        if number and (share == 1 or number != most):
            yield f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>'
            yield f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{number:,}</text>\n'
    yield f'<text x="{_LEFT - 6}" y="{low + 4}" text-anchor="end">0</text>'
    yield f'<path class="axis" d="M{_LEFT} {low}H{_WIDTH - _RIGHT}"/>\n'
    yield f'<text x="{_LEFT}" y="{low + 18}">{seconds_in_words(began)}</text>'
    if ended > began:
        yield f'<text x="{_WIDTH - _RIGHT}" y="{low + 18}" text-anchor="end">{seconds_in_words(ended)}</text>\n'


def _x(at: float, began: float, ended: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * ((at - began) / (ended - began) if ended > began else 0.0)


def _y(number: int, most: int) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * number / max(1, most)


def seconds_in_words(at: float) -> str:
    """Seconds since 1970 as people read them."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
