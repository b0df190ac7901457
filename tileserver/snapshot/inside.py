"""Which positions lie in a polygon, for millions of them: a grid over the polygon tells most without looking at its sides.

The sides are drawn into the grid. The cells that none of them comes near are wholly inside or outside, as one point of each of
their runs tells; positions in the others are asked one by one. Polygons are in degrees, with sides that are straight there, as
stores and GeoJSON have them; the grid is in world units, where a position's cell is a shift of its bits.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from tileserver.snapshot.mercator import WORLD, degrees, geographic, mercator

MOST_CELLS = 512
"""Cells of the grid along each axis."""
SMALLEST = 5
"""Cells are at least 2^5 world units wide, so that a margin around a side fills few of them."""
MARGIN = 10
"""World units: how far beside a side positions are still asked one by one. The seventh decimal of a latitude is 7 at the poles."""

INSIDE, CROSSED, OUTSIDE = 1, 0, -1

World = NDArray[np.uint32]
Mask = NDArray[np.bool_]


class Region:
    """The positions in a polygon or several, with their border or, for `boundary=False`, without it."""

    def __init__(self, polygon: BaseGeometry, *, boundary: bool = True) -> None:
        """`polygon`: longitude and latitude, valid; one that is empty holds no position."""
        self._polygon = polygon
        self._asks = shapely.intersects_xy if boundary else shapely.contains_xy
        shapely.prepare(polygon)
        west, south, east, north = (0.0, 0.0, 0.0, 0.0) if polygon.is_empty else polygon.bounds
        (left, right), (bottom, top) = mercator(np.array([west, east]), np.array([south, north]))
        edges = np.clip([left - MARGIN, top - MARGIN, right + MARGIN, bottom + MARGIN], 0, WORLD - 1).astype(np.int64)
        self._shift = _shift(int(max(edges[2] - edges[0], edges[3] - edges[1])))
        self._left, self._top, *last = (edges >> self._shift).tolist()
        self._columns, self._rows = last[0] - self._left + 1, last[1] - self._top + 1
        self._meets_itself = east >= 180
        """Longitude 180 is -180, where positions have the x 0."""

    def contains(self, x: World, y: World) -> Mask:
        """Which positions lie in the polygon, world units, shape (n,): as shapely says of their degrees."""
        column, row = (x >> self._shift) - np.uint32(self._left), (y >> self._shift) - np.uint32(self._top)  # below 0 becomes large
        near = np.flatnonzero((column < self._columns) & (row < self._rows))
        kinds = self._cells[row[near], column[near]]
        result = np.zeros(len(x), np.bool_)
        result[near[kinds == INSIDE]] = True
        asked = near[kinds == CROSSED]
        lon, lat = degrees(x[asked], y[asked])
        result[asked] = self._asks(self._polygon, lon, lat)
        if self._meets_itself:
            meridian = np.flatnonzero(x == 0)
            result[meridian] |= self._asks(self._polygon, 180.0, degrees(x[meridian], y[meridian])[1])
        return result

    def cover(self, west: World, north: World, east: World, south: World) -> NDArray[np.int8]:
        """Of boxes in world units, their sides included, shape (k,): 1 where all positions are inside, -1 where none is, else 0."""
        left, right, sticks_out = _spanned(west, east, self._shift, self._left, self._columns)
        top, bottom, hangs_out = _spanned(north, south, self._shift, self._top, self._rows)
        inside, near = (
            sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
            for sums in (self._inside_sums, self._near_sums)
        )
        known = np.full(len(west), CROSSED, np.int8)
        known[near == 0] = OUTSIDE
        known[(inside == (right - left) * (bottom - top)) & ~sticks_out & ~hangs_out] = INSIDE
        if self._meets_itself:
            known[(west == 0) & (known == OUTSIDE)] = CROSSED
        return known

    @cached_property
    def _cells(self) -> NDArray[np.int8]:
        """Whether the grid's cells are inside, outside or crossed, shape (rows, columns)."""
        crossed = self._crossed()
        runs = ~crossed
        begins = runs.copy()
        begins[:, 1:] &= crossed[:, :-1]
        row, column = np.nonzero(begins)
        middle = 0.5 * (1 << self._shift)
        x, y = ((first + place) * float(1 << self._shift) + middle for first, place in ((self._left, column), (self._top, row)))
        inside = shapely.contains_xy(self._polygon, *geographic(x, y))
        of_run = np.cumsum(begins.ravel()) - 1
        cells = np.full(crossed.shape, CROSSED, np.int8)
        cells[runs] = np.where(inside[of_run[runs.ravel()]], INSIDE, OUTSIDE)
        return cells

    @cached_property
    def _inside_sums(self) -> NDArray[np.int64]:
        return _sums(self._cells == INSIDE)

    @cached_property
    def _near_sums(self) -> NDArray[np.int64]:
        return _sums(self._cells != OUTSIDE)

    def _crossed(self) -> Mask:
        """The cells that a side of the polygon comes near, shape (rows, columns)."""
        width = float(1 << self._shift)
        start, stop = _sides(self._polygon)
        x_start, x_stop = ((ends[:, 0] + 180) * (WORLD / 360) for ends in (start, stop))
        first = _place(x_start - MARGIN, width, self._left, self._columns)
        count = _place(x_stop + MARGIN, width, self._left, self._columns) - first + 1
        side = np.repeat(np.arange(len(start)), count)
        column = np.arange(len(side)) + np.repeat(first - np.cumsum(count) + count, count)
        # What a side does over one column: sides are straight in degrees, and east goes with x evenly.
        length = np.maximum(x_stop - x_start, 1e-9)[side]
        entry = np.clip(((self._left + column) * width - MARGIN - x_start[side]) / length, 0, 1)
        leave = np.clip(((self._left + column + 1) * width + MARGIN - x_start[side]) / length, 0, 1)
        lat_start, climb = start[side, 1], (stop - start)[side, 1]
        upright = length < 1e-6
        lats = np.stack([lat_start + np.where(upright, 0, entry) * climb, lat_start + np.where(upright, 1, leave) * climb])
        _, y = mercator(lats, lats)
        top = _place(y.min(axis=0) - MARGIN, width, self._top, self._rows)
        bottom = _place(y.max(axis=0) + MARGIN, width, self._top, self._rows)
        steps = np.zeros((self._rows + 1, self._columns), np.int64)
        np.add.at(steps, (top, column), 1)
        np.add.at(steps, (bottom + 1, column), -1)
        return np.cumsum(steps, axis=0)[:-1] > 0


def _shift(extent: int) -> int:
    """How many bits of a position a cell leaves out, for a grid over `extent` world units."""
    return max(SMALLEST, (extent // (MOST_CELLS - 1)).bit_length())


def _place(positions: NDArray[np.float64], width: float, first: int, count: int) -> NDArray[np.int64]:
    """The columns, or rows, of positions along one axis; those beyond the grid in its outermost ones."""
    return np.clip(np.floor(positions / width).astype(np.int64) - first, 0, count - 1)


def _spanned(low: World, high: World, shift: int, first: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64], Mask]:
    """Of boxes along one axis, shape (k,) each: the first cell, the one after the last, and whether they reach beyond the grid."""
    start = (low.astype(np.int64) >> shift) - first
    stop = (high.astype(np.int64) >> shift) - first + 1
    return np.clip(start, 0, count), np.clip(stop, 0, count), (start < 0) | (stop > count)


def _sums(cells: Mask) -> NDArray[np.int64]:
    """Prefix sums over rows and columns, shape (rows + 1, columns + 1)."""
    return np.pad(np.cumsum(np.cumsum(cells, axis=0), axis=1), ((1, 0), (1, 0)))


def _sides(polygon: BaseGeometry) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The western and the eastern end of each side of each ring, degrees, shape (s, 2) each."""
    positions, ring = shapely.get_coordinates(shapely.get_rings(shapely.get_parts(polygon)), return_index=True)
    joined = np.flatnonzero(ring[1:] == ring[:-1])
    ends = np.stack([positions[joined], positions[joined + 1]])
    turned = ends[0, :, 0] > ends[1, :, 0]
    ends[:, turned] = ends[::-1, turned]
    return ends[0], ends[1]
