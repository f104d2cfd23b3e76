"""A server that counts arrivals as strictly as a tenant, in its own process: `python -m … LEAST MOST JITTER`.

It answers a POST as a tenant does, after a latency of LEAST to MOST seconds, and counts it up to JITTER seconds after
its arrival, like a tenant behind a load balancer. It answers `GET /arrivals` with the times of all arrivals, and
the numbers of POSTs and of refused requests.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from bisect import bisect_right
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import httpx
import numpy as np

from tests.benchmarks.sandbox_process import clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

REQUESTS: Final = 100
SECONDS: Final = 10.0
"""The documented limit (FACTS.md, rate limits)."""

_LENGTH: Final = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_TOKEN: Final = {"access_token": "counted", "token_type": "bearer", "expires_in": 3600}


class CountingServer:
    """Answers on loopback and records all arrivals."""

    def __init__(self, least: float, most: float, jitter: float, *, seed: int = 7) -> None:
        self._latency = (least, most)
        self._jitter = jitter
        self._random = np.random.default_rng(seed)
        self._arrivals: list[float] = []
        self._posts = 0
        self._refused = 0

    async def serve(self) -> None:
        """Print the port, then answer until cancelled."""
        server = await asyncio.start_server(self._converse, "127.0.0.1", 0)
        sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
        sys.stdout.flush()
        await server.serve_forever()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(head)
                if length:
                    await reader.readexactly(int(length[1]))
                status, body = await self._answer(head)
                content = json.dumps(body).encode()
                extra = b"Retry-After: 60\r\n" if status == 429 else b""
                writer.write(
                    b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\n%bContent-Length: %d\r\n\r\n%b"
                    % (status, extra, len(content), content)
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, head: bytes) -> tuple[int, Any]:
        if head.startswith(b"GET /arrivals"):
            return 200, {"arrivals": self._arrivals, "posts": self._posts, "refused": self._refused}
        if b"/oauth/token" in head.split(b"\r\n", 1)[0]:
            return 200, _TOKEN
        if self._jitter:
            await asyncio.sleep(self._random.uniform(0, self._jitter))
        now = asyncio.get_running_loop().time()
        self._arrivals.append(now)
        self._posts += head.startswith(b"POST")
        # Without latency there is no limit: that benchmark measures speed.
        violated = self._latency[1] > 0 and most_in_a_window(self._arrivals[-REQUESTS - 1 :]) > REQUESTS
        if self._latency[1]:
            await asyncio.sleep(self._random.uniform(*self._latency))
        if violated:
            self._refused += 1
            return 429, {}
        return (200, []) if head.startswith(b"GET") else (202, {})


def most_in_a_window(arrivals: list[float]) -> int:
    """Most arrivals within any window of the limit; `arrivals` are ascending times in seconds."""
    return max((bisect_right(arrivals, time) - bisect_right(arrivals, time - SECONDS) for time in arrivals), default=0)


@contextmanager
def counting_server(least: float, most: float, jitter: float) -> Iterator[httpx.Client]:
    """Run a server until the block ends; yields a client for `/arrivals`.

    Args:
        least: Smallest latency in seconds.
        most: Largest latency in seconds; 0 lifts the limit.
        jitter: Most seconds from arrival to counting.
    """
    command = [sys.executable, "-m", __name__, str(least), str(most), str(jitter)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=clean_environment()) as process:
        try:
            assert process.stdout is not None
            with httpx.Client(base_url=f"http://127.0.0.1:{int(process.stdout.readline())}", timeout=60) as client:
                yield client
        finally:
            process.terminate()


if __name__ == "__main__":
    asyncio.run(CountingServer(*map(float, sys.argv[1:])).serve())
