"""Protocol Buffers' varints, whole arrays at once: seven bits a byte, lowest first, the top bit set on all but the last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tileserver.mvt.ragged import Strings, offsets

Unsigned = NDArray[np.unsignedinteger[Any]]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Varints:
    """A varint in each of n rows, or in some of them."""

    values: Unsigned
    """(n,), 0 where the row has none."""
    present: Mask | None
    """(n,), or None if all rows have one."""
    longer: tuple[Mask, ...]
    """longer[k] (n,): the varint has more than k + 1 bytes. There are as many masks as the longest has bytes, less one."""

    @classmethod
    def of(cls, values: Unsigned, present: Mask | None = None) -> Varints:
        if present is not None:
            values = np.where(present, values, 0).astype(values.dtype)
        bits = int(values.max(initial=0)).bit_length()
        return cls(values, present, tuple(values >= 1 << k for k in range(7, bits, 7)))

    @property
    def sizes(self) -> NDArray[np.uint8]:
        """(n,) bytes, 0 to 10."""
        sizes = np.ones(len(self.values), np.uint8) if self.present is None else self.present.astype(np.uint8)
        for longer in self.longer:
            sizes += longer
        return sizes


Cells = Varints | int
"""One column of a table of n rows; an int, below 128, stands in every row."""


def same(value: int, n: int, present: Mask | None) -> Cells:
    """One number in each of n rows, or in those that are present."""
    if value < 0x80 and present is None:
        return value
    return Varints.of(np.full(n, value, np.uint32), present)


def sizes(n: int, columns: Sequence[Cells]) -> NDArray[np.int64]:
    """(n,) bytes of each row."""
    total = np.full(n, sum(isinstance(column, int) for column in columns))
    for column in columns:
        if not isinstance(column, int):
            total += column.sizes
    return total


def rows(n: int, columns: Sequence[Cells]) -> NDArray[np.uint8]:
    """Row by row, the varints from left to right."""
    # The bytes go into a matrix, each column as wide as its longest; those that are written are taken from it.
    widths = [1 if isinstance(column, int) else 1 + len(column.longer) for column in columns]
    digits = np.empty((n, sum(widths)), np.uint8)
    written = np.ones(digits.shape, np.bool_)
    left = 0
    for column, width in zip(columns, widths, strict=True):
        if isinstance(column, int):
            digits[:, left] = column
        else:
            _spread(column, digits[:, left : left + width], written[:, left : left + width])
        left += width
    return digits[written]


def _spread(column: Varints, digits: NDArray[np.uint8], written: Mask) -> None:
    """The k-th byte of each varint to the k-th column of digits (n, width), and to `written` whether it has that byte."""
    if column.present is not None:
        written[:, 0] = column.present
    rest: NDArray[Any] = column.values
    for place, more in enumerate(column.longer):
        # Where no byte follows, the rest is below 128; where one does, its bit 7 is set whatever it was.
        digits[:, place] = rest.astype(np.uint8) | more * np.uint8(0x80)
        written[:, place + 1] = more
        rest = rest >> 7
    digits[:, -1] = rest


_SHORT = tuple(bytes([value]) if value < 0x80 else bytes([value & 0x7F | 0x80, value >> 7]) for value in range(0x4000))


def one(value: int) -> bytes:
    """A single number ≥ 0."""
    if value < 0x4000:
        return _SHORT[value]
    return bytes([value & 0x7F | 0x80, value >> 7 & 0x7F | 0x80]) + one(value >> 14)


def strings(n: int, columns: Sequence[Cells]) -> Strings:
    """n strings: of each row the varints from left to right."""
    return Strings(rows(n, columns), offsets(sizes(n, columns)))


def encode(values: Unsigned) -> Strings:
    """(m,) unsigned integers → m strings."""
    return strings(len(values), [Varints.of(values)])


def zigzag(values: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Signed → unsigned, small for values near zero: 0, -1, 1, -2 → 0, 1, 2, 3."""
    return ((values << 1) ^ (values >> 63)).view(np.uint64)
