"""One input for one tenant, up to the plan in the ledger: everything that `submit` does before it sends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from batch.commands.accounts import Accounts, names_accounts
from batch.commands.guards import consent_to, require_same_api, require_same_metadata, require_within_limits
from batch.commands.loading import digest_in
from batch.commands.mistrust import Mistrust, not_asked_for
from batch.commands.names import Names
from batch.commands.screen import require_an_answer
from batch.dedupe.again import dates_passed
from batch.errors import LedgerLostError, RunHeldError
from batch.ledger.decisions import Decisions
from batch.ledger.postgresql import COMPARES_FIRST
from batch.ledger.runs import NewRun
from batch.ledger.take_over import TakenOver, until_it_stands
from batch.model import EMPTY_TALLY, CheckTenant
from batch.names.known import KnownNames, extension_meanings
from batch.pipeline import (
    as_if_planned,
    classes_and_reasons,
    classify_input,
    doubts_elsewhere,
    not_wanted,
    places,
    plan_fresh,
    row_at,
    to_take_over,
    with_classes,
    with_tenant_verdicts,
    without_unplanned,
)
from batch.read import LoadedInputs, read_loaded
from batch.report.preflight import describe_late
from batch.report.screen import describe_input, question, taken_from
from batch.states import IN_DOUBT, UNSENT, State
from batch.validate.rows import validate

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from batch.api.tenant_outcome import TenantOutcome
    from batch.commands.precheck import CommandPrecheck
    from batch.commands.runtime import Runtime
    from batch.commands.screen import Consent, Screen
    from batch.commands.session import SessionFactory
    from batch.ledger.decisions import NameKey
    from batch.ledger.store import Ledger
    from batch.model import Run, Tally
    from batch.names.meaning import NameMeaning
    from batch.names.resolve import NameCounts
    from batch.pipeline import Classified
    from batch.plan import Plan
    from batch.plan.guards import RevokeShare
    from batch.read import Table
    from batch.settings import Settings
    from batch.validate.rows import Validated


class InputRun:
    """One input for one tenant.

    Attributes:
        digest: Identifies the input, once its run was looked for.
        names: Of its files.
        accounts: That its rows name.
        doubts: The other runs whose doubts hold rows back, when the input was last classified.
        is_kept: Whether no other input may take over what was planned and not sent.
    """

    is_kept = False

    def __init__(
        self,
        source: LoadedInputs | Table,
        settings: Settings,
        screen: Screen,
        runtime: Runtime,
        *,
        tenant: str,
        names: Sequence[str],
        inputs: Sequence[str],
        consent: Consent,
    ) -> None:
        self.digest = ""
        self.names = names
        # Replaced by the table once parsed: the bytes of a large input take much memory.
        self._source = source
        self._settings = settings
        self._runtime = runtime
        self._screen = screen
        self._names = Names(settings, screen, runtime)
        self.accounts = Accounts(settings, screen, runtime)
        self._mistrust = Mistrust(settings, screen, runtime)
        self._tenant = tenant
        self._consent = consent
        self._inputs = tuple(inputs)
        self._described = False
        self._moment = runtime.now()
        self._classes: pl.DataFrame | None = None
        self._places: pl.DataFrame | None = None
        self.doubts: tuple[str, ...] = ()

    @property
    def _metadata(self) -> Mapping[str, str]:
        """The request metadata of a new run."""
        return self._settings.metadata

    @property
    def has_just_planned(self) -> bool:
        """Whether this command has planned the input, and so has just asked the tenant about it."""
        return self._classes is not None

    @property
    def name_counts(self) -> NameCounts:
        """How the input's names were resolved."""
        return self._names.counts

    def is_behind(self, ledger: Ledger, run: Run | None) -> bool:
        """Whether a run that went on as planned may have more to do, because other runs stood in its way.

        Decisions by the tenant's answers of that time stay.

        Raises:
            RunHeldError: Meanwhile, another run has taken the input over, as two tenants proved to be one.
        """
        if run is not None and ledger.runs.was_dropped(run):
            return True
        if run is None or not ledger.runs.has_unfinished_beside(run):
            return False
        if (now := self._run(ledger)) is None or now.id != run.id:
            raise RunHeldError(
                f"The ledger knows the tenant of run {run.id} by another address too, and "
                f"{f'run {now.id}' if now else 'another run'} now has this input.",
                next_step="Nothing more was sent. Run the same command again: it continues that run.",
            )
        if self._classes is not None and not ledger.runs.has_lost_changes(run):
            return False
        # Another machine may have taken this process for dead: then the classes of the plan hold no more.
        self._classes = None
        classified = with_tenant_verdicts(self.classified(ledger, run), self.set_aside(ledger))
        return bool(doubts_elsewhere(classified)[0] or to_take_over(classified, classified.changes.filter("fresh")))

    def planned(self, ledger: Ledger, sessions: SessionFactory, check: CommandPrecheck) -> Run | None:
        """The input's run, after planning what is fresh; None if nothing was ever planned.

        Args:
            ledger: Holds the plan.
            sessions: Sessions with the tenant, for names.
            check: The precheck, made if there are fresh changes.

        Raises:
            AccessBatchError: It can't be planned; nothing was written.
            DeclinedError: The user declined.
        """
        return until_it_stands(lambda: self._planned(ledger, sessions, check), self._start_anew)

    def _planned(self, ledger: Ledger, sessions: SessionFactory, check: CommandPrecheck) -> Run | None:
        """See `planned`; raises LedgerMovedError if another process has changed the ledger meanwhile."""
        run = self._run(ledger)
        if run is not None:
            require_same_api(run, self._settings)
            ledger.runs.check_free(run, self._runtime.process, self._runtime.now())
            dropped = self._mistrust.drop_what_others_planned(ledger, run) or ledger.runs.was_dropped(run)
            tally = ledger.runs.tally(run)
            if not dropped and any(tally.requests.get(state) for state in (*UNSENT, *IN_DOUBT)):
                ledger.plans.check_all()
                self._require_wanted(ledger, run)
                require_same_metadata(run, self._metadata)
                check.require_no_other_ledger(ledger, run)
                self._screen.say(f"Continuing run {run.id} of {run.started_at:%Y-%m-%d %H:%M} UTC.")
                if self._settings.resubmit:
                    self._screen.say("Finishing this run first. Run the same command again for --resubmit.")
                self._screen.say(*describe_late(strict=self._settings.strict, ignored=self._settings.ignore))
                left = ledger.plans.planned(run)
                asks = bool(tally.requests.get(State.PLANNED)) and self._asks(tally)
                share = require_within_limits(left, self._settings, check, ledger, run=run.id, asks=asks)
                if waiting := tally.requests.get(State.PLANNED):
                    check.describe_budget(ledger, waiting)
                    self._ask(tally, share, check)
                return run
        self._look_up(ledger, sessions, run)
        self._require_wanted(ledger, run)
        return self._plan(ledger, run, check, resubmit=self._settings.resubmit) or run

    def planned_again(self, ledger: Ledger, sessions: SessionFactory, check: CommandPrecheck) -> Run | None:
        """After sending, plan the changes that are free now: a doubt or another run's plan held them back.

        Returns:
            The input's run; None if nothing was planned.

        Raises:
            AccessBatchError: It can't be planned; nothing more was written.
            DeclinedError: The user declined.
        """

        def planned() -> Run | None:
            run = self._run(ledger)
            if run is not None:
                ledger.runs.check_free(run, self._runtime.process, self._runtime.now())
                self._mistrust.drop_what_others_planned(ledger, run)
            self._look_up(ledger, sessions, run)
            self._require_wanted(ledger, run)
            return self._plan(ledger, run, check, resubmit=())

        return until_it_stands(planned, self._start_anew)

    def _look_up(self, ledger: Ledger, sessions: SessionFactory, run: Run | None) -> None:
        """Find the meaning of names, then of the accounts that rows name."""
        rows = self._table().rows
        self._names.look_up(rows, ledger, sessions, run)
        if names_accounts(rows):
            rows = self._names.resolved(rows, ledger, self._tenant, run)
            validated = validate(rows, dialect=self._settings.dialect, now=run.started_at if run else self._moment)
            self.accounts.look_up(validated, rows, ledger, sessions, run)

    def _require_wanted(self, ledger: Ledger, run: Run | None) -> None:
        """Check that some row of the input asks for each change that is planned, or planned again if it did not arrive.

        Raises:
            LedgerChangedError: None does.
        """
        if run is None or (planned := ledger.plans.planned(run)).is_empty():
            return
        self._moment = run.started_at
        unwanted = not_wanted(planned, self._validated(ledger, run).changes)
        if not unwanted.is_empty():
            raise not_asked_for(run, unwanted)

    def _start_anew(self) -> None:
        self._classes = None
        self._screen.say("Another process has changed the ledger: classifying again.")

    def after_sending(self, ledger: Ledger, run: Run | None) -> Classified:
        """The input's rows with their classes, and with the ledger's knowledge as it is now.

        The classes are those of the plan. A continued run was not planned now: its input is classified here.
        """
        if self._classes is not None:
            validated = self._validated(ledger, run)
            return with_classes(
                self._table(),
                validated,
                self._classes,
                plans=ledger.plans,
                tenant=self._tenant,
                run=ledger.plans.run_id(self._tenant, self.digest),
                busy=self._busy(ledger),
            )
        self._moment = run.started_at if run else self._moment
        classified = with_tenant_verdicts(self.classified(ledger, run), self.set_aside(ledger))
        return without_unplanned(classified, run=run.id if run else "")

    def classified(self, ledger: Ledger, run: Run | None, *, resubmit: Collection[TenantOutcome] = ()) -> Classified:
        """The input's rows with their classes, by the ledger alone."""
        validated = self._validated(ledger, run)
        run_id = ledger.plans.run_id(self._tenant, self.digest)
        return classify_input(
            self._table(),
            validated,
            plans=ledger.plans,
            tenant=self._tenant,
            run=run_id,
            resubmit=resubmit,
            busy=self._busy(ledger),
            now=self._runtime.now(),
        )

    def _busy(self, ledger: Ledger) -> Mapping[str, str]:
        return ledger.runs.busy(self._runtime.process, self._runtime.now())

    def _validated(self, ledger: Ledger, run: Run | None) -> Validated:
        """The rows, validated as of the run's first plan, so that a continued run gets the same result."""
        rows = self._names.resolved(self._table().rows, ledger, self._tenant, run)
        validated = validate(rows, dialect=self._settings.dialect, now=self._moment)
        validated = self.accounts.resolved(validated, rows, ledger, run)
        self._places = places(validated)
        return validated

    def line_of(self, identity: str, item: str) -> str:
        """The line of the first row that wants this of an identity; empty before the rows were read."""
        row = None if self._places is None else row_at(self._places, identity, item)
        if row is None:
            return ""
        file, line = self._table().rows.select("_file", "_line").row(row)
        return f"{line} of {file}" if len(self.names) > 1 else str(line)

    def set_aside(self, ledger: Ledger) -> pl.DataFrame:
        """The changes that the run has set aside because of the tenant's answers, by dedupe's TENANT_VERDICTS."""
        return ledger.decisions.set_aside(ledger.plans.run_id(self._tenant, self.digest))

    def describe(self, classified: Classified) -> None:
        """Show once which rows were read: before sending, or after it for a continued run."""
        if not self._described:
            self._screen.say(*describe_input(classified))
        self._described = True

    def _table(self) -> Table:
        if isinstance(self._source, LoadedInputs):
            self._source = read_loaded(self._source)
            self._screen.say(*self._source.notices)
        return self._source

    def _plan(
        self, ledger: Ledger, run: Run | None, check: CommandPrecheck, *, resubmit: Collection[TenantOutcome]
    ) -> Run | None:
        """Plan the fresh changes; return None if there are none."""
        now = self._runtime.now()
        self._moment = run.started_at if run else now
        classified = self.classified(ledger, run, resubmit=resubmit)
        unproven = self._mistrust.held_back(ledger, classified, resubmit, check)
        unproven = pl.concat([unproven, dates_passed(classified.changes.filter("fresh"), now)])
        classified = with_tenant_verdicts(classified, unproven)
        check.unsaid = self.accounts.unsaid()
        verdicts = check.ask(ledger, classified)
        run_id = ledger.plans.run_id(self._tenant, self.digest)
        classified = with_tenant_verdicts(classified, verdicts)
        self._classes = classes_and_reasons(classified)
        self.doubts, _ = doubts_elsewhere(classified)
        plan = self._packed(classified)
        self.describe(classified)
        check.describe(verdicts)
        verdicts = pl.concat([unproven, verdicts])
        if not plan.requests:
            ledger.decisions.replace_set_aside(run_id, verdicts, now)
            return None
        if run is not None:
            require_same_metadata(run, self._metadata)
        names = {**self._meanings(ledger), **extension_meanings(classified.changes)}
        upto, taken = classified.upto, to_take_over(classified, plan.changes)
        del classified  # For a large input this is as large as the plan, and writing needs memory too.
        check.describe_plan(plan)
        counted = plan.changes
        if run is not None and ledger.runs.tally(run).requests.get(State.PLANNED):
            before = ledger.plans.planned(run)
            counted = pl.concat([before, counted.select(before.columns)])
        shown = KnownNames.of_meanings((kind, name, one.id) for (kind, name), one in names.items() if one.id)
        asked = as_if_planned(EMPTY_TALLY, plan)
        share = require_within_limits(counted, self._settings, check, ledger, names=shown, asks=self._asks(asked))
        check.describe_budget(ledger, plan.bodies)
        self._ask(asked, share, check)
        new = NewRun(
            tenant=self._tenant,
            input_digest=self.digest,
            inputs=self._inputs,
            dialect=self._settings.api,
            started_at=now,
            metadata=self._metadata,
        )
        # In one transaction with the plan: without its names, a run that continues could request for another person.
        ledger.plans.write(
            new,
            plan,
            upto=upto,
            now=now,
            decisions=Decisions(names=names, set_aside=verdicts),
            taken=TakenOver(requests=tuple(taken), process=self._runtime.process),
        )
        for name in sorted(set(taken.values())):
            left = ledger.runs.tally(ledger.runs.named(name)).changes.get(State.PLANNED, 0)
            self._screen.say(taken_from(name, left))
        written = self._run(ledger)
        if written is None:
            raise LedgerLostError("The ledger has lost the plan that was just written to it.", next_step=COMPARES_FIRST)
        return written

    def _run(self, ledger: Ledger) -> Run | None:
        """The input's run, if it has one."""
        self.digest = self.digest or self._digest_in(ledger)
        return ledger.runs.of_input(self._tenant, self.digest)

    def _digest_in(self, ledger: Ledger) -> str:
        return digest_in(ledger, self._tenant, self._table(), self._settings.identity_by)

    def _packed(self, classified: Classified) -> Plan:
        return plan_fresh(classified, self._settings.dialect, self._settings.effort)

    def _meanings(self, ledger: Ledger) -> Mapping[NameKey, NameMeaning]:
        """What the names and accounts mean, to be kept with the plan."""
        return {**self._names.meanings(ledger, self._tenant), **self.accounts.meanings()}

    def _asks(self, tally: Tally) -> bool:
        """Whether a question follows for which the tenant may be asked."""
        consent = consent_to(tally, self._consent, self._settings, self._tenant)
        return not consent.given and self._settings.check_tenant is not CheckTenant.NEVER

    def _ask(self, tally: Tally, share: RevokeShare | None = None, check: CommandPrecheck | None = None) -> None:
        consent = consent_to(tally, self._consent, self._settings, self._tenant)
        require_an_answer(consent, self._screen, stdin_is_input="-" in self._inputs)
        self._screen.ask(question(tally, self._tenant, (check or self._settings).pace, share), consent)
