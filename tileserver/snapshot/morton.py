"""Morton codes: the bits of x and y interleaved, x in the even ones, so that what is near on the map is mostly near in order.

The codes of a tile at zoom z are one interval of length 4^(32 - z). Bits are spread with the "magic numbers" of
Sean Anderson's Bit Twiddling Hacks, "Interleave bits by Binary Magic Numbers", widened to 64 bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_SHIFTS = 16, 8, 4, 2, 1
"""How far the upper half of each group of bits moves."""
_GROUPS = (
    0x0000_0000_FFFF_FFFF,
    0x0000_FFFF_0000_FFFF,
    0x00FF_00FF_00FF_00FF,
    0x0F0F_0F0F_0F0F_0F0F,
    0x3333_3333_3333_3333,
    0x5555_5555_5555_5555,
)
"""Where the bits are before the first step, and after each."""


def morton(x: NDArray[np.uint32], y: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """Two positions, any shape → their code."""
    code: NDArray[np.uint64] = _spread(x.astype(np.uint64)) | _spread(y.astype(np.uint64)) << 1
    return code


def unmorton(code: NDArray[np.uint64]) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """A code, any shape → x and y: the inverse of `morton`."""
    return _gather(code).astype(np.uint32), _gather(code >> 1).astype(np.uint32)


def morton_one(x: int, y: int) -> int:
    """As `morton`, of a single position: an array of one takes ten times as long."""
    code: int = _spread(x) | _spread(y) << 1
    return code


def unmorton_one(code: int) -> tuple[int, int]:
    """As `unmorton`, of a single code."""
    return _gather(code), _gather(code >> 1)


def _spread(bits: Any) -> Any:
    """Bit i to bit 2 i, of an int or of each of an array of uint64."""
    for shift, group in zip(_SHIFTS, _GROUPS[1:], strict=True):
        bits = (bits | bits << shift) & group
    return bits


def _gather(bits: Any) -> Any:
    """The inverse."""
    bits = bits & _GROUPS[-1]
    for shift, group in zip(_SHIFTS[::-1], _GROUPS[-2::-1], strict=True):
        bits = (bits | bits >> shift) & group
    return bits
