"""What tells an account apart from a person's others, in every form in which the API may name it. Pure.

An account may be moved or spelled otherwise, and the tenant may begin or cease to tell its id. So the key of an account
has all that is known of it, each by its kind. Two keys may be of one account if they share a word, or have no word of
the same kind: what can't be told apart is not different.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Final
from unicodedata import normalize

from batch.text import key_of

if TYPE_CHECKING:
    from collections.abc import Mapping

ID: Final = "id"
UUID: Final = "uuid"
NATIVE: Final = "native"
NAME: Final = "name"
"""Kinds of words. A name is no proof: it is only there if nothing else outlives a move of the account."""

_EITHER: Final = "either"
"""Kind of a word of the status list, which may be the native identity or the id."""

_LONGEST: Final = 200
"""Characters of a word; databases limit what an index may hold. A longer one is kept by its hash."""

_HASH: Final = "sha256 "

_BLANKS: Final = re.compile(r",\s+")


def native_word(text: str) -> str:
    """A native identity as it is compared: in directories, case and blanks after commas make no difference."""
    return _BLANKS.sub(",", normalize("NFC", text).strip()).casefold()


def uuid_word(text: str) -> str:
    """A uuid as it is compared: some systems write it in braces."""
    return key_of(text.strip().strip("{}"))


def account_key(words: Mapping[str, str]) -> str:
    """The key that has these words, by their kinds; empty ones are left out."""
    return json.dumps(
        {kind: _short(word) for kind, word in sorted(words.items()) if word}, ensure_ascii=False, separators=(",", ":")
    )


def words_of(key: str) -> Mapping[str, str]:
    """The words of a key by their kinds; none of a key that an older version has written."""
    try:
        words = json.loads(key)
    except ValueError:
        return {}
    return words if isinstance(words, dict) else {}


def written(key: str) -> str:
    """What a row names the account with this key by; its hash if it is too long to be kept."""
    words = words_of(key)
    return words.get(ID) or words.get(NATIVE) or key


def is_hash(word: str) -> bool:
    """Whether a word of a key was too long to be kept."""
    return word.startswith(_HASH)


def word_of_pattern(kind: str) -> str:
    """A pattern whose group finds a key's word of a kind, as JSON writes it."""
    return rf'"{kind}":"((?:[^"\\]|\\.)*)"'


def row_key(uuid: str, native_or_id: str) -> str:
    """The key of an account that a row of a list names; empty if it names none."""
    words = {UUID: uuid_word(uuid), _EITHER: native_word(native_or_id)}
    return account_key(words) if any(words.values()) else ""


def is_account(key: str, row: str) -> bool | None:
    """Whether a row's account is the one with this key; None if that is not known.

    Args:
        key: From `account_key`.
        row: From `row_key`.
    """
    ours, theirs = words_of(key), words_of(row)
    either, uuid = theirs.get(_EITHER, ""), theirs.get(UUID, "")
    if (uuid and uuid == ours.get(UUID)) or (either and either in {ours.get(NATIVE), ours.get(ID)}):
        return True
    if either and key_of(either) == ours.get(ID):
        return True
    # That it is neither our id nor our native identity says something only if both are known.
    differs = bool(either and ours.get(ID) and ours.get(NATIVE)) or bool(uuid and ours.get(UUID))
    return False if differs else None


def _short(word: str) -> str:
    return word if len(word) <= _LONGEST else f"{_HASH}{hashlib.sha256(word.encode()).hexdigest()}"
