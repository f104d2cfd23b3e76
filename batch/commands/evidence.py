"""`evidence RUN`: everything that is known of a run in one file, for somebody who has neither ledger nor tenant."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import shlex
from dataclasses import dataclass, replace
from datetime import UTC
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr

from batch.commands.loading import load
from batch.commands.report import folders_of, place_in, view_of
from batch.commands.runs import status
from batch.commands.sources import read_saved
from batch.credentials.ssh_signatures import sign
from batch.errors import SettingsError, StoppedError, UsageError
from batch.files import first_bytes, read_whole, whole_file
from batch.ledger.evidence import replay
from batch.ledger.machine_key import key_name
from batch.model import Head
from batch.plan.saved import DATE, is_saved_plan
from batch.read import PLAIN, read_loaded
from batch.report import evidence_check as check
from batch.report.evidence_pack import MOST_BYTES, as_document, as_lines, packed
from batch.report.files import write_sheet
from batch.report.run_page import STANDING_WORDS
from batch.report.run_report import changes_sheet, write_page
from batch.settings import APPLICATION, CONSENTS
from batch.status.compare import LOST_RUN
from batch.text import count, without_password

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from batch.commands.runtime import Runtime
    from batch.commands.screen import Screen
    from batch.ledger.evidence import Replayed, RunEvidence
    from batch.model import Run
    from batch.plan.saved import SavedPlan
    from batch.settings import Settings

_ENOUGH: Final = 64
_LISTED: Final = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class MadePack:
    """A pack that was written.

    Attributes:
        path: Its file.
        manifest: What its manifest says, beside the files.
        key: The public key of the machine that sealed it.
        signed: Whether somebody has signed it.
        faults: Everything that is wrong with the ledger's record of the run.
    """

    path: Path
    manifest: Mapping[str, Any]
    key: str
    signed: bool
    faults: Sequence[str]

    @property
    def exit_code(self) -> int:
        """3 if the record is not sound."""
        return 3 if self.faults else 0

    def describe(self) -> Iterator[str]:
        """The pack for people."""
        yield f"The evidence is in {self.path}."
        yield from describe_pack(self.manifest)
        name = key_name(self.key)
        if self.key not in self.manifest["keys"]:
            yield f"This machine, with the key {self.key}, has signed no event of the run: verifying it needs that key."
        elif not self.signed:
            yield f"Nobody has signed it but this machine, with the key {name}. --signing-key adds your signature."
        if self.faults:
            yield "The ledger is not sound, and the evidence shows it:"
            yield from (f"  {fault}" for fault in self.faults[:_LISTED])
        yield f"To verify it anywhere: access-batch evidence verify {shlex.quote(str(self.path))} --trust FILE"

    def as_json(self) -> dict[str, Any]:
        """The same for `--json`."""
        names = ("run", "head", "totals", "missing")
        told = {name: self.manifest[name] for name in names}
        return {"path": str(self.path), **told, "key": self.key, "signed": self.signed, "faults": [*self.faults]}


def describe_pack(manifest: Mapping[str, Any]) -> Iterator[str]:
    """A manifest for people."""
    totals, head = manifest["totals"], str(manifest["head"]["after"])
    number, _, digits = head.partition(":")
    short = Head(run=str(manifest["run"]), number=int(number), hash=digits).short
    changes = f"{count(totals['changes'], 'change')}, {count(totals['attempts'], 'attempt')}"
    yield f"Run {manifest['run']} at {manifest['about']['name']}: {changes}, {count(totals['events'], 'event')}."
    standings = [
        f"{number:,} {STANDING_WORDS.get(name, name)}" for name, number in totals["standings"].items() if number
    ]
    yield f"  {', '.join(standings)}"
    yield f"Head of the run: {short}. Made {manifest['made_at']}."
    for name, why in manifest["missing"].items():
        yield f"Without the {name}: {why}."


def make_evidence(
    settings: Settings,
    name: str,
    screen: Screen,
    runtime: Runtime,
    *,
    file: str = "",
    plan: str = "",
    inputs: Sequence[str] = (),
) -> MadePack:
    """Write the evidence of a run into a new file; the tenant is not asked, and the ledger stays as it is.

    Args:
        settings: Name the ledger and a key, and say how the inputs are read.
        name: The beginning of the run's id; empty for the newest.
        screen: For messages.
        runtime: Clock, key and process.
        file: Where the pack goes; empty for a file beside the run's results, or in the current folder.
        plan: The saved plan that the run was submitted from; empty to look for it where it was.
        inputs: The inputs that it was submitted from; none to look for them where they were.

    Raises:
        UsageError: The run does not exist, or a plan or an input is another run's.
        SettingsError: The file can't be written or is there already, or the key can't sign.
        StoppedError: The run went on meanwhile.
    """
    run, *_ = status(settings, name, runtime, screen.say)
    folders = folders_of(settings, run)
    path = Path(file) if file else place_in(folders) / f"evidence-{run.id}.zip"
    with runtime.existing_ledger(settings, screen.say, only_read=True) as ledger:
        evidence = ledger.evidence(run)
        view = view_of(ledger, run, settings, folders, runtime, redact=False)
        if (last := ledger.head(run)) != evidence_head(evidence):
            raise StoppedError(
                f"Run {run.id} went on while its evidence was collected: event {last.number} is new.",
                next_step="Nothing was written. Run the same command again once the run has stopped.",
            )
    replayed, now = replay(evidence), runtime.now().astimezone(UTC).strftime(DATE)
    saved, plan_bytes = _plan_of(evidence, run, plan)
    files = check.table_files(evidence) | plan_bytes
    missing: dict[str, str] = {}
    rows = _add_rows(files, missing, evidence, run, inputs, saved=saved, settings=settings, screen=screen)
    if saved is None:
        missing["plan"] = _NO_PLAN if rows else "it was not found where it was: name it with --plan"
    lines = check.lines_of(evidence)
    _add_results(files, missing, folders, evidence, replayed)
    if run.imported:
        missing = dict.fromkeys(missing, "the run was imported from the tenant's list")
    elif run.input_digest.startswith(LOST_RUN):
        missing = dict.fromkeys(missing, "the run has the requests of another run that the ledger has lost")
    page, changes = io.BytesIO(), io.BytesIO()
    write_page(page, view, check.REPORT)
    write_sheet(changes, changes_sheet(view.lines), PLAIN)
    files |= {check.PAGE: page.getvalue(), check.REPORT: changes.getvalue()}
    manifest = {
        "made_at": now,
        "made_with": {APPLICATION: version(APPLICATION), "python": platform.python_version()},
        "run": run.id,
        "ledger": evidence.ledger,
        "about": evidence.about,
        "head": {"before": "", "after": check.head_of(evidence)},
        "keys": [*replayed.keys],
        "totals": check.totals_of(evidence, lines),
        "rows": rows,
        "missing": missing,
        "signed_by_people": int(settings.signing_key is not None),
        "settings_when_made": settings_without_secrets(settings),
    }
    key = runtime.key()

    def signed(document: bytes) -> bytes:
        digest = hashlib.sha256(document).hexdigest()
        people = []
        if settings.signing_key is not None:
            text = text_for_people(digest, now)
            people.append({"at": now, "signature": sign(text, settings.signing_key.expanduser())})
        machine = {"public": key.public, "signature": key.sign(text_for_machines(digest))}
        return as_document({"machine": machine, "people": people})

    _write(path, packed(files, manifest, signed))
    return MadePack(
        path=path,
        manifest=manifest,
        key=key.public,
        signed=settings.signing_key is not None,
        faults=replayed.faults,
    )


_NO_PLAN: Final = "the run was submitted from its input, not from a saved plan"


def text_for_machines(digest: str) -> str:
    """What a machine's key signs: the SHA-256 of a manifest."""
    return json.dumps(["access-batch evidence", digest])


def text_for_people(digest: str, at: str) -> bytes:
    """What a person's key signs: the SHA-256 of a manifest, and when, in RFC 3339. No plan is signed like this."""
    return json.dumps({"at": at, "evidence": digest}, sort_keys=True).encode() + b"\n"


def evidence_head(evidence: RunEvidence) -> Head:
    """The newest event in the evidence."""
    events = evidence.tables["events"].select("number", "hash")
    number, digest = events.row(-1) if events.height else (0, "")
    return Head(run=evidence.run, number=number, hash=digest)


def settings_without_secrets(settings: Settings) -> dict[str, Any]:
    """All settings but secrets and consents, as texts, numbers and lists of these."""
    values = {name: getattr(settings, name) for name in type(settings).model_fields if name not in CONSENTS}
    values["ledger"] = settings.ledger_location
    return {
        name: _plain(value)
        for name, value in sorted(values.items())
        if not isinstance(value, SecretStr) and not name.startswith("client_secret")
    }


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    if isinstance(value, frozenset | set):
        return sorted(map(str, value))
    return without_password(str(value))


def _plan_of(evidence: RunEvidence, run: Run, given: str) -> tuple[SavedPlan | None, dict[str, bytes]]:
    """The saved plan that a run was submitted from, and its file; None if it is not there.

    Raises:
        UsageError: The given one is another run's.
    """
    for name in [given] if given else run.inputs:
        if not given and ("://" in name or not is_saved_plan(first_bytes(Path(name), _ENOUGH))):
            continue
        try:
            saved = read_saved(name)
        except UsageError:
            if given:
                raise
            continue
        # An approval that was given later did not allow what was sent.
        last = (run.started_at + check.CLOCKS_APART).astimezone(UTC).strftime(DATE)
        saved = replace(saved, signatures=tuple(one for one in saved.signatures if one.at <= last))
        if not [*check.plan_faults(saved, evidence)]:
            return saved, {check.PLAN: saved.to_bytes()}
        if given:
            raise UsageError(
                f"{name} is not the plan that run {run.id} was submitted from.",
                next_step="Nothing was written. Name the right one, or leave --plan out.",
            )
    return None, {}


def _add_rows(
    files: dict[str, bytes],
    missing: dict[str, str],
    evidence: RunEvidence,
    run: Run,
    given: Sequence[str],
    *,
    saved: SavedPlan | None,
    settings: Settings,
    screen: Screen,
) -> dict[str, Any] | None:
    """Add the rows of the input, if they are those that the run was submitted from.

    Returns:
        How they are read, for the manifest; None if they are not there: `missing` has the reason.

    Raises:
        UsageError: They were given, and are not those.
    """
    names = [*given] or [*(saved.circumstances.inputs if saved else run.inputs)]
    expected = saved.circumstances.input_digest if saved else check.input_of(evidence)
    why = ""
    if not given and (elsewhere := next((one for one in names if one == "-" or "://" in one), None)):
        why = f"{elsewhere} is not a file here: name a copy of the input with --input"
    else:
        try:
            table = read_loaded(load(names, settings, screen, stdin=None))
        except UsageError as error:
            if given:
                raise
            why = f"{error.message} Name the input with --input"
    if not why:
        by = settings.identity_by.value
        unread = table.rejected.select(list(check.UNREAD_COLUMNS))
        if check.rows_digest(table.rows, unread, by) == expected:
            files[check.ROWS] = as_lines(table.rows)
            files |= {check.UNREAD: as_lines(unread)} if unread.height else {}
            counts = {"read": table.rows.height, "unreadable": unread.height}
            return {"columns": table.rows.columns, "identity_by": by, **counts}
        why = (
            f"{', '.join(names)}: these are not the rows that the run was submitted from, or other options read them, "
            "such as --map or --comment"
        )
        if given:
            raise UsageError(f"{why}.", next_step="Nothing was written. Give the options of submit, or another input.")
    missing["rows"] = why
    return None


def _add_results(
    files: dict[str, bytes],
    missing: dict[str, str],
    folders: Sequence[Path],
    evidence: RunEvidence,
    replayed: Replayed,
) -> None:
    """Add the results of the last submit, if they agree with the events."""
    missing["results"] = f"there is no {check.RESULTS} of this run in {', '.join(map(str, folders))}"
    for folder in folders:
        try:
            content = read_whole(folder / check.RESULTS, most=MOST_BYTES)[0]
        except OSError:
            continue
        wrong = [*check.results_faults(content, evidence, replayed, check.lines_of(evidence))]
        if not wrong:
            files[check.RESULTS] = content
            del missing["results"]
            return
        missing["results"] = f"{folder / check.RESULTS} does not fit the run: {wrong[0]}"


def _write(path: Path, content: bytes) -> None:
    if len(content) > MOST_BYTES:
        raise SettingsError(
            "The evidence is larger than a pack may be.",
            next_step="Nothing was written. `access-batch ledger export` writes everything as tables.",
        )
    try:
        with whole_file(path, new=True, option="--out") as file:
            file.write(content)
    except FileExistsError:
        raise SettingsError(
            f"{path} exists already.", next_step="Nothing was written. Name another file with --out."
        ) from None
    except OSError as error:
        raise SettingsError(
            f"{path} can't be written: {error.strerror}.",
            next_step="Nothing was written. Name another file with --out.",
        ) from error
