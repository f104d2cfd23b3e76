"""Every test has folders of its own for data and configuration, and an environment without a tenant."""

from __future__ import annotations

import contextlib
import gc
import importlib
import itertools
import os
import pkgutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

import coverage
import hypothesis
import keyring
import pytest
import sqlalchemy as sa
from keyring.core import load_env

import batch
from tests.credentials.memory_keyring import MemoryKeyring
from tests.end_to_end.program import Program

if TYPE_CHECKING:
    from collections.abc import Generator, Hashable, Iterator

_TESTS: Final = Path(__file__).parent

pytest_plugins = ["tests.postgresql"]

# How fast the machine is proves nothing: no example fails because it took long, or because the first ones, which fill
# hypothesis' and polars' caches, were generated slowly.
# Every run draws new examples, so that a fifth of the usual number finds as much in five runs.
hypothesis.settings.register_profile(
    "any speed", deadline=None, max_examples=20, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any speed")


def pytest_configure(config: pytest.Config) -> None:
    """Signals end a program here, whatever started the tests: `nohup`, or a shell in the background, ignores some."""
    config.addinivalue_line("markers", "unmeasured: computes much, by branches that other tests reach too")
    for name in ("SIGHUP", "SIGQUIT", "SIGINT"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL)


_MEASURE: Final = pytest.StashKey[coverage.Coverage]()

# Python writes no bytecode in many containers: each worker, and each program that a test starts, compiled all modules.
sys.dont_write_bytecode = False


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Collecting takes no longer than it must.

    Python's search for garbage passes over the imported modules and the tests: they stay until the end. It took a third
    of the time to collect the tests, and a tenth of the time to run them.

    Coverage is measured while our modules are imported, by one process, and then in single tests only: it doubles the
    time of all else.
    """
    worker = getattr(session.config, "workerinput", None)
    if (measure := coverage.Coverage.current()) is not None:
        if worker is None:
            for module in pkgutil.walk_packages(batch.__path__, "batch."):
                if not module.name.endswith("__main__"):
                    importlib.import_module(module.name)
        # The environment of a worker starts another one, whose measurements nobody reads.
        while (running := coverage.Coverage.current()) is not None:
            running.stop()
        session.config.stash[_MEASURE] = measure
    gc.disable()
    try:
        if worker is not None and len(session.config.args) == 1 and Path(session.config.args[0]).samefile(_TESTS):
            _import_tests(int(worker["workerid"].removeprefix("gw")), worker["workercount"])
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def _import_tests(number: int, workers: int) -> None:
    """Imports all tests, where pytest would import them next.

    Pytest rewrites the assertions of each, which takes most of the time. Workers that begin with different ones find
    the others rewritten.
    """
    files = sorted(_TESTS.rglob("test_*.py"))
    names = [".".join(path.relative_to(_TESTS.parent).with_suffix("").parts) for path in files]
    first = len(names) * number // workers
    for name in names[first:] + names[:first]:
        # What can't be imported is reported by pytest, when it tries.
        with contextlib.suppress(Exception):
            importlib.import_module(name)


NOT_PURE = frozenset(
    {"cli", "commands", "end_to_end", "exactly_once", "ledger", "loops", "sandbox", "simulation", "tenant"}
)
"""Folders of tests that need files, a network or more than one module."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of tests that wait lie between files of tests that compute, so that all cores are busy to the end.

    Those that kill processes take longest: they go first, so that no worker is left alone with them.
    """
    items.sort(key=lambda item: ("exactly_once" not in item.path.parts, crc32(item.path.name.encode())))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Coverage is measured in the tests of the pure modules, and without random examples, which would make it vary."""
    measure = item.config.stash.get(_MEASURE, None)
    is_random = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
    is_unmeasured = is_random or item.get_closest_marker("unmeasured") is not None
    if measure is None or is_unmeasured or not NOT_PURE.isdisjoint(item.path.parts):
        return (yield)
    measure.start()
    try:
        return (yield)
    finally:
        measure.stop()


class CompiledStatements(dict[Any, object]):
    """SQLAlchemy's cache of compiled statements, shared by all ledgers of one kind of database.

    Each ledger that is opened has an engine of its own, whose cache is empty. A command opens one, the tests thousands:
    compiling the same statements anew took a fifth of their time.
    """

    def get(self, key: tuple[Any, ...], default: object = None) -> object:
        """What was compiled for the same kind of database."""
        return super().get(_for_the_kind(key), default)

    def __setitem__(self, key: tuple[Any, ...], compiled: object) -> None:
        super().__setitem__(_for_the_kind(key), compiled)


def _for_the_kind(key: tuple[Any, ...]) -> tuple[Hashable, ...]:
    dialect, *statement = key
    return (type(dialect), dialect.server_version_info, *statement)


_compiled = CompiledStatements()


@sa.event.listens_for(sa.Engine, "engine_connect")
def _share_compiled(connection: sa.Connection) -> None:
    connection.execution_options(compiled_cache=_compiled)


@pytest.fixture(scope="session")
def own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for each test. Pytest would search through all others for a free name, which takes longer."""
    parent = tmp_path_factory.mktemp("own")
    return (parent / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def own_environment(tmp_path: Path, own_folders: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the user's reaches a test, and nothing of a test the user's."""
    for name in list(os.environ):
        if name.startswith(("SAIL_", "ACCESS_BATCH_", "SSL_CERT_", "PG")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("COLUMNS", "120")
    # Where credentials would be found: the home folder, the keyring (of this process and of those it starts), and
    # config.json in the current folder.
    own = next(own_folders)
    home, here = own / "home", own / "here"
    home.mkdir(parents=True)
    here.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    none = load_env()
    assert none is not None
    keyring.set_keyring(none)
    monkeypatch.chdir(here)


@pytest.fixture
def no_umask() -> Iterator[None]:
    """Nothing is private unless its maker says so."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def memory() -> MemoryKeyring:
    """A keyring in memory, as the system's."""
    backend = MemoryKeyring()
    keyring.set_keyring(backend)
    return backend


@pytest.fixture
def program(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Program:
    """The command line, within this process."""
    return Program(capsys, monkeypatch)
