"""Parcels: the lots of every cell between the streets, with their use, value and address, and those that the land bank holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely

from tileserver.demo import lattice
from tileserver.demo.ground import Columns, Flags, Floats, Geometries, Ints, linestrings, polygons_from, polygons_of, wkb
from tileserver.demo.lattice import Cells, Use
from tileserver.demo.sections import DOWNTOWN, Pattern, Sections
from tileserver.demo.streets import Edges, Zone

FRONTAGE = {
    Pattern.DOWNTOWN: 34.0,
    Pattern.TOWN: 36.0,
    Pattern.GRID: 42.0,
    Pattern.LOOPS: 42.0,
    Pattern.COURTS: 42.0,
    Pattern.SPARSE: 95.0,
    Pattern.INDUSTRY: 130.0,
    Pattern.PARK: 1000.0,
}
"""Meters of street that a parcel takes up, downtown; `GROWTH` kilometers out, twice as much."""
GROWTH = 5.3
SHALLOW = 56
"""Meters of depth below which a cell has one row of parcels."""
LARGE = 4000
"""Square meters from which a parcel is cut at water and motorways; a smaller one is left out."""


@dataclass(frozen=True)
class Parcels:
    """Arrays of shape (n,) unless said otherwise."""

    corners: Floats
    """On the ground, with the middles of the front (the second) and the back, from the front around, shape (n, 6, 2)."""
    edge: Ints
    """The piece of street that it fronts."""
    number: Ints
    """The house number."""
    school: Flags
    need: Floats
    """How poor the quarter is, from 0 to 1."""
    use: Ints
    """Index into `USES`."""
    value: Ints
    """In USD."""
    polygons: Geometries


LAND_BANK = 2650
LAND_BANK_USES = ("SINGLE_FAMILY", "VACANT", "MULTI_FAMILY")
LAND_BANK_STATUS = ("AVAILABLE", "SOLD", "UNDER_CONTRACT", "HELD")
LAST_YEAR = 2026
USES = ("SINGLE_FAMILY", "VACANT", "COMMERCIAL", "MULTI_FAMILY", "INDUSTRIAL", "PUBLIC")
# Shares of the uses: in a quarter, on an arterial, downtown, in industry.
_SHARES = np.array(
    [
        [0.875, 0.05, 0.01, 0.055, 0.0, 0.01],
        [0.34, 0.08, 0.36, 0.17, 0.02, 0.03],
        [0.03, 0.10, 0.62, 0.15, 0.03, 0.07],
        [0.0, 0.24, 0.08, 0.0, 0.66, 0.02],
    ]
)
_WORTH = np.array([215_000, 28_000, 640_000, 480_000, 900_000, 750_000])


def build(sections: Sections, cells: Cells, edges: Edges, zones: list[Zone], rng: np.random.Generator) -> Parcels:
    corners, cell = _lots(sections, cells, rng)
    polygons = polygons_from(corners)
    free = _clip(polygons, zones)
    polygons, corners, cell = polygons[free], corners[free], cell[free]
    edge, number = addresses(edges, corners[:, 1], corners.mean(axis=1))
    school = cells.use[cell] == Use.SCHOOL
    need = poverty(corners[:, 0])
    use = np.where(
        school, USES.index("PUBLIC"), _uses(corners[:, 0], sections.pattern[cells.section[cell]], edges.arterial[edge], need, rng)
    )
    size = np.sqrt(shapely.area(polygons) / 1200)
    value = _WORTH[use] * size * np.exp(0.35 * rng.normal(size=len(use)) + 0.75 - 1.6 * need)
    return Parcels(corners, edge, number, school, need, use, np.round(value, -2).astype(np.int64), polygons)


def poverty(points: Floats) -> Floats:
    """How poor the quarter is around each point, from 0 to 1, shape (n,)."""
    level = np.zeros(len(points))
    for x, y, reach, most in (
        (900, -3600, 2300, 0.8),
        (4700, -600, 1700, 0.75),
        (-2600, -2100, 1500, 0.55),
        (700, 5000, 1600, 0.5),
        (-3800, -6800, 1500, 0.6),
    ):
        level += most * np.exp(-((points[:, 0] - x) ** 2 + (points[:, 1] - y) ** 2) / reach**2)
    patches = np.sin(points[:, 0] / 310) * np.sin(points[:, 1] / 270)
    return np.clip(level + 0.1 * patches * (level > 0.05), 0, 1)


def _clip(polygons: Geometries, zones: list[Zone]) -> Flags:
    """Cuts large parcels, in place, where they reach into a zone, and tells which parcels remain: small ones there do not."""
    size = shapely.area(polygons)
    free = np.ones(len(polygons), bool)
    for zone, _ in zones:
        hit = shapely.intersects(zone, polygons)
        free &= ~hit | (size > LARGE)
        polygons[hit & free] = shapely.difference(polygons[hit & free], zone)
    for k in np.flatnonzero(free & (shapely.area(polygons) < size - 1)):
        parts = polygons_of(polygons[k])
        free[k] = len(parts) > 0 and shapely.area(parts).max() > LARGE / 2
        if free[k]:
            polygons[k] = parts[np.argmax(shapely.area(parts))]
    return free


def addresses(edges: Edges, fronts: Floats, inside: Floats) -> tuple[Ints, Ints]:
    """The nearest piece of street to each point, and a house number on the side of the street where `inside` lies."""
    tree = shapely.STRtree(linestrings(edges.points), node_capacity=4)
    edge = tree.query_nearest(shapely.points(fronts), all_matches=False)[1]
    start, along = edges.points[edge, 0], edges.points[edge, -1] - edges.points[edge, 0]
    share = ((fronts - start) * along).sum(axis=1) / (along**2).sum(axis=1)
    away = inside - start
    left = along[:, 0] * away[:, 1] - along[:, 1] * away[:, 0] > 0
    return edge, edges.hundred[edge] + 2 * np.clip(share * 49, 0, 48).astype(np.int64) + left


def _lots(sections: Sections, cells: Cells, rng: np.random.Generator) -> tuple[Floats, Ints]:
    """Corners of the lots, as of `Parcels`, and the cell of each."""
    pattern = sections.pattern[cells.section]
    low, high, size = lattice.inner(sections, cells)
    front = np.where(cells.fronts_across, size[:, 1], size[:, 0])
    depth = np.where(cells.fronts_across, size[:, 0], size[:, 1])
    away = np.hypot(*(sections.centers - DOWNTOWN).T)[cells.section] / 1000
    wanted = np.array([FRONTAGE[kind] for kind in Pattern])[pattern] * (1 + (away / GROWTH) ** 2)
    count = np.maximum(1, np.round(front / wanted / rng.uniform(0.8, 1.25, len(front)))).astype(np.int64)
    rows = np.where(depth < SHALLOW, 1, 2)
    whole = cells.use == Use.SCHOOL
    count[whole], rows[whole] = 1, 1
    kept = np.flatnonzero((cells.use != Use.PARK) & (pattern != Pattern.PARK) & (front > 16) & (depth > 16))
    cell, row, begin, end = _divide(kept, count, rows, rng)
    across = cells.fronts_across[cell][:, None, None]
    side = row / rows[cell]
    far = (row + 1) / rows[cell]
    outer, inner = np.where(row == 0, side, far), np.where(row == 0, far, side)
    middle = (begin + end) / 2
    f = np.stack([begin, middle, end, end, middle, begin], -1)
    g = np.stack([outer, outer, outer, inner, inner, inner], -1)
    share = np.where(across, np.stack([g, f], -1), np.stack([f, g], -1))
    pq = low[cell][:, None] + share * (high - low)[cell][:, None]
    return lattice.place(sections, cells.section[cell], pq), cell


def _divide(cells: Ints, count: Ints, rows: Ints, rng: np.random.Generator) -> tuple[Ints, Ints, Floats, Floats]:
    """Lots along the rows of the cells: cell, row, and begin and end as shares of the row. Some neighbors are one lot."""
    row_cell = np.repeat(cells, rows[cells])
    row = (np.arange(len(row_cell)) - np.repeat(np.cumsum(rows[cells]) - rows[cells], rows[cells])).astype(np.int64)
    lots = count[row_cell]
    of = np.repeat(np.arange(len(row_cell)), lots)
    place = np.arange(len(of)) - np.repeat(np.cumsum(lots) - lots, lots)
    starts = np.flatnonzero((place == 0) | (rng.random(len(of)) > 0.13))
    end = np.r_[place[starts[1:]], 0]
    of, begin = of[starts], place[starts]
    end = np.where(end == 0, lots[of], end)
    return row_cell[of], row[of], begin / lots[of], end / lots[of]


def _uses(points: Floats, pattern: Ints, arterial: Flags, need: Floats, rng: np.random.Generator) -> Ints:
    business = np.exp(-((points - DOWNTOWN) ** 2).sum(axis=1) / 1500**2) > rng.uniform(0.15, 0.9, len(points))
    zone = np.select([pattern == Pattern.INDUSTRY, business, arterial], [3, 2, 1], 0)
    shares = _SHARES[zone]
    shares[:, 1] += np.where(zone == 0, 0.28 * need**1.5, 0)
    steps = np.cumsum(shares, axis=1)
    use: Ints = (rng.random(len(zone))[:, None] * steps[:, -1:] > steps).sum(axis=1)
    return use


def columns(parcels: Parcels, street: pa.Array) -> Columns:
    """The parcels' rows, where `street` names the street of each."""
    return {
        "parcel_id": ids(len(parcels.use)),
        "land_use": pa.array(USES).take(pa.array(parcels.use)),
        "value": pa.array(parcels.value),
        "address": house(parcels.number, street),
        "geometry": wkb(parcels.polygons),
    }


def land_bank(parcels: Parcels, street: pa.Array, rng: np.random.Generator) -> Columns:
    """Parcels that the land bank holds or held: more, and closer together, the poorer the quarter."""
    block = rng.lognormal(0, 1.0, parcels.edge.max() + 1)[parcels.edge]
    small = (shapely.area(parcels.polygons) < LARGE) & np.isin(parcels.use, [USES.index(use) for use in LAND_BANK_USES])
    weight = parcels.need**1.8 * np.where(parcels.use == USES.index("VACANT"), 5, 1) * block * small
    taken = np.sort(rng.choice(len(weight), LAND_BANK, replace=False, p=weight / weight.sum()))
    year = LAST_YEAR - np.floor(18 * rng.random(LAND_BANK) ** 1.4).astype(np.int64)
    sold = rng.random(LAND_BANK) < 0.06 * (LAST_YEAR - year) / 2
    status = np.where(sold, 1, np.where(rng.random(LAND_BANK) < 0.62, 0, np.where(rng.random(LAND_BANK) < 0.6, 2, 3)))
    price = np.round(np.maximum(500, parcels.value[taken] * rng.uniform(0.04, 0.3, LAND_BANK)), -2).astype(np.int64)
    return {
        "parcel_id": ids(len(parcels.use)).take(pa.array(taken)),
        "status": pa.array(LAND_BANK_STATUS).take(pa.array(status)),
        "acquired": pa.array(year),
        "price": pa.array(price),
        "address": house(parcels.number[taken], street.take(pa.array(taken))),
        "geometry": wkb(parcels.polygons[taken]),
    }


def ids(count: int) -> pa.Array:
    return pc.binary_join_element_wise("P", pc.utf8_lpad(pc.cast(pa.array(range(1, count + 1)), pa.string()), 6, "0"), "-")


def house(number: Ints, street: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(pc.cast(pa.array(number), pa.string()), street, " ")
