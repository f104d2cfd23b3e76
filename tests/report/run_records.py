"""Runs for tests of their report: as the ledger's frames have them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from batch.api.dialects import Rate
from batch.ledger.report import CHANGES_SCHEMA, EVENTS_SCHEMA
from batch.report.run_count import run_lines, run_view
from batch.report.run_redaction import Pseudonyms, redacted_about, redacted_lines
from batch.report.run_view import RunAbout
from tests.plan.changes import hex_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from batch.report.run_view import RunView

RUN = "run1"
SENT, ACCEPTED, ENDED = "2026-11-23T10:00:00.000Z", "2026-11-23T10:00:01.000Z", "2026-11-23T11:00:00.000Z"


def done(request: int, person: int = 1, item: int = 0xA, *, state: str = "ACCEPTED", **more: Any) -> dict[str, Any]:
    """A change of a request; the tenant has not reported on it unless `tenant_state` is given."""
    reported = {"who": "", "said": "", "since": ENDED, "access_request": "ar"} if "tenant_state" in more else {}
    return {
        **dict.fromkeys(CHANGES_SCHEMA),
        "request": request,
        "tag": "t",
        "operation": "GRANT",
        "state": state,
        "state_at": ACCEPTED,
        "identity_id": hex_id(person),
        "item_type": "ROLE",
        "item_id": hex_id(item),
        **dict.fromkeys(("account", "selection", "comment", "start_date", "remove_date", "metadata"), ""),
        **reported,
        **more,
    }


def event(number: int, request: int | None, name: str, at: str = SENT, **more: Any) -> dict[str, Any]:
    return {**dict.fromkeys(EVENTS_SCHEMA), "number": number, "request": request, "event": name, "at": at, **more}


def lines_of(
    changes: Sequence[Mapping[str, Any]], events: Sequence[Mapping[str, Any]] = (), **shown: Sequence[str]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The lines of a run, and its events."""
    frame, happened = pl.DataFrame(changes, schema=CHANGES_SCHEMA), pl.DataFrame(events, schema=EVENTS_SCHEMA)
    empty = [""] * frame.height
    columns = {name: shown.get(name, empty) for name in ("person", "item", "file", "line")}
    beside = pl.DataFrame({**columns, "account": frame.get_column("account")}, schema_overrides=_TEXTS)
    return run_lines(RUN, frame, happened, beside), happened


_TEXTS = dict.fromkeys(("person", "item", "file", "line", "account"), pl.String)


def run_of(
    changes: Sequence[Mapping[str, Any]],
    events: Sequence[Mapping[str, Any]] = (),
    *,
    redact: str = "",
    about: Mapping[str, Any] | None = None,
    set_aside: Mapping[str, int] | None = None,
    **shown: Sequence[str],
) -> RunView:
    """The view of a run; `redact` is a key for pseudonyms."""
    lines, happened = lines_of(changes, events, **shown)
    what = RunAbout(run=RUN, tenant="https://t.example", made_at="2026-11-24T10:00:00.000Z", **(about or {}))
    if redact:
        pseudonyms = Pseudonyms(redact, lines)
        lines, what = redacted_lines(lines, pseudonyms), redacted_about(what, pseudonyms)
    return run_view(lines, happened, what, limit=Rate(requests=100, seconds=10), set_aside=set_aside or {})
