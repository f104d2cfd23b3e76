"""`evidence verify`: proves an evidence pack without ledger, tenant and network, or lists what is wrong with it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from batch.commands.evidence import describe_pack, text_for_machines, text_for_people
from batch.commands.plan_signatures import signers
from batch.commands.runs import KEY, first_words, require_head
from batch.credentials.ssh_signatures import in_words, signers_of
from batch.errors import InputFileError, PlanRefusedError, SettingsError
from batch.files import read_small, read_whole
from batch.ledger.evidence import replay
from batch.ledger.machine_key import has_signed, key_name
from batch.plan.saved import APPROVER, from_bytes
from batch.report.evidence_check import PLAN, evidence_in, listed, said_faults
from batch.report.evidence_form import manifest_faults, signatures_in
from batch.report.evidence_pack import MANIFEST, MOST_BYTES, SIGNATURES, unpacked
from batch.text import moment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from batch.report.evidence_pack import Pack

_THEN: Final = "Nothing was verified. Give a file of allowed signers with --trust, see `access-batch help evidence`."


_ODD: Final = (
    *(ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError),
    *(pl.exceptions.PolarsError, pl.exceptions.PanicException),
)
"""What something that this program never writes can make it raise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What was found out about a pack.

    Attributes:
        manifest: What the pack says that it is.
        faults: Everything that is wrong with it, as sentences.
        said: What is proven, and by whom, as sentences.
        trusted: Whether somebody whom the user trusts vouches for it.
        trust: The file that says whom the user trusts; empty for none.
    """

    manifest: Mapping[str, Any]
    faults: Sequence[str]
    said: Sequence[str] = ()
    trusted: bool = False
    trust: str = ""

    @property
    def exit_code(self) -> int:
        """3 if something is wrong."""
        return 3 if self.faults else 0

    def describe(self) -> Iterator[str]:
        """The result for people."""
        yield from self.said
        if self.faults:
            yield "This evidence is not sound:"
            yield from (f"  {fault}" for fault in self.faults)
            return
        yield "The evidence is consistent: all its parts agree."
        if not self.trusted:
            yield (
                "This proves consistency only: whoever made it may have made up all of it. --trust names the people or "
                "machines that you trust, and --head a head of the run that somebody noted before."
            )

    def as_json(self) -> dict[str, Any]:
        """The same for `--json`."""
        return {
            "sound": not self.faults,
            "trusted": self.trusted and not self.faults,
            "faults": [*self.faults],
            "said": [*self.said],
            "manifest": {name: value for name, value in self.manifest.items() if name != "files"},
        }


def verify_evidence(name: str, *, trust: str = "", head: str = "") -> Verdict:
    """Prove a pack, as far as it can be proven with nothing else at hand.

    Args:
        name: The file.
        trust: A file of allowed signers, which may also have public keys of machines, one a line; empty for none.
        head: A head of the run that was noted before; empty for none.

    Raises:
        InputFileError: It can't be read, or is no pack of this version.
        SettingsError: The file of allowed signers can't be used.
        UsageError: The head can't be read.
    """
    try:
        data = read_whole(Path(name), most=MOST_BYTES)[0]
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "it is not a path"
        raise InputFileError(f"{name} can't be read: {why}.", next_step="Name an evidence pack.") from None
    pack = unpacked(data, name)
    require_head(head)
    known = _trusted_machines(trust)
    found = _Findings()
    found.faults += pack.faults
    odd = [*manifest_faults(pack.manifest)] if pack.manifest else []
    if odd or not pack.manifest:
        found.faults += [*odd, f"nothing else was checked, since access-batch has not written this {MANIFEST}"]
        return Verdict(manifest={}, faults=found.faults, trust=trust)
    try:
        found.said += describe_pack(pack.manifest)
        _look_at(pack, found, trust=trust, machines=known, head=head)
    except _ODD as error:
        # Somebody has written what this program never writes.
        found.faults.append(f"not everything could be read and checked: {error}")
    faults = [*dict.fromkeys(found.faults)]
    return Verdict(manifest=pack.manifest, faults=faults, said=found.said, trusted=found.trusted, trust=trust)


class _Findings:
    """What was found so far; see Verdict."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.said: list[str] = []
        self.trusted = False


def _look_at(pack: Pack, found: _Findings, *, trust: str, machines: frozenset[str], head: str) -> None:
    sealed_by = _sealed_by(pack, found)
    by_people = [*_people(pack, found, trust)]
    evidence = evidence_in(pack)
    replayed = replay(evidence)
    found.faults += listed(replayed.faults)
    found.faults += listed(said_faults(pack, evidence, replayed))
    if sealed_by and sealed_by not in {*replayed.keys, *machines} and not by_people:
        found.faults.append(
            f"it was made by a machine with the key {sealed_by}, which has signed no event of the run: if you trust "
            "that machine, add the key to the file that --trust names"
        )
    names = ", ".join(key_name(key) for key in replayed.keys)
    if replayed.keys and machines.issuperset({*replayed.keys, sealed_by}):
        found.trusted = True
        found.said.append(f"The chain of events was signed by machines that {trust} names: {names}.")
    else:
        found.said.append(f"The chain of events was signed by machines with the keys {names}.")
    if PLAN in pack.files:
        _look_at_plan(pack, found, trust)
    if head:
        number, _, digits = head.partition(":")
        if replayed.heads.get(int(number), "").startswith(digits):
            found.said.append(f"It has the head {head} that was noted before.")
        else:
            found.faults.append(f"it does not have the head {head}: events are missing, or others took their place")
    if trust and not found.trusted:
        found.faults.append(f"nobody that {trust} names vouches for it")


def _people(pack: Pack, found: _Findings, trust: str) -> Iterator[str]:
    """The people who have signed a pack."""
    people, told = _signatures(pack)["people"], pack.manifest["signed_by_people"]
    if len(people) != told:
        found.faults.append(f"{SIGNATURES} holds {len(people)} signatures of people, and the manifest counts {told}")
    for one in people:
        at = moment(one["at"])
        if at is None or one["at"] != pack.manifest["made_at"]:
            found.faults.append(f"the signature of {one['at']} was not made with the pack")
            continue
        if not _names_signers(trust):
            found.said.append(f"Somebody signed it on {one['at']}: not checked, as --trust names no allowed signers.")
            continue
        text = text_for_people(_digest(pack), one["at"])
        try:
            who = in_words(signers_of(text, one["signature"], Path(trust), at, then=_THEN))
        except PlanRefusedError:
            who = ""
        if who:
            found.said.append(f"Signed by {who} on {one['at']}, as their machine says: all its files are theirs.")
            found.trusted = True
            yield who
        else:
            found.faults.append(f"the signature of {one['at']} was not made by a signer whom {trust} allows")


def _sealed_by(pack: Pack, found: _Findings) -> str:
    """The public key of the machine that sealed a pack; empty if the seal is wrong."""
    seal = _signatures(pack)["machine"]
    if has_signed(seal["public"], text_for_machines(_digest(pack)), seal["signature"]):
        return str(seal["public"])
    found.faults.append(f"{MANIFEST} or {SIGNATURES} was changed: the seal of the machine that made it is wrong")
    return ""


def _look_at_plan(pack: Pack, found: _Findings, trust: str) -> None:
    """Who has planned and approved the saved plan."""
    try:
        plan = from_bytes(pack.files[PLAN], PLAN)
    except PlanRefusedError:
        return
    # The keys must have been valid when the run began.
    began = moment(pack.manifest["about"]["run"][2])
    if began is None or not _names_signers(trust):
        found.said += [f"A signature of the plan, as {one.role}: not checked." for one in plan.signatures]
        return
    try:
        signed = signers(plan, Path(trust), began)
    except PlanRefusedError:
        found.faults.append(f"a signature in {PLAN} is not a signature")
        return
    for one, who in signed:
        what = f"The plan was {'approved' if one.role == APPROVER else 'planned'} on {one.at}"
        if who:
            found.said.append(f"{what} by {in_words(who)}.")
        else:
            found.faults.append(f"the plan's signature of {one.at}, as {one.role}, is by nobody whom {trust} allows")


def _names_signers(trust: str) -> bool:
    """Whether a file names people: any line that is no public key of a machine."""
    read = read_small(Path(trust), next_step=_THEN) if trust else None
    return read is not None and not all(KEY.fullmatch(word) for word in first_words(read.text))


def _trusted_machines(trust: str) -> frozenset[str]:
    """The public keys of machines in a file, which may have allowed signers too.

    Raises:
        SettingsError: There is no such file, or it can't be read.
    """
    if not trust:
        return frozenset()
    read = read_small(Path(trust), next_step=_THEN)
    if read is None:
        raise SettingsError(f"There is no file {trust}.", next_step=_THEN)
    return frozenset(word for word in first_words(read.text) if KEY.fullmatch(word))


def _signatures(pack: Pack) -> dict[str, Any]:
    if SIGNATURES not in pack.files:
        raise ValueError(f"{SIGNATURES} is missing")
    return signatures_in(pack.files[SIGNATURES])


def _digest(pack: Pack) -> str:
    return hashlib.sha256(pack.files[MANIFEST]).hexdigest()
