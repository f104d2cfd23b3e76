"""Brings a ledger to this program's version: creates it, upgrades it after a backup, or refuses it.

Alembic is imported only for an upgrade, since the import takes longer than everything else here. A test proves that the
declared tables are those that the migrations make.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from batch.errors import LedgerChangedError, LedgerLostError, LedgerRefusedError
from batch.files import unfinished_file
from batch.ledger import tables as t
from batch.ledger.address import dump_command, ledger_file, place
from batch.ledger.chain import read_chain
from batch.ledger.doubts import adopt
from batch.ledger.engine import can_be_written, close_ledger_to_others, connect, for_reading, reading, writing
from batch.ledger.postgresql import BrokenOffError
from batch.ledger.schema import CREATE_VIEW, HAS_VERSION, VIEW, differences, differences_in_postgresql
from batch.ledger.seals import link_old_runs, seal_old_runs
from batch.ledger.unreadable import refuse_unreadable
from batch.ledger.whereabouts import require_here
from batch.text import count, instant

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy.engine import Connection, Engine

    from batch.ledger.machine_key import LedgerMemory, MachineKey
    from batch.ledger.postgresql import Server

_VERSIONS: Final = tuple(f"{number:04}" for number in range(1, int(t.LEDGER_VERSION) + 1))
"""Every version that a ledger can have, oldest first."""

_FIRST_SEALED: Final = "0008"
_FIRST_LINKED: Final = "0009"
_SEALED_NOW: Final = "Its content is sealed as it is now: earlier changes by somebody else can't be found."

_LINKED_NOW: Final = (
    "Its tenants and their reports are sealed as they are now: earlier changes by somebody else can't be found."
)


def bring_up_to_date(
    url: sa.URL,
    *,
    sandbox: bool,
    now: datetime,
    key: Callable[[], MachineKey],
    memory: LedgerMemory | None = None,
    server: Server | None = None,
    only_read: bool = False,
    backed_up: bool = False,
) -> tuple[str, ...]:
    """Creates or upgrades the ledger if necessary.

    Args:
        url: Where the ledger is.
        sandbox: Whether the tenant is the sandbox. A ledger serves either the sandbox or real tenants, never both.
        now: For a new ledger's date and a backup's name.
        key: Returns this machine's key, which signs what an older version has written.
        memory: What this machine knows of sealed ledgers. It is told that this one is.
        server: What is known of the database server; None for SQLite.
        only_read: Whether it will only be read, so that one that has moved will do.
        backed_up: Whether somebody has backed up its database, which is no file, for an upgrade.

    Returns:
        Sentences for the user that report what was done.

    Raises:
        LedgerRefusedError: The database is newer, is not a ledger, has moved, or belongs to the other kind of tenant.
        LedgerChangedError: Somebody has changed it: its tables, or a sealed ledger into one of an older version.
        BrokenOffError: The connection broke; all of it may be repeated.
    """
    closed, file = close_ledger_to_others(url), ledger_file(url)
    looking = connect(url, only_look=True, server=server)
    try:
        if file is not None and file.is_symlink() and version_of(looking) is None:
            raise LedgerRefusedError(
                f"{file} is a link to {os.path.realpath(file)}, which is not a ledger. No ledger is made "
                "through a link.",
                next_step="Nothing was sent. Remove the link, or name the file itself with --ledger.",
            )
        version = version_of(looking)
        if memory is not None:
            _refuse_older(looking, version, url, memory)
        notices = (*closed, *_bring_up_to_date(version, url, sandbox=sandbox, now=now, key=key, backed_up=backed_up))
        _refuse_other_schema(looking, url)
        refuse_unreadable(looking)
        _refuse_other_kind(looking, url, sandbox=sandbox)
        notices += require_here(looking, memory, key=key, now=now, only_read=only_read)
        if memory is not None:
            memory.keep_sealed(_id(looking), _where(url))
    except BrokenOffError:
        raise
    except LedgerLostError as error:
        raise LedgerRefusedError(error.message, next_step=_UNUSABLE if file else error.next_step) from error
    finally:
        looking.dispose()
    return notices


def for_reading_only(url: sa.URL, *, sandbox: bool) -> sa.URL | None:
    """The URL by which a ledger that can't be written can be read, after the same checks; None if it can be written.

    Args:
        url: Where the ledger is.
        sandbox: See `bring_up_to_date`.

    Raises:
        LedgerRefusedError: It can't be read as it is, and as `bring_up_to_date`.
        LedgerChangedError: Somebody has changed it.
    """
    file = ledger_file(url)
    if file is None or can_be_written(file):
        return None
    readable = for_reading(url, file)
    looking = connect(readable, only_look=True)
    try:
        if (version := version_of(looking)) != t.LEDGER_VERSION:
            raise LedgerRefusedError(
                f"The ledger {file} has version {version}, which this access-batch can't read as it is.",
                next_step="Copy it into a folder of your own, and name that copy with --ledger: it is upgraded there.",
            )
        _refuse_other_schema(looking, url)
        refuse_unreadable(looking)
        _refuse_other_kind(looking, url, sandbox=sandbox)
    except LedgerLostError as error:
        raise LedgerRefusedError(error.message, next_step=_UNUSABLE) from error
    finally:
        looking.dispose()
    return readable


_UNUSABLE: Final = (
    "Nothing was sent. Make it readable and writable, or free disk space. If it is damaged, put its newest backup in "
    "its place: requests sent since then are looked up at the tenant first. A new ledger would not know them."
)


def _bring_up_to_date(
    version: str | None, url: sa.URL, *, sandbox: bool, now: datetime, key: Callable[[], MachineKey], backed_up: bool
) -> tuple[str, ...]:
    if version == t.LEDGER_VERSION:
        return ()
    if version is None:
        made = _create(url, sandbox=sandbox, now=now)
        return (f"A new ledger was created: {place(url)}",) if made else ()
    if version in _VERSIONS:
        backup = _back_up(url, version, now, made=backed_up)
        if not _migrate(url, version, sandbox=sandbox, now=now, key=key):
            return ()
        upgraded = f"The ledger was upgraded from version {version} to {t.LEDGER_VERSION}; backup: {backup}"
        # A sealed ledger is never sealed again: new seals would hide a change.
        sealed = [_SEALED_NOW] if version < _FIRST_SEALED else [_LINKED_NOW] if version < _FIRST_LINKED else []
        return (upgraded, *sealed)
    raise LedgerRefusedError(
        f"The ledger {place(url)} has version {version}; this access-batch knows {_VERSIONS[-1]} at most.",
        next_step="Update access-batch, or choose another ledger with --ledger.",
    )


def _refuse_older(engine: Engine, version: str | None, url: sa.URL, memory: LedgerMemory) -> None:
    """Refuses a sealed ledger that came back as one of an older version: sealing it again would hide any change."""
    if version is None or version >= _FIRST_SEALED or not (known := memory.sealed(_id(engine), _where(url))):
        return
    raise LedgerChangedError(
        f"The ledger {place(url)} was sealed, and is now one of version {version}, without seals. Either somebody has "
        "changed it, or it was put back from a backup made before its upgrade.",
        next_step="Nothing was sent. If you did not put it back yourself, put the newest sound backup in its place. If "
        f"you did, remove {known} and run the same command again: it seals the ledger as it is, and requests "
        "sent since then are looked up at the tenant first.",
    )


def _id(engine: Engine) -> str:
    with reading(engine) as connection:
        return str(connection.execute(sa.select(t.about.c.ledger)).scalar() or "")


def _where(url: sa.URL) -> str:
    """The ledger's place, however its file is named."""
    file = ledger_file(url)
    return os.path.realpath(file) if file else place(url)


def version_of(engine: Engine) -> str | None:
    """The version that the database has; None if it is empty."""
    with reading(engine) as connection:
        names = set(sa.inspect(connection).get_table_names())
        if not names:
            return None
        if "alembic_version" not in names or (t.about.name not in names and len(names) > 1):
            raise LedgerRefusedError(
                f"The database {place(engine.url)} is not a ledger of access-batch.",
                next_step="Choose another file with --ledger.",
            )
        version: str | None = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
        return version


def _create(url: sa.URL, *, sandbox: bool, now: datetime) -> bool:
    """Creates the tables as the migrations would, and gives the ledger its id, in one transaction: never half made.

    Returns:
        False if another process was faster.
    """
    engine = connect(url)
    try:
        with writing(engine) as connection:
            if HAS_VERSION.name in sa.inspect(connection).get_table_names():
                return False
            make_tables(connection)
            _introduce(connection, sandbox=sandbox, now=now)
    finally:
        engine.dispose()
    return True


def make_tables(connection: Connection) -> None:
    """Makes the tables of an empty ledger."""
    t.metadata.create_all(connection, checkfirst=False)
    HAS_VERSION.create(connection, checkfirst=False)
    connection.execute(sa.insert(HAS_VERSION), {"version_num": t.LEDGER_VERSION})
    connection.exec_driver_sql(CREATE_VIEW)


def _migrate(url: sa.URL, version: str, *, sandbox: bool, now: datetime, key: Callable[[], MachineKey]) -> bool:
    """Upgrades in one transaction: a ledger is never half upgraded. What nothing seals yet is sealed.

    Returns:
        False if another process was faster.
    """
    from alembic import command  # noqa: PLC0415 - see the module's docstring
    from alembic.config import Config  # noqa: PLC0415 - likewise

    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    engine = connect(url, key=key, foreign_keys=False)
    try:
        with writing(engine) as connection:
            if connection.execute(sa.select(HAS_VERSION)).scalar() != version:
                return False
            config.attributes["connection"] = connection
            # Tables can't be rebuilt under a view.
            connection.exec_driver_sql(f"DROP VIEW IF EXISTS {VIEW}")
            command.upgrade(config, "head")
            connection.exec_driver_sql(CREATE_VIEW)
            _introduce(connection, sandbox=sandbox, now=now)
            _adopt_doubts(connection)
            if version < _FIRST_SEALED:
                seal_old_runs(connection, now)
            elif version < _FIRST_LINKED:
                link_old_runs(connection, now)
    finally:
        engine.dispose()
    return True


def _adopt_doubts(connection: Connection) -> None:
    """Keeps the fences of doubts, but only of runs that nobody has sealed in this version yet."""
    in_doubt = sa.select(t.run.c.id).join(t.request, t.request.c.run == t.run.c.number).join(t.doubt).distinct()
    for run_id in connection.execute(in_doubt).scalars().all():
        if read_chain(connection, run_id).about is None:
            adopt(connection, run_id)


def migrations_folder() -> Path:
    """The migrations: inside the installed package, or at the top of the source tree."""
    here = Path(__file__).resolve().parent
    installed = here / "migrations"
    return installed if installed.is_dir() else here.parent.parent / "migrations"


def _introduce(connection: Connection, *, sandbox: bool, now: datetime) -> None:
    if connection.execute(sa.select(t.about.c.id)).first() is None:
        born = {"id": 1, "ledger": uuid.uuid4().hex, "sandbox": sandbox, "created_at": instant(now)}
        connection.execute(sa.insert(t.about), born)


def _refuse_other_kind(engine: Engine, url: sa.URL, *, sandbox: bool) -> None:
    with reading(engine) as connection:
        of_sandbox = connection.execute(sa.select(t.about.c.sandbox)).scalar()
    if of_sandbox is None:
        raise LedgerRefusedError(f"The ledger {place(url)} has lost its own id.", next_step=_UNUSABLE)
    if of_sandbox != sandbox:
        kind = "the sandbox's" if of_sandbox else "a real tenant's"
        raise LedgerRefusedError(
            f"The ledger {place(url)} is {kind}.",
            next_step="Sandbox and real tenants never share a ledger: choose another file with --ledger.",
        )


def _refuse_other_schema(engine: Engine, url: sa.URL) -> None:
    """Refuses a database whose schema somebody has changed: a trigger, for example, could change what we write."""
    compare = differences if engine.dialect.name == "sqlite" else differences_in_postgresql
    with reading(engine) as connection:
        changed = compare(lambda statement: [tuple(row) for row in connection.exec_driver_sql(statement)])
    if not changed:
        return
    # Something that was added shows best what happened.
    kind, name, how = min(changed, key=lambda one: one[2])
    more = f", and {count(len(changed) - 1, 'other difference')}" if len(changed) > 1 else ""
    drop = f"If you know why, remove it (DROP {kind.upper()}); then run the same command again. Else put"
    raise LedgerChangedError(
        f"Somebody has {how} the {kind} {name!r} in the ledger {place(url)}{more}.",
        next_step=f"Nothing was sent. {drop if how == 'added' else 'Put'} the newest sound backup in the ledger's "
        "place: requests sent since then are looked up at the tenant first.",
    )


def _back_up(url: sa.URL, version: str, now: datetime, *, made: bool) -> str:
    """Copies an SQLite ledger beside itself; a PostgreSQL ledger must have been backed up."""
    source = ledger_file(url)
    if source is None and made:
        return "the one that you have made"
    if source is None:
        dump = dump_command(url, f"ledger.version-{version}.dump")
        raise LedgerRefusedError(
            f"The ledger {place(url)} has version {version}, and must be upgraded to {t.LEDGER_VERSION}.",
            next_step=f"Nothing was sent or changed. Back it up first: {dump}\nThen upgrade it: access-batch ledger "
            "verify --backed-up",
        )
    target = source.with_name(f"{source.name}.version-{version}.{now:%Y%m%dT%H%M%S%fZ}.backup")
    try:
        _copy(source, target)
    except (OSError, sqlite3.Error) as error:
        raise LedgerRefusedError(
            f"The ledger {source} must be upgraded, and can't be copied to {target} first: {error}.",
            next_step="Nothing was sent or changed. Make room there, or ask somebody with write permission to "
            "upgrade it.",
        ) from error
    return str(target)


def _copy(source: Path, target: Path, *, option: str = "", must_be_sound: bool = False) -> None:
    """Copies an SQLite database to a new private file."""
    with unfinished_file(target, new=True, option=option) as (handle, path):
        # Neither is made where nothing is, in a folder that was swapped for another one.
        with closing(_existing(source)) as old, closing(_existing(path)) as copy:
            old.backup(copy)
            # The copy is one file, without a write-ahead log that could be left behind.
            copy.execute("PRAGMA journal_mode = DELETE")
            (fault,) = copy.execute("PRAGMA quick_check(1)").fetchone()
        if not os.path.samestat(os.fstat(handle), path.stat()):
            raise FileExistsError(errno.EEXIST, "somebody else has replaced the copy")
        if fault != "ok" and must_be_sound:
            raise LedgerRefusedError(
                f"The ledger {source} is damaged ({fault}), and was not copied.",
                next_step="Run `access-batch ledger verify`, and keep the backups that you have.",
            )


def _existing(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)


def back_up(url: sa.URL, target: Path) -> None:
    """Copies an SQLite ledger as it is at one moment, while other processes may write to it. Nothing is upgraded.

    Args:
        url: Where the ledger is.
        target: A private file, which must not exist. It is in its place once it is whole and durable.

    Raises:
        LedgerRefusedError: There is no such ledger, it is damaged, or the file exists or can't be written.
    """
    source = ledger_file(url)
    if source is None:
        raise LedgerRefusedError(
            f"{place(url)} is not a file, so access-batch does not copy it.",
            next_step=f"Run: {dump_command(url, str(target))}\nTo put it back, run pg_restore into an empty database, "
            "name that with --ledger, and run `access-batch ledger verify`: it tells whether it is behind. Requests "
            "sent since the backup are looked up at the tenant first.",
        )
    if not source.is_file():
        raise LedgerRefusedError(f"There is no ledger at {source}.", next_step="Name it with --ledger.")
    if target.exists() or target.is_symlink():
        raise LedgerRefusedError(f"{target} exists already.", next_step="Name a new file: nothing was overwritten.")
    try:
        _copy(source, target, option="the argument FILE", must_be_sound=True)
    except (OSError, sqlite3.Error) as error:
        raise LedgerRefusedError(
            f"The ledger {source} can't be copied to {target}: {error}.",
            next_step="There is no backup. Name a file in a folder that you can write to, on a disk with enough room.",
        ) from error
