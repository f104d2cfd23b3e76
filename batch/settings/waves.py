"""The settings of a run that is sent in parts: a canary, and waves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, Field

from batch.settings.option import Option

_PERIODS: Final = {"day": 86400.0, "hour": 3600.0}
_HOW: Final = "write it as N/day or N/hour, such as 500/day, or none"


@dataclass(frozen=True, slots=True)
class WaveSize:
    """The most changes in a wave, and its period in seconds; both are 0 for no waves."""

    changes: int
    seconds: float


def read_wave(value: Any) -> Any:
    """Reads `N/day`, `N/hour`, `N/SECONDS`, or `none`."""
    if value is None or isinstance(value, WaveSize):
        return value
    text = str(value).strip().lower()
    if text == "none":
        return WaveSize(0, 0.0)
    changes, _, period = text.partition("/")
    try:
        size = WaveSize(int(changes), _PERIODS.get(period) or float(period))
    except ValueError:
        raise ValueError(_HOW) from None
    if not (0 < size.changes < 1 << 31 and 0 < size.seconds <= max(_PERIODS.values())):
        raise ValueError(_HOW)
    return size


class WaveSettings(BaseModel):
    """How a run is sent in parts."""

    canary: Annotated[
        int | None,
        Field(ge=0, le=1000),
        Option("Send N requests first, and go on only if their changes end well.", "N", default="no canary"),
    ] = None
    canary_for: Annotated[
        float, Field(ge=0, le=31_536_000), Option("Follow the canary for at most this long.", "SECONDS")
    ] = 3600.0
    tolerate: Annotated[
        float,
        Field(ge=0, le=100),
        Option("Go on if at most PERCENT of what ended was rejected or failed.", "PERCENT"),
    ] = 0.0
    wave: Annotated[
        WaveSize | None,
        BeforeValidator(read_wave),
        Option("Send at most N of the run's changes in any day or hour, and wait in between: N/day, N/hour.", "N/day"),
    ] = None
