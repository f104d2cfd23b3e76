"""Each command that is printed about saved plans does what its sentence says: it is typed here as it is printed."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

import pytest

from tests.credentials.places import write_config
from tests.end_to_end.program import accepted, environment, grant, once, pair_of, write_rows
from tests.end_to_end.test_waves import PAIRS, PEOPLE, sandbox_of
from tests.end_to_end.test_waves_say_what_next import Shell
from tests.ssh_keys import allow, new_key, requires_ssh

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.end_to_end.program import Program


@pytest.fixture
def shell(program: Program, tmp_path: Path) -> Iterator[Shell]:
    """A tenant that grants at once."""
    for sandbox in sandbox_of():
        yield Shell(program, sandbox, tmp_path)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return tmp_path / "load.plan"


@pytest.mark.thorough
def test_the_command_after_a_plan_was_saved_submits_it(shell: Shell, saved: Path) -> None:
    elsewhere = Shell(shell.program, shell.tenant, saved.parent / "elsewhere")
    other = grant(30, 30)
    assert elsewhere.submit("--yes", path=write_rows(elsewhere.path, [other])).code == 0
    # The ledger is new, and another one has submitted to this tenant.
    ended = shell("plan", shell.path, "--save", saved, "--new-ledger")
    assert ended.code == 0, ended.err
    sent = shell.type(shell.printed(ended, "To send exactly this"), "--yes")
    assert sent.code == 0, sent.err
    assert accepted(shell.tenant) == once([pair_of(other), *PAIRS])


@requires_ssh
def test_the_command_after_an_approval_submits_the_plan_with_its_ledger(
    shell: Shell, saved: Path, tmp_path: Path
) -> None:
    anna, ben = new_key(tmp_path / "anna"), new_key(tmp_path / "ben")
    allowed = allow(tmp_path, {"anna@acme.com": anna, "ben@acme.com": ben})
    write_config(f'[profile.team]\napprovals_required = 1\nallowed_signers = "{allowed}"\n')
    team = ("--profile", "team")
    ended = shell("plan", shell.path, "--save", saved, *team, "--signing-key", anna)
    name = shell.tenant.base_url.removeprefix("http://")
    approved = shell.type(
        shell.printed(ended, "Another person approves it"), "--signing-key", str(ben), "--confirm", name
    )
    assert approved.code == 0, approved.err
    sent = shell.type(shell.printed(approved, "It can be submitted now"), "--yes")
    assert sent.code == 0, sent.err
    assert accepted(shell.tenant) == once(PAIRS)


@pytest.mark.thorough
def test_where_only_saved_plans_are_sent_the_undo_file_and_corrected_rows_are_planned(
    shell: Shell, saved: Path
) -> None:
    assert shell("plan", shell.path, "--save", saved).code == 0
    write_config("require_plan = true\n")
    run = shell("submit", saved, "--yes", "--json").json["run"]
    ended = shell("cancel", run, "--yes")
    assert ended.code == 3
    planned = shell.type(shell.printed(ended, "To revoke the granted access"))
    assert planned.code == 0, planned.err
    undone = shell.type(shell.printed(planned, "To send exactly this"), "--yes")
    assert undone.code == 0, undone.err
    revoked = [("REVOKE", *pair[1:]) for pair in PAIRS]
    assert accepted(shell.tenant) == once([*PAIRS, *revoked])


def test_the_printed_command_of_a_run_in_waves_repeats_what_the_ledger_does_not_keep(shell: Shell) -> None:
    ended = shell.submit_as_people("--wave", "4/day", "--tolerate", "7", "--canary-for", "9")
    assert ended.code == 4
    assert shell.printed(ended, "To continue from").endswith(
        "--tolerate 7 --canary-for 9 --ledger " + str(shell.ledger)
    )
    assert len(accepted(shell.tenant)) == 4 < len(PEOPLE)


@pytest.mark.parametrize("command", ["submit", "plan", "validate"])
def test_a_saved_plan_in_the_place_of_an_input_is_called_one_and_named_with_its_command(
    shell: Shell, saved: Path, command: str
) -> None:
    assert shell("plan", shell.path, "--save", saved).code == 0
    given = {"submit": saved.with_name("*.plan"), "plan": saved, "validate": saved}[command]
    ended = shell.program(command, given, *(["--yes"] if command == "submit" else []), env=environment(shell.tenant))
    assert ended.code == 2
    assert f"{saved} is a saved plan, not an input." in ended.err
    assert accepted(shell.tenant) == {}
    submit = f"access-batch submit {saved}"
    assert submit in ended.err
    assert shell.type(submit, "--yes", "--ledger", str(shell.ledger)).code == 0
    assert accepted(shell.tenant) == once(PAIRS)


def test_a_saved_plan_on_standard_input_is_called_one(
    shell: Shell, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shell("plan", shell.path, "--save", saved).code == 0
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(saved.read_bytes())))
    ended = shell("submit", "-", "--yes")
    assert (ended.code, accepted(shell.tenant)) == (2, {})
    assert "standard input is a saved plan, not an input." in ended.err
    assert "`access-batch submit PLAN" in ended.err
