"""Parks: between the streets, along the river and the creeks, and on the islands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import shapely
from shapely import Polygon
from shapely.geometry.base import BaseGeometry

from tileserver.demo import lattice, motorways, names
from tileserver.demo.ground import Columns, Floats, Geometries, beside, polygons_from, polygons_of, wkb
from tileserver.demo.lattice import ARTERIAL, LOCAL, Cells, Use
from tileserver.demo.motorways import CORRIDOR
from tileserver.demo.sections import Pattern, Sections
from tileserver.demo.water import BANK, CREEK_SIDE, Water

STRETCHES = {
    "Riverfront Park": (-1, -900, 3100),
    "Old Wharf Park": (-1, 4300, 6400),
    "Levee Park": (1, -700, 1800),
    "Heron Bottoms": (-1, -7600, -4300),
}
"""Along the river: its left (1) or right (-1) bank, from and to how many meters east of the center."""


@dataclass(frozen=True)
class Parks:
    name: list[str]
    geometry: Geometries


def build(sections: Sections, cells: Cells, water: Water, rng: np.random.Generator) -> Parks:
    """The parks, without the water in them."""
    inner = _squares(sections, cells)
    greens = _greens(sections, cells)
    words = [word for word in names.NEIGHBORHOODS if "Park" not in word]
    pool = names.shuffled([f"{word} Park" for word in words + names.BIRDS + names.TREES], rng)
    found: list[tuple[str, BaseGeometry]] = list(zip(pool, [*inner, *greens], strict=False))
    found += [(name, _stretch(water, side, west, east)) for name, (side, west, east) in STRETCHES.items()]
    found += [
        (f"{creek} Greenway", shapely.intersection(shapely.buffer(area, CREEK_SIDE - 12), sections.limits))
        for creek, area in water.creeks.items()
    ]
    found += [(f"{name} Island", island) for name, island in zip(("Heron", "Pelican"), water.islands, strict=True)]
    geometry = np.array([park for _, park in found], dtype=object)
    taken = shapely.union_all([*motorways.corridors(CORRIDOR - 12), water.all])
    shapely.prepare(taken)
    cut = shapely.intersects(taken, geometry)
    geometry[cut] = shapely.difference(geometry[cut], taken)
    kept = [k for k, park in enumerate(geometry) if park.area > 1500]
    return Parks([found[k][0] for k in kept], np.array([_whole(geometry[k]) for k in kept], dtype=object))


def columns(parks: Parks) -> Columns:
    return {
        "id": pa.array(range(1, len(parks.name) + 1), pa.int64()),
        "name": pa.array(parks.name),
        "geometry": wkb(parks.geometry),
    }


def _whole(park: BaseGeometry) -> BaseGeometry:
    """A park without its scraps."""
    parts = polygons_of(park)
    return shapely.union_all(parts[shapely.area(parts) > 1000])


def _squares(sections: Sections, cells: Cells) -> list[Polygon]:
    """Neighboring park cells as one polygon each, within the streets around them."""
    park = np.flatnonzero(cells.use == Use.PARK)
    f = np.linspace(0, 1, 7)[:-1]
    zero, one = np.zeros(6), np.ones(6)
    ring = np.stack([np.r_[f, one, 1 - f, zero], np.r_[zero, f, one, 1 - f]], -1)
    low, high, _ = lattice.inner(sections, cells)
    corners = low[park, None] + ring * (high - low)[park, None]
    polygons = polygons_from(lattice.place(sections, cells.section[park], corners))
    together = shapely.union_all(shapely.buffer(polygons, 0.5, join_style="mitre"))
    return list(polygons_of(together))


def _greens(sections: Sections, cells: Cells) -> list[Polygon]:
    """The middles of the loops."""
    loops = np.flatnonzero(sections.pattern == Pattern.LOOPS)
    innermost = np.zeros(len(sections))
    np.maximum.at(innermost, cells.section, cells.high[:, 1])
    within = 1 - 0.86 * (1 - innermost[loops])  # leaves room for the street around
    turn = np.linspace(0, 1, 33)[:-1]
    rings = np.stack(np.broadcast_arrays(turn, within[:, None]), -1)
    return list(polygons_from(lattice.place(sections, loops, rings)))


def _stretch(water: Water, side: int, west: float, east: float) -> Polygon:
    """Between the river and the road along it."""
    part = (water.course[:, 0] > west) & (water.course[:, 0] < east)
    near: Floats = beside(water.course, side * (water.width / 2 - 20))[part]
    far = beside(water.course, side * (water.width / 2 + BANK - (ARTERIAL if side < 0 else LOCAL)))[part]
    return Polygon(np.vstack([near, far[::-1]]))
