"""How many rows there are around each pixel: a layer of points as a raster that rio-tiler reads like any other.

Each matching row counts as a Gaussian of 8 screen pixels around its place; the sum is told in rows per square kilometer of
ground. A pixel looks 32 screen pixels far, so a tile reads that much beyond its edge, and neighboring tiles fit together.
Colors go by the square root, up to a density that depends on layer, filter and zoom alone, never on the single tile.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from morecantile import Tile, TileMatrixSet
from numpy.typing import NDArray
from rio_tiler.constants import WEB_MERCATOR_TMS, WGS84_CRS
from rio_tiler.errors import TileOutsideBounds
from rio_tiler.io import BaseReader
from rio_tiler.models import BandStatistics, ImageData, Info, PointData

from tileserver.errors import NotFound
from tileserver.filters import Filter
from tileserver.snapshot import Snapshot, select
from tileserver.snapshot.mercator import WORLD
from tileserver.snapshot.morton import morton, unmorton
from tileserver.snapshot.order import WORLD_BITS
from tileserver.snapshot.select import Box, Selection

UNIT = "rows per km²"

TILE = 256
"""Screen pixels along a tile; a picture for dense screens has twice as many, of half the size."""
SIGMA = 8
BLOCK_BITS = 3
REACH = TILE >> BLOCK_BITS
"""Screen pixels: four sigmas, and the side of a block; a tile has 8 × 8 blocks."""

TOP = 0.998
"""Of all blocks with rows, this part is less dense than what the last color shows."""
TABLE = 2**22
"""Blocks that rows are counted in with a table; of more, those with rows are found by sorting."""
LONE_ROWS = 8
"""So many rows at one place are the least that has the last color."""

EQUATOR_KM = 40_075.016_686

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Points:
    """The rows of a layer of points that match a filter."""

    snapshot: Snapshot
    filter: Filter

    @property
    def minzoom(self) -> int:
        return self.snapshot.layer.tiles.minzoom

    @property
    def maxzoom(self) -> int:
        return self.snapshot.layer.tiles.maxzoom

    @property
    def bounds(self) -> tuple[float, float, float, float] | None:
        """West, south, east, north in degrees, with room for the rows' surroundings at zooms where they are told apart."""
        extent = self.snapshot.extent
        if extent is None:
            return None
        west, south, east, north = extent
        room = max(east - west, north - south, 0.01) / 2
        return max(west - room, -180.0), max(south - room, -85.0), min(east + room, 180.0), min(north + room, 85.0)

    def top(self, zoom: int) -> float:
        """The density of the last color, in rows per km²."""
        return self.tops()[zoom - self.minzoom]

    def tops(self) -> tuple[float, ...]:
        """The same for each of the layer's zooms, counted once for each filter."""
        key = ("density", self.filter.text)
        known = self.snapshot.counts.get(key)
        if not isinstance(known, tuple):
            if len(self.snapshot.counts) >= select.COUNTS_KEPT:
                self.snapshot.counts.clear()
            known = self.snapshot.counts[key] = _tops(self)
        return known


class Density(BaseReader):
    """rio-tiler's reader of `Points`. It has tiles only: a density is one of a zoom."""

    def __init__(self, input: Points, tms: TileMatrixSet = WEB_MERCATOR_TMS) -> None:
        self.input = input
        self.tms = tms
        self.crs = WGS84_CRS
        self.bounds = input.bounds or (-180.0, -85.0, 180.0, 85.0)

    def tile(self, tile_x: int, tile_y: int, tile_z: int, tilesize: int | None = None, **_: Any) -> ImageData:
        """One band of rows per km², float32, masked where there is no row around.

        Raises:
            TileOutsideBounds: there is none around the whole tile.
        """
        values = density(self.input, tile_z, tile_x, tile_y, tilesize or TILE)
        if not values.any():
            raise TileOutsideBounds("no row matches there")
        return ImageData(
            np.ma.MaskedArray(values.astype(np.float32), mask=values == 0),
            bounds=self.tms.xy_bounds(Tile(tile_x, tile_y, tile_z)),
            crs=self.tms.rasterio_crs,
            band_names=["b1"],
            band_descriptions=[UNIT],
            dataset_statistics=[(0.0, self.input.top(tile_z))],
        )

    def info(self) -> Info:
        raise _tiles_only()

    def statistics(self) -> dict[str, BandStatistics]:
        raise _tiles_only()

    def part(self, *_: Any, **__: Any) -> ImageData:
        raise _tiles_only()

    def preview(self, **_: Any) -> ImageData:
        raise _tiles_only()

    def point(self, *_: Any, **__: Any) -> PointData:
        raise _tiles_only()

    def feature(self, *_: Any, **__: Any) -> ImageData:
        raise _tiles_only()


def _tiles_only() -> NotFound:
    return NotFound("A density has tiles alone, since it is one of a zoom. /count/{id} counts rows under the same filters.")


def density(points: Points, z: int, x: int, y: int, size: int = TILE) -> Floats:
    """Rows per km² at each pixel of a tile, shape (size, size), north first; 0 where no row is within reach."""
    counts = _counted(points, z, x, y, size)
    if not counts.any():
        return np.zeros((size, size))
    kernel = _kernel(size)
    per_pixel = kernel @ counts @ kernel.T
    middles = np.arange(0.5, size, dtype=np.float64) * (2.0 ** (WORLD_BITS - z) / size) + y * 2.0 ** (WORLD_BITS - z)
    return per_pixel / _square_kilometers(middles, EQUATOR_KM / (size << z))[:, None]


def _counted(points: Points, z: int, x: int, y: int, size: int) -> Floats:
    """Matching rows in each pixel of a tile and its margin, shape (size + 2 * margin,) * 2."""
    margin, world = REACH * size // TILE, size << z
    full = size + 2 * margin
    left, top = x * size - margin, y * size - margin
    right = left + min(full, world)  # at zoom 0 the margins show the world once more
    north, south = max(top, 0), min(top + full, world)
    counts = np.zeros((full, right - left))
    for turn in (-world, 0, world):
        west, east = max(left, turn), min(right, turn + world)
        if west < east:
            here = np.s_[north - top : south - top, west - left : east - left]
            counts[here] = _pixels(points, z + size.bit_length() - 1, (west - turn, north), (east - turn, south))
    return counts[:, np.arange(full) % (right - left)]


def _pixels(points: Points, level: int, first: tuple[int, int], last: tuple[int, int]) -> Floats:
    """Matching rows in each of the squares of a level, from the first in the north-west to before the last, shape (rows, columns).

    Rows of a leaf that is no larger than such a square are counted by the lengths of their runs.
    """
    snapshot, shift = points.snapshot, WORLD_BITS - level
    (west, north), (east, south) = first, last
    found = select.inside(snapshot, points.filter, Box(west << shift, north << shift, (east << shift) - 1, (south << shift) - 1))
    columns, size = east - west, (south - north) * (east - west)

    def number(x: NDArray[np.uint32], y: NDArray[np.uint32]) -> NDArray[np.int64]:
        pixel = (y >> shift).astype(np.int64)
        pixel -= north
        pixel *= columns
        pixel += x >> shift
        pixel -= west
        return pixel

    whole = snapshot.leaves.levels[found.runs.leaves] >= level
    runs, others = found.runs.of(whole), Selection(found.runs.of(~whole), found.rows)
    pixels = number(*unmorton(snapshot.leaves.codes[runs.leaves]))
    counts = np.zeros(size)
    counts += np.bincount(pixels, weights=runs.stops - runs.starts, minlength=size)
    counts += np.bincount(number(*_places(snapshot, others)), minlength=size)
    return counts.reshape(-1, columns)


def _places(snapshot: Snapshot, found: Selection) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """The positions of rows in world units, in any order, shape (k,) each."""
    x, y = (np.concatenate([found.runs.take(axis), axis[found.rows]]) for axis in (snapshot.x, snapshot.y))
    return x, y


@lru_cache(maxsize=2)
def _kernel(size: int) -> Floats:
    """What each pixel of a line, shape (size,), takes of those of the line with its margins, shape (size + 2 * margin,)."""
    scale = size // TILE
    margin = REACH * scale
    steps = np.arange(-margin, margin + 1)
    weights = np.exp(-0.5 * (steps / (SIGMA * scale)) ** 2)
    kernel = np.zeros((size, size + 2 * margin))
    for pixel in range(size):
        kernel[pixel, pixel : pixel + 2 * margin + 1] = weights / weights.sum()
    return kernel


def _tops(points: Points) -> tuple[float, ...]:
    """Density of the last color for each zoom, from the deepest on: rows a block, then blocks of four blocks."""
    x, y = _places(points.snapshot, select.within(points.snapshot, points.filter, 0, 4**WORLD_BITS - 1))
    blocks, counts = _blocks(x, y, points.maxzoom + BLOCK_BITS)
    tops = []
    for zoom in range(points.maxzoom, points.minzoom - 1, -1):
        tops.append(_top(blocks, counts, zoom))
        blocks, counts = _runs(blocks >> np.uint64(2), counts)
    return tuple(reversed(tops))


def _blocks(x: NDArray[np.uint32], y: NDArray[np.uint32], level: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The squares of a level that hold positions, as ascending Morton codes, and how many each holds, shape (b,) each."""
    if not len(x):
        return np.zeros(0, np.uint64), np.zeros(0, np.int64)
    shift = WORLD_BITS - level
    column, row = x >> shift, y >> shift
    left, top = column.min(), row.min()
    column -= left
    row -= top
    columns, rows = int(column.max()) + 1, int(row.max()) + 1
    places = row.astype(np.int64)
    places *= columns
    places += column
    if columns * rows <= TABLE:
        table = np.bincount(places)
        filled = np.flatnonzero(table)
        counts = table[filled]
    else:
        filled, counts = np.unique(places, return_counts=True)
    codes = morton((filled % columns).astype(np.uint32) + left, (filled // columns).astype(np.uint32) + top)
    order = np.argsort(codes)
    return codes[order], counts[order]


def _runs(codes: NDArray[np.uint64], counts: NDArray[np.int64]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Ascending codes, each once, with the sum of their counts."""
    starts = np.flatnonzero(np.r_[True, codes[1:] != codes[:-1]]) if len(codes) else np.zeros(0, np.int64)
    return codes[starts], np.add.reduceat(counts, starts) if len(starts) else counts[:0]


def _top(blocks: NDArray[np.uint64], counts: NDArray[np.int64], zoom: int) -> float:
    if not len(blocks):
        return 1.0
    side = 2.0 ** (WORLD_BITS - zoom - BLOCK_BITS)
    _, down = unmorton(blocks)
    ground = _square_kilometers((down.astype(np.float64) + 0.5) * side, EQUATOR_KM * side / WORLD)
    lone = LONE_ROWS / (2 * np.pi * SIGMA**2) * REACH**2  # rows a block that are as dense as their middle is
    return float(max(np.quantile(counts / ground, TOP), lone / ground.max()))


def _square_kilometers(y: Floats, width: float) -> Floats:
    """The ground that squares cover, `width` km wide at the equator, with their middles at y in world units, any shape."""
    return (width / np.cosh(np.pi * (1 - 2 * y / WORLD))) ** 2
