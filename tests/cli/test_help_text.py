"""Help of each command: groups, defaults, examples that parse, exit codes, and one style of complaints."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import typer

from batch.cli import app
from batch.cli.help_text import grouped
from batch.cli.options import HEADINGS, Call
from batch.settings import Settings, options_of
from tests.cli.test_options import commands

if TYPE_CHECKING:
    from tests.end_to_end.program import Program

PROGRAM: Any = typer.main.get_command(app)
COMMANDS: dict[str, Any] = dict(commands(PROGRAM))


def help_of(path: str) -> str:
    at = typer.Context(PROGRAM, info_name="access-batch")
    for word in path.split():
        group: Any = at.command
        at = typer.Context(group.commands[word], info_name=word, parent=at)
    return at.get_help()


def test_every_shared_option_is_in_one_group() -> None:
    headed = Counter(name for names in HEADINGS.values() for name in names)
    shared = {*options_of(Settings), *vars(Call())}
    assert {name for name, number in headed.items() if number > 1} == set()
    assert shared <= set(headed)


@pytest.mark.parametrize("path", COMMANDS)
def test_every_option_shows_its_default_or_that_there_is_none(path: str) -> None:
    flags = {one.opts[0] for one in COMMANDS[path].params if one.param_type_name == "option" and one.is_flag}
    for rows in grouped(COMMANDS[path]).values():
        for names, sentence in rows:
            if not flags & set(names.split(", ")):
                assert re.search(r"[.] (\[env: \w+\] )?\[default: .+\]$", sentence), names


def test_commands_that_ask_say_that_130_is_declined_too() -> None:
    told = {path for path in COMMANDS if "130  declined or interrupted" in COMMANDS[path].epilog}
    assert {"submit", "cancel"} <= told


def test_the_options_of_submit_are_in_five_groups_with_the_values_that_apply_unless_given() -> None:
    shown = {heading: dict(rows) for heading, rows in grouped(COMMANDS["submit"]).items()}
    assert list(shown) == ["What", "How much", "Where", "How fast", "Output"]
    assert shown["How fast"]["--rate N/SECONDS"].endswith("[default: 100/10]")
    assert shown["Output"]["--out-format FORMAT"].endswith("[default: csv]")
    assert shown["What"]["--check-tenant WHEN"].endswith("[default: auto]")


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_has_two_examples_that_it_understands_and_its_exit_codes(path: str) -> None:
    examples, codes = COMMANDS[path].epilog.removeprefix("Examples:\n").split("\n\nExit codes:\n")
    typed = examples.splitlines()
    assert len(set(typed)) == 2
    for line in typed:
        words = shlex.split(line)
        assert words[: len(path.split()) + 1] == ["access-batch", *path.split()]
        COMMANDS[path].make_context(path, words[len(path.split()) + 1 :])
    numbers = [int(line.split()[0]) for line in codes.splitlines()]
    assert numbers == sorted(numbers)
    assert {0, 1, 2} <= set(numbers) <= {0, 1, 2, 3, 4, 130}


@pytest.mark.parametrize("path", ["", "ledger", *COMMANDS])
def test_help_leaves_nothing_out_and_shows_arguments_as_one_types_them(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for columns in ("80", "200"):
        monkeypatch.setenv("COLUMNS", columns)
        shown = help_of(path)
        assert not re.search(r"[a-z ]\.\.\.$|\[\[|\{|<\w", shown, re.MULTILINE)
        assert max(map(len, shown.splitlines())) <= 100
        assert max(map(len, shown.partition("Exit codes:")[2].splitlines()), default=0) <= 80


def test_the_list_of_commands_has_whole_sentences() -> None:
    listed = " ".join(help_of("").split())
    for name, command in PROGRAM.commands.items():
        assert f"{name} {command.help.partition(chr(10))[0].partition('. ')[0].rstrip('.')}." in listed


@pytest.mark.parametrize(
    ("words", "message", "next_step"),
    [
        (["doctor", "--hlep"], "No such option: --hlep; did you mean --help?", "See access-batch doctor --help."),
        (["doctr"], "No such command 'doctr'. Did you mean 'doctor'?", "See access-batch --help."),
        (["submit"], "Missing argument 'INPUT'.", "See access-batch submit --help."),
        (["ledger", "fix"], "No such command 'fix'.", "See access-batch ledger --help."),
        (["runs", "--json", "--ledger"], "Option '--ledger' requires an argument.", "See access-batch runs --help."),
        (["runs", "--rate", "5"], "No such option: --rate.", "See access-batch runs --help."),
        (
            ["doctor", "--rate", "5"],
            "--rate: write it as N/SECONDS, such as 100/10.",
            "See `access-batch doctor --help`.",
        ),
    ],
)
def test_wrong_usage_is_told_as_every_other_error(
    words: list[str], message: str, next_step: str, program: Program
) -> None:
    ended = program(*words)
    assert ended.code == 2
    assert ended.out == ""
    assert ended.err == f"access-batch: {message}\n{next_step}\n"


def test_without_a_command_the_help_is_an_error(program: Program) -> None:
    for words in ([], ["ledger"]):
        ended = program(*words)
        assert (ended.code, ended.out) == (2, "")
        assert "Commands:" in ended.err


def test_the_shell_completes_commands_options_and_topics(program: Program) -> None:
    for typed, number, wanted in (
        ("tra", 1, "track"),
        ("track --track", 2, "--track-for"),
        ("help how", 2, "how-it-works"),
    ):
        env = {
            "_ACCESS_BATCH_COMPLETE": "complete_bash",
            "COMP_WORDS": f"access-batch {typed}",
            "COMP_CWORD": str(number),
        }
        assert program(env=env).out.split() == [wanted]
