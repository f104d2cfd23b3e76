"""Who a token says we are: its claims, read and not verified, as that is the tenant's; and whether that may submit.

Sources: the vendor's page on authentication (what the token endpoint answers), the claims of tokens as its own tools
read them, and its developer forum: in the JWT the scopes may stand as a bitmap, so that the token endpoint's answer is
asked first.
"""

from __future__ import annotations

import json
import math
from base64 import b64decode
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from batch.api.dialects import ADMIN_LEVEL, ALL_SCOPES, CLIENT_AUTHORITY, WHERE_TOKENS_ARE_MADE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from batch.api.dialects import Dialect

MOST_TOKEN: Final = 1 << 16
"""Characters of a token that is looked into."""

MOST_NAMES: Final = 500
"""Authorities or scopes that are kept."""

SHOWN: Final = 10
"""Authorities or scopes that are listed in a sentence."""

_LONGEST_NAME: Final = 256
_PARTS_OF_A_JWT: Final = 3
_KNOWN: Final = ("identity_id", "user_id", "user_name", "authorities", "client_id")
"""TokenClaims of which a token of this vendor has at least one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenClaims:
    """What a token and the answer that brought it say.

    Attributes:
        readable: Whether the token could be looked into.
        user_id: Id of the identity behind it; empty where there is none, or none is named.
        user_name: That user's name; empty where it is not named.
        authorities: User levels, or `API` for a client without a user.
        scopes: What the token is limited to; None where nothing says so in words.
        client_id: The client it was given to; empty where it is not named.
        expires_in: Seconds that the token lives, as the endpoint says; None where it does not.
    """

    readable: bool = False
    user_id: str = ""
    user_name: str = ""
    authorities: tuple[str, ...] = ()
    scopes: tuple[str, ...] | None = None
    client_id: str = ""
    expires_in: float | None = None

    @property
    def user(self) -> str:
        """The user for people: name and id, as far as they are known."""
        return (
            f"{self.user_name} ({self.user_id})" if self.user_name and self.user_id else self.user_name or self.user_id
        )


def read_claims(token: str, answer: Mapping[str, Any], *, hide: Callable[[str], str] = str) -> TokenClaims:
    """Reads a token's claims; whatever is wrong with them, what can be read is returned.

    Args:
        token: The access token.
        answer: What the token endpoint answered; of this, `identity_id`, `user_id` and `scope` count.
        hide: Hides, in a text, the secrets that the tenant knows: its claims are shown.
    """
    payload = _payload(token)
    said = payload or {}
    claims = TokenClaims(
        readable=payload is not None,
        user_id=next(
            filter(None, (_text(one.get(k)) for k in ("identity_id", "user_id") for one in (said, answer))), ""
        ),
        user_name=_text(said.get("user_name")),
        authorities=_names(said.get("authorities")),
        scopes=_scopes(answer.get("scope")) or _scopes(said.get("scope")),
        client_id=_text(said.get("client_id")),
        expires_in=_seconds(answer.get("expires_in")),
    )
    return replace(
        claims,
        user_id=hide(claims.user_id),
        user_name=hide(claims.user_name),
        authorities=tuple(map(hide, claims.authorities)),
        scopes=None if claims.scopes is None else tuple(map(hide, claims.scopes)),
        client_id=hide(claims.client_id),
    )


def _payload(token: str) -> dict[str, Any] | None:
    """The claims of a JWT; None where it is none, or nothing in it is known to us."""
    parts = token.split(".", _PARTS_OF_A_JWT)
    if len(parts) != _PARTS_OF_A_JWT or len(token) > MOST_TOKEN:
        return None
    try:
        document = json.loads(b64decode(parts[1] + "=" * (-len(parts[1]) % 4), altchars=b"-_", validate=True))
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) and any(name in document for name in _KNOWN) else None


def _text(value: object) -> str:
    """A name or id as it can be shown; empty where it is none."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return text if text.isprintable() and len(text) <= _LONGEST_NAME else ""


def _names(value: object) -> tuple[str, ...]:
    """Names from a list, or from one text with blanks between."""
    listed = value.split() if isinstance(value, str) else value
    return tuple(filter(None, map(_text, listed[:MOST_NAMES]))) if isinstance(listed, list) else ()


def _scopes(value: object) -> tuple[str, ...] | None:
    """Scopes in words; None where there are none: a bitmap, or the `read write` of long ago."""
    return tuple(name for name in _names(value) if ":" in name) or None


def _seconds(value: object) -> float | None:
    """A length of time; None where it is none."""
    try:
        seconds = float(value) if isinstance(value, str | int | float) else math.nan
    except (ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def why_unfit(claims: TokenClaims) -> str:
    """Why nobody can submit with a token, as a sentence; empty where its kind may, or can't be told.

    What the vendor calls a token with API authority has no user behind it, and `API` is then its only authority. One
    that has both a user and a user level is the tenant's to judge, whatever else it has.
    """
    if not claims.readable:
        return ""
    client = f"client {claims.client_id}" if claims.client_id else "the client"
    if not claims.user:
        kind = f" but the authority {CLIENT_AUTHORITY}" if CLIENT_AUTHORITY in claims.authorities else ""
        return f"The token of {client} has no user behind it{kind}: it is an API client's, and may not submit."
    if set(claims.authorities) == {CLIENT_AUTHORITY}:
        return f"The token of {client} has no user level but the authority {CLIENT_AUTHORITY}: it may not submit."
    return ""


def token_needed(dialect: Dialect) -> str:
    """Which kind of token is needed, and where it is made, as sentences."""
    return (
        f"A personal access token of an {ADMIN_LEVEL} user is needed, with the scopes {dialect.submit_scopes[0]} "
        f"and {dialect.status_scopes[0]}, or {ALL_SCOPES}. It is made {WHERE_TOKENS_ARE_MADE}."
    )


def lacks_scope(claims: TokenClaims, scopes: tuple[str, ...]) -> bool:
    """Whether a token is known to have none of these scopes."""
    return claims.scopes is not None and not {ALL_SCOPES, *scopes} & set(claims.scopes)


def what_is_missing(claims: TokenClaims, dialect: Dialect) -> str:
    """Which right is missing where the tenant has answered 403 to a submit, as a sentence."""
    if unfit := why_unfit(claims):
        return unfit
    missing = []
    if lacks_scope(claims, dialect.submit_scopes):
        missing.append(f"the token has the scope {_listed(claims.scopes or ())}, and not {_any_of(dialect)}")
    if claims.authorities and ADMIN_LEVEL not in claims.authorities:
        missing.append(
            f"its user {claims.user} has the user level {_listed(claims.authorities)}, and not {ADMIN_LEVEL}, without "
            "which only some requests for others are allowed"
        )
    if missing:
        return f"What is missing: {'; and '.join(missing)}."
    if claims.scopes is None or not claims.authorities:
        return (
            f"What is missing can't be read from the token: it takes a user of the level {ADMIN_LEVEL}, and the scope "
            f"{_any_of(dialect)}."
        )
    return (
        f"The token's scope suffices and its user {claims.user} is {ADMIN_LEVEL}: so the tenant's own settings forbid "
        "it, such as its access request configuration or the network rules of the user's identity profile."
    )


def _listed(names: tuple[str, ...]) -> str:
    more = len(names) - SHOWN
    return ", ".join((*names[:SHOWN], *([f"and {more} more"] if more > 0 else ())))


def _any_of(dialect: Dialect) -> str:
    return " or ".join((*dialect.submit_scopes, ALL_SCOPES))
