"""A webhook: somebody else's address that takes one JSON object when a run ends, stops or begins a wave."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

import httpx

from batch.errors import SettingsError
from batch.tenant.address import is_loopback
from batch.tenant.trust import proxy_for, trusted
from batch.tenant.wire import USER_AGENT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

EVENT: Final = "Access-Batch-Event"
"""The header that says why it is told."""


class Webhook:
    """Tells one address, without delaying what it is told about.

    Args:
        url: Its address, which is a secret as a whole: whoever knows it can post there. Empty for none.
        ca_file: See `trusted`.
        seconds: Most that one exchange takes, and most that the end of a command waits for all of them.

    Raises:
        SettingsError: The address is not one of https, or of http on this machine.
    """

    def __init__(self, url: str, *, ca_file: Path | None = None, seconds: float = 5.0) -> None:
        self._url = url
        self._host = _host_of(url) if url else ""
        self._ca_file = ca_file
        self._seconds = seconds
        self._threads: list[threading.Thread] = []
        self._troubles: list[str] = []

    def tell(self, event: str, document: Mapping[str, object]) -> None:
        """Post an object, and return at once.

        Args:
            event: Why: `end`, `stop` or `wave`.
            document: What `--json` prints.
        """
        if self._url:
            thread = threading.Thread(target=self._post, args=(event, document), name="webhook", daemon=True)
            thread.start()
            self._threads.append(thread)

    def close(self) -> Iterator[str]:
        """Wait for what is on its way, for a few seconds at most; the sentences say what has not arrived."""
        until = time.monotonic() + self._seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
            if thread.is_alive():
                self._troubles.append("it has not answered in time")
        for trouble in dict.fromkeys(self._troubles):
            yield f"The webhook at {self._host} may not know of this run: {trouble}. The run itself is not affected."

    def _post(self, event: str, document: Mapping[str, object]) -> None:
        try:
            trust = trusted(self._ca_file) if self._url.startswith("https") else None
            http = httpx.Client(
                timeout=self._seconds,
                verify=trust or True,
                proxy=proxy_for(self._url, trust),
                trust_env=False,
                headers={"User-Agent": USER_AGENT, EVENT: event},
            )
            # Its answer is not read: it may be without end.
            with http, http.stream("POST", self._url, json=document) as answer:
                if not answer.is_success:
                    self._troubles.append(f"it answered {answer.status_code}")
        except Exception as error:  # noqa: BLE001 - nothing that happens here may end a run
            # Its text may have the address, which is a secret.
            self._troubles.append(f"it can't be reached ({type(error).__name__})")


def _host_of(url: str) -> str:
    try:
        address = httpx.URL(url)
        host = address.host
    except (httpx.InvalidURL, UnicodeError):
        host = ""
    if not host or not (address.scheme == "https" or (address.scheme == "http" and is_loopback(host))):
        raise SettingsError(
            "The setting webhook is not an https address.",
            next_step="Nothing was sent. Correct it in the config file or in ACCESS_BATCH_WEBHOOK.",
        )
    return host
