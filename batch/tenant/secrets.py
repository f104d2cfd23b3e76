"""Hides the secrets that we sent to a tenant in everything that comes back from it.

A server may repeat a secret in any text, cut, quoted or encoded. So a text is compared as what remains of it once its
escapes are undone, alike letters are made the same, and everything between the letters is removed. If ten characters
in a row of a secret then stand in it, or of a secret in hex or base64, the whole text is replaced. The texts of one
answer are compared one by one and together, as a secret may be divided among them.

Ids and instants are told by their shape, states by their names; ids and instants are compared as they are. None of
them separates the texts beside it from each other.
"""

from __future__ import annotations

import base64
import re
import sys
import unicodedata
from collections import defaultdict
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from batch.api.dialects import REQUEST_TYPES, ItemType
from batch.api.tenant_outcome import TENANT_OUTCOMES
from batch.text import HIDDEN, without_entities

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

RUN: Final = 10
"""So many characters in a row of a secret, or of a form of it, are too many to show."""

LEAST: Final = 8
"""Least characters of a secret that is looked for within words: a shorter one could occur in ordinary ones."""

MOST_WINDOWS: Final = 2_000_000
"""Tokens are remembered until so many parts of later ones are: those of several days, in some hundred megabytes."""

MOST_UNDONE: Final = 3
"""How many layers of escapes are undone: the two of a server that quotes what it got, and one of a gateway."""

_MOST_KEYS: Final = 10_000
"""Most names of fields that are remembered to hold no secret."""

_MOST_SHORT: Final = 300
"""Most forms of short secrets; no real token is short."""

_MOST_DOUBTS: Final = 20_000
"""A text in which so many places look like a secret is taken to hold one."""

_WINDOW: Final = 8
_STARTS: Final = (0, 3, 6)
"""Windows from these places on, one after the other: one of them is within any RUN."""

_BASE64_SKIPS: Final = (0, 2, 3)
"""Leading base64 characters that depend on the bytes before the secret, by its position in a group of three."""

_BETWEEN: Final = b"\xff"
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
_BLANK_ESCAPES: Final = frozenset("abefnrtv0")

_WORDS: Final = frozenset({"", "IDENTITY", "PENDING", HIDDEN, *TENANT_OUTCOMES, *REQUEST_TYPES.values(), *ItemType})
"""Words of the API itself and our own, which say nothing about us."""

_SHAPED: Final = re.compile(
    r"[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
    r"|[0-9a-f]{12}-[0-9]{1,18}(?:-[0-9a-z]{1,32})?"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{5,18}(?:Z|[+-][0-9]{2}:?[0-9]{2})?"
)
"""The tenant's ids, our requests' ids, and instants."""

_LONG_NUMBER: Final = 10**LEAST

_LOOKS_LIKE: Final = re.compile(
    r"bearer\s+[\w.~+/=-]{20,}|\beyJ[\w-]{8,}(?:\.[\w-]*)*|(?<=access_token)[\"'\s:=]+[^\"'\s&<>,}]+", re.IGNORECASE
)
"""Everything that looks like a token of somebody: a bearer header, a JWT, a token endpoint's answer."""


class Secrets:
    """The secrets that one client has sent, from the first to the last; hides them in what comes back.

    Args:
        most_windows: See MOST_WINDOWS; a tenant may issue a new token for every call, and memory is limited.
    """

    def __init__(self, *, most_windows: int = MOST_WINDOWS) -> None:
        self._most_windows = most_windows
        self._lasting: set[str] = set()
        self._tokens: set[str] = set()
        self._runs = [_Runs()]
        self._short: set[str] = set()
        self._words: re.Pattern[str] | None = None
        self._clean_keys: set[str] = set()

    def learn_token(self, token: str) -> None:
        """Remembers an access token before it is sent or shown."""
        if token and token not in self._tokens:
            self._tokens.add(token)
            if len(token) >= LEAST or len(self._short) < _MOST_SHORT:
                self._add(token)
            if len(self._runs[0]) > self._most_windows:
                self._runs = [_Runs(), self._runs[0]]
                self._tokens.clear()
                for secret in self._lasting:
                    self._add(secret)

    def learn(self, secret: str) -> None:
        """Remembers a secret before it is sent, for ever."""
        if secret and secret not in self._lasting:
            self._lasting.add(secret)
            self._add(secret)

    def _add(self, secret: str) -> None:
        self._clean_keys.clear()
        if len(_letters(_plain(secret))) < LEAST > len(_visible(_plain(secret))):
            data = secret.encode("utf-8", "replace")
            self._short |= {secret, data.hex(), base64.b64encode(data).decode()}
            words = "|".join(re.escape(_plain(word).decode()) for word in self._short if _plain(word))
            self._words = re.compile(rf"(?<!\w)(?:{words})(?!\w)")
            return
        for form in map(_plain, forms(secret)):
            for part in (_letters(form), *_around_signs(_visible(form))):
                self._runs[0].add(part)

    def hide(self, text: str) -> str:
        """The text, or a fixed sentence if it holds a secret; whatever looks like a token is cut out of it."""
        return HIDDEN if self._has_run(text) or self._has_word(text) else _without_tokens(text)

    def clean(self, document: Any) -> Any:
        """A JSON document that holds no secret: each text that does is replaced, and each number by null.

        Args:
            document: Nobody else's: it is changed.
        """
        place = [document]
        found = _Texts(place)
        found.keys -= self._clean_keys
        if self._is_in_any(found):
            _replace(place, dict.fromkeys(self._bad_texts(found), HIDDEN))
            found = _Texts(place)
            if self._is_in_any(found):
                # Nobody can tell which texts belong together: each may hold a part of an escape.
                _replace(place, dict.fromkeys({*found.free, *found.shaped}, HIDDEN))
        elif len(self._clean_keys) < _MOST_KEYS:
            self._clean_keys |= found.keys
        if tokens := {text: hidden for text in found.suspects if (hidden := _without_tokens(text)) != text}:
            _replace(place, tokens)
        return place[0]

    def _is_in_any(self, found: _Texts) -> bool:
        readings = {text: [*map(_plain, _views(text))] for text in {*found.free, *found.keys}}
        escaped = [views for views in readings.values() if len(views) > 1]
        # All texts at once, as they are, and with their escapes undone.
        parts = [_BETWEEN.join(map(_plain, found.shaped)), *(readings[key][0] for key in found.keys)]
        for view in (0, -1) if escaped else (0,):
            parts += [b"".join([readings[text][view] for text in texts]) for texts in found.together]
        parts += [plain for views in escaped for plain in views]
        return (
            self._is_run_in(_BETWEEN.join(parts))
            or not self._short.isdisjoint(found.shaped)
            or (self._words is not None and any(map(self._has_word, found.free)))
        )

    def _bad_texts(self, found: _Texts) -> set[str]:
        """The texts that hold a secret, by themselves or together with their neighbours."""
        bad = {text for text in found.free if self._has_run(text) or self._has_word(text)}
        bad |= {text for text in found.shaped if self._is_run_in(_plain(text))} | (found.shaped & self._short)
        bad |= {text for text in found.keys if self._has_run(text)}
        for texts in found.together:
            rest = [text for text in texts if text not in bad]
            if self._has_run("".join(rest)):
                bad |= {one for runs in self._runs for by in (_letters, _visible) for one in runs.owners(rest, by)}
        return bad

    def _has_run(self, text: str) -> bool:
        """Whether a long secret stands in a text, escaped or not."""
        return any(self._is_run_in(_plain(view)) for view in _views(text))

    def _is_run_in(self, plain: bytes) -> bool:
        text = _letters(plain) + _BETWEEN + _visible(plain)
        return any(runs.are_in(text) for runs in self._runs)

    def _has_word(self, text: str) -> bool:
        """Whether a short secret is a word of a text, escaped or not."""
        words = self._words
        # A secret of signs alone, outside of ASCII, is no word.
        return words is not None and (
            any(words.search(_plain(view).decode()) for view in _views(text))
            or any(secret in text for secret in self._short if not _plain(secret))
        )


class _Texts:
    """The texts of a JSON document.

    Args:
        document: A list or an object.

    Attributes:
        free: Its free texts, in order.
        together: The same, and those of each field by itself: a secret may be divided among each of these.
        shaped: Its ids, instants and long numbers, each once.
        keys: The names of its fields.
        suspects: The free texts if any of them may hold somebody's token.
    """

    def __init__(self, document: Any) -> None:
        self.keys: set[str] = set()
        fields: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        texts: list[str] = []
        numbers: set[str] = set()
        waiting: list[tuple[tuple[str, str], Any]] = [(("", ""), document)]
        while waiting:
            field, value = waiting.pop()
            if type(value) is str:
                texts.append(value)
                fields[field].append(value)
            elif type(value) is dict:
                self.keys.update(value)
                _, outer = field
                waiting += [((outer, name), one) for name, one in reversed(value.items())]
            elif type(value) is list:
                waiting += [(field, one) for one in reversed(value)]
            elif type(value) in {int, float} and not -_LONG_NUMBER < value < _LONG_NUMBER:
                numbers.add(repr(value))
        distinct = set(texts)
        shaped = {text for text in distinct if _SHAPED.fullmatch(text)}
        free = distinct - shaped - _WORDS
        self.shaped = shaped | numbers
        self.free = [text for text in texts if text in free]
        several = (said for said in fields.values() if len(said) > 1 and not free.isdisjoint(said))
        divided = ([text for text in said if text in free] for said in several)
        self.together = [self.free, *(said for said in divided if 1 < len(said) < len(self.free))]
        whole = "\n".join(free).lower()
        self.suspects = free if any(sign in whole for sign in ("bearer", "eyj", "access_token")) else set()


class _Runs:
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
            self._known += form + _BETWEEN
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
        parts = [normal(_plain(text)) for text in texts]
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


def _views(text: str) -> Iterator[str]:
    """A text, and what it says without its tags, and once its escapes are undone."""
    for _ in range(MOST_UNDONE):
        yield text
        if "<" in text:
            yield _TAG.sub("", text)
        if not ("%" in text or "&" in text or "\\" in text):
            return
        undone = without_entities(unquote(_whole(_BACKSLASH.sub(_unescaped, text))))
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


def _plain(text: str) -> bytes:
    """A text in small letters and in UTF-8, where letters that look alike are the same."""
    if not text.isascii():
        text = _SIGNS.sub("", unicodedata.normalize("NFKD", _PHRASES.sub("", text)).casefold())
    return text.encode("utf-8", "replace").translate(_LOWER)


def _letters(plain: bytes) -> bytes:
    return plain.translate(None, _NO_LETTERS)


def _visible(plain: bytes) -> bytes:
    return plain.translate(None, _BLANKS)


def _windows(text: bytes, start: int) -> memoryview:
    """The windows of a text from a place on, one after the other, as numbers."""
    return memoryview(text)[start : start + max(0, len(text) - start) // _WINDOW * _WINDOW].cast("Q")


def _around_signs(form: bytes) -> Iterator[bytes]:
    """The parts of a form that have a sign in every RUN; where there is none, letters alone are compared."""
    parts: list[tuple[int, int]] = []
    for sign in _SIGN.finditer(form):
        start, end = max(0, sign.start() - RUN + 1), sign.end() + RUN - 1
        if parts and start <= parts[-1][1]:
            start = parts.pop()[0]
        parts.append((start, end))
    yield from (form[start:end] for start, end in parts)


def _without_tokens(text: str) -> str:
    return _LOOKS_LIKE.sub(HIDDEN, text)


def _replace(document: Any, by: dict[str, str]) -> None:
    """Replaces texts and names in a JSON document, and numbers by null."""
    waiting = [document]
    while waiting:
        value = waiting.pop()
        if type(value) is dict:
            for name in [name for name in value if name in by]:
                value.setdefault(by[name], value.pop(name))
        places = value.items() if type(value) is dict else enumerate(value)
        for place, one in list(places):
            if type(one) is str:
                value[place] = by.get(one, one)
            elif type(one) in {dict, list}:
                waiting.append(one)
            elif type(one) in {int, float} and repr(one) in by:
                value[place] = None
