"""Files in other formats: maps, saved maps, date formats and a comment, all the way to the tenant."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from batch.api.dialects import ItemType
from batch.settings import load
from tests.end_to_end.program import accepted, environment, grant, identity, item, once, pair_of, read_rows, write_rows

if TYPE_CHECKING:
    from pathlib import Path

    from batch.sandbox.server import RunningSandbox
    from tests.end_to_end.program import Program

MAPS = ("--map", "who=identity_id", "--map", "Role Id=item_id", "--map", "ends=remove_date")


def foreign_row(person: int, thing: int, ends: str = "") -> dict[str, str]:
    return {"Who": identity(person), "item_type": "ROLE", "Role Id": item(thing), "Ends": ends}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_rows(
        tmp_path / "theirs.csv", [foreign_row(1, 1, "1/31/2099"), foreign_row(2, 2), foreign_row(3, 3, "31.1.2099")]
    )


@pytest.fixture
def config(tmp_path: Path) -> Path:
    # conftest.py sets this folder for every test.
    return tmp_path / "config" / "access-batch" / "config.toml"


def test_a_foreign_file_and_its_corrected_rows_are_each_submitted_once(
    program: Program, tenant: RunningSandbox, path: Path, tmp_path: Path
) -> None:
    options = ("--yes", "--date-format", "us", *MAPS, "--out", tmp_path / "out")
    ended = program("submit", path, *options, env=environment(tenant))
    assert ended.code == 3
    # They need the same options to be read.
    assert ended.out.splitlines()[-1].endswith(
        "rejected.csv --map who=identity_id --map 'Role Id=item_id' --map ends=remove_date --date-format us"
    )
    wanted = [pair_of(grant(number, number)) for number in (1, 2)]
    assert accepted(tenant) == once(wanted)
    assert set(read_rows(tmp_path / "out" / "results.csv")[0]) >= {"Who", "Role Id", "Ends"}
    rejected = tmp_path / "out" / "rejected.csv"
    (bad,) = read_rows(rejected)
    assert (bad["Ends"], bad["_rule"]) == ("31.1.2099", "remove_date_readable")
    assert "01/31/2027" in bad["_message"]

    corrected = tmp_path / "corrected.csv"
    corrected.write_text(rejected.read_text().replace("31.1.2099", "1/31/2099"))
    assert program("submit", corrected, *options, env=environment(tenant)).code == 0
    assert accepted(tenant) == once([*wanted, pair_of(grant(3, 3))])


def test_the_same_map_continues_a_run_and_another_map_starts_a_new_run(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    rows = [{**foreign_row(1, 1), "Other": identity(2)}]
    path = write_rows(tmp_path / "theirs.csv", rows)
    given = (*MAPS[2:4], "--yes", "--json")
    first = program("submit", path, "--map", "Who=identity_id", *given, env=environment(tenant)).json
    again = program("submit", path, "--map", "WHO =identity_id", *given, env=environment(tenant)).json
    other = program("submit", path, "--map", "Other=identity_id", *given, env=environment(tenant)).json
    assert again["run"] == first["run"] != other["run"]
    assert accepted(tenant) == once([pair_of(grant(1, 1)), pair_of(grant(2, 1))])


def test_an_option_gives_a_comment_to_rows_without_a_comment(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    rows = [grant(1, 1) | {"operation": "REVOKE"}, grant(2, 2, comment="own") | {"operation": "REVOKE"}]
    path = write_rows(tmp_path / "leavers.csv", rows)
    assert program("validate", path).code == 3
    assert program("validate", path, "--comment", "quarter").code == 0
    for number in (1, 2):
        tenant.tenant.hold(identity(number), ItemType.ROLE, item(number))
    assert program("submit", path, "--yes", "--comment", "quarter", env=environment(tenant)).code == 0
    assert accepted(tenant) == once([pair_of(row) for row in rows])


def test_a_saved_map_applies_to_later_commands(program: Program, path: Path, config: Path) -> None:
    config.parent.mkdir(parents=True)
    config.write_text("# mine\nconcurrency = 3\nmap = ['x=item']\n")
    config.chmod(0o640)
    assert program("validate", path, "--date-format", "us").code == 2
    saved = program("validate", path, "--date-format", "us", *MAPS, "--save-map")
    assert saved.code == 3
    assert f"Saved 3 maps in {config}, in place of any saved before: who=identity_id" in saved.err
    assert config.read_text().startswith("# mine\nconcurrency = 3\nmap = [")
    assert sys.platform == "win32" or config.stat().st_mode & 0o777 == 0o640
    assert load({}).map == ("who=identity_id", "Role Id=item_id", "ends=remove_date")
    assert program("plan", path, "--date-format", "us", "--json").json["rows"]["submitted"] == 2
    # A saved map is only a default: a file without its columns is read unchanged.
    assert program("validate", write_rows(path.with_name("ours.csv"), [grant(1, 1)])).code == 0


def test_maps_are_saved_for_a_profile(program: Program, path: Path, config: Path) -> None:
    config.parent.mkdir(parents=True)
    config.write_text("[profile.test]\nbase_url = 'https://test.example.com'\n")
    assert "profile 'test'" in program("plan", path, *MAPS, "--profile", "test", "--save-map").err
    assert load({}, profile="test").map
    assert not load({}).map


def test_a_link_to_the_config_file_stays_a_link(program: Program, path: Path, config: Path, tmp_path: Path) -> None:
    config.parent.mkdir(parents=True)
    kept = tmp_path / "dotfiles.toml"
    kept.write_text("\ufeffconcurrency = 3\r\n")
    config.symlink_to(kept)
    assert program("validate", path, *MAPS, "--save-map").code == 3
    assert config.is_symlink()
    assert kept.read_bytes().startswith(b"\xef\xbb\xbfconcurrency = 3\r\nmap = [")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--save-map"], "has nothing to save"),
        (["--map", "Nobody=identity", "--save-map"], "no column `Nobody`"),
        (["--map", "Who=identy"], "did you mean 'identity'"),
        (["--date-format", "%m"], "has no year"),
        (["--time-zone", "Berlin"], "'Berlin' is not a time zone"),
        (["--comment", " "], "--comment is blank"),
    ],
)
def test_an_impossible_option_is_refused_and_nothing_is_saved(
    options: list[str], message: str, program: Program, path: Path, config: Path
) -> None:
    ended = program("plan", path, *options)
    assert ended.code == 2
    assert message in ended.err
    assert not config.exists()


def test_a_config_file_that_cannot_be_changed_safely_is_left_alone(program: Program, path: Path, config: Path) -> None:
    config.parent.mkdir(parents=True)
    text = "profile = {test = {api = 'v3'}}\n"
    config.write_text(text)
    ended = program("validate", path, *MAPS, "--profile", "test", "--save-map")
    assert ended.code == 2
    assert "map = ['who=identity_id'" in ended.err
    assert config.read_text() == text
