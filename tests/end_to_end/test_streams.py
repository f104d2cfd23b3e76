"""Attacks on what a command writes beside the ledger: full disks, and streams that are closed or can't be written."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from batch.commands.screen import Consent, Screen
from batch.commands.streams import stream_to
from batch.errors import SettingsError
from tests.end_to_end.program import Terminal, accepted, environment, fork, grant, once, pair_of, write_rows

if TYPE_CHECKING:
    from batch.sandbox.server import RunningSandbox

FULL = Path("/dev/full")
CLOSED = None
ROWS = [grant(1, 1), grant(2, 2)]

pytestmark = pytest.mark.skipif(not FULL.exists(), reason="this system has no device that is always full")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Two rows to send, and one to reject."""
    return write_rows(tmp_path / "joiners.csv", [*ROWS, {**grant(1, 1), "identity_id": "x"}])


@pytest.mark.parametrize(
    ("streams", "told"),
    [
        ({1: FULL}, "can't be written to standard output: No space left on device. The same command shows it again."),
        ({1: CLOSED}, "can't be written to standard output: it is closed. The same command shows it again."),
        ({2: FULL}, "Messages are missing: standard error can't be written: No space left on device."),
        ({2: CLOSED}, "Messages are missing: standard error can't be written: it is closed."),
        ({1: FULL, 2: FULL}, ""),
        ({0: CLOSED, 1: CLOSED, 2: CLOSED}, ""),
    ],
    ids=str,
)
def test_a_stream_that_can_not_be_written_changes_nothing_but_what_is_shown(
    streams: dict[int, Path | None], told: str, tenant: RunningSandbox, path: Path
) -> None:
    process = fork("submit", path, "--yes", env=environment(tenant), streams=streams)
    out, err = process.communicate()
    assert process.returncode == 3, err
    assert accepted(tenant) == once(map(pair_of, ROWS))
    assert (path.with_name("joiners.results") / "results.csv").exists()
    assert told in out + err
    assert (out + err).count("can't be written") == bool(told)
    assert "a bug" not in err


@pytest.mark.parametrize(
    "words", [("validate", "joiners.csv"), ("plan", "joiners.csv", "--json"), ("doctor",)], ids=str
)
def test_a_command_that_only_shows_something_ends_as_one_to_repeat_if_it_can_not(
    words: tuple[str, ...], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    process = fork(*words, env={}, streams={1: FULL})
    out, err = process.communicate()
    assert (process.returncode, out) == (4, "")
    assert err.endswith(
        "access-batch: The summary can't be written to standard output: No space left on device.\n"
        "The same command shows it again.\n"
    )


@pytest.mark.parametrize("words", [("--help",), ("--version",)], ids=str)
def test_help_for_a_full_device_is_no_bug(words: tuple[str, ...]) -> None:
    process = fork(*words, env={}, streams={1: FULL})
    assert process.communicate() == ("", "Standard output can't be written: No space left on device.\n")
    assert process.returncode == 0


def test_a_question_that_nobody_can_read_is_not_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    with FULL.open("w") as nowhere, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stream_to(nowhere.fileno()))
        with pytest.raises(SettingsError, match=r"question can't be shown: .*: No space left on device") as caught:
            Screen(console=Console(stderr=True)).ask("Submit?", Consent())
    assert "--yes" in caught.value.next_step


def test_standard_input_that_is_closed_matters_only_if_it_is_the_input_or_the_answer(path: Path) -> None:
    missing = path.with_name("nofile.csv")
    for words, told in (
        (("submit", "-", "--yes"), "no standard input to read"),
        (("submit", path), "no terminal"),
        (("submit", path, missing), f"access-batch: {missing} does not exist."),
    ):
        process = fork(*words, "--sandbox", env={}, streams={0: CLOSED})
        _, err = process.communicate()
        assert process.returncode == 2
        assert told in err
