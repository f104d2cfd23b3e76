"""Decides which tenant and whose credentials: the strongest source wins, and no secret goes to another's tenant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from batch.errors import SettingsError
from batch.tenant.address import origin

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import SecretStr


class Choice(NamedTuple):
    """What was chosen, and everything that was looked at before it, in sentences' halves."""

    chosen: Candidate | None
    passed_over: tuple[str, ...]


def choose_tenant(offers: Iterable[TenantOffer]) -> FoundTenant | None:
    """The tenant of the first offer that names one; the rest is not drawn from the iterable.

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
    """The first candidate that lacks nothing; the rest is not drawn from the iterable."""
    passed_over: list[str] = []
    for candidate in candidates:
        if not candidate.lacks:
            return Choice(candidate, tuple(passed_over))
        passed_over.append(f"{candidate.source}: {candidate.lacks}")
    return Choice(None, tuple(passed_over))


def unfit(tenant: FoundTenant, wanted: str, *, base_url: str, client_id: str) -> str:
    """Why what is stored for one tenant and client may not be used for another; empty where it may.

    Args:
        tenant: The tenant to talk to.
        wanted: The client asked for; empty for any.
        base_url: The tenant that the stored secret belongs to.
        client_id: Its client; empty where it is not known yet.
    """
    if not belongs(base_url, tenant):
        return "is for another tenant"
    if wanted and client_id and client_id != wanted:
        return "is for another client"
    return ""


def belongs(base_url: str, tenant: FoundTenant) -> bool:
    """Whether an address is the tenant's; one that is no address is nobody's."""
    try:
        return origin(base_url) == tenant.origin
    except SettingsError:
        return False


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
