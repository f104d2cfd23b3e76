"""Settings: one frozen value merged from flags, environment and config file, in that order."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import platformdirs
from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from batch.dialects import Rate, dialect_named
from batch.errors import SettingsError
from batch.model import Effort

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batch.dialects import Dialect

APPLICATION: Final = "access-batch"


class Credentials(BaseModel):
    """A client id and its secret; the secret never shows in a repr."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    client_id: str
    client_secret: SecretStr


def _rate(value: Any) -> Any:
    """Reads `N/SECONDS`."""
    if value is None or isinstance(value, Rate):
        return value
    requests, _, seconds = str(value).partition("/")
    try:
        rate = Rate(requests=int(requests), seconds=float(seconds))
    except ValueError:
        raise ValueError("write it as N/SECONDS, such as 100/10") from None
    if rate.requests < 1 or not 0 < rate.seconds <= 3600:  # noqa: PLR2004 - an hour is plenty
        raise ValueError("both numbers must be positive, and SECONDS at most 3600")
    return rate


def _both(name: str) -> AliasChoices:
    """Our own variable, then the one that the vendor's tools read."""
    return AliasChoices(f"ACCESS_BATCH_{name}", f"SAIL_{name}")


class Settings(BaseSettings):
    """Everything that can be set.

    Attributes:
        ledger: Path or SQLAlchemy URL; empty for the default file.
        base_url: The tenant; empty where none is given.
        client_id: Of the personal access token.
        client_secret: Likewise.
        api: Name of the dialect.
        sandbox: Whether the embedded tenant stands in for a real one.
        yes: Whether to go on without asking.
        out: Folder for result files; None for beside the input.
        rate: Limit to keep; None for the dialect's.
        effort: How hard to look for fewer requests.
        concurrency: Most attempts at a time.
        timeout: Seconds for one attempt.
        ca_file: PEM certificates to trust instead of the system's; None for the system's.
        settle_after: Seconds an unconfirmed request may take to show in the status list.
        give_up_after: Seconds without any success after which sending stops.
        log_file: Where what happens is written as JSON lines; None for nowhere.
    """

    model_config = SettingsConfigDict(
        env_prefix="ACCESS_BATCH_",
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
        populate_by_name=True,
        arbitrary_types_allowed=True,
    )

    ledger: str = ""
    base_url: str = Field(default="", validation_alias=_both("BASE_URL"))
    client_id: str = Field(default="", validation_alias=_both("CLIENT_ID"))
    client_secret: SecretStr = Field(default=SecretStr(""), validation_alias=_both("CLIENT_SECRET"))
    api: str = "beta"
    sandbox: bool = False
    yes: bool = False
    out: Path | None = None
    rate: Annotated[Rate | None, NoDecode, BeforeValidator(_rate)] = None
    effort: Effort = Effort.NORMAL
    concurrency: int = Field(default=10, ge=1, le=100)
    timeout: float = Field(default=60.0, gt=0, le=3600)
    ca_file: Path | None = None
    settle_after: float = Field(default=60.0, ge=0, le=86400)
    give_up_after: float = Field(default=600.0, ge=0, le=86400)
    log_file: Path | None = None

    @property
    def dialect(self) -> Dialect:
        """The API version."""
        return dialect_named(self.api)

    @property
    def pace(self) -> Rate:
        """The rate limit to keep."""
        return self.rate or self.dialect.rate

    @property
    def ledger_location(self) -> str:
        """Where the ledger is; the sandbox has one of its own."""
        if self.ledger:
            return self.ledger
        name = "sandbox-ledger.db" if self.sandbox else "ledger.db"
        return str(platformdirs.user_data_path(APPLICATION) / name)

    def credentials(self) -> Credentials:
        """Client id and secret.

        Raises:
            SettingsError: One is missing.
        """
        if not self.client_id or not self.client_secret.get_secret_value():
            missing = "SAIL_CLIENT_ID" if not self.client_id else "SAIL_CLIENT_SECRET"
            raise SettingsError(f"{missing} is not set.", next_step=_TENANT_HELP)
        return Credentials(client_id=self.client_id, client_secret=self.client_secret)

    def tenant_url(self) -> str:
        """The tenant's base URL as given.

        Raises:
            SettingsError: None is given.
        """
        if not self.base_url:
            raise SettingsError("No tenant is given: SAIL_BASE_URL is not set.", next_step=_TENANT_HELP)
        return self.base_url


_TENANT_HELP: Final = (
    "Set SAIL_BASE_URL, SAIL_CLIENT_ID and SAIL_CLIENT_SECRET in the environment "
    "(a personal access token of an ORG_ADMIN user), or try it with --sandbox."
)


def load(flags: Mapping[str, object], *, profile: str = "", config_file: Path | None = None) -> Settings:
    """Merges the settings.

    Args:
        flags: What was given on the command line; None stands for not given.
        profile: Table `[profile.NAME]` of the config file, laid over its top level.
        config_file: Where the config file is; its usual place if None.

    Raises:
        SettingsError: A value is wrong, or the file is.
    """
    given: dict[str, Any] = {name: value for name, value in flags.items() if value is not None}
    from_file = _read_config(config_file or platformdirs.user_config_path(APPLICATION) / "config.toml", profile)
    try:
        stronger = Settings(**given).model_fields_set
        settings = Settings(**given, **{name: value for name, value in from_file.items() if name not in stronger})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        option = str(first["loc"][0]).removeprefix("ACCESS_BATCH_").lower().replace("_", "-")
        raise SettingsError(
            f"--{option}: {first['msg'].removeprefix('Value error, ')}.", next_step="See `access-batch submit --help`."
        ) from None
    dialect_named(settings.api)
    return settings


def _read_config(path: Path, profile: str) -> dict[str, Any]:
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        document = {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(
            f"The config file {path} can't be read: {error}.", next_step="Mend or remove it."
        ) from error
    profiles = document.pop("profile", {})
    if profile and not (isinstance(profiles, dict) and isinstance(profiles.get(profile), dict)):
        raise SettingsError(
            f"There is no profile {profile!r} in {path}.", next_step=f"Add a table [profile.{profile}]."
        )
    merged: dict[str, Any] = {**document, **(profiles[profile] if profile else {})}
    if "client_secret" in merged:
        raise SettingsError(
            f"The config file {path} holds a client_secret.",
            next_step="Move it to the environment: SAIL_CLIENT_SECRET.",
        )
    if unknown := sorted(set(merged) - set(Settings.model_fields)):
        raise SettingsError(f"The config file {path} has unknown entries: {', '.join(unknown)}.", next_step="Mend it.")
    return merged
