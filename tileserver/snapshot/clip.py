"""Outlines in units of a tile → what of them is in its window, the tile and the buffer around it, on the same grid.

The grid is the world's, so the parts of a shape in neighboring tiles meet. Polygons are valid, and stay valid: where cutting
half-plane after half-plane cannot promise it, GEOS clips.
"""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from tileserver import mvt
from tileserver.mvt.ragged import Offsets, offsets, ranges, sizes
from tileserver.snapshot.outlines import Paths, concatenate

EXTENT = 4096
"""A tile's side in its units."""
BUFFER = 64
"""How far lines and polygons are drawn beyond a tile, in its units. Points are in one tile only."""
LOW, HIGH = -BUFFER, EXTENT + BUFFER
"""Where the window begins and ends, along both axes."""

LEAST_RING = 4
"""Coordinates of a ring of GEOS's, with the closing one."""

Mask = NDArray[np.bool_]
Vertices = NDArray[np.int64]
"""(m, 2) x and y."""


def points(paths: Paths) -> Paths:
    """The points in the tile itself: as its cells do, it has what lies on its northern and western edge."""
    x, y = paths.xy.T
    inside = (x >= 0) & (x < EXTENT) & (y >= 0) & (y < EXTENT)
    each = np.arange(np.count_nonzero(inside) + 1)
    return Paths(paths.xy[inside], each, each, offsets(inside)[paths.paths[paths.polygons[paths.shapes]]])


def lines(paths: Paths) -> Paths:
    """The pieces of lines in the window, by Liang and Barsky: each step from a vertex to the next enters and leaves it once."""
    begin = paths.xy.astype(np.float64)
    step = np.zeros_like(begin)
    step[:-1] = begin[1:] - begin[:-1]
    enters, leaves = np.zeros(len(begin)), np.ones(len(begin))
    for start, length in zip(begin.T, step.T, strict=True):
        with np.errstate(divide="ignore", invalid="ignore"):
            low, high = (LOW - start) / length, (HIGH - start) / length
        level = length == 0
        low[level] = np.where((start[level] >= LOW) & (start[level] <= HIGH), -np.inf, np.inf)
        high[level] = np.inf
        np.maximum(enters, np.minimum(low, high), out=enters)
        np.minimum(leaves, np.maximum(low, high), out=leaves)
    seen = enters < leaves
    seen[paths.paths[1:] - 1] = False  # a path ends with its last vertex

    begins = seen & (enters > 0)
    begins[1:] |= seen[1:] & ~seen[:-1]
    begins[:1] |= seen[:1]
    ends = np.cumsum(begins.astype(np.int64) + seen)
    xy = np.empty((int(ends[-1]) if len(ends) else 0, 2), np.int64)
    xy[ends[seen] - 1] = np.rint(begin[seen] + leaves[seen, None] * step[seen])
    xy[ends[begins] - 2] = np.rint(begin[begins] + enters[begins, None] * step[begins])
    pieces = np.append(ends[begins] - 2, len(xy))
    return Paths(xy, pieces, np.arange(len(pieces)), offsets(begins)[paths.paths[paths.polygons[paths.shapes]]])


def polygons(paths: Paths, whole: int, broken: Mask) -> Paths:
    """The parts of polygons in the window, their rings as tiles have them.

    Args:
        whole: so many polygons, the first ones, are valid and inside the window.
        broken: which of the others are not valid as they are, a mask (k - whole,).
    """
    inside, others = paths.split(whole)
    if not len(others):
        return _ringed(inside)
    cut, torn = _cut(others)
    drawn = _ringed(concatenate(inside, cut))
    shapes = _multipolygons(drawn.split(whole)[1])
    torn |= broken | ~(shapely.is_valid(shapes) | shapely.is_missing(shapes))
    if not torn.any():
        return drawn
    sound, mended = np.flatnonzero(np.append(np.ones(whole, np.bool_), ~torn)), np.flatnonzero(torn)
    both = concatenate(drawn.take(sound), _ringed(_mended(others.take(mended))))
    return both.take(np.argsort(np.concatenate([sound, whole + mended])))


def _ringed(paths: Paths) -> Paths:
    xy, starts, of_polygons, shapes = mvt.rings(paths.xy, paths.paths, paths.polygons, paths.shapes)
    return Paths(xy.astype(np.int64), starts, of_polygons, shapes)


def _cut(paths: Paths) -> tuple[Paths, Mask]:
    """Polygons cut off at the window's sides by Sutherland and Hodgman, and those that this may tear, a mask (k,): an exterior
    ring crosses a side more than twice, so that what is left of it may hang together along it, or a hole crosses it."""
    xy, starts = paths.xy, paths.paths
    most = np.zeros(len(starts) - 1, np.int64)
    most[paths.polygons[:-1]] = 2
    torn = np.zeros(len(most), np.bool_)
    for axis in (0, 1):
        for limit, outwards in ((LOW, -1), (HIGH, 1)):
            inside = xy[:, axis] * outwards <= limit * outwards
            if not inside.all():
                half, begins, crossing = _half(xy, starts, inside, axis, limit)
                torn |= sizes(offsets(crossing)[starts]) > most
                xy, starts = half, begins
    return Paths(xy, starts, paths.polygons, paths.shapes), sizes(offsets(torn)[paths.polygons[paths.shapes]]) > 0


def _half(xy: Vertices, starts: Offsets, inside: Mask, axis: int, limit: int) -> tuple[Vertices, Offsets, Mask]:
    """What of rings is on the inner side of a line across an axis: their vertices inside, (m,), and where they cross the line;
    and from which vertices, (m,), they cross it on the way to the next."""
    following = mvt.following(starts)
    crossing: Mask = inside != inside[following]
    at = np.flatnonzero(crossing)
    # From inside to outside, whichever way the ring runs: those that share the edge are cut at the same place.
    inner = xy.take(np.where(inside[at], at, following[at]), axis=0)
    outer = xy.take(np.where(inside[at], following[at], at), axis=0)
    part = (limit - inner[:, axis]) / (outer[:, axis] - inner[:, axis])
    other = 1 - axis
    emitted = inside.astype(np.int64) + crossing
    begins = offsets(emitted)
    cut = np.empty((int(begins[-1]), 2), np.int64)
    cut[begins[:-1][inside]] = xy[inside]
    last = begins[at + 1] - 1
    cut[last, axis] = limit
    cut[last, other] = np.rint(inner[:, other] + part * (outer[:, other] - inner[:, other]))
    return cut, begins[starts], crossing


def _mended(paths: Paths) -> Paths:
    """The intersections of polygons, valid or not, with the window, valid on the grid."""
    shapes = _multipolygons(_closed(paths))
    invalid = ~shapely.is_valid(shapes)
    shapes[invalid] = shapely.make_valid(shapes[invalid], method="structure", keep_collapsed=False)
    parts, owners = shapely.intersection(shapes, shapely.box(LOW, LOW, HIGH, HIGH), grid_size=1), np.arange(len(shapes))
    while (shapely.get_type_id(parts) > shapely.GeometryType.POLYGON).any():
        parts, index = shapely.get_parts(parts, return_index=True)
        owners = owners[index]
    areal = (shapely.get_type_id(parts) == shapely.GeometryType.POLYGON) & ~shapely.is_empty(parts)
    parts, owners = parts[areal], owners[areal]
    rings, of_part = shapely.get_rings(parts, return_index=True)
    return Paths(
        shapely.get_coordinates(rings).astype(np.int64),
        offsets(shapely.get_num_coordinates(rings)),
        np.searchsorted(of_part, np.arange(len(parts) + 1)),
        np.searchsorted(owners, np.arange(len(shapes) + 1)),
    )


def _closed(paths: Paths) -> Paths:
    """With rings of as many vertices as GEOS asks for, whatever there is of them; an empty one becomes a point."""
    lengths = np.maximum(sizes(paths.paths), 1)
    closed = np.maximum(lengths + 1, LEAST_RING)
    place = ranges(np.zeros_like(closed), closed) % np.repeat(lengths, closed) + np.repeat(paths.paths[:-1], closed)
    return Paths(paths.xy.take(place, axis=0, mode="clip"), offsets(closed), paths.polygons, paths.shapes)


def _multipolygons(paths: Paths) -> NDArray[np.object_]:
    """As polygons and multipolygons of shapely, (k,), None where nothing is left."""
    rings = np.asarray(shapely.linearrings(paths.xy.astype(np.float64), indices=_owners(paths.paths)))
    parts = np.asarray(shapely.polygons(rings, indices=_owners(paths.polygons)))
    if len(parts) == len(paths) and (paths.shapes[1:] > paths.shapes[:-1]).all():
        return parts
    shapes = np.full(len(paths), None)
    shapely.multipolygons(parts, indices=_owners(paths.shapes), out=shapes)
    return shapes


def _owners(starts: Offsets) -> NDArray[np.int64]:
    """Which list each item is in."""
    return np.repeat(np.arange(len(starts) - 1), sizes(starts))
