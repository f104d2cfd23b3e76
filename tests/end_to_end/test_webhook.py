"""A webhook is told how a run ends, and never delays or fails it."""

from __future__ import annotations

import json
import re
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from subprocess import Popen
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import pytest

from batch.cli.topics import text_of
from batch.tenant.webhook import Webhook
from tests.end_to_end.program import Program, accepted, environment, grant, once, pair_of, write_rows
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from batch.sandbox.server import RunningSandbox

ROWS = [grant(person, person) for person in range(3)]
SECRET_PATH = "/hooks/7c1f0"


class Told(NamedTuple):
    event: str
    path: str
    document: Any


class Receiver(NamedTuple):
    url: str
    told: list[Told]


@contextmanager
def receiver(status: int = 204, *, holds_back: threading.Event | None = None) -> Iterator[Receiver]:
    told: list[Told] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told.append(Told(self.headers.get("Access-Batch-Event", ""), self.path, json.loads(body)))
            if holds_back is not None:
                holds_back.wait()
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Receiver(f"http://127.0.0.1:{server.server_port}{SECRET_PATH}", told)
    finally:
        if holds_back is not None:
            holds_back.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "a.csv", ROWS)


def test_the_end_of_a_run_is_told_as_its_json(path: Path, program: Program, tenant: RunningSandbox) -> None:
    with receiver() as hook:
        env = {**environment(tenant), "ACCESS_BATCH_WEBHOOK": hook.url}
        ended = program("submit", path, "--yes", "--json", env=env)
        tracked = program("track", "--track-for", "0", "--json", env=env)
    assert ended.code == 0, ended.err
    assert [(one.event, one.path) for one in hook.told] == [("end", SECRET_PATH)] * 2
    assert [one.document for one in hook.told] == [ended.json, tracked.json]
    text = json.dumps(hook.told) + ended.err + ended.out
    assert tenant.client_secret not in text
    assert SECRET_PATH not in ended.err + ended.out
    assert accepted(tenant) == once(map(pair_of, ROWS))


def test_a_wave_is_told_before_it_begins_and_a_stop_with_its_reason(
    path: Path, program: Program, tenant: RunningSandbox
) -> None:
    with receiver() as hook:
        env = {**environment(tenant), "ACCESS_BATCH_WEBHOOK": hook.url}
        ended = program("submit", path, "--yes", "--json", "--wave", "2/day", env=env)
    assert ended.code == 4
    assert [one.event for one in hook.told] == ["wave", "stop"]
    wave, stop = (one.document for one in hook.told)
    assert (wave["run"], wave["changes"]["accepted"], wave["waves"]["sent"]) == (ended.json["run"], 0, 0)
    assert stop == ended.json
    assert stop["changes"]["accepted"] == 2
    assert "waits until" in stop["error"]["message"]
    assert stop["error"]["exit_code"] == 4


def test_an_error_before_anything_was_sent_is_told_too(path: Path, program: Program, tenant: RunningSandbox) -> None:
    with receiver() as hook:
        wrong = {**environment(tenant), "SAIL_CLIENT_SECRET": "wrong", "ACCESS_BATCH_WEBHOOK": hook.url}
        ended = program("submit", path, "--yes", "--json", env=wrong)
    assert ended.code == 4
    assert [(one.event, one.document) for one in hook.told] == [("stop", ended.json)]
    assert "wrong" not in json.dumps(hook.told)


def test_an_address_that_answers_badly_or_not_changes_nothing(
    path: Path, program: Program, tenant: RunningSandbox
) -> None:
    with receiver(status=500) as hook:
        ended = program("submit", path, "--yes", env={**environment(tenant), "ACCESS_BATCH_WEBHOOK": hook.url})
    assert ended.code == 0
    assert "The webhook at 127.0.0.1 may not know of this run: it answered 500." in ended.err
    # Nobody listens there now.
    again = program("submit", path, "--yes", env={**environment(tenant), "ACCESS_BATCH_WEBHOOK": hook.url})
    assert again.code == 0
    assert "it can't be reached (ConnectError)" in again.err
    assert SECRET_PATH not in ended.err + again.err
    assert accepted(tenant) == once(map(pair_of, ROWS))


def test_an_address_that_never_answers_is_not_waited_for() -> None:
    with receiver(holds_back=threading.Event()) as hook:
        webhook = Webhook(hook.url, seconds=0.2)
        webhook.tell("end", {"run": "1"})
        wait_until(lambda: bool(hook.told))
        assert [*webhook.close()] != []


@pytest.mark.parametrize(
    "url", ["http://hooks.example.com/x", "ftp://127.0.0.1/x", "https://", "hooks", "https://x:port/"]
)
def test_an_address_that_others_can_read_is_refused(
    url: str, path: Path, program: Program, tenant: RunningSandbox
) -> None:
    ended = program("submit", path, "--yes", env={**environment(tenant), "ACCESS_BATCH_WEBHOOK": url})
    assert ended.code == 2
    assert url not in ended.err
    assert accepted(tenant) == {}


def test_there_is_no_flag_for_it_and_a_profile_may_have_one(
    tmp_path: Path, path: Path, program: Program, tenant: RunningSandbox
) -> None:
    assert program("submit", path, "--webhook", "https://hooks.example.com", env=environment(tenant)).code == 2
    folder = tmp_path / "config" / "access-batch"
    folder.mkdir(parents=True)
    with receiver() as hook:
        (folder / "config.toml").write_text(f'[profile.team]\nwebhook = "{hook.url}"\n')
        ended = program("submit", path, "--yes", "--profile", "team", env=environment(tenant))
    assert ended.code == 0, ended.err
    assert [one.event for one in hook.told] == ["end"]


def test_the_relay_of_the_help_turns_it_into_a_message(
    tmp_path: Path, path: Path, program: Program, tenant: RunningSandbox
) -> None:
    (source,) = re.findall(r"```python\n(.*?)```", text_of("webhook"), flags=re.DOTALL)
    (tmp_path / "relay.py").write_text(source)
    with receiver() as slack:
        with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as free:
            relay_port = free.server_port
        with Popen([sys.executable, str(tmp_path / "relay.py"), str(relay_port), slack.url]) as relay:
            try:
                url = f"http://127.0.0.1:{relay_port}"
                wait_until(lambda: _answers(url))
                env = {**environment(tenant), "ACCESS_BATCH_WEBHOOK": url}
                ended = program("submit", path, "--yes", "--json", "--wave", "2/day", env=env)
                wait_until(lambda: len(slack.told) == 2)
            finally:
                relay.kill()
    run = ended.json["run"]
    texts = [one.document["text"] for one in slack.told]
    assert texts[0].startswith(f"access-batch wave: run {run} at ")
    assert texts[1].startswith(f"access-batch stop: run {run} at ")
    assert texts[1].endswith(ended.json["error"]["message"])


def _answers(url: str) -> bool:
    try:
        httpx.get(url)
    except httpx.HTTPError:
        return False
    return True
