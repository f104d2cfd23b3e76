"""The tenant's address: where it is safe to send a secret to, and the name under which the ledger knows it."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

import httpx

from batch.errors import SettingsError

_EXAMPLE: Final = "Give it as https://TENANT.api.identitynow.com."


def origin(base_url: str) -> str:
    """The origin (scheme, host and port) of a tenant's base URL, in lower case: also the tenant's name in the ledger.

    Raises:
        SettingsError: It is no URL, or it is plain http to another machine than this one.
    """
    try:
        url = httpx.URL(base_url.strip())
    except httpx.InvalidURL as error:
        raise SettingsError(f"The base URL {base_url!r} is no URL: {error}.", next_step=_EXAMPLE) from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise SettingsError(f"The base URL {base_url!r} is no web address.", next_step=_EXAMPLE)
    if url.userinfo:
        raise SettingsError("The base URL holds a user or password.", next_step=_EXAMPLE)
    if url.scheme == "http" and not is_loopback(url.host):
        raise SettingsError(
            f"The base URL {base_url!r} is plain http: the secret would travel in the clear.", next_step="Use https."
        )
    if url.path not in {"", "/"}:
        raise SettingsError(
            f"The base URL {base_url!r} has a path.",
            next_step=f"Leave the path out; --api names the version. {_EXAMPLE}",
        )
    return f"{url.scheme}://{url.netloc.decode('ascii').lower()}"


def is_loopback(host: str) -> bool:
    """Whether a host is this very machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
