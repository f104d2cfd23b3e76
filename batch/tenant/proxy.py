"""The proxy that the environment names for a tenant, if it names one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.request import getproxies, proxy_bypass

import httpx

from batch.errors import SettingsError
from batch.tenant.address import is_loopback

if TYPE_CHECKING:
    import ssl

_NEXT_STEP: Final = (
    "Nothing was sent. Set HTTPS_PROXY to http://HOST:PORT, or name the tenant's host in NO_PROXY to do without."
)


def proxy_for(base_url: str, trust: ssl.SSLContext | None) -> httpx.Proxy | None:
    """The proxy for a tenant: HTTPS_PROXY or ALL_PROXY, unless NO_PROXY names the host; never one for this machine.

    Where the environment names none, macOS and Windows are asked for theirs.

    Args:
        base_url: The tenant's origin.
        trust: What an https proxy's certificate is checked against.

    Raises:
        SettingsError: The proxy is of a kind that can't be used; its URL, which may hold a password, is not repeated.
    """
    url = httpx.URL(base_url)
    proxies = getproxies()
    given = proxies.get("https") or proxies.get("all")
    place = url.netloc.decode("ascii")
    if not given or is_loopback(url.host) or proxy_bypass(place if url.port else f"{place}:443"):
        return None
    try:
        address = httpx.URL(given if "://" in given else f"http://{given}")
        # Reading the host decodes it, and fails where it is no name in Unicode.
        host = address.host
    except (httpx.InvalidURL, UnicodeError) as error:
        raise SettingsError("The proxy of the environment is no URL.", next_step=_NEXT_STEP) from error
    if address.scheme.startswith("socks"):
        raise SettingsError("The proxy of the environment is a SOCKS proxy: unsupported.", next_step=_NEXT_STEP)
    if address.scheme not in {"http", "https"} or not host:
        raise SettingsError("The proxy of the environment is no http or https address.", next_step=_NEXT_STEP)
    return httpx.Proxy(address, ssl_context=trust if address.scheme == "https" else None)
