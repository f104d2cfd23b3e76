"""Terms joined by and, or and not, as both the `filters` of lists and the queries of the search end up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True, kw_only=True, slots=True)
class Term:
    """One comparison.

    Attributes:
        field: What is compared.
        operator: How, such as `eq`.
        values: With what.
    """

    field: str
    operator: str
    values: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class AllOf:
    """Every part must hold."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class AnyOf:
    """One part must hold."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class NoneOf:
    """The part must not hold."""

    part: Node


Node = Term | AllOf | AnyOf | NoneOf


def found_by(node: Node, look_up: Callable[[Term], set[str]], everything: frozenset[str]) -> set[str]:
    """The ids that a whole expression finds.

    Args:
        node: The expression.
        look_up: The ids that one term finds.
        everything: All ids, for what must not hold.
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


def terms_of(node: Node) -> Iterator[Term]:
    """Every term of an expression, from left to right."""
    match node:
        case Term():
            yield node
        case NoneOf():
            yield from terms_of(node.part)
        case AllOf() | AnyOf():
            for part in node.parts:
                yield from terms_of(part)


def joined(parts: list[Node], kind: type[AllOf | AnyOf]) -> Node:
    """Parts joined, where there is more than one."""
    return parts[0] if len(parts) == 1 else kind(parts=tuple(parts))
