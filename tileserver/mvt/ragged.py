"""Lists of different lengths kept as one flat array and the offsets where each begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Offsets = NDArray[np.int64]
"""(n + 1,), from 0 on: list i of n is flat[offsets[i]:offsets[i + 1]]. Lists may be empty."""


@dataclass(frozen=True, slots=True)
class Strings:
    """n strings of bytes."""

    data: NDArray[np.uint8]
    starts: Offsets

    @property
    def sizes(self) -> NDArray[np.int64]:
        """(n,) bytes."""
        return np.diff(self.starts)

    def grouped(self, starts: Offsets) -> Strings:
        """The strings of each group, starts[i]:starts[i + 1], as one string."""
        return Strings(self.data, self.starts[starts])


def offsets(lengths: NDArray[Any]) -> Offsets:
    """(n,) lengths, or a mask, → (n + 1,) offsets."""
    starts = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, dtype=np.int64, out=starts[1:])
    return starts


def sizes(starts: Offsets) -> NDArray[np.int64]:
    """(n,) how long each list is; a third of np.diff's time, which counts where lists are few."""
    lengths: NDArray[np.int64] = starts[1:] - starts[:-1]
    return lengths


def without(starts: Offsets, keep: NDArray[np.bool_]) -> Offsets:
    """The offsets of the same lists after flat = flat[keep]."""
    return offsets(keep)[starts]


def ranges(begins: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """begins[0], begins[0] + 1, … (lengths[0] of them), then the same for begins[1], and so on."""
    ends = np.cumsum(lengths)
    return np.repeat(begins - (ends - lengths), lengths) + np.arange(ends[-1] if len(ends) else 0)


def join(heads: Strings, bodies: Strings) -> Strings:
    """Row by row, the head (n) and the body (n) as one string."""
    sizes = np.stack([heads.sizes, bodies.sizes], axis=1)
    starts = offsets(sizes.ravel())
    of_head = np.zeros(starts[-1], np.bool_)
    of_head[ranges(starts[:-1:2], sizes[:, 0])] = True
    data = np.empty(starts[-1], np.uint8)
    data[of_head] = heads.data[heads.starts[0] : heads.starts[-1]]
    data[~of_head] = bodies.data[bodies.starts[0] : bodies.starts[-1]]
    return Strings(data, starts[::2])
