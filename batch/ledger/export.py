"""The ledger as tables for other programs: runs, changes, requests, events and findings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import polars as pl
import sqlalchemy as sa

from batch.api.account_key import written
from batch.ledger import tables as t
from batch.ledger.bulk import select_frame
from batch.ledger.engine import reading
from batch.ledger.track import CHANGES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy.engine import Engine


class Export(NamedTuple):
    """A table of an export.

    Attributes:
        query: Reads its rows, in their order; see `schema`.
        schema: The columns that the query reads. The number and the tag of a request become its id.
    """

    query: sa.Select[*tuple[Any, ...]]
    schema: Mapping[str, Any]


_TEXT: Final = pl.String
_REQUEST: Final = {"request_number": pl.Int64, "request_tag": _TEXT}
_CHANGE: Final = ("identity_id", "item_type", "item_id")
_ids = (
    t.identity.c.external_id.label("identity_id"),
    t.item.c.type.label("item_type"),
    t.item.c.external_id.label("item_id"),
)
_request = (t.request.c.number.label("request_number"), t.request.c.tag.label("request_tag"))
_runs = t.request.join(t.run, t.run.c.number == t.request.c.run)

TABLES: Final[Mapping[str, Export]] = {
    "runs": Export(
        sa.select(
            t.run.c.id.label("run"),
            t.tenant.c.name.label("tenant"),
            t.run.c.inputs,
            t.run.c.dialect,
            t.run.c.started_at,
            t.run.c.metadata,
        )
        .join(t.tenant, t.tenant.c.id == t.run.c.tenant)
        .order_by(t.run.c.number),
        dict.fromkeys(("run", "tenant", "inputs", "api", "started_at", "request_metadata"), _TEXT),
    ),
    "requests": Export(
        sa.select(
            t.run.c.id.label("run"),
            *_request,
            t.request.c.operation,
            t.request.c.state,
            t.request.c.state_at,
            t.request.c.recipient_count,
            t.request.c.item_count,
            t.request.c.attempts,
            t.request.c.parent,
            sa.func.coalesce(t.envelope.c.number, t.request.c.number),
        )
        .select_from(_runs.outerjoin(t.envelope, t.envelope.c.request == t.request.c.number))
        .order_by(t.request.c.number),
        {
            "run": _TEXT,
            **_REQUEST,
            **dict.fromkeys(("operation", "state", "state_at"), _TEXT),
            **dict.fromkeys(("people", "items", "attempts", "divided_from", "body"), pl.Int64),
        },
    ),
    "changes": Export(
        sa.select(
            t.run.c.id.label("run"),
            *_request,
            t.request.c.operation,
            *_ids,
            *(t.detail.c[name] for name in ("account", "comment", "start_date", "remove_date", "metadata")),
            t.request.c.state,
            t.request.c.state_at,
            t.finding.c.state.label("tenant_state"),
            t.track.c.since,
        )
        .select_from(CHANGES.join(t.run, t.run.c.number == t.request.c.run))
        .order_by(t.request.c.number, t.identity.c.id, t.item.c.id),
        {
            "run": _TEXT,
            **_REQUEST,
            **dict.fromkeys(("operation", *_CHANGE, "account", "comment", "start_date", "remove_date"), _TEXT),
            **dict.fromkeys(("metadata", "state", "state_at", "tenant_state", "tenant_since"), _TEXT),
        },
    ),
    "events": Export(
        sa.select(
            t.run.c.id.label("run"),
            t.event.c.number,
            t.event.c.at,
            *_request,
            *(t.event.c[name] for name in ("event", "attempt", "status", "detail", "hash")),
            t.signer.c.public,
        )
        .select_from(
            t.event.join(t.run, t.run.c.number == t.event.c.run)
            .outerjoin(t.request, t.request.c.number == t.event.c.request)
            .outerjoin(t.signer, t.signer.c.id == t.event.c.signer)
        )
        .order_by(t.event.c.run, t.event.c.number),
        {
            "run": _TEXT,
            "number": pl.Int64,
            "at": _TEXT,
            **_REQUEST,
            "event": _TEXT,
            "attempt": pl.Int64,
            "status": pl.Int64,
            **dict.fromkeys(("detail", "hash", "signed_by"), _TEXT),
        },
    ),
    "findings": Export(
        sa.select(
            t.run.c.id.label("run"),
            *_request,
            *_ids,
            *(t.finding.c[name] for name in ("state", "who", "said")),
            t.track.c.since,
            t.track.c.access_request,
        )
        .select_from(
            _runs.join(t.track, t.track.c.request == t.request.c.number)
            .join(t.finding, t.finding.c.id == t.track.c.finding)
            .join(t.identity, t.identity.c.id == t.track.c.identity)
            .join(t.item, t.item.c.id == t.track.c.item)
        )
        .order_by(t.request.c.number, t.track.c.identity, t.track.c.item),
        {
            "run": _TEXT,
            **_REQUEST,
            **dict.fromkeys((*_CHANGE, "state", "who", "said", "since", "access_request"), _TEXT),
        },
    ),
}
"""Every table of an export, by its name, with the columns that `help export` explains."""


def export(engine: Engine, take: Callable[[str, pl.DataFrame], object]) -> None:
    """Read all tables as they are at one moment.

    Args:
        engine: Of the ledger.
        take: Takes the name and the rows of each. Empty text is null. `request` is the id by which results, bodies
            and the log name a request; null for an event of a run as a whole.
    """
    with reading(engine) as connection:
        for name, table in TABLES.items():
            take(name, _readable(select_frame(connection, table.query, table.schema)))


def _readable(rows: pl.DataFrame) -> pl.DataFrame:
    if "request_number" in rows.columns:
        tag = pl.when(pl.col("request_tag") != "").then(pl.concat_str(pl.lit("-"), "request_tag")).fill_null("")
        number = pl.col("request_number").cast(pl.String)
        ids = rows.select(request=pl.concat_str("run", pl.lit("-"), number, tag))
        place = rows.columns.index("request_number")
        rows = rows.drop(_REQUEST).insert_column(place, ids.to_series())
    if "account" in rows.columns:
        accounts = rows.get_column("account").unique().to_list()
        rows = rows.with_columns(pl.col("account").replace_strict(accounts, [written(one) for one in accounts]))
    return rows.with_columns(pl.col(pl.String).replace("", None))
