"""How little of an outline is enough: from which zoom on a vertex is drawn, and where what is left crosses itself.

Whether a vertex of a ring goes is decided for its place, not for each ring that has it. Places where rings meet are kept;
between two of them all rings run the same way, an arc, which is simplified once (Douglas and Peucker). So neighbours lose the
same vertices of their common border and stay neighbours, whether or not the layer is a flawless coverage. A line is one arc.
"""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from tileserver.mvt.ragged import Offsets, offsets, ranges, without
from tileserver.snapshot.order import WORLD_BITS

EXTENT_BITS = 12
"""A tile is 2^12 tile units wide."""

TOLERANCE = 0.25
"""Tile units. A ring that would vanish keeps its three most important vertices, and is moved by twice as much at most."""

MOST_ROUNDS = 256
"""How often arcs are split. Real ones are done after some thirty; in a zigzag that loses one vertex at a time the rest is kept."""

Vertices = NDArray[np.int64]
"""x and y, (m, 2)."""
Mask = NDArray[np.bool_]


def tile_unit(zoom: int) -> float:
    """The side of a tile unit in world units."""
    return 2.0 ** (WORLD_BITS - EXTENT_BITS - zoom)


def tile_units(world: Vertices, zoom: int) -> Vertices:
    """World units → the nearest tile units of a zoom, from the world's corner on."""
    shift = WORLD_BITS - EXTENT_BITS - zoom
    return (world + (1 << shift >> 1)) >> shift if shift >= 0 else world << -shift


def without_repeated(xy: Vertices, paths: Offsets, rings: Mask) -> tuple[Vertices, Offsets]:
    """Paths, none empty, without vertices that repeat the one before them, nor the last of a ring (a mask, (r,)) the first."""
    moves = np.ones(len(xy), np.bool_)
    moves[1:] = (xy[1:] != xy[:-1]).any(axis=1)
    moves[paths[:-1]] = True
    xy, paths = xy[moves], without(paths, moves)
    first, last = paths[:-1], paths[1:] - 1
    moves = np.ones(len(xy), np.bool_)
    moves[last[rings & (last > first) & (xy[first] == xy[last]).all(axis=1)]] = False
    return xy[moves], without(paths, moves)


def vertex_zooms(xy: Vertices, paths: Offsets, rings: Mask, zooms: range) -> NDArray[np.uint8]:
    """From which of the zooms on each vertex is drawn, (m,); `zooms.stop` for one that never is.

    At each zoom the vertices drawn leave the outline within half a tile unit of where it is, and of a ring at least three.

    Args:
        xy: of all paths, in world units.
        paths: (r + 1,), none empty, without repeated vertices.
        rings: which paths are closed, (r,).
    """
    number, count = _places(xy, np.repeat(rings, np.diff(paths)))
    fixed = _meetings(number, count, paths, rings)
    arcs, starts = _arcs(number, fixed, paths, rings)
    where = np.empty((count, 2), np.int64)
    where[number] = xy
    # Of the lowest zoom last: the more important a vertex is, the more of them it passes.
    tolerances = np.array([(TOLERANCE * tile_unit(zoom)) ** 2 for zoom in reversed(zooms)])
    importance = np.where(fixed, np.inf, 0.0)
    inner = ~fixed[arcs]
    importance[arcs[inner]] = _importance(where[arcs], starts, tolerances[0])[inner]
    importance[_corners(importance[number], number, paths, rings)] = np.inf
    return (zooms.stop - np.searchsorted(tolerances, importance)).astype(np.uint8)[number]


def _places(xy: Vertices, shared: Mask) -> tuple[NDArray[np.int64], int]:
    """A number for the place of each vertex, (m,), and how many there are; each vertex that is not shared, (m,), has its own."""
    x, y = xy[shared].astype(np.uint64).T
    number = np.empty(len(xy), np.int64)
    places, number[shared] = np.unique(x << np.uint64(WORLD_BITS) | y, return_inverse=True)
    number[~shared] = np.arange(len(places), len(places) + len(xy) - len(x))
    return number, len(places) + len(xy) - len(x)


def _meetings(number: NDArray[np.int64], count: int, paths: Offsets, rings: Mask) -> Mask:
    """Which places do not have the same two neighbours in all paths, or are the end of a line; of a ring at least one.

    Args:
        number: of each vertex's place, (m,).
        count: of places.
    """
    first, last = paths[:-1], paths[1:] - 1
    before, after = np.roll(number, 1), np.roll(number, -1)
    before[first], after[last] = number[last], number[first]
    low, high = np.minimum(before, after), np.maximum(before, after)
    fixed = np.zeros(count, np.bool_)
    fixed[number[np.concatenate([first[~rings], last[~rings]])]] = True
    fixed[number[low == high]] = True
    for neighbours in (low, high):
        any_of = np.empty(count, np.int64)
        any_of[number] = neighbours
        fixed[number[neighbours != any_of[number]]] = True
    if len(first):
        lone = ~np.logical_or.reduceat(fixed[number], first)
        fixed[np.minimum.reduceat(number, first)[lone]] = True
    return fixed


def _arcs(number: NDArray[np.int64], fixed: Mask, paths: Offsets, rings: Mask) -> tuple[NDArray[np.int64], Offsets]:
    """The places along each arc that has any between its ends, one arc after the other, and where each begins."""
    size = np.diff(paths)
    first = np.minimum.reduceat(np.where(fixed[number], np.arange(len(number)), len(number)), paths[:-1]) if len(size) else size
    turned = first - paths[:-1]  # rings begin, and end, with a place that is kept
    walked = offsets(size + rings)
    step = np.arange(walked[-1]) - np.repeat(walked[:-1], size + rings)
    step += np.repeat(turned, size + rings)
    step %= np.repeat(size, size + rings)
    walk = number[np.repeat(paths[:-1], size + rings) + step]

    inner = ~fixed[walk]
    begins = np.flatnonzero(~inner[:-1] & inner[1:])
    ends = np.flatnonzero(inner[:-1] & ~inner[1:]) + 1
    if not len(begins):
        return np.zeros(0, np.int64), np.zeros(1, np.int64)
    # No place is between the ends of two arcs, so the first of those in it tells an arc, whichever path it is met in.
    names = np.minimum.reduceat(np.where(inner, walk, len(fixed)), begins)
    once = np.unique(names, return_index=True)[1]
    lengths = ends[once] - begins[once] + 1
    return walk[ranges(begins[once], lengths)], offsets(lengths)


def _importance(xy: Vertices, starts: Offsets, least: float) -> NDArray[np.float64]:
    """The square of the tolerance up to which Douglas and Peucker keep each vertex of some arcs, (m,); 0 if it is below `least`."""
    importance = np.zeros(len(xy))
    begin, end = starts[:-1], starts[1:] - 1
    limit = np.full(len(begin), np.inf)
    for _ in range(MOST_ROUNDS):
        if not len(begin):
            break
        between = end - begin - 1
        vertices = ranges(begin + 1, between)
        of = np.repeat(np.arange(len(begin)), between)
        distance = _squared_distances(xy[vertices], xy[begin], xy[end], of)
        most = np.maximum.reduceat(distance, offsets(between)[:-1])
        farthest = np.flatnonzero(distance == most[of])
        farthest = farthest[np.unique(of[farthest], return_index=True)[1]]
        split = vertices[farthest]
        limit = np.minimum(limit, most)
        importance[split] = limit
        begin, end, limit = np.concatenate([begin, split]), np.concatenate([split, end]), np.tile(limit, 2)
        more = (end - begin > 1) & (limit > least)
        begin, end, limit = begin[more], end[more], limit[more]
    importance[ranges(begin + 1, end - begin - 1)] = np.repeat(limit, end - begin - 1)
    return importance


def _squared_distances(xy: Vertices, begin: Vertices, end: Vertices, of: NDArray[np.int64]) -> NDArray[np.float64]:
    """Of vertices from the segments, begin to end, that they are `of`, (m,)."""
    x, y = (end - begin).astype(np.float64).T
    length = x * x + y * y
    length[length == 0] = 1
    dx, dy = (xy - begin[of]).astype(np.float64).T
    x, y = x[of], y[of]
    along = np.clip((dx * x + dy * y) / length[of], 0, 1)
    dx -= along * x
    dy -= along * y
    return np.asarray(dx * dx + dy * dy)


def _corners(importance: NDArray[np.float64], number: NDArray[np.int64], paths: Offsets, rings: Mask) -> NDArray[np.int64]:
    """The places of the three most important vertices of each ring.

    Args:
        importance: of each vertex, (m,).
    """
    few = np.flatnonzero(rings & (np.diff(offsets(np.isinf(importance))[paths]) < 3))
    size = np.diff(paths)[few]
    vertices = ranges(paths[few], size)
    of = np.repeat(np.arange(len(few)), size)
    vertices = vertices[np.lexsort((-importance[vertices], of))]
    rank = np.arange(len(vertices)) - offsets(size)[of]
    return number[vertices[rank < 3]]


def crossing(xy: Vertices, paths: Offsets, polygons: Offsets, shapes: Offsets) -> Mask:
    """Which polygons, or multipolygons, are invalid, (k,): rings without area apart, which are not drawn.

    Args:
        xy: of all rings, in tile units; then as `outlines.Paths`.
    """
    xy, paths = without_repeated(xy, paths, np.ones(len(paths) - 1, np.bool_))
    size = np.diff(paths)
    following = np.arange(1, len(xy) + 1)
    following[paths[1:] - 1] = paths[:-1]
    x, y = xy.T
    area = np.diff(offsets(x * y[following] - x[following] * y)[paths])
    drawn = (area != 0) & (area[polygons[:-1]] != 0).repeat(np.diff(polygons))
    polygons = without(polygons, drawn)
    begins, size = paths[:-1][drawn], size[drawn]
    vertices = ranges(begins, size + 1)
    closed = offsets(size + 1)
    vertices[closed[1:] - 1] = begins
    kept = np.diff(polygons) > 0
    multi = (closed, offsets(np.diff(polygons)[kept]), without(shapes, kept))
    return ~shapely.is_valid(shapely.from_ragged_array(shapely.GeometryType.MULTIPOLYGON, xy[vertices].astype(np.float64), multi))
