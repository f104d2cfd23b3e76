"""The inputs of a command, loaded as the settings say they are to be read; and maps saved for the next time."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from batch.commands.config_file import with_entry
from batch.errors import SettingsError, UsageError
from batch.model import IdentityBy
from batch.read import LoadedInputs, load_inputs, make_interpretation
from batch.text import count

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

    from batch.commands.screen import Screen
    from batch.settings import Settings


def load(
    inputs: Sequence[str], settings: Settings, screen: Screen, *, stdin: BinaryIO, save_map: bool = False
) -> LoadedInputs:
    """Loads the inputs of `submit`, `plan` and `validate`.

    Args:
        inputs: Files, globs, or `-`.
        settings: Say how they are to be read.
        screen: Is told what was saved.
        stdin: What `-` reads.
        save_map: Whether to write the maps given into the config file, once they fit the inputs.

    Raises:
        InputFileError: An input can't be loaded, or a map given for it can't be followed.
        UsageError: A map, the date format or the comment is none, or there is no map to save.
        SettingsError: The maps can't be saved.
    """
    maps_required = "map" in settings.sources.flags
    if save_map and not maps_required:
        raise UsageError(
            "--save-map saves the maps that are given with it, and there are none.",
            next_step="Nothing was sent. Give them: --map THEIRS=OURS --save-map.",
        )
    interpretation = make_interpretation(
        maps=settings.map,
        maps_required=maps_required,
        date_format=settings.date_format,
        comment=settings.comment,
        # A name that is another field's is another person's.
        identity_by="" if settings.identity_by is IdentityBy.AUTO else settings.identity_by.value,
    )
    loaded = load_inputs(inputs, stdin=stdin, interpretation=interpretation)
    if save_map:
        screen.say(_save(settings, [one.text for one in interpretation.maps]))
    return loaded


def _save(settings: Settings, maps: Sequence[str]) -> str:
    """Writes maps into the config file; returns what was done, in a sentence."""
    # Whatever else stands at the end of a link that somebody keeps in a repository of such files.
    path = Path(os.path.realpath(settings.sources.config_file))
    profile = settings.sources.profile
    try:
        before = path.read_bytes() if path.exists() else b""
        mark = b"\xef\xbb\xbf" if before.startswith(b"\xef\xbb\xbf") else b""
        table = ("profile", profile) if profile else ()
        after = with_entry(before.removeprefix(mark).decode(), table, "map", maps)
        if after is None:
            raise SettingsError(
                f"The config file {path} can't be changed without risk to what else it holds.",
                next_step=f"Nothing was sent. Write the maps into it yourself: map = {list(maps)}",
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, mark + after.encode())
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "a name in it is not text"
        raise SettingsError(
            f"The maps can't be saved in {path}: {why}.", next_step="Nothing was sent. Leave out --save-map."
        ) from error
    connection = f"as the profile {profile!r} in {path}" if profile else f"in {path}"
    return f"Saved {connection}, in place of any saved before: {count(len(maps), 'map')} ({', '.join(maps)})."


def _replace(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all, with the mode that it has."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileNotFoundError):
            Path(name).chmod(path.stat().st_mode & 0o7777)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
