"""Inputs from https: one download, and neither signature nor password is stored or shown."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest
import trustme

from tests.end_to_end.program import grant, write_rows
from tests.tenant.tls import certified, written

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.end_to_end.program import Program

ROWS = [grant(1, 1), {**grant(2, 2), "item_id": "=no id"}]


@pytest.fixture
def asked() -> list[str]:
    return []


@pytest.fixture
def server(tmp_path: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Sends rows over https to everybody who asks; notes what for."""
    content = write_rows(tmp_path / "wanted.csv", ROWS).read_bytes()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    authority = trustme.CA()
    monkeypatch.setenv("ACCESS_BATCH_CA_FILE", str(written(authority, tmp_path)))
    with HTTPServer(("127.0.0.1", 0), Handler) as listening:
        listening.socket = certified(authority, "127.0.0.1").wrap_socket(listening.socket, server_side=True)
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        yield f"127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


def files_with(text: bytes, folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and text in path.read_bytes()]


def test_a_url_is_asked_once_and_its_signature_stays_secret(
    program: Program, server: str, asked: list[str], tmp_path: Path
) -> None:
    url = f"https://{server}/wanted.csv?signature=hunter2"
    words = ("--out", tmp_path / "out", "--log-file", tmp_path / "log")
    ended = program("submit", url, "--sandbox", "--yes", *words)
    assert ended.code == 3
    assert asked == ["/wanted.csv?signature=hunter2"]
    shown = program("runs", "--sandbox")
    assert f"https://{server}/wanted.csv" in shown.out
    assert "hunter2" not in ended.out + ended.err + shown.out
    assert len(files_with(b"identity_id", tmp_path / "out")) == 2
    assert files_with(b"hunter2", tmp_path) == []


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_password_in_a_url_is_neither_sent_nor_shown_nor_stored(
    scheme: str, program: Program, server: str, asked: list[str], tmp_path: Path
) -> None:
    ended = program("submit", f"{scheme}://user:hunter2@{server}/wanted.csv", "--sandbox", "--yes")
    assert ended.code == 2
    assert asked == []
    assert "hunter2" not in ended.out + ended.err
    assert files_with(b"hunter2", tmp_path) == []
