"""The pace, in virtual time with a real ledger: never above the tenant's limit, and hardly below."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections import defaultdict
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batch.api.dialects import Rate
from batch.api.rate_window import HOLD, LONGEST_SILENCE, SPREAD, USED_WITHIN
from batch.errors import LedgerLostError
from batch.ledger.calls import RateKey
from batch.model import Clock
from batch.tenant.pace import Pace
from tests.clocks import VIRTUAL
from tests.ledger.ledger_helpers import ACCEPTED, ME, a_process, alter, open_ledger
from tests.tenant.open_calls import UNLIMITED, Events, OpenCalls, open_pace
from tests.tenant.virtual_time import now, run_in_virtual_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from batch.api.rate_window import Permits
    from batch.ledger.process import Process
    from batch.ledger.store import Ledger
    from batch.tenant.pace import Counter, Permit

DOCUMENTED = Rate(requests=100, seconds=10.0)
PATH = 0.075
"""The least time that a call takes to where it is counted."""

LANE = RateKey(tenant="https://tenant.example", client="client", dialect="beta")


def machine(*, ahead: float = 0, boot: str = "virtual", booted_at: float = 0) -> Clock:
    """The clock of a machine whose wall clock is ahead by some seconds."""
    return Clock(now=lambda: VIRTUAL.now() + timedelta(seconds=ahead), monotonic=lambda: now() - booted_at, boot=boot)


class World:
    """A ledger, and a tenant that counts calls when they arrive."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.arrivals: list[float] = []
        self.permitted: list[float] = []
        self.events = Events()
        self.random = Random(7)  # noqa: S311 - repeatable
        self.lost = 0.1
        self.claim_takes = 0.0

    def pace(
        self,
        rate: Rate = DOCUMENTED,
        *,
        process: Process = ME,
        rate_key: RateKey = LANE,
        clock: Clock = VIRTUAL,
    ) -> Pace:
        calls = self.ledger.calls(rate_key, rate=rate, process=process, clock=clock)
        return Pace(rate, calls, tell=self.events.append, clock=clock)

    async def call(self, permit: Permit, lives: Callable[[], bool] = lambda: True) -> None:
        """A call that takes a moment to leave, up to 0.3 s longer than others to be counted, and a while to answer."""
        await permit.due()
        self.permitted.append(now())
        await asyncio.sleep(self.random.uniform(0, 0.03))
        if not lives():
            return
        permit.on_sent()
        await asyncio.sleep(PATH + self.random.choice((0, 0.3, self.random.uniform(0, 0.3))))
        self.arrivals.append(now())
        if self.random.random() >= self.lost:
            late = self.random.choice((0, 12, self.random.uniform(0, 0.4)))
            asyncio.get_running_loop().call_later(late, permit.on_answer, ACCEPTED)

    async def send(self, pace: Pace, count: int, *, most: int = 10, lives: Callable[[], bool] = lambda: True) -> None:
        """Makes so many calls, as long as the process lives."""
        calls, left = [], count
        while left:
            permits = await pace.wait(most=min(most, left), to_come=left, ahead=True)
            left -= len(permits)
            await asyncio.sleep(self.claim_takes)
            calls += [asyncio.create_task(self.call(permit, lives)) for permit in permits]
        await asyncio.gather(*calls)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        yield World(ledger)


def assert_never_too_many(moments: list[float], rate: Rate = DOCUMENTED) -> None:
    ordered = sorted(moments)
    for first, after in zip(ordered, ordered[rate.requests :], strict=False):
        assert after - first >= rate.seconds


@pytest.mark.parametrize("lost", [0.1, 1.0])
def test_no_window_exceeds_the_limit_and_nearly_all_of_it_is_used(lost: float, world: World) -> None:
    world.lost = lost
    run_in_virtual_time(world.send(world.pace(), 1000))
    assert_never_too_many(world.arrivals)
    # After the first window, which begins empty.
    steady = world.permitted[150:]
    assert (len(steady) - 1) / (steady[-1] - steady[0]) * 10 / 100 >= 0.965


def test_more_calls_than_a_window_holds_are_spread_from_the_first(world: World) -> None:
    run_in_virtual_time(world.send(world.pace(), 150))
    assert world.permitted[50] - world.permitted[0] > 4.5


@pytest.mark.parametrize("shorter", [Rate(requests=20, seconds=5), Rate(requests=15, seconds=1.5)])
def test_calls_under_a_rate_of_shorter_windows_count_in_the_longer_ones_of_others(shorter: Rate, world: World) -> None:
    async def program() -> None:
        await world.send(world.pace(shorter, process=a_process(2)), 95)
        await world.send(world.pace(process=a_process(3)), 100)

    run_in_virtual_time(program())
    assert_never_too_many(world.arrivals)


@pytest.mark.parametrize("seed", range(4))
def test_processes_with_rates_over_different_windows_keep_the_documented_limit_together(
    seed: int, world: World
) -> None:
    rates = [DOCUMENTED, Rate(requests=50, seconds=10), Rate(requests=20, seconds=5), Rate(requests=15, seconds=1.5)]
    chance = Random(seed)  # noqa: S311 - repeatable

    async def work(number: int, begins: float, rate: Rate) -> None:
        await asyncio.sleep(begins)
        pace = world.pace(rate, process=a_process(number))
        await world.send(pace, 40)
        await pace.aclose()

    async def program() -> None:
        await asyncio.gather(*(work(number, chance.uniform(0, 20), chance.choice(rates)) for number in range(2, 14)))

    run_in_virtual_time(program())
    assert len(world.arrivals) == 12 * 40
    assert_never_too_many(world.arrivals)


class Asked:
    """Records how many permits are wanted."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self.wanted: list[int] = []

    def permit(self, *, wanted: int, counted: Mapping[int, float | None], ahead: float = 0.0) -> Permits:
        self.wanted.append(wanted)
        return self._counter.permit(wanted=wanted, counted=counted, ahead=ahead)

    def silence(self, *, seconds: float, permitted_at: float, violated: bool) -> None:
        self._counter.silence(seconds=seconds, permitted_at=permitted_at, violated=violated)


@pytest.mark.parametrize(("seconds", "at_once"), [(0.001, 5), (0.1, 9), (0.4, 20)])
def test_the_longer_asking_takes_the_more_permits_are_taken_at_once(seconds: float, at_once: int, world: World) -> None:
    asked = Asked(world.ledger.calls(LANE, rate=DOCUMENTED, process=ME, clock=VIRTUAL))
    pace = Pace(DOCUMENTED, asked, tell=world.events.append, clock=VIRTUAL)
    run_in_virtual_time(world.send(pace, 400, most=100), work_takes=seconds)
    assert max(asked.wanted) == pytest.approx(at_once, abs=1)
    assert_never_too_many(world.arrivals)


@pytest.mark.parametrize(("far", "least"), [(0.06, 0.96), (0.25, 0.95)])
def test_machines_far_from_their_ledger_use_nearly_all_of_the_limit(far: float, least: float, world: World) -> None:
    """Permits are given ahead, since asking for them takes a while, and the claim some more."""
    world.claim_takes = far

    async def program() -> None:
        paces = [world.pace(process=a_process(n, host=f"host {n}")) for n in (1, 2, 3)]
        await asyncio.gather(*(world.send(pace, 250, most=100) for pace in paces))

    run_in_virtual_time(program(), work_takes=far)
    assert_never_too_many(world.arrivals)
    steady = sorted(world.permitted)[150:]
    assert (len(steady) - 1) / (steady[-1] - steady[0]) * 10 / 100 >= least


@pytest.mark.parametrize("count", [1, 60, 100])
def test_calls_that_fit_into_the_window_leave_at_once(count: int, world: World) -> None:
    run_in_virtual_time(world.send(world.pace(), count))
    assert world.permitted[-1] - world.permitted[0] < 0.5
    assert len(world.arrivals) == count


def test_the_window_survives_a_restart(world: World) -> None:
    async def program() -> None:
        for run in range(10):
            dead = a_process(run + 2, host=ME.machine)
            await world.send(world.pace(process=dead), 60)

    run_in_virtual_time(program())
    assert_never_too_many(world.arrivals)
    assert len(world.arrivals) == 600
    assert max(seconds for seconds, _ in world.events.waits) > 2
    assert {reason for _, reason in world.events.waits} == {"the limit of the last 10 s is used up"}


def test_three_processes_on_one_ledger_keep_one_limit_together(world: World) -> None:
    async def program() -> None:
        paces = [world.pace(process=a_process(n, host=f"host {n}")) for n in (1, 2, 3)]
        await asyncio.gather(*(world.send(pace, 250) for pace in paces))

    run_in_virtual_time(program())
    assert_never_too_many(world.arrivals)
    assert (world.arrivals[-1] - world.arrivals[0]) <= 7.5 * 10.2


def test_each_client_and_api_version_has_its_own_limit(world: World) -> None:
    lanes = [
        LANE,
        RateKey(tenant=LANE.tenant, client="another", dialect="beta"),
        RateKey(tenant=LANE.tenant, client="client", dialect="v3"),
        RateKey(tenant="https://other.example", client="client", dialect="beta"),
    ]

    async def program() -> None:
        await asyncio.gather(*(world.send(world.pace(rate_key=rate_key), 100) for rate_key in lanes))

    run_in_virtual_time(program())
    assert world.arrivals[-1] - world.arrivals[0] < 1


def test_a_process_that_takes_a_smaller_share_counts_the_calls_of_the_others(world: World) -> None:
    async def program() -> float:
        await world.send(world.pace(), 50)
        began = now()
        await world.send(world.pace(Rate(requests=50, seconds=10), process=a_process(2)), 1)
        return now() - began

    assert run_in_virtual_time(program()) == pytest.approx(10, abs=0.5)


def test_unreported_calls_of_a_killed_process_count_from_when_its_end_is_noticed(
    world: World,
) -> None:
    async def program() -> float:
        killed = world.pace(process=a_process(999_999_999, host=ME.machine))
        while len(world.permitted) < 100:
            world.permitted += [now() for _ in await killed.wait(most=10, to_come=100 - len(world.permitted))]
        await asyncio.sleep(100)
        began = now()
        await world.send(world.pace(), 1)
        return now() - began

    assert run_in_virtual_time(program()) == pytest.approx(10 + SPREAD, abs=0.5)


def test_a_call_that_has_not_left_counts_while_its_process_lives(world: World) -> None:
    async def program() -> float:
        held: list[Permit] = []
        pace = world.pace()
        while len(held) < 100:
            held += await pace.wait(most=10, to_come=100 - len(held))
        asyncio.get_running_loop().call_later(60, held[0].on_sent)
        began = now()
        await world.send(world.pace(), 1)
        return now() - began

    assert run_in_virtual_time(program()) == pytest.approx(70, abs=0.5)


def test_an_unused_permit_goes_to_others(world: World) -> None:
    async def program() -> float:
        pace = world.pace()
        for _ in range(100):
            for permit in await pace.wait(to_come=1):
                permit.unused()
                permit.on_sent()
        began = now()
        await world.send(pace, 100)
        return now() - began

    assert run_in_virtual_time(program()) < 1


def test_the_tenants_silence_holds_for_every_process_and_survives_a_restart(world: World) -> None:
    async def program() -> tuple[float, float]:
        pace = world.pace()
        await world.send(pace, 1)
        began = now()
        await pace.pause(300)
        await asyncio.sleep(100)
        later = world.pace(process=a_process(2))
        await world.send(later, 1)
        return now() - began, later.silenced

    waited, silenced = run_in_virtual_time(program())
    assert waited == pytest.approx(300, abs=0.5)
    assert silenced == pytest.approx(200, abs=0.5)
    ((seconds, reason),) = world.events.waits
    assert seconds == pytest.approx(200, abs=0.5)
    assert reason == "the tenant has asked us to wait"


@pytest.mark.parametrize(("second", "silent_for"), [(60, 65), (1, 30)], ids=["longer", "shorter"])
def test_a_second_pause_can_only_prolong_the_first(second: float, silent_for: float, world: World) -> None:
    async def program() -> float:
        pace = world.pace()
        began = now()
        await pace.pause(30)
        waiting = asyncio.create_task(world.send(pace, 1))
        await asyncio.sleep(5)
        await pace.pause(second)
        await waiting
        return now() - began

    assert run_in_virtual_time(program()) == pytest.approx(silent_for, abs=0.5)


def test_a_backoff_holds_only_its_own_process(world: World) -> None:
    async def program() -> tuple[float, float, float]:
        pace = world.pace()
        began = now()
        pace.hold(20)
        await world.send(world.pace(process=a_process(2)), 1)
        other = now() - began
        await world.send(pace, 1)
        return other, now() - began, pace.silenced

    other, own, silenced = run_in_virtual_time(program())
    assert other < 0.5
    assert own == pytest.approx(20, abs=0.5)
    assert silenced == 0


def test_a_violation_halves_the_pace_which_is_held_and_climbs_back(world: World) -> None:
    async def program() -> None:
        pace = world.pace()
        await world.send(pace, 1)
        await pace.pause(10, permitted_at=now(), violated=True)
        await world.send(pace, 2000)

    run_in_virtual_time(program())
    assert_never_too_many(world.arrivals)
    began = world.permitted[1]
    per_window = defaultdict[int, int](int)
    for moment in world.permitted[1:]:
        per_window[int((moment - began) // 10)] += 1
    assert {per_window[n] for n in range(1, int(HOLD // 10) - 1)} <= {48, 49, 50}
    assert per_window[14] > 50
    assert per_window[23] >= 93
    assert world.events.allowed[0] == 50
    assert world.events.allowed == sorted(world.events.allowed)
    assert world.events.allowed[-1] == 100


def test_calls_turned_away_together_are_one_violation(world: World) -> None:
    async def program() -> None:
        pace = world.pace()
        permits = [*await pace.wait(), *await pace.wait()]
        for permit in permits:
            permit.on_sent()
            await pace.pause(1, permitted_at=permit.given_at, violated=True)
        await world.send(pace, 1)

    run_in_virtual_time(program())
    assert world.events.allowed == [50]


def test_a_clock_set_back_does_not_prolong_a_silence(world: World) -> None:
    async def program() -> float:
        pace = world.pace()
        await world.send(pace, 100)
        await pace.pause(30)
        await pace.aclose()
        later = world.pace(process=a_process(2), clock=machine(ahead=-5000))
        began = now()
        await world.send(later, 1)
        return now() - began

    assert run_in_virtual_time(program()) == pytest.approx(30, abs=0.5)


def test_callers_take_turns_in_order(world: World) -> None:
    async def program() -> list[int]:
        pace, order = world.pace(), list[int]()

        async def call(number: int) -> None:
            (permit,) = await pace.wait(to_come=150)
            permit.on_sent()
            order.append(number)

        await asyncio.gather(*(call(number) for number in range(150)))
        return order

    assert run_in_virtual_time(program()) == list(range(150))


def test_a_cancelled_caller_holds_up_no_other(world: World) -> None:
    async def program() -> float:
        pace = world.pace()
        began = now()
        await pace.pause(30)
        impatient, patient = asyncio.create_task(pace.wait()), asyncio.create_task(pace.wait())
        await asyncio.sleep(1)
        impatient.cancel()
        await patient
        return now() - began

    assert run_in_virtual_time(program()) == pytest.approx(30, abs=0.5)


def test_a_wall_clock_that_jumps_changes_nothing(world: World) -> None:
    async def program() -> None:
        for run, ahead in enumerate((0, 60, -3600, 86_400, 0)):
            process = a_process(run + 2, host=ME.machine)
            await world.send(world.pace(process=process, clock=machine(ahead=ahead)), 90)

    run_in_virtual_time(program())
    assert_never_too_many(world.arrivals)
    assert world.arrivals[-1] - world.arrivals[0] < 50


def test_after_a_boot_one_window_passes_before_the_first_call(world: World) -> None:
    async def program() -> list[float]:
        took = []
        for boot in range(4):
            began = now()
            clock = machine(boot=f"boot {boot}", booted_at=began - 5, ahead=boot * 3600)
            pace = world.pace(process=a_process(boot + 2, host=f"boot {boot}"), clock=clock)
            await world.send(pace, 100)
            took.append(now() - began)
            await pace.aclose()
        return took

    first, *later = run_in_virtual_time(program())
    assert first < 1
    assert all(10.3 < took < 11.5 for took in later)
    assert_never_too_many(world.arrivals)


def test_calls_that_an_older_version_counted_by_the_wall_clock_hold_one_window_back(
    world: World, tmp_path: Path
) -> None:
    async def program() -> float:
        pace = world.pace()
        await world.send(pace, 100)
        await pace.aclose()
        alter(tmp_path / "ledger.db", "UPDATE pace SET boot = NULL, epoch = 0")
        began = now()
        await world.send(world.pace(process=a_process(2)), 100)
        return now() - began

    assert 10.3 < run_in_virtual_time(program()) < 11.5
    assert_never_too_many(world.arrivals)


def test_where_no_boot_is_known_each_process_waits_a_window_and_then_all_get_on(world: World) -> None:
    async def program() -> float:
        unknown = machine(boot="")
        await world.send(world.pace(clock=unknown), 50)
        began = now()
        later = [world.pace(process=a_process(n, host=f"host {n}"), clock=unknown) for n in (2, 3)]
        await asyncio.gather(*(world.send(pace, 100) for pace in later))
        return now() - began

    assert 10.3 < run_in_virtual_time(program()) < 45
    assert_never_too_many(world.arrivals)


def test_two_machines_on_one_file_take_turns(world: World) -> None:
    async def program() -> None:
        paces = [
            world.pace(process=a_process(n, host=f"host {n}"), clock=machine(boot=f"boot {n}", booted_at=n * 500))
            for n in (1, 2)
        ]
        await asyncio.gather(*(world.send(pace, 150) for pace in paces))

    run_in_virtual_time(program())
    assert_never_too_many(world.arrivals)
    assert len(world.arrivals) == 300
    assert world.arrivals[-1] - world.arrivals[0] < 60


@pytest.mark.parametrize(("set_to", "waits"), [(0, 200), (-86_400, 300), (60, 140)], ids=["right", "back", "forward"])
def test_a_silence_outlasts_a_boot_by_the_wall_clock_and_never_grows(set_to: float, waits: float, world: World) -> None:
    async def program() -> float:
        pace = world.pace()
        await world.send(pace, 1)
        await pace.pause(300)
        await pace.aclose()
        await asyncio.sleep(89.7)
        began = now()
        clock = machine(boot="next", booted_at=began, ahead=set_to)
        await world.send(world.pace(process=a_process(2), clock=clock), 1)
        return now() - began

    # A window passes first.
    assert run_in_virtual_time(program()) == pytest.approx(10.3 + waits, abs=0.5)


DEAD = "'elsewhere', 999999, 1.0"
DAMAGES = {
    "silent_until = 1e15": LONGEST_SILENCE,
    "silent_until = 9e999": 0,
    "silent_since = 1e15, silent_until = 1e16": LONGEST_SILENCE,
    "silent_since = -1e15, silent_until = 1e15": 0,
    "silent_until = 'for ever'": 0,
    "cut_to = -5": 0,
    "cut_to = 9e999": 0,
    "cut_to = 'all'": 0,
    "cut_at = 9e999": 0,
    "cut_at = 'never'": 0,
    "longest = 1e15": 0,
    "longest = 'long'": 0,
    "epoch = 9e999": 0,
    "calls = 'many'": 0,
    "calls = 'a' || char(0) || 'b'": 0,
    "calls = 9223372036854775807": 0,
    "calls = 1e308": 0,
    "calls = 1e308, longest = 'long', epoch = 9e999": 0,
}
"""Numbers that a damaged ledger may hold, and the seconds that they may hold a process up."""


@pytest.mark.parametrize("boot", ["virtual", "next"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_no_number_in_the_ledger_holds_a_process_up_for_more_than_a_day(
    damage: str, boot: str, world: World, tmp_path: Path
) -> None:
    async def program() -> float:
        pace = world.pace()
        await world.send(pace, 1)
        await pace.aclose()
        alter(tmp_path / "ledger.db", "PRAGMA ignore_check_constraints = ON", f"UPDATE pace SET {damage}")  # noqa: S608
        began = now()
        clock = VIRTUAL if boot == "virtual" else machine(boot=boot)
        await world.send(world.pace(process=a_process(2), clock=clock), 100)
        return now() - began

    # A cut share takes longer, and so does a boot, after which a window passes.
    assert run_in_virtual_time(program()) < DAMAGES[damage] + 600
    assert_never_too_many(world.arrivals)


def test_a_share_that_was_cut_in_the_future_climbs_back(world: World, tmp_path: Path) -> None:
    async def program() -> None:
        pace = world.pace()
        await world.send(pace, 1)
        await pace.aclose()
        alter(tmp_path / "ledger.db", "UPDATE pace SET cut_to = 0.0625, cut_at = 1e15")
        await world.send(world.pace(process=a_process(2)), 1500)

    run_in_virtual_time(program())
    assert world.events.allowed[-1] == 100


@pytest.mark.thorough
@pytest.mark.parametrize("permitted_at", ["1e15", "-1e15", "9e999", "'later'"])
def test_calls_that_nobody_will_report_hold_a_process_up_for_a_window_only(
    permitted_at: str, world: World, tmp_path: Path
) -> None:
    async def program() -> float:
        pace = world.pace()
        await world.send(pace, 1)
        await pace.aclose()
        calls = (
            "INSERT INTO call (pace, number, counted_by, machine, pid, process_started, permitted_at) "  # noqa: S608
            f"SELECT id, {number}, NULL, {DEAD}, {permitted_at} FROM pace"
            for number in range(1001, 1201)
        )
        alter(tmp_path / "ledger.db", *calls)
        began = now()
        await world.send(world.pace(process=a_process(2)), 1)
        return now() - began

    assert run_in_virtual_time(program()) < 200


class Mortal:
    """A process that asks for permits until it is killed."""

    def __init__(self, world: World, number: int, rate: Rate, clock: Clock) -> None:
        self.lives = True
        self._calls = world.ledger.calls(LANE, rate=rate, process=a_process(number, host=f"host {number}"), clock=clock)
        self.pace = Pace(rate, self, tell=world.events.append, clock=clock)

    def permit(self, *, wanted: int, counted: Mapping[int, float | None], ahead: float = 0.0) -> Permits:
        self._live()
        return self._calls.permit(wanted=wanted, counted=counted, ahead=ahead)

    def silence(self, *, seconds: float, permitted_at: float, violated: bool) -> None:
        self._live()
        self._calls.silence(seconds=seconds, permitted_at=permitted_at, violated=violated)

    def _live(self) -> None:
        if not self.lives:
            raise LedgerLostError("Killed.", next_step="")


class Computer:
    """A machine whose processes are killed, whose clock is set, and that is booted."""

    def __init__(self, world: World, rate: Rate) -> None:
        self.world, self.rate = world, rate
        self.boots, self.ahead, self.started = 0, 0.0, 0
        self.alive: list[Mortal] = []
        self.boot()

    def start(self) -> None:
        booted_at = self.booted_at
        clock = Clock(
            now=lambda: VIRTUAL.now() + timedelta(seconds=self.ahead),
            monotonic=lambda: now() - booted_at,
            boot=f"boot {self.boots}",
        )
        self.started += 1
        self.alive.append(Mortal(self.world, self.started, self.rate, clock))

    def kill(self) -> None:
        self.alive.pop(0).lives = False
        if not self.alive:
            self.start()

    def boot(self) -> None:
        for process in self.alive:
            process.lives = False
        self.alive.clear()
        self.boots += 1
        self.booted_at = now() - 1
        self.start()

    def set_the_clock(self) -> None:
        self.ahead = self.world.random.choice((0.0, 60.0, -3600.0, 86_400.0))

    async def call(self, process: Mortal, count: int) -> None:
        with contextlib.suppress(LedgerLostError):
            await self.world.send(process.pace, count, lives=lambda: process.lives)


@pytest.mark.thorough
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rate=st.builds(Rate, requests=st.integers(1, 12), seconds=st.floats(0.1, 20)),
    steps=st.lists(
        st.tuples(st.floats(0, 5), st.sampled_from(["call", "call", "call", "start", "kill", "set_the_clock", "boot"])),
        min_size=1,
        max_size=40,
    ),
    seed=st.integers(0, 1000),
    far=st.sampled_from([0.0, 0.0, 0.06, 0.3]),
)
def test_no_window_exceeds_the_limit_whatever_happens(
    rate: Rate, steps: list[tuple[float, str]], seed: int, far: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async def program(world: World) -> None:
        computer, calls = Computer(world, rate), []
        for number, (gap, what) in enumerate(steps):
            await asyncio.sleep(gap)
            if what == "call":
                process = computer.alive[number % len(computer.alive)]
                calls.append(asyncio.create_task(computer.call(process, 1 + number % 3)))
            else:
                getattr(computer, what)()
        await asyncio.gather(*calls)

    with open_ledger(tmp_path_factory.mktemp("pace") / "ledger.db") as ledger:
        world = World(ledger)
        world.random.seed(seed)
        world.claim_takes = far
        run_in_virtual_time(program(world), work_takes=far)
    assert_never_too_many(world.arrivals, rate)
    if not {what for _, what in steps} & {"kill", "boot"}:
        assert len(world.arrivals) == sum(1 + n % 3 for n, (_, what) in enumerate(steps) if what == "call")


class TroubledCalls(OpenCalls):
    """Does something, once, while it is asked."""

    def __init__(self, trouble: Callable[[], None]) -> None:
        super().__init__()
        self.trouble: Callable[[], None] | None = trouble
        self.told: set[int] = set()

    def permit(self, *, wanted: int, counted: Mapping[int, float | None], ahead: float = 0.0) -> Permits:
        trouble, self.trouble = self.trouble, None
        if trouble is not None:
            trouble()
        self.told |= set(counted)
        return super().permit(wanted=wanted, counted=counted, ahead=ahead)


def test_a_silence_that_begins_while_a_permit_is_given_is_kept() -> None:
    async def program() -> float:
        pace = Pace(UNLIMITED, TroubledCalls(lambda: pace.hold(30)), tell=Events().append, clock=VIRTUAL)
        began = now()
        await pace.wait()
        return now() - began

    assert run_in_virtual_time(program()) >= 30


class Ahead(OpenCalls):
    """Gives permits a second ahead; who only reports calls learns that the tenant wants silence."""

    def __init__(self) -> None:
        super().__init__()
        self.given_back: set[int] = set()

    def permit(self, *, wanted: int, counted: Mapping[int, float | None], ahead: float = 0.0) -> Permits:
        self.given_back |= {number for number, at in counted.items() if at is None}
        permits = super().permit(wanted=wanted, counted=counted, ahead=ahead)
        silence = 0.0 if wanted else 30.0
        return dataclasses.replace(permits, leave_at=(now() + 1,) * wanted, silence=silence)


@pytest.mark.parametrize("asked_for", ["this process", "another process"])
def test_who_waits_with_a_permit_learns_of_a_silence(asked_for: str) -> None:
    async def program() -> tuple[bool, bool]:
        pace = Pace(UNLIMITED, Ahead(), tell=Events().append, clock=VIRTUAL)
        first, second = await pace.wait(most=2, ahead=True)
        if asked_for == "this process":
            await pace.pause(30, permitted_at=now())
        else:
            # Reporting its end tells.
            first.on_sent()
        return await second.due(), pace.quiet

    assert run_in_virtual_time(program()) == (True, True)


def test_a_permit_is_given_back_if_its_caller_is_cancelled_before_it_is_due() -> None:
    async def program() -> set[int]:
        counter = Ahead()
        pace = Pace(UNLIMITED, counter, tell=Events().append, clock=VIRTUAL)
        waiting = asyncio.ensure_future(pace.wait())
        await asyncio.sleep(0.5)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await pace.aclose()
        return counter.given_back

    assert run_in_virtual_time(program()) == {1}


def test_an_older_answer_of_the_ledger_does_not_shorten_a_silence() -> None:
    async def program() -> bool:
        counter = Ahead()
        pace = Pace(UNLIMITED, counter, tell=Events().append, clock=VIRTUAL)
        (permit,) = await pace.wait(ahead=True)
        await pace.pause(60, permitted_at=now())
        # The report was read before, and tells of 30 s.
        permit.on_sent()
        await asyncio.sleep(45)
        return pace.quiet

    assert run_in_virtual_time(program())


def test_a_permit_is_not_used_any_more_after_a_while() -> None:
    async def program() -> None:
        pace = open_pace()
        (permit,) = await pace.wait(ahead=True)
        assert not permit.is_old
        await asyncio.sleep(USED_WITHIN + 0.1)
        assert permit.is_old

    run_in_virtual_time(program())


@pytest.mark.thorough
def test_a_counter_is_taken_over_only_when_no_permit_of_another_boot_is_used_any_more(world: World) -> None:
    async def program() -> float:
        short = Rate(requests=3, seconds=0.5)
        await world.pace(short, process=a_process(1)).wait(most=3)
        began = now()
        # The calls of the first three are not reported: their process may have been frozen.
        await world.pace(short, process=a_process(2, host="other"), clock=machine(boot="next")).wait()
        return now() - began

    assert run_in_virtual_time(program()) > USED_WITHIN


def test_calls_that_a_lost_ledger_missed_are_reported_later() -> None:
    async def program() -> set[int]:
        def lose() -> None:
            raise LedgerLostError("The ledger is locked.", next_step="")

        calls = TroubledCalls(lambda: None)
        pace = Pace(UNLIMITED, calls, tell=Events().append, clock=VIRTUAL)
        (permit,) = await pace.wait()
        calls.trouble = lose
        permit.on_sent()
        await asyncio.sleep(1)
        await pace.aclose()
        return calls.told

    assert run_in_virtual_time(program()) == {1}
