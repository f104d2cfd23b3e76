"""What a soak has started ends with it, however that ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.waiting import LIMIT

_STARTER = """
import signal, subprocess, sys
from tests.soak.server import kept_together, new_server
with kept_together() as (folder, group):
    server = new_server(folder, group, {"fsync": "off"})
    subprocess.Popen(["sleep", "1000"], process_group=group).send_signal(signal.SIGSTOP)
    print(folder, server.address(), flush=True)
    sys.stdin.read()
"""


@pytest.mark.usefixtures("postgresql_server")
def test_a_server_and_a_stopped_process_end_with_their_starter_even_if_it_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", _STARTER], stdin=-1, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        folder, _, address = starter.stdout.readline().strip().partition(" ")
        psycopg.connect(address).close()
        starter.send_signal(signal.SIGKILL)
        # Whoever has its output open may still write: it ends once all have ended.
        assert not starter.communicate(timeout=LIMIT)[0]
    assert not Path(folder).exists()
