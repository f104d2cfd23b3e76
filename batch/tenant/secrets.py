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
from collections import defaultdict
from typing import Any, Final

from batch.api.dialects import REQUEST_TYPES, ItemType
from batch.api.tenant_outcome import TENANT_OUTCOMES
from batch.tenant.disguises import BETWEEN, LEAST, Runs, around_signs, forms, letters, plain, views, visible
from batch.text import HIDDEN

MOST_WINDOWS: Final = 2_000_000
"""Tokens are remembered until so many parts of later ones are: those of several days, in some hundred megabytes."""

LONGEST: Final = 1 << 13
"""Most characters of a text that are kept: nothing of ours reads more."""

_MOST_KEYS: Final = 10_000
"""Most names of fields that are remembered to hold no secret."""

_MOST_SHORT: Final = 300
"""Most forms of short secrets; no real token is short."""

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
        self._runs = [Runs()]
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
                self._runs = [Runs(), self._runs[0]]
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
        if len(letters(plain(secret))) < LEAST > len(visible(plain(secret))):
            data = secret.encode("utf-8", "replace")
            self._short |= {secret, data.hex(), base64.b64encode(data).decode()}
            words = "|".join(re.escape(plain(word).decode()) for word in self._short if plain(word))
            self._words = re.compile(rf"(?<!\w)(?:{words})(?!\w)")
            return
        for form in map(plain, forms(secret)):
            for part in (letters(form), *around_signs(visible(form))):
                self._runs[0].add(part)

    def hide(self, text: str) -> str:
        """The text, or a fixed sentence if it holds a secret; whatever looks like a token is cut out of it."""
        return HIDDEN if self._has_run(text) or self._has_word(text) else _LOOKS_LIKE.sub(HIDDEN, text)

    def clean(self, document: Any) -> Any:
        """A JSON document without secrets: a text that holds one is replaced, a number by null; long texts are cut.

        Args:
            document: Nobody else's: it is changed.
        """
        place = [document]
        found = _Texts(place)
        if found.long:
            _replace(place, found.long)
        found.keys -= self._clean_keys
        if self._is_in_any(found):
            _replace(place, dict.fromkeys(self._bad_texts(found), HIDDEN))
            found = _Texts(place)
            if self._is_in_any(found):
                # Nobody can tell which texts belong together: each may hold a part of an escape.
                _replace(place, dict.fromkeys({*found.free, *found.shaped}, HIDDEN))
        elif len(self._clean_keys) < _MOST_KEYS:
            self._clean_keys |= found.keys
        if tokens := {text: hidden for text in found.suspects if (hidden := _LOOKS_LIKE.sub(HIDDEN, text)) != text}:
            _replace(place, tokens)
        return place[0]

    def _is_in_any(self, found: _Texts) -> bool:
        readings = {text: [*map(plain, views(text))] for text in {*found.free, *found.keys}}
        escaped = [read for read in readings.values() if len(read) > 1]
        # All texts at once, as they are, and with their escapes undone.
        parts = [BETWEEN.join(map(plain, found.shaped)), *(readings[key][0] for key in found.keys)]
        for view in (0, -1) if escaped else (0,):
            parts += [b"".join([readings[text][view] for text in texts]) for texts in found.together]
        parts += [one for read in escaped for one in read]
        return (
            self._is_run_in(BETWEEN.join(parts))
            or not self._short.isdisjoint(found.shaped)
            or (self._words is not None and any(map(self._has_word, found.free)))
        )

    def _bad_texts(self, found: _Texts) -> set[str]:
        """The texts that hold a secret, by themselves or together with their neighbours."""
        bad = {text for text in found.free if self._has_run(text) or self._has_word(text)}
        bad |= {text for text in found.shaped if self._is_run_in(plain(text))} | (found.shaped & self._short)
        bad |= {text for text in found.keys if self._has_run(text)}
        for texts in found.together:
            rest = [text for text in texts if text not in bad]
            if self._has_run("".join(rest)):
                bad |= {one for runs in self._runs for by in (letters, visible) for one in runs.owners(rest, by)}
        return bad

    def _has_run(self, text: str) -> bool:
        """Whether a long secret stands in a text, escaped or not."""
        return any(self._is_run_in(plain(view)) for view in views(text))

    def _is_run_in(self, text: bytes) -> bool:
        both = letters(text) + BETWEEN + visible(text)
        return any(runs.are_in(both) for runs in self._runs)

    def _has_word(self, text: str) -> bool:
        """Whether a short secret is a word of a text, escaped or not."""
        words = self._words
        # A secret of signs alone, outside of ASCII, is no word.
        return words is not None and (
            any(words.search(plain(view).decode()) for view in views(text))
            or any(secret in text for secret in self._short if not plain(secret))
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
        long: Its texts that are longer than LONGEST, with what is left of them.
        suspects: The free texts if any of them may hold somebody's token.
    """

    def __init__(self, document: Any) -> None:
        self.keys: set[str] = set()
        self.long: dict[str, str] = {}
        fields: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        texts: list[str] = []
        numbers: set[str] = set()
        waiting: list[tuple[tuple[str, str], Any]] = [(("", ""), document)]
        while waiting:
            field, value = waiting.pop()
            if type(value) is str:
                if len(value) > LONGEST:
                    value = self.long.setdefault(value, value[:LONGEST])
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
