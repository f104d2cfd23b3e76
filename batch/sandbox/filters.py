r"""The parsers of the API's two filter languages.

- `filters` of lists: `id in ("a","b") and (name eq "x" or name sw "y")`. Values are quoted, with `\"` and `\\` for a
  quote and a backslash; a value of plain characters needs no quotes. Source: the vendor's page on standard collection
  parameters.
- Search queries: `id:("a" OR "b") AND NOT name:"x"`. The sandbox understands fields with a word, a quoted phrase or a
  group in parentheses, `AND`, `OR`, `NOT` in capitals, and a backslash before any character. It refuses wildcards,
  ranges, words without a field and adjacent words, because it could only guess their meaning. Source: the vendor's
  page on building a search query.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import ClassVar, Final

from batch.api.dialects import FILTER_LIMIT
from batch.sandbox.answers import BadQueryError
from batch.sandbox.filter_ast import AllOf, AnyOf, Node, NoneOf, Term

EVERYTHING: Final = Term(field="*", operator="matches", values=())
"""The query `*`."""

_ESCAPED: Final = re.compile(r"\\(.)")
_DEEPEST: Final = 20
"""Levels of nesting that are accepted."""


def read_filter(text: str, *, limit: int = FILTER_LIMIT) -> Node:
    """Parse the `filters` parameter of a list.

    Args:
        text: The parameter, decoded.
        limit: Most characters that it may have.

    Raises:
        BadQueryError: It is too long or can't be parsed.
    """
    if len(text) > limit:
        raise BadQueryError(f"filters must have at most {limit} characters, not {len(text)}.")
    return _FilterParser(text).parse()


def read_query(text: str, *, most_terms: int) -> Node:
    """Parse a search query. The operator of its terms is `matches`.

    Args:
        text: The query string.
        most_terms: Most values that it may contain.

    Raises:
        BadQueryError: It has too many values or can't be parsed.
    """
    return EVERYTHING if text.strip() == "*" else _QueryParser(text, most_terms).parse()


class _Parser(ABC):
    """Recursive descent from left to right: `or` binds weaker than `and`, `not` strongest."""

    subject: ClassVar[str]
    """Begins the error message."""
    tokens: ClassVar[re.Pattern[str]]
    """Groups `mark`, `quoted` and `bare`, after any blanks."""
    or_word: ClassVar[str]
    and_word: ClassVar[str]
    not_word: ClassVar[str | None] = None
    ignores_case: ClassVar[bool] = False

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._depth = 0

    def parse(self) -> Node:
        node = self._any_of("")
        if self._text[self._position :].strip():
            raise self._unreadable()
        return node

    def _any_of(self, field: str) -> Node:
        parts = [self._all_of(field)]
        while self._take("bare", self.or_word):
            parts.append(self._all_of(field))
        return parts[0] if len(parts) == 1 else AnyOf(parts=tuple(parts))

    def _all_of(self, field: str) -> Node:
        parts = [self._operand(field)]
        while self._take("bare", self.and_word):
            parts.append(self._operand(field))
        return parts[0] if len(parts) == 1 else AllOf(parts=tuple(parts))

    def _operand(self, field: str) -> Node:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._unreadable()
        if self.not_word and self._take("bare", self.not_word):
            node: Node = NoneOf(part=self._operand(field))
        elif self._take("mark", "("):
            node = self._any_of(field)
            if not self._take("mark", ")"):
                raise self._unreadable()
        else:
            node = self._term(field)
        self._depth -= 1
        return node

    @abstractmethod
    def _term(self, field: str) -> Node:
        """Read one term; `field` is the field of the group around it, empty for none."""

    def _take(self, kind: str, wanted: str) -> bool:
        token = self.tokens.match(self._text, self._position)
        found = token and token[kind]
        if token is None or not found or (found.lower() if self.ignores_case else found) != wanted:
            return False
        self._position = token.end()
        return True

    def _next(self) -> re.Match[str]:
        token = self.tokens.match(self._text, self._position)
        if token is None:
            raise self._unreadable()
        return token

    def _unreadable(self) -> BadQueryError:
        return BadQueryError(f"{self.subject} can't be read from {self._rest()} on.")

    def _rest(self) -> str:
        return repr(self._text[self._position : self._position + 60])


class _FilterParser(_Parser):
    subject = "filters"
    tokens = re.compile(r'\s*(?:(?P<mark>[(),])|"(?P<quoted>(?:[^"\\]|\\["\\])*)"|(?P<bare>[^\s(),"]+))')
    or_word, and_word, ignores_case = "or", "and", True

    def _term(self, field: str) -> Node:
        field, operator = self._bare(), self._bare().lower()
        if not re.fullmatch(r"[A-Za-z][\w.]*", field):
            raise self._unreadable()
        return Term(field=field, operator=operator, values=self._list() if operator == "in" else (self._value(),))

    def _list(self) -> tuple[str, ...]:
        if not self._take("mark", "("):
            raise BadQueryError(f'filters needs a list such as ("a", "b") at {self._rest()}.')
        values = [self._value()]
        while self._take("mark", ","):
            values.append(self._value())
        if not self._take("mark", ")"):
            raise BadQueryError(f"filters has a list without an end at {self._rest()}.")
        return tuple(values)

    def _value(self) -> str:
        quoted = self._next()["quoted"]
        if quoted is None:
            return self._bare()
        self._position = self._next().end()
        return _ESCAPED.sub(r"\1", quoted)

    def _bare(self) -> str:
        token = self._next()
        if token["bare"] is None:
            raise self._unreadable()
        self._position = token.end()
        return token["bare"]


class _QueryParser(_Parser):
    subject = "The query"
    tokens = re.compile(r'\s*(?:(?P<mark>[():])|"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>(?:[^\s():"\\]|\\.)+))')
    or_word, and_word, not_word = "OR", "AND", "NOT"

    def __init__(self, text: str, most_terms: int) -> None:
        super().__init__(text)
        self._terms = 0
        self._most_terms = most_terms
        self._nested = ""

    def _term(self, field: str) -> Node:
        token = self._next()
        if not field:
            return self._named_group(token)
        value = token["bare"] if token["quoted"] is None else token["quoted"]
        if value is None or (token["quoted"] is None and not _is_plain(value)):
            raise self._unreadable()
        self._position = token.end()
        self._terms += 1
        if self._terms > self._most_terms:
            raise BadQueryError(f"The query must ask for at most {self._most_terms} values.")
        return Term(field=field, operator="matches", values=(_ESCAPED.sub(r"\1", value),))

    def _named_group(self, token: re.Match[str]) -> Node:
        name = token["bare"]
        if name is None or not re.fullmatch(r"@?[A-Za-z][\w.]*", name):
            raise self._unreadable()
        self._position = token.end()
        if name.startswith("@") and not self._nested:
            return self._nested_query(name)
        if not self._take("mark", ":"):
            raise self._unreadable()
        return self._operand(f"{self._nested}{name}")

    def _nested_query(self, name: str) -> Node:
        """What stands in the brackets of `@access(…)`: its fields are those of one nested document."""
        if not self._take("mark", "("):
            raise self._unreadable()
        self._nested = f"{name}."
        node = self._any_of("")
        self._nested = ""
        if not self._take("mark", ")"):
            raise self._unreadable()
        return node


def _is_plain(word: str) -> bool:
    """Whether a word is neither reserved nor contains an operator that the sandbox would have to guess about."""
    if word in {"AND", "OR", "NOT", "TO"} or word[0] in "+-":
        return False
    return re.fullmatch(r"(?:\\.|[^\\*?~^=<>!{}\[\]/&|])*", word) is not None
