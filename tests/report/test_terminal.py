"""Commands in messages work as they are."""

from __future__ import annotations

import pytest

from batch.report.terminal import Commands

TAKES = {"submit": {"--ledger", "--sandbox", "--base-url"}, "ledger import": {"--ledger"}, "help": {"--help"}}
ALL = "--ledger 'my own.db' --sandbox"


@pytest.mark.parametrize(
    ("text", "completed"),
    [
        ("then: access-batch submit a.csv", f"then: access-batch submit a.csv {ALL}"),
        ("Run `access-batch ledger import` first.", "Run `access-batch ledger import --ledger 'my own.db'` first."),
        ("`access-batch submit --ledger=b.db a`", "`access-batch submit --ledger=b.db a --sandbox`"),
        (
            "so: access-batch submit a, access-batch help\nnow",
            f"so: access-batch submit a {ALL}, access-batch help\nnow",
        ),
        ("See `access-batch submit --help`.", None),
        ("access-batch: let access-batch submit it; `access-batch submits`", None),
    ],
)
def test_a_command_in_a_message_gets_the_given_options_that_it_takes(text: str, completed: str | None) -> None:
    commands = Commands(given={"--ledger": "my own.db", "--sandbox": None}, takes=TAKES)
    assert commands.completed(text) == (completed or text)
    assert Commands(takes=TAKES).completed(text) == text


def test_an_option_with_several_values_is_repeated() -> None:
    commands = Commands(given={"--ignore": ["item_disabled", "a b"]}, takes={"submit": {"--ignore"}, "track": set()})
    assert commands.completed("`access-batch submit a.csv`") == (
        "`access-batch submit a.csv --ignore item_disabled --ignore 'a b'`"
    )
    assert commands.completed("`access-batch track`") == "`access-batch track`"
