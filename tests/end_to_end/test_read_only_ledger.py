"""A ledger that can't be written, on a read-only disk or without the right, can be read; only the newest is shown."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.ledger.ledger_helpers import open_ledger, singles, write
from tests.rights import ONLY_POSIX, held_back_by_rights

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from batch.ledger.store import Ledger
    from tests.end_to_end.program import Ended, Program

pytestmark = ONLY_POSIX


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, from which rights are taken."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    monkeypatch.chdir(folder)
    yield folder
    folder.chmod(0o700)


def made(folder: Path) -> tuple[Ledger, str]:
    """A ledger with a run of two planned changes, still open; and the run's id."""
    ledger = open_ledger(folder / "ledger.db")
    run = write(ledger, *singles(2))
    return ledger, run.id


def read_only(folder: Path) -> None:
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)


def without_writing(program: Program, *words: str) -> Ended:
    with held_back_by_rights():
        return program(*words, "--ledger", "ledger.db")


def test_a_ledger_that_can_not_be_written_is_read_and_stays_as_it_is(folder: Path, program: Program) -> None:
    ledger, run = made(folder)
    ledger.close()
    read_only(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    shown = [without_writing(program, *words) for words in (["runs"], ["status"], ["ledger", "verify"])]
    assert [ended.code for ended in shown] == [0, 0, 0], shown
    assert run in shown[0].out
    assert run in shown[1].out
    assert shown[2].out == "The ledger is sound.\n"
    tracked = without_writing(program, "track", "--offline")
    assert (tracked.code, "a bug" in tracked.err) == (4, False)
    assert run in tracked.out
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_nothing_old_is_shown_if_the_newest_entries_are_beside_the_file(folder: Path, program: Program) -> None:
    ledger, _ = made(folder)
    copy = folder / "copy"
    copy.mkdir()
    for end in ("", "-wal"):
        shutil.copy(folder / f"ledger.db{end}", copy)
    ledger.close()
    read_only(copy)
    with held_back_by_rights():
        ended = program("runs", "--ledger", "copy/ledger.db")
    copy.chmod(0o700)
    assert ended.code == 2
    assert "The newest entries of the ledger copy/ledger.db are in " in ended.err
    assert "Copy ledger.db and ledger.db-wal into a folder of your own" in ended.err


def test_a_ledger_in_use_is_read_with_its_newest_entries(folder: Path, program: Program) -> None:
    ledger, run = made(folder)
    with ledger:
        read_only(folder)
        ended = without_writing(program, "runs")
    assert (ended.code, run in ended.out) == (0, True), ended.err


def test_a_command_that_must_write_still_says_that_it_can_not(folder: Path, program: Program) -> None:
    ledger, run = made(folder)
    ledger.close()
    read_only(folder)
    ended = without_writing(program, "discard", run)
    assert ended.code == 2
    assert "ledger.db can't be used" in ended.err
