"""What the user gives: flags, environment and our config file, each kept apart, so that a secret keeps its tenant."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr

from batch.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from batch.settings import Settings

_WAYS: Final = ("client_secret", "client_secret_file", "client_secret_env")
"""The fields that give the secret, or say where it is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SecretSource:
    """How to come by a secret that is not read yet: its value, its file, or its variable.

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
        base_url: The tenant; empty where it names none.
        base_url_source: Where exactly, in words.
        client_id: The client; likewise empty.
        way: How to come by its secret; None where it has none.
        home: The tenant that stands beside the secret in the environment, and is its own; empty where none does.
    """

    source: str
    base_url: str = ""
    base_url_source: str = ""
    client_id: str = ""
    way: SecretSource | None = None
    home: str = ""


def on_the_spot(settings: Settings) -> Layer:
    """What flags and environment give, flags first; they may be combined as the user did it.

    Raises:
        SettingsError: The secret is said to be in two places at once.
    """
    sources = settings.sources
    given = sources.flags | set(sources.environment)
    field = _field_on_the_spot(settings)
    return Layer(
        source="flags and environment",
        base_url=settings.base_url if "base_url" in given else "",
        base_url_source=_place_of(settings, "base_url"),
        client_id=settings.client_id.strip() if "client_id" in given else "",
        way=_way(field, getattr(settings, field), _place_of(settings, field)) if field else None,
        home="" if field in sources.flags else _beside(sources.environment.get(field, "")),
    )


def in_the_file(settings: Settings) -> tuple[Layer, ...]:
    """What the config file gives: the profile that is named, if one is, and then its top level.

    A profile is laid over the top level, so what it does not say itself is said there; but the top level's secret
    belongs to the top level's tenant, whatever the profile says.

    Raises:
        SettingsError: An entry is of the wrong type, or the secret is said to be in two places at once.
    """
    sources = settings.sources
    file = f"the config file {sources.config_file}"
    top = _layer(sources.top, file)
    if not sources.profile:
        return (top,)
    profile = _layer(sources.table or {}, f"[profile.{sources.profile}] of {file}")
    return profile, top


def reveal(way: SecretSource) -> tuple[SecretStr, tuple[str, ...]]:
    """Reads the secret, and says what the user should know of its place.

    Raises:
        SettingsError: There is none.
    """
    if way.value is not None:
        return way.value, ()
    if way.file is None:
        # A name that is set nowhere is not repeated: it may be the secret itself, given by mistake.
        secret = os.environ.get(way.variable, "").strip() if "=" not in way.variable else ""
        if not secret:
            raise SettingsError(
                f"The environment variable that {way.source} names is not set.",
                next_step="Give the variable's name, not the secret.",
            )
        return SecretStr(secret), ()
    try:
        path = way.file.expanduser()
    except RuntimeError:
        raise SettingsError(
            f"Nobody has the home that {way.source} begins with.", next_step="Correct the path."
        ) from None
    read = read_small(path, next_step="It should hold the client secret on one line.")
    if read is None:
        raise SettingsError(f"There is no file {path}, which {way.source} names.", next_step="Correct the path.")
    text, shared = read
    return one_line(text, str(path)), (warn_of_readers(path),) if shared else ()


def one_line(text: str, name: str) -> SecretStr:
    """The secret on the only line of a text.

    Raises:
        SettingsError: There is none, or more than one line.
    """
    secret = text.removeprefix("\ufeff").strip()
    if not secret or len(secret.splitlines()) > 1:
        raise SettingsError(
            f"{name} does not hold one line with the client secret.", next_step="Nothing else may stand there."
        )
    return SecretStr(secret)


def _field_on_the_spot(settings: Settings) -> str:
    """The strongest setting that says where the secret is; empty where none does."""
    sources = settings.sources
    ours = {name for name, variable in sources.environment.items() if variable.startswith("ACCESS_BATCH_")}
    for stronger in (sources.flags, ours, set(sources.environment)):
        fields = [field for field in _WAYS if field in stronger and getattr(settings, field) not in {None, ""}]
        if fields:
            _only_one(fields, lambda field: _place_of(settings, field))
            return fields[0]
    return ""


def _beside(variable: str) -> str:
    """The tenant that the environment names in the same way as it does something of a client."""
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
            raise SettingsError(f"{name} is no text in {source}.", next_step="Put it in quotes.")
    fields = [field for field in _WAYS if entries.get(field)]
    _only_one(fields, lambda field: f"{field} in {source}")
    return Layer(
        source=source,
        base_url=entries.get("base_url", ""),
        base_url_source=source,
        client_id=entries.get("client_id", "").strip(),
        way=_way(fields[0], entries[fields[0]], f"{fields[0]} in {source}") if fields else None,
    )


def _way(field: str, value: Any, source: str) -> SecretSource:
    if field == "client_secret":
        return SecretSource(source=source, value=SecretStr(value.get_secret_value().strip()))
    if field == "client_secret_env":
        return SecretSource(source=source, variable=value)
    if str(value) == "-":
        raise SettingsError(
            f"{source} can't be standard input, where the input file may be.", next_step="Name a file or a pipe."
        )
    return SecretSource(source=source, file=Path(value))


def _only_one(fields: list[str], describe: Callable[[str], str]) -> None:
    if len(fields) > 1:
        both = " and ".join(describe(field) for field in fields)
        raise SettingsError(f"The client secret is given twice: by {both}.", next_step="Leave one of them out.")


MOST_BYTES: Final = 256 * 1024
"""More than any of these files needs: theirs are a few kilobytes."""

_MEND: Final = "Mend or remove it."


def read_small(path: Path, *, next_step: str = _MEND) -> tuple[str, bool] | None:
    """A file's text, and whether other users of this machine may read it; None where there is no such file.

    Args:
        path: A file, or a pipe such as a shell's `<(…)`.
        next_step: What the user can do where it can't be read.

    Raises:
        SettingsError: It can't be read, is too large, or is no UTF-8 text.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            content = file.read(MOST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "this is no path"
        raise SettingsError(f"{path} can't be read: {why}.", next_step=next_step) from None
    if len(content) > MOST_BYTES:
        raise SettingsError(f"{path} is larger than {MOST_BYTES // 1024} KiB.", next_step=next_step)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is no UTF-8 text.", next_step=next_step) from None
    # Windows has no such bits; what Python shows there says nothing.
    shared = (
        os.name == "posix" and stat.S_ISREG(status.st_mode) and bool(status.st_mode & (stat.S_IRGRP | stat.S_IROTH))
    )
    return text, shared


def warn_of_readers(path: Path) -> str:
    """The notice for a secret that other users may read."""
    return f"Other users of this machine may read the secret in {path}: `chmod 600` it."
