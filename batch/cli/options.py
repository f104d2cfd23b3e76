"""Options: each is declared once, and commands name the groups that they take.

To add an option, add a field to `Settings` (or to `Call`, if no config entry may set it) and name it in a group below.
An option that only one command has is a parameter of that command.
"""

import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, get_args, get_type_hints

import typer

from batch.report.terminal import COMMANDS
from batch.settings import Option, Settings, load, options_of
from batch.text import without_password

Inputs = Annotated[
    list[str], typer.Argument(metavar="INPUT", help="CSV, Excel or Parquet files, globs, https URLs, or - for stdin.")
]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="Id of a run, or its first characters.")]
NewestRun = Annotated[
    str, typer.Argument(metavar="[RUN]", help="Id of a run, or its first characters; the newest run if left out.")
]


@dataclass(frozen=True, kw_only=True)
class Call:
    """Options of one call: each has an environment variable, but no entry in the config file."""

    profile: Annotated[str, Option("Profile of the config file, or environment of the vendor's CLI.", "NAME")] = ""
    json: Annotated[bool, Option("Print one JSON object on stdout.")] = False
    quiet: Annotated[bool, Option("Show errors only.", short="-q")] = False
    verbose: Annotated[bool, Option("Show every answer of the tenant.", short="-v")] = False
    save_map: Annotated[bool, Option("Save these maps in the config file, for the next time.")] = False


READING: Final = (
    "sheet",
    "where",
    "map",
    "save_map",
    "date_format",
    "time_zone",
    "comment",
    "ticket_pattern",
    "max_input",
)
READING_ONLY: Final = tuple(name for name in READING if name != "save_map")
LEDGER: Final = ("ledger", "ledger_insecure", "profile", "sandbox")
CLIENT: Final = ("base_url", "client_id")
TENANT: Final = (
    *("ledger", "ledger_insecure", *CLIENT, "client_secret_file", "client_secret_env", "api", "profile", "sandbox"),
)
PLANNING: Final = ("effort", "check_tenant", "strict", "ignore", "request_metadata", "new_ledger")
GUARDS: Final = ("max_changes", "max_revokes", "max_revoke_share", "max_per_person")
HTTP: Final = ("timeout", "ca_file")
TIMES: Final = ("settle_after", "give_up_after")
NAMES: Final = ("identity_by", "max_age", "resubmit")
WAVES: Final = ("canary", "canary_for", "tolerate", "wave")
TRACKING: Final = ("track_for", "log_file")


HEADINGS: Final = {
    "What": (
        *("sheet", "where", "map", "save_map", "date_format", "time_zone", "comment", "ticket_pattern", "max_input"),
        "identity_by",
        *(
            "resubmit",
            "check_tenant",
            "strict",
            "ignore",
            "request_metadata",
            "max_age",
            "new_ledger",
            "trust",
            "yes",
            "confirm",
            "signing_key",
        ),
    ),
    "How much": (*GUARDS, "confirm_above", "plan_age", "all_or_nothing"),
    "Where": (*TENANT, "ca_file", "port"),
    "How fast": (
        *(
            "rate",
            "monthly_calls",
            "concurrency",
            "timeout",
            "settle_after",
            "give_up_after",
            "effort",
            "wait",
            "track_for",
        ),
        *WAVES,
    ),
    "Output": ("by", "detail", "json", "out", "out_format", "report", "log_file", "quiet", "verbose"),
}
"""Where help shows an option. One that only one command has is shown first unless it is here."""

_FOR_OTHERS: Final = (*TENANT, "ca_file", "identity_by", "strict", "ignore")
"""Options that a command in a message needs too if they were given: without them it would use another ledger, tenant or
identity, submit what was rejected, or reject what was submitted."""


def takes(
    *options: str | tuple[str, ...], new_profile: bool = False, **defaults: str
) -> Callable[[Callable[..., None]], Any]:
    """Gives a command its options. It receives them as `settings` and `call`.

    Args:
        options: Groups and single options, in the order of help. The command's own parameters that are not named here
            come last.
        new_profile: Whether `--profile` may name a profile that does not exist yet.
        defaults: What help shows as the default of an option, if this command has another one than the rest.
    """
    names = [name for option in options for name in ((option,) if isinstance(option, str) else option)]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command).parameters
        own = {name: _own(one) for name, one in signature.items() if name not in {"settings", "call"}}
        shared = {name: _shared(name, defaults.get(name, "")) for name in names if name not in own}
        rest = [one for name, one in own.items() if name not in names]

        @functools.wraps(command)
        def run(**given: Any) -> None:
            _complete_commands(given["ctx"])
            arguments = {name: given[name] for name in own}
            call = Call(**{name: given[name] for name in shared if name in _CALL})
            COMMANDS.owes_json = call.json
            if "settings" in signature:
                arguments["settings"] = _settings(
                    {name: given[name] for name in shared if name not in _CALL},
                    call.profile,
                    new=new_profile,
                    command=given["ctx"].command_path,
                )
            if "call" in signature:
                arguments["call"] = call
            command(**arguments)

        context = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
        vars(run)["__signature__"] = inspect.Signature([*({**shared, **own}[name] for name in names), *rest, context])
        return run

    return decorate


def _complete_commands(context: typer.Context) -> None:
    """Tells messages the options of this command that name the tenant, the ledger and the identities."""
    program = context.find_root().command
    COMMANDS.takes = dict(_options_by_command(program))
    COMMANDS.given = {
        f"--{name.replace('_', '-')}": None if value is True else without_password(value) if name == "ledger" else value
        for name, value in context.params.items()
        if name in _FOR_OTHERS and value
    }


def _options_by_command(group: Any, before: str = "") -> Iterator[tuple[str, frozenset[str]]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _options_by_command(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", frozenset(word for one in command.params for word in one.opts)


def _settings(flags: dict[str, Any], profile: str, *, new: bool, command: str) -> Settings:
    from batch.credentials.find import check_profile

    settings = load(
        # A flag that is off, or a list without members, was not given.
        {name: None if value is False or value == [] else value for name, value in flags.items()},
        profile=profile,
        command=command,
    )
    if not new:
        check_profile(settings)
    return settings


_HEADING_OF: Final = {name: heading for heading, names in HEADINGS.items() for name in names}
_SETTINGS: Final = options_of(Settings)
_CALL: Final = {
    name: (get_args(hint)[1], getattr(Call, name)) for name, hint in get_type_hints(Call, include_extras=True).items()
}


def _shared(name: str, in_words: str) -> inspect.Parameter:
    if name in _CALL:
        return _parameter(name, *_CALL[name], variable=True)
    option, default = _SETTINGS[name]
    return _parameter(name, replace(option, default=in_words or option.default), default, variable=False)


def _own(parameter: inspect.Parameter) -> inspect.Parameter:
    """A parameter of the command itself, as Typer reads it."""
    declared = get_args(parameter.annotation)[1]
    if isinstance(declared, Option):
        return _parameter(parameter.name, declared, parameter.default, variable=True)
    return parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)


def _parameter(name: str, option: Option, default: Any, *, variable: bool) -> inspect.Parameter:
    """An option, as Typer reads it.

    Args:
        name: The option's name, with underscores.
        option: How help shows it.
        default: Its default; False for a flag, and () if it may be given several times.
        variable: Whether Typer reads its environment variable and applies its default; settings do this themselves.
    """
    kind: Any = bool if default is False else list[str] if default == () else str
    read = typer.Option(
        f"--{name.replace('_', '-')}",
        *([option.short] if option.short else []),
        metavar=option.metavar or None,
        envvar=f"ACCESS_BATCH_{name.upper()}" if variable else None,
        show_envvar=False,
        show_default=False,
        rich_help_panel=_HEADING_OF.get(name),
        help=_help(name, option, default),
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default if variable or default is False else None,
        annotation=Annotated[kind if variable or default is False else kind | None, read],
    )


def _help(name: str, option: Option, default: Any) -> str:
    words = option.default or (
        f"{default:g}"
        if isinstance(default, float)
        else ",".join(default or ())
        if isinstance(default, frozenset | tuple)
        else str(default or "")
    )
    notes = [f"[env: SAIL_{name.upper()}]"] if option.vendor else []
    if default is not False:
        notes.append(f"[default: {words or 'none'}]")
    return " ".join([option.help, *notes])
