"""The simulated tenant as a process: `python -m tests.soak.tenant SEED`. It prints how to reach it, as JSON.

It lifts its rate limit, so that a test sees in its audit log how many calls came, instead of how many it let through.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from batch.api.dialects import Rate
from batch.sandbox.faults import Fault
from batch.sandbox.server import RunningSandbox, serve_forever
from batch.sandbox.settings import SandboxSettings
from tests.benchmarks.sandbox_process import SandboxProcess, clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

LOSSES: Final = (
    Fault.DROP_BEFORE,
    Fault.DROP_AFTER,
    Fault.HANG_AFTER,
    Fault.ERROR_500_AFTER,
    Fault.ERROR_504_BEFORE,
    Fault.ERROR_504_AFTER,
    Fault.UNAVAILABLE_503,
    Fault.UNREADABLE_202,
)
"""Faults that leave a request in doubt, or do not; none that stops a run."""

TOKEN_LIFE: Final = 90
"""Seconds: the requests of a machine that has died are settled once its token has expired."""


def settings(seed: int) -> SandboxSettings:
    """A tenant that loses answers."""
    return SandboxSettings(
        rate=Rate(requests=10**9, seconds=1),
        latency=(0.005, 0.1),
        expires_in=TOKEN_LIFE,
        tracking_response=bool(seed % 2),
        fault_probability=0.02,
        fault_kinds=LOSSES,
        seed=seed,
    )


@contextlib.contextmanager
def tenant_process(seed: int, group: int) -> Iterator[SandboxProcess]:
    """Run the tenant in a process group until the block ends."""
    command = [sys.executable, "-m", __name__, str(seed)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=clean_environment(), process_group=group
    ) as process:
        try:
            assert process.stdout is not None
            told = json.loads(process.stdout.readline())
            yield SandboxProcess(settings=told["settings"], operator_token=told["operator_token"])
        finally:
            process.kill()


def _announce(sandbox: RunningSandbox) -> None:
    variables = {
        "SAIL_BASE_URL": sandbox.base_url,
        "SAIL_CLIENT_ID": sandbox.client_id,
        "SAIL_CLIENT_SECRET": sandbox.client_secret,
    }
    sys.stdout.write(f"{json.dumps({'settings': variables, 'operator_token': sandbox.operator_token})}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    # It counts for all others, and must not come late for it.
    with contextlib.suppress(OSError):
        os.nice(-10)
    serve_forever(settings(int(sys.argv[1])), 0, _announce)
