"""What remains of a text once its disguise is taken off, and whether a secret stands in it."""

from __future__ import annotations

import base64
import re
import sys
import unicodedata
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from batch.text import without_entities

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

RUN: Final = 10
"""So many characters in a row of a secret, or of a form of it, are too many to show."""

LEAST: Final = 8
"""Least characters of a secret that is looked for within words: a shorter one could occur in ordinary ones."""

MOST_UNDONE: Final = 8
"""How many layers of escapes are undone at most. A server quotes what it got twice, a gateway once more."""

_MOST_DOUBTS: Final = 20_000
"""A text in which so many places look like a secret is taken to hold one."""

_WINDOW: Final = 8
_STARTS: Final = (0, 3, 6)
"""Windows from these places on, one after the other: one of them is within any RUN."""

_BASE64_SKIPS: Final = (0, 2, 3)
"""Leading base64 characters that depend on the bytes before the secret, by its position in a group of three."""

BETWEEN: Final = b"\xff"
"""No UTF-8 text has this byte."""

_LOWER: Final = bytes(range(256)).lower()
_NO_LETTERS: Final = bytes(one for one in range(128) if not chr(one).isalnum())
_BLANKS: Final = bytes([*range(33), 127])
_SIGN: Final = re.compile(rb"[^a-z0-9\x80-\xff]")
_SIGNS: Final = re.compile(r"[^\x00-\x7f\w]+|[\u115f\u1160\u3164\uffa0]+")
"""Outside of ASCII: everything but letters and digits, and the letters that nobody sees."""

_PHRASES: Final = re.compile("[\ufdfa\ufdfb]+")
"""Letters that stand for whole phrases: a text of them would become eighteen times as long."""

_TAG: Final = re.compile(r"<[^>]*>?")
_BACKSLASH: Final = re.compile(
    r"\\(?:u([0-9a-fA-F]{4})|u\{([0-9a-fA-F]{1,6})\}|U([0-9a-fA-F]{8})|x([0-9a-fA-F]{2})|([0-7]{3})|(.))", re.DOTALL
)
_HEX_MARK: Final = re.compile("0[xX]")
_TAG_LETTERS: Final = {0xE0000 + letter: letter for letter in range(32, 127)}
"""Letters that nobody sees, each with the one that it stands for."""

_BLANK_ESCAPES: Final = frozenset("abefnrtv0")


class Runs:
    """Finds RUN bytes in a row of any of many texts; the time that it takes does not depend on how many they are."""

    def __init__(self) -> None:
        self._windows: set[int] = set()
        self._known = bytearray()
        self._short: list[bytes] = []

    def __len__(self) -> int:
        return len(self._windows)

    def add(self, form: bytes) -> None:
        """Adds a text to look for; one shorter than RUN is only looked for as a whole."""
        if len(form) >= RUN:
            self._known += form + BETWEEN
            for start in range(_WINDOW):
                self._windows.update(_windows(form, start))
        elif len(form) >= LEAST:
            self._short.append(form)

    def are_in(self, text: bytes) -> bool:
        """Whether any of them stands in a text."""
        if self._short and any(short in text for short in self._short):
            return True
        return any(not self._windows.isdisjoint(_windows(text, start)) for start in _STARTS) and any(self._places(text))

    def owners(self, texts: Sequence[str], normal: Callable[[bytes], bytes]) -> set[str]:
        """The texts that take part in what stands in all of them together."""
        parts = [normal(plain(text)) for text in texts]
        whole = b"".join(parts)
        ends = list(accumulate(map(len, parts), initial=0))
        places = [(at, at + length) for at, length in self._places(whole)]
        return {
            text
            for text, (start, end) in zip(texts, pairwise(ends), strict=True)
            if any(first < end and last > start for first, last in places)
        }

    def _places(self, text: bytes) -> Iterator[tuple[int, int]]:
        """Where they stand in a text, and how long they are there."""
        for short in self._short:
            at = text.find(short)
            while at >= 0:
                yield at, len(short)
                at = text.find(short, at + 1)
        doubts = 0
        for start in _STARTS:
            for number, window in enumerate(_windows(text, start)):
                if window not in self._windows:
                    continue
                doubts += 1
                at = start + number * _WINDOW
                for first in range(max(0, at - RUN + _WINDOW), at + 1):
                    run = text[first : first + RUN]
                    if len(run) == RUN and (doubts > _MOST_DOUBTS or run in self._known):
                        yield first, RUN


def forms(secret: str) -> Iterator[str]:
    """The forms in which a server may repeat a secret besides escapes: as it is, in hex, or within base64."""
    data = secret.encode("utf-8", "replace")
    yield from (secret, data.hex())
    for before, skip in enumerate(_BASE64_SKIPS):
        # The last character depends on what follows, unless it is whole.
        encoded = base64.b64encode(bytes(before) + data).decode()[skip : (before + len(data)) * 8 // 6]
        yield from (encoded, encoded.replace("+", "-").replace("/", "_"))


def views(text: str) -> Iterator[str]:
    """A text, and what it says without its tags, and once its escapes are undone."""
    for _ in range(MOST_UNDONE):
        yield text
        if "<" in text:
            yield _TAG.sub("", text)
        if "0x" in text or "0X" in text:
            yield _HEX_MARK.sub("", text)
        if not ("%" in text or "&" in text or "\\" in text):
            return
        undone = without_entities(unquote(_whole(_BACKSLASH.sub(_unescaped, text.replace("%u", "\\u")))))
        if undone == text:
            return
        text = undone
    yield text


def _unescaped(found: re.Match[str]) -> str:
    *in_hex, in_octal, letter = found.groups()
    if letter is not None:
        return " " if letter in _BLANK_ESCAPES else str(letter)
    code = int(in_octal, 8) if in_octal else int(next(filter(None, in_hex)), 16)
    return chr(code) if code <= sys.maxunicode else " "


def _whole(text: str) -> str:
    """The text with whole characters in place of the halves that escapes have for those beyond U+FFFF."""
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def plain(text: str) -> bytes:
    """A text in small letters and in UTF-8, where letters that look alike are the same."""
    if not text.isascii():
        text = _SIGNS.sub("", unicodedata.normalize("NFKD", _PHRASES.sub("", text.translate(_TAG_LETTERS))).casefold())
    return text.encode("utf-8", "replace").translate(_LOWER)


def letters(text: bytes) -> bytes:
    """The letters and digits of a plain text."""
    return text.translate(None, _NO_LETTERS)


def visible(text: bytes) -> bytes:
    """A plain text without blanks and what nobody sees."""
    return text.translate(None, _BLANKS)


def _windows(text: bytes, start: int) -> memoryview:
    """The windows of a text from a place on, one after the other, as numbers."""
    return memoryview(text)[start : start + max(0, len(text) - start) // _WINDOW * _WINDOW].cast("Q")


def around_signs(form: bytes) -> Iterator[bytes]:
    """The parts of a form that have a sign in every RUN; where there is none, letters alone are compared."""
    parts: list[tuple[int, int]] = []
    for sign in _SIGN.finditer(form):
        start, end = max(0, sign.start() - RUN + 1), sign.end() + RUN - 1
        if parts and start <= parts[-1][1]:
            start = parts.pop()[0]
        parts.append((start, end))
    yield from (form[start:end] for start, end in parts)
