"""A report without personal data: people and texts become pseudonyms. Pure.

A pseudonym is a hash with a random key that is made for one report and kept nowhere. So the same person has the same
pseudonym within one report, and nobody can find the person by hashing all ids of the tenant.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import polars as pl

from batch.report.run_count import cause
from batch.text import key_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from batch.report.run_view import RunAbout

_DIGITS: Final = 12
"""Digits of a pseudonym: among 100,000 people, two have the same with a chance of 1 to 50,000."""

_ANSWER: Final = re.compile(r"the tenant answered \d+")
_BETWEEN: Final = ", "
"""Divides the names of several approvers, as the ledger has them."""


class Pseudonyms:
    """The pseudonyms of one report.

    Args:
        key: Random, new for each report.
        lines: Of the report, by run_view.LINES: an approver whose name is known from them is the same person.
    """

    def __init__(self, key: str, lines: pl.DataFrame) -> None:
        self._key = key.encode()
        names = lines.select("person", "identity_id").unique().sort("identity_id").iter_rows()
        self._ids = {name.strip().casefold(): id_ for name, id_ in names if name}

    def person(self, id_: str) -> str:
        """Of a person with this id, however it is spelled."""
        return self._of("person", key_of(id_)) if id_ else ""

    def people(self, names: str) -> str:
        """Of people by their names."""
        return _BETWEEN.join(self._named(name.strip()) for name in names.split(_BETWEEN) if name.strip())

    def text(self, kind: str, text: str) -> str:
        """Of any other text of a kind."""
        return self._of(kind, text) if text else ""

    def reason(self, text: str) -> str:
        """Of why a change was refused: the tenant's words may name people, the number of its answer does not."""
        found = _ANSWER.match(text)
        return f"{found[0]}: {self.text('message', text)}" if found else self.text("message", text)

    def _named(self, name: str) -> str:
        known = self._ids.get(name.casefold())
        return self.person(known) if known else self._of("person", f"named {name.casefold()}")

    def _of(self, kind: str, text: str) -> str:
        code = hmac.new(self._key, f"{kind} {text}".encode("utf-8", "surrogatepass"), hashlib.sha256)
        return f"{kind}-{code.hexdigest()[:_DIGITS]}"


def redacted_lines(lines: pl.DataFrame, pseudonyms: Pseudonyms) -> pl.DataFrame:
    """Lines by run_view.LINES in which no person, account or text of people is left."""
    ways: dict[str, Callable[[str], str]] = {
        "identity_id": pseudonyms.person,
        "who": pseudonyms.people,
        "reason": pseudonyms.reason,
        "account": lambda text: pseudonyms.text("account", text),
        "comment": lambda text: pseudonyms.text("comment", text),
        "said": lambda text: pseudonyms.text("comment", text),
        "metadata": lambda text: pseudonyms.text("metadata", text),
        "file": lambda text: pseudonyms.text("input", text),
    }
    cleaned = lines.with_columns(cause(pl.col("reason")), person=pl.lit(""))
    return cleaned.with_columns(_each(cleaned.get_column(name), way) for name, way in ways.items())


def redacted_about(about: RunAbout, pseudonyms: Pseudonyms) -> RunAbout:
    """The same without people, and without the names of files."""
    return replace(
        about,
        inputs=tuple(pseudonyms.text("input", one) for one in about.inputs),
        requesters=tuple(map(pseudonyms.person, about.requesters)),
        redacted=True,
        metadata={key: pseudonyms.text("metadata", text) for key, text in about.metadata.items()},
    )


def _each(column: pl.Series, way: Callable[[str], str]) -> pl.Series:
    distinct = column.unique()
    return column.replace_strict(distinct, [way(text) for text in distinct], return_dtype=pl.String)
