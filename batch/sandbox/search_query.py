r"""The query strings of the search: `id:("a" OR "b") AND NOT name:"x"`, as far as the sandbox understands them.

Source: the vendor's page on building a search query. Understood are fields with a word, a quoted phrase or a group in
parentheses, AND, OR, NOT in capitals, and a backslash before any character. Everything else (wildcards, ranges, words
without a field, words side by side) is refused, so that nobody relies on what the sandbox would only guess.
"""

from __future__ import annotations

import re
from typing import Final

from batch.sandbox.filter_ast import AllOf, AnyOf, Node, NoneOf, Term, joined
from batch.sandbox.pages import BadQueryError

EVERYTHING: Final = Term(field="*", operator="matches", values=())
"""The query `*`."""

_TOKEN: Final = re.compile(r'\s*(?:(?P<mark>[():])|"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>(?:[^\s():"\\]|\\.)+))')
_ESCAPED: Final = re.compile(r"\\(.)")
_RESERVED: Final = re.compile(r"(?:\\.|[^\\*?~^=<>!{}\[\]/&|])*")
_FIELD: Final = re.compile(r"@?[A-Za-z][\w.]*")
_WORDS: Final = frozenset({"AND", "OR", "NOT", "TO"})
_DEEPEST: Final = 20


def read_query(text: str, *, most_terms: int) -> Node:
    """A query string as terms, whose operator is `matches`.

    Args:
        text: The query string.
        most_terms: Most values that it may ask for.

    Raises:
        BadQueryError: It can't be read, or asks for too many values.
    """
    return EVERYTHING if text.strip() == "*" else _Reader(text, most_terms).whole()


class _Reader:
    """Reads a query from left to right; OR binds weaker than AND, and NOT strongest."""

    def __init__(self, text: str, most_terms: int) -> None:
        self._text = text
        self._place = 0
        self._depth = 0
        self._terms = 0
        self._most_terms = most_terms

    def whole(self) -> Node:
        node = self._either("")
        if self._text[self._place :].strip():
            raise self._unreadable()
        return node

    def _either(self, field: str) -> Node:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._unreadable()
        parts = [self._both(field)]
        while self._take("bare", "OR"):
            parts.append(self._both(field))
        self._depth -= 1
        return joined(parts, AnyOf)

    def _both(self, field: str) -> Node:
        parts = [self._one(field)]
        while self._take("bare", "AND"):
            parts.append(self._one(field))
        return joined(parts, AllOf)

    def _one(self, field: str) -> Node:
        if self._take("bare", "NOT"):
            return NoneOf(part=self._one(field))
        if self._take("mark", "("):
            node = self._either(field)
            if not self._take("mark", ")"):
                raise self._unreadable()
            return node
        return self._term(field) if field else self._one(self._field())

    def _field(self) -> str:
        token = self._next()
        name = token["bare"]
        if name is None or not _FIELD.fullmatch(name):
            raise self._unreadable()
        self._place = token.end()
        if not self._take("mark", ":"):
            raise self._unreadable()
        return str(name)

    def _term(self, field: str) -> Node:
        token = self._next()
        value = token["quoted"] if token["bare"] is None else self._plain_word(token["bare"])
        if value is None:
            raise self._unreadable()
        self._place = token.end()
        self._terms += 1
        if self._terms > self._most_terms:
            raise BadQueryError(f"The query must ask for at most {self._most_terms} values.")
        return Term(field=field, operator="matches", values=(_ESCAPED.sub(r"\1", value),))

    def _plain_word(self, word: str) -> str:
        if word in _WORDS or word[0] in "+-" or not _RESERVED.fullmatch(word):
            raise self._unreadable()
        return word

    def _take(self, kind: str, wanted: str) -> bool:
        token = _TOKEN.match(self._text, self._place)
        if token is None or token[kind] != wanted:
            return False
        self._place = token.end()
        return True

    def _next(self) -> re.Match[str]:
        token = _TOKEN.match(self._text, self._place)
        if token is None:
            raise self._unreadable()
        return token

    def _unreadable(self) -> BadQueryError:
        rest = self._text[self._place : self._place + 60]
        return BadQueryError(f"The query can't be read from {rest!r} on.")
