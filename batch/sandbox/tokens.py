"""The simulated tenant's access tokens: shaped like the real ones, and good for nothing else."""

from __future__ import annotations

import json
import math
from base64 import urlsafe_b64encode
from datetime import timedelta
from enum import StrEnum
from http import HTTPStatus
from secrets import compare_digest
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from batch.api.dialects import ALL_SCOPES, CLIENT_AUTHORITY
from batch.sandbox.answers import Answer
from batch.sandbox.tenant import REQUESTER_ID, REQUESTER_NAME

if TYPE_CHECKING:
    from datetime import datetime


class TokenKind(StrEnum):
    """Kinds of token that a tenant gives out."""

    USER = "user"
    """A personal access token's: a JWT with a user behind it."""

    API_CLIENT = "api_client"
    """An API client's: a JWT with the authority `API` and no user."""

    OPAQUE = "opaque"
    """A user's, in a form that nobody but the tenant can look into."""


class TokenOffice:
    """Hands out tokens for one client's credentials, and knows its own again.

    Args:
        client_id: The one client that exists.
        client_secret: Its secret.
        expires_in: Seconds for which a token is good.
        kind: What kind of token it hands out.
        authorities: The user's levels.
        scopes: What its tokens are limited to.
        tokens: How many tokens it hands out before the secret is withdrawn; None for no end.
    """

    def __init__(
        self,
        *,
        client_id: str,
        client_secret: str,
        expires_in: int,
        kind: TokenKind = TokenKind.USER,
        authorities: tuple[str, ...] = ("ORG_ADMIN",),
        scopes: tuple[str, ...] = (ALL_SCOPES,),
        tokens: int | None = None,
    ) -> None:
        self._client_id = client_id
        self._client_secret = client_secret
        self._expires_in = expires_in
        self._kind = kind
        self._authorities = authorities
        self._scopes = scopes
        self._tokens = tokens
        self._expiry: dict[str, datetime] = {}

    def issue(self, form: bytes, now: datetime) -> Answer:
        """Answer a token call.

        Args:
            form: The body, `application/x-www-form-urlencoded`.
            now: The tenant's time.

        Returns:
            200 with a token; 400 for another grant than `client_credentials`; 401 for the wrong client or secret, and
            for one that was withdrawn.
        """
        fields = dict(parse_qsl(form.decode("ascii", errors="replace"), keep_blank_values=True))
        if fields.get("grant_type") != "client_credentials":
            return _oauth_error(HTTPStatus.BAD_REQUEST, "unsupported_grant_type", "Only client_credentials is known.")
        withdrawn = self._tokens is not None and len(self._expiry) >= self._tokens
        known = not withdrawn and compare_digest(fields.get("client_id", "").encode(), self._client_id.encode())
        if not compare_digest(fields.get("client_secret", "").encode(), self._client_secret.encode()) or not known:
            return _oauth_error(HTTPStatus.UNAUTHORIZED, "invalid_client", "There is no such client id and secret.")
        body: dict[str, object] = {
            "access_token": self._new_token(now),
            "token_type": "bearer",
            "expires_in": self._expires_in,
            "scope": " ".join(self._scopes),
        }
        if self._kind is not TokenKind.API_CLIENT:
            body |= {"identity_id": REQUESTER_ID, "user_id": REQUESTER_ID}
        return Answer(status=HTTPStatus.OK, body=body)

    def refusal(self, authorization: str | None, now: datetime) -> Answer | None:
        """Judge a call's `Authorization` header: None where its token is good, otherwise a 401."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return unauthorized("no JWT was sent")
        if token not in self._expiry:
            return unauthorized("JWT is not one of this tenant's")
        if self._expiry[token] <= now:
            return unauthorized("JWT is expired")
        return None

    def may(self, scopes: tuple[str, ...], *, as_user: bool = False) -> bool:
        """Whether its tokens may do something.

        Args:
            scopes: Those of which any one is enough.
            as_user: Whether a user must stand behind the token.
        """
        if as_user and self._kind is TokenKind.API_CLIENT:
            return False
        return not {ALL_SCOPES, *scopes}.isdisjoint(self._scopes)

    def _new_token(self, now: datetime) -> str:
        expiry = now + timedelta(seconds=self._expires_in)
        number = f"sandbox-{len(self._expiry)}"
        token = number if self._kind is TokenKind.OPAQUE else self._jwt(expiry, number)
        self._expiry[token] = expiry
        return token

    def _jwt(self, expiry: datetime, number: str) -> str:
        has_user = self._kind is TokenKind.USER
        claims = {
            **({"identity_id": REQUESTER_ID, "user_name": REQUESTER_NAME} if has_user else {}),
            "authorities": list(self._authorities) if has_user else [CLIENT_AUTHORITY],
            "client_id": self._client_id,
            "scope": list(self._scopes),
            "exp": math.floor(expiry.timestamp()),
            "jti": number,
        }
        header = {"alg": "none", "typ": "JWT"}
        return ".".join(_base64url(json.dumps(part).encode()) for part in (header, claims)) + ".sandbox"


def unauthorized(cause: str) -> Answer:
    """The 401 of the API, which has a form of its own."""
    return Answer(status=HTTPStatus.UNAUTHORIZED, body={"error": f"JWT validation failed: {cause}"})


def _oauth_error(status: HTTPStatus, error: str, description: str) -> Answer:
    return Answer(status=status, body={"error": error, "error_description": description})


def _base64url(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
