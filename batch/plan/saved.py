"""A saved plan: the exact requests of a plan in one file, which people can look at, sign, and apply later.

The file is text. Its first line says what it is, the second has the circumstances as a JSON object, then comes one JSON
array for each change, one JSON object for each signature, and at the end the SHA-256 of all lines before. Signatures
are over the plan's digest, the SHA-256 of everything before the first of them. There is one way to write a plan: a file
that was not written in exactly this way is refused, so no byte of it can be changed unnoticed.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from batch.errors import PlanRefusedError
from batch.plan.plan import ENVELOPE_SCHEMA, Plan
from batch.read.inputs import SAVED_PLAN
from batch.text import count
from batch.validate.rows import CHANGE_COLUMNS, EXTENDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MAGIC: Final = SAVED_PLAN + b"1\n"
"""The first line of a saved plan. The number changes if a program that reads this version could misread the file."""

SAVED_COLUMNS: Final = {
    **dict.fromkeys(CHANGE_COLUMNS, pl.String),
    EXTENDS: pl.Boolean,
    "request": pl.Int64,
    "file": pl.String,
    "line": pl.Int64,
    "row_hash": pl.String,
    "person": pl.String,
    "item": pl.String,
    "owner": pl.String,
    "group": pl.String,
}
"""Columns of a saved change: validate's CHANGE_COLUMNS and EXTENDS; the request, from 0; file and line of its row, and
a hash of the row as it was written; names of person, item and owner, empty if unknown; the cell that `--by` counts."""

_LISTED: Final = 20
"""Lines that a sentence names."""

_MOST_SIGNATURES: Final = 100
"""Each takes OpenSSH a moment."""

_END: Final = b"sha256 "
DATE: Final = "%Y-%m-%dT%H:%M:%SZ"
"""How the file writes moments, in UTC."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanSignature:
    """Somebody's signature of a plan.

    Attributes:
        role: PLANNER or APPROVER.
        at: When, in RFC 3339, as the signer's machine says.
        signature: An SSH signature of `signed_text`, in base64 without its frame.
    """

    role: str
    at: str
    signature: str


PLANNER: Final = "planner"
APPROVER: Final = "approver"


@dataclass(frozen=True, kw_only=True, slots=True)
class Circumstances:
    """What a plan was made of, for whom, and what was known then.

    Attributes:
        tenant: The tenant's name, as it is typed.
        address: Its address, or the sandbox's word.
        ledger: Id of the ledger that was asked.
        api: The API version.
        effort: How hard the planner looked for fewer requests.
        planned_at: When, in RFC 3339.
        planned_by: The user and the machine.
        version: Of this program.
        inputs: The names of the inputs.
        input_digest: Identifies their rows.
        lower_bound: See Plan.
        envelopes: See Plan: pairs of request and first request.
        skipped: The lines that are not sent, by the columns of `plan_rows`.
        options: The settings that decided which rows it has: `resubmit`, `ignore` and `strict`; `accounts`, which the
            rows name and no request does; `request_metadata` of its requests; and `place`, the words of a command that
            find ledger and tenant again.
        known: What tenant and ledger knew: of the JSON of `plan`, what does not follow from the lines.
    """

    tenant: str
    address: str
    ledger: str
    api: str
    effort: str
    planned_at: str
    planned_by: str
    version: str
    inputs: Sequence[str]
    input_digest: str
    lower_bound: int
    envelopes: Sequence[Sequence[int]]
    skipped: Sequence[Sequence[Any]]
    options: Mapping[str, Any]
    known: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedPlan:
    """A plan, its circumstances and its signatures.

    Attributes:
        circumstances: See there.
        changes: By SAVED_COLUMNS, in the order of sending.
        signatures: In the order in which they were added.
    """

    circumstances: Circumstances
    changes: pl.DataFrame
    signatures: tuple[PlanSignature, ...] = field(default=())

    @property
    def digest(self) -> str:
        """The SHA-256 of the plan without its signatures, in hex."""
        return hashlib.sha256(b"".join(self._unsigned())).hexdigest()

    @property
    def metadata(self) -> Mapping[str, str]:
        """The request-level clientMetadata of its requests."""
        return dict(self.circumstances.options.get("request_metadata", {}))

    @property
    def plan(self) -> Plan:
        """The plan as it was made."""
        requests = self.changes.get_column("request")
        return Plan(
            changes=self.changes.select(*CHANGE_COLUMNS, "request"),
            requests=requests.n_unique(),
            lower_bound=self.circumstances.lower_bound,
            envelopes=pl.DataFrame([*map(list, self.circumstances.envelopes)], schema=ENVELOPE_SCHEMA, orient="row"),
        )

    def signed(self, signature: PlanSignature) -> SavedPlan:
        """The plan with one more signature."""
        return replace(self, signatures=(*self.signatures, signature))

    def to_bytes(self) -> bytes:
        """The whole file."""
        before = b"".join([*self._unsigned(), *(_line(asdict(one)) for one in self.signatures)])
        return before + _END + hashlib.sha256(before).hexdigest().encode() + b"\n"

    def _unsigned(self) -> Iterator[bytes]:
        yield MAGIC
        yield _line(asdict(self.circumstances) | {"changes": self.changes.height})
        yield from map(_line, self.changes.select(list(SAVED_COLUMNS)).iter_rows())


def row_hashes(originals: pl.DataFrame) -> list[str]:
    """The hash of each row of an input, over its cells as they are written."""
    return [
        hashlib.sha256(json.dumps(row, ensure_ascii=False).encode()).hexdigest()
        for row in originals.drop("_file", "_line").iter_rows()
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class RowsCompared:
    """The rows of an input beside those that a plan was made of.

    Attributes:
        planned: How many rows of the plan there are.
        changed: The lines, with their file, of those that are not in the input as they were.
        moved: How many are there in other lines.
        others: How many rows of the input the plan does not send.
        skipped: How many rows the input had that the plan does not send: it has no hashes of them.
    """

    planned: int
    changed: Sequence[tuple[str, int]]
    moved: int
    others: int
    skipped: int

    @property
    def is_same(self) -> bool:
        """Whether the input has all rows of the plan, and no more others than when it was planned."""
        return not self.changed and self.others <= self.skipped

    def describe(self, name: str) -> Iterator[str]:
        """The result for people."""
        if self.is_same:
            yield f"{name} has all {count(self.planned, 'row')} of the plan, as they were planned."
        else:
            yield f"{name} is not the input that was planned:"
        several = len({file for file, _ in self.changed}) > 1
        for file, line in self.changed[:_LISTED]:
            yield f"  line {line}{f' of {file}' if several else ''} is not there as it was planned"
        if len(self.changed) > _LISTED:
            yield f"  … and {len(self.changed) - _LISTED:,} more lines"
        if self.others > self.skipped:
            yield f"  {count(self.others - self.skipped, 'row')} more than when it was planned, or changed since"
        if self.moved:
            yield f"  {count(self.moved, 'row')} of the plan in another line than before"
        if self.skipped:
            yield f"  {count(self.skipped, 'row')} that the plan does not send: of these it has no hashes"


def compare_rows(plan: SavedPlan, originals: pl.DataFrame) -> RowsCompared:
    """Compare an input's rows, as they are written, with those that a plan was made of."""
    hashes = row_hashes(originals)
    there, places = {*hashes}, {*zip(originals.get_column("_line").to_list(), hashes, strict=True)}
    planned = {(file, line): hash_ for file, line, hash_ in plan.changes.select("file", "line", "row_hash").rows()}
    wanted = {*planned.values()}
    skipped = {(file, line) for file, line, *_ in plan.circumstances.skipped}
    return RowsCompared(
        planned=len(planned),
        changed=sorted(place for place, hash_ in planned.items() if hash_ not in there),
        # A file may be called otherwise here.
        moved=sum(hash_ in there and (line, hash_) not in places for (_, line), hash_ in planned.items()),
        others=sum(hash_ not in wanted for hash_ in hashes),
        skipped=len(skipped - planned.keys()),
    )


def is_saved_plan(data: bytes) -> bool:
    """Whether a file's first bytes are those of a saved plan, of this version or another."""
    return data.startswith(SAVED_PLAN)


def from_bytes(data: bytes, name: str) -> SavedPlan:
    """Read a saved plan.

    Args:
        data: The file's content.
        name: The file's name, for messages.

    Raises:
        PlanRefusedError: It was written by another version, or a byte of it was changed.
    """
    if not data.startswith(MAGIC):
        raise PlanRefusedError(
            f"{name} was saved by another version of access-batch.",
            next_step="Nothing was sent. Plan the input again: access-batch plan INPUT --save FILE",
        )
    before, _, end = data.rpartition(_END)
    changed = PlanRefusedError(
        f"{name} is not as it was saved: it was changed, or only a part of it is there.",
        next_step="Nothing was sent. Get the file again from the person who saved or signed it, or plan the input "
        "again: access-batch plan INPUT --save FILE",
    )
    if end != hashlib.sha256(before).hexdigest().encode() + b"\n":
        raise changed
    try:
        plan = _read(before)
        # There is one way to write each plan, so whatever reads the same and is written otherwise was changed.
        is_as_written = plan.to_bytes() == data
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError, pl.exceptions.PolarsError):
        raise changed from None
    if not is_as_written:
        raise changed
    return plan


def signed_text(digest: str, role: str, at: str) -> bytes:
    """What a signature of a plan is over.

    Args:
        digest: The plan's.
        role: PLANNER or APPROVER, so that neither signature can stand for the other.
        at: When it is signed, in RFC 3339.
    """
    return _line({"plan": digest, "role": role, "at": at})


def describe_saved(plan: SavedPlan) -> str:
    """A saved plan in one sentence."""
    about = plan.circumstances
    changes = count(plan.changes.height, "change")
    return f"{changes} in {count(plan.plan.bodies, 'request')} for {about.tenant}, planned {about.planned_at}"


def _read(before: bytes) -> SavedPlan:
    lines = before.decode().split("\n")
    about = json.loads(lines[1])
    last = 2 + int(about.pop("changes"))
    changes = pl.DataFrame(
        [json.loads(line) for line in lines[2:last]], schema=SAVED_COLUMNS, orient="row", strict=True
    )
    datetime.strptime(about["planned_at"], DATE)  # noqa: DTZ007 - only to see whether it is one
    if len(lines) - last > _MOST_SIGNATURES:
        raise ValueError("nobody needs so many signatures")
    signatures = tuple(map(_signature, lines[last:-1]))
    return SavedPlan(circumstances=Circumstances(**about), changes=changes, signatures=signatures)


def _signature(line: str) -> PlanSignature:
    found = PlanSignature(**json.loads(line))
    at = datetime.strptime(found.at, DATE)  # noqa: DTZ007 - it is in UTC
    if not isinstance(found.signature, str) or found.role not in (PLANNER, APPROVER) or at.strftime(DATE) != found.at:
        raise ValueError("it is not as it is signed")
    return found


def _line(value: object) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False)
    return text.encode() + b"\n"
