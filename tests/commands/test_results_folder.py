"""Result files go into a folder beside the first input, which is named after it."""

from __future__ import annotations

from pathlib import Path

import pytest

from batch.commands.session import results_folder
from batch.settings import Settings


@pytest.mark.parametrize(
    ("first", "folder"),
    [
        ("load/joiners.csv", "load/joiners.results"),
        ("load/joiners.2027.csv.gz", "load/joiners.2027.results"),
        ("joiners.GZ", "joiners.results"),
        ("joiners.xlsx", "joiners.results"),
        ("joiners", "joiners.results"),
        ("https://example.com/load/joiners.csv.gz", "joiners.results"),
        ("-", "stdin.results"),
    ],
)
def test_the_folder_is_named_after_the_first_input(first: str, folder: str) -> None:
    assert results_folder(Settings(), [first, "other.csv"]) == Path(folder)
    assert results_folder(Settings(out=Path("there")), [first]) == Path("there")
