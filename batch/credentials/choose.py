"""Decides which tenant and which credentials to use: the strongest source wins, and each secret keeps its tenant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from batch.errors import SettingsError
from batch.tenant.address import origin

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import SecretStr


@dataclass(frozen=True, kw_only=True, slots=True)
class TenantOffer:
    """A source that may name a tenant.

    Attributes:
        base_url: As written there; empty if the source names none.
        source: The source, in words.
        ambient: Whether nothing in this command named the source or the tenant.
    """

    base_url: str
    source: str
    ambient: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundTenant:
    """The tenant to use.

    Attributes:
        origin: Scheme, host and port.
        source: Its source, in words.
        ambient: As in the offer.
    """

    origin: str
    source: str
    ambient: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A source that may hold credentials, after a look into it.

    Attributes:
        source: The source, in words.
        problem: Why it has none for us, as the end of a sentence; empty if it has some.
        client_id: The client.
        client_secret: Its secret, hidden in every repr.
        notices: What the user should know if these are used.
    """

    source: str
    problem: str = ""
    client_id: str = ""
    client_secret: SecretStr | None = None
    notices: tuple[str, ...] = ()


class Choice(NamedTuple):
    """The chosen candidate, and the stronger sources that had nothing, each with its problem."""

    chosen: Candidate | None
    skipped: tuple[str, ...]


def choose_tenant(offers: Iterable[TenantOffer]) -> FoundTenant | None:
    """The tenant of the first offer that names one. Draws no further offers from the iterable.

    Raises:
        SettingsError: Its address can't be used.
    """
    for offer in offers:
        if offer.base_url:
            try:
                return FoundTenant(origin=origin(offer.base_url), source=offer.source, ambient=offer.ambient)
            except SettingsError as error:
                raise SettingsError(
                    f"{error.message} It comes from {offer.source}.", next_step=error.next_step
                ) from error
    return None


def choose(candidates: Iterable[Candidate]) -> Choice:
    """The first candidate without a problem. Draws no further candidates from the iterable."""
    skipped: list[str] = []
    for candidate in candidates:
        if not candidate.problem:
            return Choice(candidate, tuple(skipped))
        skipped.append(f"{candidate.source}: {candidate.problem}")
    return Choice(None, tuple(skipped))


def mismatch(tenant: FoundTenant, wanted: str, *, base_url: str, client_id: str) -> str:
    """Why stored credentials may not be used; empty if they may.

    Args:
        tenant: The tenant to use.
        wanted: The client to use; empty for any.
        base_url: The tenant that the stored secret belongs to.
        client_id: The stored client; empty if not known yet.
    """
    if not belongs(base_url, tenant):
        return "is for another tenant"
    if wanted and client_id and client_id != wanted:
        return "is for another client"
    return ""


def belongs(base_url: str, tenant: FoundTenant) -> bool:
    """Whether an address is the tenant's; False if it is no address at all."""
    try:
        return origin(base_url) == tenant.origin
    except SettingsError:
        return False
