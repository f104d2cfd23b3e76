"""What we say to users is said plainly: no sentence about “what” somebody did, and none of the riddles of old."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import batch

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(batch.__file__).parent

RIDDLE = re.compile(
    r"^(What|Whoever|That which) |^(what|of which|whose it) .* (was|were|is) |\. (What|Whoever) |: what .* was "
    r"|came to nothing| word counts|[Mm]end the |can be had|what has left|nothing of what"
    r"|(?<![Tt]here) is no (?!longer|more)"
)


def sentences(path: Path) -> Iterator[str]:
    """The texts of a module that are no docstrings. A value within one is shown as X."""
    tree = ast.parse(path.read_text("utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings | parts:
            yield node.value


@pytest.mark.unmeasured
def test_no_message_is_a_riddle() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {sentence}"
        for path in sorted(ROOT.rglob("*.py"))
        for sentence in sentences(path)
        # Tables are described for those who read the schema.
        if path.name != "tables.py" and RIDDLE.search(sentence)
    ]
    assert found == []
