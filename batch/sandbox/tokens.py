"""The simulated tenant's access tokens: they look like real ones and work only here."""

from __future__ import annotations

import json
import math
from base64 import urlsafe_b64encode
from datetime import timedelta
from http import HTTPStatus
from secrets import compare_digest
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from batch.api.dialects import ALL_SCOPES, CLIENT_AUTHORITY
from batch.sandbox.answers import Answer, unauthorized
from batch.sandbox.settings import TokenKind
from batch.sandbox.tenant import REQUESTER_ID, REQUESTER_NAME

if TYPE_CHECKING:
    from datetime import datetime

    from batch.sandbox.settings import SandboxSettings


class TokenIssuer:
    """Issues tokens for the one client of the settings, and recognizes its own tokens."""

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings
        self._expiry: dict[str, datetime] = {}

    def issue(self, form: bytes, now: datetime) -> Answer:
        """Answer a token call.

        Args:
            form: The body, `application/x-www-form-urlencoded`.
            now: The tenant's time.

        Returns:
            200 with a token; 400 for a grant type other than `client_credentials`; 401 for a wrong or withdrawn client
            id or secret.
        """
        chosen = self._settings
        fields = dict(parse_qsl(form.decode("ascii", errors="replace"), keep_blank_values=True))
        if fields.get("grant_type") != "client_credentials":
            return _oauth_error(HTTPStatus.BAD_REQUEST, "unsupported_grant_type", "Only client_credentials is known.")
        withdrawn = chosen.tokens is not None and len(self._expiry) >= chosen.tokens
        known = not withdrawn and compare_digest(fields.get("client_id", "").encode(), chosen.client_id.encode())
        if not compare_digest(fields.get("client_secret", "").encode(), chosen.client_secret.encode()) or not known:
            return _oauth_error(HTTPStatus.UNAUTHORIZED, "invalid_client", "There is no such client id and secret.")
        body: dict[str, object] = {
            "access_token": self._new_token(now),
            "token_type": "bearer",
            "expires_in": chosen.expires_in,
            "scope": " ".join(chosen.scopes),
        }
        if chosen.token_kind is not TokenKind.API_CLIENT:
            body |= {"identity_id": REQUESTER_ID, "user_id": REQUESTER_ID}
        return Answer(status=HTTPStatus.OK, body=body)

    def refusal(self, authorization: str | None, now: datetime) -> Answer | None:
        """Check a call's `Authorization` header: None if its token is valid, otherwise a 401."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return unauthorized("no JWT was sent")
        if token not in self._expiry:
            return unauthorized("JWT is not one of this tenant's")
        if self._expiry[token] <= now:
            return unauthorized("JWT is expired")
        return None

    def may(self, scopes: tuple[str, ...], *, as_user: bool = False) -> bool:
        """Whether its tokens allow a call.

        Args:
            scopes: Any one of these is enough.
            as_user: Whether the token must belong to a user.
        """
        if as_user and self._settings.token_kind is TokenKind.API_CLIENT:
            return False
        return not {ALL_SCOPES, *scopes}.isdisjoint(self._settings.scopes)

    def _new_token(self, now: datetime) -> str:
        expiry = now + timedelta(seconds=self._settings.expires_in)
        token_id = f"sandbox-{len(self._expiry)}"
        token = token_id if self._settings.token_kind is TokenKind.OPAQUE else self._jwt(expiry, token_id)
        self._expiry[token] = expiry
        return token

    def _jwt(self, expiry: datetime, token_id: str) -> str:
        has_user = self._settings.token_kind is TokenKind.USER
        claims = {
            **({"identity_id": REQUESTER_ID, "user_name": REQUESTER_NAME} if has_user else {}),
            "authorities": list(self._settings.authorities) if has_user else [CLIENT_AUTHORITY],
            "client_id": self._settings.client_id,
            **({"tenant_id": self._settings.tenant_id} if self._settings.tenant_id else {}),
            "scope": list(self._settings.scopes),
            "exp": math.floor(expiry.timestamp()),
            "jti": token_id,
        }
        header = {"alg": "none", "typ": "JWT"}
        return ".".join(_base64url(json.dumps(part).encode()) for part in (header, claims)) + ".sandbox"


def _oauth_error(status: HTTPStatus, error: str, description: str) -> Answer:
    return Answer(status=status, body={"error": error, "error_description": description})


def _base64url(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
