"""Who may write to a ledger: not everybody, and no link leads it elsewhere."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from batch.errors import UsageError
from batch.ledger.address import ledger_url
from batch.ledger.upgrade import back_up
from tests.ledger.ledger_helpers import open_ledger, singles, write
from tests.rights import ONLY_POSIX, ONLY_ROOT, folder_with, give_away, mode, profile, require_untouched

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = ONLY_POSIX


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger in a folder of its own."""
    path = folder_with(tmp_path / "folder", 0o700) / "ledger.db"
    open_ledger(path).close()
    return path


def refusal(path: Path) -> str:
    with pytest.raises(UsageError) as caught:
        open_ledger(path)
    assert caught.value.exit_code == 2
    return f"{caught.value.message} {caught.value.next_step}"


@pytest.mark.parametrize("name", ["ledger.db", "ledger.db-wal", "ledger.db-shm"])
def test_a_ledger_that_everybody_can_write_to_is_closed_to_them_with_one_notice(name: str, path: Path) -> None:
    with open_ledger(path) as opened:
        write(opened, *singles(1))
        # While it is open, SQLite keeps its other files beside it.
        path.with_name(name).chmod(0o666)
        with open_ledger(path) as again:
            assert again.notices == (f"Everybody could write to {path}. The ledger is yours alone now (mode 600).",)
        assert mode(path.with_name(name)) == 0o600
        with open_ledger(path) as again:
            assert again.notices == ()


def test_it_is_closed_to_them_behind_a_link_too(path: Path, tmp_path: Path) -> None:
    path.chmod(0o666)
    (tmp_path / "link.db").symlink_to(path)
    with open_ledger(tmp_path / "link.db") as ledger:
        assert len(ledger.notices) == 1
    assert mode(path) == 0o600


@ONLY_ROOT
@pytest.mark.parametrize("name", ["ledger.db", "ledger.db-wal"])
def test_a_ledger_of_somebody_else_that_everybody_can_write_to_is_refused(name: str, path: Path) -> None:
    file = path.with_name(name)
    file.touch()
    give_away(file)
    file.chmod(0o666)
    assert f"Have its owner run: chmod o-w {file}" in refusal(path)
    assert mode(file) == 0o666


def test_a_ledger_that_everybody_can_replace_is_refused(path: Path) -> None:
    path.parent.chmod(0o777)
    assert f"Run: chmod o-w {path.parent}" in refusal(path)
    path.parent.chmod(0o1777)
    open_ledger(path).close()


@ONLY_ROOT
def test_a_team_shares_a_ledger_in_somebody_elses_folder_and_makes_nothing_there(path: Path) -> None:
    path.chmod(0o660)
    give_away(path)
    give_away(path.parent)
    open_ledger(path).close()
    assert mode(path) == 0o660
    assert "with --ledger" in refusal(path.with_name("new.db"))
    with pytest.raises(UsageError, match="belongs to") as caught:
        back_up(ledger_url(str(path)), path.with_name("copy.db"))
    assert "FILE" in caught.value.next_step
    assert sorted(one.name for one in path.parent.iterdir()) == ["ledger.db"]


@pytest.mark.parametrize("name", ["ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db-journal"])
@pytest.mark.parametrize("is_there", [False, True])
def test_no_link_makes_a_ledger_write_elsewhere(name: str, is_there: bool, path: Path) -> None:  # noqa: FBT001 - a column
    mine = profile()
    for target in (mine.name, ".bash_login"):
        if not is_there or name == path.name:
            path.unlink()
        path.with_name(name).symlink_to(mine.with_name(target))
        # SQLite refuses the link, or removes what can't be a new ledger's.
        with suppress(UsageError), open_ledger(path) as ledger:
            write(ledger, *singles(1))
        require_untouched(mine)
        path.with_name(name).unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        open_ledger(path).close()


def test_a_backup_is_private_and_made_only_where_nobody_else_can_replace_it(path: Path, tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "backups", 0o777)
    with pytest.raises(UsageError, match="Everybody can write"):
        back_up(ledger_url(str(path)), folder / "copy.db")
    assert list(folder.iterdir()) == []
    folder.chmod(0o755)
    back_up(ledger_url(str(path)), folder / "copy.db")
    assert [one.name for one in folder.iterdir()] == ["copy.db"]
    assert mode(folder / "copy.db") == 0o600


@pytest.mark.parametrize("content", [b"", b"mine\n"])
def test_no_ledger_is_made_where_a_link_leads(content: bytes, tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link.db"
    file.write_bytes(content)
    file.chmod(0o666)
    link.symlink_to(file)
    assert "with --ledger" in refusal(link) or content
    assert (file.read_bytes(), mode(file)) == (content, 0o666)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["file", "link.db"]


def test_a_ledger_goes_on_where_a_link_leads(path: Path, tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(path)
    (tmp_path / "way").symlink_to(path.parent)
    for place in (tmp_path / "link.db", tmp_path / "way" / path.name):
        with open_ledger(place) as ledger:
            assert ledger.notices == ()


def test_a_ledger_below_a_folder_that_everybody_can_replace_is_refused(path: Path, tmp_path: Path) -> None:
    above = folder_with(tmp_path / "open", 0o777)
    (above / "way").symlink_to(path.parent)
    assert f"Run: chmod o-w {above}" in refusal(above / "way" / path.name)
