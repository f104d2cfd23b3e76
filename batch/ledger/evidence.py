"""Everything that the ledger has of one run, exactly as it is there, and what of it is proven without the ledger."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import polars as pl
import sqlalchemy as sa

from batch.ledger import tables as t
from batch.ledger.bulk import select_frame
from batch.ledger.chain import Chain
from batch.ledger.contents import content_hash, names_hash, pairs, row_content
from batch.ledger.engine import reading
from batch.ledger.events import ACCESS_REQUESTS, REASON, UNSIGNED, WITHIN, signed_text
from batch.ledger.facts import REPORT_TEXTS, about, report_digests
from batch.ledger.machine_key import has_signed
from batch.ledger.report import CHANGES_SCHEMA, EVENTS_SCHEMA, RunRecords
from batch.ledger.seals import MEANINGS, root, state_faults
from batch.ledger.track import CHANGES
from batch.model import IMPORT
from batch.states import Event, State

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy.engine import Engine

    from batch.model import Run

_PLAIN: Final = 3
"""Facts of a run in `about`, before its metadata; see `facts.about`."""

_TEXT: Final = pl.String
_NUMBER: Final = pl.Int64

TABLES: Final[Mapping[str, Mapping[str, Any]]] = {
    "events": {
        "number": _NUMBER,
        "at": _TEXT,
        "request": _NUMBER,
        "event": _TEXT,
        "attempt": _NUMBER,
        "status": _NUMBER,
        "detail": _TEXT,
        "hash": _TEXT,
        "public": _TEXT,
        "place": _NUMBER,
        "before": _TEXT,
        "signature": _TEXT,
    },
    "requests": {
        "request": _NUMBER,
        "tag": _TEXT,
        "parent": _NUMBER,
        "operation": _TEXT,
        "state": _TEXT,
        "state_at": _TEXT,
        "attempts": _NUMBER,
        "seal": _TEXT,
    },
    "changes": {
        "request": _NUMBER,
        **dict.fromkeys(("identity_id", "item_type", "item_id", "account", "selection", "comment"), _TEXT),
        **dict.fromkeys(("start_date", "remove_date", "metadata", "tenant_state", "who", "said"), _TEXT),
        **dict.fromkeys(("since", "access_request"), _TEXT),
    },
    "names": dict.fromkeys(("kind", "name", "outcome", "id", "problem"), _TEXT),
}
"""The tables of the evidence and their columns, as the ledger has them. `public`, `place`, `before` and `signature` of
an event: the key that has signed it, how many signatures that key had made then, the one before, and this one."""

_before = t.event.alias("before")
_QUERIES: Final = {
    "events": sa.select(
        *(t.event.c[name] for name in ("number", "at", "request", "event", "attempt", "status", "detail", "hash")),
        t.signer.c.public,
        t.event.c.place,
        _before.c.signature.label("before"),
        t.event.c.signature,
    )
    .select_from(
        t.event.outerjoin(t.signer, t.signer.c.id == t.event.c.signer).outerjoin(
            _before, (_before.c.signer == t.event.c.signer) & (_before.c.place == t.event.c.place - 1)
        )
    )
    .where(t.event.c.run == t.RUN_NUMBER)
    .order_by(t.event.c.number),
    "requests": sa.select(
        *(t.request.c[name] for name in ("number", "tag", "parent", "operation", "state", "state_at", "attempts")),
        t.request.c.seal,
    )
    .where(t.request.c.run == t.RUN_NUMBER)
    .order_by(t.request.c.number),
    "changes": sa.select(
        t.request.c.number,
        t.identity.c.external_id,
        t.item.c.type,
        t.item.c.external_id,
        *(t.detail.c[name] for name in ("account", "selection", "comment", "start_date", "remove_date", "metadata")),
        *(t.finding.c[name] for name in ("state", "who", "said")),
        t.track.c.since,
        t.track.c.access_request,
    )
    .select_from(CHANGES)
    .where(t.request.c.run == t.RUN_NUMBER)
    .order_by(t.request.c.number, t.identity.c.id, t.item.c.id),
    "names": MEANINGS,
}


class RunEvidence(NamedTuple):
    """What the ledger has of one run.

    Attributes:
        run: The run's id.
        ledger: The ledger's id.
        about: What the run is and whose, see `facts.about`.
        tables: By the names of TABLES.
    """

    run: str
    ledger: str
    about: Mapping[str, Any]
    tables: Mapping[str, pl.DataFrame]

    @property
    def imported(self) -> bool:
        """Whether it holds changes that were imported from the tenant's list."""
        return str(self.about.get("input", "")).startswith(IMPORT)

    def records(self) -> RunRecords:
        """The same as a report takes it."""
        requests = self.tables["requests"].drop("attempts", "seal")
        changes = self.tables["changes"].join(requests, on="request", how="left", maintain_order="left")
        events = self.tables["events"].select("number", "at", "request", "event", "status", "detail").iter_rows()
        rows = [(*row, *_told(row[3], detail)) for *row, detail in events]
        return RunRecords(
            changes=changes.select(list(CHANGES_SCHEMA)),
            events=pl.DataFrame(rows, schema=EVENTS_SCHEMA, orient="row"),
        )


def _told(event: str, detail: str) -> tuple[str | None, int | None, str | None]:
    """The reason and the body that the detail of an event names, and the detail if it names access requests."""
    told = json.loads(detail)
    found = detail if event == Event.FOUND.value and ACCESS_REQUESTS in told else None
    return told.get(REASON), told.get(WITHIN), found


def evidence_of(engine: Engine, run: Run) -> RunEvidence:
    """Everything that the ledger has of one run at one moment."""
    of_run = {"of_run": run.id}
    with reading(engine) as connection:
        tables = {name: select_frame(connection, _QUERIES[name], TABLES[name], of_run) for name in TABLES}
        if not run.imported:
            # The events say when, and nothing covers this copy.
            tables["requests"] = tables["requests"].with_columns(state_at=pl.lit(None, pl.String))
        return RunEvidence(
            run=run.id,
            ledger=connection.execute(sa.select(t.about.c.ledger)).scalar_one(),
            about=about(connection, run.id),
            tables=tables,
        )


class Replayed(NamedTuple):
    """A run's events, computed again.

    Attributes:
        chain: The chain.
        states: By request, every state that it was in.
        heads: The hash of each event, by its number.
        keys: The public keys that have signed events, in the order of their first.
        faults: All differences between the events and the rest of the evidence, as sentences.
    """

    chain: Chain
    states: Mapping[int, set[str]]
    heads: Mapping[int, str]
    keys: Sequence[str]
    faults: Sequence[str]


def replay(evidence: RunEvidence) -> Replayed:
    """Compute a run's events again, and compare everything that they cover with them: no ledger is needed.

    This proves that the evidence is what the events say, and that each signature was made with the key that it names;
    not whose keys these are.
    """
    requests = evidence.tables["requests"]
    chain = Chain(evidence.run, newest=requests.get_column("request").max() or 0)  # type: ignore[arg-type]
    states: dict[int, set[str]] = {}
    heads: dict[int, str] = {}
    keys: dict[str, None] = {}
    wrong: list[str] = []
    for row in evidence.tables["events"].iter_rows(named=True):
        known = len(chain.signed)
        chain.read(row)
        heads[row["number"]] = row["hash"]
        for head, public, place, signature in chain.signed[known:]:
            text = signed_text(evidence.ledger, place, row["before"] or "", head)
            if has_signed(public, text, signature):
                keys[public] = None
            else:
                wrong.append(f"the signature of event {head.number} is wrong")
        if row["request"] is not None and (state := chain.states.get(row["request"])):
            states.setdefault(row["request"], set()).add(state.value)
    for number, final in chain.states.items():
        states.setdefault(number, set()).add((final or State.PLANNED).value)
    return Replayed(chain, states, heads, tuple(keys), [*chain.faults, *wrong, *_faults(evidence, chain)])


def _faults(evidence: RunEvidence, chain: Chain) -> Iterator[str]:
    requests = evidence.tables["requests"]
    if chain.last.number and not chain.is_signed:
        yield UNSIGNED
    if not chain.last.number:
        yield "it has no events"
    yield from _about_faults(evidence, chain)
    kept = dict(requests.select("request", "state").iter_rows())
    if len(kept) != requests.height:
        yield "a request stands there twice"
    if odd := [number for number, state in kept.items() if state not in set(State)]:
        yield f"request {odd[0]} has a state that there is not"
    yield from state_faults(chain, {number: State(state) for number, state in kept.items() if state in set(State)})
    for number, attempts in requests.select("request", "attempts").iter_rows():
        if attempts != chain.attempts.get(number, 0):
            yield f"request {number} counts {attempts} attempts, but its events {chain.attempts.get(number, 0)}"
    parents = requests.filter(pl.col("parent").is_not_null()).select("request", "parent")
    yield from chain.parent_faults(dict(parents.iter_rows()))
    yield from _content_faults(evidence, chain)
    yield from _report_faults(evidence, chain)


def _about_faults(evidence: RunEvidence, chain: Chain) -> Iterator[str]:
    if chain.about is None:
        yield "no event says which run it is, and of which tenant"
    elif chain.about != evidence.about:
        names = sorted(name for name in {*chain.about, *evidence.about} if _differ(name, chain.about, evidence.about))
        yield f"the events name another run or another tenant: {', '.join(names)}"
    if chain.names is not None and chain.names != names_hash(evidence.tables["names"].iter_rows()):
        yield "the meanings of its names were changed"


def _differ(name: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return bool(one.get(name) != other.get(name))


def _content_faults(evidence: RunEvidence, chain: Chain) -> Iterator[str]:
    """Requests whose changes are not those that an event has sealed."""
    requests = {row["request"]: row for row in evidence.tables["requests"].iter_rows(named=True)}
    seals = {number: row["seal"] for number, row in requests.items()}
    for birth in chain.births:
        if root(seals[number] for number in birth.numbers if number in seals) != birth.root:
            yield f"the requests that event {birth.event} added have other seals"
    sealed = {number for birth in chain.births for number in birth.numbers}
    yield from (f"no event has sealed request {number}" for number in requests if number not in sealed)
    *_, of_run = [*evidence.about.get("run", ())[_PLAIN:], ""][:1]
    found = evidence.tables["changes"].iter_rows()
    for number, rows in itertools.groupby(found, key=lambda row: row[0]):
        request = requests.pop(number, None)
        if request is None:
            yield f"there are changes of request {number}, which is not in this run or stands there twice"
        elif _seal(evidence.run, of_run, request, [*rows]) != request["seal"]:
            yield f"the changes of request {number} were changed"
    yield from (f"the changes of request {number} are missing" for number in requests)


def _seal(run: str, of_run: str, request: Mapping[str, Any], rows: Sequence[Sequence[Any]]) -> str:
    """The seal of a request, from its changes; empty if these are no product of people and items.

    Args:
        run: The run's id.
        of_run: The metadata of all its requests, as JSON; empty for none.
        request: Its row.
        rows: Of each change its number, identity, item and details.
    """
    people: dict[str, None] = {}
    items: dict[tuple[str, ...], list[Any]] = {}
    seen = set()
    for _, person, kind, item, account, selection, comment, start, remove, metadata, *_ in rows:
        content = (kind, item, comment, start, remove, metadata, account, selection)
        people[person] = None
        if content not in items:
            items[content] = row_content((kind, item, comment, start, remove), metadata, account, selection)
        seen.add((person, content))
    if not len(rows) == len(seen) == len(people) * len(items):
        return ""
    try:
        known = (request["request"], request["tag"] or "", request["operation"])
        return content_hash(run, *known, people, items.values(), pairs(of_run))
    except (TypeError, ValueError):
        return ""


def _report_faults(evidence: RunEvidence, chain: Chain) -> Iterator[str]:
    """Reports of the tenant that are not those that an event covers."""
    at = evidence.tables["requests"].select("request", "state_at")
    reports = (
        evidence.tables["changes"]
        .filter(pl.col("tenant_state").is_not_null())
        .join(at, on="request", how="left", maintain_order="left")
        .with_columns(imported_at=pl.col("state_at") if evidence.imported else pl.lit(""))
        .rename({"identity_id": "p", "item_type": "type", "item_id": "i", "tenant_state": "state"})
        .select("request", *REPORT_TEXTS)
    )
    found = report_digests(reports)
    for number in sorted(found.keys() | chain.findings.keys()):
        if found.get(number, "") != chain.findings.get(number, ""):
            yield f"the tenant's report on request {number} was changed"
