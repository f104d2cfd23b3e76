"""The settings and their sources.

The fields of `Settings` declare the command line's options, each in one place: a field says the option's name, type,
limits and default, and its `Option` says the rest. Every field can be set by a flag (`--rate`), a variable
(`ACCESS_BATCH_RATE`) and an entry of the config file (`rate`), except those that consent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self, TypeAlias

import platformdirs
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, SecretStr

from batch.api.dialects import Rate, dialect_named
from batch.api.tenant_outcome import TenantOutcome
from batch.model import CheckTenant, Effort, IdentityBy
from batch.settings.guards import GuardSettings
from batch.settings.option import Option, options_of
from batch.settings.values import (
    read_one_or_several,
    read_rate,
    read_request_metadata,
    read_resubmit,
    read_several,
    read_size,
    read_tenant_rules,
)
from batch.settings.waves import WaveSettings

if TYPE_CHECKING:
    from batch.api.dialects import Dialect

OutFormat: TypeAlias = Literal["csv", "xlsx"]
"""The forms of result files."""

APPLICATION: Final = "access-batch"

MOST_MONTHLY: Final = 1_000_000_000
"""No contract permits more calls in a month."""


class Credentials(BaseModel):
    """A client id and its secret; the secret never shows in a repr.

    Attributes:
        client_id: Of the personal access token.
        client_secret: Its secret.
        source: Where they were found, in words; see batch.credentials.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    client_id: str
    client_secret: SecretStr
    source: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class SettingSources:
    """Which place gave each setting: a secret may only go to the tenant that stands beside it.

    Attributes:
        profile: The profile in use; empty for none.
        config_file: Our config file, which may not exist.
        flags: The fields given on the command line.
        environment: The fields given in the environment, each with its variable.
        table: Entries of `[profile.NAME]`; None if the file has no such table.
        top: Entries outside of profiles.
        profiles: Every table `[profile.NAME]`, unchecked.
    """

    profile: str = ""
    config_file: Path = Path("config.toml")
    flags: frozenset[str] = frozenset()
    environment: Mapping[str, str] = field(default_factory=dict)
    table: Mapping[str, Any] | None = None
    top: Mapping[str, Any] = field(default_factory=dict)
    profiles: Mapping[str, Any] = field(default_factory=dict)


class Settings(GuardSettings, WaveSettings):
    """Everything that can be set; each field without an `Option` is no flag."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, arbitrary_types_allowed=True)

    ledger: Annotated[str, Option("The ledger: a file or a URL.", "URL", default="ledger.db in your data folder")] = ""
    ledger_insecure: Annotated[bool, Option("Connect to a database of the ledger even without TLS.")] = False
    base_url: Annotated[str, Option("Tenant's address.", "URL", default="see `help credentials`", vendor=True)] = ""
    client_id: Annotated[str, Option("Id of the client.", "ID", default="see `help credentials`", vendor=True)] = ""
    client_secret: SecretStr = SecretStr("")
    """From the environment only: never a flag, never in the config file."""
    webhook: SecretStr = SecretStr("")
    """From the config file or the environment only: an address that takes the summary of each run. It is a secret."""
    client_secret_file: Annotated[Path | None, Option("File that holds the client secret.", "PATH")] = None
    client_secret_env: Annotated[
        str, Option("Environment variable that holds the client secret.", "NAME", default="SAIL_CLIENT_SECRET")
    ] = ""
    api: Annotated[str, Option("API version: beta, v3, v2024, v2025, v2026 or v1.", "VERSION")] = "beta"
    sandbox: Annotated[bool, Option("Use the built-in simulated tenant, and a ledger of its own.")] = False
    yes: Annotated[bool, Option("Go ahead without asking.", short="-y", consents=True)] = False
    confirm: Annotated[
        str, Option("Go ahead without asking if this is the tenant's name.", "TENANT", consents=True)
    ] = ""
    production: bool = False
    """From the config file only: whether the tenant's name must be typed before something is sent."""
    out_format: Annotated[
        OutFormat, Option("Format of the result files: csv, or one workbook with a sheet per class: xlsx.", "FORMAT")
    ] = "csv"
    out: Annotated[Path | None, Option("Folder for results.", "DIR", default="INPUT.results beside the input")] = None
    rate: Annotated[
        Rate | None,
        BeforeValidator(read_rate),
        Option("Rate limit: N requests in SECONDS.", "N/SECONDS", default="100/10"),
    ] = None
    monthly_calls: Annotated[
        int | None,
        Field(ge=1, le=MOST_MONTHLY),
        Option("Most calls that this client may make in a month, as this ledger counts them.", "N", default="no limit"),
    ] = None
    effort: Annotated[Effort, Option("Effort to find fewer requests: fast, normal or thorough.", "LEVEL")] = (
        Effort.NORMAL
    )
    check_tenant: Annotated[
        CheckTenant,
        Option("Ask the tenant first which changes are in progress or held already: auto, always or never.", "WHEN"),
    ] = CheckTenant.AUTO
    strict: Annotated[bool, Option("Reject rows that the tenant may refuse, too.")] = False
    ignore: Annotated[
        tuple[str, ...],
        BeforeValidator(read_tenant_rules),
        Option("Submit rows that break this rule of the tenant; repeatable.", "RULE"),
    ] = ()
    new_ledger: Annotated[bool, Option("Go on even if another ledger has submitted there.", consents=True)] = False
    trust: Annotated[Path | None, Option("Trust reports of machines with these keys.", "FILE", consents=True)] = None
    concurrency: Annotated[int, Field(ge=1, le=100), Option("Most attempts in progress at the same time.", "N")] = 32
    timeout: Annotated[float, Field(gt=0, le=3600), Option("Time limit of one attempt.", "SECONDS")] = 60.0
    ca_file: Annotated[
        Path | None,
        Option("PEM certificates of your own certificate authority.", "PATH", default="the system's"),
    ] = None
    settle_after: Annotated[
        float,
        Field(ge=0, le=86400),
        Option("Wait this long before treating a missing request as not received.", "SECONDS"),
    ] = 60.0
    give_up_after: Annotated[
        float, Field(ge=0, le=86400), Option("Stop after this long without any success.", "SECONDS")
    ] = 600.0
    identity_by: Annotated[
        IdentityBy,
        Option("Field that the column identity holds: auto, alias, email, employee_number, name or id.", "FIELD"),
    ] = IdentityBy.AUTO
    max_age: Annotated[
        float,
        Field(ge=0, le=86400),
        Option("Reuse the tenant's answers about people and items for this long.", "SECONDS"),
    ] = 300.0
    resubmit: Annotated[
        frozenset[TenantOutcome],
        BeforeValidator(read_resubmit),
        Option("Resubmit changes that ended in these states: rejected,cancelled,failed.", "STATES"),
    ] = frozenset()
    report: Annotated[bool, Option("Write the run's report too, see `access-batch report`.")] = False
    wait: Annotated[bool, Option("Track accepted changes until each is provisioned, rejected or failed.")] = False
    track_for: Annotated[
        float | None,
        Field(ge=0, le=31_536_000),
        Option("Track for at most this long; 0 looks once.", "SECONDS", default="until all changes have ended"),
    ] = None
    log_file: Annotated[Path | None, Option("Append events to this file, as JSON lines.", "PATH")] = None
    sheet: Annotated[str, Option("The sheet of a workbook to read, if it has several.", "NAME")] = ""
    where: Annotated[
        tuple[str, ...],
        BeforeValidator(read_one_or_several),
        Option("Take only rows that match: COLUMN=TEXT, COLUMN!=TEXT, or COLUMN~PART; repeatable.", "CONDITION"),
    ] = ()
    map: Annotated[
        tuple[str, ...],
        BeforeValidator(read_several),
        Option("Read your column as one of ours; repeatable.", "YOURS=OURS"),
    ] = ()
    date_format: Annotated[
        str,
        Option("Format of dates: iso, us, eu, excel, or a format such as '%m/%d/%Y'.", "FORMAT", default="iso"),
    ] = ""
    time_zone: Annotated[
        str, Option("Time zone of dates and times without one, such as Europe/Berlin.", "NAME", default="UTC for dates")
    ] = ""
    comment: Annotated[
        str, Option("Comment for rows that have none, or a template for all: see `help input`.", "TEXT")
    ] = ""
    ticket_pattern: Annotated[
        str, Option("Reject rows whose ticket does not match this regular expression, such as 'INC[0-9]+'.", "PATTERN")
    ] = ""
    request_metadata: Annotated[
        tuple[str, ...],
        BeforeValidator(read_request_metadata),
        Option("Send this clientMetadata with each request of the run; repeatable.", "KEY=VALUE"),
    ] = ()
    max_input: Annotated[
        int | None,
        BeforeValidator(read_size),
        Field(ge=1),
        Option(
            "Size limit of all inputs together; the limits on rows and columns grow with it.", "SIZE", default="512MB"
        ),
    ] = None

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
    def metadata(self) -> Mapping[str, str]:
        """The request-level clientMetadata of new runs."""
        return dict(one.split("=", 1) for one in self.request_metadata)

    @property
    def ledger_location(self) -> str:
        """A path or an SQLAlchemy URL; the sandbox has a ledger of its own."""
        if self.ledger:
            return self.ledger
        name = "sandbox-ledger.db" if self.sandbox else "ledger.db"
        return str(platformdirs.user_data_path(APPLICATION) / name)

    @property
    def sources(self) -> SettingSources:
        """Which place gave each setting."""
        return self._sources

    def given_in(self, sources: SettingSources) -> Self:
        """Remembers which place gave each setting; for `load`."""
        self._sources = sources
        return self


CONSENTS: Final = frozenset(name for name, (option, _) in options_of(Settings).items() if option.consents)
"""The options that consent: only a command's own flag gives them."""
