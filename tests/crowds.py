"""Layers of points that are hard to get right: crowded spots, edges, the ends of the world, values that are rare or missing."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import shapely
from hypothesis import strategies as st
from shapely.geometry.base import BaseGeometry
from town import batch
from twin import Row, Twin

from tileserver import times
from tileserver.catalog import GEOMETRY, Layer
from tileserver.filters import Area, Filter
from tileserver.filters.conditions import Condition, Like, Spatial, among, conjunction, disjunction, span
from tileserver.snapshot import Snapshot, detail, order
from tileserver.snapshot.build import build
from tileserver.snapshot.inside import Region

CITY = (-92.6, 34.6, -92.1, 34.9)
FIRST_DAY = 1_704_067_200_000_000
"""The begin of 2024, in microseconds since 1970 UTC."""
SPOTS = [(-92.31, 34.72), (-92.28, 34.75), (-92.4, 34.8)]
RARE = ["O28", "O27", "O0"]
WARDS = ["North", "South", "East", "West"]

AREAS: dict[str, BaseGeometry] = {
    "city": shapely.box(-92.5, 34.62, -92.25, 34.85),
    "slanted": shapely.Polygon([(-92.5, 34.6), (-92.29, 34.66), (-92.2, 34.9)]),
    "hollow": shapely.Point(-92.3, 34.73).buffer(0.1).difference(shapely.Point(-92.31, 34.72).buffer(0.02)),
    "around a spot": shapely.Point(SPOTS[0]).buffer(0.0005),
    "far east": shapely.box(100, -80, 180, 80),
    "far west and a corner": shapely.MultiPolygon([shapely.box(-180, -85, -100, 85), shapely.box(10, 10, 20, 20)]),
    "nowhere": shapely.box(30, -50, 31, -49),
    "empty": shapely.Polygon(),
}
REGIONS = {name: Region(shape) for name, shape in AREAS.items()}

BOXES = [
    (-92.4, 34.65, -92.2, 34.8),
    (-92.31, 34.72, -92.28, 34.75),
    (-180.0, -90.0, 180.0, 90.0),
    (170.0, -90.0, 180.0, 90.0),
    (180.0, -90.0, 180.0, 90.0),
    (170.0, -60.0, -170.0, 90.0),
    (-92.3, -90.0, -92.4, 90.0),
    (-180.0, 85.0, -90.0, 90.0),
    (0.0, 0.0, 0.0, 0.0),
]

KIND: dict[str, dict[str, Any]] = {
    "incidents": {
        "kind": "events",
        "fields": {
            "id": {"role": "id", "type": "integer"},
            "at": {"role": "time"},
            "offense": {"role": "category"},
            "ward": {"role": "category"},
            "street": {"role": "category"},
            "loss": {"type": "number", "measure": True},
            "units": {"type": "integer", "measure": True},
            "open": {"type": "boolean"},
            "note": {},
        },
    },
    "trees": {
        "kind": "places",
        "fields": {"girth": {"type": "number", "measure": True}, "rings": {"type": "integer", "measure": True}, "note": {}},
        "tiles": {"maxzoom": 22},
    },
    "licenses": {
        "kind": "places",
        "fields": {"number": {"role": "id"}, "street": {"role": "category"}, "ward": {"role": "category"}, "note": {}},
        "tiles": {"minzoom": 2, "maxzoom": 18},
    },
    "calls": {
        "kind": "events",
        "fields": {"number": {"role": "id"}, "at": {"role": "time"}, "street": {"role": "category"}, "note": {}},
    },
}


def layer(id: str) -> Layer:
    """With a budget that most filters exceed."""
    tiles = {"budget": 40, **KIND[id].get("tiles", {})}
    return Layer.model_validate(KIND[id] | {"id": id, "title": id, "position": "optional", "tiles": tiles})


def rows(id: str, count: int) -> list[Row]:
    """Rows of a layer; a third of them stand on one spot."""
    chance = np.random.default_rng(count)
    fields = layer(id).schema.names
    made: list[Row] = [{name: MADE[name](number, chance) for name in fields} for number in range(count)]
    for row in made:
        if "offense" in row and row[GEOMETRY] is not None and row[GEOMETRY].distance(shapely.Point(SPOTS[2])) < 0.01:
            row["offense"] = RARE[row["id"] % 3]  # what is rare elsewhere leads here
    return made


def _point(_: int, chance: np.random.Generator) -> shapely.Point | None:
    x, y = chance.uniform(size=2)
    west, south, east, north = CITY
    where = chance.choice(["spot", "spots", "city", "edge", "world", "end", "none"], p=[0.33, 0.25, 0.2, 0.08, 0.05, 0.05, 0.04])
    match where:
        case "spot":
            lon, lat = SPOTS[0]
        case "spots":
            lon, lat = np.array(SPOTS[int(chance.integers(0, 3))]) + chance.normal(0, 10 ** chance.uniform(-7, -2), 2)
        case "city":
            lon, lat = west + x * (east - west), south + y * (north - south)
        case "edge":  # where tiles or their cells meet
            return _corner(int(2**32 * (180 - 92.3) / 360), int(2**32 * 0.397), int(chance.integers(8, 25)))
        case "world":
            lon, lat = x * 360 - 180, y * 180 - 90
        case "end":
            lon = chance.choice([180, -180, 179.999999, -179.999999, 0, -92.3])
            lat = chance.choice([90, -90, 85.0511288, -85.0511288, 85, 0, 34.7])
        case _:
            return None
    return shapely.Point(round(float(lon), 7), round(float(lat), 7))


def _corner(x: int, y: int, level: int) -> shapely.Point:
    """The corner of a square of a level near a position in world units."""
    return at(x >> (32 - level) << (32 - level), y >> (32 - level) << (32 - level))


def at(x: int, y: int) -> shapely.Point:
    """The point at a position in world units."""
    return shapely.Point(x * 360 / 2**32 - 180, math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * y / 2**32)))))


def _at(_: int, chance: np.random.Generator) -> int | None:
    """Hours of a month; some before 1970, at the ends of what there is, or missing."""
    odd = [None, None, -1, 0, -62_135_596_800_000_000, 253_402_300_799_999_999]
    return FIRST_DAY + int(chance.integers(0, 720)) * times.HOUR if chance.random() < 0.9 else odd[int(chance.integers(0, 6))]


def _ward(_: int, chance: np.random.Generator) -> str | None:
    return (*WARDS, None, "")[int(chance.integers(0, 6))]


MADE: dict[str, Callable[[int, np.random.Generator], Any]] = {
    "id": lambda number, _: number * 7,
    "number": lambda number, _: f"N-{number * 7919 % 10_007}",
    "at": _at,
    # Thirty values, so that half of them share a run; the most frequent one is that of every fifth row.
    "offense": lambda _, chance: None if chance.random() < 0.1 else f"O{min(int(chance.exponential(6)), 29)}",
    "ward": _ward,
    "street": lambda number, chance: f"{number} Main" if chance.random() < 0.7 else f"Elm {int(chance.integers(0, 9))}",
    "loss": lambda _, chance: None if chance.random() < 0.3 else round(float(chance.uniform(-9, 999)), int(chance.integers(0, 6))),
    "units": lambda _, chance: None if chance.random() < 0.3 else int(chance.integers(-3, 9)),
    "girth": lambda _, chance: round(float(chance.uniform(0, 3)), 3),
    "rings": lambda _, chance: None if chance.random() < 0.3 else int(chance.integers(1, 200)) * 10**13,
    "open": lambda _, chance: (True, False, None)[int(chance.integers(0, 3))],
    "note": lambda _, chance: (None, "", f"note {int(chance.integers(0, 9))} – ü%_\n")[int(chance.integers(0, 3))],
    GEOMETRY: _point,
}


class Crowd:
    """A layer's rows, its snapshot, and the twin. No dataclass, since Hypothesis would print all of it."""

    def __init__(self, id: str, folder: Path, count: int = 1_500, features: int = 60) -> None:
        """`features`: what a tile of the densest place may hold, so that cells show more members the closer one looks."""
        self.layer = layer(id)
        self.rows = rows(id, count)
        self.twin = Twin(self.layer, self.rows, AREAS)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(order, "SMALL_LEAF", 8)  # leaves of every level, though rows are few
            patch.setattr(detail, "TILE_FEATURES", features)
            self.snapshot = snapshot_of(self.layer, folder, batch(self.layer, self.rows))
        self.filters = filters(self.layer, self.rows)


def snapshot_of(layer: Layer, folder: Path, *batches: pa.RecordBatch) -> Snapshot:
    return Snapshot(layer, folder / layer.id / build(layer, batches, folder))


def filters(layer: Layer, rows: list[Row]) -> st.SearchStrategy[Filter]:
    """Any filter of a layer, each part there or not; values come from its rows, or are none of theirs."""
    points = st.sampled_from([row[GEOMETRY] for row in rows if row[GEOMETRY] is not None])
    between = st.tuples(points, points).map(
        lambda ends: (min(ends[0].x, ends[1].x), min(ends[0].y, ends[1].y), max(ends[0].x, ends[1].x), max(ends[0].y, ends[1].y))
    )
    asked = {}
    for field in layer.categories:
        values = st.sampled_from([*sorted({row[field.name] or "" for row in rows}), "none of them"])
        asked[field.name] = st.lists(values, min_size=1, max_size=9).map(lambda given: tuple(sorted(set(given))))
    categories = st.fixed_dictionaries({}, optional=asked).map(lambda given: tuple(sorted(given.items())))
    parts: dict[str, st.SearchStrategy[Any]] = {
        "bbox": st.sampled_from(BOXES) | between,
        "categories": categories,
        "where": conditions(layer, rows),
        "area": st.sampled_from(list(AREAS)).map(lambda name: Area("areas", name, "0", REGIONS[name])),
        "properties": st.lists(st.sampled_from(list(layer.fields)), unique=True).map(tuple),
    }
    if layer.time_field:
        given = sorted({row["at"] for row in rows if row["at"] is not None})
        instants = st.none() | st.sampled_from(given) | st.integers(FIRST_DAY, FIRST_DAY + 31 * times.DAY)
        parts["interval"] = st.tuples(instants, instants).filter(lambda ends: ends != (None, None)).map(_ascending)
    chosen = st.lists(st.sampled_from(list(parts)), unique=True, max_size=3)
    return chosen.flatmap(lambda names: st.builds(Filter, **{name: parts[name] for name in names}))


def _ascending(ends: Any) -> Any:
    start, stop = ends
    return (stop, start + 1) if start is not None and stop is not None and start >= stop else ends


def conditions(layer: Layer, rows: list[Row]) -> st.SearchStrategy[Condition]:
    """Any condition on a layer's fields and positions, some levels deep."""
    relations = st.sampled_from(["intersects", "within", "contains"])
    single: list[st.SearchStrategy[Condition]] = [st.builds(Spatial, relations, SHAPES, st.booleans())]
    for field in layer.fields.values():
        given = [row[field.name] or None if field.type == "text" else row[field.name] for row in rows[:50]]
        single.append(st.lists(st.sampled_from(given), max_size=4).flatmap(partial(_among, field.name)))
        ends = st.sampled_from([value for value in given if value is not None])
        if field.type == "text":
            single.append(st.builds(Like, st.just(field.name), PATTERNS, st.booleans()))
        if field.type != "boolean":
            single.append(st.builds(span, st.just(field.name), st.none() | ends, st.none() | ends))
    return st.recursive(
        st.one_of(single),
        lambda inner: st.lists(inner, max_size=3).map(conjunction) | st.lists(inner, max_size=3).map(disjunction),
        max_leaves=4,
    )


def _among(name: str, values: list[Any]) -> st.SearchStrategy[Condition]:
    return st.booleans().map(lambda negated: among(name, values, negated=negated))


PATTERNS = st.sampled_from(["%1%", "O_", "note %ü%", "%", "N-%"])
SHAPES = st.sampled_from(
    [
        shapely.to_wkb(shape)
        for shape in (
            *(area for area in AREAS.values() if not area.is_empty),
            shapely.Point(SPOTS[0]),
            shapely.LineString([SPOTS[0], SPOTS[1]]),
            shapely.MultiPoint(SPOTS),
        )
    ]
)
