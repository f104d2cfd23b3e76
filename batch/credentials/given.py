"""What the user gives in flags, environment and config file, kept apart so that each secret keeps its tenant."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr

from batch.errors import SettingsError
from batch.files import read_small

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from batch.settings import Settings

_SECRET_FIELDS: Final = ("client_secret", "client_secret_file", "client_secret_env")
"""The settings that give the secret, or its place."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SecretSource:
    """A secret that is not read yet: its value, its file, or its variable.

    Attributes:
        source: In words.
    """

    source: str
    value: SecretStr | None = None
    file: Path | None = None
    variable: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """What one place gives.

    Attributes:
        source: The place, in words.
        base_url: The tenant; empty if it names none.
        base_url_source: Where exactly, in words.
        client_id: The client; empty if it names none.
        secret: Where its secret is; None if it has none.
        secret_tenant: The tenant beside the secret in the environment; empty if there is none.
    """

    source: str
    base_url: str = ""
    base_url_source: str = ""
    client_id: str = ""
    secret: SecretSource | None = None
    secret_tenant: str = ""


def flags_and_environment(settings: Settings) -> Layer:
    """What flags and environment give together, flags first; the user may combine them.

    Raises:
        SettingsError: They give the secret twice.
    """
    sources = settings.sources
    given = sources.flags | set(sources.environment)
    field = _strongest_secret(settings)
    return Layer(
        source="flags and environment",
        base_url=settings.base_url if "base_url" in given else "",
        base_url_source=_place_of(settings, "base_url"),
        client_id=settings.client_id.strip() if "client_id" in given else "",
        secret=_secret(field, getattr(settings, field), _place_of(settings, field)) if field else None,
        secret_tenant="" if field in sources.flags else _tenant_beside(sources.environment.get(field, "")),
    )


def config_file_layers(settings: Settings) -> tuple[Layer, ...]:
    """What the config file gives: the profile, if one is named, then the top level.

    The top level completes the profile, but the top level's secret belongs to the top level's tenant.

    Raises:
        SettingsError: An entry has the wrong type, or one layer gives the secret twice.
    """
    sources = settings.sources
    file = f"the config file {sources.config_file}"
    top = _layer(sources.top, file)
    if not sources.profile:
        return (top,)
    return _layer(sources.table or {}, f"[profile.{sources.profile}] of {file}"), top


def reveal(secret: SecretSource) -> tuple[SecretStr, tuple[str, ...]]:
    """Reads the secret; returns it with what the user should know of its place.

    Raises:
        SettingsError: There is none.
    """
    if secret.value is not None:
        return secret.value, ()
    if secret.file is None:
        # Do not repeat a name that is not set: it may be the secret itself, given by mistake.
        value = os.environ.get(secret.variable, "").strip() if "=" not in secret.variable else ""
        if not value:
            raise SettingsError(
                f"The environment variable that {secret.source} names is not set.",
                next_step="Give the variable's name, not the secret.",
            )
        return SecretStr(value), ()
    try:
        path = secret.file.expanduser()
    except RuntimeError:
        raise SettingsError(
            f"The path of {secret.source} begins with the home folder of an unknown user.",
            next_step="Correct the path.",
        ) from None
    read = read_small(path, next_step="It should hold the client secret on one line.", pipe=True)
    if read is None:
        raise SettingsError(f"There is no file {path}, which {secret.source} names.", next_step="Correct the path.")
    return one_line(read.text, str(path)), read.notices


def one_line(text: str, name: str) -> SecretStr:
    """The secret on the only line of a text.

    Raises:
        SettingsError: There is no line, or more than one.
    """
    secret = text.removeprefix("\ufeff").strip()
    if not secret or len(secret.splitlines()) > 1:
        raise SettingsError(
            f"{name} must hold the client secret on one line, and nothing else.",
            next_step="Remove everything else from it.",
        )
    return SecretStr(secret)


def _strongest_secret(settings: Settings) -> str:
    """The strongest setting that gives the secret or its place; empty if none does."""
    sources = settings.sources
    ours = {name for name, variable in sources.environment.items() if variable.startswith("ACCESS_BATCH_")}
    for stronger in (sources.flags, ours, set(sources.environment)):
        fields = [field for field in _SECRET_FIELDS if field in stronger and getattr(settings, field) not in {None, ""}]
        if fields:
            _require_one(fields, lambda field: _place_of(settings, field))
            return fields[0]
    return ""


def _tenant_beside(variable: str) -> str:
    """The base URL in the environment whose variable has the prefix of a client's variable."""
    named = f"{variable.partition('CLIENT_')[0]}BASE_URL"
    return next((value.strip() for name, value in os.environ.items() if variable and name.upper() == named), "")


def _place_of(settings: Settings, field: str) -> str:
    sources = settings.sources
    if field in sources.flags:
        return f"--{field.replace('_', '-')}"
    return f"the environment ({sources.environment.get(field, f'SAIL_{field.upper()}')})"


def _layer(entries: Mapping[str, Any], source: str) -> Layer:
    for name in ("base_url", "client_id", "client_secret_file", "client_secret_env"):
        if not isinstance(entries.get(name, ""), str):
            raise SettingsError(f"{name} is not text in {source}.", next_step="Put it in quotes.")
    fields = [field for field in _SECRET_FIELDS if entries.get(field)]
    _require_one(fields, lambda field: f"{field} in {source}")
    return Layer(
        source=source,
        base_url=entries.get("base_url", ""),
        base_url_source=source,
        client_id=entries.get("client_id", "").strip(),
        secret=_secret(fields[0], entries[fields[0]], f"{fields[0]} in {source}") if fields else None,
    )


def _secret(field: str, value: Any, source: str) -> SecretSource:
    if field == "client_secret":
        return SecretSource(source=source, value=SecretStr(value.get_secret_value().strip()))
    if field == "client_secret_env":
        return SecretSource(source=source, variable=value)
    if str(value) == "-":
        raise SettingsError(
            f"{source} can't be standard input, which may hold the input file.", next_step="Name a file or a pipe."
        )
    return SecretSource(source=source, file=Path(value))


def _require_one(fields: list[str], describe: Callable[[str], str]) -> None:
    if len(fields) > 1:
        both = " and ".join(describe(field) for field in fields)
        raise SettingsError(f"The client secret is given twice: by {both}.", next_step="Leave one of them out.")
