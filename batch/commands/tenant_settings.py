"""Asks a tenant for what holds for all of its requests, and reuses recent answers: at most four calls a command."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, Final, TypeVar

from batch.api.tenant_settings import AccessRequestConfig, Requester, Subscription, TenantSettings, Unshown
from batch.errors import TenantLostError
from batch.tenant.reading import ForbiddenError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from batch.api.token_claims import TokenClaims
    from batch.loops.ports import AnswerCache
    from batch.model import Clock
    from batch.tenant.tenant_settings import ShownSettings

CONFIG: Final = "access request config"
"""Kind of cached answer: the configuration of access requests."""

SUBSCRIPTIONS: Final = "trigger subscriptions"
"""Kind of cached answer: the subscribers that the tenant waits for."""

NAME: Final = "identity name"
"""Kind of cached answer: the name of an identity."""

_Answer = TypeVar("_Answer")


class SettingsQuestion:
    """The questions of one command about a tenant's settings.

    Args:
        client: Asks the tenant.
        memory: Caches the answers.
        tenant: Its address.
        dialect: Name of the API version, which decides what an answer can say.
        since: Cached answers that are older do not count.
        clock: This machine's clock.
    """

    def __init__(
        self,
        client: ShownSettings,
        *,
        memory: AnswerCache,
        tenant: str,
        dialect: str,
        since: datetime,
        clock: Clock,
    ) -> None:
        self._client = client
        self._memory = memory
        self._tenant = tenant
        self._dialect = dialect
        self._since = since
        self._clock = clock

    async def ask(self, claims: TokenClaims) -> TenantSettings:
        """The settings, with the reason in place of what the tenant does not show.

        Args:
            claims: Of the token.

        Raises:
            StoppedError: The tenant refuses the client, or the ledger is lost.
        """
        requester = await self.requester(claims)
        config = await self._shown(CONFIG, self._dialect, self._client.config, pack=asdict, unpack=_config)
        subscriptions = await self._shown(
            SUBSCRIPTIONS, self._dialect, self._client.subscriptions, pack=_as_list, unpack=_from_list
        )
        return TenantSettings(requester=requester, config=config, subscriptions=subscriptions)

    async def requester(self, claims: TokenClaims) -> Requester:
        """The token's user; the list of identities is asked for a name that the token lacks."""
        name = claims.user_name
        if claims.user_id and not name:
            shown = await self._shown(
                NAME, claims.user_id, lambda: self._client.name_of(claims.user_id), pack=str, unpack=str
            )
            name = shown if isinstance(shown, str) else ""
        return Requester(id=claims.user_id, name=name, levels=claims.authorities)

    async def _shown(
        self,
        kind: str,
        key: str,
        ask: Callable[[], Awaitable[_Answer]],
        *,
        pack: Callable[[_Answer], Any],
        unpack: Callable[[Any], _Answer],
    ) -> _Answer | Unshown:
        """The answer, if need be the tenant's, or why it gives none."""
        if cached := self._memory.get(self._tenant, kind, [key], since=self._since).get(key):
            return unpack(cached.value)
        at = self._clock.now()
        try:
            answer = await ask()
        except ForbiddenError as error:
            return Unshown(why=str(error), forbidden=True)
        except RefusedError as error:
            return Unshown(why=str(error))
        except TenantLostError as error:
            return Unshown(why=error.reason)
        self._memory.put(self._tenant, kind, {key: pack(answer)}, at=at)
        return answer


def _config(kept: dict[str, Any]) -> AccessRequestConfig:
    # Another version of this program may know other fields.
    return AccessRequestConfig(**{field.name: kept.get(field.name) for field in fields(AccessRequestConfig)})


def _as_list(subscriptions: tuple[Subscription, ...]) -> list[list[Any]]:
    return [[one.trigger, one.name, one.filtered] for one in subscriptions]


def _from_list(kept: list[list[Any]]) -> tuple[Subscription, ...]:
    return tuple(Subscription(trigger=trigger, name=name, filtered=filtered) for trigger, name, filtered in kept)
