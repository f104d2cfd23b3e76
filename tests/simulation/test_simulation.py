"""Histories in a hostile world: nothing is submitted twice, nothing is lost, and nothing hangs.

`python -m tests.simulation --seeds 10000` lets fresh ones happen; `--without PROTECTION` finds seeds for the table.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest
import sqlalchemy as sa

from tests.ledger.ledger_helpers import alter
from tests.simulation.history import live
from tests.simulation.options import EARLIER, ENABLED, options_of
from tests.simulation.seams import clock_of_database

if TYPE_CHECKING:
    from collections.abc import Mapping

NEEDED: Final[Mapping[str, tuple[str, tuple[int, ...]]]] = {
    "linger": ("loss kill", (170,)),
    "recognition": ("odd_rows others loss", (34,)),
    "currency of the list": ("behind loss", (33,)),
    "stale-ledger check": ("restore lose_wal kill", (69, 109)),
    "claim before send": ("kill loss", (26, 35, 63)),
    "compare-and-set": ("freeze other_machine tokens", (23,)),
    "settling before resending": ("loss kill", (7, 8, 10)),
    "two clocks": ("wall loss late", (383,)),
    "margin": ("spread fails gateway", (28, 41)),
    "tenant identity": ("two_names", (9, 10, 13)),
    "in doubt is not submitted": ("rows kill loss", (36,)),
    "token fence": ("freeze other_machine late", (482,)),
    "unread bytes": ("doubled", (0,)),
    "record of the waves": ("waves kill", (0, 1)),
    "clock of the waves": ("waves wall kill", (13,)),
}
"""Histories that go wrong without a protection: the kinds of faults from which each seed chooses, and seeds.

One is enough, but a change of the product can turn a history into another one. If none goes wrong any more, search
again.
"""


NEEDED_IN_TEAMS: Final[Mapping[str, tuple[str, tuple[int, ...]]]] = {
    "the database's clock": ("wall second_process fails gateway after", (277, 429)),
}
"""The same, of machines that share a ledger."""

FAILED: Final = (
    700144,
    1200638,
    1301795,
    1501737,
    1620509,
    1720614,
    1776118,
    1778829,
    1791057,
    1812543,
    1830477,
    1850422,
)
"""Histories that went wrong: only the first recipient of the last accepted request held its access before; settling
waited for ever, as its end came together with an answer; another machine dropped a plan that was not sent yet; a ledger
was put back to before its first answer, and compared only with what came after that; two machines took turns with the
counter of calls; what met two failures by chance was refused by the last command that the history had; a doubt about
what another machine had planned counted as sending it; a machine that did not know that the ledger was put back left
the run of another one alone, sent something else, and then looked no more at what that run had sent; the same, if the
tenant hides our ids; a new run took over what was planned, before anybody saw that the ledger was put back; what was in
doubt at one address, and had been sent to another of the same tenant, was sent again; what another command had found
was put in doubt as lost, and found once more; two doubts of one change counted as two submissions.
"""


LAST: Final = (1922395, 1930938, 1931044, 1944359, 1961293, 1970731, 1971868, 1975465, 1980563, 1991763, 2025807)
"""What went wrong in the last ones, with all kinds of faults: a process was killed within a transaction, and kept the
database from those after it; what a machine did not believe of another one had arrived in its place; what was refused
was submitted by another input; a ledger that had imported everything was put back once more; another machine planned
anew what was on its way while a ledger that was put back was compared; a list without our ids showed what such a ledger
had given up; a request and its part were doubted again, each with the same change; what a lost attempt had put in doubt
had been sent to another address, and the ledger counted as unsound; a command tried for ever to take away what it had
put in doubt itself; a change that had arrived in a lost request stayed unconfirmed for its next attempt; a list that
took minutes to read, or began at the wrong time, counted as late, so that settling waited for hours.
"""


@pytest.mark.parametrize("seed", [*range(4), *(pytest.param(seed, marks=pytest.mark.thorough) for seed in LAST)])
def test_every_change_is_submitted_exactly_once_whatever_happens(seed: int) -> None:
    outcome = live(options_of(seed))
    assert outcome.problems == ()


UNDONE: Final = (444, 978, 1059, 1137, 10175)
"""What went wrong if everything was undone, and done again, and the ledger was put back to any time before: an imported
request counted as newer, or older, than it was; what was undone counted as an arrival; a request that was taken over
for the opposite hid that it had arrived; a request was doubted again although its parts had been accepted.
"""


@pytest.mark.parametrize("seed", [2, *(pytest.param(seed, marks=pytest.mark.thorough) for seed in UNDONE)])
def test_what_is_undone_and_done_again_is_submitted_once_each_time(seed: int) -> None:
    outcome = live(options_of(seed, ENABLED | {"undone"}))
    assert outcome.problems == ()


@pytest.mark.thorough
@pytest.mark.parametrize("seed", FAILED)
def test_a_history_that_went_wrong_once_does_so_no_more(seed: int) -> None:
    outcome = live(options_of(seed, EARLIER))
    assert outcome.problems == ()


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.thorough) for seed in (0, 2))])
def test_machines_that_share_a_ledger_submit_every_change_exactly_once_whatever_their_clocks_show(seed: int) -> None:
    outcome = live(options_of(seed, team=True))
    assert outcome.problems == ()


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.thorough) for seed in (0, 2, 3))])
def test_runs_that_are_sent_in_waves_keep_to_them_whatever_happens_and_come_to_their_end(seed: int) -> None:
    outcome = live(options_of(seed, ENABLED | {"waves"}, team=seed == 3))
    assert outcome.problems == ()


@pytest.mark.postgresql
@pytest.mark.parametrize("seed", [pytest.param(1, marks=pytest.mark.also_postgresql), 3, 4, 6, 7, 10])
def test_histories_on_a_real_database_are_as_good(postgresql: str, seed: int) -> None:
    alter(postgresql, *clock_of_database(str(sa.make_url(postgresql).database)))
    outcome = live(options_of(seed, ENABLED - {"restore", "lose_wal"}, team=True), database=postgresql)
    assert outcome.problems == ()


@pytest.mark.postgresql
def test_waves_on_a_real_database_are_kept_too(postgresql: str) -> None:
    alter(postgresql, *clock_of_database(str(sa.make_url(postgresql).database)))
    faults = (ENABLED | {"waves"}) - {"restore", "lose_wal"}
    outcome = live(options_of(3, faults, team=True), database=postgresql)
    assert outcome.problems == ()


@pytest.mark.thorough
@pytest.mark.parametrize("protection", [*NEEDED, *NEEDED_IN_TEAMS])
def test_each_protection_is_needed(protection: str) -> None:
    kinds, seeds = {**NEEDED, **NEEDED_IN_TEAMS}[protection]
    team = protection in NEEDED_IN_TEAMS
    histories = [options_of(seed, frozenset(kinds.split()), team=team) for seed in seeds]
    failing = next((options for options in histories if live(options, protection=protection).problems), None)
    assert failing is not None
    assert live(failing).problems == ()


def test_a_seed_always_leads_to_the_same_history() -> None:
    assert len({live(options_of(4)).hash for _ in range(2)}) == 1


@pytest.mark.thorough
def test_an_undisturbed_run_makes_hardly_more_calls_than_it_has_requests() -> None:
    quiet = options_of(0, frozenset())
    # People in a group of their own share no request.
    outcome = live(replace(quiet, people=1000, items=1, density=1.0, groups=10**9, rate=(100, 10.0), concurrency=8))
    assert outcome.problems == ()
    calls = [event for event in outcome.events if " tenant: call " in event]
    assert sum("POST /beta/access-requests: 202" in call for call in calls) == 1000
    assert len(calls) <= 1010
