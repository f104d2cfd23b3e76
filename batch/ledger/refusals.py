"""Why PostgreSQL can't be used, and what helps.

Facts: PostgreSQL 18's documentation of error codes, and the words of libpq and the server.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from batch.ledger.address import URL_HELP, known, place, without_secrets

if TYPE_CHECKING:
    import sqlalchemy as sa


def why_refused(error: BaseException, url: sa.URL) -> tuple[str, str]:
    """Why PostgreSQL can't be used, and the next step.

    The driver knows no code of an error before there is a connection, so its words must do.

    Args:
        error: The driver's error.
        url: Of the ledger.
    """
    said = without_secrets(" ".join(str(getattr(error, "orig", error)).split()), url)
    # The driver adds our own statement.
    said = re.sub(r" LINE \d+: .*", "", said)
    state = str(getattr(getattr(error, "orig", error), "sqlstate", None) or "")
    found = next((one for one in _REFUSALS if one.is_met(state, said)), _UNKNOWN)
    there = known(url)
    words = {
        "place": place(url),
        "host": there.get("hostaddr") or there.get("host") or "localhost",
        "port": str(url.port or there.get("port") or 5432),
        "user": _named("role|user", said) or url.username or there.get("user") or "USER",
        "database": _named("database", said) or url.database or there.get("dbname") or "DATABASE",
        "schema": _first(r"for schema ([^ ,;]+)", said) or _first(_SEARCH_PATH, there.get("options", "")) or "public",
        "said": said.rstrip("."),
    }
    return found.cause.format(**words), found.then.format(**words)


_SEARCH_PATH: Final = r"search_path=\"?([^\",\s]+)"


def _named(kind: str, said: str) -> str:
    return _first(rf'(?:{kind}) "([^"]+)"', said)


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found[1] if found else ""


class _Refusal(NamedTuple):
    """One kind of refusal.

    Attributes:
        words: Of libpq and the server; they count if there is no code.
        codes: Of the server, or their beginnings, with blanks between them.
        cause: Why PostgreSQL can't be used.
        then: What helps.
        only_with: Words that must be there besides the code.
    """

    words: str
    codes: str
    cause: str
    then: str
    only_with: str = ""

    def is_met(self, state: str, said: str) -> bool:
        if not state:
            return re.search(self.words, said, re.IGNORECASE) is not None
        return state.startswith(tuple(self.codes.split())) and re.search(self.only_with, said) is not None


_GIVE_IT: Final = "Put it in the variable PGPASSWORD, in ~/.pgpass or in a service file, never in the config file."
_REACH: Final = (
    "Start the server, or correct the address. This tells whether it answers: pg_isready -h {host} -p {port}"
)
_SCHEMA_RIGHTS: Final = (
    'GRANT USAGE, CREATE ON SCHEMA {schema} TO "{user}"; GRANT TEMPORARY ON DATABASE "{database}" TO "{user}"'
)
_ALL: Final = 'ON ALL {} IN SCHEMA {{schema}} TO "{{user}}"'
_TABLE_RIGHTS: Final = (
    f"GRANT SELECT, INSERT, UPDATE, DELETE {_ALL.format('TABLES')}; GRANT USAGE, SELECT {_ALL.format('SEQUENCES')}"
)
_ON_A_TABLE: Final = "permission denied for (table|relation|view|sequence)"
_REFUSALS: Final = (
    _Refusal(
        "password authentication failed",
        "28P01",
        "{place} refuses the password of {user}, or knows no such role.",
        f"{_GIVE_IT} If there is no such role: createuser -h {{host}} -p {{port}} --pwprompt {{user}}",
    ),
    _Refusal("no password supplied", "", "{place} asks for a password, and there is none.", _GIVE_IT),
    _Refusal(
        'database "[^"]*" does not exist',
        "3D000",
        "There is no database {database} at {place}.",
        "Make it: createdb -h {host} -p {port} --encoding=UTF8 --template=template0 {database}",
    ),
    _Refusal(
        'role "[^"]*" does not exist',
        "",
        "There is no role {user} at {place}.",
        "Make it: createuser -h {host} -p {port} --pwprompt {user}",
    ),
    _Refusal(
        "not permitted to log in|no pg_hba.conf entry|pg_hba.conf rejects",
        "28000",
        "{place} does not let {user} in from here: {said}.",
        "Ask its administrator for a line in pg_hba.conf such as: hostssl {database} {user} ADDRESS scram-sha-256",
    ),
    _Refusal(
        "permission denied for database",
        "",
        "{user} may not connect to the database {database}.",
        'Let its owner run: GRANT CONNECT ON DATABASE "{database}" TO "{user}"',
    ),
    _Refusal(
        "failed to resolve host|could not translate host name",
        "",
        "The name {host} is not found, so {place} can't be reached.",
        "Correct it in --ledger, PGHOST or the service file.",
    ),
    _Refusal(
        "definition of service|service file",
        "",
        "The address {place} can't be used: {said}.",
        "Correct the service's name in --ledger or PGSERVICE, or write it into the service file, ~/.pg_service.conf.",
    ),
    _Refusal(
        "connection refused|no such file or directory.*socket|socket.*no such file",
        "",
        "Nothing listens at {host}, port {port}, so {place} can't be reached.",
        _REACH,
    ),
    _Refusal("timeout|timed out|unreachable|no route to host", "", "{place} can't be reached: {said}.", _REACH),
    _Refusal(
        "does not support SSL|SSL is not enabled",
        "",
        "{place} offers no TLS: {said}.",
        "Turn TLS on at the server (ssl = on). If the way to it is safe without, add --ledger-insecure.",
    ),
    _Refusal(
        "certificate|SSL error(?!: unexpected eof)",
        "",
        "{place} can't prove that it is itself: {said}.",
        "Set PGSSLROOTCERT to a file with the certificates of its authority. Its own certificate must name {host}.",
    ),
    _Refusal(
        "starting up|shutting down|in recovery mode|not yet accepting",
        "57P03",
        "{place} is just starting or ending.",
        "Wait for it.",
    ),
    _Refusal(
        "hot standby|read-only|session is not|in recovery",
        "25006",
        "{place} is a replica, or takes no changes now.",
        "Name the primary server with --ledger.",
    ),
    _Refusal(
        _ON_A_TABLE,
        "42501",
        "{user} may not use the ledger's tables in the database {database}: {said}.",
        f"Use the role that has made them, as all machines of a team do, or let that one run: {_TABLE_RIGHTS}",
        only_with=_ON_A_TABLE,
    ),
    _Refusal(
        "no schema has been selected",
        "3F000",
        "In the database {database}, {user} finds no schema for the ledger's tables: {said}.",
        "If there is none, let the database's owner run: CREATE SCHEMA {schema} AUTHORIZATION "
        f'"{{user}}"; otherwise: {_SCHEMA_RIGHTS}',
    ),
    _Refusal(
        "permission denied",
        "42501",
        "{user} may not make or use the ledger's tables in the database {database}: {said}.",
        f"Let its owner run: {_SCHEMA_RIGHTS}",
    ),
    _Refusal(
        "too many (connections|clients)|remaining connection slots",
        "53300",
        "{place} has no connection left: {said}.",
        "Wait, or raise max_connections at the server.",
    ),
    _Refusal(
        "no space left|disk full",
        "53100 58030",
        "{place} can't write: {said}.",
        "Free disk space at the server, then run the same command again.",
    ),
    _Refusal(
        "invalid connection option|sslmode value|invalid port",
        "",
        "The address {place} can't be used: {said}.",
        URL_HELP,
    ),
    _Refusal(
        "server closed the connection|connection reset|broken pipe|unexpected eof|terminating connection|"
        "lost synchronization|no connection to the server|connection is (closed|lost)",
        "08 25P03 25P04 57P01 57P02 57P05",
        "The connection to {place} broke off: {said}.",
        "Run the same command again. If it breaks off each time, the server's log says why.",
    ),
    _Refusal(
        "(relation|column|function) .*does not exist",
        "42P01 42703 42883",
        "The ledger at {place} is not complete: {said}.",
        "Somebody has changed it, or the search_path leads to other tables. `access-batch help ledger` says what to do "
        "if it was damaged.",
    ),
    _Refusal(
        "violates .*constraint",
        "23",
        "The ledger at {place} does not take what this command writes: {said}.",
        "`access-batch ledger verify` may show whether somebody has changed it.",
    ),
)
"""The first that is met counts."""

_UNKNOWN: Final = _Refusal(
    "",
    "",
    "The ledger {place} can't be used: {said}.",
    "The server's log may say more. Repair it or the access to it, then run the same command again.",
)
