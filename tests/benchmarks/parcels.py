"""A made-up city's parcels and streets, the same for the same numbers: as shapes, and as tables of PostGIS."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from typing import Any

import adbc_driver_postgresql.dbapi as adbc
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from numpy.typing import NDArray
from postgres import run_sql

from benchmarks.reports import LATTICE, METERS, NORTH, PREWARM, STREETS, WAYS, WEST
from tileserver.catalog import Layer

LAND_USES = [
    "SINGLE_FAMILY",
    "TWO_FAMILY",
    "APARTMENTS",
    "VACANT",
    "RETAIL",
    "OFFICE",
    "INDUSTRIAL",
    "PUBLIC",
    "SCHOOL",
    "CHURCH",
    "UTILITY",
    "FARM",
]
CLASSES = ["motorway", "primary", "secondary", "residential", "service", "living_street", "unclassified", "track"]

PARCELS_FILE = """
title = "Parcels"
kind = "shapes"
bounds = [-92.6, 34.5, -92.1, 35.0]

[fields]
id = { role = "id", type = "integer" }
land_use = { role = "category" }
value = { type = "integer", measure = true, unit = "USD" }
address = {}
"""
STREETS_FILE = """
title = "Streets"
kind = "shapes"
bounds = [-92.6, 34.5, -92.1, 35.0]

[fields]
id = { role = "id", type = "integer" }
class = { role = "category" }
name = {}
"""

COUNT = 200_000
"""Parcels of a city that is as large as the reports'."""

PART = 40
SMALL = {f"{of}_{part}": (of, part) for of in ("parcels", "streets") for part in range(4)}
"""Layers that hold a fortieth of the parcels or of the streets: those whose ids leave this remainder."""

LAYER_FILES: Mapping[str, str] = {
    id: PARCELS_FILE if id.startswith("parcels") else STREETS_FILE for id in ("parcels", "streets", *SMALL)
}
LAYERS = {id: Layer.model_validate({"id": id, **tomllib.loads(text)}) for id, text in LAYER_FILES.items()}

UNIT = 1 / 512
"""The grid on which all vertices lie, in squares of the reports' lattice: world units."""
PITCH = 56.0
"""From the middle of one street to that of the next, in lattice squares: 220 m on the ground."""
WIDTH = 4.0
"""Of a street: 16 m."""
LOTS = (5, 11)
"""How many a block has along each of its two long sides, at least and at most."""
PIECES = 4
"""Segments of a street from crossing to crossing."""
MOST_VERTICES = 30
"""Of a segment."""
RARE = 100
"""One in so many parcels has a hole, and one is of two lots."""

Shapes = NDArray[np.object_]
"""Of shapely, in meters of Web Mercator, shape (k,)."""
Places = NDArray[np.float64]
"""Shape (…, 2): in lattice squares from the city's corner, or in meters."""

TABLE = """
CREATE TABLE city.{name} AS
SELECT {fields}, ST_GeomFromWKB(geometry, 3857)::geometry({type}, 3857) AS geometry FROM brought ORDER BY geometry;
DROP TABLE brought;
ALTER TABLE city.{name} ADD PRIMARY KEY (id);
CREATE INDEX ON city.{name} USING gist (geometry);
VACUUM (ANALYZE, FREEZE) city.{name}
"""
SMALL_TABLE = """
CREATE TABLE city.{name} AS SELECT * FROM city.{of} WHERE id % {part} = {rest} ORDER BY geometry;
ALTER TABLE city.{name} ADD PRIMARY KEY (id);
CREATE INDEX ON city.{name} USING gist (geometry);
VACUUM (ANALYZE, FREEZE) city.{name}
"""


def load(address: str, count: int) -> None:
    """Bring `count` parcels, half as many streets and the small layers into tables of `city`, as `reports.load` does its rows."""
    run_sql(address, "CREATE SCHEMA city")
    run_sql(address, "CREATE EXTENSION pg_prewarm")
    for name, type, (columns, shapes) in (
        ("parcels", "MultiPolygon", parcels(count)),
        ("streets", "LineString", streets(count // 2)),
    ):
        wkb = pa.array(shapely.to_wkb(shapes), pa.binary())
        with adbc.connect(address) as connection, connection.cursor() as cursor:
            cursor.adbc_ingest("brought", pa.table({**columns, "geometry": wkb}))
            connection.commit()
        _run(address, TABLE.format(name=name, fields=", ".join(columns), type=type))
    for name, (of, rest) in SMALL.items():
        _run(address, SMALL_TABLE.format(name=name, of=of, part=PART, rest=rest))
    run_sql(address, PREWARM)


def _run(address: str, statements: str) -> None:
    for statement in statements.split(";"):
        run_sql(address, statement)


def parcels(count: int) -> tuple[dict[str, pa.Array], Shapes]:
    """The fields, and multipolygons of 4 to 12 vertices a ring: lots in blocks, which share their borders to the vertex."""
    random = np.random.default_rng(10)
    blocks = _blocks(count)
    lots, slots = _lots(random, blocks)
    present = np.isfinite(slots[:, :, 0])
    # Of two lots is what also has the lot that is two further on in its block.
    rare = count // RARE
    second = random.permutation(np.flatnonzero(lots[:, 3] == 3))[:rare]
    single = np.ones(len(lots), np.bool_)
    single[second] = single[second - 2] = False
    gone = random.permutation(np.flatnonzero(single))[: len(lots) - count - len(second)]
    # A hole is where the sides of the lot do not bend.
    straight = single & ~present[:, [4, 5, 10, 11]].any(axis=1)
    straight[gone] = False
    holed = random.permutation(np.flatnonzero(straight))[:rare]

    polygons: Any = shapely.polygons(shapely.linearrings(_meters(slots[present], blocks), indices=np.nonzero(present)[0]))
    corners = slots[holed][:, ::3]
    middle = corners.mean(axis=1, keepdims=True)
    holes: Any = shapely.linearrings(_meters(middle + 0.4 * (corners - middle), blocks))
    polygons[holed] = shapely.polygons(shapely.get_exterior_ring(polygons[holed]), holes=holes[:, None])

    owners = np.arange(len(lots))
    owners[second] -= 2
    kept = np.ones(len(lots), np.bool_)
    kept[gone] = False
    order = np.argsort(owners, kind="stable")
    order = order[kept[order]]
    first, index = np.unique(owners[order], return_inverse=True)
    shapes: Any = shapely.multipolygons(polygons[order], indices=index)
    return _parcel_fields(random, lots[first]), shapes


def streets(count: int) -> tuple[dict[str, pa.Array], Shapes]:
    """The fields, and lines of 2 to 30 vertices, few of them long: a quarter of the way from crossing to crossing each."""
    random = np.random.default_rng(11)
    blocks = _blocks(2 * count)
    axis, line, step = (part.ravel() for part in np.indices((2, blocks + 1, blocks * PIECES)))
    some = np.sort(random.permutation(len(axis))[:count])
    axis, line, step = axis[some], line[some], step[some]
    sizes = np.clip(1 + random.geometric(0.25, count), 2, MOST_VERTICES)
    of = np.repeat(np.arange(count), sizes)
    at = np.arange(len(of)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    inner = (at > 0) & (at < sizes[of] - 1)
    along = (step[of] + at / (sizes[of] - 1)) * (PITCH / PIECES)
    across = line[of] * PITCH + inner * np.clip(random.normal(0, 0.3, len(of)), -1, 1)
    xy = np.where(axis[of][:, None] == 0, np.stack([along, across], axis=1), np.stack([across, along], axis=1))
    kind = np.select([line % 16 == 0, line % 8 == 4, line % 4 == 2], [0, 1, 2], random.integers(3, len(CLASSES), count))
    names = [f"{number} {STREETS[number % len(STREETS)]} {WAYS[number % len(WAYS)]}" for number in range(2 * (blocks + 1))]
    fields = {
        "id": pa.array(np.arange(count)),
        "class": pa.array(CLASSES).take(pa.array(kind)),
        "name": pa.array(names).take(pa.array(2 * line + axis)),
    }
    shapes: Any = shapely.linestrings(_meters(xy, blocks), indices=of)
    return fields, shapes


def _blocks(count: int) -> int:
    """Along each side of a city that has room for so many parcels, wherever they are missing."""
    mean = sum(LOTS)
    return math.ceil(math.sqrt(count * 1.02 / mean)) + 1


def _lots(random: np.random.Generator, blocks: int) -> tuple[NDArray[np.int64], Places]:
    """All lots of a city of so many blocks a side: the block's y and x, row and column of each, (l, 4), and twelve vertices of
    each, (l, 12, 2), every third of them a corner, those that it lacks not numbers. What lots share they share to the vertex."""
    number = random.integers(*LOTS, (blocks, blocks, 1), endpoint=True)
    column = np.arange(LOTS[1] + 1)
    side = PITCH - WIDTH
    lot = side / number
    inside = (column > 0) & (column < number)
    x = np.minimum(column, number) * lot + inside * lot * random.uniform(-0.1, 0.1, (blocks, blocks, len(column)))
    middle = np.stack([x + inside * lot * random.uniform(-0.1, 0.1, x.shape), side * random.uniform(0.45, 0.55, x.shape)], axis=-1)
    front = np.stack([np.stack([x, np.full_like(x, y)], axis=-1) for y in (0, side)], axis=2)

    fronts = _bends(random, front[..., :-1, :], front[..., 1:, :])
    sides = _bends(random, front, middle[:, :, None])
    backs = np.broadcast_to(_bends(random, middle[..., :-1, :], middle[..., 1:, :])[:, :, None], fronts.shape)
    front, middle = front[..., None, :], np.broadcast_to(middle[:, :, None], front.shape)[..., None, :]
    left, right = np.s_[..., :-1, :, :], np.s_[..., 1:, :, :]
    around = [
        front[left],
        fronts,
        front[right],
        sides[right],
        middle[right],
        backs[..., ::-1, :],
        middle[left],
        sides[left][..., ::-1, :],
    ]
    vertices = np.concatenate(around, axis=-2)
    vertices += np.moveaxis(np.indices((blocks, blocks))[::-1], 0, -1)[:, :, None, None, None] * PITCH + WIDTH / 2

    there = np.broadcast_to((column[:-1] < number)[:, :, None], vertices.shape[:4])
    return np.argwhere(there), vertices[there]


def _bends(random: np.random.Generator, begin: Places, end: Places) -> Places:
    """At a third and at two thirds of edges (…, 2) a vertex beside it, or not numbers: (…, 2, 2)."""
    way = (end - begin)[..., None, :]
    across = way[..., ::-1] * (-1, 1)
    shape = (*way.shape[:-2], 2, 1)
    bends = begin[..., None, :] + way * [[1 / 3], [2 / 3]] + across * random.uniform(-0.06, 0.06, shape)
    return np.where(random.random(shape) < 0.35, bends, np.nan)


def _meters(places: Places, blocks: int) -> Places:
    """Lattice squares from the city's corner → Web Mercator, on the grid of vertices. No street is straight from end to end."""
    side = blocks * PITCH
    warped = places + 0.02 * side * np.sin(places[..., ::-1] * (4 * np.pi / side))
    whole = np.rint(warped / UNIT) * UNIT + (WEST, NORTH)
    meters: Places = (whole - LATTICE / 2) * (METERS, -METERS)
    return meters


def _parcel_fields(random: np.random.Generator, lots: NDArray[np.int64]) -> dict[str, pa.Array]:
    y, x, row, column = lots.T
    count = len(lots)
    share = 1 / np.arange(1, len(LAND_USES) + 1)
    numbers = pa.array(100 * (x + 1) + 2 * column + row).cast(pa.string())
    ways = pa.array([f"{name} {way}" for name in STREETS for way in WAYS])
    values = 100 * random.gamma(2, 600, count).astype(np.int64)
    return {
        "id": pa.array(np.arange(count)),
        "land_use": pa.array(LAND_USES).take(pa.array(random.choice(len(LAND_USES), count, p=share / share.sum()))),
        "value": pa.array(values, mask=random.random(count) < 0.1),
        "address": pc.binary_join_element_wise(numbers, ways.take(pa.array(y % len(ways))), " "),
    }
