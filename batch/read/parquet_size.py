"""How large a Parquet file is once it is unpacked, by its footer and the headers of its pages. Pure.

The footer alone may lie: a reader reserves what a page's header says. Sources: the format's own description,
https://github.com/apache/parquet-format (`parquet.thrift`, `Encodings.md`), and Thrift's compact protocol.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from batch.read.limits import Limits

_MAGIC: Final = b"PAR1"
_TAIL: Final = 8
"""Bytes at the end of a file: the footer's length, and the magic."""

_MOST_LEVELS: Final = 64
"""polars reads structures by recursion, which ends the process if they are hundreds of levels deep."""

_DELTA_BYTE_ARRAY: Final = 7
"""An encoding: each value is a part of the one before and something more."""

_FIXED_LENGTH: Final = 7
"""A type: each value takes as many bytes as the schema says."""


class DamagedError(ValueError):
    """The bytes are no Parquet file."""


def check_parquet(data: bytes, name: str, limits: Limits) -> None:
    """Checks a Parquet file's size before anything of it is unpacked.

    Args:
        data: The whole file.
        name: The file's name for messages.
        limits: The limits to check.

    Raises:
        InputFileError: It is too large, or its size can't be known.
        DamagedError: It is no Parquet file.
    """
    length = int.from_bytes(data[-_TAIL:-4], "little")
    if len(data) < _TAIL + len(_MAGIC) + length or not data.endswith(_MAGIC):
        raise DamagedError("the footer is missing")
    try:
        _check(_Reader(data, len(data) - _TAIL - length, limits.row), name, limits)
    except _TooMuchError:
        raise limits.exceeded(f"The footer and headers of {name} take more than {limits.row:,} bytes") from None
    except (LookupError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise DamagedError("the footer, or the header of a page, is damaged") from error


def _check(reader: _Reader, name: str, limits: Limits) -> None:
    # The fields of these structures have numbers, see `parquet.thrift`.
    meta = reader.struct()
    # The first element of the schema is its root; those with children have no values.
    limits.check(name, columns=len(meta[2]) - 1)
    if _depth(meta[2]) > _MOST_LEVELS:
        raise limits.exceeded(f"{name} holds values within values on more than {_MOST_LEVELS} levels")
    widths = [one.get(2, 0) if one.get(1) == _FIXED_LENGTH else 0 for one in meta[2][1:] if not one.get(5)]
    groups = meta.get(4, [])
    limits.check(name, rows=max(meta[3], sum(abs(group[3]) for group in groups)), columns=len(widths))
    unpacked = values = 0
    for width, chunk in ((width, chunk[3]) for group in groups for width, chunk in zip(widths, group[1], strict=True)):
        # Where both stand, the dictionary comes first.
        reader.at = chunk.get(11, chunk[9])
        end = reader.at + chunk[7]
        while reader.at < end:
            page = reader.struct()
            if _DELTA_BYTE_ARRAY in (page.get(5, {}).get(2), page.get(8, {}).get(4)):
                raise limits.exceeded(f"{name} is written as DELTA_BYTE_ARRAY, which may unpack to any size")
            held = abs((page.get(5) or page.get(8) or page.get(7) or {}).get(1, 0))
            values += held
            unpacked += abs(page[2]) + width * held
            reader.at += abs(page[3])
            limits.check(name, unpacked=unpacked)
            if values > limits.cells:
                raise limits.exceeded(f"{name} has more than {limits.cells:,} cells")


def _depth(schema: list[dict[int, Any]]) -> int:
    """How deep a schema is nested; its elements stand before their children."""
    deepest, children = 0, [1]
    for element in schema:
        while children and not children[-1]:
            children.pop()
        children[-1] -= 1
        children.append(element.get(5, 0))
        deepest = max(deepest, len(children))
    return deepest


class _TooMuchError(Exception):
    """Reading would take too long."""


class _Reader:
    """Reads Thrift's compact protocol.

    Attributes:
        at: The offset of the next byte.
    """

    def __init__(self, data: bytes, at: int, most: int) -> None:
        self.at = at
        self._data = data
        self._left = most

    def struct(self) -> dict[int, Any]:
        """A structure: the values by the numbers of their fields."""
        fields: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._zigzag()
            # A truth value has no bytes of its own here.
            fields[number] = head & 15 == 1 if head & 15 in {1, 2} else self._value(head & 15)
        return fields

    def _value(self, kind: int) -> Any:
        match kind:
            case 1 | 2 | 3:
                return self._byte()
            case 4 | 5 | 6:
                return self._zigzag()
            case 7:
                return self._skip(8)
            case 8:
                return self._skip(self._varint())
            case 9 | 10:
                head = self._byte()
                length = head >> 4 if head >> 4 != 15 else self._varint()  # noqa: PLR2004 - stands for "follows"
                return [self._value(head & 15) for _ in range(length)]
            case 12:
                return self.struct()
            case _:
                raise DamagedError("a field has no type")

    def _byte(self) -> int:
        if self.at < 0:
            raise DamagedError("an offset is negative")
        if not self._left:
            raise _TooMuchError
        byte = self._data[self.at]
        self.at += 1
        self._left -= 1
        return byte

    def _skip(self, length: int) -> None:
        self.at += length

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:  # noqa: PLR2004 - the bit that says that another byte follows
                return value
            shift += 7
            if shift > 63:  # noqa: PLR2004 - the widest number has 64 bits
                raise DamagedError("a number is too long")

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
