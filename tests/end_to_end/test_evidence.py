"""`evidence` writes everything that is known of a run to one file, which proves itself anywhere."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import sqlite3
import sys
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from batch.commands.evidence import settings_without_secrets, text_for_machines
from batch.commands.evidence_verify import verify_evidence
from batch.credentials.ssh_signatures import sign
from batch.errors import InputFileError
from batch.ledger.evidence import TABLES
from batch.ledger.machine_key import MachineKey
from batch.ledger.store import Ledger
from batch.model import Head
from batch.plan.saved import APPROVER, PlanSignature, from_bytes, signed_text
from batch.report.evidence_pack import (
    MANIFEST,
    SIGNATURES,
    as_document,
    as_lines,
    assembled,
    deflated,
    from_lines,
    packed,
    stored,
    unpacked,
)
from batch.sandbox.faults import Fault
from batch.settings import Settings
from tests.credentials.places import write_config
from tests.end_to_end.program import environment, grant, write_rows
from tests.ssh_keys import allow, new_key, requires_ssh

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from batch.report.evidence_pack import Pack
    from batch.sandbox.server import RunningSandbox
    from tests.end_to_end.program import Ended, Program

ROWS = [grant(person, thing, comment="INC0012345", Department="Sales") for person in range(3) for thing in range(2)]
STRANGE = {**ROWS[0], "operation": "NONSENSE"}
ABOUT = (
    "made_at",
    "made_with",
    "run",
    "ledger",
    "about",
    "head",
    "keys",
    "totals",
    "rows",
    "missing",
    "signed_by_people",
)


@pytest.fixture
def run(tmp_path: Path, program: Program, tenant: RunningSandbox) -> str:
    path = write_rows(tmp_path / "a.csv", [*ROWS, STRANGE])
    ended = program("submit", path, "--yes", "--json", "--request-metadata", "change=CHG1", env=environment(tenant))
    assert ended.code == 3, ended.err
    program("track", "--track-for", "0", env=environment(tenant))
    return str(ended.json["run"])


@pytest.fixture
def file(tmp_path: Path, program: Program, run: str) -> Path:
    path = tmp_path / "pack.zip"
    made = program("evidence", run, "--out", path)
    assert made.code == 0, made.err
    return path


def test_the_evidence_of_a_run_is_sound_on_a_machine_that_has_nothing_else(
    tmp_path: Path, program: Program, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = program("status", "--json").json
    made = program("evidence", run, "--json")
    assert made.code == 0, made.err
    assert program("status", "--json").json == before
    path = tmp_path / "a.results" / f"evidence-{run}.zip"
    assert (made.json["path"], list(made.json["missing"])) == (str(path), ["plan"])
    totals = made.json["totals"]
    assert totals["changes"] == sum(totals["standings"].values()) == len(ROWS)
    assert totals["standings"] == program("report", run, "--json").json["standings"]
    kept = unpacked(path.read_bytes(), "")
    rows = [json.loads(line) for line in kept.files["rows.jsonl"].splitlines()]
    assert [{name: row[name] for name in STRANGE} for row in rows] == [*ROWS, STRANGE]
    shutil.rmtree(tmp_path / "data")
    shutil.rmtree(tmp_path / "config", ignore_errors=True)
    monkeypatch.chdir(path.parent)
    ended = program("evidence", "verify", path)
    assert ended.code == 0, ended.out
    assert f"Run {run}" in ended.out
    assert "proves consistency only" in ended.out
    assert not (tmp_path / "data").exists()
    assert not (tmp_path / "config").exists()


def test_a_second_pack_differs_only_in_its_time_and_replaces_no_file(
    tmp_path: Path, program: Program, run: str, file: Path
) -> None:
    again = program("evidence", run, "--out", file)
    assert again.code == 2
    assert "exists already" in again.err
    assert program("evidence", "pack", "--out", tmp_path / "second.zip").code == 0
    one, other = (unpacked(path.read_bytes(), "") for path in (file, tmp_path / "second.zip"))
    timed = {MANIFEST, SIGNATURES, "report.html"}
    assert {name: one.files[name] for name in one.files.keys() - timed} == {
        name: other.files[name] for name in other.files.keys() - timed
    }
    untimed = [name for name in ABOUT if name != "made_at"]
    assert [one.manifest[name] for name in untimed] == [other.manifest[name] for name in untimed]


def test_whatever_is_changed_and_however_well_the_hashes_fit_it_is_named(file: Path) -> None:
    sound = unpacked(file.read_bytes(), "")
    assert verify(file, sound).faults == []
    for name, edit in EDITS.items():
        table, change = edit
        content = change(sound.files[table])
        assert content != sound.files[table], name
        files = {**sound.files, table: content}
        assert f"{table} was changed" in verify(file, sound, files).faults, name
        assert any("the seal of the machine" in fault for fault in resealed(file, files, None)), name
        # Whoever has a key of their own, and nothing else: events or counts say otherwise, or the key is nobody's.
        found = resealed(file, files, STRANGER)
        assert name == "nonsense" or any("has signed no event of the run" in fault for fault in found), name
        # The machine itself may have been misused. What the events cover stays covered.
        if table not in ("report.html", "rows.jsonl") and name != "a user's own column":
            assert [fault for fault in found if "has signed no event" not in fault], name
    for name in sound.files.keys() - {MANIFEST, SIGNATURES}:
        files = {other: content for other, content in sound.files.items() if other != name}
        assert f"{name} is missing" in verify(file, sound, files).faults


def test_a_manifest_that_says_something_else_is_named(file: Path) -> None:
    sound = unpacked(file.read_bytes(), "")
    others: dict[str, object] = {
        "run": "0" * 12,
        "ledger": "0" * 32,
        "about": {**sound.manifest["about"], "name": "https://elsewhere"},
        "head": {"before": "", "after": f"9:{'0' * 64}"},
        "keys": ["0" * 64],
        "totals": {**sound.manifest["totals"], "changes": 7},
        "rows": {**sound.manifest["rows"], "read": 8},
    }
    for name, value in others.items():
        found = resealed(file, sound.files, STRANGER, {**sound.manifest, name: value})
        assert [fault for fault in found if "has signed no event" not in fault], name
    odd_ones: list[object] = ["x", None, 3, [], {}]
    for odd in odd_ones:
        for name in ABOUT:
            assert resealed(file, sound.files, STRANGER, {**sound.manifest, name: odd}), (name, odd)
            assert [*verify_evidence(str(file.with_name("resealed.zip"))).describe()]


def test_a_manifest_of_another_form_is_named_and_nothing_of_it_is_shown(program: Program, file: Path) -> None:
    sound = unpacked(file.read_bytes(), "")
    totals = sound.manifest["totals"]
    about = {name: value for name, value in sound.manifest["about"].items() if name != "name"}
    others: dict[str, dict[str, Any]] = {
        "'about.name' is missing": {"about": about},
        "'totals.attempts' is not as access-batch writes it": {"totals": {**totals, "attempts": 2.0}},
        "'totals.changes' is not as access-batch writes it": {"totals": {**totals, "changes": True}},
        "'totals.more' is nothing that access-batch writes": {"totals": {**totals, "more": None}},
        "'approved_by' is nothing that access-batch writes": {"approved_by": "CFO"},
    }
    for fault, other in others.items():
        assert f"manifest.json: {fault}" in resealed(file, sound.files, STRANGER, {**sound.manifest, **other})
        ended = program("evidence", "verify", file.with_name("resealed.zip"))
        assert (ended.code, fault in ended.out, "CFO" in ended.out) == (3, True, False)
        assert program("evidence", "verify", file.with_name("resealed.zip"), "--json").json["manifest"] == {}


def test_each_letter_of_a_manifest_that_is_changed_is_noticed(file: Path) -> None:
    sound = unpacked(file.read_bytes(), "")
    written = sound.files[MANIFEST]
    for place in range(0, written.index(b'"files"'), 41):
        letters = bytearray(written)
        letters[place] ^= 1
        try:
            verdict = verify(file, sound, {**sound.files, MANIFEST: bytes(letters)})
        except InputFileError:
            continue
        assert (verdict.exit_code, bool([*verdict.describe()])) == (3, True), place


def test_signatures_that_nobody_has_written_like_this_are_named_and_never_shown(
    tmp_path: Path, program: Program, file: Path
) -> None:
    sound = unpacked(file.read_bytes(), "")
    seal = json.loads(sound.files[SIGNATURES])["machine"]
    (tmp_path / "trusted").write_text(f"{seal['public']}\n")
    for people in ([{"at": "never, by ben", "signature": "AAAA"}], [{"at": 5, "signature": 5}], {"ben": 1}, None):
        content = as_document({"machine": seal, "people": people})
        verify(file, sound, {**sound.files, SIGNATURES: content})
        for trust in ((), ("--trust", tmp_path / "trusted")):
            ended = program("evidence", "verify", file.with_name("changed.zip"), *trust)
            assert (ended.code, "ben" in ended.out) == (3, False)
            assert "signatures.json was not written by access-batch" in ended.out
    deep = verify(file, sound, {**sound.files, SIGNATURES: b"[" * 200_000})
    assert any("signatures.json was not written by access-batch" in fault for fault in deep.faults)


def test_a_head_that_was_noted_before_must_be_in_it(program: Program, file: Path) -> None:
    head = unpacked(file.read_bytes(), "").manifest["head"]["after"]
    number, _, digits = head.partition(":")
    assert program("evidence", "verify", file, "--head", f"{number}:{digits[:16]}").code == 0
    for wrong in (f"{number}:{'0' * 16}", f"{int(number) + 1}:{digits}"):
        ended = program("evidence", "verify", file, "--head", wrong)
        assert ended.code == 3
        assert "does not have the head" in ended.out
    assert program("evidence", "verify", file, "--head", "x").code == 2


def test_machines_that_are_trusted_vouch_for_it(tmp_path: Path, program: Program, file: Path) -> None:
    (key,) = unpacked(file.read_bytes(), "").manifest["keys"]
    trust = tmp_path / "machines.txt"
    trust.write_text(f"{key} the batch server\n")
    ended = program("evidence", "verify", file, "--trust", trust, "--json")
    assert (ended.code, ended.json["trusted"]) == (0, True)
    trust.write_text(f"{'0' * 64}\n")
    ended = program("evidence", "verify", file, "--trust", trust)
    assert ended.code == 3
    assert "vouches for it" in ended.out
    assert program("evidence", "verify", file, "--trust", tmp_path / "none").code == 2


@requires_ssh
def test_a_signature_by_somebody_who_is_trusted_vouches_for_it(tmp_path: Path, program: Program, run: str) -> None:
    anna, ben = new_key(tmp_path / "anna"), new_key(tmp_path / "ben")
    trust = allow(tmp_path, {"anna@example.com": anna}, options='namespaces="access-batch-plan"')
    file = tmp_path / "signed.zip"
    assert program("evidence", run, "--out", file, "--signing-key", anna).code == 0
    ended = program("evidence", "verify", file, "--trust", trust)
    assert ended.code == 0, ended.out
    assert "Signed by anna@example.com" in ended.out
    assert "consistency only" not in ended.out
    assert "not checked" in program("evidence", "verify", file).out
    allow(tmp_path, {"*,!anna@example.com": anna})
    ended = program("evidence", "verify", file, "--trust", trust)
    assert "Signed by somebody whose key is allowed for '*,!anna@example.com' on" in ended.out
    allow(tmp_path, {"anna@example.com": anna})
    sound = unpacked(file.read_bytes(), "")
    signatures = json.loads(sound.files[SIGNATURES])
    for people in ([], [{**signatures["people"][0], "at": "2020-01-01T00:00:00Z"}], [{"at": "x"}], "x"):
        changed = as_document({**signatures, "people": people})
        file.write_bytes(put_together({**sound.files, SIGNATURES: changed}))
        assert verify_evidence(str(file), trust=str(trust)).faults, people
    other = tmp_path / "by-ben.zip"
    assert program("evidence", run, "--out", other, "--signing-key", ben).code == 0
    ended = program("evidence", "verify", other, "--trust", trust)
    assert ended.code == 3
    assert "not made by a signer whom" in ended.out
    of_ben = unpacked(other.read_bytes(), "").files
    (machine,) = sound.manifest["keys"]
    machines = tmp_path / "machines.txt"
    machines.write_text(f"{machine}\n")
    ended = program("evidence", "verify", other, "--trust", machines)
    assert (ended.code, "not checked, as --trust names no allowed signers" in ended.out) == (0, True), ended.out
    replayed = as_document({**json.loads(of_ben[SIGNATURES]), "people": signatures["people"]})
    other.write_bytes(put_together({**of_ben, SIGNATURES: replayed}))
    assert verify_evidence(str(other), trust=str(trust)).faults, "a signature of another pack"


@requires_ssh
def test_the_evidence_of_a_saved_plan_names_who_planned_and_approved_it(
    tmp_path: Path, program: Program, tenant: RunningSandbox
) -> None:
    anna, ben = new_key(tmp_path / "anna"), new_key(tmp_path / "ben")
    trust = allow(tmp_path, {"anna@example.com": anna, "ben@example.com": ben})
    path, plan = write_rows(tmp_path / "a.csv", [*ROWS, STRANGE]), tmp_path / "load.plan"
    write_config(f'allowed_signers = "{trust}"')
    env = environment(tenant)
    assert program("plan", path, "--save", plan, "--signing-key", anna, env=env).code == 3
    approved = program("approve", plan, "--signing-key", ben, "--confirm", named(plan), env=env)
    assert approved.code == 0, approved.err
    assert program("submit", plan, "--yes", env=env).code == 0
    made = program("evidence", "--out", tmp_path / "pack.zip", "--signing-key", ben, "--json")
    assert (made.code, made.json["missing"]) == (0, {})
    ended = program("evidence", "verify", tmp_path / "pack.zip", "--trust", trust)
    assert ended.code == 0, ended.out
    for done, who in (("planned on", "anna"), ("approved on", "ben"), ("Signed", "ben")):
        assert re.search(f"{done} .*{who}@example.com", ended.out)
    allow(tmp_path, {"ben@example.com": ben})
    ended = program("evidence", "verify", tmp_path / "pack.zip", "--trust", trust)
    assert ended.code == 3
    assert "as planner, is by nobody" in ended.out
    sound = unpacked((tmp_path / "pack.zip").read_bytes(), "")
    signatures = json.loads(sound.files[SIGNATURES])
    of_plan = json.loads(sound.files["saved.plan"].splitlines()[-2])
    replayed = as_document({**signatures, "people": [{name: of_plan[name] for name in ("at", "signature")}]})
    (tmp_path / "pack.zip").write_bytes(put_together({**sound.files, SIGNATURES: replayed}))
    verdict = verify_evidence(str(tmp_path / "pack.zip"), trust=str(trust))
    assert [fault for fault in verdict.faults if "was not made with the pack" in fault], "a signature of a plan"


@requires_ssh
def test_whoever_signs_the_plan_after_the_run_began_has_not_approved_the_run(
    tmp_path: Path, program: Program, tenant: RunningSandbox
) -> None:
    anna, ben = new_key(tmp_path / "anna"), new_key(tmp_path / "ben")
    trust = allow(tmp_path, {"anna@example.com": anna, "ben@example.com": ben})
    path, plan, file = write_rows(tmp_path / "a.csv", ROWS), tmp_path / "load.plan", tmp_path / "pack.zip"
    env = environment(tenant)
    assert program("plan", path, "--save", plan, "--signing-key", anna, env=env).code == 0
    assert program("submit", plan, "--yes", env=env).code == 0
    saved = from_bytes(plan.read_bytes(), "load.plan")
    later = saved.signatures[0].at.replace("202", "209", 1)
    late = PlanSignature(role=APPROVER, at=later, signature=sign(signed_text(saved.digest, APPROVER, later), ben))
    plan.write_bytes(saved.signed(late).to_bytes())
    assert program("evidence", "--out", file, "--signing-key", anna).code == 0
    ended = program("evidence", "verify", file, "--trust", trust)
    assert (ended.code, "planned on" in ended.out, "approved" in ended.out) == (0, True, False)
    files = {**unpacked(file.read_bytes(), "").files, "saved.plan": plan.read_bytes()}
    assert any("after the run began" in fault for fault in resealed(file, files, STRANGER))


def test_a_file_that_was_left_out_or_added_is_named_although_all_hashes_fit(file: Path) -> None:
    sound = unpacked(file.read_bytes(), "").files
    for name in ("results.csv", "report.csv", "report.html", "rows.jsonl"):
        found = resealed(file, {other: content for other, content in sound.items() if other != name}, STRANGER)
        assert any(fault.startswith(f"{name} is missing") for fault in found), name
    assert "no pack has a file approval.pdf" in resealed(file, {**sound, "approval.pdf": b"x"}, STRANGER)


def test_when_a_request_was_accepted_is_what_its_events_say(tmp_path: Path, program: Program, run: str) -> None:
    with sqlite3.connect(tmp_path / "data" / "access-batch" / "ledger.db") as ledger:
        ledger.execute("UPDATE request SET state_at = '2020-01-01T00:00:00.000Z'")
    ledger.close()
    assert program("evidence", run, "--out", tmp_path / "changed.zip").code == 0
    rows = pl.read_csv(unpacked((tmp_path / "changed.zip").read_bytes(), "").files["report.csv"], infer_schema=False)
    accepted = rows.get_column("accepted_at").to_list()
    assert len(accepted) == len(ROWS)
    assert min(accepted) > "2021"


def test_what_is_not_there_is_said_and_what_belongs_to_another_run_is_refused(
    tmp_path: Path, program: Program, tenant: RunningSandbox, run: str
) -> None:
    write_rows(tmp_path / "a.csv", ROWS[:2])
    (tmp_path / "a.results" / "results.csv").unlink()
    made = program("evidence", run, "--json", "--out", tmp_path / "pack.zip").json
    assert sorted(made["missing"]) == ["plan", "results", "rows"]
    assert "not the rows" in made["missing"]["rows"]
    assert program("evidence", "verify", tmp_path / "pack.zip").code == 0
    copy = write_rows(tmp_path / "copy.csv", [*ROWS, STRANGE])
    made = program("evidence", run, "--json", "--input", copy, "--out", tmp_path / "with.zip").json
    assert sorted(made["missing"]) == ["plan", "results"]
    wrong = program("evidence", run, "--input", tmp_path / "a.csv", "--out", tmp_path / "x.zip")
    assert (wrong.code, (tmp_path / "x.zip").exists()) == (2, False)
    assert program("evidence", run, "--plan", copy, "--out", tmp_path / "x.zip").code == 2
    other, plan = write_rows(tmp_path / "other.csv", [grant(7, 7)]), tmp_path / "other.plan"
    assert program("plan", other, "--save", plan, env=environment(tenant)).code == 0
    wrong = program("evidence", run, "--plan", plan, "--out", tmp_path / "x.zip")
    assert wrong.code == 2
    assert "is not the plan that run" in wrong.err
    assert not (tmp_path / "x.zip").exists()


def test_nothing_is_written_if_the_file_cannot_be_or_the_run_goes_on(
    tmp_path: Path, program: Program, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    assert program("evidence", run, "--out", tmp_path / "file" / "x.zip").code == 2
    monkeypatch.setattr(Ledger, "head", lambda _self, run: Head(run=run.id, number=99, hash="0" * 64))
    ended = program("evidence", run, "--out", tmp_path / "x.zip")
    assert ended.code == 4
    assert "went on while its evidence was collected" in ended.err
    assert not (tmp_path / "x.zip").exists()


def test_an_input_that_came_from_elsewhere_is_asked_for(
    tmp_path: Path, program: Program, tenant: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_rows(tmp_path / "a.csv", ROWS)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(path.read_bytes())))
    ended = program("submit", "-", "--yes", "--json", env=environment(tenant))
    assert ended.code == 0, ended.err
    assert "--input" in evidence(program, tmp_path, ended.json["run"])["missing"]["rows"]
    assert "rows" not in evidence(program, tmp_path, ended.json["run"], "--input", path)["missing"]


def test_results_of_another_submission_are_left_out(tmp_path: Path, program: Program, tenant: RunningSandbox) -> None:
    path = write_rows(tmp_path / "a.csv", ROWS)
    first = program("submit", path, "--yes", "--json", env=environment(tenant)).json["run"]
    write_rows(path, [grant(person, 7) for person in range(3)])
    second = program("submit", path, "--yes", "--json", env=environment(tenant)).json["run"]
    assert "results" in evidence(program, tmp_path, first)["missing"]
    assert "results" not in evidence(program, tmp_path, second)["missing"]


def test_runs_in_every_condition_have_sound_evidence(tmp_path: Path, program: Program, tenant: RunningSandbox) -> None:
    path = write_rows(tmp_path / "a.csv", ROWS)
    tenant.faults.add(Fault.DROP_AFTER)
    env = {**environment(tenant), "ACCESS_BATCH_SETTLE_AFTER": "0", "ACCESS_BATCH_GIVE_UP_AFTER": "0"}
    doubtful = program("submit", path, "--yes", "--json", env=env)
    run = program("status", "--json").json["run"]
    assert evidence(program, tmp_path, run)["totals"]["standings"]["unconfirmed"] == len(ROWS), doubtful.err
    # The same command again: the results have rows that were submitted before.
    for _ in range(2):
        assert program("submit", path, "--yes", "--json", env=environment(tenant)).code == 0, doubtful.err
        assert "results" not in evidence(program, tmp_path, run)["missing"]
    other = tmp_path / "other.db"
    assert program("ledger", "import", "--everybody", "--ledger", other, env=environment(tenant)).code == 0
    imported = evidence(program, tmp_path, "", "--ledger", other)
    assert set(imported["missing"].values()) == {"the run was imported from the tenant's list"}
    assert imported["totals"]["changes"] == len(ROWS)


def test_the_evidence_of_a_ledger_that_was_changed_shows_it(tmp_path: Path, program: Program, run: str) -> None:
    with sqlite3.connect(tmp_path / "data" / "access-batch" / "ledger.db") as ledger:
        ledger.execute("UPDATE detail SET comment = 'INC9'")
    ledger.close()
    made = program("evidence", run, "--out", tmp_path / "pack.zip")
    assert made.code == 3
    assert "The ledger is not sound, and the evidence shows it" in made.out
    ended = program("evidence", "verify", tmp_path / "pack.zip")
    assert ended.code == 3
    assert "the changes of request 1 were changed" in ended.out


def test_evidence_that_another_machine_collects_needs_trust_in_that_machine(
    tmp_path: Path, program: Program, run: str
) -> None:
    made = program("evidence", run, "--out", tmp_path / "pack.zip", env={"XDG_CONFIG_HOME": str(tmp_path / "other")})
    assert made.code == 0, made.err
    assert "has signed no event of the run" in made.out
    ended = program("evidence", "verify", tmp_path / "pack.zip")
    assert ended.code == 3
    pack = unpacked((tmp_path / "pack.zip").read_bytes(), "")
    keys = [json.loads(pack.files[SIGNATURES])["machine"]["public"], *pack.manifest["keys"]]
    (tmp_path / "trusted").write_text("".join(f"{key}\n" for key in keys))
    assert program("evidence", "verify", tmp_path / "pack.zip", "--trust", tmp_path / "trusted").code == 0


def test_the_settings_in_it_have_no_secret() -> None:
    secrets = {"client_secret": "s3cret", "webhook": "https://hooks.example.com/s3cret"}
    ledger = "postgresql://team:s3cret@db.example.com/access?password=s3cret&sslmode=require"
    told = json.dumps(settings_without_secrets(Settings(ledger=ledger, **secrets)))  # type: ignore[arg-type]
    assert "s3cret" not in told
    assert "postgresql://team@db.example.com/access?sslmode=require" in told


def test_a_file_that_is_no_evidence_ends_with_2(tmp_path: Path, program: Program, file: Path) -> None:
    for content in (b"", b"PK", file.read_bytes()[:-100]):
        (tmp_path / "x.zip").write_bytes(content)
        ended = program("evidence", "verify", tmp_path / "x.zip")
        assert ended.code == 2
        assert "Nothing was verified" in ended.err
    assert program("evidence", "verify", tmp_path / "none.zip").code == 2
    assert program("evidence", "verify", tmp_path).code == 2
    damaged = bytearray(file.read_bytes())
    damaged[damaged.index(b'"format"') + 20] ^= 1
    (tmp_path / "x.zip").write_bytes(damaged)
    ended = program("evidence", "verify", tmp_path / "x.zip")
    assert ended.code == 3
    assert "manifest.json is damaged" in ended.out


STRANGER = MachineKey(b"\1" * 32)


def evidence(program: Program, folder: Path, run: str, *more: str | Path) -> dict[str, Any]:
    """Writes the evidence of a run, and verifies it."""
    path = folder / f"{len([*folder.glob('*.zip')])}.zip"
    made: Ended = program("evidence", *filter(None, [run]), "--json", "--out", path, *more)
    assert made.code == 0, made.err
    verified = program("evidence", "verify", path)
    assert verified.code == 0, verified.out
    return made.json


def named(plan: Path) -> str:
    """The name of a plan's tenant."""
    return str(json.loads(plan.read_bytes().splitlines()[1])["tenant"])


def put_together(files: Mapping[str, bytes]) -> bytes:
    """An archive in our form, with whatever its manifest and its signatures say."""
    last = (MANIFEST, SIGNATURES)
    members = [deflated(name, files[name]) for name in sorted(files) if name not in last]
    return assembled([*members, *(stored(name, files[name]) for name in last)])


def verify(file: Path, sound: Pack, files: Mapping[str, bytes] | None = None) -> Any:
    """The verdict on a pack with other files, whose manifest and signatures are as they were."""
    other = file.with_name("changed.zip")
    other.write_bytes(put_together(files or sound.files))
    return verify_evidence(str(other))


def resealed(
    file: Path, files: Mapping[str, bytes], key: MachineKey | None, manifest: Mapping[str, Any] | None = None
) -> list[str]:
    """The faults of a pack with other files, all of whose hashes fit; with the seal of a key, or the old one."""
    about = dict(manifest or json.loads(files[MANIFEST]))
    about = {name: value for name, value in about.items() if name not in ("format", "files")}

    def sign(document: bytes) -> bytes:
        if key is None:
            return files[SIGNATURES]
        seal = {"public": key.public, "signature": key.sign(text_for_machines(hashlib.sha256(document).hexdigest()))}
        return as_document({"machine": seal, "people": []})

    other = file.with_name("resealed.zip")
    content = {name: one for name, one in files.items() if name not in (MANIFEST, SIGNATURES)}
    other.write_bytes(packed(content, about, sign))
    return [*verify_evidence(str(other)).faults]


def on(table: str, column: str, value: object, row: int = 0) -> tuple[str, Callable[[bytes], bytes]]:
    """Puts a value in a table's file."""

    def edit(content: bytes) -> bytes:
        frame = from_lines(content, TABLES[table])
        values = frame.get_column(column).to_list()
        values[row] = value
        return as_lines(frame.with_columns(pl.Series(column, values, dtype=frame.schema[column])))

    return f"{table}.jsonl", edit


def without(table: str, row: int) -> tuple[str, Callable[[bytes], bytes]]:
    """Takes a line out of a table's file."""
    return f"{table}.jsonl", lambda content: b"".join(
        line for n, line in enumerate(content.splitlines(keepends=True)) if n != row
    )


def text(file: str, old: str, new: str) -> tuple[str, Callable[[bytes], bytes]]:
    """Puts one text in the place of another in a file."""
    return file, lambda content: content.replace(old.encode(), new.encode(), 1)


EDITS = {
    "an event that is gone": without("events", 1),
    "the last event gone": without("events", 3),
    "an event's time": on("events", "at", "2020-01-01T00:00:00.000Z"),
    "an event's answer": on("events", "status", 200, row=2),
    "an event's detail": on("events", "detail", "{}", row=2),
    "an event's key": on("events", "public", STRANGER.public),
    "a request's state": on("requests", "state", "REFUSED"),
    "a change that is gone": without("changes", 3),
    "the person of a change": on("changes", "identity_id", "f" * 32),
    "the comment of a change": on("changes", "comment", "INC9"),
    "the approver": on("changes", "who", "Somebody Else"),
    "what the tenant reports": on("changes", "tenant_state", "REQUEST_COMPLETED"),
    "the rows": text("rows.jsonl", "INC0012345", "INC1"),
    "a state in the results": text("results.csv", '"ACCEPTED"', '"REFUSED"'),
    "a person in the results": text("results.csv", "0" * 31 + "1", "0" * 31 + "9"),
    "a request in the results": text("results.csv", "-1-", "-2-"),
    "a user's own column": text("results.csv", "Sales", "Other"),
    "a state in the report": text("report.csv", "awaiting_approval", "provisioned"),
    "a comment in the report": text("report.csv", "INC0012345", "INC1"),
    "the page": text("report.html", "waiting", "provisioned"),
    "nonsense": ("names.jsonl", lambda _: b"{}\n"),
}
