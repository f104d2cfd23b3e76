"""Seals: the hash of each request's content, which the event that added the request covers.

Before a run's requests are sent, its chain of events is computed again from the ledger: the events, their last
signature, the states that they lead to, and which machine planned which content. Each claim then compares the content
of what it sends.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from batch.errors import ForeignPlanError
from batch.ledger import tables as t
from batch.ledger.chain import EVENTS, Chain, read_chain
from batch.ledger.contents import content_hash, contents, item_content, names_hash
from batch.ledger.events import (
    ABOUT,
    ARRIVED,
    FINDINGS,
    LINKED,
    NAMES,
    PLANNED,
    SEALED,
    SEALS,
    SIGNATURE,
    UNSIGNED,
    Entry,
    append,
    chained_hash,
    changed,
    own_part,
    signed_text,
)
from batch.ledger.facts import (
    about,
    claim_faults,
    dictionary_faults,
    faults_of_others,
    file_faults,
    findings_of,
    gap_faults,
    wave_faults,
)
from batch.ledger.machine_key import KEY, has_signed, key_name
from batch.model import Head
from batch.states import FREE, State
from batch.states import IN_DOUBT as DOUBTFUL

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from batch.model import Request


def seal_of(request: Request) -> str:
    """The hash of a request's content: everything that a body says of it, in any order of recipients and items."""
    items = [item_content(one) for one in request.items]
    operation = request.operation.value
    metadata = sorted(request.metadata.items())
    return content_hash(request.run, request.number, request.tag, operation, request.recipients, items, metadata)


def root(seals: Iterable[str | None]) -> str:
    """The hash of the seals of requests, in the order of their numbers."""
    return hashlib.sha256("\n".join(seal or "" for seal in seals).encode()).hexdigest()


def write_seals(connection: Connection, numbers: Sequence[int]) -> tuple[str, ...]:
    """Computes and keeps the seals of new requests; returns them in the order of the numbers, which is ascending."""
    new = [(number, seal) for number, _, seal in contents(connection, numbers)]
    if new and connection.dialect.name == "sqlite":
        connection.execute(_KEEP, [{"of_number": number, "seal_now": seal} for number, seal in new])
    elif new:
        numbers, seals = zip(*new, strict=True)
        connection.execute(_KEEP_ALL, {"numbers": list(numbers), "seals": list(seals)})
    return tuple(seal for _, seal in new)


def seals_and_contents(connection: Connection, run_id: str) -> Iterator[tuple[int, tuple[str | None, str]]]:
    """Of each request of a run its number, its kept seal, and the seal that its content should have."""
    numbers = [row.number for row in connection.execute(_REQUESTS, {"of_run": run_id})]
    for number, kept, seal in contents(connection, numbers):
        yield number, (kept, seal)


_KEEP: Final = (
    sa.update(t.request).where(t.request.c.number == sa.bindparam("of_number")).values(seal=sa.bindparam("seal_now"))
)
_new: Final = (
    sa.func.unnest(
        sa.cast(sa.bindparam("numbers"), postgresql.ARRAY(sa.Integer)),
        sa.cast(sa.bindparam("seals"), postgresql.ARRAY(sa.Text)),
    )
    .table_valued("number", "seal", name="new")
    .render_derived()
)
_KEEP_ALL: Final = sa.update(t.request).where(t.request.c.number == _new.c.number).values(seal=_new.c.seal)
"""PostgreSQL takes ten times as long for a statement for each."""

_NAMED: Final = (
    EVENTS.where(t.event.c.event.in_([PLANNED, SEALED])).order_by(None).order_by(t.event.c.number.desc()).limit(1)
)
_HASH: Final = sa.select(t.event.c.hash).where(
    t.event.c.run == sa.bindparam("of_run"), t.event.c.number == sa.bindparam("of_number")
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sealed:
    """The planned requests of a run, by who has planned them.

    Attributes:
        ours: The seals of those that this machine has planned, by their numbers.
        others: The names of the keys under which the others were planned, by their numbers.
        doubtful: The seals of requests that this machine has planned and that may have been sent, by their numbers.
        mistrusted: By the numbers of requests in any state of FREE that may have arrived: the name of the key on whose
            word alone they have not.
        parts: Of requests that were divided, their parts.
        revived: Planned requests whose changes may have been submitted in others: they are planned anew.
        last: The run's newest event.
        tracked_by: The names of the other machines' keys that alone have signed what the tenant reports, by requests.
        claim: The greatest number of a claim that its events have.
    """

    ours: Mapping[int, str]
    others: Mapping[int, str]
    doubtful: Mapping[int, str]
    mistrusted: Mapping[int, str]
    parts: Mapping[int, Sequence[int]]
    revived: frozenset[int]
    last: Head
    tracked_by: Mapping[int, str]
    claim: int


def require_ours(sealed: Sealed, request: Request) -> None:
    """Refuses a request if anybody else has planned it, or makes it free to be sent.

    Raises:
        ForeignPlanError: Somebody has.
    """
    if key := sealed.mistrusted.get(request.number):
        raise ForeignPlanError(
            f"Request {request.id} may have arrived. Another machine, with the key {key}, recorded that it did "
            "not, but this machine does not trust that key.",
            next_step="Nothing of it was sent. Run the same command again: it asks the tenant itself.",
        )
    if request.number in sealed.revived:
        raise ForeignPlanError(
            f"Request {request.id} did not arrive, and its changes may have been submitted in another request since.",
            next_step="Nothing of it was sent. Run the same command again: it plans these changes anew.",
        )
    if key := sealed.others.get(request.number):
        raise ForeignPlanError(
            f"Another machine, with the key {key}, has planned request {request.id} meanwhile.",
            next_step="Nothing of it was sent. Run the same command again: it plans these changes anew.",
        )


def check_run(connection: Connection, run_id: str, *, whole: bool = False) -> Sealed:
    """Compute a run's chain again, and compare the ledger with it.

    Args:
        connection: In a transaction.
        run_id: The run.
        whole: Whether to compare also requests that are done: a change to one could make its changes be sent again.

    Raises:
        LedgerChangedError: They differ: somebody has changed the ledger.
    """
    public = connection.get_execution_options()[KEY]().public
    own_part(connection, run_id)
    chain = read_chain(connection, run_id, {public})
    kept = {row.number: row for row in connection.execute(_REQUESTS, {"of_run": run_id})}
    planned = {number for number, row in kept.items() if row.state == State.PLANNED}
    doubts = {number for number, row in kept.items() if row.state in DOUBTFUL}
    births = [birth for birth in chain.births if whole or not (planned | doubts).isdisjoint(birth.numbers)]
    needed = {next(head.number for head, *_ in chain.signed if head.number >= birth.event) for birth in births}
    needed |= set(chain.freed.values())
    faults = [
        *chain.faults,
        *state_faults(chain, {number: State(row.state) for number, row in kept.items()}),
        *(
            f"request {number} counts {row.attempts} attempts, but its events {chain.attempts.get(number, 0)}"
            for number, row in kept.items()
            if row.attempts != chain.attempts.get(number, 0)
        ),
        *([] if chain.is_signed or not chain.last.number else [UNSIGNED]),
        *signature_faults(connection, chain, needed),
        *fact_faults(connection, chain, whole=whole),
    ]
    ours: dict[int, str] = {}
    doubtful: dict[int, str] = {}
    others = dict.fromkeys(planned, "nobody")
    for birth in births:
        seals = {number: kept[number].seal for number in birth.numbers if number in kept}
        if root(seals.values()) != birth.root:
            faults.append(f"requests that event {birth.event} added were changed")
        for number in planned & seals.keys():
            others[number] = key_name(birth.signer)
            if birth.signer == public:
                ours[number] = others.pop(number) and seals[number]
        if birth.signer == public:
            doubtful |= {number: seals[number] for number in doubts & seals.keys()}
    if whole:
        found = seals_and_contents(connection, run_id)
        faults += [f"request {number} was changed" for number, (seal, content) in found if seal != content]
    if faults:
        raise changed(run_id, faults)
    free = {number for number, row in kept.items() if row.state in FREE}
    mistrusted = {
        number: key_name(key)
        for number, key in chain.mistrusted.items()
        if number in free and chain.may_be_doubted_again(number)
    }
    return Sealed(
        ours=ours,
        others=others,
        doubtful=doubtful,
        mistrusted=mistrusted,
        parts=chain.parts,
        revived=frozenset(chain.revived & planned),
        last=chain.last,
        tracked_by={number: key_name(key) for number, key in chain.tracked_by.items() if key != public},
        claim=chain.greatest_claim,
    )


def fact_faults(connection: Connection, chain: Chain, *, whole: bool = True) -> Iterator[str]:
    """Differences between what a run's events say of it and its tenant, its names and its findings, and the ledger."""
    run_id = chain.last.run
    if chain.names is not None and chain.names != names_digest(connection, run_id):
        yield "the meanings of its names were changed"
    if chain.about is not None:
        now = about(connection, run_id)
        names = ("input", "run", "name", "token", "urls")
        yield from (f"{_ABOUT[name]} was changed" for name in names if chain.about.get(name) != now.get(name))
    yield from wave_faults(connection, run_id, chain.waves)
    parents = dict(connection.execute(_PARENTS, {"of_run": run_id}).all())
    yield from chain.parent_faults(parents)
    for number, claimed in connection.execute(_CLAIMED, {"of_run": run_id}):
        if chain.claims.get(number, claimed) != claimed:
            yield f"the moment at which request {number} was sent was changed"
    if whole:
        findings = findings_of(connection, run_id)
        for number in sorted(findings.keys() | chain.findings.keys()):
            if findings.get(number, "") != chain.findings.get(number, ""):
                yield f"the tenant's report on request {number} was changed"


_PARENTS: Final = sa.select(t.request.c.number, t.request.c.parent).where(
    t.request.c.run == t.RUN_NUMBER, t.request.c.parent.is_not(None)
)
_CLAIMED: Final = sa.select(t.request.c.number, t.request.c.claimed).where(t.request.c.run == t.RUN_NUMBER)
_ABOUT: Final = {
    "input": "the digest of its input",
    "run": "its date, its API, its metadata or the list of its files",
    "name": "the name of its tenant",
    "token": "the name of its tenant in tokens",
    "urls": "the list of its tenant's addresses",
}


def check_all(connection: Connection) -> Mapping[str, Sealed]:
    """Compare everything by which earlier changes are found again with the chains of all runs.

    An index that lacks entries, or a table out of order, hides changes from whoever looks them up, and not from
    whoever reads everything: so the database's own check comes first.

    Returns:
        The runs, by their ids.

    Raises:
        LedgerChangedError: They differ: somebody has changed the ledger.
    """
    if damage := file_faults(connection):
        raise changed("", damage, what="The ledger's file is damaged, or somebody has changed it")
    public = connection.get_execution_options()[KEY]().public
    if faults := [
        *gap_faults(connection),
        *faults_of_others(connection, public),
        *dictionary_faults(connection),
    ]:
        raise changed("", faults)
    runs = connection.execute(sa.select(t.run.c.id).order_by(t.run.c.number)).scalars().all()
    found = {run: check_run(connection, run, whole=True) for run in runs}
    if faults := [*claim_faults(connection, max((sealed.claim for sealed in found.values()), default=0))]:
        raise changed("", faults)
    return found


def check_runs_of(connection: Connection, tenants: Collection[int]) -> None:
    """Compute the chains of tenants' runs again, before a change of the tenants is sealed in them.

    Raises:
        LedgerChangedError: Somebody has changed one of them: sealed again, it would count as sound.
    """
    runs = sa.select(t.run.c.id).where(t.run.c.tenant.in_(tenants)).order_by(t.run.c.number)
    for run in connection.execute(runs).scalars().all():
        check_run(connection, run)


def state_faults(chain: Chain, kept: Mapping[int, State]) -> Iterator[str]:
    """Differences between the states that a run's events lead to and those of its requests."""
    for number in sorted(chain.states.keys() | kept.keys()):
        state = kept.get(number)
        if state is None:
            yield f"request {number} is gone"
        elif number not in chain.states:
            yield f"no event added request {number}"
        else:
            expected = chain.states[number]
            possible = {State.PLANNED, State.ACCEPTED} if expected is None else {expected}
            if state not in possible:
                yield f"request {number} is {state}, but its events lead to {expected or State.PLANNED}"


def signature_faults(connection: Connection, chain: Chain, numbers: Container[int]) -> Iterator[str]:
    """Signatures of events with these numbers that were not made with the key that they name."""
    ledger: str = connection.execute(_LEDGER).scalar_one()
    for head, public, place, signature in chain.signed:
        if head.number in numbers:
            before = connection.execute(SIGNATURE, {"of_public": public, "of_place": place - 1}).scalar()
            if not has_signed(public, signed_text(ledger, place, before or "", head), signature):
                yield f"the signature of event {head.number} is wrong"


_LEDGER: Final = sa.select(t.about.c.ledger)
MEANINGS: Final = (
    sa.select(*(t.name_meaning.c[name] for name in ("kind", "name", "outcome", "id", "problem")))
    .where(t.name_meaning.c.run == t.RUN_NUMBER)
    .order_by(t.name_meaning.c.kind, t.name_meaning.c.name)
)
_REQUESTS: Final = (
    sa.select(t.request.c.number, t.request.c.state, t.request.c.seal, t.request.c.attempts)
    .join(t.run, t.run.c.number == t.request.c.run)
    .where(t.run.c.id == sa.bindparam("of_run"))
    .order_by(t.request.c.number)
)


def seal_old_runs(connection: Connection, now: datetime) -> None:
    """Seal what a ledger of a version without seals has, as it is."""
    for run_id in connection.execute(sa.select(t.run.c.id).order_by(t.run.c.number)).scalars().all():
        requests = connection.execute(_REQUESTS, {"of_run": run_id}).all()
        seals = write_seals(connection, [row.number for row in requests])
        parts = [number for number, state in read_chain(connection, run_id).states.items() if state is None]
        accepted = {row.number for row in requests if row.state == State.ACCEPTED}
        detail: dict[str, Any] = {SEALS: root(seals), ARRIVED: sorted(accepted.intersection(parts))}
        detail |= {NAMES: names_digest(connection, run_id), ABOUT: about(connection, run_id)}
        detail |= {FINDINGS: findings_of(connection, run_id)}
        append(connection, run_id, [Entry(event=SEALED, at=now, detail=detail)])


def link_old_runs(connection: Connection, now: datetime) -> None:
    """Seal what a ledger of the first version with seals has beside its requests, as it is.

    Nothing is sealed twice, whichever version somebody has written into the ledger: that would hide a change.
    """
    for run_id in connection.execute(sa.select(t.run.c.id).order_by(t.run.c.number)).scalars().all():
        if read_chain(connection, run_id).about is None:
            detail = {ABOUT: about(connection, run_id), FINDINGS: findings_of(connection, run_id)}
            append(connection, run_id, [Entry(event=LINKED, at=now, detail=detail)])


def has_planned_names(connection: Connection, run_id: str) -> bool:
    """Whether this machine has signed what the names in a run's input mean: any other key may be anybody's."""
    key = connection.get_execution_options()[KEY]().public
    newest = connection.execute(_NAMED, {"of_run": run_id}).mappings().first()
    if newest is None or newest["public"] != key:
        return False
    before = connection.execute(_HASH, {"of_run": newest["run"], "of_number": newest["number"] - 1}).scalar() or ""
    head = Head(run=run_id, number=newest["number"], hash=newest["hash"])
    chain = Chain(run_id, newest=0)
    chain.signed.append((head, key, newest["place"] or 0, newest["signature"]))
    return (
        newest["hash"] == chained_hash(before, run_id, dict(newest))
        and not [*signature_faults(connection, chain, {head.number})]
        and json.loads(newest["detail"]).get(NAMES) == names_digest(connection, run_id)
    )


def names_digest(connection: Connection, run_id: str) -> str:
    """The hash of what the names in a run's input mean."""
    return names_hash(connection.execute(MEANINGS, {"of_run": run_id}))
