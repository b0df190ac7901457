"""Points, lines and polygons in tile units as the command integers of Mapbox Vector Tiles 2.1, section 4.3.

Tile units count from the tile's north-west corner, x to the east, y to the south. Deltas between neighbors fit 31 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tileserver.mvt.ragged import Offsets, offsets, ranges, sizes, without
from tileserver.mvt.varint import zigzag

POINT, LINE, POLYGON = 1, 2, 3
MOVE_TO, LINE_TO, CLOSE_PATH = 1, 2, 7

Coordinates = NDArray[np.integer[Any]]
"""(m, 2) x and y, in tile units."""
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Geometry:
    """The geometries of n features."""

    types: NDArray[np.uint8]
    """(n,) POINT, LINE or POLYGON."""
    commands: NDArray[np.uint32]
    """The command integers of all features, one after the other."""
    starts: Offsets
    """(n + 1,): commands[starts[i]:starts[i + 1]] are feature i's."""

    def __len__(self) -> int:
        return len(self.types)

    def take(self, index: NDArray[np.integer[Any]]) -> Geometry:
        """The features at these positions, in this order."""
        lengths = sizes(self.starts)[index]
        return Geometry(self.types[index], self.commands[ranges(self.starts[index], lengths)], offsets(lengths))


def lengths(geometry: Geometry) -> NDArray[np.float64]:
    """(n,) how long the lines of each feature are, in tile units; 0 for points and polygons."""
    commands = geometry.commands.astype(np.int64)
    numbers = (commands >> 1) ^ -(commands & 1)
    # The sum of the steps from each place to the end, as if commands were pairs from there on: a line's are, but for its head.
    ahead = np.zeros(len(numbers) + 3)
    step = np.hypot(numbers[:-1], numbers[1:])
    for parity in (0, 1):
        ahead[parity : len(step) : 2] = np.cumsum(step[parity::2][::-1])[::-1]
    total = np.zeros(len(geometry))
    at = geometry.starts[:-1].copy()
    left = np.flatnonzero(geometry.types == LINE)
    while len(left):  # path by path: MoveTo(1) x y LineTo(count) and the steps
        steps = at[left] + 4
        at[left] = steps + 2 * (commands[at[left] + 3] >> 3)
        total[left] += ahead[steps] - ahead[at[left]]
        left = left[at[left] < geometry.starts[left + 1]]
    return total


def concatenate(geometries: Sequence[Geometry]) -> Geometry:
    """The features of one after those of the other; their types may differ."""
    return Geometry(
        np.concatenate([geometry.types for geometry in geometries]),
        np.concatenate([geometry.commands for geometry in geometries]),
        offsets(np.concatenate([sizes(geometry.starts) for geometry in geometries])),
    )


def points(x: NDArray[np.integer[Any]], y: NDArray[np.integer[Any]]) -> Geometry:
    """n features of one point each."""
    n = len(x)
    commands = np.empty((n, 3), np.uint32)
    commands[:, 0] = _command(MOVE_TO, 1)
    commands[:, 1:] = zigzag(np.stack([x, y], axis=1).astype(np.int64))
    return Geometry(np.full(n, POINT, np.uint8), commands.ravel(), np.arange(n + 1) * 3)


def squares(x: NDArray[np.integer[Any]], y: NDArray[np.integer[Any]], side: int) -> Geometry:
    """n features of one square each, by its north-west corner."""
    n = len(x)
    right, left = 2 * side, 2 * side - 1  # zigzag of side and -side
    commands = np.empty((n, 11), np.uint32)
    commands[:] = _command(MOVE_TO, 1), 0, 0, _command(LINE_TO, 3), right, 0, 0, right, left, 0, _command(CLOSE_PATH, 1)
    commands[:, 1:3] = zigzag(np.stack([x, y], axis=1).astype(np.int64))
    return Geometry(np.full(n, POLYGON, np.uint8), commands.ravel(), np.arange(n + 1) * 11)


def multipoints(coordinates: Coordinates, feature_starts: Offsets) -> tuple[Geometry, Mask]:
    """n features of several points each, feature_starts (n + 1,) into coordinates.

    Returns: the features that have a point, and the mask (n,) of them.
    """
    counts = sizes(feature_starts)
    kept = counts > 0
    starts = 2 * feature_starts + offsets(kept)
    commands = np.empty(starts[-1], np.uint32)
    begins = starts[:-1][kept]
    commands[begins] = _command(MOVE_TO, counts[kept])
    commands[ranges(begins + 1, 2 * counts[kept])] = _deltas(coordinates, feature_starts[:-1][kept]).ravel()
    return Geometry(np.full(len(begins), POINT, np.uint8), commands, np.append(begins, starts[-1])), kept


def lines(coordinates: Coordinates, line_starts: Offsets, feature_starts: Offsets) -> tuple[Geometry, Mask]:
    """n features of any number of lines; line_starts (l + 1,) into coordinates, feature_starts (n + 1,) into the lines.

    A point that repeats the one before it is dropped, and a line of which fewer than two points remain.

    Returns: the features that have a line left, and the mask (n,) of them.
    """
    moves = np.ones(len(coordinates), np.bool_)
    moves[1:] = _differ(coordinates[1:], coordinates[:-1])
    moves[_firsts(line_starts)] = True
    if not moves.all():
        coordinates, line_starts = coordinates[moves], without(line_starts, moves)
    keep = sizes(line_starts) >= 2
    if not keep.all():
        coordinates, line_starts = _some(coordinates, line_starts, keep)
        feature_starts = without(feature_starts, keep)
    return _paths(LINE, coordinates, line_starts, feature_starts)


def polygons(coordinates: Coordinates, ring_starts: Offsets, feature_starts: Offsets) -> tuple[Geometry, Mask]:
    """n features of any number of rings, as `rings` gives them; feature_starts (n + 1,) into the rings.

    Returns: the features that have a ring, and the mask (n,) of them.
    """
    return _paths(POLYGON, coordinates, ring_starts, feature_starts)


def rings(
    coordinates: Coordinates, ring_starts: Offsets, polygon_starts: Offsets, feature_starts: Offsets
) -> tuple[Coordinates, Offsets, Offsets, Offsets]:
    """Polygons, each an exterior ring and then its holes, wound either way, closed or not → as tiles have them, in the same form.

    ring_starts (r + 1,) into coordinates, polygon_starts (p + 1,) into the rings, feature_starts (n + 1,) into the polygons.
    Repeated points and the closing one are dropped, then rings without area, and the holes of an exterior ring without area.
    Exterior rings are turned to positive area by the surveyor's formula with y down, holes to negative (section 4.3.4.4).
    """
    after = following(ring_starts)
    moves = _differ(coordinates, coordinates[after])
    if not moves.all():
        coordinates, ring_starts = coordinates[moves], without(ring_starts, moves)
        after = following(ring_starts)
    area = _doubled_areas(coordinates, ring_starts, after)
    exterior = np.zeros(len(area), np.bool_)
    exterior[_firsts(polygon_starts)] = True
    backwards = (area > 0) != exterior
    if not area.all():
        rings_each = sizes(polygon_starts)
        keep = (area != 0) & np.repeat(area[_firsts(polygon_starts)] != 0, rings_each[rings_each > 0])
        coordinates, ring_starts = _some(coordinates, ring_starts, keep)
        polygon_starts, backwards = without(polygon_starts, keep), backwards[keep]
    filled = polygon_starts[1:] > polygon_starts[:-1]
    if not filled.all():
        polygon_starts, feature_starts = np.append(polygon_starts[:-1][filled], polygon_starts[-1]), without(feature_starts, filled)
    if backwards.any():
        coordinates = _turned(coordinates, ring_starts, backwards)
    return coordinates, ring_starts, polygon_starts, feature_starts


def _some(coordinates: Coordinates, path_starts: Offsets, keep: Mask) -> tuple[Coordinates, Offsets]:
    """Of paths those of a mask (l,)."""
    lengths = sizes(path_starts)
    return coordinates[np.repeat(keep, lengths)], offsets(lengths[keep])


def _paths(kind: int, coordinates: Coordinates, path_starts: Offsets, feature_starts: Offsets) -> tuple[Geometry, Mask]:
    """The commands of lines or rings, (l + 1,) path_starts into coordinates, none of them empty."""
    firsts, lengths = path_starts, sizes(path_starts)
    kept = feature_starts[1:] > feature_starts[:-1]

    # A path is MoveTo(1) x y LineTo(length - 1) x y x y …, and a ring ends with ClosePath.
    around = 3 if kind == POLYGON else 2
    begins = 2 * firsts + around * np.arange(len(firsts))
    commands = np.empty(begins[-1], np.uint32)
    commands[begins[:-1]] = _command(MOVE_TO, 1)
    commands[begins[:-1] + 3] = _command(LINE_TO, lengths - 1)
    if kind == POLYGON:
        commands[begins[1:] - 1] = _command(CLOSE_PATH, 1)
    place = np.repeat(begins[:-1] + 2 - 2 * firsts[:-1], lengths) + 2 * np.arange(len(coordinates))
    place[firsts[:-1]] -= 1  # before the LineTo, not after
    commands[place], commands[place + 1] = _deltas(coordinates, firsts[feature_starts[:-1][kept]]).T

    starts = begins[feature_starts]
    return Geometry(np.full(np.count_nonzero(kept), kind, np.uint8), commands, np.append(starts[:-1][kept], starts[-1])), kept


def _command(name: int, count: NDArray[np.int64] | int) -> NDArray[np.int64] | int:
    return name | count << 3


def _deltas(coordinates: Coordinates, firsts: NDArray[np.int64]) -> NDArray[np.uint64]:
    """(m, 2) steps from point to point, zigzag; the points at `firsts` begin a feature: steps from (0, 0)."""
    steps = coordinates.astype(np.int64)
    steps[1:] -= coordinates[:-1]
    steps[firsts] = coordinates[firsts]
    return zigzag(steps)


def _differ(one: Coordinates, other: Coordinates) -> Mask:
    """(m,) Which points of one are not those of the other; several times as quick as `any` along the short axis."""
    x, y = (one != other).T
    differ: Mask = x | y
    return differ


def _firsts(starts: Offsets) -> NDArray[np.int64]:
    """Where the lists that are not empty begin."""
    return starts[:-1][sizes(starts) > 0]


def following(starts: Offsets) -> NDArray[np.int64]:
    """(m,) for each point of all rings the point after it; after the last of a ring comes its first."""
    after = np.arange(1, starts[-1] + 1)
    filled = starts[1:] > starts[:-1]
    after[starts[1:][filled] - 1] = starts[:-1][filled]
    return after


def _doubled_areas(coordinates: Coordinates, ring_starts: Offsets, after: NDArray[np.int64]) -> NDArray[np.int64]:
    """(r,) twice the area of each ring by the surveyor's formula, exact; positive for clockwise on screen, y being down."""
    x, y = coordinates.astype(np.int64).T
    return sizes(offsets(x * y[after] - x[after] * y)[ring_starts])


def _turned(coordinates: Coordinates, ring_starts: Offsets, backwards: Mask) -> Coordinates:
    """The coordinates with some rings, a mask (r,), in reverse."""
    order = np.arange(len(coordinates))
    lengths = sizes(ring_starts)
    mirror = np.repeat(ring_starts[:-1] + ring_starts[1:] - 1, lengths) - order
    return coordinates[np.where(np.repeat(backwards, lengths), mirror, order)]
