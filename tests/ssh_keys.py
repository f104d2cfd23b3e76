"""SSH keys for tests of signed plans."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

requires_ssh = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="OpenSSH is not installed")


def new_key(path: Path) -> Path:
    """A new private key without a passphrase."""
    subprocess.run([shutil.which("ssh-keygen") or "", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


def allow(folder: Path, keys: Mapping[str, Path], *, options: str = "") -> Path:
    """A file of allowed signers, by their principals."""
    path = folder / "allowed_signers"
    lines = [
        " ".join(filter(None, [who, options, *key.with_suffix(".pub").read_text().split()[:2]]))
        for who, key in keys.items()
    ]
    path.write_text("".join(f"{line}\n" for line in lines))
    path.chmod(0o644)
    return path


def certify(key: Path, authority: Path, principal: str) -> Path:
    """A copy of a key with a certificate by an authority, for a principal."""
    copy = key.with_name(f"{key.name}-certified")
    copy.write_bytes(key.read_bytes())
    copy.chmod(0o600)
    copy.with_suffix(".pub").write_bytes(key.with_suffix(".pub").read_bytes())
    program = shutil.which("ssh-keygen") or ""
    subprocess.run(
        [program, "-q", "-s", str(authority), "-I", principal, "-n", principal, str(copy.with_suffix(".pub"))],
        check=True,
    )
    return copy.with_name(f"{copy.name}-cert.pub")
