"""Points, lines and polygons in tile units as the command integers of Mapbox Vector Tiles 2.1, section 4.3.

Tile units count from the tile's north-west corner, x to the east, y to the south. Deltas between neighbors fit 31 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tileserver.mvt.ragged import Offsets, offsets, ranges, without
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
        lengths = np.diff(self.starts)[index]
        return Geometry(self.types[index], self.commands[ranges(self.starts[index], lengths)], offsets(lengths))


def concatenate(geometries: Sequence[Geometry]) -> Geometry:
    """The features of one after those of the other; their types may differ."""
    return Geometry(
        np.concatenate([geometry.types for geometry in geometries]),
        np.concatenate([geometry.commands for geometry in geometries]),
        offsets(np.concatenate([np.diff(geometry.starts) for geometry in geometries])),
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
    counts = np.diff(feature_starts)
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
    moves[1:] = (coordinates[1:] != coordinates[:-1]).any(axis=1)
    moves[_firsts(line_starts)] = True
    coordinates, line_starts = coordinates[moves], without(line_starts, moves)
    return _paths(LINE, coordinates, line_starts, feature_starts, np.diff(line_starts) >= 2)


def polygons(
    coordinates: Coordinates, ring_starts: Offsets, polygon_starts: Offsets, feature_starts: Offsets
) -> tuple[Geometry, Mask]:
    """n features of any number of polygons, each an exterior ring and then its holes, wound either way, closed or not.

    ring_starts (r + 1,) into coordinates, polygon_starts (p + 1,) into the rings, feature_starts (n + 1,) into the polygons.
    Repeated points and the closing one are dropped, then rings without area, and the holes of an exterior ring without area.
    Exterior rings are turned to positive area by the surveyor's formula with y down, holes to negative (section 4.3.4.4).

    Returns: the features that have a ring left, and the mask (n,) of them.
    """
    coordinates, ring_starts = _open_rings(coordinates, ring_starts)
    area = _doubled_areas(coordinates, ring_starts)
    exterior = np.zeros(len(area), np.bool_)
    exterior[_firsts(polygon_starts)] = True
    sizes = np.diff(polygon_starts)
    keep = (area != 0) & np.repeat(area[_firsts(polygon_starts)] != 0, sizes[sizes > 0])
    coordinates = _turned(coordinates, ring_starts, (area > 0) != exterior)
    return _paths(POLYGON, coordinates, ring_starts, polygon_starts[feature_starts], keep)


def _paths(kind: int, coordinates: Coordinates, path_starts: Offsets, feature_starts: Offsets, keep: Mask) -> tuple[Geometry, Mask]:
    """The commands of lines or rings, (l + 1,) path_starts into coordinates, without those that are not in keep (l,)."""
    lengths = np.diff(path_starts)
    coordinates = coordinates[np.repeat(keep, lengths)]
    lengths, feature_starts = lengths[keep], without(feature_starts, keep)
    kept = np.diff(feature_starts) > 0
    firsts = offsets(lengths)

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


def _firsts(starts: Offsets) -> NDArray[np.int64]:
    """Where the lists that are not empty begin."""
    return starts[:-1][np.diff(starts) > 0]


def _following(starts: Offsets) -> NDArray[np.int64]:
    """(m,) for each point of all rings the point after it; after the last of a ring comes its first."""
    following = np.arange(1, starts[-1] + 1)
    filled = np.diff(starts) > 0
    following[starts[1:][filled] - 1] = starts[:-1][filled]
    return following


def _open_rings(coordinates: Coordinates, ring_starts: Offsets) -> tuple[Coordinates, Offsets]:
    """Without points that the next one repeats; for the last of a ring the next one is the first."""
    moves = (coordinates != coordinates[_following(ring_starts)]).any(axis=1)
    return coordinates[moves], without(ring_starts, moves)


def _doubled_areas(coordinates: Coordinates, ring_starts: Offsets) -> NDArray[np.int64]:
    """(r,) twice the area of each ring by the surveyor's formula, exact; positive for clockwise on screen, y being down."""
    x, y = coordinates.astype(np.int64).T
    following = _following(ring_starts)
    return np.diff(offsets(x * y[following] - x[following] * y)[ring_starts])


def _turned(coordinates: Coordinates, ring_starts: Offsets, backwards: Mask) -> Coordinates:
    """The coordinates with some rings, a mask (r,), in reverse."""
    order = np.arange(len(coordinates))
    lengths = np.diff(ring_starts)
    mirror = np.repeat(ring_starts[:-1] + ring_starts[1:] - 1, lengths) - order
    return coordinates[np.where(np.repeat(backwards, lengths), mirror, order)]
