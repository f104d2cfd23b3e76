"""One entry of a TOML document is set, and everything else stays as it was."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.commands.config_file import with_entry

VALUE = ["User=identity", "Rôle=item"]
LIST = '["User=identity", "Rôle=item"]'
LINE = f"map = {LIST}"

TOP: list[tuple[str, str]] = [
    ("", f"{LINE}\n"),
    ("api = 'v3'\n", f"api = 'v3'\n{LINE}\n"),
    ("api = 'v3'", f"api = 'v3'\n{LINE}\n"),
    ("api = 'v3'\r\n", f"api = 'v3'\r\n{LINE}\r\n"),
    (
        "# mine\napi = 'v3' # why\n\n# the real one\n[profile.prod]\nmap = ['x=item']\n",
        f"# mine\napi = 'v3' # why\n{LINE}\n\n# the real one\n[profile.prod]\nmap = ['x=item']\n",
    ),
    ("[profile.prod]\napi = 'v3'\n", f"{LINE}\n\n[profile.prod]\napi = 'v3'\n"),
    ("map = ['x=item']  # ours # all\napi = 'v3'\n", f"{LINE}  # ours # all\napi = 'v3'\n"),
    ("map = ['x#=item']\n", f"{LINE}\n"),
    (
        "  'map' = [\n  'x=item', # old\n  'y=identity',\n]   # why\napi = 'v3'\n",
        f"  'map' = {LIST}   # why\napi = 'v3'\n",
    ),
    ("out = '''\n[profile.x]\nmap = 3\n'''\n", f"out = '''\n[profile.x]\nmap = 3\n'''\n{LINE}\n"),
    ("list = [\n[1],\n]\n", f"list = [\n[1],\n]\n{LINE}\n"),
    ("# ours\n", f"# ours\n{LINE}\n"),
]
PROFILE: list[tuple[str, str]] = [
    ("", f"[profile.prod]\n{LINE}\n"),
    ("api = 'v3'", f"api = 'v3'\n\n[profile.prod]\n{LINE}\n"),
    (
        "[profile.test]\nmap = ['x=item']\n[profile.prod] # ours\napi = 'v3'\n",
        f"[profile.test]\nmap = ['x=item']\n[profile.prod] # ours\napi = 'v3'\n{LINE}\n",
    ),
    (
        "[profile.prod]\napi = 'v3'\n\n# the other one\n[profile.test]\n",
        f"[profile.prod]\napi = 'v3'\n{LINE}\n\n# the other one\n[profile.test]\n",
    ),
    ("[profile.prod]", f"[profile.prod]\n{LINE}\n"),
    ("[profile.test]\n[profile.prod] # ours", f"[profile.test]\n[profile.prod] # ours\n{LINE}\n"),
    ("# ours\n", f"# ours\n\n[profile.prod]\n{LINE}\n"),
    ("api = 'v3'\r\n", f"api = 'v3'\r\n\r\n[profile.prod]\r\n{LINE}\r\n"),
    ("map = ['x=item']\n[ profile . 'prod' ]\nmap = []\n", f"map = ['x=item']\n[ profile . 'prod' ]\n{LINE}\n"),
]


@pytest.mark.parametrize(("before", "after"), TOP)
def test_an_entry_keeps_its_place_or_comes_last_at_the_top_level(before: str, after: str) -> None:
    assert with_entry(before, (), "map", VALUE) == after


@pytest.mark.parametrize(("before", "after"), PROFILE)
def test_an_entry_of_a_profile_is_in_its_table(before: str, after: str) -> None:
    assert with_entry(before, ("profile", "prod"), "map", VALUE) == after


@pytest.mark.parametrize(
    "before", ["profile = {prod = {api = 'v3'}}\n", "profile = 3\n", "[[profile.prod]]\napi = 'v3'\n"]
)
def test_a_document_of_an_unusual_form_is_left_alone(before: str) -> None:
    assert with_entry(before, ("profile", "prod"), "map", VALUE) is None


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
ENTRIES = st.dictionaries(st.sampled_from(["api", "out", "map", "a b"]), WORDS | st.integers(), max_size=4)


def written(entries: dict[str, Any]) -> list[str]:
    def quoted(text: str) -> str:
        return '"' + "".join(f"\\U{ord(one):08X}" for one in text) + '"'

    return [
        f"{key if key.isalpha() else quoted(key)} = {quoted(value) if isinstance(value, str) else value}"
        for key, value in entries.items()
    ]


@given(ENTRIES, st.dictionaries(WORDS, ENTRIES, max_size=3), WORDS | st.none(), st.lists(WORDS, max_size=3))
def test_a_set_entry_is_read_back_and_everything_else_stays(
    top: dict[str, Any], profiles: dict[str, dict[str, Any]], name: str | None, value: list[str]
) -> None:
    lines = ["# first", *written(top), ""]
    for profile, entries in profiles.items():
        quoted = "".join(f"\\U{ord(one):08X}" for one in profile)
        lines += [f'# of a profile\n[profile."{quoted}"]  # beside', *written(entries)]
    text = "\n".join(lines) + "\n"
    table = () if name is None else ("profile", name)
    changed = with_entry(text, table, "map", value)
    assert changed is not None
    expected = tomllib.loads(text)
    place = expected if name is None else expected.setdefault("profile", {}).setdefault(name, {})
    place["map"] = value
    assert tomllib.loads(changed) == expected
    assert set(text.split("\n")) - set(changed.split("\n")) <= set(written({"map": top.get("map")})) | {
        line for entries in profiles.values() for line in written({"map": entries.get("map")})
    }
