"""The one writer: nobody else decides where our files end up, or who may read and change them."""

from __future__ import annotations

import errno
import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from batch.errors import SettingsError, UnsafePlaceError
from batch.files import close_to_others, open_log, read_small, whole_file, write_small
from batch.folders import Folder, open_folder
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
    from collections.abc import Callable

pytestmark = ONLY_POSIX

ROOT = Path(__file__).resolve().parents[1] / "batch"
OTHER_WAYS = re.compile(
    r"\.(mkdir|touch|read_text|read_bytes|write_text|write_bytes|hardlink_to|symlink_to|rmdir|unlink)\("
    r"|O_CREAT|os\.(mkdir|makedirs|rename|replace|link|symlink|remove|chmod)\b|shutil|tempfile"
    r"|open\([^)]*[\"'][wax]b?[+\"']"
)


def put(path: Path, content: bytes = b"ours") -> None:
    with whole_file(path, option="--out") as file:
        file.write(content)


def refusal(path: Path, write: Callable[[Path], object] = put) -> UnsafePlaceError:
    """The error of writing there; requires that it leaves nothing behind, and says what to do."""
    before = sorted(path.parent.iterdir()) if path.parent.is_dir() else []
    with pytest.raises(UnsafePlaceError) as caught:
        write(path)
    assert caught.value.exit_code == 2
    assert caught.value.next_step.startswith("Nothing was sent. ")
    assert not path.parent.is_dir() or sorted(path.parent.iterdir()) == before
    return caught.value


WRITERS = [put, lambda path: write_small(path, b"ours"), lambda path: write_small(path, b"ours", append=True)]


@pytest.mark.parametrize("write", WRITERS)
def test_a_folder_that_is_a_link_is_refused_and_named(write: Callable[[Path], object], tmp_path: Path) -> None:
    real = folder_with(tmp_path / "real", 0o700)
    (tmp_path / "link").symlink_to(real)
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    assert f"is a link to {real}" in refusal(tmp_path / "link" / "f", write).message
    refusal(tmp_path / "nowhere" / "f", write)
    assert not (tmp_path / "missing").exists()


@ONLY_ROOT
@pytest.mark.parametrize("rights", [0o700, 0o755, 0o777, 0o1777])
@pytest.mark.parametrize("write", WRITERS)
def test_a_folder_of_somebody_else_is_refused(rights: int, write: Callable[[Path], object], tmp_path: Path) -> None:
    give_away(folder_with(tmp_path / "theirs", rights))
    assert f"belongs to the user {COLLEAGUE}" in refusal(tmp_path / "theirs" / "f", write).message


@pytest.mark.parametrize("write", WRITERS)
def test_a_folder_that_everybody_can_write_to_is_refused_with_the_command_that_mends_it(
    write: Callable[[Path], object], tmp_path: Path
) -> None:
    folder = folder_with(tmp_path / "it's open", 0o777)
    error = refusal(folder / "f", write)
    assert error.message.startswith("Everybody can write to the folder")
    assert "Or choose another folder" in error.next_step
    command = shlex.split(error.next_step.split("Run: ")[1].splitlines()[0])
    assert command == ["chmod", "o-w", str(folder)]
    folder.chmod(mode(folder) & ~0o002)
    write(folder / "f")


def test_a_disk_that_keeps_no_rights_of_folders_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mkdir = os.mkdir

    def forget(name: str, _: int, *, dir_fd: int) -> None:
        mkdir(name, dir_fd=dir_fd)
        os.chmod(name, 0o777, dir_fd=dir_fd)  # noqa: S103 - as such a disk does

    monkeypatch.setattr(os, "mkdir", forget)
    error = refusal(tmp_path / "a.results" / "f")
    assert "stores no file permissions" in error.message
    assert "Windows drive in WSL" in error.next_step
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rights", [0o1777, 0o770, 0o2775, 0o500])
def test_a_folder_in_which_nobody_or_only_our_group_can_replace_files_will_do(rights: int, tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "folder", rights)
    if rights == 0o500 and os.geteuid() != 0:
        with pytest.raises(PermissionError):
            put(folder / "f")
        return
    put(folder / "f")
    assert (mode(folder), mode(folder / "f")) == (rights, 0o600)


def test_the_current_folder_will_do_however_it_was_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = folder_with(tmp_path / "real", 0o700)
    (tmp_path / "way").symlink_to(real)
    monkeypatch.chdir(tmp_path / "way")
    put(Path("f"))
    assert (real / "f").read_bytes() == b"ours"


@pytest.mark.usefixtures("no_umask")
@pytest.mark.parametrize("write", WRITERS)
def test_what_we_make_is_private_whatever_the_umask(write: Callable[[Path], object], tmp_path: Path) -> None:
    write(tmp_path / "a" / "b" / "f")
    assert {mode(tmp_path / "a"), mode(tmp_path / "a" / "b")} == {0o700}
    assert mode(tmp_path / "a" / "b" / "f") == 0o600


@pytest.mark.parametrize("target", [".bash_profile", ".bash_login"])
def test_a_link_is_replaced_or_refused_and_never_followed(target: str, tmp_path: Path) -> None:
    mine = profile()
    link = tmp_path / "f"
    for write in (*WRITERS[1:], lambda path: open_log(path, option="--log-file")):
        link.unlink(missing_ok=True)
        link.symlink_to(mine.with_name(target))
        assert "is a link" in refusal(link, write).message
    put(link)
    assert not link.is_symlink()
    require_untouched(mine)


def test_an_older_file_that_all_could_read_is_private_from_now_on(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("old")
    (tmp_path / "f").chmod(0o644)
    put(tmp_path / "f")
    assert mode(tmp_path / "f") == 0o600


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    def fail() -> None:
        with whole_file(tmp_path / "f") as file:
            file.write(b"half")
            raise RuntimeError

    put(tmp_path / "f", b"before")
    with pytest.raises(RuntimeError):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
    assert (tmp_path / "f").read_bytes() == b"before"


def test_a_new_file_takes_no_others_place(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "missing")
    (tmp_path / "file").write_text("theirs")
    for name in ("link", "file"):
        with pytest.raises(FileExistsError), whole_file(tmp_path / name, new=True) as file:
            file.write(b"ours")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link"]
    with whole_file(tmp_path / "new", new=True) as file:
        file.write(b"ours")
    assert (tmp_path / "new").read_bytes() == b"ours"


def test_a_new_file_needs_no_disk_with_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", fail)
    with whole_file(tmp_path / "new", new=True) as file:
        file.write(b"ours")
    assert (tmp_path / "new").read_bytes() == b"ours"
    with pytest.raises(FileExistsError), whole_file(tmp_path / "new", new=True) as file:
        file.write(b"again")
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_a_folder_that_is_replaced_meanwhile_gets_nothing(tmp_path: Path) -> None:
    mine, folder = profile(), folder_with(tmp_path / "folder", 0o700)

    def replace() -> Folder:
        with open_folder(folder) as opened:
            folder.rename(tmp_path / "moved")
            folder.symlink_to(mine.parent)
            os.close(opened.open("f", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            opened.name("f", mine.name, new=False)
        return opened

    replace()
    require_untouched(mine)
    assert [path.name for path in (tmp_path / "moved").iterdir()] == [mine.name]


def test_a_file_may_have_the_longest_name(tmp_path: Path) -> None:
    put(tmp_path / ("n" * 255))
    assert len(next(tmp_path.iterdir()).name) == 255


def test_a_file_that_everybody_can_write_to_is_closed_to_them_if_it_is_ours(tmp_path: Path) -> None:
    file, link = tmp_path / "f", tmp_path / "link"
    file.touch()
    file.chmod(0o666)
    link.symlink_to(file)
    assert close_to_others("The ledger", file, [link, tmp_path / "missing"]) == ()
    (notice,) = close_to_others("The ledger", file, [file, file])
    assert notice == f"Everybody could write to {file}. The ledger is yours alone now (mode 600)."
    assert mode(file) == 0o600
    assert close_to_others("The ledger", file, [file]) == ()
    file.chmod(0o664)
    assert close_to_others("The ledger", file, [file]) == ()


@ONLY_ROOT
def test_a_file_that_everybody_can_write_to_is_refused_if_it_is_somebody_elses(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.touch()
    file.chmod(0o666)
    give_away(file)
    for use in (lambda path: close_to_others("It", path, [path]), lambda path: open_log(path, option="--log-file")):
        error = refusal(file, use)
        assert f"belongs to the user {COLLEAGUE}" in error.message
        assert error.next_step.endswith(f"chmod o-w {file}")
    assert mode(file) == 0o666


def test_a_disk_that_keeps_no_rights_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "f"
    file.touch()
    file.chmod(0o666)
    monkeypatch.setattr(os, "chmod", lambda *_: None)
    assert "WSL" in refusal(file, lambda path: close_to_others("It", path, [path])).next_step


def test_a_log_may_be_a_stream_or_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    out = os.open(tmp_path / "out", os.O_CREAT | os.O_WRONLY)
    try:
        for path in (pipe, Path(f"/dev/fd/{out}"), Path("/dev/null")):
            handle, notices = open_log(path, option="--log-file")
            os.write(handle, b"line\n")
            os.close(handle)
            assert notices == ()
        assert os.read(reading, 9) == b"line\n"
    finally:
        os.close(reading)
        os.close(out)
    assert (tmp_path / "out").read_bytes() == b"line\n"


def test_nothing_else_of_ours_makes_a_file_or_folder_or_reads_a_small_one() -> None:
    lines = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in sorted(ROOT.rglob("*.py"))
        if path not in {ROOT / "files.py", ROOT / "folders.py"}
        for line in path.read_text("utf-8").splitlines()
        if OTHER_WAYS.search(line) and "open_private(" not in line and '"/proc/' not in line
    ]
    # The log is opened by its descriptor, devices are no files, and a part of an archive in memory is none either.
    assert [line for line in lines if "opener=" not in line and "copy_to.open(" not in line] == []


def test_a_folder_below_one_that_everybody_can_replace_is_refused(tmp_path: Path) -> None:
    above = tmp_path / "open"
    (above / "mine").mkdir(parents=True)
    above.chmod(0o777)
    with pytest.raises(UnsafePlaceError, match=f"Everybody can write to the folder {above}, "):
        write_small(above / "mine" / "file", b"x")
    (tmp_path / "link").symlink_to(above / "mine")
    (above / "mine" / "results").mkdir()
    with pytest.raises(UnsafePlaceError, match="Everybody can write to the folder"):
        write_small(tmp_path / "link" / "results" / "file", b"x")


@pytest.mark.parametrize("link", ["ours", "ours/heads", "ours/heads/one"])
def test_no_folder_of_ours_may_be_a_link(link: str, tmp_path: Path) -> None:
    elsewhere = folder_with(tmp_path / "elsewhere", 0o700)
    (tmp_path / link).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / link).symlink_to(elsewhere)
    for append in (False, True):
        with pytest.raises(UnsafePlaceError, match=f"The folder {tmp_path / link} is a link to {elsewhere}: "):
            write_small(tmp_path / "ours" / "heads" / "one" / "f", b"x", append=append, top=tmp_path / "ours")
    assert list(elsewhere.iterdir()) == []


@ONLY_ROOT
def test_a_folder_below_somebody_elses_link_is_refused(tmp_path: Path) -> None:
    real = folder_with(tmp_path / "real", 0o700)
    shared = folder_with(tmp_path / "shared", 0o1777)
    (shared / "new").symlink_to(real)
    put(shared / "new" / "results" / "f")
    os.chown(shared / "new", COLLEAGUE, COLLEAGUE, follow_symlinks=False)
    for way in ("new/results/f", "new/other/f"):
        with pytest.raises(UnsafePlaceError, match=f"The link {shared / 'new'} belongs to the user {COLLEAGUE}"):
            put(shared / way, b"theirs")
    assert [one.name for one in real.iterdir()] == ["results"]
    assert (real / "results" / "f").read_bytes() == b"ours"


def test_nothing_is_made_where_a_link_leads_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("missing")
    with pytest.raises(FileNotFoundError):
        put(tmp_path / "link" / "results" / "f")
    assert not (tmp_path / "missing").exists()
    (tmp_path / "missing").mkdir()
    put(tmp_path / "link" / "results" / "f")


def test_links_that_lead_in_a_circle_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match=r"Not a directory|Too many"):
        put(tmp_path / "a" / "results" / "f")


def test_a_folder_above_that_becomes_a_link_on_the_way_leads_nothing_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = folder_with(tmp_path / "theirs" / "results", 0o700)
    (tmp_path / "above" / "results").mkdir(parents=True)
    real = os.open

    def swap_then_open(name: str, flags: int, *mode: int, dir_fd: int | None = None) -> int:
        if name == "results":
            (tmp_path / "above").rename(tmp_path / "moved")
            (tmp_path / "above").symlink_to(theirs.parent)
        return real(name, flags, *mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", swap_then_open)
    put(tmp_path / "above" / "results" / "f")
    assert list(theirs.iterdir()) == []
    assert (tmp_path / "moved" / "results" / "f").read_bytes() == b"ours"


def test_a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "f")
    for append in (False, True):
        with pytest.raises(OSError, match=r"not a file|No such device"):
            write_small(tmp_path / "f", b"ours", append=append)
    reading = os.open(tmp_path / "f", os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(OSError, match="not a file"):
            write_small(tmp_path / "f", b"ours")
        assert os.read(reading, 9) == b""
    finally:
        os.close(reading)
    put(tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == b"ours"


def test_a_log_pipe_that_nobody_reads_from_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="nobody reads from this pipe"):
        open_log(tmp_path / "pipe", option="--log-file")


def test_a_small_file_may_be_a_pipe_if_somebody_writes_to_it(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(SettingsError, match="it is not a file"):
        read_small(pipe)
    waited: list[float] = []
    with pytest.raises(SettingsError, match="it is a pipe, and nobody has written to it for 60 seconds"):
        read_small(pipe, pipe=True, wait=waited.append)
    assert sum(waited) == pytest.approx(60)
    writing: list[int] = []

    def begin(_: float) -> None:
        writing.append(os.open(pipe, os.O_WRONLY))
        os.write(writing[0], b"late")
        os.close(writing[0])

    read = read_small(pipe, pipe=True, wait=begin)
    assert read is not None
    assert (read.text, len(writing)) == ("late", 1)
