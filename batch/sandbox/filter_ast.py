"""Terms joined by and, or and not: the result of parsing a list's `filters` or a search query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, kw_only=True, slots=True)
class Term:
    """One comparison, such as `id in ("a", "b")`: a field, an operator, and the values."""

    field: str
    operator: str
    values: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class AllOf:
    """Every part must hold."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class AnyOf:
    """At least one part must hold."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class NoneOf:
    """The part must not hold."""

    part: Node


Node = Term | AllOf | AnyOf | NoneOf


def found_by(node: Node, look_up: Callable[[Term], set[str]], everything: frozenset[str]) -> set[str]:
    """The ids that an expression finds.

    Args:
        node: The expression.
        look_up: Returns the ids that one term finds.
        everything: All ids; `NoneOf` subtracts from them.
    """
    match node:
        case Term():
            return look_up(node)
        case AllOf():
            return set.intersection(*(found_by(part, look_up, everything) for part in node.parts))
        case AnyOf():
            return set().union(*(found_by(part, look_up, everything) for part in node.parts))
        case NoneOf():
            return set(everything - found_by(node.part, look_up, everything))
