"""Certificates and proxies are checked before anything else begins."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

import pytest
import trustme

from tests.end_to_end.program import grant, write_rows
from tests.tenant.tls import certified

if TYPE_CHECKING:
    from pathlib import Path

    from tests.end_to_end.program import Program

TENANT = {"SAIL_BASE_URL": "https://acme.example", "SAIL_CLIENT_ID": "c", "SAIL_CLIENT_SECRET": "hunter2-hunter2"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "a.csv", [grant(1, 1)])


@pytest.mark.parametrize("place", ["flag", "environment"])
def test_missing_certificates_end_the_command_before_a_ledger_exists(
    program: Program, path: Path, tmp_path: Path, place: str
) -> None:
    missing = str(tmp_path / "missing.pem")
    flags, env = (["--ca-file", missing], {}) if place == "flag" else ([], {"ACCESS_BATCH_CA_FILE": missing})
    ended = program("submit", path, "--yes", *flags, env={**TENANT, **env})
    assert ended.code == 2
    assert f"--ca-file: {missing} can't be read" in ended.err
    assert not list(tmp_path.rglob("*.db"))


def test_an_unusable_proxy_ends_the_command_before_a_ledger_exists(
    program: Program, path: Path, tmp_path: Path
) -> None:
    ended = program("submit", path, "--yes", env={**TENANT, "ALL_PROXY": "socks5://user:pass-word@proxy.example"})
    assert ended.code == 2
    assert "SOCKS" in ended.err
    assert "pass-word" not in ended.err
    assert not list(tmp_path.rglob("*.db"))


def test_an_untrusted_certificate_stops_the_run_at_once(program: Program, path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=_shake_hands, args=(listener,))
        server.start()
        port = listener.getsockname()[1]
        ended = program("submit", path, "--yes", env={**TENANT, "SAIL_BASE_URL": f"https://127.0.0.1:{port}"})
        server.join()
    assert ended.code == 4
    assert "127.0.0.1 can't be trusted" in ended.err
    assert "--ca-file" in ended.err


def _shake_hands(listener: socket.socket) -> None:
    """Accepts one connection and presents an untrusted certificate."""
    connection, _ = listener.accept()
    with contextlib.suppress(OSError), certified(trustme.CA(), "127.0.0.1").wrap_socket(connection, server_side=True):
        pass
    connection.close()
