"""Compares what an evidence pack says of a run with the run's events: totals, report, results, rows and plan. Pure."""

from __future__ import annotations

import hashlib
import io
import itertools
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from batch.api.accounts import named_account
from batch.errors import PlanRefusedError
from batch.ledger.evidence import TABLES, RunEvidence
from batch.model import IdentityBy
from batch.names.known import KnownNames
from batch.names.meaning import NameOutcome
from batch.plan.saved import from_bytes
from batch.read import PLAIN
from batch.read.table import Table
from batch.report.evidence_pack import MANIFEST, SIGNATURES, as_lines, from_lines
from batch.report.files import write_sheet
from batch.report.run_count import run_lines
from batch.report.run_files import input_operations, read_results
from batch.report.run_report import changes_sheet
from batch.report.run_view import Standing
from batch.text import RequestId, id_key, moment
from batch.validate.digest import input_digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from batch.ledger.evidence import Replayed
    from batch.plan.saved import SavedPlan
    from batch.report.evidence_pack import Pack

ROWS: Final = "rows.jsonl"
UNREAD: Final = "unread_rows.jsonl"
PLAN: Final = "saved.plan"
PAGE: Final = "report.html"
REPORT: Final = "report.csv"
RESULTS: Final = "results.csv"

UNREAD_COLUMNS: Final = {
    "_file": pl.String,
    "_line": pl.Int64,
    **dict.fromkeys(("_rule", "_message", "_raw"), pl.String),
}
_SHOWN: Final = {"person": "person", "item": "item", "file": "_file", "line": "_line"}
"""Columns of a report that stand in no event: they are only shown."""

_NOT_SENT: Final = (Standing.UNSENT.value, Standing.TAKEN_OUT.value, Standing.DISCARDED.value)
_LISTED: Final = 20

CLOCKS_APART: Final = timedelta(minutes=5)
"""How far the clocks of the machines that have signed something may be apart."""


def table_files(evidence: RunEvidence) -> dict[str, bytes]:
    """The tables as files."""
    return {f"{name}.jsonl": as_lines(table) for name, table in evidence.tables.items()}


def evidence_in(pack: Pack) -> RunEvidence:
    """The tables of a pack.

    Raises:
        ValueError: A file is missing, or was not written by access-batch; the message names it.
    """
    tables = {}
    for name, schema in TABLES.items():
        try:
            tables[name] = from_lines(pack.files[f"{name}.jsonl"], schema)
        except KeyError:
            raise ValueError(f"without {name}.jsonl, nothing more can be compared") from None
        except ValueError:
            raise ValueError(f"{name}.jsonl was not written by access-batch") from None
    about = pack.manifest.get("about")
    return RunEvidence(
        run=str(pack.manifest.get("run")),
        ledger=str(pack.manifest.get("ledger")),
        about=about if isinstance(about, dict) else {},
        tables=tables,
    )


def lines_of(evidence: RunEvidence) -> pl.DataFrame:
    """Every change of the run once, as a report has it, with nothing that is only shown."""
    records, table = evidence.records(), evidence.tables["names"]
    found = table.filter(pl.col("outcome") == NameOutcome.FOUND.value).select("kind", "name", "id").rows()
    changes = records.changes.with_columns(operation=input_operations(KnownNames.of_meanings(found), records.changes))
    accounts = [named_account(*one) for one in changes.select("account", "selection").iter_rows()]
    shown = pl.DataFrame({"account": accounts}, schema={"account": pl.String})
    unknown = [pl.lit(None, dtype=pl.String).alias(name) for name in _SHOWN]
    return run_lines(evidence.run, changes, records.events, shown.with_columns(unknown))


def totals_of(evidence: RunEvidence, lines: pl.DataFrame) -> dict[str, Any]:
    """How many there are of everything, as the events tell."""
    requests = evidence.tables["requests"]
    standings = Counter(lines.get_column("standing"))
    return {
        "changes": lines.height,
        "standings": {one.value: standings[one.value] for one in Standing},
        "requests": dict(sorted(requests.group_by("state").len().rows())),
        "attempts": requests.get_column("attempts").sum(),
        "events": evidence.tables["events"].height,
    }


def head_of(evidence: RunEvidence) -> str:
    """The number and the hash of the newest event."""
    return ":".join(map(str, evidence.tables["events"].select("number", "hash").row(-1)))


def said_faults(pack: Pack, evidence: RunEvidence, replayed: Replayed) -> Iterator[str]:
    """Everything in a pack that is not what its events say."""
    manifest, lines = pack.manifest, lines_of(evidence)
    yield from presence_faults(pack)
    yield from _time_faults(manifest.get("made_at"), evidence)
    said, totals = manifest.get("totals"), totals_of(evidence, lines)
    if said != totals:
        said = said if isinstance(said, dict) else {}
        wrong = next((name for name in totals if said.get(name) != totals[name]), "more")
        yield f"the manifest counts {said.get(wrong)} under {wrong}, and there are {totals.get(wrong)}"
    if manifest.get("head") != {"before": "", "after": head_of(evidence)}:
        yield "the manifest names another head than that of the events"
    if manifest.get("keys") != [*replayed.keys]:
        yield "the manifest names other keys than those that have signed the events"
    if REPORT in pack.files:
        yield from report_faults(pack.files[REPORT], lines)
    if RESULTS in pack.files:
        yield from (f"{RESULTS}: {fault}" for fault in results_faults(pack.files[RESULTS], evidence, replayed, lines))
    saved = None
    if PLAN in pack.files:
        try:
            saved = from_bytes(pack.files[PLAN], PLAN)
        except PlanRefusedError as error:
            yield error.message
        else:
            yield from plan_faults(saved, evidence)
    if ROWS in pack.files:
        yield from _rows_faults(pack, evidence, saved)


def _time_faults(made_at: Any, evidence: RunEvidence) -> Iterator[str]:
    newest, made = moment(evidence.tables["events"].get_column("at")[-1]), moment(made_at)
    if newest is not None and made is not None and made < newest - CLOCKS_APART:
        yield f"the manifest says that it was made on {made_at}, before the newest event"


def presence_faults(pack: Pack) -> Iterator[str]:
    """Files that are missing although nothing says why, and files that no pack has."""
    there, missing = pack.files.keys(), pack.manifest.get("missing", {})
    required = {MANIFEST, SIGNATURES, PAGE, REPORT, *(f"{name}.jsonl" for name in TABLES)}
    optional = {"rows": ROWS, "plan": PLAN, "results": RESULTS}
    yield from (f"{name} is missing" for name in sorted(required - there))
    for what, name in optional.items():
        if (name in there) == (what in missing):
            yield f"{name} is {'there' if name in there else 'missing'}, and the manifest does not say so"
    if (ROWS in there) != (pack.manifest.get("rows") is not None) or (UNREAD in there and ROWS not in there):
        yield f"the manifest says something else of {ROWS} than is there"
    yield from (f"no pack has a file {name}" for name in sorted(there - required - {*optional.values(), UNREAD}))


def report_faults(content: bytes, lines: pl.DataFrame) -> Iterator[str]:
    """Changes in the report that are not as the events say; names and places of people are not compared."""
    written = io.BytesIO()
    write_sheet(written, changes_sheet(lines), PLAIN)
    expected, found = (
        pl.read_csv(data, infer_schema=False).select(pl.all().fill_null("")) for data in (written.getvalue(), content)
    )
    if found.columns != expected.columns or found.height != expected.height:
        yield f"{REPORT} has {found.height:,} changes or other columns; the events lead to {expected.height:,} changes"
        return
    shown = [*_SHOWN.values()]
    if found.drop(shown).equals(expected.drop(shown)):
        return
    both = zip(found.drop(shown).iter_rows(), expected.drop(shown).iter_rows(), strict=True)
    for line, (one, other) in enumerate(both, start=2):
        if one != other:
            yield f"{REPORT}, change {line - 1}: it is not as the events say"


def results_faults(content: bytes, evidence: RunEvidence, replayed: Replayed, lines: pl.DataFrame) -> Iterator[str]:
    """Rows of the results whose request is not in the run, or lacks their change; and changes without a row."""
    if (read := read_results(content)) is None:
        yield "it can't be read"
        return
    frame, ids = read
    pairs = [id_key(pl.col(name)).alias(f"{n}") for n, name in enumerate(ids)]
    state = pl.col("_state") if "_state" in frame.columns else pl.lit(None, dtype=pl.String)
    rows = frame.select(*pairs, pl.col("_request").fill_null(""), state.alias("_state"))
    rows = rows.filter(pl.col("_request").str.starts_with(f"{evidence.run}-"))
    tags = dict(evidence.tables["requests"].select("request", "tag").iter_rows())
    keys = [id_key(pl.col(name)) for name in ("identity_id", "item_id")]
    there = set(evidence.tables["changes"].select("request", *keys).iter_rows())
    for person, item, request, state_then in rows.iter_rows():
        found = RequestId.read(request)
        if found is None or found.number not in tags or (tags[found.number] or "") != found.tag:
            yield f"it names the request {request}, which the run does not have"
        elif (found.number, person, item) not in there:
            yield f"it names a change in the request {request} that this request does not have"
        elif state_then and state_then not in replayed.states.get(found.number, ()):
            yield f"it says that the request {request} is {state_then}, which it never was"
    sent = lines.filter(~pl.col("standing").is_in(_NOT_SENT)).select(keys).rows()
    named = set(rows.select("0", "1").rows())
    lost = [pair for pair in sent if pair not in named]
    if lost:
        yield f"{len(lost):,} of the changes that were sent are not in it, such as {lost[0][1]} for {lost[0][0]}"


def plan_faults(saved: SavedPlan, evidence: RunEvidence) -> Iterator[str]:
    """Whether a saved plan is the one that the run was submitted from."""
    if hashlib.sha256(f"saved plan {saved.digest}".encode()).hexdigest() != input_of(evidence):
        yield f"{PLAN} is not the plan that the run was submitted from"
    began = moment(evidence.about.get("run", ("", "", ""))[2])
    for one in saved.signatures:
        at = moment(one.at)
        if at is None or began is None or at > began + CLOCKS_APART:
            yield f"{PLAN} has a signature of {one.at}, after the run began"


def rows_digest(rows: pl.DataFrame, unread: pl.DataFrame, identity_by: str) -> str:
    """The digest of an input's rows, by which a run knows its input."""
    table = Table(rows=rows, originals=rows, rejected=unread, columns=(), notices=(), digest="")
    return input_digest(table, IdentityBy(identity_by))


def input_of(evidence: RunEvidence) -> str:
    """The digest of the run's input, as its events say. More may stand after it once its tenant was another's."""
    return str(evidence.about.get("input", "")).partition(" ")[0]


def _rows_faults(pack: Pack, evidence: RunEvidence, saved: SavedPlan | None) -> Iterator[str]:
    expected = saved.circumstances.input_digest if saved else input_of(evidence)
    try:
        how = pack.manifest["rows"]
        schema = {str(name): pl.Int64 if name == "_line" else pl.String for name in how["columns"]}
        rows = from_lines(pack.files[ROWS], schema)
        unread = from_lines(pack.files.get(UNREAD, b""), UNREAD_COLUMNS)
        found = rows_digest(rows, unread, how["identity_by"])
    except (ValueError, TypeError, KeyError, pl.exceptions.PolarsError):
        yield f"{ROWS} or {UNREAD} was not written by access-batch"
        return
    if found != expected:
        yield f"{ROWS} or {UNREAD} does not have the rows that the run was submitted from"
    elif (rows.height, unread.height) != (how.get("read"), how.get("unreadable")):
        yield "the manifest counts other rows than there are"


def listed(faults: Iterator[str] | Sequence[str]) -> Iterator[str]:
    """The first of some faults."""
    some = [*itertools.islice(faults, _LISTED + 1)]
    yield from some[:_LISTED]
    if len(some) > _LISTED:
        yield "… and more of this kind"
