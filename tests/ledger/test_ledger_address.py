"""The address of a ledger: what it means, that it shows no password, that it demands TLS, and why it is refused."""

from __future__ import annotations

import socket
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Thread
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy as sa
import trustme
from alembic import command
from alembic.config import Config

from batch.errors import LedgerRefusedError
from batch.ledger.address import check_connection, ledger_url, place
from batch.ledger.refusals import why_refused
from batch.ledger.tables import LEDGER_VERSION
from batch.ledger.upgrade import migrations_folder
from tests.ledger.ledger_helpers import open_ledger, rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.postgresql import Server


def refusal(location: str) -> str:
    """Why a ledger is refused, and the next step."""
    with pytest.raises(LedgerRefusedError) as caught:
        open_ledger(location)
    return f"{caught.value.message} {caught.value.next_step}"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_usual_scheme_means_the_one_driver(scheme: str) -> None:
    url = ledger_url(f"{scheme}://ada@localhost/ledger")
    assert url.drivername == "postgresql+psycopg"
    assert place(url) == "postgresql://ada@localhost/ledger"


def test_two_schemas_of_one_database_are_two_places() -> None:
    one, two = (place(ledger_url(f"postgresql:///x?options=-csearch_path%3D{name}")) for name in ("one", "two"))
    assert one != two
    assert ledger_url(one) == ledger_url("postgresql:///x?options=-csearch_path%3Done")


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg_async", "psycopg2", "pg8000", "nosuch"])
def test_another_driver_is_refused_with_the_line_to_use(driver: str) -> None:
    said = refusal(f"postgresql+{driver}://ada:hunter2@db.example/ledger?sslmode=require&password=hunter2")
    assert f"does not use the driver {driver}" in said
    assert "--ledger 'postgresql://ada@db.example/ledger?sslmode=require', with the password in" in said
    assert "hunter2" not in said


def test_a_missing_driver_is_refused_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    assert "pip install 'access-batch[postgresql]'" in refusal("postgresql:///ledger")


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://ada:hunter2@localhost/x",
        "postgresql://ada@localhost/x?password=hunter2",
        "postgresql://ada@localhost/x?sslpassword=hunter2&port=5433",
        "postgresql://ada@localhost/x?nosuch=hunter2",
        "postgresql://ada:hunter2%40@localhost/x",
    ],
)
def test_the_place_of_a_ledger_shows_no_password(address: str) -> None:
    assert place(ledger_url(address)).partition("?")[0] == "postgresql://ada@localhost/x"
    assert "hunter2" not in place(ledger_url(address))


def test_a_drivers_words_are_shown_without_the_password(tmp_path: Path) -> None:
    # libpq repeats a value that it does not know.
    said = refusal(f"postgresql://ada@/x?host={tmp_path}&sslnegotiation=hunter2&password=hunter2")
    assert "invalid sslnegotiation value" in said
    assert "hunter2" not in said


HERE = [
    "postgresql:///ledger",
    "postgresql://localhost/ledger",
    "postgresql://127.0.0.1/ledger",
    "postgresql://[::1]/ledger",
    "postgresql:///ledger?host=/run/postgresql",
    "postgresql://db.example/ledger?hostaddr=127.0.0.1",
]


@pytest.mark.parametrize("address", HERE)
def test_on_this_machine_no_tls_is_demanded(address: str) -> None:
    assert "sslmode" not in ledger_url(address).query


ELSEWHERE = [
    "postgresql://db.example/ledger",
    "postgresql://10.0.0.1/ledger",
    "postgresql://localhost/ledger?host=db.example",
    "postgresql://localhost/ledger?hostaddr=10.0.0.1",
    "postgresql:///ledger?host=/run/postgresql&host=db.example",
]


@pytest.mark.parametrize("address", ELSEWHERE)
def test_elsewhere_the_whole_proof_is_demanded_against_the_systems_certificates(address: str, tmp_path: Path) -> None:
    query = ledger_url(address).query
    assert query["sslmode"] == "verify-full"
    assert query["gssencmode"] == "disable"
    # The driver's own idea of the system's certificates is a folder that does not exist.
    assert str(query["sslrootcert"]).endswith((".pem", ".crt"))
    own = tmp_path / "home" / ".postgresql"
    assert not own.exists()


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_a_mode_that_means_tls_is_kept_wherever_it_stands(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ledger_url(f"postgresql://db.example/x?sslmode={mode}").query["sslmode"] == mode
    services = tmp_path / "services.conf"
    services.write_text(f"[team]\nhost=db.example\nsslmode={mode}\nsslrootcert=/own.pem\n")
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    query = ledger_url("postgresql:///x?service=team").query
    assert (query["sslmode"], query["sslrootcert"]) == (mode, "/own.pem")
    monkeypatch.setenv("PGSSLMODE", mode)
    assert ledger_url("postgresql://db.example/x").query["sslmode"] == mode


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer"])
def test_a_mode_that_does_without_tls_is_refused_wherever_it_stands_unless_that_is_wanted(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "--ledger-insecure" in refusal(f"postgresql://db.example/x?sslmode={mode}")
    services = tmp_path / "services.conf"
    services.write_text(f"[team]\nhost=db.example\nsslmode={mode}\n")
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    monkeypatch.setenv("PGSERVICE", "team")
    assert f"sslmode={mode}" in refusal("postgresql:///x")
    assert ledger_url("postgresql:///x", insecure=True).query["sslmode"] == mode
    monkeypatch.delenv("PGSERVICE")
    monkeypatch.setenv("PGHOST", "db.example")
    monkeypatch.setenv("PGSSLMODE", mode)
    assert "--ledger-insecure" in refusal("postgresql:///x")


@pytest.fixture
def with_tls(tmp_path: Path) -> Iterator[int]:
    """The port of a server that speaks TLS, with a certificate for localhost, and then hangs up."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]

        def serve() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listening.accept()
                    with client, suppress(OSError):
                        client.recv(8)
                        client.sendall(b"S")
                        context.wrap_socket(client, server_side=True).close()

        thread = Thread(target=serve)
        thread.start()
        yield port
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize(
    ("address", "is_believed"),
    [
        ("ada@localhost:{port}/x?sslmode=verify-full", False),
        ("ada@localhost:{port}/x?sslmode=verify-full&sslrootcert=system", False),
        ("ada@127.0.0.1:{port}/x?sslmode=verify-full&sslrootcert={ca}", False),
        # Then it ends the connection, in one way or another.
        ("ada@localhost:{port}/x?sslmode=verify-full&sslrootcert={ca}", True),
    ],
    ids=["unknown authority", "unknown to the system", "another name", "known"],
)
def test_a_server_is_believed_only_with_a_certificate_for_its_name_from_an_authority_that_is_trusted(
    with_tls: int, address: str, tmp_path: Path, *, is_believed: bool
) -> None:
    said = refusal(f"postgresql://{address.format(port=with_tls, ca=tmp_path / 'ca.pem')}")
    assert ("can't prove that it is itself" not in said) == is_believed


def connection(
    *, tls: bool = False, host: str = "10.0.0.1", version: int = 180004, encoding: str = "UTF8"
) -> SimpleNamespace:
    """A driver's connection."""
    info = SimpleNamespace(
        pgconn=SimpleNamespace(ssl_in_use=tls),
        hostaddr=host,
        host=host,
        server_version=version,
        dbname="ledger",
        parameter_status={"server_encoding": encoding}.get,
    )
    return SimpleNamespace(info=info)


def test_a_connection_is_used_only_if_it_really_has_tls_or_leads_nowhere() -> None:
    elsewhere, here = ledger_url("postgresql://db.example/x"), ledger_url("postgresql://localhost/x")
    check_connection(connection(tls=True), elsewhere)
    check_connection(connection(host="127.0.0.1"), here)
    check_connection(connection(host="/run/postgresql"), here)
    check_connection(connection(), ledger_url("postgresql://db.example/x", insecure=True))
    # The name of this machine may lead elsewhere.
    for url in (elsewhere, here):
        with pytest.raises(LedgerRefusedError, match="has no TLS"):
            check_connection(connection(), url)


def test_a_server_that_is_too_old_or_cannot_hold_every_text_is_refused() -> None:
    url = ledger_url("postgresql:///ledger")
    with pytest.raises(LedgerRefusedError, match=r"is PostgreSQL 13, which is too old") as old:
        check_connection(connection(tls=True, version=130021), url)
    assert "PostgreSQL 14 or newer" in old.value.next_step
    with pytest.raises(LedgerRefusedError, match="stores texts as LATIN1") as latin:
        check_connection(connection(tls=True, encoding="LATIN1"), url)
    assert "createdb --encoding=UTF8 --template=template0 ledger_utf8" in latin.value.next_step


@pytest.mark.parametrize(
    ("said", "cause", "command"),
    [
        ("failed to resolve host 'db.example': Name or service not known", "name db.example is not found", "PGHOST"),
        ("connection timeout expired", "can't be reached", "pg_isready -h db.example -p 5432"),
        ("connection failed: No route to host", "can't be reached", "pg_isready"),
        ("server does not support SSL, but SSL was required", "offers no TLS", "--ledger-insecure"),
        ("SSL error: certificate verify failed", "can't prove that it is itself", "PGSSLROOTCERT"),
        (
            'server certificate for "x" does not match host name "db.example"',
            "can't prove that it is itself",
            "must name db.example",
        ),
        ('no pg_hba.conf entry for host "10.0.0.7", user "ada"', "does not let ada in", "hostssl ledger ada"),
        ("connection is bad: server is in hot standby mode", "is a replica", "primary server"),
        ("FATAL: sorry, too many clients already", "no connection left", "max_connections"),
        ("FATAL: the database system is in recovery mode", "just starting or ending", "Wait for it"),
        ("server closed the connection unexpectedly", "broke off", "Run the same command again"),
        ("consuming input failed: SSL error: unexpected eof", "broke off", "Run the same command again"),
        ('connection is bad: definition of service "team" not found', "can't be used", "~/.pg_service.conf"),
        ('permission denied for database "ledger"', "may not connect", "GRANT CONNECT ON DATABASE"),
    ],
)
def test_what_a_server_elsewhere_says_is_explained(said: str, cause: str, command: str) -> None:
    found = why_refused(psycopg.OperationalError(said), ledger_url("postgresql://ada@db.example/ledger"))
    assert cause in found[0]
    assert command in found[1]


UniqueViolation, Forbidden = psycopg.errors.UniqueViolation, psycopg.errors.InsufficientPrivilege


@pytest.mark.parametrize(
    ("error", "cause", "command"),
    [
        (psycopg.errors.ReadOnlySqlTransaction("kann CREATE TABLE nicht ausführen"), "takes no changes now", "primary"),
        (psycopg.errors.InvalidSchemaName("no schema has been selected"), "finds no schema", "CREATE SCHEMA team"),
        (Forbidden("permission denied for schema own"), "may not make or use", "CREATE ON SCHEMA own TO"),
        (Forbidden("permission denied for table change"), "may not use", "DELETE ON ALL TABLES IN SCHEMA team TO"),
        (Forbidden("permission denied for sequence a"), "may not use", "SELECT ON ALL SEQUENCES IN SCHEMA team TO"),
        (Forbidden("keine Berechtigung"), "may not make or use", "CREATE ON SCHEMA team TO"),
        (UniqueViolation("duplicate key value\nDETAIL: x"), "does not take what", "`access-batch ledger verify`"),
        (psycopg.errors.UndefinedTable("nosuch\nLINE 1: SELECT"), "is not complete: nosuch.", "the search_path leads"),
        (psycopg.errors.DiskFull("could not extend file"), "can't write", "Free disk space at the server"),
        (psycopg.errors.AdminShutdown("terminating connection"), "broke off", "Run the same command again"),
        (psycopg.errors.LockNotAvailable("due to lock timeout"), "can't be used: due to lock timeout.", "server's log"),
    ],
)
def test_what_a_server_says_with_a_code_is_explained_whatever_its_language(
    error: psycopg.Error, cause: str, command: str
) -> None:
    found = why_refused(error, ledger_url("postgresql://ada@/x?options=-csearch_path%3Dteam"))
    assert cause in found[0]
    assert command in found[1]


@pytest.fixture
def alice(postgresql_server: Server, empty_postgresql: str) -> Any:
    """What to fill in to reach an empty database as a role with a password."""
    database = empty_postgresql.partition("?")[0].rpartition("/")[2]
    with psycopg.connect(postgresql_server.address(), autocommit=True) as admin:
        admin.execute("DO $$ BEGIN CREATE ROLE has_password; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
        admin.execute(f"CREATE ROLE alice_{database} LOGIN PASSWORD 'hunter2' IN ROLE has_password")
        yield {"server": f"127.0.0.1:{postgresql_server.port}", "role": f"alice_{database}", "database": database}
        admin.execute(f"DROP OWNED BY alice_{database}")
        admin.execute(f"DROP ROLE alice_{database}")


@pytest.mark.also_postgresql
@pytest.mark.parametrize(
    ("address", "cause", "command"),
    [
        ("{role}:wrong@{server}/{database}", "refuses the password of {role}", "createuser -h 127.0.0.1"),
        ("{role}@{server}/{database}", "asks for a password", "PGPASSWORD"),
        ("postgres@{server}/nosuch", "no database nosuch", "createdb -h 127.0.0.1"),
        ("nosuch@{server}/{database}", "no role nosuch", "createuser -h 127.0.0.1"),
        ("{role}:hunter2@127.0.0.1:1/x", "Nothing listens at 127.0.0.1, port 1,", "pg_isready -h 127.0.0.1 -p 1"),
        ("{role}:hunter2@/x?host=/nosuch", "Nothing listens at /nosuch", "pg_isready"),
        ("postgres@{server}/{database}?sslmode=require", "offers no TLS", "ssl = on"),
        ("{role}:hunter2@{server}/{database}", "{role} may not make", 'CREATE ON SCHEMA public TO "{role}"'),
        ("{role}:hunter2@{server}/{database}?nosuch=1", "address", "postgresql://alice@"),
        ("{role}:hunter2@127.0.0.1:port/x", "not a database URL", "postgresql://alice@"),
        ("{role}:hunter2@/x?host=/a&port=b", "can't be used", "postgresql://alice@"),
    ],
)
def test_a_refusal_names_its_cause_and_the_command_that_helps(
    alice: dict[str, str], address: str, cause: str, command: str
) -> None:
    said = refusal(f"postgresql://{address.format(**alice)}")
    assert cause.format(**alice) in said
    assert command.format(**alice) in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    "lines",
    [
        ("host=db.example", "host=localhost", "sslmode=disable"),
        ("host=db.example", " port=5433", "sslmode=disable"),
        ("sslmode=disable", " host=db.example"),
    ],
    ids=["two hosts", "an indented line", "an indented host"],
)
def test_a_service_file_is_read_as_the_driver_reads_it(
    lines: Sequence[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two lines for a parameter the first counts; else a far address could count as one of this machine."""
    services = tmp_path / "services.conf"
    all_lines = ("[other]", "host=localhost", "[team]", *lines, "[last]", "host=localhost")
    services.write_text("\n".join(all_lines))
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    assert "do without TLS" in refusal("postgresql:///x?service=team")
    assert ledger_url("postgresql:///x?service=other")


@pytest.mark.parametrize("place_of_password", ["environment", "file", "service"])
def test_a_password_may_stand_where_libpq_looks_for_it(
    alice: dict[str, str], place_of_password: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, _, port = alice["server"].partition(":")
    address = "postgresql://{role}@{server}/{database}".format(**alice)
    if place_of_password == "environment":
        monkeypatch.setenv("PGPASSWORD", "hunter2")
    elif place_of_password == "file":
        file = tmp_path / "pgpass"
        file.write_text(f"{host}:{port}:*:{alice['role']}:hunter2\n")
        file.chmod(0o600)
        monkeypatch.setenv("PGPASSFILE", str(file))
    else:
        file = tmp_path / "services.conf"
        where = "[team]\nhost={}\nport={}\nuser={role}\ndbname={database}\npassword=hunter2\n"
        file.write_text(where.format(host, port, **alice))
        monkeypatch.setenv("PGSERVICEFILE", str(file))
        address = "postgresql:///?service=team"
    assert "may not make" in refusal(address)


def open_at_once(url: str) -> list[str]:
    """What four processes are told that open a ledger at the same moment."""

    def open_one(_number: int) -> tuple[str, ...]:
        with open_ledger(url, backed_up=True) as ledger:
            return ledger.notices

    with ThreadPoolExecutor(4) as threads:
        return [notice for notices in threads.map(open_one, range(4)) for notice in notices]


@pytest.mark.also_postgresql
def test_of_those_that_open_an_empty_database_at_once_one_makes_the_ledger(empty_postgresql: str) -> None:
    for _ in range(3):
        (notice,) = open_at_once(empty_postgresql)
        assert notice.startswith("A new ledger was created: postgresql://postgres@/")
        assert rows(empty_postgresql, "SELECT count(*) FROM about") == [(1,)]
        rows(empty_postgresql, "DROP SCHEMA public CASCADE")
        rows(empty_postgresql, "CREATE SCHEMA public")


def test_of_those_that_open_an_old_ledger_at_once_one_upgrades_it(postgresql: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    config.set_main_option("path_separator", "os")
    engine = sa.create_engine(postgresql)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA public")
        command.upgrade(config, "0009")
    engine.dispose()
    (notice,) = open_at_once(postgresql)
    assert notice.startswith(f"The ledger was upgraded from version 0009 to {LEDGER_VERSION}")
    assert open_at_once(postgresql) == []


@pytest.mark.parametrize(
    "location",
    [
        "host=db user=carol password=S3cretX dbname=t",
        "postgresql:/carol:S3cretX@db/t",
        "postgresql//carol:S3cretX@db/t",
    ],
)
def test_what_looks_like_an_address_is_no_file_and_is_not_shown(location: str) -> None:
    with pytest.raises(LedgerRefusedError) as refused:
        ledger_url(location)
    assert "S3cretX" not in f"{refused.value.message} {refused.value.next_step}"
