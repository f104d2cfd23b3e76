"""`login` and `logout`: store a client's credentials in the system keyring, checked with the tenant, or remove them."""

from __future__ import annotations

import asyncio
import sys
import warnings
from getpass import GetPassWarning, getpass
from typing import TYPE_CHECKING, Final

from batch.answers.events import Waiting
from batch.api.token_claims import token_needed, why_unfit
from batch.credentials.choose import FoundTenant, TenantOffer, choose_tenant
from batch.credentials.find import find_credentials, find_tenant, require_sendable, wanted_client
from batch.credentials.given import one_line
from batch.credentials.logins import MOST_CHARACTERS, Login, entry, forget_login, store_login
from batch.credentials.system_keyring import KeyringUnusableError, SystemKeyring
from batch.credentials.vendor import SDK_SOURCE
from batch.errors import CredentialsRefusedError, SettingsError, TenantLostError, UnfitTokenError, UnreachableError
from batch.settings import Credentials
from batch.tenant.token import Token
from batch.tenant.wire import http_client

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import SecretStr

    from batch.answers.events import RunEvent
    from batch.commands.runtime import Runtime
    from batch.commands.screen import Screen
    from batch.settings import Settings

CHECK_WITHIN: Final = 30.0
"""Seconds to try the tenant: the user sits and waits."""

_NOT_STORED: Final = "Nothing was stored."


def login(
    settings: Settings, screen: Screen, runtime: Runtime, *, check: bool, keyring: SystemKeyring | None = None
) -> Sequence[str]:
    """Stores a client's credentials for one tenant.

    Asks for tenant and client if flags, environment and config file do not name them. Always asks for the secret, or
    reads it from standard input if that is not a terminal.

    Args:
        settings: With a profile, the login belongs to the profile.
        screen: For questions.
        runtime: Clock and randomness.
        check: Whether to try the credentials first, by asking for a token.
        keyring: The system's if None.

    Returns:
        Sentences about what was done.

    Raises:
        SettingsError: There is no usable keyring, or no terminal to ask on. As after all errors, nothing was stored.
        CredentialsRefusedError: The tenant refuses them.
        UnfitTokenError: They can't be used to submit.
        TenantLostError: The tenant gives no token.
        UnreachableError: It can't be reached.
    """
    if sys.stdin is None:
        raise SettingsError("Standard input is closed, so access-batch can't ask anything.", next_step=_NOT_STORED)
    keyring = keyring or SystemKeyring()
    keyring_name = keyring.name()
    profile = settings.sources.profile
    tenant = _tenant_to_log_in_to(settings, screen)
    client_id = wanted_client(settings, tenant) or _ask(screen, "Client id", "--client-id")
    credentials = Credentials(client_id=client_id, client_secret=_ask_secret())
    require_sendable(client_id, credentials.client_secret, "your answers")
    if check:
        asyncio.run(_try_out(tenant.origin, credentials, settings, screen, runtime))
    store_login(keyring, tenant.origin, profile, Login(client_id, credentials.client_secret))
    stored = entry(tenant.origin, profile)
    done = [f"Stored client {client_id} for {tenant.origin} in {stored} ({keyring_name})."]
    return [*done, *_what_outranks(settings, tenant, keyring, stored)]


def logout(settings: Settings, *, keyring: SystemKeyring | None = None) -> Sequence[str]:
    """Forgets what `login` has stored for the tenant (and profile); returns sentences about it.

    Raises:
        SettingsError: The keyring can't be used.
    """
    tenant = find_tenant(settings)
    if tenant is None:
        return ["There is no login to remove."]
    place = entry(tenant.origin, settings.sources.profile)
    try:
        forgotten = forget_login(keyring or SystemKeyring(), tenant.origin, settings.sources.profile)
    except KeyringUnusableError as error:
        raise SettingsError(
            error.message,
            next_step=f"Nothing was removed. Unlock the keyring and try again, or remove this yourself: {place}.",
        ) from None
    if forgotten:
        return [f"Removed the login for {tenant.origin}: {place}."]
    return [f"There was no login for {tenant.origin} to remove: nothing in {place}."]


def _tenant_to_log_in_to(settings: Settings, screen: Screen) -> FoundTenant:
    """The tenant that was named, or else asked for; an ambient one is only proposed."""
    found = find_tenant(settings)
    if found is not None and not found.ambient:
        return found
    # A secret is never typed for a tenant that somebody else's folder proposes.
    proposal = found.origin if found and found.source != SDK_SOURCE else ""
    answer = _ask(screen, "Base URL of the tenant", "--base-url", proposal=proposal)
    asked = choose_tenant([TenantOffer(base_url=answer, source="your answer")])
    if asked is None:
        raise AssertionError("an answer is never empty")
    return asked


def _ask(screen: Screen, question: str, option: str, *, proposal: str = "") -> str:
    if not sys.stdin.isatty():
        raise SettingsError(
            f"There is no terminal to ask for the {question[0].lower()}{question[1:]}.",
            next_step=f"Give it with {option}. {_NOT_STORED}",
        )
    proposed = f" [{proposal}]" if proposal else ""
    screen.console.print(f"{question}{proposed}: ", markup=False, highlight=False, soft_wrap=True, end="")
    answer = sys.stdin.readline().strip() or proposal
    if not answer:
        raise SettingsError("No answer.", next_step=f"Or give it with {option}. {_NOT_STORED}")
    return answer


def _ask_secret() -> SecretStr:
    """The secret, typed unseen, or read as the only line of standard input."""
    if not sys.stdin.isatty():
        return one_line(sys.stdin.read(MOST_CHARACTERS + 1), "Standard input")
    try:
        with warnings.catch_warnings():
            # Without this, Python only warns, and shows what is typed.
            warnings.simplefilter("error", GetPassWarning)
            return one_line(getpass("Client secret (not shown): ", stream=sys.stderr), "Your answer")
    except GetPassWarning:
        raise SettingsError(
            "This terminal can't hide what is typed.", next_step=f"Pipe the secret into standard input. {_NOT_STORED}"
        ) from None
    except EOFError:
        raise SettingsError("No answer.", next_step=_NOT_STORED) from None


async def _try_out(
    base_url: str, credentials: Credentials, settings: Settings, screen: Screen, runtime: Runtime
) -> None:
    def show_wait(event: RunEvent) -> None:
        if isinstance(event, Waiting):
            screen.say(f"Waiting {event.seconds:g} s: {event.reason}.")

    try:
        async with (
            asyncio.timeout(CHECK_WITHIN),
            http_client(base_url, timeout=settings.timeout, concurrency=1, ca_file=settings.ca_file) as http,
        ):
            token = Token(
                http,
                credentials,
                clock=runtime.clock,
                jitter=runtime.jitter,
                give_up_after=CHECK_WITHIN,
                tell=show_wait,
            )
            token_claims = await token.claims()
    except CredentialsRefusedError as error:
        raise CredentialsRefusedError(
            error.message, next_step=f"{_NOT_STORED} Check client id and secret, and that they are for this tenant."
        ) from None
    except UnreachableError as error:
        raise UnreachableError(
            error.message, next_step=error.next_step.replace("Nothing was sent.", _NOT_STORED)
        ) from None
    except (TenantLostError, TimeoutError) as error:
        message = error.message if isinstance(error, TenantLostError) else f"{base_url} does not answer."
        raise TenantLostError(
            message,
            next_step=f"{_NOT_STORED} Check the base URL and the network, or store it unchecked with --no-check.",
        ) from None
    if unfit := why_unfit(token_claims):
        raise UnfitTokenError(unfit, next_step=f"{_NOT_STORED} {token_needed(settings.dialect)}")


def _what_outranks(settings: Settings, tenant: FoundTenant, keyring: SystemKeyring, stored: str) -> Sequence[str]:
    """A warning if another source is stronger than the new login."""
    try:
        source = find_credentials(settings, tenant, keyring).credentials.source
    except SettingsError as error:
        return [f"But it can't be used yet: {error.message}"]
    return [f"But {source} has precedence: it is used as long as it is there."] if source != stored else []
