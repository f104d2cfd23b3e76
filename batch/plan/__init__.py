"""Changes → the fewest legal requests → bodies; a lower bound; and the independent check of a plan."""

from batch.plan.plan import NO_PLAN, Plan, plan

__all__ = ["NO_PLAN", "Plan", "plan"]
