"""Motorways: where they run, and the ramps that join them to each other and to the roads beside them."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import shapely
from shapely import LineString, MultiLineString, Point
from shapely.geometry.base import BaseGeometry

from tileserver.demo.ground import Floats, Geometries, arc, beside, linestrings, spline

CORRIDOR = 48
"""Meters from the middle of a motorway to the road beside it, or the first street."""
CARRIAGEWAY = 9
"""Meters from the middle of a motorway to the middle of each carriageway."""
INTERCHANGE = 330
"""Meters from where two motorways cross to where their ramps begin."""

# Kilometers east and north of the center.
_CROSSTOWN = [
    (-26, -2.4),
    (-17, -2.9),
    (-11.5, -1.6),
    (-6.5, -0.2),
    (-2.6, -0.75),
    (0.4, -1.35),
    (3.4, -2.3),
    (6.4, -4.7),
    (10, -8.2),
]
_BRIDGE = [(4.2, 15), (3.3, 10), (2.7, 6.2), (2.75, 2.2), (2.9, -0.6), (1.9, -3.6), (-1.2, -7.0), (-6, -10), (-13, -13), (-21, -17)]
_WEST = [(-9.0, 15), (-8.9, 10.5), (-9.3, 7.1), (-10.2, 3.2), (-10.6, -0.6), (-9.2, -4.6), (-5.2, -7.3), (-1.2, -7.0)]
COURSES = {"Crosstown Expressway": [*_CROSSTOWN, (19, -13.5)], "Bridge Freeway": _BRIDGE, "West Belt": _WEST}


def lines() -> dict[str, Floats]:
    """The middle of each motorway, shape (n, 2)."""
    return {name: spline(np.array(course) * 1000, 50) for name, course in COURSES.items()}


def corridors(distance: float = CORRIDOR) -> list[BaseGeometry]:
    """What lies within `distance` meters of each motorway, and of each interchange."""
    ways: list[BaseGeometry] = [shapely.buffer(LineString(line), distance, quad_segs=4) for line in lines().values()]
    return ways + [shapely.buffer(Point(*crossing), distance * 3.2) for crossing in _crossings()]


def carriageways(line: Floats) -> MultiLineString:
    return MultiLineString([beside(line, CARRIAGEWAY), beside(line, -CARRIAGEWAY)])


def ramps(frontage: BaseGeometry) -> MultiLineString:
    """Between the motorways where they cross, and from each motorway to the roads beside it, which `frontage` holds."""
    shapely.prepare(frontage)
    found: list[Geometries] = []
    for line in lines().values():
        for side in (-1, 1):
            slips = linestrings(np.stack([_slip(line, start, side) for start in range(8, len(line) - 16, 13)]))
            ends = shapely.get_point(slips, np.tile([0, -1], (len(slips), 1)).T)
            found.append(slips[(shapely.distance(frontage, ends) < 2).any(axis=0)])
    found += [linestrings(_bends(crossing)) for crossing in _crossings()]
    return MultiLineString(list(np.concatenate(found)))


def _slip(line: Floats, start: int, side: int) -> Floats:
    """A ramp of 200 m; every other one leaves the motorway, the others join it."""
    share = np.linspace(0, 1, 5)
    out = CARRIAGEWAY + (CORRIDOR - CARRIAGEWAY) * share**2 * (3 - 2 * share)
    away = np.zeros(len(line))
    away[start : start + 5] = out if start % 2 else out[::-1]
    return beside(line, side * away)[start : start + 5]


def _crossings() -> list[Floats]:
    """Where two motorways meet, each of shape (2,)."""
    pairs = combinations([LineString(line) for line in lines().values()], 2)
    return [xy for one, other in pairs for xy in shapely.get_coordinates(shapely.intersection(one, other))]


def _bends(crossing: Floats) -> Floats:
    """Curves between all arms of the motorways at a crossing, shape (n, 13, 2)."""
    arms: list[list[Floats]] = []
    for line in lines().values():
        at, nearest = arc(line), int(np.argmin(np.hypot(*(line - crossing).T)))
        if np.hypot(*(line[nearest] - crossing)) < 60:
            ends = np.array([at[nearest] - INTERCHANGE, at[nearest] + INTERCHANGE])
            arms.append(
                [np.array([np.interp(end, at, line[:, 0]), np.interp(end, at, line[:, 1])]) for end in ends if 0 < end < at[-1]]
            )
    t = np.linspace(0, 1, 13)[:, None]
    return np.stack([(1 - t) ** 2 * a + 2 * t * (1 - t) * crossing + t**2 * b for a in arms[0] for b in arms[1]])
