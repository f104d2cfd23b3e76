"""Loads a command's inputs by its settings, and saves maps for the next time."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from batch.commands.config_file import with_entry
from batch.errors import SettingsError, UsageError
from batch.files import read_whole, whole_file
from batch.model import IdentityBy
from batch.read import LIMITS, Limits, LoadedInputs, load_inputs, make_interpretation
from batch.tenant.download import download
from batch.text import count
from batch.validate.digest import input_digest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

    from batch.commands.screen import Screen
    from batch.ledger.store import Ledger
    from batch.read import Table
    from batch.settings import Settings


def load(
    inputs: Sequence[str], settings: Settings, screen: Screen, *, stdin: BinaryIO | None, save_map: bool = False
) -> LoadedInputs:
    """Loads the inputs of `submit`, `plan` and `validate`.

    Args:
        inputs: Files, globs, URLs, or `-`.
        settings: How to read them.
        screen: Shows what was saved.
        stdin: Source of `-`; None if it is closed.
        save_map: Whether to save the maps in the config file, once they fit the inputs.

    Raises:
        InputFileError: An input can't be loaded, or a map does not fit it.
        UsageError: A map, a condition, the date format or the comment is invalid, or there is no map to save.
        SettingsError: The maps can't be saved.
    """
    maps_required = "map" in settings.sources.flags
    if save_map and not maps_required:
        raise UsageError(
            "--save-map has nothing to save: this command has no --map.",
            next_step="Nothing was sent. Add them: --map YOURS=OURS --save-map.",
        )
    interpretation = make_interpretation(
        maps=settings.map,
        maps_required=maps_required,
        date_format=settings.date_format,
        time_zone=settings.time_zone,
        comment=settings.comment,
        ticket_pattern=settings.ticket_pattern,
        # The same name in another field is another person's.
        identity_by="" if settings.identity_by is IdentityBy.AUTO else settings.identity_by.value,
        sheet=settings.sheet,
        where=settings.where,
        limits=Limits.of_size(settings.max_input) if settings.max_input else LIMITS,
    )
    loaded = load_inputs(
        inputs,
        stdin=stdin,
        interpretation=interpretation,
        download=partial(download, ca_file=settings.ca_file, timeout=settings.timeout),
    )
    if "sheet" in settings.sources.flags and not any(content.is_workbook for content in loaded.contents):
        raise UsageError(
            f"--sheet {settings.sheet} names a sheet of a workbook, but {loaded.contents[0].title} is not a workbook.",
            next_step="Nothing was sent. Run the command without --sheet, or name the .xlsx file that has this sheet.",
        )
    if save_map:
        screen.say(_save(settings, [one.text for one in interpretation.maps]))
    return loaded


def digest_in(ledger: Ledger, tenant: str, table: Table, identity_by: IdentityBy) -> str:
    """The digest of an input in a ledger: of its rows, or of its bytes if a run of an older version has that."""
    if ledger.runs.of_input(tenant, table.digest) is not None:
        return table.digest
    return input_digest(table, identity_by)


def _save(settings: Settings, maps: Sequence[str]) -> str:
    """Writes maps into the config file; returns a sentence about it."""
    # If the file is a link, into a repository of dotfiles say, it stays one.
    path = Path(os.path.realpath(settings.sources.config_file))
    profile = settings.sources.profile
    try:
        before = read_whole(path)[0] if path.exists() else b""
        byte_order_mark = b"\xef\xbb\xbf" if before.startswith(b"\xef\xbb\xbf") else b""
        table = ("profile", profile) if profile else ()
        after = with_entry(before.removeprefix(byte_order_mark).decode(), table, "map", maps)
        if after is None:
            raise SettingsError(
                f"The config file {path} can't be changed without risk to its other entries.",
                next_step=f"Nothing was sent. Write the maps into it yourself: map = {list(maps)}",
            )
        with whole_file(path, keeps_mode=True) as file:
            file.write(byte_order_mark + after.encode())
    except (OSError, UnicodeError) as error:
        why = (
            error.strerror if isinstance(error, OSError) and error.strerror else "a name in the maps is not valid text"
        )
        raise SettingsError(
            f"The maps can't be saved in {path}: {why}.", next_step="Nothing was sent. Leave out --save-map."
        ) from error
    where = f"in the profile {profile!r} of {path}" if profile else f"in {path}"
    return f"Saved {count(len(maps), 'map')} {where}, in place of any saved before: {', '.join(maps)}."
