"""Where the ledger is: the address that `--ledger` means, how it is shown without secrets, and how far it is trusted.

Facts: the chapters "Connection Strings", "Environment Variables", "The Connection Service File" and "SSL Support" of
PostgreSQL 18's documentation of libpq. The address counts before the service file, and the service file before the
environment.
"""

from __future__ import annotations

import ipaddress
import itertools
import os
import re
import shlex
import ssl
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, quote_plus, unquote, urlsplit

import certifi
import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from batch.errors import LedgerRefusedError
from batch.files import read_whole
from batch.text import PLAIN_PARTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

URL_HELP: Final = "Give a file path, or a URL such as postgresql://alice@db.example/ledger."
_DRIVER: Final = "postgresql+psycopg"
_OLDEST: Final = 140000
"""PostgreSQL 14, as the server says it: the oldest that its makers still mend."""

_NO_FILE: Final = re.compile(r"^postgres(ql)?[:/+]|\b(host|dbname|user|password|service)\s*=", re.IGNORECASE)
"""What looks like a database's address, and is none."""

_SHOWN: Final = frozenset({"host", "hostaddr", "port", "service", "user", "dbname", "options"})
"""Parts of a URL's query that say where a database is. No other is shown, since it may be secret."""
_WEAK: Final = frozenset({"", "disable", "allow", "prefer"})
"""Values of `sslmode` with which libpq goes on without TLS."""
_STRONG: Final = ("require", "verify-ca", "verify-full")
_BUNDLES: Final = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
"""Where systems keep the certificates that they trust."""
_ENVIRONMENT: Final = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "user": "PGUSER",
    "service": "PGSERVICE",
    "servicefile": "PGSERVICEFILE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "gssencmode": "PGGSSENCMODE",
}


def ledger_url(location: str, *, insecure: bool = False) -> sa.URL:
    """The SQLAlchemy URL that `--ledger` means: a URL as it is, a path as an SQLite file.

    Off this machine, the URL of a PostgreSQL database demands TLS.

    Args:
        location: A path, or a URL.
        insecure: Whether a connection may do without TLS.

    Raises:
        LedgerRefusedError: It is neither, a database in memory, or would be used without TLS.
    """
    if "://" not in location and _NO_FILE.search(location):
        # It may hold a password, so it is not shown.
        raise LedgerRefusedError("--ledger is neither a file nor the URL of a database.", next_step=URL_HELP)
    try:
        url = sa.make_url(location) if "://" in location else sa.URL.create("sqlite", database=location)
        if url.get_backend_name() in {"postgresql", "postgres"}:
            return _of_postgresql(url, insecure=insecure)
    except (ArgumentError, ValueError) as error:
        raise LedgerRefusedError("--ledger is not a database URL.", next_step=URL_HELP) from error
    if url.get_backend_name() != "sqlite":
        raise LedgerRefusedError(
            f"A ledger can't be in a database of the kind {url.drivername!r}.",
            next_step=f"Nothing was sent. {URL_HELP}",
        )
    if not url.database or ":memory:" in url.database:
        raise LedgerRefusedError("A ledger in memory would forget what was sent.", next_step=URL_HELP)
    return url


def ledger_file(url: sa.URL) -> Path | None:
    """The file of an SQLite ledger, given as a path or a URI; None for any other database."""
    if url.get_backend_name() != "sqlite" or not url.database:
        return None
    return Path(unquote(urlsplit(url.database).path) if url.database.startswith("file:") else url.database)


def place(url: sa.URL) -> str:
    """The ledger's place as messages show it: its file, or its URL without what may be secret."""
    return str(ledger_file(url) or _shown(url, _SHOWN))


def dump_command(url: sa.URL, file: str) -> str:
    """The command that backs up a PostgreSQL ledger into a file, without its password."""
    return f"pg_dump --format=custom --file={shlex.quote(file)} {shlex.quote(place(url))}"


def without_secrets(text: str, url: sa.URL) -> str:
    """A driver's words without the passwords of a URL."""
    query = [one for name in url.query if name not in PLAIN_PARTS for one in url.normalized_query[name]]
    for secret in {str(url.password or ""), *query} - {""}:
        for form in (secret, quote(secret), quote_plus(secret)):
            text = text.replace(form, "***")
    return text


def check_connection(raw: Any, url: sa.URL) -> None:
    """Checks a new connection to PostgreSQL before anything is done with it.

    Args:
        raw: The driver's connection.
        url: By which it was made.

    Raises:
        LedgerRefusedError: It has no TLS although it leads off this machine, or the server can't hold a ledger.
    """
    info = raw.info
    asked_for_none = url.query.get("sslmode") in _WEAK and not _is_here(known(url))
    if not (info.pgconn.ssl_in_use or asked_for_none or _is_local(info.hostaddr or info.host)):
        raise _no_tls(f"The connection to {place(url)} has no TLS, so others could read and change what it carries.")
    if info.server_version < _OLDEST:
        raise LedgerRefusedError(
            f"The server of {place(url)} is PostgreSQL {info.server_version // 10000}, which is too old for a ledger.",
            next_step=f"Nothing was sent. Use PostgreSQL {_OLDEST // 10000} or newer.",
        )
    if (encoding := info.parameter_status("server_encoding")) != "UTF8":
        raise LedgerRefusedError(
            f"The database of {place(url)} stores texts as {encoding}, which can't hold every name.",
            next_step=f"Nothing was sent. Make another one and name it with --ledger: "
            f"createdb --encoding=UTF8 --template=template0 {info.dbname}_utf8",
        )


def tls_of(raw: Any) -> str:
    """How a connection to PostgreSQL is protected, in words."""
    if raw.info.pgconn.ssl_in_use:
        return "with TLS"
    return "on this machine" if _is_local(raw.info.hostaddr or raw.info.host) else "WITHOUT TLS"


def _of_postgresql(url: sa.URL, *, insecure: bool) -> sa.URL:
    _, _, driver = url.drivername.partition("+")
    url = url.set(drivername=_DRIVER)
    if driver not in {"", "psycopg"}:
        has_more = url.password or not PLAIN_PARTS.issuperset(url.query)
        and_password = ", with the password in the variable PGPASSWORD or in ~/.pgpass" if has_more else ""
        raise LedgerRefusedError(
            f"access-batch does not use the driver {driver} for PostgreSQL.",
            next_step=f"Nothing was sent. Write: --ledger '{_shown(url, PLAIN_PARTS)}'{and_password}",
        )
    there = known(url)
    mode = there.get("sslmode", "")
    if _is_here(there) and mode not in _STRONG:
        return url
    if insecure:
        return url.update_query_dict({"sslmode": mode or "prefer"})
    if mode and mode not in _STRONG:
        raise _no_tls(f"sslmode={mode} lets the connection to {place(url)} do without TLS.")
    trusted = _trusted(there)
    added = {"sslmode": mode or "verify-full", **({"sslrootcert": trusted} if trusted else {})}
    # Else libpq would take encryption by Kerberos instead, if it can.
    return url.update_query_dict({"gssencmode": "disable", **added})


def _no_tls(what: str) -> LedgerRefusedError:
    return LedgerRefusedError(
        what,
        next_step="Nothing was sent. Turn TLS on at the server, and leave sslmode out or make it verify-full. If the "
        "way to the database is safe without it, add --ledger-insecure.",
    )


def _shown(url: sa.URL, parts: frozenset[str]) -> str:
    kept = {name: value for name, value in url.query.items() if name in parts}
    return url.set(drivername="postgresql", query=kept)._replace(password=None).render_as_string()


def known(url: sa.URL) -> Mapping[str, str]:
    """What libpq will know of the server: from the URL, the service file and the environment."""
    # SQLAlchemy takes a host in the query before the other one.
    given = {name: ",".join(values) for name, values in url.normalized_query.items()}
    if url.host:
        given.setdefault("host", url.host)
    environment = {name: os.environ[variable] for name, variable in _ENVIRONMENT.items() if os.environ.get(variable)}
    service = given.get("service") or environment.get("service", "")
    file = given.get("servicefile") or environment.get("servicefile", "")
    return {**environment, **(_service(service, file) if service else {}), **given}


def _service(name: str, file: str) -> Mapping[str, str]:
    """A section of the service file; empty if there is none: the driver tells so itself."""
    own = Path(file) if file else Path.home() / ".pg_service.conf"
    for path in (own, Path(os.environ.get("PGSYSCONFDIR", "/etc/postgresql-common")) / "pg_service.conf"):
        with suppress(OSError, ValueError):
            if section := _section(read_whole(path)[0].decode(), name):
                return section
    return {}


def _section(text: str, name: str) -> Mapping[str, str]:
    """A section as libpq reads it: the first of several lines for one parameter counts, and none is continued."""
    lines = [line.strip() for line in text.splitlines()]
    if f"[{name}]" not in lines:
        return {}
    inside = itertools.takewhile(lambda line: not line.startswith("["), lines[lines.index(f"[{name}]") + 1 :])
    pairs = [line.partition("=") for line in inside if "=" in line and not line.startswith("#")]
    return {key: value for key, _, value in reversed(pairs)}


def _is_here(known: Mapping[str, str]) -> bool:
    """Whether all the places that a server may be at are on this machine."""
    places = known.get("hostaddr") or known.get("host", "")
    return all(_is_local(one.strip()) for one in places.split(","))


def _is_local(host: str) -> bool:
    """Whether a host is this machine: a Unix socket, which an empty one means too, or loopback."""
    if not host or host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _trusted(known: Mapping[str, str]) -> str:
    """The file of the certificates to trust; empty to leave it to libpq.

    What libpq calls `system` is a folder of its own in the driver's packages with a library in them, which is empty.
    """
    given = known.get("sslrootcert", "")
    asks_for_system = given == "system" or (not given and known.get("sslmode", "verify-full") == "verify-full")
    if not asks_for_system or (not given and (Path.home() / ".postgresql" / "root.crt").exists()):
        return given
    return next(_bundles())


def _bundles() -> Iterator[str]:
    named = ssl.get_default_verify_paths()
    for one in (os.environ.get("SSL_CERT_FILE"), named.cafile, *_BUNDLES):
        if one and Path(one).is_file():
            yield one
    yield certifi.where()
