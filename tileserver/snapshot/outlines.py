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

n is the number of rows with a position.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tileserver.mvt.ragged import Offsets, offsets, ranges
from tileserver.snapshot import columns
from tileserver.snapshot.columns import Entry, Rows

BLOCK = 64
"""Shapes whose boxes are held in one box of the index."""


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
