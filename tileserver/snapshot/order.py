"""The order of a snapshot's rows: leaf by leaf of a quadtree, in each by category, in each of these by time.

A leaf is a square of the world that holds some thousandth of the rows at most: small where rows are dense, large where they
are sparse. So the rows of one category and period are one run in each leaf, found by two binary searches, and what a run sums
up to is told by prefix sums, without reading it. `docs/snapshot.md` tells how the category is chosen and what is done without.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WORLD_BITS = 32
"""Positions have 32 bits an axis over the whole world."""

LEAVES = 2_048
"""A leaf holds at most this part of the rows, so that there are some thousand leaves, whatever the number of rows."""
SMALL_LEAF = 4_096
"""Rows that a leaf may hold in any case: to read so few is no more work than to find runs among them."""
DEEPEST = 26
"""The level, 60 cm wide, at which a leaf is split no more, however many rows stand on one spot."""

CELL_LEVEL = 16
"""A build counts rows by squares of this level, 600 m wide, before it has them in order."""

FIXED_POINT = 10_000
"""Sums of numbers are taken in whole ten-thousandths, so that they do not depend on the order of rows."""

GROUPS = 15
"""Categories with a run of their own in each leaf, the most frequent ones; the others share one more."""


@dataclass(frozen=True, slots=True)
class Leaves:
    """The squares, in Morton order: each but an empty one is in it, and they do not overlap."""

    codes: NDArray[np.uint64]
    """The lowest Morton code of each square, shape (l,), ascending."""
    levels: NDArray[np.uint8]
    """Shape (l,): a square of level v is 2^(32 - v) world units wide."""
    bounds: NDArray[np.int64]
    """Shape (l, g + 1): the rows of group j of leaf i are [bounds[i, j], bounds[i, j + 1])."""

    def __len__(self) -> int:
        return len(self.codes)

    def size(self, leaf: int) -> int:
        """How many codes a leaf has."""
        return 1 << 2 * (WORLD_BITS - int(self.levels[leaf]))

    def of(self, first: int, last: int) -> slice:
        """The leaves that share codes with [first, last]: those inside, or the one around it."""
        start = int(np.searchsorted(self.codes, np.uint64(first), side="right")) - 1
        if start < 0 or int(self.codes[start]) + self.size(start) <= first:
            start += 1
        return slice(start, int(np.searchsorted(self.codes, np.uint64(last), side="right")))


def most_rows(rows: int) -> int:
    """How many rows a leaf may hold in a snapshot of that many."""
    return max(rows // LEAVES, SMALL_LEAF)


def sorted_rows(keys: NDArray[np.int64] | NDArray[np.uint64], rows: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """The rows in the ascending order of their keys, those of equal keys as they come; shape (n,).

    A radix sort by 16 bits at a time, several times as quick as numpy's own sort of 64.

    Args:
        keys: of all rows, shape (n,).
        rows: in the order in which they come; ascending unless given.
    """
    above = (keys - keys.min()).view(np.uint64) if len(keys) else keys
    for bit in range(0, int(above.max(initial=0)).bit_length(), 16):
        digits = (above >> np.uint64(bit)).astype(np.uint16)
        rows = np.argsort(digits, kind="stable") if rows is None else rows.take(np.argsort(digits.take(rows), kind="stable"))
    return np.arange(len(keys)) if rows is None else rows


Squares = tuple[NDArray[np.uint64], NDArray[np.uint8]]
"""The lowest Morton codes and the levels of squares, shape (s,) each."""
WORLD: Squares = np.zeros(1, np.uint64), np.zeros(1, np.uint8)


def split(
    codes: NDArray[np.uint64], before: NDArray[np.int64], most: int, deepest: int = DEEPEST, squares: Squares = WORLD
) -> tuple[NDArray[np.uint64], NDArray[np.uint8], NDArray[np.int64]]:
    """The leaves over sorted Morton codes: a square is quartered until it holds at most `most` rows or is of level `deepest`.

    Args:
        codes: shape (k,), ascending.
        before: shape (k + 1,): how many rows come before each code, and at the end how many there are.
        squares: to begin with; none of them overlap, and all codes are in one of them.

    Returns:
        The lowest code, the level, and the number of rows of each leaf that is not empty, in order, shape (l,) each.
    """
    square, level = squares
    found = [(square[:0], level[:0], np.zeros(0, np.int64))]
    while len(square):
        quarter = np.uint64(1) << (2 * (WORLD_BITS - 1 - level.astype(np.int64))).astype(np.uint64)
        last = square + (quarter * np.uint64(4) - np.uint64(1))
        held = before[np.searchsorted(codes, last, side="right")] - before[np.searchsorted(codes, square)]
        full = (held > most) & (level < deepest)
        done = ~full & (held > 0)
        found.append((square[done], level[done], held[done]))
        square = (square[full, None] + np.arange(4, dtype=np.uint64) * quarter[full, None]).ravel()
        level = np.repeat(level[full] + np.uint8(1), 4)
    lowest, levels, rows = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.argsort(lowest)
    return lowest[order], levels[order], rows[order]
