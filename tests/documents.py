"""The README and the help topics, read and written in one place.

`python -m tests.documents` runs the commands that the README shows, and writes their screens anew.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from batch.api.dialects import Rate
from batch.sandbox.server import running_sandbox
from batch.sandbox.settings import SandboxSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from batch.sandbox.server import RunningSandbox

ROOT: Final = Path(__file__).resolve().parents[1]
README: Final = (ROOT / "README.md").read_text(encoding="utf-8")
TOPICS: Final = {path.stem: path.read_text("utf-8") for path in sorted((ROOT / "batch" / "help").glob("*.md"))}
DOCUMENTS: Final = "\n".join([README, *TOPICS.values()])
"""All that we tell users outside of the program's own messages."""

_SCREEN: Final = re.compile(r"^\$ access-batch (.*)\n((?:(?!\$ |# |```).*\n)*)", re.MULTILINE)
"""A command and its screen, up to the next command or the comment before it."""

_STEADY: Final = (
    (r"http://127\.0\.0\.1:\d+", "http://127.0.0.1:8080"),
    (r"/\S*/ledger\.db", "/home/you/.local/share/access-batch/ledger.db"),
    (r"head: \d+:[0-9a-f]{16}", "head: 412:9f86d081884c7d65"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "2027-01-11 09:30 UTC"),
    (r" \(some of it up to [^)]+ ago\)", ""),
    (r"answered up to \d+ s ago", "answered a moment ago"),
    (r", \d+ kB,", ", 197 kB,"),
)
"""The parts of a screen that every call has anew, and what the README shows."""

_LEFT_OUT: Final = ("A new ledger was created", "Asking the tenant")
"""How lines begin that the README does not show: they come only the first time, or with the rate."""

_RUN_IDS: Final = ("74ba1e2763da",)
"""The runs of the README, in the order in which they appear."""


def block(name: str) -> str:
    """The fenced text after a marker, in the README or a topic."""
    found = re.search(rf"<!-- {name} -->\n```\w*\n(.*?)```", DOCUMENTS, re.DOTALL)
    assert found, name
    return found.group(1)


def table_after(mark: str) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table that follows a mark in the README or a topic."""
    lines = re.findall(r"^\| (.+?) \|$", DOCUMENTS.split(mark)[1].split("\n\n")[0], re.MULTILINE)
    head, *rows = [line.split(" | ") for line in lines]
    return head, rows


def tour_tenant() -> SandboxSettings:
    """The tenant of the README's tour: it approves and provisions at once."""
    return SandboxSettings(
        rate=Rate(requests=5000, seconds=1),
        people=500,
        approval_seconds=0,
        provisioning_seconds=0,
        visibility_delay=0.0,
    )


def with_new_screens(run: Callable[[list[str]], str]) -> str:
    """The README with the screens that its commands show now.

    Args:
        run: Runs the program with these arguments in a prepared folder, and returns what it shows.
    """
    runs: list[str] = []

    def screen(words: list[str], before: str) -> str:
        own_words = [runs[_RUN_IDS.index(word)] if word in _RUN_IDS else word for word in words]
        shown = run(own_words)
        for found in re.findall(r"\bRun ([0-9a-f]{12})", shown):
            if found not in runs:
                runs.append(found)
        for own, steady in zip(runs, _RUN_IDS, strict=False):
            shown = shown.replace(own, steady)
        for pattern, steady in _STEADY:
            shown = re.sub(pattern, steady, shown)
        lines = [line for line in shown.splitlines() if not line.startswith(_LEFT_OUT)]
        return "\n".join([*_cut(lines, before.splitlines()), ""])

    readme = _SCREEN.sub(lambda found: f"$ access-batch {found[1]}\n{screen(found[1].split(), found[2])}", README)
    runs.clear()
    first = screen(block("first command").split(".venv/bin/access-batch ")[1].split(), block("screen"))
    return readme.replace(block("screen"), first)


def _cut(lines: list[str], before: list[str]) -> list[str]:
    """Leaves out what the screen left out before, at its line `…`."""
    if "…" not in before:
        return lines
    first = before.index("…")
    return [*lines[:first], "…", *lines[first + 1 - len(before) :]]


def prepare(folder: Path) -> None:
    """Gives a folder the files that the README's commands read."""
    (folder / "sample_csvs").mkdir()
    shutil.copy(ROOT / "sample_csvs" / "onboarding.csv", folder / "sample_csvs")
    (folder / "joiners.csv").write_text(block("file: joiners.csv"), encoding="utf-8")


def variables(sandbox: RunningSandbox) -> dict[str, str]:
    """The variables that the sandbox tells its users to set."""
    return {
        "SAIL_BASE_URL": sandbox.base_url,
        "SAIL_CLIENT_ID": sandbox.client_id,
        "SAIL_CLIENT_SECRET": sandbox.client_secret,
    }


def _write() -> None:
    with running_sandbox(tour_tenant()) as sandbox, tempfile.TemporaryDirectory(dir=Path.home()) as folder:
        prepare(Path(folder))
        home = {f"XDG_{kind}_HOME": f"{folder}/{kind}" for kind in ("DATA", "CONFIG", "STATE")}
        env = {**os.environ, **home, **variables(sandbox), "PYTHONPATH": str(ROOT), "COLUMNS": "120"}

        def run(words: list[str]) -> str:
            ended = subprocess.run(
                [sys.executable, "-m", "batch", *words],
                cwd=folder,
                env=env,
                check=False,
                capture_output=True,
                text=True,
            )
            return ended.stderr + ended.stdout

        (ROOT / "README.md").write_text(with_new_screens(run), encoding="utf-8")


if __name__ == "__main__":
    _write()
