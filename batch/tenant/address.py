"""The tenant's address: checks that it is safe to send a secret there, and gives its name in the ledger."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final

import httpx

from batch.errors import SettingsError

_EXAMPLE: Final = "Give it as https://TENANT.api.identitynow.com."
_TENANT: Final = re.compile(r"(?:https?://)?([0-9a-z-]+)(?:\.(identitynow(?:-demo)?\.com))?(?:[/?#].*)?", re.IGNORECASE)
"""What people take for the base URL: a tenant's short name, or the address of its pages."""
_ADDRESS: Final = re.compile(r"(?:https?://)?([0-9a-z.-]+\.[0-9a-z.-]+)(?:[/?#].*)?", re.IGNORECASE)
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}
_LAST_PORT: Final = 65535
_LONGEST_HOST: Final = 253
"""RFC 1035. The ledger could not keep every longer one either: databases limit what an index may hold."""
_HOST: Final = re.compile(r"(?:[0-9a-z_-]+\.)*[0-9a-z_-]+|[0-9a-f:.]+")


def origin(base_url: str) -> str:
    """The origin (scheme, host and port) of a base URL, in lower case: the tenant's name in the ledger.

    Raises:
        SettingsError: It is no usable URL, or plain http to another machine.
    """
    shown = repr(base_url) if "@" not in base_url else "given"
    meant = probable_origin(base_url)
    example = f"Did you mean {meant}?" if meant else _EXAMPLE
    try:
        url = httpx.URL(base_url.strip())
        host, port = _canonical(url.raw_host.decode("ascii").lower()), url.port
        # Reading the host decodes it, and fails if it is no Unicode name.
        named = bool(url.host and _HOST.fullmatch(host)) and len(host) <= _LONGEST_HOST
    except (httpx.InvalidURL, ValueError) as error:
        raise SettingsError(
            f"The base URL {shown} is not a URL{'' if '@' in base_url else f': {error}'}.", next_step=example
        ) from error
    if url.scheme not in _DEFAULT_PORTS or not named or not 0 < (port or 1) <= _LAST_PORT:
        raise SettingsError(f"The base URL {shown} is not a web address.", next_step=example)
    if url.userinfo:
        raise SettingsError("The base URL holds a user or password.", next_step=_EXAMPLE)
    if url.scheme == "http" and not is_loopback(host):
        raise SettingsError(
            f"The base URL {shown} is plain http: the secret would travel in the clear.", next_step="Use https."
        )
    if url.path not in {"", "/"} or url.query or url.fragment:
        raise SettingsError(
            f"The base URL {shown} has a path.", next_step=f"Leave it out; --api names the version. {example}"
        )
    named_port = f":{port}" if port not in {None, _DEFAULT_PORTS[url.scheme]} else ""
    return f"{url.scheme}://{f'[{host}]' if ':' in host else host}{named_port}"


def probable_origin(base_url: str) -> str:
    """The tenant's origin that was probably meant; empty if there is nothing to guess."""
    given = base_url.strip().rstrip("/")
    if tenant := _TENANT.fullmatch(given):
        name, domain = tenant[1].lower(), tenant[2] or "identitynow.com"
        return "" if is_loopback(name) or name.isdecimal() else f"https://{name}.api.{domain.lower()}"
    address = _ADDRESS.fullmatch(given)
    return "" if not address or is_loopback(address[1]) else f"https://{address[1].lower()}"


def _canonical(host: str) -> str:
    """One spelling of a host: two would be two tenants in the ledger, and get everything twice."""
    host = host.removesuffix(".")
    return str(ip_address(host)) if ":" in host else host


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def tenant_names(named: str) -> tuple[str, ...]:
    """How people may name a tenant with this origin; the shortest first. `TENANT.api.…` is TENANT."""
    host = named.partition("://")[2]
    label, dot, rest = host.partition(".")
    own = (label,) if dot and rest.startswith("api.") else ()
    return (*own, host, named)
