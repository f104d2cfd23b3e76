"""From changes to the fewest legal requests: people alone → bundles → what is left → joined, and a bound below."""

from batch.plan.plan import NO_PLAN, Plan, plan

__all__ = ["NO_PLAN", "Plan", "plan"]
