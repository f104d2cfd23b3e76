"""This machine's key and memory. The key signs what this machine adds to a ledger, so that no other hand changes it.

A run's events are a chain of hashes, which anybody could compute again. So the last event of each transaction carries a
signature of its hash. The signatures of one key are a chain too: each covers the one before. An event that is taken
away, or a run, leaves a gap in it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

if TYPE_CHECKING:
    from datetime import datetime

KEY: Final = "access_batch_key"
"""The name under which an engine's execution options have this machine's key; or rather a function that returns it,
since only what signs or checks needs it."""

SECRET_LENGTH: Final = 32
"""Bytes of a key's secret."""

_NAME_LENGTH: Final = 16


class MachineKey:
    """An Ed25519 key (RFC 8032).

    Args:
        secret: Random bytes, of SECRET_LENGTH.

    Attributes:
        public: The public key, as hexadecimal text.
    """

    def __init__(self, secret: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(secret)
        self._mac_key = hashlib.sha256(b"answers of the tenant\n" + secret).digest()
        self.public = self._key.public_key().public_bytes_raw().hex()

    def sign(self, message: str) -> str:
        """The signature of a text, in base64."""
        return base64.b64encode(self._key.sign(message.encode())).decode()

    def mac(self, *texts: str) -> str:
        """A code that only this machine can compute of these texts (HMAC, RFC 2104)."""
        content = "\n".join(f"{len(text)} {text}" for text in texts)
        return hmac.new(self._mac_key, content.encode(), hashlib.sha256).hexdigest()


def key_name(public: str) -> str:
    """A public key's short name, for people."""
    return hashlib.sha256(public.encode()).hexdigest()[:_NAME_LENGTH]


def has_signed(public: str, message: str, signature: str) -> bool:
    """Whether a signature of a text was made with the secret of a public key."""
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
        key.verify(base64.b64decode(signature, validate=True), message.encode())
    except (InvalidSignature, ValueError):
        return False
    return True


@dataclass(frozen=True, kw_only=True, slots=True)
class Moves:
    """What this machine knows of a ledger's moves.

    Attributes:
        number: How often it had moved, when this machine saw it last.
        place: Where it was then.
        file: The file that says so; empty if nothing is known.
    """

    number: int = 0
    place: str = ""
    file: str = ""


class LedgerMemory(Protocol):
    """What this machine knows of ledgers, outside of them: `commands.heads.Heads`, or none."""

    def sealed(self, ledger: str, where: str) -> str:
        """The files that say so if the ledger with this id, or the one at this place, was sealed before; else empty."""

    def keep_sealed(self, ledger: str, where: str) -> None:
        """Keeps that the ledger with this id, at this place, is sealed."""

    def moves(self, ledger: str) -> Moves:
        """What is known of the moves of the ledger with this id."""

    def keep_moves(self, ledger: str, number: int, place: str) -> None:
        """Keeps that a ledger has moved so often, and to which place."""

    def clock(self, ledger: str) -> str:
        """What this machine knew last of the clock of the ledger's database; empty if it knew nothing."""

    def keep_clock(self, ledger: str, text: str) -> None:
        """Keeps what this machine knows of the clock of the ledger's database."""

    def keep_delay(self, ledger: str, seconds: float, now: datetime) -> None:
        """Keeps how late the list of one of a ledger's tenants was."""

    def delay(self, ledger: str, now: datetime) -> float:
        """The delay that still counts; see `status.control.delay_now`."""
