"""Attacks on the files that we make: prepared folders, links, and rights that let everybody write."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from batch.credentials.logins import logins_file
from tests.end_to_end.program import environment, grant, write_rows
from tests.rights import (
    COLLEAGUE,
    ONLY_POSIX,
    ONLY_ROOT,
    folder_with,
    give_away,
    mode,
    profile,
    require_untouched,
)

if TYPE_CHECKING:
    from pathlib import Path

    from batch.sandbox.server import RunningSandbox
    from tests.end_to_end.program import Ended, Program

pytestmark = ONLY_POSIX


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An input with a row that is rejected, so that `validate` writes a file too."""
    return write_rows(tmp_path / "joiners.csv", [grant(1, 1), {**grant(1, 1), "identity_id": "x"}])


@pytest.fixture
def results(path: Path) -> Path:
    """The folder of result files, as somebody else has prepared it."""
    return folder_with(path.with_name("joiners.results"), 0o700)


def submit(program: Program, tenant: RunningSandbox, path: Path, *words: str | Path) -> Ended:
    return program("submit", path, "--yes", "--check-tenant", "never", *words, env=environment(tenant))


def test_no_link_in_a_prepared_folder_leads_to_another_file(
    program: Program, tenant: RunningSandbox, path: Path, results: Path
) -> None:
    mine = profile()
    for name in ("rejected.csv", "results.csv"):
        (results / name).symlink_to(mine)
        (results / f".{name}.unfinished").symlink_to(mine.with_name(".bash_login"))
    assert program("validate", path).code == 3
    require_untouched(mine)
    assert submit(program, tenant, path).code == 3
    require_untouched(mine)
    assert not (results / "rejected.csv").is_symlink()


def test_a_folder_that_is_a_link_is_refused_and_its_target_named(program: Program, path: Path, results: Path) -> None:
    elsewhere = results.rename(results.with_name("elsewhere"))
    results.symlink_to(elsewhere)
    for words in ((), ("--out", results), ("--out", f"{results}/."), ("--out", f"{results}/")):
        ended = program("validate", path, *words)
        assert ended.code == 2
        assert f"is a link to {elsewhere}" in ended.err
        assert "--out" in ended.err
    assert list(elsewhere.iterdir()) == []


@ONLY_ROOT
def test_a_folder_of_somebody_else_is_refused_before_anything_is_sent(
    program: Program, tenant: RunningSandbox, path: Path, results: Path
) -> None:
    give_away(results)
    ended = submit(program, tenant, path)
    assert ended.code == 2
    assert f"{results} belongs to the user {COLLEAGUE}" in ended.err
    assert "Choose a folder of your own with --out." in ended.err
    assert (tenant.tenant.audit.posts, list(results.iterdir())) == (0, [])


def test_a_place_that_a_folder_takes_is_refused_before_anything_is_sent(
    program: Program, tenant: RunningSandbox, path: Path, results: Path
) -> None:
    (results / "results.csv").mkdir()
    ended = submit(program, tenant, path)
    assert ended.code == 2
    assert "results.csv is a folder" in ended.err
    assert tenant.tenant.audit.posts == 0


@pytest.mark.usefixtures("no_umask")
def test_everything_that_is_made_is_private_whatever_the_umask(
    program: Program, tenant: RunningSandbox, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    log = tmp_path / "run.log"
    assert submit(program, tenant, path, "--out", tmp_path / "some" / "folder", "--log-file", log).code == 3
    tops = [tmp_path / name for name in ("some", "data", "config", "state")]
    made = [log, *tops, *(one for top in tops for one in top.rglob("*"))]
    names = {one.name for one in made}
    assert names >= {"rejected.csv", "results.csv", "ledger.db", "machine.key", "heads", "run.log"}
    assert {mode(one) for one in made if one.is_dir()} == {0o700}
    assert {mode(one) for one in made if one.is_file()} == {0o600}


@pytest.mark.parametrize("command", [("runs",), ("status",), ("ledger", "verify"), ("discard", "RUN"), ("doctor",)])
def test_every_command_says_that_it_closed_the_ledger_to_others(
    command: tuple[str, ...], program: Program, tmp_path: Path
) -> None:
    from tests.ledger.ledger_helpers import open_ledger, singles, write  # noqa: PLC0415 - of this test only

    ledger = tmp_path / "ledger.db"
    with open_ledger(ledger) as opened:
        run = write(opened, *singles(1))
    ledger.chmod(0o666)
    ended = program(*(run.id if word == "RUN" else word for word in command), "--ledger", ledger)
    assert f"Everybody could write to {ledger}. The ledger is yours alone now (mode 600)." in ended.err + ended.out
    assert mode(ledger) == 0o600


@ONLY_ROOT
def test_neither_the_machines_key_nor_a_login_is_kept_in_somebody_elses_folder(
    program: Program, tenant: RunningSandbox, path: Path
) -> None:
    folder = folder_with(logins_file().parent, 0o755)
    give_away(folder)
    ended = submit(program, tenant, path)
    assert ended.code == 2
    assert f"{folder} belongs to the user {COLLEAGUE}" in ended.err
    assert (list(folder.iterdir()), tenant.tenant.audit.posts) == ([], 0)
