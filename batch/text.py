"""Numbers with their nouns, instants, and other people's text made safe to show."""

from __future__ import annotations

import html
import json
import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import unquote_plus

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl


HIDDEN: Final = "[hidden: it held a secret]"
"""Takes the place of a text from a tenant that held a secret; it is no id and no name."""

_ZEROS: Final = re.compile(r"&#0+(?=[0-9])")
_LONG_ENTITY: Final = re.compile(r"&#[0-9]{8,};?")
# The joiners U+200C and U+200D are part of names in some scripts.
_INVISIBLE: Final = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
_ODD_BLANKS: Final = re.compile(r"\s*[^\S ]\s*")
_UNITS: Final = re.compile(
    r" *(?:[^ `]*`[^`]*`[^ ]*|(?<=: )access-batch (?:approve|audit|cancel|discard|doctor|evidence|help|ledger|log[io]"
    r"|plan|report|runs|sandbox|settle|show|status|submit|track|validate).*|[^ ]+| $)"
)
"""Words, and whole commands, each with the blanks before it: a command stands between backticks or at a line's end."""
_REQUEST_ID: Final = re.compile(r"([^-]+)-([0-9]{1,18})(?:-([0-9a-z]+))?")


@dataclass(frozen=True, slots=True)
class RequestId:
    """The id of one of our requests: `run-number-tag`, or `run-number` if it was planned before there were tags.

    Attributes:
        run: Id of its run.
        number: Its number in the ledger.
        tag: Random, so that a ledger that was put back to an earlier state never repeats an id; empty for none.
    """

    run: str
    number: int
    tag: str = ""

    def __str__(self) -> str:
        return f"{self.run}-{self.number}{self.tag and '-'}{self.tag}"

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Reads an id in any letter case, since tenants may change it; None for anything else."""
        found = _REQUEST_ID.fullmatch(text.lower())
        return cls(found[1], int(found[2]), found[3] or "") if found else None


def metadata_said(metadata: Mapping[str, str]) -> str:
    """Metadata as it is typed: `change=CHG0012345, wave=2`."""
    return ", ".join(f"{key}={text}" for key, text in sorted(metadata.items()))


def count(number: int, noun: str) -> str:
    """A number with its noun: `1 row`, `2,000 rows`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def on_one_line(text: str, *, most: int) -> str:
    """Text on one line: each run of blanks and unprintable characters becomes one blank.

    Args:
        text: Any text from outside.
        most: Characters to keep.
    """
    if not text.isprintable():
        text = "".join(one if one.isprintable() else " " for one in text)
    return " ".join(text.split())[:most]


def without_entities(text: str) -> str:
    """Text with the characters that its HTML entities stand for.

    Python's own function fails on a number with thousands of digits.
    """
    return html.unescape(_LONG_ENTITY.sub(" ", _ZEROS.sub("&#", text)))


def visible(text: str) -> str:
    r"""Text that is safe on a terminal: unprintable characters are escaped as `\u001b`, except line ends.

    This stops escape sequences and characters that hide or reorder others. JSON stays the same JSON.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one == "\n" else json.dumps(one)[1:-1] for one in text)


def folded(text: str, columns: int) -> str:
    """Text whose long lines are broken at blanks, for a terminal of so many columns; 0 leaves it as it is.

    Commands stay whole, so that they can be copied, as do words: a terminal breaks those that are longer than its line.
    """
    if not columns:
        return text
    return "\n".join(line if cells(line) <= columns else _folded(line, columns) for line in text.split("\n"))


def _folded(line: str, columns: int) -> str:
    body = line.lstrip(" ")
    margin = " " * (len(line) - len(body))
    lines = [margin]
    for unit in (found[0] for found in _UNITS.finditer(body)):
        if lines[-1].strip() and cells(lines[-1] + unit) > columns:
            lines.append((margin and f"{margin}  ") + unit.lstrip(" "))
        else:
            lines[-1] += unit
    return "\n".join(lines)


def cells(text: str) -> int:
    """Columns that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text)


def written_out(text: str) -> str:
    """Text on one line in which nothing hides: like `visible`, with line ends escaped too."""
    return text if text.isprintable() else visible(text).replace("\n", "\\n")


def tidy(text: str) -> str:
    """A name as it was meant: no invisible characters, and one blank for each line break, tab or other odd blank.

    Plain blanks stay, however many: a tenant's own name may have two.
    """
    if text.isascii() and text.isprintable():
        return text.strip()
    return _ODD_BLANKS.sub(" ", _INVISIBLE.sub("", text)).strip()


PLAIN_PARTS: Final = frozenset(
    (
        *("cache", "dbname", "host", "hostaddr", "immutable", "mode", "options", "passfile", "port", "service"),
        *("servicefile", "sslcert", "sslkey", "sslmode", "sslrootcert", "timeout", "uri", "user"),
    )
)
"""Parts of the query of a database's URL that are no secrets."""
_SECRET_PARTS: Final = frozenset(
    ("oauth_client_secret", "password", "scram_client_key", "scram_server_key", "sslpassword")
)


def without_password(url: str) -> str:
    """A database's URL without its password, and without parts of its query that may be secret; a path as it is."""
    scheme, mark, rest = url.partition("://")
    if not mark or scheme.startswith("sqlite"):
        return url
    # A password may hold any character: all up to the last @ is taken for one.
    before, at, rest = rest.rpartition("@")
    address, mark, query = rest.partition("?")
    kept = "&".join(part for part in query.split("&") if unquote_plus(part.partition("=")[0]) in PLAIN_PARTS)
    return f"{scheme}://{before.partition(':')[0]}{at}{address}{kept and mark}{kept}"


def has_password(url: str) -> bool:
    """Whether a database's URL holds a password."""
    scheme, _, rest = url.partition("://")
    before, _, rest = rest.rpartition("@")
    names = {unquote_plus(part.partition("=")[0]) for part in rest.partition("?")[2].split("&")}
    return not scheme.startswith("sqlite") and (":" in before or not names.isdisjoint(_SECRET_PARTS))


def instant(moment: datetime | None) -> str:
    """An instant in ISO 8601, in UTC with milliseconds; empty for None. An instant without a zone is UTC."""
    if moment is None:
        return ""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment(value: Any) -> datetime | None:
    """Reads an RFC 3339 instant, in UTC if it has no zone; None for anything else."""
    try:
        found = datetime.fromisoformat(value)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def id_key(ids: pl.Expr) -> pl.Expr:
    """Ids as they are compared: without case and hyphens, so that one UUID has one key however it is spelled."""
    return ids.str.replace_all("-", "", literal=True).str.to_lowercase()


def key_of(text: str) -> str:
    """One id as it is compared, see `id_key`."""
    return text.replace("-", "").lower()


def phrase(template: str, *values: pl.Expr) -> pl.Expr:
    """`template` with each `{}` replaced by the next value; null if any value is null.

    polars' own `format` panics (2.1.0) on a column whose first chunk is empty, as filtering leaves it behind.
    """
    import polars as pl  # noqa: PLC0415 - --help imports this module, and can do without polars

    fixed = template.split("{}")
    parts: list[pl.Expr] = [pl.lit(fixed[0])]
    for value, text in zip(values, fixed[1:], strict=True):
        parts += [value.cast(pl.String), pl.lit(text)]
    return pl.concat_str(parts)


# Spreadsheets drop blanks and what can't be seen before they look for a formula, and some take wide and small signs.
# They drop a quote too if it begins a cell, as it does if they divide the file's lines at another separator than ours.
_UNSEEN: Final = r"[[\s\p{C}\p{Z}\p{Default_Ignorable_Code_Point}\x{2800}\x22]--[,;|\t\r\n]]*"
_SIGNS: Final = r"=+\-@\x{FF1D}\x{FF0B}\x{FF0D}\x{FF20}\x{FE66}\x{FE62}\x{FE63}\x{FE6B}"
# A text that has apostrophes there already gets one more, so that `restored` is unambiguous. No match reaches over a
# separator, so that an apostrophe at one place changes nothing at another.
_FORMULA: Final = rf"'*{_UNSEEN}[{_SIGNS}]"
_FIRST: Final = rf"'*{_UNSEEN}[{_SIGNS}\t\r\n]"


def defused(cell: pl.Expr) -> pl.Expr:
    """Text that is safe in a spreadsheet: an apostrophe before anything that could start a formula; null stays null.

    Also after a comma, semicolon, bar, tab or line end: a spreadsheet may take these for the end of a cell,
    and a quote for the beginning of the next.
    """
    return cell.str.replace_all(rf"([,;|\t\r\n])({_FORMULA})", "${1}'${2}").str.replace(rf"^({_FIRST})", "'${1}")


def restored(cell: pl.Expr) -> pl.Expr:
    """The inverse of `defused`, and of what was written before separators or quotes counted; null stays null."""
    return cell.str.replace_all(rf"([,;|\t\r\n])'({_FORMULA})", "${1}${2}").str.replace(rf"^'({_FIRST})", "${1}")
