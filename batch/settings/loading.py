"""Merges the settings from flags, environment and config file."""

from __future__ import annotations

import os
import shlex
import stat
import tomllib
from typing import TYPE_CHECKING, Any, Final

import platformdirs
from pydantic import ValidationError

from batch.api.dialects import dialect_named
from batch.errors import SettingsError
from batch.files import read_small
from batch.folders import HAS_MODES, check_way
from batch.settings.model import APPLICATION, CONSENTS, Settings, SettingSources
from batch.settings.option import options_of
from batch.text import has_password

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_OURS: Final = "ACCESS_BATCH_"
_VENDORS: Final = "SAIL_"
_NO_FLAG: Final = {"client_secret": True, "webhook": False}
"""Secrets that a variable can give, and whether it may be the vendor's: everybody can see the flags of a command."""

_TOPICS: Final = {"ignore": "results"}
"""Options whose values a help topic explains."""


def load(
    flags: Mapping[str, object], *, profile: str = "", config_file: Path | None = None, command: str = APPLICATION
) -> Settings:
    """Merges the settings.

    Args:
        flags: Options of the command line; None stands for not given.
        profile: Its table `[profile.NAME]` is laid over the top level; without one, it may be one of the vendor's CLI.
        config_file: Its usual place if None.
        command: The command at hand, as it is typed.

    Raises:
        SettingsError: A value is wrong, or the file is.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    if empty := [name for name, value in given.items() if value == ""]:
        raise SettingsError(
            f"--{empty[0].replace('_', '-')} is empty.", next_step="Nothing was sent. Give it a value, or leave it out."
        )
    path = config_file or platformdirs.user_config_path(APPLICATION) / "config.toml"
    top, profiles = _read_config(path, profile)
    table = profiles.get(profile) if profile else None
    variables = _variables()
    try:
        settings = Settings(**{**top, **(table or {}), **{name: one[1] for name, one in variables.items()}, **given})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        name = str(first["loc"][0])
        explained = f"{APPLICATION} help {_TOPICS[name]}" if name in _TOPICS else f"{command} --help"
        where = f"See `{explained}`." if name in given else f"Correct it in {variables.get(name, [path])[0]}."
        problem = first["msg"].removeprefix("Value error, ")
        raise SettingsError(
            f"--{name.replace('_', '-')}: {problem}{'' if problem.endswith('?') else '.'}", next_step=where
        ) from None
    dialect_named(settings.api)
    return settings.given_in(
        SettingSources(
            profile=profile,
            config_file=path,
            flags=frozenset(given),
            environment={name: variable for name, (variable, _) in variables.items()},
            table=table,
            top=top,
            profiles=profiles,
        )
    )


def _variables() -> dict[str, tuple[str, str]]:
    """Each field that the environment gives, with its variable and value. An empty variable counts as not set."""
    present = {name.upper(): value for name, value in os.environ.items() if value}
    options = options_of(Settings)
    found = {}
    for name in Settings.model_fields:
        option = options[name][0] if name in options else None
        if (option is None and name not in _NO_FLAG) or (option is not None and option.consents):
            continue
        vendors = _NO_FLAG[name] if option is None else option.vendor
        for variable in (f"{_OURS}{name}".upper(), *([f"{_VENDORS}{name}".upper()] if vendors else [])):
            if variable in present:
                found[name] = (variable, present[variable])
                break
    return found


def _read_config(path: Path, profile: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The file's top level and its profiles, of which only the named one is checked."""
    read = read_small(path, ours=True)
    try:
        document = tomllib.loads(read.text) if read is not None else {}
    except (ValueError, RecursionError) as error:
        raise SettingsError(
            f"The config file {path} can't be read: {error}.", next_step="Correct or remove it."
        ) from error
    if read is not None:
        check_way(path.parent, "")
    if read is not None and HAS_MODES and read.status.st_mode & stat.S_IWOTH:
        raise SettingsError(
            f"Everybody can write to the config file {path}, and decide what is sent where.",
            next_step=f"Nothing was sent. Check its content, then run: chmod o-w {shlex.quote(str(path))}",
        )
    profiles = document.pop("profile", {})
    if not isinstance(profiles, dict) or (profile in profiles and not isinstance(profiles[profile], dict)):
        raise SettingsError(
            f"The profile {profile!r} in {path} is not a table.",
            next_step=f"Add a table [profile.{profile or 'NAME'}].",
        )
    for part in (document, profiles.get(profile) or {} if profile else {}):
        if has_password(str(part.get("ledger", ""))):
            then = "Take it out: the variable PGPASSWORD, ~/.pgpass or a service file can hold it."
            raise SettingsError(f"The config file {path} holds the ledger's password.", next_step=then)
        if "client_secret" in part:
            raise SettingsError(
                f"The config file {path} holds a client_secret.",
                next_step="Store it with `access-batch login`, or name a file that holds it: client_secret_file.",
            )
        if consent := sorted(set(part) & CONSENTS):
            raise SettingsError(
                f"The config file {path} holds {consent[0]}: only the flag --{consent[0]} of a command consents, "
                "so that nothing is sent unasked later.",
                next_step=f"Nothing was sent. Remove it, and add --{consent[0]} to the commands that should not ask.",
            )
        if unknown := sorted(set(part) - set(Settings.model_fields)):
            raise SettingsError(
                f"The config file {path} has unknown entries: {', '.join(unknown)}.", next_step="Remove them."
            )
    return document, profiles
