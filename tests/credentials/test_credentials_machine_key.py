"""The key of this machine is kept in a file that no link leads elsewhere, and that nobody else can read or replace."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

import pytest

from batch.credentials.machine_key import machine_key
from batch.errors import SettingsError, UnsafePlaceError
from tests.rights import COLLEAGUE, ONLY_POSIX, ONLY_ROOT, give_away, mode

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file with a key."""
    path = tmp_path / "config" / "machine.key"
    machine_key(path)
    return path


def refusal(path: Path) -> UnsafePlaceError:
    with pytest.raises(UnsafePlaceError) as caught:
        machine_key(path)
    assert caught.value.exit_code == 2
    assert caught.value.next_step.startswith("Nothing was sent. ")
    return caught.value


def test_a_link_that_leads_to_nothing_in_place_of_the_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "machine.key"
    path.symlink_to(tmp_path / "missing")
    with pytest.raises(SettingsError, match="is a link that leads to nothing"):
        machine_key(path)


@ONLY_POSIX
@pytest.mark.parametrize("rights", [0o644, 0o640, 0o604, 0o611])
def test_a_key_that_others_could_read_is_taken_away_from_them_with_one_sentence(rights: int, path: Path) -> None:
    before = machine_key(path).public
    path.chmod(rights)
    said: list[str] = []
    for _ in range(2):
        assert machine_key(path, say=said.append).public == before
        assert mode(path) == 0o600
    (sentence,) = said
    assert sentence.startswith(f"Other users could read this machine's key in {path}")


@ONLY_POSIX
@pytest.mark.parametrize("rights", [0o620, 0o602, 0o666])
def test_a_key_that_others_could_replace_is_refused_with_what_to_do(rights: int, path: Path) -> None:
    before = machine_key(path).public
    path.chmod(rights)
    error = refusal(path)
    assert error.message.startswith(f"Other users can write to {path}")
    assert mode(path) == rights
    remove, chmod = (shlex.split(line.split(": ")[1]) for line in error.next_step.splitlines() if ": " in line)
    assert (remove, chmod) == (["rm", str(path)], ["chmod", "600", str(path)])
    path.chmod(0o600)
    assert machine_key(path).public == before
    path.unlink()
    assert machine_key(path).public != before


@ONLY_ROOT
def test_a_key_of_somebody_else_is_refused(path: Path) -> None:
    give_away(path)
    assert f"belongs to the user {COLLEAGUE}" in refusal(path).message


@ONLY_POSIX
def test_a_key_in_a_folder_in_which_everybody_can_replace_it_is_refused(path: Path) -> None:
    path.parent.chmod(0o777)
    assert f"Everybody can write to the folder {path.parent}" in refusal(path).message


@ONLY_POSIX
def test_a_pipe_in_the_place_of_the_key_is_refused_and_not_waited_for(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(SettingsError, match="it is not a file"):
        machine_key(path)
