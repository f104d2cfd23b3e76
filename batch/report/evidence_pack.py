"""The form of an evidence pack: a ZIP archive with a manifest. Pure.

There is one way to write the files of a pack: names in order, no times, no comments. A pack whose bytes are otherwise
was changed. The tables are lines of JSON, which are written in one way too.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import struct
import zipfile
import zlib
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import polars as pl

from batch.errors import InputFileError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

FORMAT: Final = "access-batch evidence "
VERSION: Final = "1"
"""The number changes if a program that reads this version could misread a pack."""

MANIFEST: Final = "manifest.json"
SIGNATURES: Final = "signatures.json"

MOST_BYTES: Final = 1 << 30
"""Of a file in a pack, and of a pack."""

_MOST_FILES: Final = 40
_MOST_IN_ALL: Final = 1 << 31
_MOST_RATIO: Final = 400
"""How many times its size in the archive a file may have."""

_BEYOND: Final = 1 << 20
"""How many bytes all files together may have beyond that."""

_ENTRY: Final = b"PK\1\2"
"""What each file's entry in an archive's directory begins with."""

_NAME: Final = re.compile(r"(?:[a-z]+/)?[a-z][a-z_-]*\.[a-z]+", re.ASCII)
_AT_ONCE: Final = 50_000
"""Lines that become a table at once: this bounds the memory."""

_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


class Pack(NamedTuple):
    """The files of a pack that was read.

    Attributes:
        manifest: What the pack is; empty if that file is damaged, or written otherwise than `as_document` does.
        files: The content of each file by its name, also of the manifest and the signatures.
        faults: What is wrong with them, as sentences.
    """

    manifest: Mapping[str, Any]
    files: Mapping[str, bytes]
    faults: Sequence[str]


def as_document(value: Mapping[str, Any]) -> bytes:
    """A JSON document for people and programs."""
    return json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False).encode() + b"\n"


def packed(files: Mapping[str, bytes], about: Mapping[str, Any], sign: Callable[[bytes], bytes]) -> bytes:
    """A pack of files. The same files, manifest and signatures give the same bytes.

    Args:
        files: By their names.
        about: What the manifest says, beside the files.
        sign: Takes the manifest, and returns the signatures.
    """
    members = [deflated(name, files[name]) for name in sorted(files)]
    listed = {one.name: _digest(files[one.name], one.raw) for one in members}
    manifest = as_document({"format": FORMAT + VERSION, **about, "files": listed})
    return assembled([*members, stored(MANIFEST, manifest), stored(SIGNATURES, sign(manifest))])


def _digest(content: bytes, raw: bytes) -> dict[str, Any]:
    """The size and the hash of a file, and the hash of its compressed form: the same content has many of these."""
    names = {"sha256": content, "packed_sha256": raw}
    return {"bytes": len(content), **{name: hashlib.sha256(data).hexdigest() for name, data in names.items()}}


def deflated(name: str, content: bytes) -> Member:
    """A file as an archive has it, compressed."""
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    raw = deflater.compress(content) + deflater.flush()
    return Member(name, zlib.crc32(content), len(content), raw)


def stored(name: str, content: bytes) -> Member:
    """A file as an archive has it, not compressed."""
    return Member(name, zlib.crc32(content), len(content), content, 0)


def unpacked(data: bytes, title: str) -> Pack:
    """Read a pack.

    Args:
        data: The archive.
        title: Its name, for messages.

    Raises:
        InputFileError: It is no pack, only a part of one, or one that could not be read safely.
    """
    # Even to list very many files would take long.
    if (number := data.count(_ENTRY)) > _MOST_FILES:
        raise _refused(f"{title} holds {number:,} files, more than any evidence pack.")
    try:
        infos = zipfile.ZipFile(io.BytesIO(data)).infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, EOFError, struct.error):
        raise _refused(f"{title} is not an evidence pack, or only a part of one is there.") from None
    _require_safe(infos, title, most=len(data))
    members = [Member(one.filename, one.CRC, one.file_size, _raw(data, one), one.compress_type) for one in infos]
    raw = {one.name: one.raw for one in members}
    files, damaged = _contents(members)
    manifest = _manifest(files, damaged, title)
    faults = [f"{name} is damaged" for name in damaged]
    if not damaged and not (_is_ordered(infos) and assembled(members) == data):
        faults.append("the archive was changed around its files: access-batch has not written it like this")
    if manifest:
        faults += _file_faults(manifest, files, raw, damaged)
        if not _is_as_written(manifest, files[MANIFEST]):
            return Pack({}, files, [*faults, f"{MANIFEST} was changed"])
    return Pack(manifest, files, faults)


def as_lines(table: pl.DataFrame) -> bytes:
    """A table as lines of JSON: an object for each row, with all columns in their order."""
    return b"".join(f"{_encode(row)}\n".encode() for row in table.iter_rows(named=True))


def from_lines(content: bytes, schema: Mapping[str, Any]) -> pl.DataFrame:
    """A table from lines of JSON.

    Args:
        content: From `as_lines`.
        schema: The columns.

    Raises:
        ValueError: It is not as `as_lines` writes it.
    """
    lines = io.BytesIO(content)
    frames = [pl.DataFrame(schema=schema)]
    while some := list(islice(lines, _AT_ONCE)):
        try:
            rows = [tuple(json.loads(line).values()) for line in some]
            frames.append(pl.DataFrame(rows, schema=schema, orient="row", strict=True))
        except (AttributeError, TypeError, OverflowError, RecursionError, pl.exceptions.PolarsError) as error:
            raise ValueError(str(error)) from None
        # There is one way to write each row, so this finds other names, kinds, blanks and repetitions as well.
        if as_lines(frames[-1]) != b"".join(some):
            raise ValueError("a line was written otherwise")
    return pl.concat(frames)


def _require_safe(infos: Sequence[zipfile.ZipInfo], title: str, *, most: int) -> None:
    """Refuse what no pack has, before anything of it is unpacked."""
    # Python ends a name at its first NUL.
    names = [info.orig_filename for info in infos]
    if MANIFEST not in names:
        raise _refused(f"{title} is another kind of archive: it has no {MANIFEST}.")
    if odd := next((name for name in names if not _NAME.fullmatch(name)), None):
        raise _refused(f"{title} holds a file {odd[:80]!r}, whose name no evidence pack has.")
    if double := next((name for n, name in enumerate(names) if name in names[:n]), None):
        raise _refused(f"{title} holds {double} twice.")
    if any(info.flag_bits & 1 for info in infos):
        raise _refused(f"{title} is encrypted; evidence packs are not.")
    if odd := next((info.filename for info in infos if info.compress_type not in _METHODS), None):
        raise _refused(f"{title} holds {odd} in a form of compression that no evidence pack has.")
    _require_small(infos, title, most=most)


def _require_small(infos: Sequence[zipfile.ZipInfo], title: str, *, most: int) -> None:
    """Refuse what would take much more than the archive does."""
    if sum(info.compress_size for info in infos) > most:
        raise _refused(f"{title} is not an evidence pack, or only a part of one is there.")
    sizes = [info.file_size for info in infos]
    beyond = sum(max(0, info.file_size - _MOST_RATIO * info.compress_size) for info in infos)
    if beyond > _BEYOND or max(sizes) > MOST_BYTES or sum(sizes) > _MOST_IN_ALL:
        largest = infos[sizes.index(max(sizes))].filename
        raise _refused(
            f"{title} was not unpacked: its files, of which {largest} is the largest, would be larger than those of "
            "any evidence of this size."
        )


def _contents(members: Iterable[Member]) -> tuple[dict[str, bytes], list[str]]:
    """The contents of the files that can be read, and the names of the others."""
    files: dict[str, bytes] = {}
    damaged = []
    for member in members:
        try:
            files[member.name] = _content(member)
        except (ValueError, zlib.error):
            damaged.append(member.name)
    return files, sorted(damaged)


def _content(member: Member) -> bytes:
    """The content of a file; no more of it is unpacked than the archive says that there is.

    Raises:
        ValueError: There is another one.
        zlib.error: It can't be unpacked.
    """
    content = member.raw
    if member.method == zipfile.ZIP_DEFLATED:
        inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
        content = inflater.decompress(member.raw, member.size + 1)
        if not inflater.eof or inflater.unused_data:
            raise ValueError("it ends elsewhere")
    if len(content) != member.size or zlib.crc32(content) != member.crc:
        raise ValueError("it is another one")
    return content


def _manifest(files: Mapping[str, bytes], damaged: Sequence[str], title: str) -> dict[str, Any]:
    if MANIFEST in damaged:
        return {}
    try:
        manifest = json.loads(files[MANIFEST])
        form = manifest["format"]
        is_ours = form.startswith(FORMAT)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        is_ours = False
    if not is_ours:
        raise _refused(f"{title} is another kind of archive: its {MANIFEST} is not that of an evidence pack.")
    if form != FORMAT + VERSION:
        raise InputFileError(
            f"{title} was made by another version of access-batch, in the form {form[len(FORMAT) :][:20]!r}.",
            next_step="Nothing was verified. Install a newer version: pip install --upgrade access-batch",
        )
    found: dict[str, Any] = manifest
    return found


def _is_ordered(infos: Sequence[zipfile.ZipInfo]) -> bool:
    names = [info.filename for info in infos]
    last = [name for name in (MANIFEST, SIGNATURES) if name in names]
    return names == [*sorted({*names} - {*last}), *last]


def _file_faults(
    manifest: Mapping[str, Any], files: Mapping[str, bytes], raw: Mapping[str, bytes], damaged: Sequence[str]
) -> Iterator[str]:
    listed = manifest.get("files")
    if not isinstance(listed, dict):
        yield f"{MANIFEST} does not list the files"
        return
    found = {name: _digest(files[name], raw[name]) for name in files.keys() - {MANIFEST, SIGNATURES}}
    for name in sorted(listed.keys() | found.keys()):
        if name in damaged:
            continue
        if name not in found:
            yield f"{name} is missing"
        elif name not in listed:
            yield f"{name} does not belong to it: {MANIFEST} does not list it"
        elif found[name] != listed[name]:
            yield f"{name} was changed"


def _is_as_written(manifest: Mapping[str, Any], content: bytes) -> bool:
    try:
        return as_document(manifest) == content
    except (ValueError, RecursionError):
        return False


class Member(NamedTuple):
    """A file of an archive, and its content as the archive has it."""

    name: str
    crc: int
    size: int
    raw: bytes
    method: int = 8


_LOCAL: Final = struct.Struct("<4s5H3I2H")
_CENTRAL: Final = struct.Struct("<4s6H3I5H2I")
_LAST: Final = struct.Struct("<4s4H2IH")
_NEEDS: Final = 20
"""The version of the format: 2.0."""

_UNIX: Final = 3 << 8
_DAY: Final = 1 << 5 | 1
"""The first of January 1980: archives know no earlier day."""

_PRIVATE: Final = 0o100600 << 16


def assembled(members: Sequence[Member]) -> bytes:
    """An archive of these files. Source: PKWARE's APPNOTE.TXT, 4.3."""
    parts, central, offset = [], [], 0
    for name, crc, size, raw, method in members:
        written = name.encode()
        facts = (0, method, 0, _DAY, crc, len(raw), size, len(written), 0)
        parts += [_LOCAL.pack(b"PK\3\4", _NEEDS, *facts), written, raw]
        central += [_CENTRAL.pack(b"PK\1\2", _UNIX | _NEEDS, _NEEDS, *facts, 0, 0, 0, _PRIVATE, offset), written]
        offset += _LOCAL.size + len(written) + len(raw)
    directory = b"".join(central)
    last = _LAST.pack(b"PK\5\6", 0, 0, len(members), len(members), len(directory), offset, 0)
    return b"".join([*parts, directory, last])


def _raw(data: bytes, info: zipfile.ZipInfo) -> bytes:
    start = info.header_offset + _LOCAL.size + len(info.filename.encode())
    return data[start : start + info.compress_size]


def _refused(why: str) -> InputFileError:
    return InputFileError(why, next_step="Nothing was verified. Get the file again from the person who made it.")
