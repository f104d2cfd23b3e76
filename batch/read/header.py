"""A file's header: its columns, and what is wrong with them. Pure."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from batch.errors import InputFileError
from batch.read.columns import (
    KNOWN_COLUMNS,
    METADATA_PREFIX,
    RESERVED_COLUMNS,
    bare_name,
    canonical_name,
    has_effect,
    letters,
)
from batch.text import on_one_line, restored

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batch.read.interpretation import ColumnMap, Interpretation

_REQUIRED = (("identity_id", "identity"), ("item_type",), ("item_id", "item"))
_OF_OWN_FILES = (
    frozenset({"_line", "_rule", "_message"}),
    frozenset({"operation", "identity_id", "item_type", "item_id", "comment", "_run"}),
)
_OF_PLAN = frozenset({"_class", "_request", "_owner"})
API_NAMES = {"requestedfor": "identity_id", "requesttype": "operation", "type": "item_type", "id": "item_id"}
"""Names of the API's own fields, by their letters, that differ from ours in more than their spelling."""

_OTHER_WORDS = {
    "identity": {
        "user", "username", "account", "alias", "login", "mail", "email", "employee", "person", "recipient", "name",
        "benutzer", "benutzername", "mitarbeiter", "utilisateur", "usuario",
    },
    "item_type": {"type", "typ", "kind", "art", "tipo"},
    "item": {
        "role", "access", "profile", "entitlement", "group", "permission", "rolle", "recht", "berechtigung", "gruppe",
    },
    "operation": {
        "action", "aktion", "vorgang", "op", "accion", "acción", "azione", "ação", "actie", "opération", "operación",
    },
    "account": {"account", "accounts", "acct", "accts", "accnt", "acc", "konto", "compte", "cuenta", "conta"},
    "comment": {"comments", "reason", "why", "justification", "note", "notes", "kommentar", "grund", "begründung"},
}  # fmt: skip
"""Words by which people call our columns: only for suggestions."""

_GRANTS = frozenset(
    {
        "grant", "grantaccess", "add", "addaccess", "assign", "give", "hinzufügen", "zuweisen", "erteilen", "ajouter",
        "accorder", "attribuer", "añadir", "agregar", "asignar", "conceder", "aggiungere", "adicionar", "toevoegen",
    }
)  # fmt: skip
_REVOKES = frozenset(
    {
        "revoke", "revokeaccess", "remove", "removeaccess", "delete", "unassign", "withdraw", "entfernen", "entziehen",
        "löschen", "retirer", "supprimer", "révoquer", "quitar", "eliminar", "revocar", "retirar", "rimuovere",
        "revogar", "remover", "verwijderen",
    }
)  # fmt: skip
_EXTENDS = frozenset(
    {
        "extend", "extendaccess", "prolong", "renew", "verlängern", "prolonger", "prorroger", "prorrogar", "extender",
        "prolungare", "prorogare", "prolongar", "verlengen",
    }
)  # fmt: skip
_NO_GRANTS = _REVOKES | _EXTENDS
"""Words for operations by their letters: only to find a column that may be the operation, never to read one."""

_NATIVE = "nativeidentity"
"""The API's name for what `account` holds."""
_IDENTITYIQ = frozenset({"identityname", "roles", "attributename", "attributevalue"})
"""Columns of IdentityIQ's files, in which the native identity may name the person as well."""

_MOST_LISTED = 30
_MOST_SHOWN = 80


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A column of the input.

    Attributes:
        name: The canonical name, as in `Table.rows`.
        header: The header in the file where the column first appears, as written.
    """

    name: str
    header: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """A file's header.

    Attributes:
        columns: Every field of the header in the file's order, dropped ones included.
        dropped: Names of the columns that our result files add, if this file is one.
        notices: Sentences for the user.
        maps: The user's column maps that matched a column here.
    """

    columns: tuple[Column, ...]
    dropped: frozenset[str]
    notices: tuple[str, ...]
    maps: tuple[ColumnMap, ...]

    @property
    def is_own_file(self) -> bool:
        """Whether access-batch wrote this file, to be submitted again."""
        return bool(self.dropped)

    @property
    def kept(self) -> tuple[Column, ...]:
        """The user's columns."""
        return tuple(column for column in self.columns if column.name not in self.dropped)


def read_header(headers: Sequence[str], file: str, interpretation: Interpretation) -> Header:
    """Give every column its canonical name; `check_columns` checks that the required columns are there.

    Args:
        headers: The header's cells, as written.
        file: The file's name for messages.
        interpretation: The user's reading options.

    Raises:
        InputFileError: Two columns have one name, a name is reserved, or a required map matches no column or several.
    """
    names = [canonical_name(header, position) for position, header in enumerate(headers, 1)]
    is_own_file = any(marks.issubset(names) for marks in _OF_OWN_FILES)
    if is_own_file:
        headers = pl.select(restored(pl.lit(pl.Series(headers, dtype=pl.String)))).to_series().to_list()
        names = [canonical_name(header, position) for position, header in enumerate(headers, 1)]
    reserved = [name for name in names if name in RESERVED_COLUMNS]
    names, maps = _apply_maps(names, headers, file, interpretation)
    names = _with_api_names(names)
    columns = tuple(Column(name=name, header=header) for name, header in zip(names, headers, strict=True))
    _check_unique(columns, file, maps)
    if METADATA_PREFIX in names:
        raise InputFileError(
            f"{file} has a column `{METADATA_PREFIX}` without a key.",
            next_step=f"Name the column `{METADATA_PREFIX}<key>`, for example `{METADATA_PREFIX}ticket`.",
        )
    if _OF_PLAN.issubset(reserved):
        raise InputFileError(
            f"{file} is the list of a plan, for people to read: it has rows that are not to be sent, too.",
            next_step="Nothing was sent. Submit the input that was planned. To send exactly what a plan has, save it "
            "as well, and submit that: access-batch plan INPUT --save FILE",
        )
    if reserved and not is_own_file:
        raise InputFileError(
            f"{file} has columns named like those of our result files: {_listed(reserved)}.",
            next_step="Nothing was sent. If it was a result file, such as rejected.csv, put back those of its columns "
            "`_line`, `_rule` and `_message` that are missing; their cells may be empty. Only then are the apostrophes "
            "removed that protect cells from being read as formulas. If it is another file, rename the columns. "
            "`plan.csv`, `results.csv` and `tracked.csv` can't be submitted.",
        )
    own_file = (
        f"{file} is a result file of access-batch. Its columns {_listed(reserved)} were left out, "
        "and the apostrophes that protect cells from being read as formulas were removed."
    )
    notices = (*([own_file] if is_own_file else []), *_respelled(columns, maps, file))
    return Header(columns=columns, dropped=frozenset(reserved), notices=notices, maps=maps)


def _with_api_names(names: list[str]) -> list[str]:
    """The names, with the API's own read as ours if `requestedFor` shows that they are these."""
    bare = {letters(name): name for name in names if not has_effect(name)}
    if _NATIVE in bare and "account" not in names and not _IDENTITYIQ & bare.keys():
        names = ["account" if name == bare[_NATIVE] else name for name in names]
    if "requestedfor" not in bare:
        return names
    # An `id` alone may be anybody's.
    is_item = "type" in bare or "item_type" in names
    theirs = {
        bare[word]: ours
        for word, ours in API_NAMES.items()
        if word in bare and ours not in names and (word != "id" or is_item)
    }
    return [theirs.get(name, name) for name in names]


def _respelled(columns: Sequence[Column], maps: Sequence[ColumnMap], file: str) -> tuple[str, ...]:
    """A notice about headers that are read as ours although they are spelled otherwise."""
    mapped = {column_map.key for column_map in maps}
    pairs = [
        f"`{on_one_line(column.header, most=_MOST_SHOWN)}` as `{column.name}`"
        for column in columns
        if column.name in KNOWN_COLUMNS and bare_name(column.header).lower() not in {column.name, *mapped}
    ]
    return (f"{file}: read {', '.join(pairs)}.",) if pairs else ()


def check_columns(rows: pl.DataFrame, names: Sequence[str], file: str, *, is_own: bool) -> tuple[str, ...]:
    """Check that a file has the columns that every row needs; return notices about columns without effect.

    Args:
        rows: `_line` and the user's columns, of the rows that are taken.
        names: Canonical names of the user's columns.
        file: The file's name for messages.
        is_own: Whether access-batch wrote the file, to be submitted again.

    Raises:
        InputFileError: A required column is missing; or there is no operation, and another column may hold revokes.
    """
    _check_required(names, file)
    absent = [name for name in KNOWN_COLUMNS if name not in names]
    theirs = None
    if "operation" not in names:
        theirs = _perhaps_operation(rows, names, file)
    elif not is_own and (rows.get_column("operation").fill_null("").str.strip_chars() == "").all():
        # The rows that a file of ours gives back may be those of a filled column that are empty.
        _perhaps_operation(rows, names, file)
    if theirs:
        absent.remove("operation")
    return (
        # Without this notice, the revokes of such a file would silently be grants.
        *([_EVERY_ROW_GRANTS.format(file, on_one_line(theirs, most=_MOST_SHOWN))] if theirs else []),
        *(
            f"{file}: column `{name}` has no effect and is only copied to the result files (did you mean `{match}`? "
            f"Then add --map '{name}={match}')."
            for name in names
            if not has_effect(name)
            for match in _nearest(name, absent, cutoff=0.8) or _perhaps_account(name, absent)
        ),
    )


def _perhaps_account(name: str, absent: Sequence[str]) -> list[str]:
    return ["account"] if "account" in absent and _called("account", [name]) else []


_EVERY_ROW_GRANTS = (
    "{0} has no column `operation`, so every row is a GRANT. If column `{1}` says otherwise, add --map '{1}=operation'."
)


def _perhaps_operation(rows: pl.DataFrame, names: Sequence[str], file: str) -> str | None:
    """The first of the user's columns that is called like an operation; all its cells are empty or say grant.

    Raises:
        InputFileError: A cell of such a column is anything else; or a column by any name only has words for operations,
            one of which revokes.
    """
    called = []
    for name in _without_effect(names):
        # Polars would take some headers for patterns of names.
        words = rows.select("_line", rows.get_column(name).str.strip_chars().alias("written"))
        words = words.filter(pl.col("written") != "")
        said = pl.col("written").str.to_lowercase().str.replace_all(r"[\s_-]", "")
        if _is_called_operation(name):
            called.append(name)
            others = words.filter(~said.is_in(_GRANTS))
        elif words.head(1).select(said.is_in(_GRANTS | _NO_GRANTS).any()).item():
            # One look at the first cell spares most columns the rest.
            only_operations = words.select(said.is_in(_GRANTS | _NO_GRANTS).all()).item()
            others = words.filter(said.is_in(_NO_GRANTS)) if only_operations else words.clear()
        else:
            continue
        if not others.is_empty():
            line, word = others.row(0)
            raise _perhaps_revokes(
                file, name, on_one_line(word, most=_MOST_SHOWN), line, has_empty="operation" in names
            )
    return called[0] if called else None


def _is_called_operation(name: str) -> bool:
    is_apis = API_NAMES.get(letters(name)) == "operation"
    return is_apis or bool(_called("operation", [name]) or _nearest(name, ["operation"], cutoff=0.8))


def _perhaps_revokes(file: str, name: str, word: str, line: int, *, has_empty: bool) -> InputFileError:
    name = on_one_line(name, most=_MOST_SHOWN)
    lacks = f"In {file}, column `operation` is empty" if has_empty else f"{file} has no column `operation`"
    return InputFileError(
        f"{lacks}, so every row would be a GRANT, but column `{name}` has '{word}' in line {line}.",
        next_step="Nothing was sent. If that column is the operation, "
        f"{'remove the empty one, ' if has_empty else ''}write GRANT or REVOKE into it and add --map "
        f"'{name}=operation'. If it is something else, add --map '{name}={METADATA_PREFIX}{name.lower()}', which sends "
        "it along.",
    )


def _without_effect(names: Sequence[str]) -> list[str]:
    """The user's columns on which access-batch does not act."""
    return [name for name in names if not has_effect(name) and name not in RESERVED_COLUMNS]


def _apply_maps(
    names: Sequence[str], headers: Sequence[str], file: str, interpretation: Interpretation
) -> tuple[list[str], tuple[ColumnMap, ...]]:
    """The names after applying the user's maps, and the maps that matched a column."""
    mapped, applied = list(names), []
    for column_map in interpretation.maps:
        positions = [
            position
            for position, (name, header) in enumerate(zip(names, headers, strict=True))
            if column_map.key == (bare_name(header) or name).lower()
        ]
        if not positions and interpretation.maps_required:
            shown = _listed([name for name in names if name not in RESERVED_COLUMNS])
            raise InputFileError(
                f"{file} has no column `{column_map.theirs}` to read as `{column_map.ours}`. Its columns are {shown}.",
                next_step=f"Fix or remove the mapping: `--map {column_map.text}`.",
            )
        if len(positions) > 1:
            raise InputFileError(
                f"{file} has {len(positions)} columns `{column_map.theirs}`, so `--map {column_map.text}` is unclear.",
                next_step="Remove or rename all but one of them.",
            )
        if positions:
            mapped[positions[0]] = column_map.ours
            applied.append(column_map)
    return mapped, tuple(applied)


def _check_unique(columns: tuple[Column, ...], file: str, maps: Sequence[ColumnMap]) -> None:
    mapped = {column_map.ours: column_map.text for column_map in maps}
    seen: dict[str, tuple[int, Column]] = {}
    for position, column in enumerate(columns, 1):
        if column.name in seen:
            other_position, other = seen[column.name]
            raise InputFileError(
                f"{file} has two columns for `{column.name}`: column {other_position} (`{other.header}`) and "
                f"column {position} (`{column.header}`).",
                next_step=f"Leave out `--map {mapped[column.name]}`, or remove or rename one of them."
                if column.name in mapped
                else "Remove or rename one of them.",
            )
        seen[column.name] = (position, column)


def _check_required(names: Sequence[str], file: str) -> None:
    missing = [choices for choices in _REQUIRED if not set(choices) & set(names)]
    if not missing:
        return
    required = ", ".join(" or ".join(f"`{name}`" for name in choices) for choices in missing)
    unknown = _without_effect(names)
    if any("identity" in choices for choices in missing):
        # Some call the people so.
        unknown += [name for name in names if name == "account"]
    meant = []
    for choices in missing:
        theirs, ours = _meant(choices, unknown)
        unknown = [name for name in unknown if name != theirs]
        meant.append((theirs, ours))
    optional = [ours for ours in ("operation", "comment") if ours not in names]
    meant += [(found, ours) for ours in optional if (found := _called(ours, unknown))]
    maps = [f"--map '{on_one_line(theirs, most=_MOST_SHOWN)}={ours}'" for theirs, ours in meant]
    add = "column" if len(missing) == 1 else "columns"
    raise InputFileError(
        f"{file} has no column {required}. Its columns are {_listed(names)}.",
        next_step=f"Nothing was sent. Add the {add}, or map yours: `{' '.join(maps)}`.",
    )


def _meant(choices: Sequence[str], unknown: Sequence[str]) -> tuple[str, str]:
    """The column of the user's that may be meant by one of `choices`, and by which; a placeholder if none may."""
    for ours in choices:
        if near := _nearest(ours, unknown, cutoff=0.75):
            return near[0], ours
    ours = choices[-1]
    return _called(ours, unknown) or "YOUR COLUMN", ours


def _called(ours: str, unknown: Sequence[str]) -> str | None:
    """The first of the user's columns whose name has a word by which people call this column of ours."""
    for name in unknown:
        if _OTHER_WORDS[ours] & {name.lower(), *re.findall(r"[^\W\d_]+", name.lower())}:
            return name
    return None


def _nearest(name: str, candidates: Sequence[str], *, cutoff: float) -> list[str]:
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    return [by_lower[match] for match in difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=cutoff)]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{on_one_line(name, most=_MOST_SHOWN)}`" for name in names[:_MOST_LISTED])
    return shown + (f" and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else "")
