"""A tenant to submit to, and the program."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from batch.api.dialects import Rate
from batch.sandbox.server import RunningSandbox, running_sandbox
from batch.sandbox.settings import SandboxSettings

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def tenant() -> Iterator[RunningSandbox]:
    with running_sandbox(SandboxSettings(rate=Rate(requests=5000, seconds=1), visibility_delay=0.0)) as sandbox:
        yield sandbox
