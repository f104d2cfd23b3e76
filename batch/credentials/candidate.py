"""What a source offers, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import SecretStr


@dataclass(frozen=True, kw_only=True, slots=True)
class TenantOffer:
    """A source that names a tenant.

    Attributes:
        base_url: As it is written there; empty where the source names none.
        source: Where that is, in words.
        ambient: Whether it merely lies about: nobody named it for this command.
    """

    base_url: str
    source: str
    ambient: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundTenant:
    """The tenant to talk to.

    Attributes:
        origin: Scheme, host and port.
        source: Where it was found, in words.
        ambient: As in the offer.
    """

    origin: str
    source: str
    ambient: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """One place where credentials may be, looked at.

    Attributes:
        source: Where that is, in words.
        lacks: Why there are none for us, as the end of a sentence; empty where there are.
        client_id: Whose they are.
        client_secret: Hidden in every repr.
        notices: What the user should know if these are used.
    """

    source: str
    lacks: str = ""
    client_id: str = ""
    client_secret: SecretStr | None = None
    notices: tuple[str, ...] = ()
