"""The key of this machine is kept in a file that no link leads elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from batch.credentials.machine_key import machine_key
from batch.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_link_that_leads_to_nothing_in_place_of_the_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "machine.key"
    path.symlink_to(tmp_path / "missing")
    with pytest.raises(SettingsError, match="is a link that leads to nothing"):
        machine_key(path)
