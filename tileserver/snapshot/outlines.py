"""The outlines of shapes as ragged arrays in world units, each vertex with the zoom from which on it is drawn.

| file | dtype | length | what for |
|---|---|---|---|
| `outlines.kinds` | uint8 | n | MVT's type: 1 point, 2 line, 3 polygon; of a collection that of its highest dimension |
| `outlines.shapes` | int64 | n + 1 | where a shape begins in the polygons |
| `outlines.polygons` | int64 | p + 1 | where a polygon begins in the paths; a line, and a point, is one of one path |
| `outlines.paths` | int64 | r + 1 | where a path (a ring, not closed, exterior first; a line; a point) begins in the vertices |
| `outlines.x`, `outlines.y` | uint32 | m | vertices |
| `outlines.zooms` | uint8 | m | from which zoom on a vertex is drawn: below it moves the outline by less than half a tile unit |
| `outlines.broken` | uint32 | n | bit z: rounded to the tile units of zoom z, the polygon crosses itself, and has to be mended |
| `outlines.boxes` | uint32 | 4 × b | west, north, east, south of each block of 64 shapes |

n is the number of rows with a position. Vertices that no zoom of the layer draws are left out; `simplify.py` tells which.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from tileserver import mvt
from tileserver.mvt.ragged import Offsets, offsets, ranges, without
from tileserver.snapshot import columns, simplify
from tileserver.snapshot.columns import ArrayFile, Entry, Rows
from tileserver.snapshot.mercator import quantize_sides

BLOCK = 64
"""Shapes whose boxes are held in one box of the index."""

BATCH = 2**16
"""Shapes that are handed to GEOS at once."""


@dataclass(frozen=True, slots=True)
class Paths:
    """The vertices of k shapes at one zoom."""

    xy: NDArray[np.int64]
    """(m, 2)."""
    paths: Offsets
    """(r + 1,) into xy."""
    polygons: Offsets
    """(p + 1,) into the paths."""
    shapes: Offsets
    """(k + 1,) into the polygons."""

    def __len__(self) -> int:
        return len(self.shapes) - 1

    def take(self, which: NDArray[np.int64]) -> Paths:
        """The outlines of some of the shapes, (k',), in this order."""
        polygons, shapes = _taken(self.shapes, which)
        paths, of_polygons = _taken(self.polygons, polygons)
        vertices, of_paths = _taken(self.paths, paths)
        return Paths(self.xy[vertices], of_paths, of_polygons, shapes)

    def split(self, shape: int) -> tuple[Paths, Paths]:
        """The outlines of the shapes before one, and those from it on."""
        polygon = self.shapes[shape]
        path = self.polygons[polygon]
        vertex = self.paths[path]
        return (
            Paths(self.xy[:vertex], self.paths[: path + 1], self.polygons[: polygon + 1], self.shapes[: shape + 1]),
            Paths(self.xy[vertex:], self.paths[path:] - vertex, self.polygons[polygon:] - path, self.shapes[shape:] - polygon),
        )


def concatenate(*many: Paths) -> Paths:
    """The shapes of each after those of the one before it."""

    def joined(starts: list[Offsets]) -> Offsets:
        return offsets(np.concatenate([np.diff(each) for each in starts]))

    return Paths(
        np.concatenate([each.xy for each in many]),
        joined([each.paths for each in many]),
        joined([each.polygons for each in many]),
        joined([each.shapes for each in many]),
    )


@dataclass(frozen=True, slots=True)
class Outlines:
    """Of all shapes with a position, in the order of the rows."""

    kinds: NDArray[np.uint8]
    shapes: Offsets
    polygons: Offsets
    paths: Offsets
    x: NDArray[np.uint32]
    y: NDArray[np.uint32]
    zooms: NDArray[np.uint8]
    broken: NDArray[np.uint32]
    boxes: NDArray[np.uint32]
    """(b, 4)."""

    @classmethod
    def open(cls, folder: Path, entries: Mapping[str, Entry]) -> Self:
        arrays = {name: columns.map_array(folder, entry) for name, entry in entries.items()}
        arrays["boxes"] = arrays["boxes"].reshape(-1, 4)
        return cls(**arrays)

    def take(self, rows: Rows, zoom: int) -> Paths:
        """The outlines of some shapes as they are drawn at a zoom, in world units."""
        polygons, shapes = _taken(self.shapes, rows)
        paths, of_polygons = _taken(self.polygons, polygons)
        vertices, of_paths = _taken(self.paths, paths)
        shown = self.zooms[vertices] <= zoom
        vertices = vertices[shown]
        xy = np.empty((len(vertices), 2), np.int64)
        xy[:, 0] = self.x[vertices]
        xy[:, 1] = self.y[vertices]
        return Paths(xy, offsets(shown)[of_paths], of_polygons, shapes)

    def reaching(self, left: int, top: int, right: int, bottom: int) -> Rows:
        """The rows of the blocks whose boxes touch a box in world units, ascending: all that touch it are among them."""
        west, north, east, south = self.boxes.T
        blocks = np.flatnonzero((west <= right) & (east >= left) & (north <= bottom) & (south >= top))
        rows = (blocks[:, None] * BLOCK + np.arange(BLOCK)).ravel()
        return rows[rows < len(self.kinds)]


def _taken(starts: Offsets, which: NDArray[np.int64]) -> tuple[NDArray[np.int64], Offsets]:
    """The items of some of the lists, and where each of these begins among them."""
    begins = starts[which]
    lengths = starts[which + 1] - begins
    return ranges(begins, lengths), offsets(lengths)


Shapes = NDArray[np.object_]
"""Of shapely, in degrees, shape (n,)."""

_KINDS = np.array([mvt.POINT, mvt.LINE, mvt.LINE, mvt.POLYGON], np.uint8)
"""Of GEOS's types that have no parts: point, line, ring, polygon."""
_MULTIPOINT = 4
"""GEOS's first type that has parts."""


def write(folder: Path, wkb: Callable[[Rows], pa.Array], boxes: NDArray[np.uint32], zooms: range) -> dict[str, Entry]:
    """Write the outlines of a layer's shapes, in the order of its rows, and say which files hold them.

    Vertices are held in memory, all of the layer: whether one may go depends on the shapes around it.

    Args:
        wkb: tells the shapes of some rows, in degrees, none missing or empty.
        boxes: west, north, east, south of each shape in world units, (n, 4).
        zooms: of the layer.
    """
    read = [_read(shapely.from_wkb(wkb(rows).to_numpy(zero_copy_only=False))) for rows in _batches(np.arange(len(boxes)))]
    kinds, paths = np.concatenate([kinds for kinds, _ in read]), concatenate(*(paths for _, paths in read))
    rings = np.repeat(np.repeat(kinds == mvt.POLYGON, np.diff(paths.shapes)), np.diff(paths.polygons))
    drawn_from = simplify.vertex_zooms(paths.xy, paths.paths, rings, zooms)
    drawn = drawn_from < zooms.stop
    x, y = paths.xy[drawn].astype(np.uint32).T
    arrays = {
        "kinds": kinds,
        "shapes": paths.shapes,
        "polygons": paths.polygons,
        "paths": without(paths.paths, drawn),
        "x": x,
        "y": y,
        "zooms": drawn_from[drawn],
        "broken": np.zeros(len(kinds), np.uint32),
        "boxes": _blocks(boxes),
    }
    arrays["broken"] = _broken(Outlines(**arrays), boxes, zooms)
    return {name: _file(folder, f"outlines.{name}", array) for name, array in arrays.items()}


def _read(shapes: Shapes) -> tuple[NDArray[np.uint8], Paths]:
    """What is drawn of shapes: the kind of each, (n,), and the paths with all of their vertices.

    Of a collection the parts of its highest dimension are drawn.
    """
    parts, owners = shapes, np.arange(len(shapes))
    while ((types := shapely.get_type_id(parts)) >= _MULTIPOINT).any():
        parts, index = shapely.get_parts(parts, return_index=True)
        owners = owners[index]
    coordinates, index = shapely.get_coordinates(parts, return_index=True)
    drawn = ~shapely.is_empty(parts)
    of_parts = _KINDS[types]
    kinds = np.zeros(len(shapes), np.uint8)
    np.maximum.at(kinds, owners[drawn], of_parts[drawn])
    drawn &= of_parts == kinds[owners]
    sizes, polygons = _paths(parts[drawn])
    rings = np.repeat(of_parts[drawn] == mvt.POLYGON, np.diff(polygons))
    world = quantize_sides(*coordinates[drawn[index]].T)
    xy, paths = simplify.without_repeated(np.stack(world, axis=1).astype(np.int64), offsets(sizes), rings)
    return kinds, Paths(xy, paths, polygons, np.searchsorted(owners[drawn], np.arange(len(shapes) + 1)))


def _paths(parts: Shapes) -> tuple[NDArray[np.int64], Offsets]:
    """How many coordinates each path of points, lines and polygons has, (r,), and where the parts begin in the paths."""
    holes = shapely.get_num_interior_rings(parts)
    sizes = np.empty(len(parts) + holes.sum(), np.int64)
    holed = np.repeat(holes > 0, holes + 1)
    sizes[~holed] = shapely.get_num_coordinates(parts[holes == 0])
    sizes[holed] = shapely.get_num_coordinates(shapely.get_rings(parts[holes > 0]))
    return sizes, offsets(holes + 1)


def _broken(outlines: Outlines, boxes: NDArray[np.uint32], zooms: range) -> NDArray[np.uint32]:
    """Of polygons a tile unit wide or high; smaller ones are not drawn as themselves."""
    broken = np.zeros(len(boxes), np.uint32)
    longer = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])

    def crossing(zoom: int, rows: Rows) -> NDArray[np.bool_]:
        found = outlines.take(rows, zoom)
        return simplify.crossing(simplify.tile_units(found.xy, zoom), found.paths, found.polygons, found.shapes)

    with ThreadPoolExecutor(2) as checkers:
        for zoom in zooms:
            rows = np.flatnonzero((outlines.kinds == mvt.POLYGON) & (longer >= simplify.tile_unit(zoom)))
            found = np.concatenate([*checkers.map(partial(crossing, zoom), _batches(rows))])
            broken[rows[found]] |= np.uint32(1 << zoom)
    return broken


def _batches(rows: Rows) -> list[Rows]:
    """Few enough rows that what GEOS needs for them does not matter."""
    return np.split(rows, range(BATCH, len(rows), BATCH))


def _blocks(boxes: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The boxes around the boxes (n, 4) of each block, one after the other."""
    begins = np.arange(0, len(boxes), BLOCK)
    low, high = boxes[:, :2], boxes[:, 2:]
    return np.hstack([np.minimum.reduceat(low, begins), np.maximum.reduceat(high, begins)]).ravel()


def _file(folder: Path, name: str, array: NDArray[Any]) -> Entry:
    file = ArrayFile(folder, name, array.dtype)
    file.append(array)
    return file.finish()
