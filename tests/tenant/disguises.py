"""A corpus of disguises in which a server may repeat a secret, in one text or in several texts of one answer."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote, quote_plus

Disguise = Callable[[str], Any]
"""Makes of a secret a text, or a JSON document whose texts hold it together."""


def _halves(secret: str) -> tuple[str, str]:
    return secret[: len(secret) // 2], secret[len(secret) // 2 :]


def _apart(secret: str, between: str, every: int = 1) -> str:
    return between.join(secret[at : at + every] for at in range(0, len(secret), every))


def _each(secret: str, form: str) -> str:
    """Every character by its number."""
    return "".join(form.format(ord(one)) for one in secret)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _encoded(secret: str, times: int) -> str:
    """The `%` of the innermost form is encoded again, and so on."""
    text = "".join(f"%{byte:02X}" for byte in secret.encode())
    for _ in range(times - 1):
        text = quote(text, safe="")
    return text


def _wide(secret: str) -> str:
    """Full-width letters."""
    return "".join(chr(ord(one) + 0xFEE0) if "!" <= one <= "~" else one for one in secret)


def _bold(secret: str) -> str:
    """Mathematical letters."""
    return "".join(chr(0x1D400 + ord(one) - 65) if "A" <= one <= "Z" else one for one in secret.upper())


DISGUISES: Final[dict[str, Disguise]] = {
    "as it is": str,
    "in capitals": str.upper,
    "in small letters": str.lower,
    "quoted": lambda secret: f'The secret "{secret}" is wrong.',
    "in the middle of a word": lambda secret: f"xx{secret}yy",
    "its first ten characters": lambda secret: secret[:10],
    "its last ten characters": lambda secret: secret[-10:],
    "ten characters from its middle": lambda secret: secret[3:13],
    "cut off": lambda secret: f"You sent {secret[:-1]}…",
    "the rest replaced by stars": lambda secret: secret[:11] + "*" * (len(secret) - 11),
    "cut by a newline": lambda secret: "\n".join(_halves(secret)),
    "cut by a line end": lambda secret: "\r\n".join(_halves(secret)),
    "cut by a tab": lambda secret: "\t".join(_halves(secret)),
    "cut by a NUL": lambda secret: "\x00".join(_halves(secret)),
    "cut by an escape sequence's beginning": lambda secret: "\x1b".join(_halves(secret)),
    "one letter in a line": lambda secret: _apart(secret, "\n"),
    "spaced": lambda secret: _apart(secret, " "),
    "with hyphens": lambda secret: _apart(secret, "-", 4),
    "with colons": lambda secret: _apart(secret, ":", 2),
    "with dots": lambda secret: _apart(secret, ".", 3),
    "with commas and blanks": lambda secret: _apart(secret, ", "),
    "with backslashes": lambda secret: _apart(secret, "\\"),
    "with zero-width spaces": lambda secret: _apart(secret, "\u200b"),
    "with zero-width joiners": lambda secret: _apart(secret, "\u200d", 3),
    "with soft hyphens": lambda secret: _apart(secret, "\u00ad", 5),
    "with byte order marks": lambda secret: _apart(secret, "\ufeff", 5),
    "with no-break spaces": lambda secret: _apart(secret, "\u00a0", 2),
    "with marks of direction": lambda secret: _apart(secret, "\u202e", 2),
    "with invisible letters": lambda secret: _apart(secret, "\u3164", 2),
    "with accents": lambda secret: _apart(secret, "\u0301", 1),
    "full-width": _wide,
    "mathematical": _bold,
    "hex": lambda secret: secret.encode().hex(),
    "HEX": lambda secret: secret.encode().hex().upper(),
    "hex with blanks": lambda secret: secret.encode().hex(" "),
    "hex with colons": lambda secret: secret.encode().hex(":").upper(),
    "hex as numbers": lambda secret: " ".join(f"0x{byte:02x}" for byte in secret.encode()),
    "hex as a list in C": lambda secret: ",".join(f"0x{byte:02X}" for byte in secret.encode()),
    "hex, cut off": lambda secret: secret.encode().hex()[:21],
    "hex, wrapped": lambda secret: _apart(secret.encode().hex(), "\n", 16),
    "hex within hex": lambda secret: b"before".hex() + secret.encode().hex() + b"after".hex(),
    "base64": _base64,
    "base64 without padding": lambda secret: _base64(secret).rstrip("="),
    "base64 for URLs": lambda secret: base64.urlsafe_b64encode(secret.encode()).decode(),
    "base64, wrapped": lambda secret: base64.encodebytes(secret.encode() * 3).decode(),
    "base64, wrapped after 8": lambda secret: _apart(_base64(secret), "\r\n", 8),
    "base64, cut off": lambda secret: _base64(secret)[:12],
    "base64, percent-encoded": lambda secret: quote(_base64(secret), safe=""),
    "base64 after one byte": lambda secret: _base64(f"x{secret}y"),
    "base64 after two bytes": lambda secret: _base64(f"xx{secret}yy"),
    "a Basic header": lambda secret: f"Basic {_base64(f'client:{secret}')}",
    "a Basic header of another client": lambda secret: f"Basic {_base64(f'client-7:{secret}')}",
    "percent-encoded": lambda secret: _encoded(secret, 1),
    "percent-encoded in small letters": lambda secret: _encoded(secret, 1).lower(),
    "percent-encoded twice": lambda secret: _encoded(secret, 2),
    "percent-encoded six times": lambda secret: _encoded(_each(secret, "%{:02x}"), 5),
    "the old escapes of JavaScript": lambda secret: _each(secret, "%u{:04x}"),
    "letters of tags that nobody sees": lambda secret: "".join(chr(0xE0000 + ord(letter)) for letter in secret),
    "as in a form": quote_plus,
    "as in a URL": lambda secret: f"https://tenant/?client_secret={quote(secret)}&x=1",
    "decimal entities": lambda secret: _each(secret, "&#{};"),
    "hex entities": lambda secret: _each(secret, "&#x{:x};"),
    "entities without semicolons": lambda secret: _each(secret, "&#{} "),
    "entities twice": lambda secret: html.escape(_each(secret, "&#{};")),
    "named entities": lambda secret: html.escape(secret).replace("-", "&hyphen;").replace("_", "&lowbar;"),
    "invisible entities": lambda secret: _apart(secret, "&shy;"),
    "tags": lambda secret: _apart(secret, "</b><b>", 4),
    "a tag with attributes": lambda secret: '<a href="//x/y" title="z z">'.join(_halves(secret)),
    "JSON escapes": lambda secret: _each(secret, "\\u{:04x}"),
    "JSON escapes in capitals": lambda secret: _each(secret, "\\u{:04X}"),
    "JSON escapes twice": lambda secret: _each(secret, "\\\\u{:04x}"),
    "JavaScript escapes": lambda secret: _each(secret, "\\x{:02x}"),
    "new JavaScript escapes": lambda secret: _each(secret, "\\u{{{:x}}}"),
    "Python escapes": lambda secret: _each(secret, "\\U{:08x}"),
    "octal escapes": lambda secret: _each(secret, "\\{:03o}"),
    "escapes of letters beyond U+FFFF": lambda secret: json.dumps(_bold(secret))[1:-1],
    "percent-encoded entities": lambda secret: quote(_each(secret, "&#{};")),
    "entities of percent-encoding": lambda secret: _encoded(secret, 1).replace("%", "&#37;"),
    "percent-encoded JSON escapes": lambda secret: quote(_each(secret, "\\u{:04x}")),
    "JSON in JSON": lambda secret: json.dumps({"client_secret": secret}),
    "JSON in JSON in JSON": lambda secret: json.dumps(json.dumps({"client_secret": _wide(secret)})),
    "divided among two fields": lambda secret: dict(zip("ab", _halves(secret), strict=True)),
    "divided among the fields of an error": lambda secret: {
        "detailCode": _halves(secret)[0],
        "trackingId": "0" * 32,
        "messages": [{"text": _halves(secret)[1]}],
    },
    "divided among three messages": lambda secret: {
        "messages": [{"locale": "en-US", "text": secret[at : at + 6]} for at in range(0, len(secret), 6)]
    },
    "a list of letters": list,
    "divided among rows": lambda secret: [
        {"id": f"{at:032x}", "name": secret[at : at + 5], "owner": {"name": "Ida"}} for at in range(0, len(secret), 5)
    ],
    "divided among texts with escapes": lambda secret: dict(
        zip("ab", map(_encoded, _halves(secret), (1, 2)), strict=True)
    ),
    "the name of a field": lambda secret: {secret: 1},
    "deep inside": lambda secret: [[{"x": [[{"y": [secret]}]]}]],
}
"""The disguises, by their names."""
