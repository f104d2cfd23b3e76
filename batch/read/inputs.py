"""Paths, globs and standard input → bytes, and the digest that identifies them."""

from __future__ import annotations

import glob
import hashlib
import io
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import polars as pl

from batch.errors import InputFileError
from batch.read.csv_layout import find_layout
from batch.read.encoding import to_utf8
from batch.read.header import read_header
from batch.read.identityiq import recognised_names
from batch.read.interpretation import AS_WRITTEN
from batch.read.parquet_table import explained_parquet, first_line, parquet_headers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from batch.read.interpretation import ColumnMap, Interpretation

STDIN = "-"
_STDIN_NAME = "standard input"
_PARQUET_MAGIC = b"PAR1"
_PARQUET_SUFFIXES = (".parquet", ".pq")


class Content(NamedTuple):
    """One input's bytes, under its name as given (`-` for standard input)."""

    name: str
    data: bytes

    @property
    def title(self) -> str:
        """The input's name for messages."""
        return _STDIN_NAME if self.name == STDIN else self.name

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
    inputs: Sequence[str], *, stdin: BinaryIO | None = None, interpretation: Interpretation = AS_WRITTEN
) -> LoadedInputs:
    """Read all inputs into memory and digest them.

    Args:
        inputs: Paths, globs, `-` for standard input, or cloud URLs of Parquet files.
        stdin: The stream for `-`.
        interpretation: How to read them.

    Raises:
        InputFileError: An input is missing, unreadable, given twice or no file, or a required map matches no column.
    """
    contents = tuple(Content(_textual(name), _load(name, stdin)) for name in _expand(inputs))
    digests = [hashlib.sha256(content.data).hexdigest() for content in contents]
    digest = digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()
    maps = [_applied_maps(content, interpretation) for content in contents] if interpretation.maps else []
    if changed := interpretation.digest_part(maps):
        digest = hashlib.sha256(f"{digest}\n{changed}".encode()).hexdigest()
    return LoadedInputs(contents, digest, interpretation)


def _applied_maps(content: Content, interpretation: Interpretation) -> tuple[ColumnMap, ...]:
    """The maps that match a column of the file; the digest needs them, and a continued run parses the file last."""
    try:
        if content.is_parquet:
            headers: Sequence[str] = parquet_headers(content.data, content.title)
        else:
            text = to_utf8(content.data, content.title).data
            headers = find_layout(text, content.title, recognised_names(interpretation)).headers
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
        raise InputFileError("No input file was given.", next_step="Name a CSV or Parquet file, or `-`.")
    names = [name for given in inputs for name in _expand_one(given)]
    seen: dict[object, str] = {}
    for name in names:
        key = _identity(name)
        if key in seen:
            also = "" if seen[key] == name else f" (also as {seen[key]})"
            raise InputFileError(
                f"{_STDIN_NAME if name == STDIN else name} is given twice{also}.", next_step="Give every input once."
            )
        seen[key] = name
    return names


def _expand_one(given: str) -> list[str]:
    if given == STDIN or _is_url(given):
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


def _load(name: str, stdin: BinaryIO | None) -> bytes:
    if name == STDIN:
        if stdin is None:
            raise InputFileError("There is no standard input to read.", next_step="Name a file instead of `-`.")
        with _explained(_STDIN_NAME):
            return stdin.read()
    if _is_url(name):
        return _load_url(name)
    with _explained(name):
        return Path(name).read_bytes()


def _load_url(url: str) -> bytes:
    if not url.lower().endswith(_PARQUET_SUFFIXES):
        raise InputFileError(
            f"{url} is not a local file, and only Parquet files can be read from a URL.",
            next_step="Download the file and give its path.",
        )
    buffer = io.BytesIO()
    with explained_parquet(f"{url} can't be read", next_step="Check URL and credentials, or download the file."):
        pl.scan_parquet(url, glob=False).collect().write_parquet(buffer)
    return buffer.getvalue()


def _is_url(name: str) -> bool:
    return "://" in name


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
        raise InputFileError(f"{name} may not be read.", next_step="Give yourself the right to read it.") from error
    except (OSError, ValueError) as error:
        # ValueError: a NUL character in a path.
        raise InputFileError(f"{name} can't be read: {first_line(error)}.", next_step="Check the path.") from error
