"""Shapes in world units → the geometry of one tile: take apart → drop what is too small → clip → simplify → round → write.

Every tile rounds to the same grid, and simplifying moves an outline by half a tile unit at most, so the parts of a shape in
neighboring tiles meet. It comes after clipping since it costs ten times as much a point.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import GEOSException

from tileserver import mvt
from tileserver.mvt.ragged import offsets
from tileserver.snapshot.mercator import WORLD

Shapes = NDArray[np.object_]
Mask = NDArray[np.bool_]

TOLERANCE = 0.5
"""How far simplifying may move an outline, in tile units."""
DENSE = 8
"""Outlines with a point more often than this are simplified; in tile units, one pixel of a map drawn at 512 pixels a tile."""
FEW = 8
"""Outlines of so few points are left alone: parcels and buildings, which have nothing to lose and come in thousands."""

POINT, LINE, POLYGON = 0, 1, 2
"""Dimensions."""
DIMENSIONS = np.array([POINT, LINE, LINE, POLYGON])
"""Of GEOS's types that have no parts: point, line, ring, polygon."""
MULTIPOINT = 4
"""GEOS's first type that has parts."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Single points, lines or polygons of n features."""

    shapes: Shapes
    """(k,), feature after feature."""
    owners: NDArray[np.int64]
    """(k,): which feature each is a part of, ascending."""

    def __getitem__(self, keep: Mask) -> Parts:
        return Parts(self.shapes[keep], self.owners[keep])

    def starts(self, n: int) -> NDArray[np.int64]:
        """(n + 1,): shapes[starts[i]:starts[i + 1]] are feature i's."""
        return np.searchsorted(self.owners, np.arange(n + 1))


@dataclass(frozen=True, slots=True)
class Window:
    """A tile with its buffer."""

    z: int
    x: int
    y: int
    buffer: int
    extent: int

    @property
    def unit(self) -> float:
        """World units in a tile unit."""
        return WORLD / (self.extent << self.z)

    @property
    def box(self) -> NDArray[np.float64]:
        """Left, top, right, bottom in world units."""
        corner = np.array([self.x, self.y]) * self.extent
        return np.concatenate([corner - self.buffer, corner + self.extent + self.buffer]) * self.unit

    def local(self, grid: NDArray[np.float64]) -> NDArray[np.int64]:
        """(m, 2) tile units from the world's corner, whole → from the tile's."""
        units: NDArray[np.int64] = grid.astype(np.int64) - np.array([self.x, self.y]) * self.extent
        return units


def to_tile(geometries: Shapes, z: int, x: int, y: int, *, buffer: int = 64, extent: int = 4096) -> tuple[mvt.Geometry, Mask]:
    """Shapes (n,) in world units, of any type or None → those to be seen in the tile, and the mask (n,) of them.

    Lines and polygons are clipped to the tile and `buffer` tile units around it; a point is in one tile only. Of a collection
    the parts of its highest dimension are drawn. Lines and polygons within one tile unit are left out, and shapes with
    infinite or missing coordinates. Invalid polygons are repaired where they cannot be clipped as they are.
    """
    window = Window(z, x, y, buffer, extent)
    parts, dimensions = _apart(Parts(geometries, np.arange(len(geometries))))
    highest = np.zeros(len(geometries), np.int64)
    np.maximum.at(highest, parts.owners, dimensions)
    drawn = dimensions == highest[parts.owners]

    kinds = ((POINT, _points), (LINE, _lines), (POLYGON, _polygons))
    written = [write(parts[drawn & (dimensions == kind)], len(geometries), window) for kind, write in kinds]
    features = np.concatenate([np.flatnonzero(kept) for _, kept in written])
    geometry = mvt.concatenate([geometry for geometry, _ in written]).take(np.argsort(features))
    return geometry, np.logical_or.reduce([kept for _, kept in written])


def _apart(parts: Parts) -> tuple[Parts, NDArray[np.int64]]:
    """Multi-geometries and collections, nested ones too, as their parts, and the dimension (k,) of each."""
    while True:
        kinds = shapely.get_type_id(parts.shapes)
        if not (kinds >= MULTIPOINT).any():
            return parts[kinds >= 0], DIMENSIONS[kinds[kinds >= 0]]
        shapes, index = shapely.get_parts(parts.shapes, return_index=True)
        parts = Parts(shapes, parts.owners[index])


def _points(points: Parts, n: int, window: Window) -> tuple[mvt.Geometry, Mask]:
    """The points in the tile itself: as its cells do, it has what lies on its northern and western edge."""
    coordinates, index = shapely.get_coordinates(points.shapes, return_index=True)
    finite = np.isfinite(coordinates).all(axis=1)
    units = window.local(np.floor(coordinates[finite] / window.unit))
    inside = ((units >= 0) & (units < window.extent)).all(axis=1)
    return mvt.multipoints(units[inside], Parts(points.shapes, points.owners[index[finite][inside]]).starts(n))


def _lines(lines: Parts, n: int, window: Window) -> tuple[mvt.Geometry, Mask]:
    lines = _reaching(lines, window)
    shapes = _clipped(lines.shapes, window, lambda shapes: shapely.clip_by_rect(shapes, *window.box))
    lines, dimensions = _apart(Parts(_simplified(shapes, window, topology=False), lines.owners))
    lines = lines[dimensions == LINE]
    return mvt.lines(_rounded(lines.shapes, window), offsets(shapely.get_num_coordinates(lines.shapes)), lines.starts(n))


def _polygons(polygons: Parts, n: int, window: Window) -> tuple[mvt.Geometry, Mask]:
    polygons = _reaching(polygons, window)
    square = shapely.box(*window.box)
    shapes = _clipped(polygons.shapes, window, lambda shapes: shapely.intersection(shapes, square))
    polygons, dimensions = _apart(Parts(_simplified(shapes, window, topology=True), polygons.owners))
    polygons = _snapped(polygons[dimensions == POLYGON], window)
    ring_starts, polygon_starts = _rings(polygons.shapes)
    return mvt.polygons(_rounded(polygons.shapes, window), ring_starts, polygon_starts, polygons.starts(n))


def _reaching(parts: Parts, window: Window) -> Parts:
    """What touches the window, is at least a tile unit wide or high, and has no infinite or missing coordinates."""
    left, top, right, bottom = window.box
    west, north, east, south = shapely.bounds(parts.shapes).T
    seen = (west < right) & (east > left) & (north < bottom) & (south > top)
    parts = parts[seen & (np.maximum(east - west, south - north) >= window.unit)]
    return parts[np.isfinite(shapely.length(parts.shapes))]


def _clipped(shapes: Shapes, window: Window, clip: Callable[[Shapes], Shapes]) -> Shapes:
    """With `clip` applied to those that leave the window."""
    left, top, right, bottom = window.box
    west, north, east, south = shapely.bounds(shapes).T
    return _where((west < left) | (east > right) | (north < top) | (south > bottom), clip, shapes)


def _simplified(shapes: Shapes, window: Window, *, topology: bool) -> Shapes:
    """With no more points in an outline than can be seen."""
    points = shapely.get_num_coordinates(shapes)
    dense = (points > FEW) & (shapely.length(shapes) < DENSE * window.unit * points)
    tolerance = TOLERANCE * window.unit
    return _where(dense, lambda shapes: shapely.simplify(shapes, tolerance, preserve_topology=topology), shapes)


def _snapped(polygons: Parts, window: Window) -> Parts:
    """With the rings of polygons with holes on the grid; rounded one by one they might cross."""
    holed = shapely.get_num_interior_rings(polygons.shapes) > 0
    if not holed.any():
        return polygons
    shapes = _where(holed, lambda shapes: shapely.set_precision(shapes, window.unit), polygons.shapes)
    return _apart(Parts(shapes, polygons.owners))[0]


def _where(these: Mask, operation: Callable[[Shapes], Shapes], shapes: Shapes) -> Shapes:
    """The operation's results for these shapes and the others as they are; if GEOS refuses an invalid shape, it is made valid."""
    results = shapes.copy()
    try:
        results[these] = operation(shapes[these])
    except GEOSException:
        invalid = these & ~shapely.is_valid(shapes)
        results[invalid] = shapely.make_valid(shapes[invalid])
        results[these] = operation(results[these])
    return results


def _rings(polygons: Shapes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where rings begin in the polygons' coordinates (r + 1,), and polygons in the rings (k + 1,)."""
    holes = shapely.get_num_interior_rings(polygons)
    sizes = np.empty(len(polygons) + holes.sum(), np.int64)
    holed = np.repeat(holes > 0, holes + 1)
    sizes[~holed] = shapely.get_num_coordinates(polygons[holes == 0])
    sizes[holed] = shapely.get_num_coordinates(shapely.get_rings(polygons[holes > 0]))
    return offsets(sizes), offsets(holes + 1)


def _rounded(shapes: Shapes, window: Window) -> NDArray[np.int64]:
    """(m, 2) all coordinates in tile units, to the nearest: those of clipped edges fall on the buffer's."""
    return window.local(np.rint(shapely.get_coordinates(shapes) / window.unit))
