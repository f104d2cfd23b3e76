"""The help topics: shown by the program, and part of what is installed."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hatchling.builders.wheel import WheelBuilder

from batch.api.dialects import DIALECTS
from batch.cli.topics import TOPICS, rendered
from batch.model import RowClass
from batch.read.file_rows import NOT_FILLED_IN
from batch.read.parquet_table import LIST_ITEM_UNREADABLE
from batch.read.records import MALFORMED_QUOTES, RAGGED_LINE
from batch.validate.rules import rules
from batch.validate.tenant_rules import ACCOUNT_FOUND, TENANT_RULES
from tests import documents

if TYPE_CHECKING:
    from tests.end_to_end.program import Program


def test_help_lists_every_topic_that_there_is(program: Program) -> None:
    ended = program("help")
    assert sorted(TOPICS) == sorted(documents.TOPICS)
    assert re.findall(r"^  ([\w-]+)", ended.out, re.MULTILINE) == list(TOPICS)
    assert ended.code == 0


def test_a_topic_goes_through_a_pipe_as_it_was_written(program: Program) -> None:
    assert program("help", "results").out == documents.TOPICS["results"]
    assert program("help", "how", "it", "works").out == documents.TOPICS["how-it-works"]


def test_a_topic_is_rendered_on_a_terminal() -> None:
    for topic, text in documents.TOPICS.items():
        plain = re.sub(r"\x1b\[[0-9;]*m", "", rendered(text, 80))
        assert max(map(len, plain.splitlines())) <= 80
        assert not re.search(r"^#|\]\(|^\|[- |]+\|$|\*\*", plain, re.MULTILINE), topic
    assert "access-batch help ledger" in rendered(documents.TOPICS["how-it-works"], 80)


def test_help_knows_commands_too(program: Program) -> None:
    assert program("help", "ledger", "verify").out == program("ledger", "verify", "--help").out


def test_an_unknown_topic_names_those_that_there_are(program: Program) -> None:
    ended = program("help", "exactly", "once")
    assert ended.code == 2
    assert ended.out == ""
    assert ", ".join(TOPICS) in ended.err


def test_the_topics_are_installed_with_the_program() -> None:
    included = {file.distribution_path for file in WheelBuilder(str(documents.ROOT)).recurse_included_files()}
    assert {f"batch/help/{topic}.md" for topic in TOPICS} <= included


def rules_in_the_tables_of_results() -> set[str]:
    cells = re.findall(r"^\| (`.*?) \|", documents.TOPICS["results"], re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def test_every_rule_that_a_rejected_row_or_a_warning_may_name_is_explained() -> None:
    of_records = {RAGGED_LINE, MALFORMED_QUOTES, LIST_ITEM_UNREADABLE, NOT_FILLED_IN}
    of_form = {name for dialect in DIALECTS.values() for name in rules(dialect, datetime.now(UTC))}
    every = of_records | of_form | {*TENANT_RULES, ACCOUNT_FOUND}
    classes = {row_class.value for row_class in RowClass}
    others = {"auto", "always", "never"}
    assert rules_in_the_tables_of_results() - classes - others == every
