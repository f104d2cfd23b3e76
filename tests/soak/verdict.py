"""The verdict on a soak: what the tenant, the ledger and the ended commands say."""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from tests.benchmarks.counting_server import REQUESTS, SECONDS, most_in_a_window
from tests.soak.faults import LEASE
from tests.soak.machines import TAKEN_OVER

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from tests.end_to_end.program import Pair
    from tests.soak.machines import Ended

_UNREACHED: Final = re.compile(
    r"^access-batch: (.*can't be reached[.:]|The connection to \S+ broke off: |\S+ is just starting or ending\.)",
    re.MULTILINE,
)
"""How a command says that it has not reached the database, or not for long enough to look at the ledger."""

_SHOWN: Final = 5
_LAST_LINES: Final = 4


def most_counted(audit: dict[str, Any]) -> int:
    """How many calls the tenant has counted in any window of the limit, at most."""
    return most_in_a_window([datetime.fromisoformat(at).timestamp() for at in audit["counted"]])


def summary(problems: Sequence[str]) -> Iterator[str]:
    """Each kind of problem once, with its first instance and how often it came."""
    kinds = Counter(problem.partition(":")[0] for problem in problems)
    for kind, count in kinds.items():
        first = next(problem for problem in problems if problem.startswith(kind))
        yield first if count == 1 else f"{first} (and {count - 1} more times)"


def problems_at_the_tenant(audit: dict[str, Any], wanted: Collection[Pair]) -> Iterator[str]:
    """What the tenant's audit log shows: changes accepted twice or never, or that nobody wanted; too many calls."""
    accepted = Counter(
        {
            (one["operation"], one["identity"], one["item_type"], one["item_id"]): one["accepted"]
            for one in audit["changes"]
        }
    )
    yield from _some("submitted twice", [pair for pair, times in accepted.items() if times > 1])
    yield from _some("missing", [pair for pair in wanted if not accepted[pair]])
    yield from _some("submitted and never wanted", [pair for pair in accepted if pair not in wanted])
    if (most := most_counted(audit)) > REQUESTS:
        yield f"too fast: the tenant has counted {most} calls in {SECONDS:g} s"


def problems_of(ended: Ended) -> Iterator[str]:
    """What a command may never do, whatever happens around it."""
    if ended.killed:
        return
    # Who finds no server at all at first may have its address wrong.
    allowed = {0, 2, 3, 4} if _UNREACHED.search(ended.err) else {0, 3, 4}
    if ended.code not in allowed:
        yield f"exit code {ended.code}: {_shown(ended)}"
    if not ended.is_json and "--json" in ended.words:
        yield f"not one JSON object on stdout: exit code {ended.code} of {_shown(ended)}"
    if TAKEN_OVER in ended.err and ended.cut_off < LEASE / 2:
        yield f"a live run was taken over: {_shown(ended)}"


def _some(kind: str, pairs: Sequence[Pair]) -> Iterator[str]:
    if pairs:
        more = f" and {len(pairs) - _SHOWN} more" if len(pairs) > _SHOWN else ""
        yield f"changes {kind}: {len(pairs)}, {', '.join(str(pair) for pair in sorted(pairs)[:_SHOWN])}{more}"


def _shown(ended: Ended) -> str:
    last = " | ".join(ended.err.strip().splitlines()[-_LAST_LINES:])
    return f"`{' '.join(ended.words)}` after {ended.seconds:.0f} s: {last}"
