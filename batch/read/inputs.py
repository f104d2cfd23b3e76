"""Paths, globs and standard input → bytes, and the digest that identifies them."""

from __future__ import annotations

import glob
import hashlib
import io
import os
import re
import shlex
import stat
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import polars as pl

from batch.errors import InputFileError
from batch.files import rest_of, written_to_pipe
from batch.read.csv_layout import find_layout
from batch.read.encoding import to_utf8
from batch.read.header import read_header
from batch.read.identityiq import recognised_names
from batch.read.interpretation import AS_WRITTEN
from batch.read.packed import MAGIC as GZIP_MAGIC
from batch.read.packed import unpacked
from batch.read.parquet_table import explained, first_line, parquet_headers
from batch.read.workbook_parts import MAGIC as WORKBOOK_MAGIC
from batch.read.workbook_table import workbook_headers

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
    from typing import TypeAlias

    from batch.read.interpretation import ColumnMap, Interpretation
    from batch.read.limits import Limits

    Download: TypeAlias = Callable[[str], Generator[bytes, None, None]]

SAVED_PLAN = b"access-batch plan "
"""A saved plan begins so, of any version: it is none of our inputs."""
STDIN = "-"
_STDIN_NAME = "standard input"
_PARQUET_MAGIC = b"PAR1"
_PARQUET_SUFFIXES = (".parquet", ".pq")
_CHUNK_BYTES = 1 << 20
_CLOUDS = frozenset({"s3", "s3a", "gs", "gcs", "az", "azure", "adl", "abfs", "abfss"})
# Programs differ in where a host ends, if there is an `@` or a backslash: no user may stand before it.
_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/?#@\\]+(?:[/?#].*)?", re.IGNORECASE | re.DOTALL)
_OPENING = sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY"))


class Content(NamedTuple):
    """One input's bytes, under its name as given (`-` for standard input)."""

    name: str
    data: bytes

    @property
    def title(self) -> str:
        """The input's name for messages."""
        return _STDIN_NAME if self.name == STDIN else self.name

    @property
    def is_workbook(self) -> bool:
        """Whether the content is that of an Excel workbook, or another archive."""
        return self.data.startswith(WORKBOOK_MAGIC)

    @property
    def is_parquet(self) -> bool:
        """Whether the content or the name is that of a Parquet file."""
        return self.data.startswith(_PARQUET_MAGIC) or self.name.lower().endswith(_PARQUET_SUFFIXES)


@dataclass(frozen=True, slots=True)
class LoadedInputs:
    """The bytes of all inputs, read once: the digested bytes are the parsed bytes, also from a pipe.

    Attributes:
        contents: The inputs in the order given, globs expanded.
        digest: Identifies the inputs' bytes, by which runs of older versions go: the SHA-256 of a single one, or the
            SHA-256 over the SHA-256s of several in order; if the interpretation changes their meaning, the SHA-256
            over that and the change.
        interpretation: How to read them.
    """

    contents: tuple[Content, ...]
    digest: str
    interpretation: Interpretation = AS_WRITTEN


def load_inputs(
    inputs: Sequence[str],
    *,
    stdin: BinaryIO | None = None,
    interpretation: Interpretation = AS_WRITTEN,
    wait: Callable[[float], object] = time.sleep,
    download: Download | None = None,
) -> LoadedInputs:
    """Read all inputs into memory and digest them.

    Args:
        inputs: Paths, globs, `-` for standard input, https URLs, or cloud URLs of Parquet files.
        stdin: The stream for `-`.
        interpretation: How to read them, and how large they may be.
        wait: Waits so many seconds, for somebody to write to a pipe.
        download: Downloads from an https URL; None to refuse these.

    Raises:
        InputFileError: An input is missing, unreadable, too large, given twice or no file, or a required map matches
            no column.
    """
    limits = interpretation.limits
    read, contents = 0, []
    for name in _expand(inputs):
        room = _Room(limits, read)
        content = Content(
            _textual(shown(name)), _load_url(name, room, download) if _is_url(name) else _load(name, room, stdin, wait)
        )
        if content.data.startswith(GZIP_MAGIC):
            pieces = unpacked(content.data, content.title)
            content = Content(content.name, room.fill(pieces, f"{content.title}, unpacked,"))
        if content.data.startswith(SAVED_PLAN):
            raise _is_plan(content)
        data = content.data
        read += len(data)
        if not content.is_parquet and not content.is_workbook:
            # Also before decoding, which takes more memory: a line feed of UTF-16 contains this byte too.
            limits.check_lines(data, content.title, b"\n" if b"\n" in data else b"\r")
        contents.append(content)
    digests = [hashlib.sha256(content.data).hexdigest() for content in contents]
    digest = digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()
    maps = [_applied_maps(content, interpretation) for content in contents] if interpretation.maps else []
    if changed := interpretation.digest_part(maps):
        digest = hashlib.sha256(f"{digest}\n{changed}".encode()).hexdigest()
    return LoadedInputs(tuple(contents), digest, interpretation)


def _is_plan(content: Content) -> InputFileError:
    named = "PLAN" if content.name == STDIN else shlex.quote(content.name)
    return InputFileError(
        f"{content.title} is a saved plan, not an input.",
        next_step=f"Nothing was sent, and it must stay as it is. `access-batch show {named}` shows it, and "
        f"`access-batch submit {named}` sends exactly that: alone, and by the name of its file.",
    )


def check_inputs(inputs: Sequence[str]) -> None:
    """Finds out whether the input files are there and may be read, without reading anything.

    Raises:
        InputFileError: One is missing, unreadable, given twice or no file.
    """
    for name in _expand(inputs):
        if name != STDIN and not _is_url(name):
            with _explained(name):
                _check_kind(Path(name).stat().st_mode, name)
                if not os.access(name, os.R_OK):
                    raise PermissionError


def _applied_maps(content: Content, interpretation: Interpretation) -> tuple[ColumnMap, ...]:
    """The maps that match a column of the file; the digest needs them, and a continued run parses the file last."""
    try:
        if content.is_parquet:
            headers: Sequence[str] = parquet_headers(content.data, content.title, interpretation.limits)
        elif content.is_workbook:
            headers = workbook_headers(content.data, content.title, interpretation)
        else:
            limits = interpretation.limits
            text = to_utf8(content.data, content.title, limits).data
            headers = find_layout(text, content.title, recognised_names(interpretation), limits).headers
    except InputFileError:
        # Parsing will report this, together with the errors of the other files.
        return ()
    return read_header(headers, content.title, interpretation).maps


def _textual(name: str) -> str:
    """The file's name, which results and messages have to show.

    Raises:
        InputFileError: It is no text.
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        shown = name.encode("utf-8", "backslashreplace").decode()
        raise InputFileError(f"The name of {shown} is not text.", next_step="Rename the file.") from None
    return name


def _expand(inputs: Sequence[str]) -> list[str]:
    if not inputs:
        raise InputFileError("No input file was given.", next_step="Name a CSV, Excel or Parquet file, or `-`.")
    names = [name for given in inputs for name in _expand_one(given)]
    seen: dict[object, str] = {}
    for name in names:
        key = _identity(name)
        if key in seen:
            also = "" if seen[key] == name else f" (also as {seen[key]})"
            raise InputFileError(
                f"{_STDIN_NAME if name == STDIN else shown(name)} is given twice{also}.",
                next_step="Give every input once.",
            )
        seen[key] = name
    return names


def _expand_one(given: str) -> list[str]:
    if _is_url(given):
        if not _URL.fullmatch(given):
            raise InputFileError(
                "A URL of the inputs holds a user, or names no host.",
                next_step="Nothing was sent. Give it as https://HOST/PATH; credentials don't belong in a URL.",
            )
        return [given]
    if given == STDIN:
        return [given]
    with _explained(given):
        path = Path(given)
        if path.is_dir():
            raise InputFileError(
                f"{given} is a directory.", next_step=f"Name its files, for example by the glob '{path / '*.csv'}'."
            )
        # The name of an existing file is that file, even if it looks like a glob.
        if path.exists() or not glob.has_magic(given):
            return [given]
        matches = sorted(match for match in glob.glob(given, recursive=True) if not Path(match).is_dir())  # noqa: PTH207 - keeps names as given
        if not matches:
            raise InputFileError(f"No file matches {given}.", next_step="Check the pattern and the current directory.")
        return matches


def _identity(name: str) -> object:
    """Equal for two names of one file."""
    if name == STDIN or _is_url(name):
        return name
    with _explained(name):
        status = Path(name).stat()
        return status.st_dev, status.st_ino


class _Room(NamedTuple):
    """How many bytes may still be read, of so many for all inputs."""

    limits: Limits
    used: int

    def fill(self, chunks: Iterable[bytes], name: str) -> bytes:
        """All chunks of an input.

        Raises:
            InputFileError: They are too much; the rest is not read.
        """
        buffer = io.BytesIO()
        try:
            for chunk in chunks:
                buffer.write(chunk)
                self.check(buffer.tell(), name)
            return buffer.getvalue()
        except MemoryError as error:
            raise InputFileError(
                f"{name} does not fit into the memory of this machine.",
                next_step="Nothing was sent. Divide the input; if you gave a higher --max-input, lower it.",
            ) from error

    def check(self, size: int, name: str) -> None:
        """Checks the size of an input.

        Raises:
            InputFileError: It is too large.
        """
        if size + self.used > self.limits.size:
            with_others = " with the inputs before it" if self.used else ""
            raise self.limits.exceeded(f"{name}{with_others} is larger than {self.limits.megabytes}")


def _load(name: str, room: _Room, stdin: BinaryIO | None, wait: Callable[[float], object]) -> bytes:
    if name == STDIN:
        if stdin is None:
            raise InputFileError("There is no standard input to read.", next_step="Name a file instead of `-`.")
        with _explained(_STDIN_NAME):
            return room.fill(iter(partial(stdin.read, _CHUNK_BYTES), b""), _STDIN_NAME)
    with _explained(name):
        _check_kind(Path(name).stat().st_mode, name)
        # Without these, opening a pipe waits for its writer, and opening a terminal may make it that of this process.
        handle = os.open(name, os.O_RDONLY | _OPENING)
        try:
            status = os.fstat(handle)
            _check_kind(status.st_mode, name)
            if stat.S_ISFIFO(status.st_mode):
                return room.fill(written_to_pipe(handle, wait), name)
            room.check(status.st_size, name)
            return room.fill(rest_of(handle), name)
        except TimeoutError as error:
            raise InputFileError(
                f"{name} can't be read: {error.strerror}.",
                next_step="Nothing was sent. Start the program that writes to it, then run the same command again.",
            ) from None
        finally:
            os.close(handle)


def _check_kind(mode: int, name: str) -> None:
    if not stat.S_ISREG(mode) and not stat.S_ISFIFO(mode):
        raise InputFileError(
            f"{name} is neither a file nor a pipe.", next_step="Name a file; or give - and send the rows to it."
        )


def _load_url(url: str, room: _Room, download: Download | None) -> bytes:
    scheme, name = url.split("://", maxsplit=1)[0].lower(), shown(url)
    if scheme == "https" and download is not None:
        with closing(download(url)) as chunks:
            return room.fill(chunks, name)
    if scheme not in _CLOUDS:
        raise InputFileError(
            f"{name} can't be read: only https and cloud URLs can.",
            next_step="Nothing was sent. Download the file and give its path.",
        )
    if not name.lower().endswith(_PARQUET_SUFFIXES):
        raise InputFileError(
            f"{name} is in cloud storage, from which only Parquet files can be read.",
            next_step="Nothing was sent. Download the file and give its path, or give an https URL.",
        )
    buffer = io.BytesIO()
    with explained(f"{name} can't be read", next_step="Check URL and credentials, or download the file."):
        # One more row shows that there are too many.
        pl.scan_parquet(name, glob=False).head(room.limits.rows + 1).collect().write_parquet(buffer)
    room.check(buffer.tell(), name)
    return buffer.getvalue()


def _is_url(name: str) -> bool:
    return "://" in name


def shown(given: str) -> str:
    """An input's name as it may be shown and stored: a URL without its query, which may be a signature, and user."""
    if not _is_url(given):
        return given
    scheme, _, rest = re.split(r"[?#]", given, maxsplit=1)[0].partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn the operating system's errors into sentences."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputFileError(
            f"{name} does not exist.", next_step="Check the path; it starts at the current directory."
        ) from error
    except PermissionError as error:
        raise InputFileError(f"You may not read {name}.", next_step="Give yourself the right to read it.") from error
    except (OSError, ValueError) as error:
        # ValueError: a NUL character in a path.
        raise InputFileError(f"{name} can't be read: {first_line(error)}.", next_step="Check the path.") from error
