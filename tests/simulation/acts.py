"""Acts: what an input did is undone by another one, and done again by a third."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from tests.simulation.tenant import pair_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tests.simulation.tenant import Accepted, Pair

MOST_CONTROLS: Final = 3
"""How many other runs come if a doubt needs one."""

Given = tuple["Path", "set[Pair]"]
"""An input file, and what it wants."""


@dataclass(frozen=True, kw_only=True)
class Act:
    """One of a history's acts.

    Attributes:
        number: The first has 0.
        inputs: Several that overlap; the last has everything.
        controls: Other inputs, for each machine as many.
        revoked: What the act revokes; it grants the rest.
        since: How many requested changes the tenant had when the act began.
    """

    number: int
    inputs: Sequence[Given]
    controls: Sequence[Given]
    revoked: set[Pair]
    since: int = 0

    @property
    def wanted(self) -> set[Pair]:
        """Everything that the act's inputs want, but its controls."""
        return self.inputs[-1][1]

    def named(self, text: str) -> str:
        """A name that no other act has."""
        return f"act {self.number + 1} {text}" if self.number else text

    def books(self, books: Sequence[Accepted]) -> Sequence[Accepted]:
        """What the tenant has accepted since the act began."""
        return books[self.since :]


def act_of(
    number: int,
    write: Callable[..., Path],
    pairs: Sequence[Pair],
    comments: Mapping[str, str],
    revoked: set[Pair],
    *,
    since: int = 0,
) -> Act:
    """Write the inputs of an act.

    Args:
        number: The act's.
        write: Writes an input.
        pairs: Everything that is wanted.
        comments: By person; people with one comment share requests.
        revoked: Pairs that the first act revokes; every second act does the opposite.
        since: See `Act`.
    """
    wanted = {pair_key(*pair) for pair in pairs}
    if number:
        comments = {person: f"{comment} act {number + 1}" for person, comment in comments.items()}
    now_revoked = wanted - revoked if number % 2 else revoked
    some = pairs[len(pairs) // 3 :]
    wanted_some = {pair_key(*pair) for pair in some}
    write = partial(write, revoked=now_revoked)
    controls: list[Given] = []
    for control in range(2 * MOST_CONTROLS):
        pair = (f"2c9182000000000000000000000000{number or 0xCC:02x}", f"2c9182{control:026x}")
        controls.append((write(f"control {control}.csv", [pair], {pair[0]: "control"}), {pair_key(*pair)}))
    return Act(
        number=number,
        inputs=[
            (write("some.csv", some, comments), wanted_some),
            (write("other lines.csv", pairs, comments, line_end="\r\n"), wanted),
            (write("capitals.csv", [(who.upper(), what.upper()) for who, what in some], comments), wanted_some),
            (write("input.csv", pairs, comments), wanted),
        ],
        controls=controls,
        revoked=now_revoked,
        since=since,
    )
