"""A keyring in memory."""

from __future__ import annotations

import keyring
import pytest

from tests.credentials.memory_keyring import MemoryKeyring


@pytest.fixture
def memory() -> MemoryKeyring:
    """The system keyring of this test."""
    backend = MemoryKeyring()
    keyring.set_keyring(backend)
    return backend
