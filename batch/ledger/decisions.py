"""The decisions that a run's plan rests on: what its names mean, and which changes a precheck set aside.

They are kept for good. A run that continues decides as it did before, whatever the tenant reports by then.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias

import polars as pl
import sqlalchemy as sa

from batch.dedupe.classify import TENANT_VERDICTS
from batch.dedupe.overlap import KEY
from batch.ledger import tables as t
from batch.ledger.bulk import insert_frame, select_among, select_frame
from batch.ledger.engine import reading, writing
from batch.ledger.messages import write
from batch.ledger.repeating import repeated
from batch.ledger.seals import has_planned_names
from batch.names.known import EXTENSION, KnownNames
from batch.names.meaning import NameMeaning, NameOutcome
from batch.text import instant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from sqlalchemy.engine import Connection, Engine

NameKey: TypeAlias = tuple[str, str]
"""How a name was looked up, such as `identity by email`, and the name."""

_NAMES_SCHEMA: Final = dict.fromkeys(("kind", "name", "outcome", "id", "problem"), pl.String)
_SET_ASIDE: Final = (*KEY, "class", "reason")
_SET_ASIDE_OF: Final = (
    sa.select(*(t.set_aside.c[name] for name in _SET_ASIDE))
    .where(t.set_aside.c.run_id == sa.bindparam("of_run"))
    .order_by(*(t.set_aside.c[name] for name in KEY))
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Decisions:
    """What a plan rests on.

    Attributes:
        names: What names mean. They replace earlier meanings of the same names.
        set_aside: Changes that the precheck set aside, by dedupe's TENANT_VERDICTS. They replace all earlier ones.
    """

    names: Mapping[NameKey, NameMeaning] = field(default_factory=lambda: MappingProxyType({}))
    set_aside: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=TENANT_VERDICTS))


@repeated
class DecisionStore:
    """The decisions of a ledger's runs."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def names(self, run_id: str, keys: Iterable[NameKey]) -> dict[NameKey, NameMeaning]:
        """What names meant when this machine planned the run; names that its plan did not rest on are left out.

        Another machine's meanings are left out too: the tenant is asked again.
        """
        wanted = frozenset(keys)
        if not wanted:
            return {}
        c = t.name_meaning.c
        query = sa.select(c.kind, c.name, c.outcome, c.id, c.problem).where(c.run == t.number_of_run(run_id))
        with reading(self._engine) as connection:
            if not has_planned_names(connection, run_id):
                return {}
            names = pl.Series("name", sorted({name for _, name in wanted}), dtype=pl.String)
            found = select_among(connection, query, c.name, names, _NAMES_SCHEMA)
        return {
            (kind, name): NameMeaning(outcome=NameOutcome(outcome), id=id_, problem=problem)
            for kind, name, outcome, id_, problem in found.unique(["kind", "name"]).rows()
            if (kind, name) in wanted
        }

    def has_planned(self, run_id: str) -> bool:
        """Whether this machine has planned the run with the meanings that the ledger has."""
        with reading(self._engine) as connection:
            return has_planned_names(connection, run_id)

    def known_names(self, *run_ids: str) -> KnownNames:
        """The names behind the ids of runs that this machine planned, to be shown; none of another machine's run.

        Which grants were EXTENDs is told of any run: a grant that is taken for one gives nobody anything.
        """
        c = t.name_meaning.c
        query = (
            sa.select(c.kind, c.name, c.id)
            .where(c.run == t.RUN_NUMBER, c.outcome == NameOutcome.FOUND.value)
            .order_by(c.kind, c.name)
        )
        with reading(self._engine) as connection:
            ours = {run_id for run_id in run_ids if has_planned_names(connection, run_id)}
            return KnownNames.of_meanings(
                (kind, name, id_)
                for run_id in run_ids
                for kind, name, id_ in connection.execute(query, {"of_run": run_id}).all()
                if run_id in ours or kind == EXTENSION
            )

    def set_aside(self, run_id: str) -> pl.DataFrame:
        """The changes that the run's last precheck set aside, by dedupe's TENANT_VERDICTS."""
        with reading(self._engine) as connection:
            return set_aside_of(connection, run_id)

    def replace_set_aside(self, run_id: str, changes: pl.DataFrame, now: datetime) -> None:
        """Keeps which changes a precheck set aside when nothing was left to plan.

        Args:
            run_id: The id that the input's run has or would get.
            changes: By dedupe's TENANT_VERDICTS; they replace all earlier ones.
            now: When.
        """
        if changes.is_empty() and self.set_aside(run_id).is_empty():
            return
        with writing(self._engine) as connection:
            write_set_aside(connection, run_id, changes, now)


def write_decisions(connection: Connection, run_id: str, decisions: Decisions, now: datetime) -> None:
    """Keeps what a plan rests on, in the transaction that writes the plan."""
    at = instant(now)
    if decisions.names:
        run: int = connection.execute(sa.select(t.number_of_run(run_id))).scalar_one()
        named = [{"of_run": run, "of_kind": kind, "of_name": name} for kind, name in decisions.names]
        write(connection, _FORGET_NAME, named)
        rows = [(*key, one.outcome.value, one.id, one.problem) for key, one in decisions.names.items()]
        names = pl.DataFrame(rows, schema=_NAMES_SCHEMA, orient="row").sort("kind", "name")
        insert_frame(
            connection,
            t.name_meaning,
            names.select(pl.lit(run).alias("run"), "kind", "name", pl.lit(at).alias("at"), "outcome", "id", "problem"),
        )
    write_set_aside(connection, run_id, decisions.set_aside, now)


def set_aside_of(connection: Connection, run_id: str) -> pl.DataFrame:
    """See Decisions.set_aside."""
    return select_frame(connection, _SET_ASIDE_OF, TENANT_VERDICTS, {"of_run": run_id})


def write_set_aside(connection: Connection, run_id: str, changes: pl.DataFrame, now: datetime) -> None:
    """Keeps which changes the tenant's answers set aside, in place of all earlier ones."""
    at = instant(now)
    connection.execute(sa.delete(t.set_aside).where(t.set_aside.c.run_id == run_id))
    rows = changes.select(list(TENANT_VERDICTS)).rename(dict(zip(TENANT_VERDICTS, _SET_ASIDE, strict=True)))
    *key, class_, reason = _SET_ASIDE
    insert_frame(
        connection,
        t.set_aside,
        rows.sort(key).select(pl.lit(run_id).alias("run_id"), *key, pl.lit(at).alias("at"), class_, reason),
    )


_FORGET_NAME: Final = sa.delete(t.name_meaning).where(
    t.name_meaning.c.run == sa.bindparam("of_run"),
    t.name_meaning.c.kind == sa.bindparam("of_kind"),
    t.name_meaning.c.name == sa.bindparam("of_name"),
)
