"""How well the tenant does its work, by its answers to one process: what one more answer means depends on it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from batch.answers.outcome import MOST_BACKOFF, Decision, Situation, Then, asks_for_trivial_wait, decide
from batch.answers.poison import is_failure
from batch.states import Event

if TYPE_CHECKING:
    from batch.model import Answer


class TenantHealth:
    """Follows the answers of one process.

    Args:
        give_up_after: Seconds without success after which sending stops.

    Attributes:
        any_accepted: Whether the tenant has accepted a request of this process.
        failures: Failed attempts in a row. Parallel ones count once.
    """

    def __init__(self, give_up_after: float) -> None:
        self._give_up_after = give_up_after
        self._refused_tokens: set[str] = set()
        self._success_at = 0.0
        self._silenced_before = 0.0
        self._turned_away: tuple[float, float] | None = None
        self.any_accepted = False
        self.failures = 0

    def works(self, now: float, silenced: float) -> None:
        """The tenant does its work.

        Args:
            now: Seconds by a monotonic clock.
            silenced: Seconds of silence so far that the tenant has asked for.
        """
        self.failures = 0
        self._turned_away = None
        self._success_at = now
        self._silenced_before = silenced

    def decide(
        self,
        answer: Answer,
        token: str,
        failures_before: int,
        *,
        now: float,
        silenced: float,
        jitter: float,
        expected: bool,
    ) -> Decision:
        """What to do about one more answer.

        Args:
            answer: The answer.
            token: Used in the attempt.
            failures_before: `failures` when the attempt began.
            now: See `works`.
            silenced: See `works`.
            jitter: A random number from 0 to 1.
            expected: Whether it would be no surprise if this request fails: it says nothing about the tenant.
        """
        if not self.failures:
            # The time without success starts at the first failure.
            self._success_at, self._silenced_before = now, silenced
        situation = Situation(
            new_token=bool(self._refused_tokens - {token}),
            failures_in_a_row=failures_before,
            without_success=now - self._success_at - (silenced - self._silenced_before),
            turned_away=self._turned_away_for(now),
            give_up_after=self._give_up_after,
            jitter=jitter,
        )
        decision = decide(answer, situation)
        if asks_for_trivial_wait(answer, decision.then):
            self._turned_away = now - self._turned_away_for(now), now
        elif decision.then in {Then.SLOW_DOWN, Then.WAIT}:
            self._turned_away = None
        if decision.then is Then.BACK_OFF and is_failure(answer.status) and expected:
            # It has failed before while others did not, so the others need not wait for it.
            return replace(decision, then=Then.GO_ON, pause=0.0)
        if decision.then in {Then.BACK_OFF, Then.WAIT}:
            # Parallel failures count once: an attempt that began before the last failure adds nothing.
            self.failures = max(self.failures, failures_before + 1)
        elif decision.event in {Event.ACCEPTED, Event.REFUSED}:
            self.any_accepted = self.any_accepted or decision.event is Event.ACCEPTED
            self.works(now, silenced)
            self._refused_tokens.clear()
        if decision.then is Then.RENEW_TOKEN:
            self._refused_tokens.add(token)
        return decision

    def _turned_away_for(self, now: float) -> float:
        """Seconds since the tenant turned the first of several calls in a row away and asked for a trivial wait."""
        if self._turned_away is None:
            return 0.0
        first, last = self._turned_away
        # After a longer pause, as another process may have caused it, the next call begins anew.
        return now - first if now - last <= MOST_BACKOFF else 0.0
