"""How much detail a zoom shows: cells of the grid, and k(zoom), up to how many members a cell shows as they are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tileserver.snapshot.order import CELL_LEVEL, WORLD_BITS

GRIDS = (16, 32, 64, 128)
GRID = 64
"""Cells a tile, an axis."""

TILE_FEATURES = 4_000
"""What a tile of the densest place may hold where cells show more than one member each: some 400 kB with their attributes."""

MOST_MEMBERS = (16, 8, 4, 2, 1)
"""What k(zoom) may be: up to how many members a cell shows as they are. A cell with more than 16 is crowded at any zoom."""


def cell_level(zoom: int, grid: int = GRID) -> int:
    """The level of the squares that are a tile's cells: a square of level v is 2^(32 - v) world units wide."""
    return min(zoom + grid.bit_length() - 1, WORLD_BITS)


class Fullness:
    """Measures k(zoom) of a layer: up to how many members a cell may show so that no tile grows too large.

    Args:
        zooms: of the layer.
        codes: squares of level 16 that hold rows, as their lowest Morton codes, ascending, shape (c,).
        counts: how many each holds, shape (c,).
    """

    def __init__(self, zooms: range, codes: NDArray[np.uint64], counts: NDArray[np.int64]) -> None:
        coarse = [zoom for zoom in zooms if cell_level(zoom) <= CELL_LEVEL]
        self._fine = [zoom for zoom in zooms if zoom not in coarse]
        self._tiles = {zoom: [_features(codes, counts, zoom)] for zoom in coarse} | {zoom: [] for zoom in self._fine}

    def add(self, codes: NDArray[np.uint64]) -> None:
        """Take the Morton codes of rows, ascending; the rows of a square of level 16 come together."""
        counts = np.ones(len(codes), np.int64)
        for zoom in reversed(self._fine):
            codes, counts = _merged(codes >> _below(cell_level(zoom)) << _below(cell_level(zoom)), counts)
            self._tiles[zoom].append(_features(codes, counts, zoom))

    def members_shown(self) -> list[int]:
        """k(zoom) of each zoom: the largest with which no tile of this zoom or a closer one holds more than 4,000 features; 1 where
        none does. It never falls as the zoom grows."""
        shown: list[int] = []
        allowed: tuple[int, ...] = MOST_MEMBERS
        for zoom in sorted(self._tiles, reverse=True):
            tiles, features = (np.concatenate(parts) for parts in zip(*(self._tiles[zoom] or [_NO_TILES]), strict=True))
            fullest = np.zeros(len(MOST_MEMBERS), np.int64)
            if len(tiles):
                starts = np.flatnonzero(np.r_[True, tiles[1:] != tiles[:-1]])
                fullest = np.add.reduceat(features, starts).max(axis=0)
            fits = dict(zip(MOST_MEMBERS, (fullest <= TILE_FEATURES).tolist(), strict=True))
            shown.append(next((most for most in allowed if fits[most]), 1))
            allowed = tuple(most for most in allowed if most <= shown[-1])
        return shown[::-1]


_NO_TILES = np.zeros(0, np.uint64), np.zeros((0, len(MOST_MEMBERS)), np.int64)


def _below(level: int) -> np.uint64:
    """How many bits of a Morton code are inside of a square of a level."""
    return np.uint64(min(2 * (WORLD_BITS - level), 63))


def _merged(codes: NDArray[np.uint64], counts: NDArray[np.int64]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Equal codes, which stand together, as one with the sum of their counts."""
    if not len(codes):
        return codes, counts
    starts = np.flatnonzero(np.r_[True, codes[1:] != codes[:-1]])
    return codes[starts], np.add.reduceat(counts, starts)


def _features(codes: NDArray[np.uint64], counts: NDArray[np.int64], zoom: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The tiles of a zoom over squares, as codes, (t,), and how many features each holds under each of MOST_MEMBERS, (t, 5)."""
    codes, counts = _merged(codes >> _below(cell_level(zoom)), counts)
    if not len(codes):
        return _NO_TILES
    tiles = codes >> np.uint64(2 * (cell_level(zoom) - zoom))
    starts = np.flatnonzero(np.r_[True, tiles[1:] != tiles[:-1]])
    features = np.repeat(np.add.reduceat(counts, starts)[:, None], len(MOST_MEMBERS), axis=1)
    for place, most in enumerate(MOST_MEMBERS):  # each crowded cell is one feature instead of its members
        crowded = np.flatnonzero(counts > most)
        np.subtract.at(features[:, place], np.searchsorted(starts, crowded, side="right") - 1, counts[crowded] - 1)
    return tiles[starts], features
