"""Squares of the aggregation grid: which rows a cell shows as they are, and what it says of the others.

A cell is named by the Morton code of its members cut to the grid's resolution, so the members of a cell are one run of rows
and the decision depends on the cell alone: tiles that meet never disagree, and a point is in exactly one cell and one tile.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WORLD_BITS = 32
"""Positions have 32 bits an axis over the whole world."""

GRIDS = (16, 32, 64, 128)
GRID = 64
"""Cells a tile, an axis."""

TILE_FEATURES = 4_000
"""What a tile of the densest place may hold where cells show more than one member each: some 400 kB with their attributes."""

MOST_MEMBERS = (16, 8, 4, 2, 1)
"""What k(zoom) may be: up to how many members a cell shows as they are. A cell with more than 16 is crowded at any zoom."""


@dataclass(frozen=True, slots=True)
class Runs:
    """Members of one cell after the other."""

    starts: NDArray[np.int64]
    """Shape (c,): where each cell's members begin."""
    counts: NDArray[np.int64]
    """Shape (c,)."""


def runs(cells: NDArray[np.uint64]) -> Runs:
    """The runs of equal names among the sorted cells of each row, shape (k,)."""
    if not len(cells):
        return Runs(np.zeros(0, np.int64), np.zeros(0, np.int64))
    starts = np.flatnonzero(np.r_[True, cells[1:] != cells[:-1]])
    return Runs(starts, np.diff(np.r_[starts, len(cells)]))


def cells_at(code: NDArray[np.uint64], zoom: int, grid: int = GRID) -> NDArray[np.uint64]:
    """The cell of each Morton code at a zoom, shape (k,)."""
    depth = min(zoom + grid.bit_length() - 1, WORLD_BITS)
    return code >> np.uint64(2 * (WORLD_BITS - depth))


def means(values: NDArray[np.uint32], cells: Runs) -> NDArray[np.uint32]:
    """The mean of each run of positions, floored to whole units, shape (c,): exact, whatever the order of members."""
    return (np.add.reduceat(values.astype(np.uint64), cells.starts) // cells.counts.astype(np.uint64)).astype(np.uint32)


def leading(codes: NDArray[np.int32], cells: Runs) -> NDArray[np.int32]:
    """The most frequent code of each run, shape (c,); of equally frequent ones the lowest; -1 where all are missing."""
    result = np.full(len(cells.starts), -1, np.int32)
    run = np.repeat(np.arange(len(cells.starts)), cells.counts)
    known = codes >= 0
    if not known.any():
        return result
    kinds = int(codes.max()) + 1
    pairs, frequency = np.unique(run[known] * kinds + codes[known], return_counts=True)
    owner = pairs // kinds
    first = np.flatnonzero(np.r_[True, owner[1:] != owner[:-1]])
    most = np.repeat(np.maximum.reduceat(frequency, first), np.diff(np.r_[first, len(owner)]))
    best = np.flatnonzero(frequency == most)
    winners, where = np.unique(owner[best], return_index=True)
    result[winners] = pairs[best[where]] % kinds
    return result


def members_shown(code: NDArray[np.uint64], zooms: range) -> list[int]:
    """k(zoom) of each zoom, measured on the sorted Morton codes of a layer: the largest with which no tile of this zoom or a
    closer one holds more than 4,000 features; 1 where none does. It never falls as the zoom grows."""
    most: list[int] = []
    allowed: tuple[int, ...] = MOST_MEMBERS
    for zoom in reversed(zooms):
        cells = runs(cells_at(code, zoom))
        tiles = runs(cells_at(code[cells.starts], zoom, grid=1))
        fitting = (k for k in allowed if _fullest(cells, tiles, k) <= TILE_FEATURES)
        most.append(next(fitting, 1))
        allowed = tuple(k for k in allowed if k <= most[-1])
    return most[::-1]


def _fullest(cells: Runs, tiles: Runs, most: int) -> int:
    """How many features the fullest tile holds if cells show up to `most` members."""
    features = np.where(cells.counts > most, 1, cells.counts)
    return int(np.add.reduceat(features, tiles.starts).max()) if len(tiles.starts) else 0
