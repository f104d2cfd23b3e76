"""Whether the tenant's token can submit at all: asked before the first send."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from batch.claims import token_needed, why_unfit
from batch.errors import UnfitTokenError

if TYPE_CHECKING:
    from collections.abc import Callable

    from batch.claims import Claims
    from batch.dialects import Dialect


class Claimant(Protocol):
    """Who has a token: a tenant over HTTP, or a fake."""

    async def claims(self) -> Claims:
        """What the token says of us."""


async def check_fitness(tenant: Claimant, dialect: Dialect, say: Callable[[str], object]) -> None:
    """Goes on silently with a token that can submit, and with a notice where a token does not tell.

    Raises:
        UnfitTokenError: Nobody can submit with it; nothing was sent.
        CredentialsRefusedError: The tenant refuses the client.
        TenantLostError: No token can be had.
    """
    claims = await tenant.claims()
    if unfit := why_unfit(claims):
        raise UnfitTokenError(unfit, next_step=f"Nothing was sent. {token_needed(dialect)}")
    if not claims.readable:
        say("The tenant's token can't be looked into, so whether its user may submit shows with the first request.")
