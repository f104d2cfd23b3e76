"""Reads the values of settings that are not plain texts and numbers; an error says how to write the value."""

from __future__ import annotations

import difflib
import re
from typing import Any, Final

from batch.api.dialects import RESERVED_KEYS, Rate
from batch.api.tenant_outcome import RESUBMITTABLE, TenantOutcome
from batch.validate.tenant_rules import ACCOUNT_FOUND, TENANT_RULES

_DURATION: Final = re.compile(r"\s*([0-9]{1,9}(?:\.[0-9]{1,3})?)\s*([smhd]?)\s*", re.IGNORECASE)
_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_SIZE: Final = re.compile(r"\s*([0-9]{1,9})\s*([kmg]?)i?b?\s*", re.IGNORECASE)


def read_rate(value: Any) -> Any:
    """Reads `N/SECONDS`."""
    if value is None or isinstance(value, Rate):
        return value
    requests, _, seconds = str(value).partition("/")
    try:
        rate = Rate(requests=int(requests), seconds=float(seconds))
    except ValueError:
        raise ValueError("write it as N/SECONDS, such as 100/10") from None
    if rate.requests < 1 or not 0 < rate.seconds <= 3600:  # noqa: PLR2004 - an hour is plenty
        raise ValueError("both numbers must be positive, and SECONDS at most 3600")
    return rate


def read_several(value: Any) -> Any:
    """Reads a list, or a text with commas."""
    return tuple(part for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def read_one_or_several(value: Any) -> Any:
    """Reads a list, or one text, which may have commas."""
    return (value,) if isinstance(value, str) else value


def read_resubmit(value: Any) -> Any:
    """Reads a list of outcomes, or a text with commas."""
    allowed = ",".join(RESUBMITTABLE)
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, list | tuple | set | frozenset):
        raise ValueError(f"write it as {allowed}")  # noqa: TRY004 - pydantic takes no TypeError
    named = {str(word).strip().lower() for word in words}
    if not named <= set(map(str, RESUBMITTABLE)):
        raise ValueError(f"name any of {allowed}, with commas between them")
    return frozenset(map(TenantOutcome, named))


def read_size(value: Any) -> Any:
    """Reads a number of bytes, or of KB, MB or GB."""
    if value is None or type(value) is int:
        return value
    found = _SIZE.fullmatch(str(value))
    if not found:
        raise ValueError("write it as a number with KB, MB or GB, such as 512MB")
    return int(found[1]) * 1024 ** " kmg".index(found[2].lower() or " ")


def read_tenant_rules(value: Any) -> Any:
    """Reads names of the tenant's rules: a list, whose texts may have commas, or such a text."""
    given = (value,) if isinstance(value, str) else value
    if not isinstance(given, list | tuple) or not all(str(one).strip(", ") for one in given):
        raise ValueError("name rules of the tenant")
    names = tuple(name.strip() for one in given for name in str(one).split(",") if name.strip())
    rules = (*TENANT_RULES, ACCOUNT_FOUND)
    if unknown := [name for name in names if name not in rules]:
        near = difflib.get_close_matches(unknown[0].lower().replace("-", "_"), rules, n=1)
        meant = f"; did you mean {near[0]}?" if near else f"; the rules are {', '.join(rules)}"
        raise ValueError(f"there is no rule {unknown[0]!r}{meant}")
    return names


def read_request_metadata(value: Any) -> Any:
    """Reads texts of the form `KEY=VALUE`: a list of them, or one, which may have commas; or a table."""
    given = (value,) if isinstance(value, str | int) else value
    pairs = given.items() if isinstance(given, dict) else [str(one).partition("=")[::2] for one in given]
    members: dict[str, str] = {}
    for key, text in ((key.strip(), text.strip() if isinstance(text, str) else "") for key, text in pairs):
        if not key or not text or "=" in key:
            raise ValueError("write it as KEY=VALUE, such as change=CHG0012345")
        if not f"{key}{text}".isprintable():
            raise ValueError("a key or a value has a character that can't be printed")
        if key.casefold() in {one.casefold() for one in RESERVED_KEYS}:
            raise ValueError(f"access-batch uses the key {key} itself")
        if members.setdefault(key, text) != text:
            raise ValueError(f"the key {key} is given twice")
    return tuple(f"{key}={text}" for key, text in sorted(members.items()))


def read_duration(value: Any) -> Any:
    """Reads seconds, or a number of minutes, hours or days such as `90m`, `12h` or `7d`."""
    if not isinstance(value, str):
        return value
    read = _DURATION.fullmatch(value)
    if read is None:
        raise ValueError("write it as seconds, or such as 90m, 12h or 7d")
    return float(read[1]) * _SECONDS[read[2].lower()]


def read_share(value: Any) -> Any:
    """Reads a percentage, with or without its sign."""
    return value.strip().removesuffix("%") if isinstance(value, str) else value
