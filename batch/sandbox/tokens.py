"""The simulated tenant's access tokens: shaped like the real ones, and good for nothing else."""

from __future__ import annotations

import json
import math
from base64 import urlsafe_b64encode
from datetime import timedelta
from http import HTTPStatus
from secrets import compare_digest
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from batch.sandbox.answers import Answer
from batch.sandbox.tenant import REQUESTER_ID, REQUESTER_NAME

if TYPE_CHECKING:
    from datetime import datetime


class TokenOffice:
    """Hands out tokens for one client's credentials, and knows its own again.

    Args:
        client_id: The one client that exists.
        client_secret: Its secret.
        expires_in: Seconds for which a token is good.
    """

    def __init__(self, *, client_id: str, client_secret: str, expires_in: int) -> None:
        self._client_id = client_id
        self._client_secret = client_secret
        self._expires_in = expires_in
        self._expiry: dict[str, datetime] = {}

    def issue(self, form: bytes, now: datetime) -> Answer:
        """Answer a token call.

        Args:
            form: The body, `application/x-www-form-urlencoded`.
            now: The tenant's time.

        Returns:
            200 with a token; 400 for another grant than `client_credentials`; 401 for the wrong client or secret.
        """
        fields = dict(parse_qsl(form.decode("ascii", errors="replace"), keep_blank_values=True))
        if fields.get("grant_type") != "client_credentials":
            return _oauth_error(HTTPStatus.BAD_REQUEST, "unsupported_grant_type", "Only client_credentials is known.")
        known = compare_digest(fields.get("client_id", "").encode(), self._client_id.encode())
        if not compare_digest(fields.get("client_secret", "").encode(), self._client_secret.encode()) or not known:
            return _oauth_error(HTTPStatus.UNAUTHORIZED, "invalid_client", "There is no such client id and secret.")
        token = self._new_token(now)
        body = {
            "access_token": token,
            "token_type": "bearer",
            "expires_in": self._expires_in,
            "scope": "sp:scopes:all",
            "identity_id": REQUESTER_ID,
            "user_id": REQUESTER_ID,
        }
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

    def _new_token(self, now: datetime) -> str:
        expiry = now + timedelta(seconds=self._expires_in)
        header = {"alg": "none", "typ": "JWT"}
        claims = {
            "identity_id": REQUESTER_ID,
            "user_name": REQUESTER_NAME,
            "authorities": ["ORG_ADMIN"],
            "client_id": self._client_id,
            "scope": ["sp:scopes:all"],
            "exp": math.floor(expiry.timestamp()),
            "jti": f"sandbox-{len(self._expiry)}",
        }
        token = ".".join(_base64url(json.dumps(part).encode()) for part in (header, claims)) + ".sandbox"
        self._expiry[token] = expiry
        return token


def unauthorized(cause: str) -> Answer:
    """The 401 of the API, which has a form of its own."""
    return Answer(status=HTTPStatus.UNAUTHORIZED, body={"error": f"JWT validation failed: {cause}"})


def _oauth_error(status: HTTPStatus, error: str, description: str) -> Answer:
    return Answer(status=status, body={"error": error, "error_description": description})


def _base64url(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
