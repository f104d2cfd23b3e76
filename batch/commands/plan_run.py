"""A saved plan in the place of an input: what `submit` does with it before it sends."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from batch.commands.asked_again import describe_moved, moved_as_json
from batch.commands.input_run import InputRun
from batch.commands.plan_signatures import require_signatures
from batch.commands.plan_table import table_of
from batch.dedupe.overlap import KEY
from batch.errors import NotAllError, PlanRefusedError
from batch.model import IdentityBy, RowClass
from batch.names.accounts import Wanted
from batch.names.known import kept_kind
from batch.names.meaning import NameMeaning, NameOutcome
from batch.pipeline import places, plan_fresh
from batch.plan.check import check_plan
from batch.plan.saved import describe_saved
from batch.report.plan_rows import operation_said
from batch.report.screen import duration
from batch.states import IN_DOUBT, UNSENT
from batch.text import count, metadata_said
from batch.validate.rows import CHANGE_COLUMNS, EXTENDS, Validated, validate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batch.commands.precheck import CommandPrecheck
    from batch.commands.session import SessionFactory
    from batch.ledger.decisions import NameKey
    from batch.ledger.store import Ledger
    from batch.model import Run
    from batch.pipeline import Classified
    from batch.plan import Plan
    from batch.plan.saved import SavedPlan
    from batch.settings import Settings

_CLOCKS_APART: Final = timedelta(minutes=5)
"""How far the planner's clock may be ahead of ours."""

_COLUMNS: Final = ("operation", "identity_id", "item_type", "item_id", "comment", "start_date", "remove_date")


class PlanRun(InputRun):
    """A saved plan for one tenant: each change is a row, with the ids, dates and accounts that the plan has.

    Args:
        saved: The plan.
        title: Its file, for messages.
    """

    is_kept = True

    def __init__(self, saved: SavedPlan, title: str, settings: Settings, **rest: Any) -> None:
        super().__init__(table_of(saved), settings, **rest)
        self._saved = saved
        self._title = title
        self._is_first = self._waits = False
        self.accounts.keep(Wanted(*one) for one in saved.circumstances.options.get("accounts", ()))

    def planned(self, ledger: Ledger, sessions: SessionFactory, check: CommandPrecheck) -> Run | None:
        """See InputRun.

        Raises:
            PlanRefusedError: The plan is for another tenant or ledger, lacks a signature, or is too old to be applied
                for the first time.
        """
        self._require_same_place(ledger)
        self._require_same_metadata()
        begun = self._run(ledger)
        states = ledger.runs.tally(begun).requests if begun else {}
        self._waits = any(states.get(state) for state in (*UNSENT, *IN_DOUBT))
        # A key that expires while the plan is carried out was valid when it began.
        self._require_signatures(begun.started_at if begun else self._runtime.now())
        if begun is None:
            self._require_young()
        self._is_first = True
        run = super().planned(ledger, sessions, check)
        self._is_first = False
        return run

    @property
    def _metadata(self) -> Mapping[str, str]:
        return self._saved.metadata

    def _require_signatures(self, at: datetime) -> None:
        require_signatures(self._saved, self._title, self._settings, at=at)

    def _require_same_place(self, ledger: Ledger) -> None:
        about = self._saved.circumstances
        again = "plan the input again: access-batch plan INPUT --save FILE"
        if about.ledger != ledger.gaps.ledger_id():
            raise PlanRefusedError(
                f"{self._title} belongs to another ledger. This one may not know what was submitted before.",
                next_step=f"Nothing was sent. Name the ledger of the plan with --ledger, or {again}",
            )
        if about.address not in ledger.tenants.addresses(self._tenant):
            raise PlanRefusedError(
                f"{self._title} is for {about.tenant} ({about.address}), not for {self._tenant}.",
                next_step=f"Nothing was sent. Name the plan's tenant with --base-url or --profile, or {again}",
            )

    def _require_same_metadata(self) -> None:
        given, planned = self._settings.metadata, self._metadata
        if given and given != planned:
            had = f"the request metadata {metadata_said(planned)}" if planned else "no request metadata"
            raise PlanRefusedError(
                f"{self._title} was made with {had}, not with {metadata_said(given)}.",
                next_step="Nothing was sent. Leave out --request-metadata, and request_metadata in the config file; or "
                "plan the input again: access-batch plan INPUT --save FILE",
            )

    def _require_young(self) -> None:
        planned_at = datetime.fromisoformat(self._saved.circumstances.planned_at)
        age = self._runtime.now() - planned_at
        if age > timedelta(seconds=self._settings.plan_age):
            raise PlanRefusedError(
                f"{self._title} is {duration(age.total_seconds())} old; --plan-age allows "
                f"{duration(self._settings.plan_age)}.",
                next_step="Nothing was sent. Plan the input again, and have the new plan approved: access-batch plan "
                "INPUT --save FILE",
            )
        if age < -_CLOCKS_APART:
            raise PlanRefusedError(
                f"{self._title} was made at {planned_at:%Y-%m-%d %H:%M} UTC, and by the clock of this machine it is "
                f"{self._runtime.now():%Y-%m-%d %H:%M} UTC.",
                next_step="Nothing was sent. Set the clock of the machine that is wrong.",
            )

    def _look_up(self, ledger: Ledger, sessions: SessionFactory, run: Run | None) -> None:
        """What names and accounts mean stands in the plan."""

    def _digest_in(self, ledger: Ledger) -> str:  # noqa: ARG002 - the plan's is the same in every ledger
        return hashlib.sha256(f"saved plan {self._saved.digest}".encode()).hexdigest()

    def _validated(self, ledger: Ledger, run: Run | None) -> Validated:  # noqa: ARG002 - it needs no names
        """The plan's changes; those whose dates have passed are rejected."""
        rejected = validate(self._table().rows, dialect=self._settings.dialect, now=self._moment).rejected
        changes = self._saved.changes.with_row_index("row").select("row", *CHANGE_COLUMNS, EXTENDS)
        kept = changes.join(rejected, on="row", how="anti", maintain_order="left")
        validated = Validated(changes=kept, rejected=rejected)
        self._places = places(validated)
        return validated

    def _packed(self, classified: Classified) -> Plan:
        """The plan's own requests if all changes are still to be sent; otherwise new requests for the rest."""
        fresh = classified.changes.filter("fresh")
        if self._is_first and not self._waits and fresh.height:
            # A run that is over, or was discarded, begins anew.
            self._require_young()
            self._require_signatures(self._runtime.now())
        if self._is_first and (fresh.height or not self._waits):
            self._report_moved(classified)
        if fresh.height < self._saved.changes.height:
            return plan_fresh(classified, self._settings.dialect, self._settings.effort)
        plan, dialect = self._saved.plan, self._settings.dialect
        check_plan(plan.changes, fresh.select(CHANGE_COLUMNS), dialect.limits, plan.envelopes, nested=dialect.nested)
        return plan

    def _report_moved(self, classified: Classified) -> None:
        """Say which changes of the plan are left out, and why.

        Raises:
            NotAllError: Some are, and nothing or all is to be sent.
        """
        rejected = classified.rejected.select("row", reason="message").with_columns(pl.lit("rejected").alias("class"))
        is_own = pl.col("class") == RowClass.SUBMITTED.value
        aside = classified.changes.filter(~pl.col("fresh") & ~is_own).select("row", "reason", "class")
        moved = pl.concat([aside, rejected], how="diagonal_relaxed").sort("row")
        if moved.is_empty():
            return
        keys = self._saved.changes.with_row_index("row").select("row", operation_said(), *KEY)
        lines = moved.join(keys, on="row", how="left", maintain_order="left")
        not_sent = f"{count(moved.height, 'change')} of {self._title} {'is' if moved.height == 1 else 'are'} not to be"
        self._screen.say(
            f"Since it was planned, ledger or tenant moved, or a date passed: {not_sent} sent.", *describe_moved(lines)
        )
        if self._settings.all_or_nothing:
            raise NotAllError(
                f"{not_sent} sent any more, and --all-or-nothing is given.",
                next_step="Nothing more was sent. Plan the input again, or leave out --all-or-nothing for the rest.",
                moved=moved_as_json(lines),
            )

    def describe(self, classified: Classified) -> None:  # noqa: ARG002 - `_report_moved` has named the others
        """See InputRun: the rows are those of the plan."""
        if not self._described:
            self._screen.say(f"{self._title} has {describe_saved(self._saved)}.")
        self._described = True

    def _meanings(self, ledger: Ledger) -> Mapping[NameKey, NameMeaning]:  # noqa: ARG002 - they stand in the plan
        people = self._saved.changes.select(pl.lit("").alias("item_type"), name="person", id="identity_id")
        items = self._saved.changes.select("item_type", name="item", id="item_id")
        named = pl.concat([people, items]).unique().filter(pl.col("name") != "")
        # A name that several have says nothing.
        alone = named.filter(pl.len().over("item_type", "name") == 1).sort("item_type", "name")
        return {
            (kept_kind(kind, IdentityBy.NAME), name): NameMeaning(outcome=NameOutcome.FOUND, id=id_)
            for kind, name, id_ in alone.rows()
        }
