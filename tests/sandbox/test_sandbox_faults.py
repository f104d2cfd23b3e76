"""The fault plan: which fault each attempt gets."""

from __future__ import annotations

import pytest

from batch.sandbox.answers import HTML, JSON, Answer
from batch.sandbox.faults import Fault, FaultPlan, Silence, effect_of

RETRY_AFTER = 7


def test_attempts_take_faults_from_the_queue_in_order() -> None:
    plan = FaultPlan([Fault.DROP_BEFORE, None])
    plan.add(Fault.HANG_AFTER)
    assert plan.pending == 3
    assert [plan.next_effect() for _ in range(4)] == [
        effect_of(Fault.DROP_BEFORE),
        None,
        effect_of(Fault.HANG_AFTER),
        None,
    ]
    assert plan.pending == 0


def test_chance_faults_have_the_set_frequency_and_kinds_and_are_repeatable() -> None:
    kinds = (Fault.ERROR_500_AFTER, Fault.DROP_AFTER)
    plans = [FaultPlan(probability=0.3, kinds=kinds, seed=42) for _ in range(2)]
    first, second = ([plan.next_effect() for _ in range(1_000)] for plan in plans)
    assert first == second
    faults = [effect for effect in first if effect is not None]
    assert 200 < len(faults) < 400
    assert all(effect in [effect_of(kind) for kind in kinds] for effect in faults)


def test_the_queue_goes_before_chance() -> None:
    plan = FaultPlan([None, Fault.DROP_BEFORE], probability=1.0, kinds=[Fault.UNAUTHORIZED_401])
    effects = [plan.next_effect() for _ in range(3)]
    assert effects == [None, effect_of(Fault.DROP_BEFORE), effect_of(Fault.UNAUTHORIZED_401)]


@pytest.mark.parametrize(
    ("fault", "processed", "silence"),
    [
        (Fault.DROP_BEFORE, False, Silence.DROP),
        (Fault.DROP_AFTER, True, Silence.DROP),
        (Fault.HANG_BEFORE, False, Silence.HANG),
        (Fault.HANG_AFTER, True, Silence.HANG),
    ],
)
def test_drops_and_hangs_give_no_answer(fault: Fault, silence: Silence, *, processed: bool) -> None:
    effect = effect_of(fault)
    assert (effect.processed, effect.result) == (processed, silence)


@pytest.mark.parametrize(
    ("fault", "processed", "status", "media_type", "headers"),
    [
        (Fault.ERROR_500_BEFORE, False, 500, JSON, {}),
        (Fault.ERROR_500_AFTER, True, 500, JSON, {}),
        (Fault.ERROR_504_BEFORE, False, 504, HTML, {}),
        (Fault.ERROR_504_AFTER, True, 504, HTML, {}),
        (Fault.UNAVAILABLE_503, False, 503, JSON, {"Retry-After": "7"}),
        (Fault.UNAVAILABLE_503_BARE, False, 503, HTML, {}),
        (Fault.THROTTLED_429, False, 429, JSON, {"Retry-After": "7"}),
        (Fault.UNAUTHORIZED_401, False, 401, JSON, {}),
        (Fault.UNREADABLE_202, True, 202, HTML, {}),
    ],
)
def test_other_faults_give_an_answer(
    fault: Fault, status: int, media_type: str, headers: dict[str, str], *, processed: bool
) -> None:
    effect = effect_of(fault, retry_after=RETRY_AFTER)
    assert effect.processed is processed
    assert isinstance(effect.result, Answer)
    assert (effect.result.status, effect.result.media_type, effect.result.headers) == (status, media_type, headers)


def test_every_kind_of_fault_has_an_effect() -> None:
    assert all(effect_of(fault) for fault in Fault)
