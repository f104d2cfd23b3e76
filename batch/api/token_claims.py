"""The claims of a token: whose it is, and whether it may submit. The tenant verifies them; we only read.

Sources: the vendor's page on authentication for the token endpoint's answer, its own tools for the claims, and its
developer forum: the JWT may hold the scopes as a bitmap, so the token endpoint's answer comes first.
"""

from __future__ import annotations

import json
import math
from base64 import b64decode
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BaseModel, PlainValidator, ValidationError

from batch.api.dialects import ADMIN_LEVEL, ALL_SCOPES, CLIENT_AUTHORITY, WHERE_TOKENS_ARE_MADE
from batch.text import HIDDEN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from batch.api.dialects import Dialect

MOST_TOKEN: Final = 1 << 16
"""Most characters of a token that we read."""

MOST_NAMES: Final = 500
"""Most authorities or scopes that we keep."""

SHOWN: Final = 10
"""Most authorities or scopes in a sentence."""

_LONGEST_NAME: Final = 256
_PARTS_OF_A_JWT: Final = 3
ORG: Final = "org "
"""Before the short name of a tenant, which other tenants' ids never begin with."""

_KNOWN: Final = ("identity_id", "user_id", "user_name", "authorities", "client_id")
"""Every token of this vendor has at least one of these claims."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenClaims:
    """What a token says about itself, with the answer that brought it.

    Attributes:
        readable: Whether we can read the token.
        user_id: Id of its user; empty if it names none.
        user_name: The user's name; empty if it names none.
        authorities: User levels, or `API` for a client without a user.
        scopes: Its scopes; None if it does not name them in words.
        client_id: The client that it was issued to; empty if it names none.
        tenant_id: Id of the tenant that issued it; empty if it names none.
        org: Short name of that tenant; empty if it names none.
        expires_in: Seconds that it lives, by the endpoint; None if the endpoint gives none.
        expires: When it expires, by its own claim; None if it has none.
    """

    readable: bool = False
    user_id: str = ""
    user_name: str = ""
    authorities: tuple[str, ...] = ()
    scopes: tuple[str, ...] | None = None
    client_id: str = ""
    tenant_id: str = ""
    org: str = ""
    expires_in: float | None = None
    expires: datetime | None = None

    @property
    def tenant_names(self) -> tuple[str, ...]:
        """The names by which its tenant is known, the strongest first; none if it names no tenant."""
        return (*([self.tenant_id] if self.tenant_id else []), *([f"{ORG}{self.org}"] if self.org else []))

    @property
    def user(self) -> str:
        """Name and id of the user, or whichever of them is known."""
        if self.user_name and self.user_id:
            return f"{self.user_name} ({self.user_id})"
        return self.user_name or self.user_id


def _payload(token: str) -> dict[str, Any] | None:
    """The claims of a JWT; None if this is not one of this vendor's."""
    parts = token.split(".", _PARTS_OF_A_JWT)
    if len(parts) != _PARTS_OF_A_JWT or len(token) > MOST_TOKEN:
        return None
    try:
        document = json.loads(b64decode(parts[1] + "=" * (-len(parts[1]) % 4), altchars=b"-_", validate=True))
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) and any(name in document for name in _KNOWN) else None


def _text(value: object) -> str:
    """A name or id that can be shown; else empty."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return text if text.isprintable() and len(text) <= _LONGEST_NAME else ""


def _names(value: object) -> tuple[str, ...]:
    """Names from a list, or from a text that separates them by blanks."""
    listed = [value] if value == HIDDEN else value.split() if isinstance(value, str) else value
    return tuple(filter(None, map(_text, listed[:MOST_NAMES]))) if isinstance(listed, list) else ()


def _scopes(value: object) -> tuple[str, ...] | None:
    """Scopes in words; None for a bitmap, and for the `read write` of old tokens."""
    return tuple(name for name in _names(value) if ":" in name) or None


def _seconds(value: object) -> float | None:
    try:
        seconds = float(value) if isinstance(value, str | int | float) else math.nan
    except (ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _instant(value: object) -> datetime | None:
    """An instant from seconds since 1970."""
    try:
        return None if (seconds := _seconds(value)) is None else datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _id(value: object) -> str:
    """An id or a name that tells one from the other; empty if it was hidden."""
    text = _text(value)
    return "" if text == HIDDEN else text


class _Fields(BaseModel):
    """Fields of a token, or of the answer that holds it; each is empty unless it makes sense."""

    identity_id: Annotated[str, PlainValidator(_id)] = ""
    user_id: Annotated[str, PlainValidator(_id)] = ""
    user_name: Annotated[str, PlainValidator(_text)] = ""
    client_id: Annotated[str, PlainValidator(_id)] = ""
    tenant_id: Annotated[str, PlainValidator(_id)] = ""
    org: Annotated[str, PlainValidator(_id)] = ""
    authorities: Annotated[tuple[str, ...], PlainValidator(_names)] = ()
    scope: Annotated[tuple[str, ...] | None, PlainValidator(_scopes)] = None
    expires_in: Annotated[float | None, PlainValidator(_seconds)] = None
    exp: Annotated[datetime | None, PlainValidator(_instant)] = None


def _fields(document: Mapping[str, Any]) -> _Fields:
    try:
        return _Fields.model_validate(dict(document))
    except ValidationError:  # of a number with thousands of digits
        return _Fields()


def read_claims(
    token: str, answer: Mapping[str, Any], *, clean: Callable[[Any], Any] = lambda document: document
) -> TokenClaims:
    """Reads a token's claims; a claim that makes no sense is left out.

    Args:
        token: The access token.
        answer: The token endpoint's answer, of which `identity_id`, `user_id`, `scope` and `expires_in` count.
        clean: Takes secrets out of the claims: the tenant knows them, and its claims are shown.
    """
    payload = clean(_payload(token))
    inside, beside = _fields(payload or {}), _fields(answer)
    scopes = beside.scope or inside.scope
    return TokenClaims(
        readable=payload is not None,
        user_id=inside.identity_id or beside.identity_id or inside.user_id or beside.user_id,
        user_name=inside.user_name,
        authorities=inside.authorities,
        scopes=scopes,
        client_id=inside.client_id,
        tenant_id=inside.tenant_id,
        org=inside.org,
        expires_in=beside.expires_in,
        expires=inside.exp,
    )


def why_unfit(claims: TokenClaims) -> str:
    """Why nobody can submit with this kind of token, as a sentence; empty if somebody can, or we can't tell.

    A token with API authority, as the vendor calls it, has no user, and `API` is its only authority. If a token has a
    user and a user level, the tenant decides.
    """
    if not claims.readable:
        return ""
    client = f"client {claims.client_id}" if claims.client_id else "the client"
    if not claims.user:
        kind = f" but the authority {CLIENT_AUTHORITY}" if CLIENT_AUTHORITY in claims.authorities else ""
        return f"The token of {client} has no user behind it{kind}: it is an API client's and may not submit."
    if set(claims.authorities) == {CLIENT_AUTHORITY}:
        return f"The token of {client} has no user level but the authority {CLIENT_AUTHORITY}: it may not submit."
    return ""


def token_needed(dialect: Dialect) -> str:
    """Which kind of token to make, and where, as sentences."""
    return (
        f"Use a personal access token of an {ADMIN_LEVEL} user with the scopes {dialect.submit_scopes[0]} "
        f"and {dialect.status_scopes[0]}, or {ALL_SCOPES}. Make it {WHERE_TOKENS_ARE_MADE}."
    )


def lacks_scope(claims: TokenClaims, scopes: tuple[str, ...]) -> bool:
    """Whether a token certainly has none of these scopes."""
    return claims.scopes is not None and not {ALL_SCOPES, *scopes} & set(claims.scopes)


def what_is_missing(claims: TokenClaims, dialect: Dialect) -> str:
    """Which right is missing after the tenant answered 403 to a submit, as a sentence."""
    if unfit := why_unfit(claims):
        return unfit
    missing = []
    if lacks_scope(claims, dialect.submit_scopes):
        missing.append(f"the token has the scope {_listed(claims.scopes or ())}, and not {_any_of(dialect)}")
    if claims.authorities and ADMIN_LEVEL not in claims.authorities:
        missing.append(
            f"its user {claims.user} has the user level {_listed(claims.authorities)}, and not {ADMIN_LEVEL}: other "
            "levels may submit only some requests for others"
        )
    if missing:
        return f"Missing: {'; and '.join(missing)}."
    if claims.scopes is None or not claims.authorities:
        return (
            f"The token does not show which right is missing. Its user must have the level {ADMIN_LEVEL}, and "
            "the token the "
            f"scope {_any_of(dialect)}."
        )
    return (
        f"The token's scope suffices and its user {claims.user} is {ADMIN_LEVEL}, so the tenant's own settings forbid "
        "it: for example its access request configuration, or the network rules of the user's identity profile."
    )


def _listed(names: tuple[str, ...]) -> str:
    more = len(names) - SHOWN
    return ", ".join((*names[:SHOWN], *([f"and {more} more"] if more > 0 else ())))


def _any_of(dialect: Dialect) -> str:
    return " or ".join((*dialect.submit_scopes, ALL_SCOPES))
