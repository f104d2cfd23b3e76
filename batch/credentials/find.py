"""Looks through the sources, strongest first, and opens none that it does not need."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from batch.credentials.choose import Candidate, TenantOffer, belongs, choose, choose_tenant, mismatch
from batch.credentials.given import config_file_layers, flags_and_environment, reveal
from batch.credentials.logins import entry, logins_file, remembered_tenant, stored_login
from batch.credentials.system_keyring import WITHOUT_KEYRING, KeyringUnusableError, SystemKeyring
from batch.credentials.vendor import SDK_SOURCE, cli_environment, cli_login, sdk_config
from batch.errors import NoCredentialsError, SettingsError
from batch.settings import Credentials
from batch.tenant.address import origin

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from pydantic import SecretStr

    from batch.credentials.choose import FoundTenant
    from batch.credentials.given import Layer, SecretSource
    from batch.credentials.logins import Login
    from batch.settings import Settings

_CLI: Final = "the vendor's CLI (~/.sailpoint/config.yaml)"


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
    """The tenant, found without any secret; None if no source names one.

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
            f"No tenant is given. Looked at: {', '.join(places)}.",
            next_step="Run `access-batch login`, which asks for it, or set SAIL_BASE_URL, or try --sandbox.",
        )
    return tenant


def is_for_production(settings: Settings, tenant: FoundTenant) -> bool:
    """Whether the config file says `production` of a tenant: in the profile in use, or in any other of that tenant.

    Raises:
        SettingsError: A source of a profile's tenant can't be read.
    """
    return settings.production or tenant.origin in production_addresses(settings)


def production_addresses(settings: Settings) -> tuple[str, ...]:
    """The address of each tenant of which the config file says `production`. The tenant may have others too.

    Raises:
        SettingsError: A source of a profile's tenant can't be read.
    """
    profiles = {"": settings.sources.top, **settings.sources.profiles}
    found = []
    for name, table in profiles.items():
        if isinstance(table, Mapping) and table.get("production", False) is not False:
            home = _home(settings, name, table)
            # A profile with an address that can't be used reaches no tenant.
            with suppress(SettingsError):
                found.append(origin(home))
    return tuple(found)


def profiles_of(settings: Settings, addresses: Collection[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The profiles in the config file of a tenant with these addresses, unchecked, with their names.

    Raises:
        SettingsError: A source of a profile's tenant can't be read.
    """
    for name, table in settings.sources.profiles.items():
        if isinstance(table, Mapping):
            home = _home(settings, name, table)
            with suppress(SettingsError):
                if origin(home) in addresses:
                    yield name, table


def _home(settings: Settings, profile: str, table: Mapping[str, Any]) -> str:
    """The tenant of a profile, in the order of `_tenant_offers`; empty if there is none."""
    environment = cli_environment(profile)
    homes = (
        table.get("base_url"),
        environment.base_url if environment else "",
        remembered_tenant(profile),
        settings.sources.top.get("base_url"),
    )
    return next((str(home) for home in homes if home), "")


def find_credentials(settings: Settings, tenant: FoundTenant, keyring: SystemKeyring | None = None) -> FoundCredentials:
    """The credentials of the strongest source that has some for the tenant.

    Args:
        settings: What the user gave.
        tenant: From `require_tenant`.
        keyring: The system's if None.

    Raises:
        SettingsError: There are none (the message lists the sources), a source can't be read, or a secret would go to a
            tenant that it was not given for.
    """
    keyring = keyring or SystemKeyring()
    choice = choose(_candidates(settings, tenant, keyring))
    chosen = choice.chosen
    if chosen is None or chosen.client_secret is None:
        looked = "".join(f"\n  {line}" for line in choice.skipped)
        login = f"Run `access-batch login --base-url {tenant.origin}`: it asks for an ORG_ADMIN user's access token."
        raise NoCredentialsError(
            f"There are no credentials for {tenant.origin}. Looked at:{looked}",
            next_step=f"{WITHOUT_KEYRING if keyring.trouble else login} Or try --sandbox.",
        )
    require_sendable(chosen.client_id, chosen.client_secret, chosen.source)
    credentials = Credentials(client_id=chosen.client_id, client_secret=chosen.client_secret, source=chosen.source)
    trouble = (keyring.trouble,) if keyring.trouble else ()
    return FoundCredentials(credentials=credentials, notices=(*trouble, *chosen.notices))


LONGEST_CLIENT_ID: Final = 500
"""Of the vendor's it has 32. The ledger could not keep every longer one: databases limit what an index may hold."""


def require_sendable(client_id: str, client_secret: SecretStr, source: str) -> None:
    """Refuses an impossible client id or secret before it is sent or shown.

    Raises:
        SettingsError: One of them holds characters other than printable ASCII, or the id is too long.
    """
    if len(client_id) > LONGEST_CLIENT_ID:
        raise SettingsError(
            f"The client id from {source} is longer than {LONGEST_CLIENT_ID} characters.",
            next_step="Nothing was sent. Correct it there.",
        )
    for value in (client_id, client_secret.get_secret_value()):
        if not (value.isascii() and value.isprintable()):
            raise SettingsError(
                f"The client id or the secret from {source} holds characters that are not printable ASCII.",
                next_step="Nothing was sent. Correct it there.",
            )


def wanted_client(settings: Settings, tenant: FoundTenant) -> str:
    """The client that flags, environment or config file name for a tenant; empty if any will do."""
    if client_id := flags_and_environment(settings).client_id:
        return client_id
    layers = _with_tenants(config_file_layers(settings))
    return next(
        (layer.client_id for layer, home in layers if layer.client_id and (not home or belongs(home, tenant))), ""
    )


def check_profile(settings: Settings) -> None:
    """Refuses an unknown profile.

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


def _with_tenants(layers: Sequence[Layer]) -> Iterator[tuple[Layer, str]]:
    """The config file's layers, each with the tenant of its secret; empty if no layer names one.

    A profile without a tenant uses the top level's, never the other way round.
    """
    for depth, layer in enumerate(layers):
        yield layer, next((lower.base_url for lower in layers[depth:] if lower.base_url), "")


def _tenant_offers(settings: Settings) -> Iterator[TenantOffer]:
    """The sources of a tenant. A named profile, of whichever source, comes before the config file's top level."""
    profile = settings.sources.profile
    first, *below = config_file_layers(settings)
    for layer in (flags_and_environment(settings), first):
        yield TenantOffer(base_url=layer.base_url, source=layer.base_url_source)
    if environment := cli_environment(profile):
        yield TenantOffer(base_url=environment.base_url, source=environment.source, ambient=not profile)
    yield TenantOffer(base_url=remembered_tenant(profile), source="an earlier login", ambient=not profile)
    for layer in below:
        yield TenantOffer(base_url=layer.base_url, source=layer.base_url_source)
    if not profile and (config := sdk_config()):
        yield TenantOffer(base_url=config.base_url, source=SDK_SOURCE, ambient=True)


def _candidates(settings: Settings, tenant: FoundTenant, keyring: SystemKeyring) -> Iterator[Candidate]:
    """The sources of credentials, each read only when it is drawn."""
    wanted = wanted_client(settings, tenant)
    yield _from_flags_and_environment(flags_and_environment(settings), tenant, wanted)
    for layer, home in _with_tenants(config_file_layers(settings)):
        yield _from_config_file(layer, home, tenant, wanted)
    yield _from_cli(settings.sources.profile, tenant, wanted, keyring)
    for profile in dict.fromkeys((settings.sources.profile, "")):
        yield _from_login(profile, tenant, wanted, keyring)
    yield _from_sdk(tenant, wanted)


def _from_flags_and_environment(given: Layer, tenant: FoundTenant, wanted: str) -> Candidate:
    if given.secret is None:
        missing = "SAIL_CLIENT_SECRET is" if given.client_id else "SAIL_CLIENT_ID and SAIL_CLIENT_SECRET are"
        return Candidate(source=given.source, problem=f"{missing} not set")
    if tenant.ambient:
        raise SettingsError(
            f"A client secret is given ({given.secret.source}) without its tenant, and is not sent to "
            f"{tenant.origin}, which comes from {tenant.source}.",
            next_step="Nothing was sent. Name the tenant of the secret: SAIL_BASE_URL or --base-url.",
        )
    if given.secret_tenant and not belongs(given.secret_tenant, tenant):
        raise SettingsError(
            f"The client secret ({given.secret.source}) is given for another tenant than {tenant.origin}.",
            next_step="Nothing was sent. Change the base URL in the environment too, if the secret is for this tenant; "
            "else unset both.",
        )
    return _revealed(given.secret, given.client_id or wanted)


def _from_config_file(layer: Layer, home: str, tenant: FoundTenant, wanted: str) -> Candidate:
    if layer.secret is None:
        return Candidate(source=layer.source, problem="names no secret")
    if not home:
        raise SettingsError(
            f"A client secret is given ({layer.secret.source}) without its tenant.",
            next_step="Put base_url beside it.",
        )
    if problem := mismatch(tenant, wanted, base_url=home, client_id=layer.client_id):
        return Candidate(source=layer.secret.source, problem=problem)
    return _revealed(layer.secret, layer.client_id or wanted)


def _revealed(secret: SecretSource, client_id: str) -> Candidate:
    if not client_id:
        raise SettingsError(
            f"A client secret is given ({secret.source}), but no client id: SAIL_CLIENT_ID is not set.",
            next_step="Give both, or neither and run `access-batch login`.",
        )
    client_secret, notices = reveal(secret)
    return Candidate(source=secret.source, client_id=client_id, client_secret=client_secret, notices=notices)


def _from_cli(profile: str, tenant: FoundTenant, wanted: str, keyring: SystemKeyring) -> Candidate:
    environment = cli_environment(profile)
    if environment is None:
        return Candidate(
            source=_CLI, problem=f"has no environment {profile!r}" if profile else "has no active environment"
        )
    if problem := mismatch(tenant, "", base_url=environment.base_url, client_id=""):
        return Candidate(source=environment.source, problem=problem)
    problem = "has no access token"
    try:
        login = cli_login(keyring, environment.name)
    except KeyringUnusableError as error:
        login, problem = None, error.message
    if login is None:
        return _stored(environment.login, environment.source, wanted, problem=problem, notices=environment.notices)
    return _stored(login, environment.source, wanted)


def _from_login(profile: str, tenant: FoundTenant, wanted: str, keyring: SystemKeyring) -> Candidate:
    problem = "nothing is stored"
    try:
        login = stored_login(keyring, tenant.origin, profile)
    except KeyringUnusableError as error:
        login, problem = None, error.message
    return _stored(login, entry(tenant.origin, profile), wanted, problem=problem)


def _from_sdk(tenant: FoundTenant, wanted: str) -> Candidate:
    config = sdk_config()
    if config is None:
        return Candidate(source=SDK_SOURCE, problem="there is none")
    if problem := mismatch(tenant, "", base_url=config.base_url, client_id=""):
        return Candidate(source=SDK_SOURCE, problem=problem)
    return _stored(config.login, SDK_SOURCE, wanted, notices=config.notices)


def _stored(
    login: Login | None, source: str, wanted: str, *, problem: str = "", notices: tuple[str, ...] = ()
) -> Candidate:
    """A stored login, if it is the client that was asked for."""
    if login is None:
        return Candidate(source=source, problem=problem)
    if wanted and login.client_id != wanted:
        return Candidate(source=source, problem="is for another client")
    return Candidate(
        source=source,
        client_id=login.client_id,
        client_secret=login.client_secret,
        notices=(f"Using the credentials of client {login.client_id} from {source}.", *notices),
    )
