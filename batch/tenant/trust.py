"""The certificates that a connection to a tenant trusts, and the proxy that it takes."""

from __future__ import annotations

import errno
import ssl
from typing import TYPE_CHECKING, Final
from urllib.request import getproxies, proxy_bypass

import httpx
import truststore

from batch.errors import SettingsError
from batch.tenant.address import is_loopback

if TYPE_CHECKING:
    from pathlib import Path


def trusted(ca_file: Path | None) -> ssl.SSLContext:
    """The context that checks the tenant's certificate.

    Args:
        ca_file: PEM certificates to trust INSTEAD of the system's, as with `curl --cacert` and `pip --cert`; None for
            the system's (on Linux SSL_CERT_FILE and SSL_CERT_DIR, as with all of OpenSSL).

    Raises:
        SettingsError: The file can't be read, or holds no certificate.
    """
    if ca_file is None:
        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # create_default_context would write session keys to SSLKEYLOGFILE, and refuse many companies' own CAs.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # As curl does: an intermediate CA in the file is trusted.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(cafile=_file(ca_file.expanduser()))
        held = context.cert_store_stats()["x509"]
    except ssl.SSLError:
        held = 0
    except (OSError, ValueError, RuntimeError) as error:
        problem = error.strerror if isinstance(error, OSError) else "no file name"
        raise SettingsError(f"--ca-file: {ca_file} can't be read: {problem}.", next_step=_NEXT_STEP) from error
    if not held:
        raise SettingsError(f"--ca-file: {ca_file} holds no certificates in PEM form.", next_step=_NEXT_STEP)
    return context


def _file(path: Path) -> Path:
    """Not a pipe: OpenSSL would wait for ever for its writer, and it is read more than once."""
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is not a file")
    return path


_NEXT_STEP = "Nothing was sent. Name a file of PEM certificates (-----BEGIN CERTIFICATE-----)."


_NAME_THE_PROXY: Final = (
    "Nothing was sent. Set HTTPS_PROXY to http://HOST:PORT, or name the tenant's host in NO_PROXY to bypass the proxy."
)


def proxy_for(base_url: str, trust: ssl.SSLContext | None) -> httpx.Proxy | None:
    """The proxy for a tenant: HTTPS_PROXY or ALL_PROXY, unless NO_PROXY names the host; none for this machine.

    If the environment names none, macOS's or Windows's own setting counts.

    Args:
        base_url: The tenant's origin.
        trust: Checks an https proxy's certificate.

    Raises:
        SettingsError: This kind of proxy can't be used. The message leaves out its URL, which may hold a password.
    """
    url = httpx.URL(base_url)
    proxies = getproxies()
    given = proxies.get("https") or proxies.get("all")
    place = url.netloc.decode("ascii")
    if not given or is_loopback(url.host) or proxy_bypass(place if url.port else f"{place}:443"):
        return None
    try:
        address = httpx.URL(given if "://" in given else f"http://{given}")
        # Reading the host decodes it, and fails if it is no Unicode name.
        host = address.host
    except (httpx.InvalidURL, UnicodeError) as error:
        raise SettingsError("The proxy of the environment is not a URL.", next_step=_NAME_THE_PROXY) from error
    if address.scheme.startswith("socks"):
        raise SettingsError("The proxy of the environment is a SOCKS proxy: unsupported.", next_step=_NAME_THE_PROXY)
    if address.scheme not in {"http", "https"} or not host:
        raise SettingsError("The proxy of the environment is not an http or https address.", next_step=_NAME_THE_PROXY)
    return httpx.Proxy(address, ssl_context=trust if address.scheme == "https" else None)
