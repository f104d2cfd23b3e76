"""Signs texts with SSH keys and verifies such signatures, by OpenSSH's own program: hardware keys and agents work too.

Sources: ssh-keygen(1) and OpenSSH's PROTOCOL.sshsig.
"""

from __future__ import annotations

import base64
import binascii
import struct
import subprocess
from typing import TYPE_CHECKING, Final

from batch.errors import PlanRefusedError, SettingsError
from batch.files import private_copies, read_small
from batch.text import on_one_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

NAMESPACE: Final = "access-batch-plan"
"""What the signatures are for: a line of the allowed-signers file may be limited to it."""

_PROGRAM: Final = "ssh-keygen"
_BEGIN: Final = "-----BEGIN SSH SIGNATURE-----"
_FINISH: Final = "-----END SSH SIGNATURE-----"
_WIDTH: Final = 70
_MOST_TEXT: Final = 300
_PATIENCE: Final = 60
"""Seconds for verifying. Signing may wait for a person who touches a key."""


def sign(text: bytes, key: Path) -> str:
    """Sign a text.

    Args:
        text: What to sign.
        key: A private key; or a public key, if an agent has the private one.

    Returns:
        The signature in base64, without its frame.

    Raises:
        SettingsError: The key can't sign, or OpenSSH is missing.
    """
    if not key.is_file():
        raise SettingsError(
            f"There is no key {key}.", next_step="Nothing was signed. Name your SSH key: --signing-key PATH"
        )
    signed = _run(["-Y", "sign", "-f", str(key), "-n", NAMESPACE], text, patience=None)
    lines = signed.stdout.decode(errors="replace").split()
    frame = (_BEGIN.split(), _FINISH.split())
    if signed.returncode or lines[:3] != frame[0] or lines[-3:] != frame[1]:
        raise SettingsError(
            f"The key {key} can't sign: {_why(signed)}.",
            next_step="Nothing was signed. Check the key, its passphrase, or the agent that holds it.",
        )
    return "".join(lines[3:-3])


def signers_of(text: bytes, signature: str, allowed: Path, at: datetime) -> frozenset[str]:
    """The principals whose key has signed a text.

    Args:
        text: What was signed.
        signature: From `sign`.
        allowed: The allowed-signers file.
        at: When the key must have been valid.

    Returns:
        The principal, as the file writes it; of a key with several lines, that of the first. Several of a
        certificate. None without a valid signature by an allowed key.

    Raises:
        SettingsError: The file can't be used, or OpenSSH is missing.
        PlanRefusedError: The signature is not in its only form.
    """
    then = "Nothing was sent. Correct allowed_signers in the config file."
    read = read_small(allowed.expanduser(), next_step=then)
    if read is None:
        raise SettingsError(f"There is no file {allowed} of allowed signers.", next_step=then)
    if read.status.st_mode & 0o002:
        raise SettingsError(f"Everybody can write to {allowed}, and decide whose key is whose.", next_step=then)
    moment = f"verify-time={at:%Y%m%d%H%M%S}Z"
    # Verified is what was read, even if somebody replaces the file meanwhile.
    with private_copies({"allowed_signers": read.text, "signature": _framed(signature)}) as folder:
        copy, framed = folder / "allowed_signers", folder / "signature"
        found = _run(["-Y", "find-principals", "-s", str(framed), "-f", str(copy), "-O", moment], b"")
        principals = found.stdout.decode(errors="replace").splitlines() if found.returncode == 0 else []
        options = ["-Y", "verify", "-f", str(copy), "-n", NAMESPACE, "-s", str(framed), "-O", moment]
        return frozenset(
            on_one_line(one, most=_MOST_TEXT)
            for one in principals
            if _run([*options, "-I", _example(one)], text).returncode == 0
        )


def key_of_signature(signature: str) -> str:
    """Which key has made a signature, as a text that is the same for a key and for certificates of it.

    Source: OpenSSH's PROTOCOL.sshsig and PROTOCOL.certkeys.

    Raises:
        PlanRefusedError: It is not a signature.
    """
    try:
        data = base64.b64decode(signature, validate=True)
        (public, _) = _string(data[len(_MAGIC) + 4 :])
        kind, rest = _string(public)
        bare = kind.removesuffix(_CERTIFICATE)
        if bare != kind:
            # A nonce comes first.
            _, rest = _string(rest)
        parts = [bare.removesuffix(b"@openssh.com")]
        for _ in range(_KEY_FIELDS[parts[0]]):
            part, rest = _string(rest)
            parts.append(part)
    except (binascii.Error, ValueError, KeyError, struct.error):
        raise PlanRefusedError(
            "A signature of the plan is not by a kind of key that access-batch knows.",
            next_step="Nothing was sent. Sign the plan with an ed25519, ECDSA or RSA key, or a hardware key of these.",
        ) from None
    return b" ".join(base64.b64encode(part) for part in parts).decode()


def _string(data: bytes) -> tuple[bytes, bytes]:
    """The first of some strings with their lengths, and the rest."""
    (length,) = struct.unpack_from(">I", data)
    if length > len(data) - 4:
        raise ValueError("it is cut off")
    return data[4 : 4 + length], data[4 + length :]


_MAGIC: Final = b"SSHSIG"
_CERTIFICATE: Final = b"-cert-v01@openssh.com"
_KEY_FIELDS: Final = {
    b"ssh-ed25519": 1,
    b"ssh-rsa": 2,
    b"ecdsa-sha2-nistp256": 2,
    b"ecdsa-sha2-nistp384": 2,
    b"ecdsa-sha2-nistp521": 2,
    b"sk-ssh-ed25519": 2,
    b"sk-ecdsa-sha2-nistp256": 3,
}
"""Kinds of keys, as in a certificate or alone, and how many strings make the key."""


def _example(principal: str) -> str:
    """A name that matches what the file writes for a principal, which may be a list of patterns."""
    return principal.split(",", maxsplit=1)[0].replace("*", "x").replace("?", "x")


def _framed(signature: str) -> str:
    try:
        is_canonical = base64.b64encode(base64.b64decode(signature, validate=True)).decode() == signature
    except (binascii.Error, ValueError):
        is_canonical = False
    if not is_canonical:
        raise PlanRefusedError("A signature of the plan was changed.", next_step="Nothing was sent. Sign it again.")
    lines = [signature[start : start + _WIDTH] for start in range(0, len(signature), _WIDTH)]
    return "\n".join([_BEGIN, *lines, _FINISH, ""])


def _run(
    arguments: Sequence[str], text: bytes, patience: float | None = _PATIENCE
) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run([_PROGRAM, *arguments], input=text, capture_output=True, check=False, timeout=patience)
    except FileNotFoundError:
        raise SettingsError(
            "Signatures of plans need OpenSSH, and there is no ssh-keygen here.",
            next_step="Nothing was sent. Install OpenSSH 8.9 or newer, then run the same command again.",
        ) from None
    except subprocess.TimeoutExpired:
        raise SettingsError(
            f"ssh-keygen has not answered within {_PATIENCE} s.", next_step="Nothing was sent. Try it again."
        ) from None


def _why(finished: subprocess.CompletedProcess[bytes]) -> str:
    said = on_one_line(finished.stderr.decode(errors="replace"), most=_MOST_TEXT).strip().rstrip(".")
    return said or f"ssh-keygen ends with {finished.returncode} and gives no reason"
