"""Escape sequences and invisible characters in inputs never reach the screen unescaped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.program import environment, grant, write_rows

if TYPE_CHECKING:
    from pathlib import Path

    from batch.sandbox.server import RunningSandbox
    from tests.end_to_end.program import Program

EVIL = "\x1b[31mred\x1b]0;title\x07\x9b2J\u202e\u200b"


@pytest.mark.parametrize("column", ["operation", "identity_id", "item_type", "item_id", "remove_date"])
@pytest.mark.parametrize("command", ["validate", "plan"])
def test_a_cell_cannot_control_the_terminal(
    program: Program, tenant: RunningSandbox, tmp_path: Path, command: str, column: str
) -> None:
    path = write_rows(tmp_path / "wanted.csv", [{**grant(1, 1), column: EVIL}])
    for more in ((), ("--json",)):
        ended = program(command, path, *more, env=environment(tenant))
        assert ended.code == 3
        assert (ended.out + ended.err).replace("\n", "").isprintable()
        assert "\\u001b[31mred" in ended.err.lower()


def test_a_column_name_cannot_control_the_terminal(program: Program, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "wanted.csv", [{EVIL: "x"}])
    ended = program("validate", path)
    assert ended.code == 2
    assert ended.err.replace("\n", "").isprintable()
