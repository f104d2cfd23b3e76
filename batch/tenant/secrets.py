"""Hides the secrets that we sent to a tenant in the texts that come back."""

from __future__ import annotations

import base64
import html
import json
import re
from collections import OrderedDict
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HIDDEN: Final = "[hidden]"
"""Takes the place of a secret."""

LEAST: Final = 8
"""Least characters of a secret: a shorter one could occur in ordinary words."""

REMEMBERED: Final = 8
"""Most secrets to remember: the client's secret, and its tokens of the last hours."""

_BASE64_SKIPS: Final = (0, 2, 3)
"""Leading base64 characters that depend on the bytes before the secret, by its position in a group of three."""

_SHAPES: Final = re.compile(
    rf"bearer\s+(?:{re.escape(HIDDEN)}|[\w.~+/=-]{{20,}})"
    r"|\beyJ[\w-]{8,}(?:\.[\w-]*)*"
    r"|(?<=access_token)[\"'\s:=]+[^\"'\s&<>,}]+",
    re.IGNORECASE,
)
"""Everything that looks like a token: a bearer header, a JWT, a token endpoint's answer."""


class Secrets:
    """The last REMEMBERED secrets that we sent; hides each in every form in which it may come back."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, frozenset[str]] = OrderedDict()
        self._pattern: re.Pattern[str] | None = None
        self._beginnings: frozenset[str] = frozenset()

    def learn(self, secret: str) -> None:
        """Remembers a secret before it is sent."""
        if len(secret) < LEAST:
            return
        if secret not in self._known:
            self._known[secret] = frozenset(forms(secret))
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
            self._pattern = None
            self._beginnings = frozenset(form[:LEAST].lower() for form in self._forms())
        self._known.move_to_end(secret)

    def hide(self, text: str) -> str:
        """The text without known secrets, and without anything that looks like a token."""
        if self._may_be_in(text):
            if self._pattern is None:
                # Only now: it takes longer than a call, and hardly any answer repeats a secret.
                longest_first = sorted(self._forms(), key=len, reverse=True)
                self._pattern = re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE)
            text = self._pattern.sub(HIDDEN, text)
            text = _without_beginning(text, self._forms())
        return _SHAPES.sub(HIDDEN, text)

    def _may_be_in(self, text: str) -> bool:
        """Whether a text has the beginning of a secret; outside of ASCII, more letters than these are alike."""
        if not (text.isascii() and all(map(str.isascii, self._beginnings))):
            return bool(self._known)
        lowered = text.lower()
        return any(beginning in lowered for beginning in self._beginnings)

    def _forms(self) -> Iterator[str]:
        return (form for known in self._known.values() for form in known)


def forms(secret: str) -> Iterator[str]:
    """The forms in which a server may repeat a secret: as it is, in parts, quoted, or within base64."""
    for part in {secret, *secret.split(".")}:
        if len(part) >= LEAST:
            yield from (part, quote(part), quote(part, safe=""), quote_plus(part), html.escape(part))
            yield json.dumps(part)[1:-1]
    data = secret.encode("utf-8", "replace")
    for before, skip in enumerate(_BASE64_SKIPS):
        whole = (before + len(data)) // 3 * 4
        encoded = base64.b64encode(bytes(before) + data).decode()[skip:whole]
        if len(encoded) >= LEAST:
            yield from (encoded, encoded.replace("+", "-").replace("/", "_"))


def _without_beginning(text: str, known: Iterable[str]) -> str:
    """The text without the beginning of a secret at its end, which a cut-off answer may have."""
    lowered = text.lower()
    for form in known:
        beginning = form.lower()
        at = lowered.find(beginning[:LEAST])
        while at >= 0:
            if beginning.startswith(lowered[at:]):
                return text[:at] + HIDDEN
            at = lowered.find(beginning[:LEAST], at + 1)
    return text
