r"""The `filters` parameter of lists: `id in ("a","b") and (name eq "x" or name sw "y")`.

Source: the vendor's page on standard collection parameters. Values stand in quotes, with `\"` and `\\` for a quote and
a backslash; values without quotes are taken too, where nothing in them needs any.
"""

from __future__ import annotations

import re
from typing import Final

from batch.api.dialects import FILTER_LIMIT
from batch.sandbox.filter_ast import AllOf, AnyOf, Node, Term, joined
from batch.sandbox.pages import BadQueryError

_TOKEN: Final = re.compile(r'\s*(?:(?P<mark>[(),])|"(?P<quoted>(?:[^"\\]|\\["\\])*)"|(?P<bare>[^\s(),"]+))')
_NAME: Final = re.compile(r"[A-Za-z][\w.]*")
_ESCAPED: Final = re.compile(r"\\(.)")
_DEEPEST: Final = 20
"""Parentheses within parentheses."""


def read_filter(text: str, *, limit: int = FILTER_LIMIT) -> Node:
    """A filter as terms.

    Args:
        text: The parameter, decoded.
        limit: Most characters that it may have.

    Raises:
        BadQueryError: It is too long, or can't be read.
    """
    if len(text) > limit:
        raise BadQueryError(f"filters must have at most {limit} characters, not {len(text)}.")
    return _Reader(text).whole()


class _Reader:
    """Reads a filter from left to right; `or` binds weaker than `and`."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._place = 0
        self._depth = 0

    def whole(self) -> Node:
        node = self._either()
        if self._text[self._place :].strip():
            raise self._unreadable()
        return node

    def _either(self) -> Node:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._unreadable()
        parts = [self._both()]
        while self._take_word("or"):
            parts.append(self._both())
        self._depth -= 1
        return joined(parts, AnyOf)

    def _both(self) -> Node:
        parts = [self._one()]
        while self._take_word("and"):
            parts.append(self._one())
        return joined(parts, AllOf)

    def _one(self) -> Node:
        if self._take_mark("("):
            node = self._either()
            if not self._take_mark(")"):
                raise self._unreadable()
            return node
        field, operator = self._bare(), self._bare().lower()
        if not _NAME.fullmatch(field):
            raise self._unreadable()
        return Term(field=field, operator=operator, values=self._list() if operator == "in" else (self._value(),))

    def _list(self) -> tuple[str, ...]:
        if not self._take_mark("("):
            raise BadQueryError(f'filters needs a list such as ("a", "b") at {self._rest()}.')
        values = [self._value()]
        while self._take_mark(","):
            values.append(self._value())
        if not self._take_mark(")"):
            raise BadQueryError(f"filters has a list without an end at {self._rest()}.")
        return tuple(values)

    def _value(self) -> str:
        token = self._next()
        if token["mark"] is not None:
            raise self._unreadable()
        self._place = token.end()
        return str(token["bare"]) if token["quoted"] is None else _ESCAPED.sub(r"\1", token["quoted"])

    def _bare(self) -> str:
        token = self._next()
        if token["bare"] is None:
            raise self._unreadable()
        self._place = token.end()
        return str(token["bare"])

    def _take_mark(self, mark: str) -> bool:
        return self._take("mark", mark)

    def _take_word(self, word: str) -> bool:
        return self._take("bare", word)

    def _take(self, kind: str, wanted: str) -> bool:
        token = _TOKEN.match(self._text, self._place)
        if token is None or (token[kind] or "").lower() != wanted:
            return False
        self._place = token.end()
        return True

    def _next(self) -> re.Match[str]:
        token = _TOKEN.match(self._text, self._place)
        if token is None:
            raise self._unreadable()
        return token

    def _unreadable(self) -> BadQueryError:
        return BadQueryError(f"filters can't be read from {self._rest()} on.")

    def _rest(self) -> str:
        return repr(self._text[self._place : self._place + 60])
