"""Settings: one frozen value merged from flags, environment and config file, in that order."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Self

import platformdirs
from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from batch.api.dialects import Rate, dialect_named
from batch.api.tenant_outcome import RESUBMITTABLE, TenantOutcome
from batch.errors import SettingsError
from batch.model import CheckTenant, Effort, IdentityBy

if TYPE_CHECKING:
    from batch.api.dialects import Dialect

APPLICATION: Final = "access-batch"


class Credentials(BaseModel):
    """A client id and its secret; the secret never shows in a repr.

    Attributes:
        client_id: Of the personal access token.
        client_secret: Likewise.
        source: Where they were found, in words; see batch.credentials.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    client_id: str
    client_secret: SecretStr
    source: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class SettingSources:
    """Where settings were given. A merged value no longer says what it belongs to; a secret must know its tenant.

    Attributes:
        profile: The profile named; empty for none.
        config_file: Our config file, whether it is there or not.
        flags: The fields given on the command line.
        environment: The fields given in the environment, each with its variable.
        table: What `[profile.NAME]` holds; None where there is no such table.
        top: What the config file holds outside of profiles.
    """

    profile: str = ""
    config_file: Path = Path("config.toml")
    flags: frozenset[str] = frozenset()
    environment: Mapping[str, str] = field(default_factory=dict)
    table: Mapping[str, Any] | None = None
    top: Mapping[str, Any] = field(default_factory=dict)


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


def _several(value: Any) -> Any:
    """Reads a list, or text with commas between."""
    return tuple(part for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _resubmit(value: Any) -> Any:
    """Reads words with commas between them, or a list of words."""
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, list | tuple | set | frozenset):
        raise ValueError(f"write it as {_RESUBMIT}")  # noqa: TRY004 - pydantic takes no TypeError
    named = {str(word).strip().lower() for word in words}
    if not named <= set(map(str, RESUBMITTABLE)):
        raise ValueError(f"name any of {_RESUBMIT}, with commas between them")
    return frozenset(map(TenantOutcome, named))


_RESUBMIT: Final = ",".join(RESUBMITTABLE)


def _both(name: str) -> AliasChoices:
    """Our own variable, then the one that the vendor's tools read."""
    return AliasChoices(f"ACCESS_BATCH_{name}", f"SAIL_{name}")


class Settings(BaseSettings):
    """Everything that can be set.

    Attributes:
        ledger: Path or SQLAlchemy URL; empty for the default file.
        base_url: The tenant, as far as flags, environment and config file say; batch.credentials knows the rest.
        client_id: Of the personal access token; likewise.
        client_secret: From the environment only; likewise.
        client_secret_file: A file that holds the secret.
        client_secret_env: The environment variable that holds the secret.
        api: Name of the dialect.
        sandbox: Whether the embedded tenant stands in for a real one.
        yes: Whether to go on without asking.
        out: Folder for result files; None for beside the input.
        rate: Limit to keep; None for the dialect's.
        effort: How hard to look for fewer requests.
        check_tenant: Whether the tenant is asked first what is in progress and held; None for as the command does.
        concurrency: Most attempts at a time.
        timeout: Seconds for one attempt.
        ca_file: PEM certificates to trust instead of the system's; None for the system's.
        settle_after: Seconds an unconfirmed request may take to show in the status list.
        give_up_after: Seconds without any success after which sending stops.
        identity_by: What the names in the column `identity` are.
        max_age: Seconds for which what the tenant said is taken for true.
        resubmit: Earlier changes that have come to this are submitted again.
        wait: Whether submit follows what was accepted to its end.
        track_for: Seconds after which following ends; None for as long as it takes.
        log_file: Where what happens is written as JSON lines; None for nowhere.
        map: Columns of the input to be read as ours, each `their_column=our_column`; see batch.read.interpretation.
        date_format: How the input writes dates; empty for ISO 8601, and what is usual where it is of another kind.
        comment: For every row without a comment of its own; empty for none.
    """

    model_config = SettingsConfigDict(
        env_prefix="ACCESS_BATCH_",
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
        populate_by_name=True,
        arbitrary_types_allowed=True,
        # As the vendor's tools do: a variable that is set to nothing is not set.
        env_ignore_empty=True,
    )

    ledger: str = ""
    base_url: str = Field(default="", validation_alias=_both("BASE_URL"))
    client_id: str = Field(default="", validation_alias=_both("CLIENT_ID"))
    client_secret: SecretStr = Field(default=SecretStr(""), validation_alias=_both("CLIENT_SECRET"))
    client_secret_file: Path | None = None
    client_secret_env: str = ""
    api: str = "beta"
    sandbox: bool = False
    yes: bool = False
    out: Path | None = None
    rate: Annotated[Rate | None, NoDecode, BeforeValidator(_rate)] = None
    effort: Effort = Effort.NORMAL
    check_tenant: CheckTenant | None = None
    concurrency: int = Field(default=20, ge=1, le=100)
    timeout: float = Field(default=60.0, gt=0, le=3600)
    ca_file: Path | None = None
    settle_after: float = Field(default=60.0, ge=0, le=86400)
    give_up_after: float = Field(default=600.0, ge=0, le=86400)
    identity_by: IdentityBy = IdentityBy.AUTO
    max_age: float = Field(default=300.0, ge=0, le=86400)
    resubmit: Annotated[frozenset[TenantOutcome], NoDecode, BeforeValidator(_resubmit)] = frozenset()
    wait: bool = False
    track_for: float | None = Field(default=None, ge=0, le=31_536_000)
    log_file: Path | None = None
    map: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_several)] = ()
    date_format: str = ""
    comment: str = ""

    _sources: SettingSources = PrivateAttr(default_factory=SettingSources)

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

    @property
    def sources(self) -> SettingSources:
        """Where it was all given."""
        return self._sources

    def given_in(self, sources: SettingSources) -> Self:
        """Remembers where it was all given; for `load`."""
        self._sources = sources
        return self


def load(flags: Mapping[str, object], *, profile: str = "", config_file: Path | None = None) -> Settings:
    """Merges the settings.

    Args:
        flags: What was given on the command line; None stands for not given.
        profile: Table `[profile.NAME]` of the config file, laid over its top level. Where there is none, the profile
            may be one of the vendor's CLI: `batch.credentials.find.check_profile` knows.
        config_file: Where the config file is; its usual place if None.

    Raises:
        SettingsError: A value is wrong, or the file is.
    """
    given: dict[str, Any] = {name: value for name, value in flags.items() if value is not None}
    if empty := [name for name, value in given.items() if value == ""]:
        raise SettingsError(
            f"--{empty[0].replace('_', '-')} is empty.", next_step="Nothing was sent. Give it a value, or leave it out."
        )
    path = config_file or platformdirs.user_config_path(APPLICATION) / "config.toml"
    top, table = _read_config(path, profile)
    from_file = {**top, **(table or {})}
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
    return settings.given_in(
        SettingSources(
            profile=profile,
            config_file=path,
            flags=frozenset(given),
            environment=_variables(),
            table=table,
            top=top,
        )
    )


def _variables() -> dict[str, str]:
    """Each field that the environment gives, with the variable that gives it."""
    present = {name.upper() for name, value in os.environ.items() if value}
    found = {}
    for name in Settings.model_fields:
        # The vendor's variable first, so that our own one has the last word. Others than these three are not read.
        for variable in (f"SAIL_{name.upper()}", f"ACCESS_BATCH_{name.upper()}"):
            ours = variable.startswith("ACCESS_BATCH_")
            if variable in present and (ours or name in {"base_url", "client_id", "client_secret"}):
                found[name] = variable
    return found


def _read_config(path: Path, profile: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The file's top level, and the profile's table if there is one."""
    try:
        document = tomllib.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError:
        document = {}
    except (OSError, ValueError, RecursionError) as error:
        raise SettingsError(
            f"The config file {path} can't be read: {error}.", next_step="Mend or remove it."
        ) from error
    profiles = document.pop("profile", {})
    if not isinstance(profiles, dict) or (profile in profiles and not isinstance(profiles[profile], dict)):
        raise SettingsError(
            f"The profile {profile!r} in {path} is no table.", next_step=f"Add a table [profile.{profile or 'NAME'}]."
        )
    table = profiles.get(profile) if profile else None
    for part in (document, table or {}):
        if "client_secret" in part:
            raise SettingsError(
                f"The config file {path} holds a client_secret.",
                next_step="Let `access-batch login` store it, or name its place: client_secret_file.",
            )
        if unknown := sorted(set(part) - set(Settings.model_fields)):
            raise SettingsError(
                f"The config file {path} has unknown entries: {', '.join(unknown)}.", next_step="Mend it."
            )
    return document, table
