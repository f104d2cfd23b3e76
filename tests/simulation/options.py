"""What a seed chooses: the size of a history, the tenant's habits, and the kinds of faults that happen in it."""

from __future__ import annotations

import random
from dataclasses import dataclass, fields
from typing import Final

FAULTS: Final = (
    "kill",
    "freeze",
    "loss",
    "late",
    "too_late",
    "refused",
    "gateway",
    "fails",
    "after",
    "list_fails",
    "wall",
    "drift",
    "other_machine",
    "two_names",
    "odd_rows",
    "behind",
    "spread",
    "tokens",
    "second_process",
    "restore",
    "lose_wal",
    "rows",
    "poison",
    "others",
    "doubled",
    "held",
    "revokes",
    "interrupt",
    "nested",
    "waves",
    "backups",
    "by_hand",
    "undone",
)
"""Every kind of fault; two are none, but wishes of the user that make histories longer: waves, and what is undone."""

ENABLED: Final = frozenset(FAULTS) - {"waves", "undone"}
"""The kinds that histories may have, unless some are chosen."""

EARLIER: Final = ENABLED - {"backups", "by_hand"}
"""The kinds from which histories chose before the others were added: an earlier seed means the same with these."""

INPUTS: Final = 60
"""How many different inputs histories have."""

ODD: Final = ("upper", "lower", "null", "null", "replaced", "replaced", "undated", "epoch", "request's id")
"""What can be odd about the tenant's rows."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What happens in a history.

    Attributes:
        seed: Chose all others.
        faults: Kinds of faults that may happen.
        input: Which input it has. Many histories have the same, so that each is read and planned once.
        people: Identities of the input.
        items: Items of the input.
        groups: People are divided into so many groups, which share no requests.
        density: Share of all pairs that is wanted.
        settle_after: Of the command, in seconds; as are the following.
        timeout: Of one attempt.
        give_up_after: Without success.
        concurrency: Attempts at a time.
        rate: Most calls, and in how many seconds.
        path: Least and most seconds from us to the place where the tenant counts.
        path_assumed: Up to so many seconds, the limit is promised to hold.
        loss: Probability that a message meets a loss of packets.
        late: Probability that an aborted call arrives after all.
        arrives_within: Seconds within which it does.
        gateway: Probability of an error before the tenant.
        fails: Probability that a submit fails before it is processed.
        after: Probability that it fails afterwards.
        listing: How rows become visible: `order`, or `rows` one by one.
        lag: Most seconds until they do.
        page: Most rows of a page.
        count: What the count of rows says: `true`, `zero`, `page`, or `none`.
        oddness: What is odd about rows.
        odd: Probability that a row is odd.
        sends_date: Whether the tenant's answers are dated.
        tenant_ahead: Seconds that its clock is ahead.
        token_life: Seconds that a token lives.
        starts: Processes that are started before faults end.
        api: The command's API version; `v1` has several requests in a body.
        revoked: Share of the input's rows that are revokes.
        held: Share of the granted pairs that people hold already: the tenant creates nothing for them.
        says_held: Probability that the answer to a submit lists what is held.
        doubled: Probability that an answer comes twice.
        interrupted: Probability that somebody presses Ctrl-C while a process works.
        wave: Most changes in a period, and its seconds; None for no waves.
        canary: Requests that go first.
        acts: How often the same pairs are wanted: each act undoes what the last one did.
        team: Whether the machines share the ledger as those of a team do: by the clock of its database.
    """

    seed: int
    faults: frozenset[str]
    input: int
    people: int
    items: int
    groups: int
    density: float
    settle_after: float
    timeout: float
    give_up_after: float
    concurrency: int
    rate: tuple[int, float]
    path: tuple[float, float]
    path_assumed: float
    loss: float
    late: float
    arrives_within: float
    gateway: float
    fails: float
    after: float
    listing: str
    lag: float
    page: int
    count: str
    oddness: str
    odd: float
    sends_date: bool
    tenant_ahead: float
    token_life: float
    starts: int
    api: str
    revoked: float
    held: float
    says_held: float
    doubled: float
    interrupted: float
    wave: tuple[int, float] | None
    canary: int
    acts: int
    team: bool

    @property
    def forgets(self) -> bool:
        """Whether the ledger may be put back to an earlier state."""
        return bool({"restore", "lose_wal", "backups"} & self.faults)

    def __str__(self) -> str:
        return "\n".join(
            f"  {one.name} = {sorted(value) if isinstance(value, frozenset) else value}"
            for one in fields(self)
            for value in (getattr(self, one.name),)
        )


def options_of(seed: int, enabled: frozenset[str] = ENABLED, *, team: bool = False) -> Options:
    """What a seed chooses, on one machine or several, or in a team."""
    chance = random.Random(f"options {seed}")  # noqa: S311 - chosen to be repeatable
    # Sometimes a few kinds, sometimes most of them: each alone can hide another.
    share = chance.choice((0.2, 0.5, 0.8))
    shares = {"waves": 1.0, "undone": 1.0, "too_late": share / 5}  # such a history may have doubles: most must not
    faults = frozenset(
        fault
        for fault in enabled
        if random.Random(f"{seed} {fault}").random() < shares.get(fault, share)  # noqa: S311
    )
    settle_after = chance.choice((5.0, 20.0, 60.0))
    if team:
        faults |= {"other_machine"}
    elif "other_machine" in faults:
        # By a clock that is an hour behind, a dead process of another machine counts as alive for an hour.
        faults -= {"wall"}
    if "too_late" in faults:
        # Who breaks the assumption must see the result.
        faults = (faults | {"late", "loss", "kill"}) - {
            "odd_rows",
            "restore",
            "lose_wal",
            "two_names",
            "poison",
            "held",
            "backups",
            "by_hand",
        }
    if "undone" in faults:
        # What is held, poisoned or settled by hand in one act would be otherwise in the next.
        faults -= {"too_late", "poison", "held", "by_hand", "waves"}
        if "other_machine" in faults:
            # A machine that knows nothing of a put-back takes what was undone since the backup as submitted.
            faults -= {"restore", "lose_wal", "backups"}
    more = random.Random(f"more options {seed}")  # noqa: S311 - likewise
    listing = "order" if "behind" in faults else "rows"
    arrives_within = settle_after * chance.choice((0.3, 0.95))
    if "too_late" in faults:
        arrives_within = settle_after * 4
    rows_lag = 0.5 if "too_late" in faults else settle_after * chance.choice((0.1, 0.5, 0.95))
    oddness = chance.choice(ODD) if "odd_rows" in faults else ""
    # What is poisoned is sent, and settled, again and again; what is not recognised is waited for ten times as long as
    # usual. If the list is late besides, that takes days.
    latest = 0.5 if "poison" in faults or oddness in {"null", "replaced"} else 10.0
    least = chance.choice((0.005, 0.02, 0.1))
    given = random.Random(f"input {seed % INPUTS}")  # noqa: S311 - likewise
    # What is put back several times, or touched by hand, needs commands between which it is.
    more_starts = random.Random(f"starts {seed}").choice((0, 1, 2)) if {"backups", "by_hand"} & faults else 0  # noqa: S311 - likewise
    waves = random.Random(f"waves {seed}")  # noqa: S311 - likewise
    return Options(
        seed=seed,
        faults=faults,
        input=seed % INPUTS,
        people=given.randint(2, 10),
        items=given.randint(1, 3),
        groups=given.choice((3, 6, 12)),
        density=given.choice((0.4, 0.7, 1.0)),
        settle_after=settle_after,
        timeout=chance.choice((5.0, 15.0)),
        give_up_after=chance.choice((60.0, 200.0)),
        concurrency=chance.choice((1, 2, 4, 8)),
        rate=chance.choice(((4, 10.0), (10, 10.0), (20, 10.0), (100, 10.0))),
        path=(0.0, 0.3) if "spread" in faults else (least, least + chance.choice((0.005, 0.05))),
        path_assumed=0.3,
        loss=chance.choice((0.05, 0.2, 0.4)),
        late=chance.choice((0.3, 1.0)),
        arrives_within=arrives_within,
        gateway=chance.choice((0.02, 0.1)),
        fails=chance.choice((0.05, 0.3)),
        after=chance.choice((0.05, 0.3)),
        listing=listing,
        lag=rows_lag if listing == "rows" else settle_after * min(chance.choice((0.5, 3.0, 10.0)), latest),
        page=chance.choice((2, 250, 250)),
        count=chance.choice(("true", "true", "zero", "page", "none")),
        oddness=oddness,
        # A tenant that hides our ids hides them from all rows of a kind: one row that has them shows that it does not.
        odd=1.0 if oddness in {"null", "replaced"} else chance.choice((0.3, 1.0)),
        sends_date=chance.random() < 0.9,
        tenant_ahead=chance.choice((0.0, 0.0, -3.0, 100.0, -86400.0)),
        token_life=chance.choice((10.0, 90.0)) if "tokens" in faults else 749.0,
        # Of few kinds of faults each needs its chance; of all kinds, more histories find more than longer ones.
        starts=chance.choice((1, 1, 2) if enabled >= EARLIER else (1, 2, 3)) + more_starts,
        api="v1" if "nested" in faults else "beta",
        revoked=more.choice((0.2, 0.5, 1.0)) if "revokes" in faults else 0.0,
        held=more.choice((0.1, 0.4, 1.0)) if "held" in faults else 0.0,
        says_held=more.choice((0.0, 0.5, 1.0)),
        doubled=more.choice((0.1, 0.5)) if "doubled" in faults else 0.0,
        interrupted=more.choice((0.3, 0.8)) if "interrupt" in faults else 0.0,
        wave=(waves.choice((1, 2, 3, 5, 10)), waves.choice((60.0, 300.0, 900.0))) if "waves" in faults else None,
        canary=waves.choice((0, 0, 1, 2)) if "waves" in faults else 0,
        acts=random.Random(f"acts {seed}").choice((2, 3)) if "undone" in faults else 1,  # noqa: S311 - likewise
        team=team,
    )
