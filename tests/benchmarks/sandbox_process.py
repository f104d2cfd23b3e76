"""The sandbox in its own process, so that its work is not measured as the client's."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, kw_only=True, slots=True)
class SandboxProcess:
    """A running sandbox; `settings` are the environment variables that point a client at it."""

    settings: Mapping[str, str]
    operator_token: str

    def audit(self) -> dict[str, Any]:
        """Its audit log."""
        headers = {"Authorization": f"Bearer {self.operator_token}"}
        answer = httpx.get(f"{self.settings['SAIL_BASE_URL']}/sandbox/audit", headers=headers, timeout=60)
        audit: dict[str, Any] = answer.raise_for_status().json()
        return audit


def clean_environment() -> dict[str, str]:
    """The environment without the user's own settings of a tenant."""
    return {name: text for name, text in os.environ.items() if not name.startswith(("SAIL_", "ACCESS_BATCH_"))}


@contextlib.contextmanager
def sandbox_process(*options: str) -> Iterator[SandboxProcess]:
    """Run a new sandbox until the block ends; `options` are those of `access-batch sandbox`."""
    command = [sys.executable, "-m", "batch", "sandbox", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=clean_environment()) as process:
        try:
            assert process.stdout is not None
            exports = next(line for line in process.stdout if "export" in line)
            shown = next(line for line in process.stdout if "Bearer" in line)
            yield SandboxProcess(
                settings=dict(re.findall(r"(SAIL_\w+)=(\S+)", exports)),
                operator_token=shown.partition("Bearer ")[2].partition("'")[0],
            )
        finally:
            process.send_signal(signal.SIGINT)
