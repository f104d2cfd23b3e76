"""What is withdrawn of runs, in their books."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from batch.ledger import events
from batch.ledger import tables as t
from batch.ledger.engine import reading, writing
from batch.ledger.events import Entry
from batch.ledger.runs import require_held
from batch.states import Event

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy.engine import Engine

    from batch.ledger.process import Process
    from batch.model import Run


class Withdrawals:
    """What is withdrawn of a ledger's runs."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def first_attempt(self, run: Run) -> datetime | None:
        """When the run first sent anything, by our clock; None where it never has."""
        query = sa.select(sa.func.min(t.event.c.at)).where(
            t.event.c.run == run.id, t.event.c.event == Event.CLAIMED.value
        )
        with reading(self._engine) as connection:
            at: str | None = connection.execute(query).scalar()
        return None if at is None else t.moment(at)

    def begin(self, run: Run, process: Process, detail: Mapping[str, Any], now: datetime) -> None:
        """Writes into the run's books that it is being withdrawn; durable when this returns.

        Args:
            run: The run.
            process: It must hold the run.
            detail: How much, how and why.
            now: When.

        Raises:
            RunHeldError: The process does not hold the run (any more).
        """
        with writing(self._engine) as connection:
            require_held(connection, run, process)
            events.append(connection, run.id, [Entry(event=events.CANCELLING, at=now, detail=detail)])
