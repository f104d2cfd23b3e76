"""Compares the ledger with the tenant's status list, row by row: the proof that an auditor asks for.

A row belongs to a request by the ids in its clientMetadata. One submission is one attempt in one access request: a
change that the ledger has wanted once must not show two of them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from batch.api.dialects import REQUEST_TYPES, ItemType, Operation
from batch.api.tenant_outcome import OUTCOME_WORDS, TenantOutcome, is_existing, tenant_outcome
from batch.states import IN_DOUBT, State
from batch.status.matching import attempt_id, is_bare, listed_item, named_item, request_id
from batch.text import RequestId, key_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    import polars as pl

    from batch.api.status_row import StatusRow
    from batch.status.in_progress import Item
    from batch.status.matching import Pair

LISTED_WITHIN: Final = timedelta(hours=1)
"""An accepted change that the list does not show by then is reported."""


class Mismatch(StrEnum):
    """How ledger and list can disagree, or the ledger with its own chains; the names are those of the JSON output."""

    TWICE = "submitted_twice"
    NOT_LISTED = "accepted_but_not_listed"
    UNKNOWN = "listed_but_unknown"
    DIFFERENT = "states_differ"
    CHANGED = "ledger_changed"


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditFinding:
    """A change on which ledger and list disagree, or a run that somebody has changed in the ledger.

    Attributes:
        kind: In which way.
        request: Id of the request, as the ledger has it, or else as the list has it; of the run if somebody changed it.
        identity: Id of the identity; empty for a run.
        item_type: Kind of access item; empty if the list gives none, and for a run.
        item: Id of the item; empty for a run.
        said: The details, in words.
    """

    kind: Mismatch
    request: str
    identity: str
    item_type: str
    item: str
    said: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerLine:
    """A change of one of the ledger's requests, in whichever state; see ledger.track.AUDIT_SCHEMA."""

    run: str
    request: int
    tag: str
    parent: int | None
    operation: Operation
    request_state: State
    state_at: datetime
    identity: str
    item_type: str
    item: str
    tracked: str
    said: str
    access_request: str

    @property
    def id(self) -> str:
        """The request's id."""
        return str(RequestId(self.run, self.request, self.tag))

    @property
    def pair(self) -> Pair:
        """Identity and item, as they are compared."""
        return key_of(self.identity), key_of(self.item)

    @property
    def is_ours_to_show(self) -> bool:
        """Whether it was accepted and the tenant did not answer that the same was requested already."""
        return self.request_state is State.ACCEPTED and not is_existing(self.tracked, self.said)


def ledger_lines(table: pl.DataFrame) -> Iterator[LedgerLine]:
    """The lines of ledger.track.AUDIT_SCHEMA."""
    for run, request, tag, parent, operation, state, at, identity, item_type, item, *rest in table.iter_rows():
        yield LedgerLine(
            run=run,
            request=request,
            tag=tag or "",
            parent=parent,
            operation=Operation(operation),
            request_state=State(state),
            state_at=datetime.fromisoformat(at),
            identity=identity,
            item_type=item_type,
            item=item,
            **{name: text or "" for name, text in zip(("tracked", "said", "access_request"), rest, strict=True)},
        )


@dataclass(frozen=True, slots=True)
class _Row:
    """The parts of a row of ours that count."""

    name: RequestId
    pair: Pair
    type: str
    request_type: str
    attempt: str
    access_request: str
    state: str
    said: str

    @property
    def submission(self) -> tuple[str, str]:
        return self.attempt, self.access_request

    def may_be(self, line: LedgerLine) -> bool:
        """Whether the ledger's line can be what the row is about."""
        same = self.type in {"", line.item_type} and self.request_type in {"", REQUEST_TYPES[line.operation]}
        return same and self.pair == line.pair


@dataclass(kw_only=True, slots=True)
class ListedRows:
    """The rows of the status list that an audit compares; take the list before the ledger is read.

    Attributes:
        runs: Ids of the runs that are audited.
        others: How many rows name a run that is not audited or not in this ledger, by the run.
        ours: The rows of the audited runs.
        bare: Identity and item of each row without any clientMetadata.
        bare_requests: Identity and access request of each.
    """

    runs: Collection[str]
    others: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    ours: dict[_Row, None] = field(default_factory=dict)
    bare: set[Pair] = field(default_factory=set)
    bare_requests: set[Pair] = field(default_factory=set)

    def take(self, row: StatusRow) -> None:
        """Takes a row; the same row again changes nothing."""
        pair = key_of(row.identity), key_of(named_item(row) or listed_item(row))
        name = RequestId.read(request_id(row))
        if name is not None and name.run in self.runs:
            mark = row.access_request or row.activity
            self.ours[_Row(name, pair, row.item_type, row.request_type, attempt_id(row), mark, row.state, row.said)] = (
                None
            )
        elif name is not None:
            self.others[name.run] += 1
        elif is_bare(row):
            self.bare.add(pair)
            self.bare_requests.add((pair[0], row.access_request))


class Comparison:
    """Compares the ledger's changes with the rows of the list.

    Args:
        listed: What the list shows.
        lines: Every change of the audited runs.
        attempts: The ids of the ledger's attempts, by the number of their request.
        found: The access requests that settling found, by the number of the request.
        imported: Changes that were imported from the list, such as those that a ledger put back from a backup had lost.

    Attributes:
        lines: The changes of the audited runs.
    """

    def __init__(
        self,
        listed: ListedRows,
        lines: Iterable[LedgerLine],
        *,
        attempts: Mapping[int, Collection[str]],
        found: Mapping[int, Collection[str]],
        imported: Iterable[LedgerLine] = (),
    ) -> None:
        self.lines = tuple(lines)
        self._bare = listed.bare
        self._bare_requests = listed.bare_requests
        self._found = found
        self._imported = {(line.pair, line.operation, line.access_request) for line in imported}
        self._wanted = Counter((pair, operation) for pair, operation, _ in self._imported)
        self._wanted.update((line.pair, line.operation) for line in self.lines if line.request_state in _SENT)
        self._attempts = attempts
        self._of_pair: defaultdict[Pair, list[int]] = defaultdict(list)
        for position, line in enumerate(self.lines):
            self._of_pair[line.pair].append(position)
        self._rows: defaultdict[int, list[_Row]] = defaultdict(list)
        self._unknown: list[_Row] = []
        for row in listed.ours:
            owner = self._owner(row)
            if owner is None:
                self._unknown.append(row)
            else:
                self._rows[owner].append(row)

    @property
    def listed(self) -> int:
        """How many changes of the ledger the list shows."""
        return len(self._rows)

    @property
    def in_doubt(self) -> int:
        """How many changes are unconfirmed or being sent."""
        return sum(line.request_state in IN_DOUBT for line in self.lines)

    @property
    def doubtful_runs(self) -> tuple[str, ...]:
        """The ids of the runs that have such changes."""
        return tuple(sorted({line.run for line in self.lines if line.request_state in IN_DOUBT}))

    def missing(self, now: datetime) -> list[LedgerLine]:
        """Changes that were accepted long ago and are not listed."""
        return [line for line in self._not_listed() if now - line.state_at >= LISTED_WITHIN]

    def not_listed_yet(self, now: datetime) -> int:
        """How many changes are not listed, but were accepted so recently that the list may still show them."""
        return sum(now - line.state_at < LISTED_WITHIN for line in self._not_listed())

    def _not_listed(self) -> Iterator[LedgerLine]:
        for position, line in enumerate(self.lines):
            is_bare = line.pair in self._bare or (line.pair[0], line.access_request or None) in self._bare_requests
            if line.is_ours_to_show and position not in self._rows and not is_bare:
                yield line

    def findings(self, missing: Sequence[LedgerLine]) -> Iterator[AuditFinding]:
        """Everything that the two disagree on.

        Args:
            missing: Those of `missing` for which there is no other explanation.
        """
        twice = set()
        for position, rows in self._rows.items():
            line = self.lines[position]
            if len({row.submission for row in rows}) > 1:
                twice.add((line.pair, line.operation))
                yield _finding(Mismatch.TWICE, line, _submissions(rows))
        for key, rows in self._together().items():
            wanted = self._wanted[key]
            submissions = {row.submission for row in rows}
            if key not in twice and len(submissions) > max(1, wanted):
                twice.add(key)
                yield self._unlike(Mismatch.TWICE, rows[0], f"wanted {_times(wanted)}; {_submissions(rows)}")
        for row in self._unknown:
            if not self._was_imported(row) and (row.pair, _operation(row)) not in twice:
                yield self._unlike(Mismatch.UNKNOWN, row, f"access request {row.access_request}, {row.state}")
        for position, rows in self._rows.items():
            line = self.lines[position]
            if (line.pair, line.operation) not in twice and (said := _difference(line, rows)):
                yield _finding(Mismatch.DIFFERENT, line, said)
        for line in missing:
            yield _finding(Mismatch.NOT_LISTED, line, f"accepted at {line.state_at:%Y-%m-%d %H:%M} UTC")

    def _owner(self, row: _Row) -> int | None:
        """The ledger's change that a row is about; if its request was divided, the part that has the change now.

        None if the ledger has no such request or attempt, and has not found the row's access request either. None, too,
        if the request counts as not submitted, but the row was imported.
        """
        owner = self._named(row)
        if owner is not None:
            owner = self._part_of(owner, row)
            if self.lines[owner].request_state in _SENT:
                return owner
        found = next((n for n in self._of_pair[row.pair] if self._was_found(row, self.lines[n])), None)
        return found if found is not None or self._was_imported(row) else owner

    def _part_of(self, owner: int, row: _Row) -> int:
        while self.lines[owner].request_state is State.SPLIT:
            whole = self.lines[owner].request
            # Parts have greater numbers, so that this ends, whatever somebody has written.
            parts = [n for n in self._of_pair[row.pair] if self.lines[n].parent == whole < self.lines[n].request]
            part = next((n for n in parts if row.may_be(self.lines[n])), None)
            if part is None:
                break
            owner = part
        return owner

    def _was_imported(self, row: _Row) -> bool:
        return (row.pair, _operation(row), row.access_request) in self._imported

    def _was_found(self, row: _Row, line: LedgerLine) -> bool:
        found = (self._found.get(number, ()) for number in (line.request, line.parent) if number is not None)
        is_known = row.access_request == line.access_request or any(row.access_request in one for one in found)
        return bool(row.access_request) and line.request_state is State.ACCEPTED and row.may_be(line) and is_known

    def _named(self, row: _Row) -> int | None:
        """The change of the request that a row names."""
        named = [n for n in self._of_pair[row.pair] if self.lines[n].request == row.name.number]
        owner = next((n for n in named if row.may_be(self.lines[n])), None)
        if owner is None or self.lines[owner].tag != row.name.tag or self.lines[owner].run != row.name.run:
            return None
        if self.lines[owner].request_state in IN_DOUBT:
            # A ledger that was put back does not have the attempt that it doubts.
            return owner
        known = self._attempts.get(row.name.number, ())
        return None if known and row.attempt and row.attempt not in known else owner

    def _together(self) -> Mapping[tuple[Pair, Operation], list[_Row]]:
        """Our rows of each pair and operation, known to the ledger or not."""
        found: defaultdict[tuple[Pair, Operation], list[_Row]] = defaultdict(list)
        for row in (*(row for rows in self._rows.values() for row in rows), *self._unknown):
            found[row.pair, _operation(row)].append(row)
        return found

    def _unlike(self, kind: Mismatch, row: _Row, said: str) -> AuditFinding:
        """A finding about a row, with the ids as the ledger spells them if it knows them."""
        line = next((self.lines[n] for n in self._of_pair[row.pair]), None)
        identity, item = (line.identity, line.item) if line else row.pair
        return AuditFinding(
            kind=kind, request=str(row.name), identity=identity, item_type=row.type, item=item, said=said
        )


_SENT: Final = (State.ACCEPTED, *IN_DOUBT)
"""States of requests that may have one submission at the tenant."""

_WORDS: Final = {
    State.PLANNED: "not sent",
    State.REFUSED: "refused",
    State.SPLIT: "taken over by another request",
    State.DISCARDED: "discarded",
}
_OPERATIONS: Final = {name: operation for operation, name in REQUEST_TYPES.items()}


def _times(number: int) -> str:
    return "once" if number == 1 else "twice" if number == 2 else f"{number} times"  # noqa: PLR2004 - words


def _operation(row: _Row) -> Operation:
    return _OPERATIONS.get(row.request_type, Operation.GRANT)


def _finding(kind: Mismatch, line: LedgerLine, said: str) -> AuditFinding:
    return AuditFinding(
        kind=kind, request=line.id, identity=line.identity, item_type=line.item_type, item=line.item, said=said
    )


def _submissions(rows: Iterable[_Row]) -> str:
    named = sorted({f"{row.access_request} (attempt {row.attempt or 'without an id'})" for row in rows})
    return f"access requests {', '.join(named)}"


def _difference(line: LedgerLine, rows: Sequence[_Row]) -> str:
    """How the ledger's state of a listed change differs from the list's; empty if it does not.

    A change that was open when the ledger last looked may have ended since.
    """
    if line.request_state in IN_DOUBT:
        return ""
    if line.request_state is not State.ACCEPTED:
        return f"the ledger says {_WORDS[line.request_state]}, and the list shows it"
    ours = tenant_outcome(line.tracked, line.said)
    theirs = tenant_outcome(rows[-1].state, rows[-1].said)
    if not line.tracked or ours in {TenantOutcome.OPEN, theirs}:
        return ""
    return f"the ledger says {OUTCOME_WORDS[ours]}, the list says {OUTCOME_WORDS[theirs]}"


def explained(missing: Iterable[LedgerLine], held: Mapping[str, Collection[Item]]) -> Iterator[LedgerLine]:
    """Changes that are not listed because there was nothing to do: the access is held, or for a revoke not held.

    Args:
        missing: Changes that are not listed.
        held: Of each identity that the search index knows, which of the items it holds.
    """
    for line in missing:
        if line.identity in held:
            has_it = (ItemType(line.item_type), line.item) in held[line.identity]
            if has_it == (line.operation is Operation.GRANT):
                yield line
