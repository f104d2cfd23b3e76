"""Whom a connection to a tenant trusts: the operating system's certificates, or those of a file."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import truststore

from batch.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path


def trusted(ca_file: Path | None) -> ssl.SSLContext:
    """What certificates are checked against.

    Args:
        ca_file: PEM certificates to trust INSTEAD of the system's, as with `curl --cacert` and `pip --cert`; None for
            the system's (on Linux those that SSL_CERT_FILE and SSL_CERT_DIR name, as everywhere with OpenSSL).

    Raises:
        SettingsError: The file can't be read, or holds no certificate.
    """
    if ca_file is None:
        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Not create_default_context: it would write the session keys to SSLKEYLOGFILE, and refuse many companies' own CAs.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # As curl does: whoever names an intermediate CA trusts it.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(cafile=ca_file.expanduser())
        held = context.cert_store_stats()["x509"]
    except ssl.SSLError:
        held = 0
    except (OSError, ValueError, RuntimeError) as error:
        said = error.strerror if isinstance(error, OSError) else "no file name"
        raise SettingsError(f"--ca-file: {ca_file} can't be read: {said}.", next_step=_NEXT_STEP) from error
    if not held:
        raise SettingsError(f"--ca-file: {ca_file} holds no certificates in PEM form.", next_step=_NEXT_STEP)
    return context


_NEXT_STEP = "Nothing was sent. Name a file of PEM certificates (-----BEGIN CERTIFICATE-----)."
