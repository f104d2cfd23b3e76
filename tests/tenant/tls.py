"""Certificates for test servers, by an authority that no system trusts."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    import trustme


def certified(authority: trustme.CA, *names: str, not_after: datetime | None = None) -> ssl.SSLContext:
    """A server's context with a certificate for `names`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, not_after=not_after).configure_cert(context)
    return context


def written(authority: trustme.CA, folder: Path) -> Path:
    """A file with an authority's own certificate."""
    path = folder / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    return path
