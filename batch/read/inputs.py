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
from batch.read.interpretation import PLAIN
from batch.read.parquet_table import parquet_headers

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
        """How messages call the input."""
        return _STDIN_NAME if self.name == STDIN else self.name

    @property
    def is_parquet(self) -> bool:
        """Whether it is a Parquet file, or says so."""
        return self.data.startswith(_PARQUET_MAGIC) or self.name.lower().endswith(_PARQUET_SUFFIXES)


@dataclass(frozen=True, slots=True)
class LoadedInputs:
    """The bytes of all inputs, read once: what is digested is what is parsed, also from a pipe.

    Attributes:
        contents: The inputs in the order given, globs expanded.
        digest: Identifies them: the SHA-256 of a single one, or that over the SHA-256s of several, in order; where the
            interpretation changes what they mean, the SHA-256 over that and what it changes.
        interpretation: How they are to be read.
    """

    contents: tuple[Content, ...]
    digest: str
    interpretation: Interpretation = PLAIN


def load_inputs(
    inputs: Sequence[str], *, stdin: BinaryIO | None = None, interpretation: Interpretation = PLAIN
) -> LoadedInputs:
    """Read all inputs into memory and digest them.

    Args:
        inputs: Paths, globs, `-` for standard input, or cloud URLs of Parquet files.
        stdin: What `-` reads.
        interpretation: How they are to be read.

    Raises:
        InputFileError: An input is missing, unreadable, given twice, or no file, or has not the columns to be mapped.
    """
    contents = tuple(Content(_textual(name), _load(name, stdin)) for name in _expand(inputs))
    digest = _combined([hashlib.sha256(content.data).hexdigest() for content in contents])
    maps = [_maps_found(content, interpretation) for content in contents] if interpretation.maps else []
    if changed := interpretation.digest_part(maps):
        digest = hashlib.sha256(f"{digest}\n{changed}".encode()).hexdigest()
    return LoadedInputs(contents, digest, interpretation)


def _maps_found(content: Content, interpretation: Interpretation) -> tuple[ColumnMap, ...]:
    """The maps that find their column in a file: known before it is parsed, which a continued run does last."""
    try:
        if content.is_parquet:
            headers: Sequence[str] = parquet_headers(content.data, content.title)
        else:
            text = to_utf8(content.data, content.title).data
            headers = find_layout(text, content.title, recognised_names(interpretation)).headers
    except InputFileError:
        # Parsing it will tell, together with all that is wrong with the others.
        return ()
    return read_header(headers, content.title, interpretation).maps


def _textual(name: str) -> str:
    """A file's name, where it is text: results and messages have to show it.

    Raises:
        InputFileError: It holds bytes that are no text here.
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        shown = name.encode("utf-8", "backslashreplace").decode()
        raise InputFileError(f"The name of {shown} is not text.", next_step="Rename the file.") from None
    return name


def _combined(digests: Sequence[str]) -> str:
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


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
        # A file whose name only looks like a glob is meant itself.
        if path.exists() or not glob.has_magic(given):
            return [given]
        matches = sorted(match for match in glob.glob(given, recursive=True) if not Path(match).is_dir())  # noqa: PTH207 - keeps names as given
        if not matches:
            raise InputFileError(f"No file matches {given}.", next_step="Check the pattern and the current directory.")
        return matches


def _identity(name: str) -> object:
    """What is equal for two names of one file."""
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
    if not url.lower().endswith((".parquet", ".pq")):
        raise InputFileError(
            f"{url} is not a local file, and only Parquet files are read from elsewhere.",
            next_step="Download the file and give its path.",
        )
    buffer = io.BytesIO()
    # polars reports what goes wrong behind a URL as almost any exception, and a Rust panic as a BaseException.
    try:
        pl.scan_parquet(url, glob=False).collect().write_parquet(buffer)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        raise InputFileError(
            f"{url} can't be read: {_first_line(error)}", next_step="Check URL and credentials, or download the file."
        ) from error
    return buffer.getvalue()


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _is_url(name: str) -> bool:
    return "://" in name


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn the operating system's refusals into sentences."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputFileError(
            f"{name} does not exist.", next_step="Check the path; the current directory is where it starts."
        ) from error
    except PermissionError as error:
        raise InputFileError(f"{name} may not be read.", next_step="Give yourself the right to read it.") from error
    except (OSError, ValueError) as error:
        # ValueError: a NUL character in a path.
        raise InputFileError(f"{name} can't be read: {_first_line(error)}.", next_step="Check the path.") from error
