"""The river and its islands, the creeks and the lakes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import shapely
from shapely import LineString, Polygon
from shapely.geometry.base import BaseGeometry

from tileserver.demo.ground import FRAME, Columns, Floats, arc, beside, spline, waves, wkb

BANK = 110
"""Meters between the water and the road along the river."""
CREEK_SIDE = 40
"""Meters on each side of a creek that stay green."""

# Kilometers east and north of the center.
COURSE = [
    (-28, 10.5),
    (-20, 8.2),
    (-15.6, 9.6),
    (-11.4, 6.9),
    (-7.6, 7.3),
    (-4.7, 4.1),
    (-1.3, 3.5),
    (1.9, 1.55),
    (5.3, 2.9),
    (8.3, 0.3),
    (11.5, -0.1),
    (14.0, -3.6),
    (22, -4.6),
]
ISLANDS = [(-13.4, 1500, 150), (6.6, 1150, 120)]  # near x in km, half the length and the width in meters
CREEKS = {
    "Willow Creek": (
        [(-25, -6.2), (-17, -5.6), (-12.6, -4.5), (-8, -5.9), (-3.2, -4.7), (1.8, -5.4), (6.6, -4.0), (9.8, -2.6), (12.4, -1.1)],
        26,
    ),
    "Mill Branch": ([(-9.4, 2.6), (-7.2, 0.9), (-6.6, -1.6), (-5.2, -3.4), (-4.2, -4.95)], 16),
    "Stony Branch": ([(1.2, 12), (0.2, 8.2), (-1.4, 6.0), (-1.5, 4.6), (-1.7, 3.75)], 14),
}
LAKES = {"Lake Cedar": ((-18.3, 1.9), 1500), "Quarry Lake": ((-5.6, -11.8), 620)}


@dataclass(frozen=True)
class Water:
    course: Floats
    """The middle of the river, from west to east, shape (n, 2)."""
    width: Floats
    """Of the river, at each point of the course, in meters."""
    river: BaseGeometry
    islands: tuple[BaseGeometry, ...]
    creeks: dict[str, BaseGeometry]
    lakes: dict[str, BaseGeometry]

    @property
    def valley(self) -> BaseGeometry:
        """The river with its islands and banks, between the roads that follow it."""
        return ribbon(self.course, self.width / 2 + BANK)

    @property
    def all(self) -> BaseGeometry:
        return shapely.union_all([self.river, *self.creeks.values(), *self.lakes.values()])


def build(rng: np.random.Generator) -> Water:
    control = np.array(COURSE) * 1000
    control[1:-1] += rng.normal(0, 70, control[1:-1].shape)
    course = spline(control, 60)
    at = arc(course)
    width = 345 + 35 * waves(at, rng, (5200, 3100, 1700))
    islands = []
    for x, half, across in ISLANDS:
        middle = at[np.argmin(np.abs(course[:, 0] - x * 1000))]
        width += (across + 60) * np.exp(-(((at - middle) / half) ** 2))
        islands.append(_island(course, at - middle, half, across))
    river = ribbon(course, width / 2 + 9 * waves(at, rng, (900, 520, 310)))
    river = shapely.intersection(shapely.difference(river, shapely.union_all(islands)), FRAME)
    creeks = {name: _creek(line, width, river, rng) for name, (line, width) in CREEKS.items()}
    lakes = {name: shapely.intersection(blob(np.array(middle) * 1000, size, rng), FRAME) for name, (middle, size) in LAKES.items()}
    return Water(course, width, river, tuple(islands), creeks, lakes)


def with_ponds(water: Water, middles: Floats, rng: np.random.Generator) -> Water:
    """The same with a pond at each point, shape (n, 2)."""
    ponds = {f"Pond {k}": blob(middle, rng.uniform(90, 190), rng) for k, middle in enumerate(middles, 1)}
    return replace(water, lakes={**water.lakes, **ponds})


def ribbon(line: Floats, half: Floats) -> BaseGeometry:
    """The polygon within `half` meters on both sides of a line."""
    return shapely.make_valid(Polygon(np.vstack([beside(line, half), beside(line, -half)[::-1]])))


def blob(middle: Floats, size: float, rng: np.random.Generator) -> Polygon:
    """A lake: about `size` meters from the middle to the shore, with bays."""
    turn = np.linspace(0, 2 * np.pi, 97)[:-1]
    shore = 1 + sum(rng.normal(0, 0.34) / k * np.sin(k * turn + rng.uniform(0, 7)) for k in (2, 3, 4, 5, 7, 9))
    return Polygon(middle + size * np.maximum(shore, 0.35)[:, None] * np.stack([np.cos(turn), 0.62 * np.sin(turn)], -1))


def _island(course: Floats, at: Floats, half: float, across: float) -> BaseGeometry:
    """A lens along the course; blunt upstream (`at` < 0), drawn out downstream."""
    t = at[np.abs(at) < half] / half
    body = across / 2 * (1 - t**2) ** 0.75 * (1 - 0.35 * t)
    return ribbon(beside(course, 25)[np.abs(at) < half], body)


def _creek(control: list[tuple[float, float]], width: float, river: BaseGeometry, rng: np.random.Generator) -> BaseGeometry:
    line = spline(np.array(control) * 1000, 25)
    at = arc(line)
    line = beside(line, 95 * waves(at, rng, (1900, 1130, 640)) * np.minimum(1, (at[-1] - at) / 800))
    grown = width * (0.45 + 0.55 * at / at[-1])
    water = shapely.buffer(LineString(line), width / 4).union(ribbon(line, grown / 2))
    clipped: BaseGeometry = shapely.intersection(shapely.difference(water, river), FRAME)
    return clipped


def columns(water: Water) -> Columns:
    bodies = [("River", "river", water.river)]
    bodies += [(name, "creek", creek) for name, creek in water.creeks.items()]
    bodies += [(name, "lake", lake) for name, lake in water.lakes.items()]
    names, kinds, shapes = zip(*bodies, strict=True)
    return {
        "id": pa.array(range(1, len(bodies) + 1), pa.int64()),
        "name": pa.array(names),
        "class": pa.array(kinds),
        "geometry": wkb(np.array(shapes, dtype=object)),
    }
