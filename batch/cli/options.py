"""The options that commands share, as Typer reads them: name, what they are called in help, and what help says."""

from pathlib import Path
from typing import Annotated

import typer

Inputs = Annotated[list[str], typer.Argument(metavar="INPUT", help="CSV or Parquet files, globs, or - for stdin.")]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or its beginning.")]
NewestRun = Annotated[
    str, typer.Argument(metavar="[RUN]", help="A run's id, or its beginning; the newest if left out.")
]
LedgerOption = Annotated[str | None, typer.Option("--ledger", metavar="URL", help="Ledger file or SQLAlchemy URL.")]
BaseUrl = Annotated[str | None, typer.Option("--base-url", metavar="URL", help="The tenant. [env: SAIL_BASE_URL]")]
ClientId = Annotated[
    str | None, typer.Option("--client-id", metavar="ID", help="Of the access token. [env: SAIL_CLIENT_ID]")
]
ClientSecretFile = Annotated[
    Path | None, typer.Option("--client-secret-file", metavar="PATH", help="File that holds the client secret.")
]
ClientSecretEnv = Annotated[
    str | None,
    typer.Option(
        "--client-secret-env",
        metavar="NAME",
        help="Environment variable that holds the client secret. [default: SAIL_CLIENT_SECRET]",
    ),
]
Api = Annotated[str | None, typer.Option("--api", metavar="VERSION", help="beta, v3, v2024, v2025, v2026 or v1.")]
Profile = Annotated[
    str,
    typer.Option(
        "--profile",
        metavar="NAME",
        envvar="ACCESS_BATCH_PROFILE",
        show_envvar=False,
        help="Profile of the config file, or environment of the vendor's CLI, to use.",
    ),
]
Sandbox = Annotated[bool, typer.Option("--sandbox", help="Use an embedded simulated tenant, and its own ledger.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Send without asking.")]
Json = Annotated[
    bool, typer.Option("--json", envvar="ACCESS_BATCH_JSON", show_envvar=False, help="Print one JSON object on stdout.")
]
Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Folder for result files.")]
Rate = Annotated[str | None, typer.Option("--rate", metavar="N/SECONDS", help="Rate limit to keep. [default: 100/10]")]
EffortOption = Annotated[
    str | None,
    typer.Option("--effort", metavar="LEVEL", help="fast, normal or thorough: how hard to look for fewer requests."),
]
CheckTenantOption = Annotated[
    str | None,
    typer.Option(
        "--check-tenant",
        metavar="WHEN",
        help="auto, always or never: first ask the tenant what is in progress and held already.",
    ),
]
Concurrency = Annotated[int | None, typer.Option("--concurrency", metavar="N", help="Most attempts at a time.")]
Timeout = Annotated[
    float | None, typer.Option("--timeout", metavar="SECONDS", help="Longest that one attempt may take.")
]
CaFile = Annotated[
    Path | None,
    typer.Option(
        "--ca-file",
        metavar="PATH",
        help="PEM certificates to trust instead of the system's, for a company's own certificate authority.",
    ),
]
SettleAfter = Annotated[
    float | None,
    typer.Option(
        "--settle-after", metavar="SECONDS", help="How long what arrived may take to show in the status list."
    ),
]
GiveUpAfter = Annotated[
    float | None,
    typer.Option("--give-up-after", metavar="SECONDS", help="How long to go on without any success. [default: 600]"),
]
IdentityByOption = Annotated[
    str | None,
    typer.Option(
        "--identity-by",
        metavar="FIELD",
        help="What names in the column identity are: auto, alias, email, employee_number, name or id. [default: auto]",
    ),
]
MaxAge = Annotated[
    float | None,
    typer.Option(
        "--max-age",
        metavar="SECONDS",
        help="How long what the tenant said of people and items is taken for true. [default: 300]",
    ),
]
Resubmit = Annotated[
    str | None,
    typer.Option(
        "--resubmit",
        metavar="WORDS",
        help="rejected, cancelled, failed, with commas: submit again what has come to that at the tenant.",
    ),
]
Wait = Annotated[
    bool, typer.Option("--wait", help="Follow what was accepted until each change is provisioned, rejected or failed.")
]
TrackFor = Annotated[
    float | None,
    typer.Option("--track-for", metavar="SECONDS", help="How long to follow; 0 looks once. [default: until all ended]"),
]
LogFile = Annotated[
    Path | None, typer.Option("--log-file", metavar="PATH", help="Append what happens to this file, as JSON lines.")
]
Maps = Annotated[
    list[str] | None,
    typer.Option("--map", metavar="THEIRS=OURS", help="Read their column as ours; may be given several times."),
]
SaveMap = Annotated[
    bool,
    typer.Option(
        "--save-map",
        envvar="ACCESS_BATCH_SAVE_MAP",
        show_envvar=False,
        help="Write the maps given into the config file, so that they need not be given again.",
    ),
]
DateFormat = Annotated[
    str | None,
    typer.Option(
        "--date-format",
        metavar="FORMAT",
        help="How dates are written: iso, us, eu, or a format such as '%m/%d/%Y'. [default: iso]",
    ),
]
Comment = Annotated[
    str | None, typer.Option("--comment", metavar="TEXT", help="For every row without a comment of its own.")
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", envvar="ACCESS_BATCH_QUIET", show_envvar=False, help="Show errors only.")
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose", "-v", envvar="ACCESS_BATCH_VERBOSE", show_envvar=False, help="Show every answer of the tenant."
    ),
]
