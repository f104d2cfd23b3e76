"""Looks through the sources, strongest first and no further than needed: a source that is not needed is not opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from batch.credentials.choose import Candidate, TenantOffer, belongs, choose, choose_tenant, unfit
from batch.credentials.cli_config import cli_environment, cli_login
from batch.credentials.given import in_the_file, on_the_spot, reveal
from batch.credentials.logins import entry, logins_file, remembered_tenant, stored_login
from batch.credentials.sdk_config import SDK_SOURCE, sdk_config
from batch.credentials.system_keyring import WITHOUT_KEYRING, KeyringUnusableError, SystemKeyring
from batch.errors import SettingsError
from batch.settings import Credentials

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydantic import SecretStr

    from batch.credentials.choose import FoundTenant
    from batch.credentials.given import Layer, SecretSource
    from batch.credentials.logins import Login
    from batch.settings import Settings

_CLI: Final = "the vendor's CLI (~/.sailpoint/config.yaml)"
_NOT_STORED: Final = "nothing is stored"


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundCredentials:
    """Credentials for one tenant.

    Attributes:
        credentials: With their source, in words.
        notices: What the user should know of them.
    """

    credentials: Credentials
    notices: tuple[str, ...] = ()


def find_tenant(settings: Settings) -> FoundTenant | None:
    """The tenant, without looking at any secret; None where no source names one.

    Raises:
        SettingsError: A source can't be read, or names an address that can't be used.
    """
    return choose_tenant(_tenant_offers(settings))


def require_tenant(settings: Settings) -> FoundTenant:
    """The tenant.

    Raises:
        SettingsError: No source names one, and as `find_tenant`.
    """
    tenant = find_tenant(settings)
    if tenant is None:
        places = [
            "--base-url and SAIL_BASE_URL",
            f"the config file {settings.sources.config_file}",
            _CLI,
            "earlier logins (`access-batch login`)",
            SDK_SOURCE,
        ]
        raise SettingsError(
            f"No tenant is given: none is named by {', '.join(places)}.",
            next_step="`access-batch login` asks for it; or set SAIL_BASE_URL, or try it with --sandbox.",
        )
    return tenant


def find_credentials(settings: Settings, tenant: FoundTenant, keyring: SystemKeyring | None = None) -> FoundCredentials:
    """The credentials of the strongest source that has some for the tenant.

    Args:
        settings: What the user gave.
        tenant: From `require_tenant`.
        keyring: The system's if None.

    Raises:
        SettingsError: There are none (it says where they were looked for), a source can't be read, or a secret would go
            to a tenant that it was not given for.
    """
    keyring = keyring or SystemKeyring()
    choice = choose(_candidates(settings, tenant, keyring))
    chosen = choice.chosen
    if chosen is None or chosen.client_secret is None:
        looked = "".join(f"\n  {line}" for line in choice.passed_over)
        login = f"Run `access-batch login --base-url {tenant.origin}`: it asks for an ORG_ADMIN user's access token."
        raise SettingsError(
            f"There are no credentials for {tenant.origin}. Looked at:{looked}",
            next_step=f"{WITHOUT_KEYRING if keyring.trouble else login} Or try it with --sandbox.",
        )
    require_sendable(chosen.client_id, chosen.client_secret, chosen.source)
    credentials = Credentials(client_id=chosen.client_id, client_secret=chosen.client_secret, source=chosen.source)
    trouble = (keyring.trouble,) if keyring.trouble else ()
    return FoundCredentials(credentials=credentials, notices=(*trouble, *chosen.notices))


def require_sendable(client_id: str, client_secret: SecretStr, source: str) -> None:
    """Refuses what no client id or secret looks like, before it is sent or shown.

    Raises:
        SettingsError: One of them holds other characters than those that can be typed in ASCII.
    """
    for value in (client_id, client_secret.get_secret_value()):
        if not (value.isascii() and value.isprintable()):
            raise SettingsError(
                f"The client id or the secret from {source} holds characters that none has.",
                next_step="Nothing was sent. Correct it there.",
            )


def wanted_client(settings: Settings, tenant: FoundTenant) -> str:
    """The client that flags, environment or config file ask for at a tenant; empty for whichever is found."""
    if client_id := on_the_spot(settings).client_id:
        return client_id
    fitting = (layer.client_id for layer, home in _homes(in_the_file(settings)) if not home or belongs(home, tenant))
    return next((client_id for client_id in fitting if client_id), "")


def check_profile(settings: Settings) -> None:
    """Refuses a profile that nobody knows.

    Raises:
        SettingsError: Neither our config file nor a login nor the vendor's CLI has it.
    """
    sources = settings.sources
    name = sources.profile
    if name and sources.table is None and not remembered_tenant(name) and cli_environment(name) is None:
        raise SettingsError(
            f"There is no profile {name!r} in {sources.config_file}, {logins_file()} or {_CLI}.",
            next_step=f"Add a table [profile.{name}] to the config file, or run `access-batch login --profile {name}`.",
        )


def _homes(layers: Sequence[Layer]) -> Iterator[tuple[Layer, str]]:
    """The config file's layers, each with the tenant that its secret belongs to; empty where it names none.

    What a profile does not say itself is said by the top level that it is laid over, but never the other way.
    """
    for depth, layer in enumerate(layers):
        yield layer, next((lower.base_url for lower in layers[depth:] if lower.base_url), "")


def _tenant_offers(settings: Settings) -> Iterator[TenantOffer]:
    """Who names a tenant. A profile that is named comes before the config file's top level, whoever has the profile."""
    profile = settings.sources.profile
    own, *below = in_the_file(settings)
    for layer in (on_the_spot(settings), own):
        yield TenantOffer(base_url=layer.base_url, source=layer.base_url_source)
    if environment := cli_environment(profile):
        yield TenantOffer(base_url=environment.base_url, source=environment.source, ambient=not profile)
    yield TenantOffer(base_url=remembered_tenant(profile), source="an earlier login", ambient=not profile)
    for layer in below:
        yield TenantOffer(base_url=layer.base_url, source=layer.base_url_source)
    if not profile and (config := sdk_config()):
        yield TenantOffer(base_url=config.base_url, source=SDK_SOURCE, ambient=True)


def _candidates(settings: Settings, tenant: FoundTenant, keyring: SystemKeyring) -> Iterator[Candidate]:
    """Every source with what it has for the tenant, read only when it is drawn."""
    wanted = wanted_client(settings, tenant)
    yield _from_the_spot(on_the_spot(settings), tenant, wanted)
    for layer, home in _homes(in_the_file(settings)):
        yield _from_the_file(layer, home, tenant, wanted)
    yield _from_the_cli(settings.sources.profile, tenant, wanted, keyring)
    for profile in dict.fromkeys((settings.sources.profile, "")):
        yield _from_a_login(profile, tenant, wanted, keyring)
    yield _from_the_sdk(tenant, wanted)


def _from_the_spot(spot: Layer, tenant: FoundTenant, wanted: str) -> Candidate:
    if spot.way is None:
        missing = "SAIL_CLIENT_SECRET is" if spot.client_id else "SAIL_CLIENT_ID and SAIL_CLIENT_SECRET are"
        return Candidate(source=spot.source, lacks=f"{missing} not set")
    if tenant.ambient:
        raise SettingsError(
            f"A client secret is given ({spot.way.source}), but for no tenant: {tenant.origin} is only what "
            f"{tenant.source} happens to name.",
            next_step="Name the tenant that it is for: SAIL_BASE_URL or --base-url.",
        )
    if spot.home and not belongs(spot.home, tenant):
        raise SettingsError(
            f"A client secret is given ({spot.way.source}) beside another tenant than {tenant.origin}.",
            next_step="Nothing was sent. Change the base URL in the environment too, if the secret is for this tenant; "
            "else unset both.",
        )
    return _revealed(spot.way, spot.client_id or wanted)


def _from_the_file(layer: Layer, home: str, tenant: FoundTenant, wanted: str) -> Candidate:
    if layer.way is None:
        return Candidate(source=layer.source, lacks="names no secret")
    if not home:
        raise SettingsError(
            f"A client secret is given ({layer.way.source}), but no tenant that it is for.",
            next_step="Put base_url beside it.",
        )
    if lacks := unfit(tenant, wanted, base_url=home, client_id=layer.client_id):
        return Candidate(source=layer.way.source, lacks=lacks)
    return _revealed(layer.way, layer.client_id or wanted)


def _revealed(way: SecretSource, client_id: str) -> Candidate:
    if not client_id:
        raise SettingsError(
            f"A client secret is given ({way.source}), but no client id: SAIL_CLIENT_ID is not set.",
            next_step="Give both, or neither and run `access-batch login`.",
        )
    secret, notices = reveal(way)
    return Candidate(source=way.source, client_id=client_id, client_secret=secret, notices=notices)


def _from_the_cli(profile: str, tenant: FoundTenant, wanted: str, keyring: SystemKeyring) -> Candidate:
    environment = cli_environment(profile)
    if environment is None:
        return Candidate(
            source=_CLI, lacks=f"has no environment {profile!r}" if profile else "has no active environment"
        )
    if lacks := unfit(tenant, "", base_url=environment.base_url, client_id=""):
        return Candidate(source=environment.source, lacks=lacks)
    trouble = ""
    try:
        login = cli_login(keyring, environment.name)
    except KeyringUnusableError as error:
        login, trouble = None, error.message
    lacks = trouble or "has no access token"
    if login is None:
        return _stored(environment.in_file, environment.source, wanted, lacks=lacks, notices=environment.notices)
    return _stored(login, environment.source, wanted)


def _from_a_login(profile: str, tenant: FoundTenant, wanted: str, keyring: SystemKeyring) -> Candidate:
    trouble = ""
    try:
        login = stored_login(keyring, tenant.origin, profile)
    except KeyringUnusableError as error:
        login, trouble = None, error.message
    return _stored(login, entry(tenant.origin, profile), wanted, lacks=trouble or _NOT_STORED)


def _from_the_sdk(tenant: FoundTenant, wanted: str) -> Candidate:
    config = sdk_config()
    if config is None:
        return Candidate(source=SDK_SOURCE, lacks="there is none")
    if lacks := unfit(tenant, wanted, base_url=config.base_url, client_id=config.login.client_id):
        return Candidate(source=SDK_SOURCE, lacks=lacks)
    return _stored(config.login, SDK_SOURCE, wanted, notices=config.notices)


def _stored(
    login: Login | None, source: str, wanted: str, *, lacks: str = "", notices: tuple[str, ...] = ()
) -> Candidate:
    """What is stored somewhere for the tenant, if it is the client that was asked for."""
    if login is None:
        return Candidate(source=source, lacks=lacks)
    if wanted and login.client_id != wanted:
        return Candidate(source=source, lacks="is for another client")
    return Candidate(
        source=source,
        client_id=login.client_id,
        client_secret=login.client_secret,
        notices=(f"Using the credentials of client {login.client_id} from {source}.", *notices),
    )
