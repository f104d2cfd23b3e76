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
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

NAMESPACE: Final = "access-batch-plan"
"""What the signatures are for: a line of the allowed-signers file may be limited to it."""

IN_CONFIG: Final = "Nothing was sent. Correct allowed_signers in the config file."

_PROGRAM: Final = "ssh-keygen"
_BEGIN: Final = "-----BEGIN SSH SIGNATURE-----"
_FINISH: Final = "-----END SSH SIGNATURE-----"
_WIDTH: Final = 70
_MOST_TEXT: Final = 300
_MOST_PRINCIPALS: Final = 1 << 16
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


def signers_of(text: bytes, signature: str, allowed: Path, at: datetime, *, then: str = IN_CONFIG) -> frozenset[str]:
    """The principals whose key has signed a text: all that the file gives this key, see `may_be_one`.

    Args:
        text: What was signed.
        signature: From `sign`.
        allowed: The allowed-signers file.
        at: When the key must have been valid.
        then: What the user can do if the file can't be used.

    Returns:
        The principals of each line with this key, as the file writes them: names, or lists of patterns. Those of a
        certificate that the file allows. None without a valid signature by an allowed key.

    Raises:
        SettingsError: The file can't be used, or OpenSSH is missing.
        PlanRefusedError: The signature is not in its only form.
    """
    read = read_small(allowed.expanduser(), next_step=then)
    if read is None:
        raise SettingsError(f"There is no file {allowed} of allowed signers.", next_step=then)
    if read.status.st_mode & 0o002:
        raise SettingsError(f"Everybody can write to {allowed}, and decide whose key is whose.", next_step=then)
    moment = f"verify-time={at:%Y%m%d%H%M%S}Z"
    framed = _framed(signature)
    signers = [_signer_by(line, text, framed, moment=moment) for line in _lines_with(signature, read.text)]
    return frozenset(filter(None, signers))


def _lines_with(signature: str, allowed: str) -> list[str]:
    """The lines of an allowed-signers file that may allow the key of a signature: OpenSSH names the first only."""
    try:
        key = base64.b64encode(_public(signature)).decode()
    except (binascii.Error, ValueError, struct.error):
        return []
    lines = [line for line in allowed.split("\n") if not line.lstrip().startswith("#")]
    return [line for line in lines if key in line.split() or _AUTHORITY in line.lower()]


def _signer_by(line: str, text: bytes, framed: str, *, moment: str) -> str:
    """The principals of one line of an allowed-signers file, if its key has signed a text; empty if it has not."""
    # Verified is what was read, even if somebody replaces the file meanwhile.
    with private_copies({"allowed_signers": f"{line}\n", "signature": framed}) as folder:
        files = ["-f", str(folder / "allowed_signers"), "-s", str(folder / "signature"), "-O", moment]
        found = _run(["-Y", "find-principals", *files], b"")
        # It prints each pattern of a list in a line of its own.
        principals = found.stdout.decode(errors="replace").splitlines() if found.returncode == 0 else []
        verify = ["-Y", "verify", *files, "-n", NAMESPACE, "-I"]
        has_signed = any(_run([*verify, name], text).returncode == 0 for name in _examples(principals))
        return on_one_line(",".join(principals), most=_MOST_PRINCIPALS) if has_signed else ""


def in_words(principals: Iterable[str]) -> str:
    """Who has signed, from `signers_of`, for a sentence: a pattern is nobody's name."""
    return ", ".join(
        f"somebody whose key is allowed for '{one}'" if {"*", "?", "!"} & {*one} else one for one in sorted(principals)
    )


def may_be_one(one: str, other: str) -> bool:
    """Whether principals, as an allowed-signers file writes them, may be the same person.

    They may if some name matches both lists of patterns. A name that a list excludes does not match it.
    """
    mine, theirs = _patterns(one), _patterns(other)
    return any(
        _have_a_name(a, b) and not _excludes(theirs, a) and not _excludes(mine, b)
        for a in mine
        for b in theirs
        if not (a.startswith("!") or b.startswith("!"))
    )


def _patterns(principals: str) -> list[str]:
    return [pattern.strip() for pattern in principals.casefold().split(",") if pattern.strip()]


def _excludes(patterns: Sequence[str], name: str) -> bool:
    """Whether a list excludes a name; of a pattern, it may exclude a part only."""
    is_name = not {"*", "?"} & {*name}
    return is_name and any(one.startswith("!") and _have_a_name(one[1:], name) for one in patterns)


def _have_a_name(one: str, other: str) -> bool:
    """Whether some name matches two patterns of OpenSSH, in which `*` is any text and `?` any character."""
    # By how much of both is left, from the end.
    after = [all(c == "*" for c in other[j:]) for j in range(len(other) + 1)]
    for i in reversed(range(len(one))):
        here = [False] * (len(other) + 1)
        here[-1] = after[-1] and one[i] == "*"
        for j in reversed(range(len(other))):
            a, b = one[i], other[j]
            here[j] = (after[j] or here[j + 1]) if "*" in (a, b) else after[j + 1] and (a == b or "?" in (a, b))
        after = here
    return after[0]


def key_of_signature(signature: str) -> str:
    """Which key has made a signature, as a text that is the same for a key and for certificates of it.

    Source: OpenSSH's PROTOCOL.sshsig and PROTOCOL.certkeys.

    Raises:
        PlanRefusedError: It is not a signature.
    """
    try:
        kind, rest = _string(_public(signature))
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


def _public(signature: str) -> bytes:
    """The public key, or the certificate, in a signature."""
    public, _ = _string(base64.b64decode(signature, validate=True)[len(_MAGIC) + 4 :])
    return public


def _string(data: bytes) -> tuple[bytes, bytes]:
    """The first of some strings with their lengths, and the rest."""
    (length,) = struct.unpack_from(">I", data)
    if length > len(data) - 4:
        raise ValueError("it is cut off")
    return data[4 : 4 + length], data[4 + length :]


_MAGIC: Final = b"SSHSIG"
_AUTHORITY: Final = "cert-authority"
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


def _examples(patterns: Iterable[str]) -> list[str]:
    """Names that match patterns, one for each."""
    return [one.replace("*", "x").replace("?", "x") for one in patterns if not one.startswith("!")]


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
