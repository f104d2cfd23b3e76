"""The questions about a tenant's settings: few, remembered, and never in the way."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from batch.api.tenant_settings import AccessRequestConfig, Requester, Subscription, TenantSettings, Unshown
from batch.api.token_claims import TokenClaims
from batch.commands.tenant_settings import CONFIG, SettingsQuestion
from batch.errors import CredentialsRefusedError, TenantLostError
from batch.ledger.cache import Cached
from batch.model import Clock
from batch.tenant.reading import ForbiddenError, RefusedError
from tests.builders import NOW

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PRE = "idn:access-request-pre-approval"
ADA = TokenClaims(readable=True, user_id="a1", user_name="ada", authorities=("ORG_ADMIN",))
NAMELESS = TokenClaims(readable=True, user_id="a1", authorities=("ORG_ADMIN",))
GATE = Subscription(trigger=PRE, name="Gate", filtered=True)
ANYBODY = AccessRequestConfig(for_anyone=True)
Answer = TypeVar("Answer")


class FakeSettings:
    """A tenant that shows its settings, or fails to.

    Attributes:
        asked: What it was asked for so far.
    """

    def __init__(
        self,
        config: AccessRequestConfig | Exception = ANYBODY,
        subscriptions: tuple[Subscription, ...] | Exception = (GATE,),
        name: str | Exception = "Ada Lovelace",
    ) -> None:
        self.asked: list[str] = []
        self._config = config
        self._subscriptions = subscriptions
        self._name = name

    async def config(self) -> AccessRequestConfig:
        self.asked.append("config")
        return given(self._config)

    async def subscriptions(self) -> tuple[Subscription, ...]:
        self.asked.append("subscriptions")
        return given(self._subscriptions)

    async def name_of(self, identity: str) -> str:
        self.asked.append(identity)
        return given(self._name)


def given(answer: Answer | Exception) -> Answer:
    if isinstance(answer, Exception):
        raise answer
    return answer


class FakeCache:
    """Keeps answers in memory."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str, str], Cached] = {}

    def get(self, tenant: str, kind: str, keys: Iterable[str], *, since: datetime) -> dict[str, Cached]:
        found = {key: self.kept.get((tenant, kind, key)) for key in keys}
        return {key: cached for key, cached in found.items() if cached and cached.at >= since}

    def put(self, tenant: str, kind: str, values: Mapping[str, Any], *, at: datetime) -> None:
        self.kept |= {(tenant, kind, key): Cached(value=value, at=at) for key, value in values.items()}


def ask(
    tenant: FakeSettings,
    claims: TokenClaims = ADA,
    *,
    cache: FakeCache | None = None,
    since: datetime = NOW - timedelta(minutes=5),
) -> TenantSettings:
    question = SettingsQuestion(
        tenant,
        memory=cache or FakeCache(),
        tenant="https://acme.example",
        dialect="beta",
        since=since,
        clock=Clock(now=lambda: NOW, monotonic=lambda: 0.0),
    )
    return asyncio.run(question.ask(claims))


def test_a_tenant_says_what_it_is_asked() -> None:
    tenant = FakeSettings()
    assert ask(tenant) == TenantSettings(
        requester=Requester(id="a1", name="ada", levels=("ORG_ADMIN",)), config=ANYBODY, subscriptions=(GATE,)
    )
    assert tenant.asked == ["config", "subscriptions"]


def test_it_is_asked_for_the_name_of_a_requester_whom_the_token_does_not_name() -> None:
    tenant = FakeSettings()
    assert ask(tenant, NAMELESS).requester.name == "Ada Lovelace"
    assert tenant.asked == ["a1", "config", "subscriptions"]


@pytest.mark.parametrize("name", [ForbiddenError("No."), "", TenantLostError("Gone.")])
def test_a_requester_whom_nobody_names_is_known_by_the_id(name: str | Exception) -> None:
    assert ask(FakeSettings(name=name), NAMELESS).requester == Requester(id="a1", levels=("ORG_ADMIN",))


def test_a_token_without_a_user_asks_for_no_name() -> None:
    tenant = FakeSettings()
    assert ask(tenant, TokenClaims()).requester == Requester()
    assert tenant.asked == ["config", "subscriptions"]


def test_recent_answers_are_not_asked_for_again() -> None:
    cache = FakeCache()
    first = ask(FakeSettings(), NAMELESS, cache=cache)
    again, late = FakeSettings(), FakeSettings()
    assert ask(again, NAMELESS, cache=cache) == first
    assert again.asked == []
    ask(late, NAMELESS, cache=cache, since=NOW + timedelta(seconds=1))
    assert len(late.asked) == 3


def test_a_refusal_is_not_remembered() -> None:
    cache = FakeCache()
    assert ask(FakeSettings(config=ForbiddenError("No.")), cache=cache).config == Unshown(why="No.", forbidden=True)
    assert ask(FakeSettings(), cache=cache).config == ANYBODY


def test_an_answer_that_another_version_of_the_program_kept_is_read_as_far_as_it_goes() -> None:
    cache = FakeCache()
    cache.put("https://acme.example", CONFIG, {"beta": {"for_anyone": False, "later": 1}}, at=NOW)
    assert ask(FakeSettings(), cache=cache).config == AccessRequestConfig(for_anyone=False)


@pytest.mark.parametrize(
    ("error", "unshown"),
    [
        (ForbiddenError("No."), Unshown(why="No.", forbidden=True)),
        (RefusedError("No such path."), Unshown(why="No such path.")),
        (TenantLostError("Gone."), Unshown(why="gone")),
    ],
)
def test_one_part_that_is_not_shown_leaves_the_others(error: Exception, unshown: Unshown) -> None:
    no_config = ask(FakeSettings(config=error))
    assert (no_config.config, no_config.subscriptions) == (unshown, (GATE,))
    no_triggers = ask(FakeSettings(subscriptions=error))
    assert (no_triggers.config, no_triggers.subscriptions) == (ANYBODY, unshown)


def test_a_client_that_the_tenant_refuses_ends_the_command() -> None:
    with pytest.raises(CredentialsRefusedError):
        ask(FakeSettings(config=CredentialsRefusedError("No.")))
