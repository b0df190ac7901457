"""What a tile of points holds, told slowly: one row after the other, in plain Python, by the words of the contract alone."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import mapbox_vector_tile
import shapely
from shapely.geometry.base import BaseGeometry

from tileserver.catalog import GEOMETRY, Layer
from tileserver.filters import Filter
from tileserver.filters.conditions import Among, And, Condition, Constant, Like, Or, Range, Spatial
from tileserver.snapshot.tile import Address, Options

Row = dict[str, Any]
"""A value for each column of a layer's schema; times are in microseconds since 1970 UTC, geometries are shapely's points."""

TOP = 85.0511287798066
"""The latitude at which the square of the world ends."""


@dataclass(frozen=True)
class Feature:
    """A feature of a tile: its place in the tile, what it tells, and the ids that it may go by."""

    place: tuple[int, int]
    properties: Mapping[str, Any]
    ids: frozenset[int]

    @property
    def key(self) -> tuple[tuple[int, int], str]:
        return self.place, repr(sorted(self.properties.items()))


class Twin:
    """The rows of a layer, and where they are. An empty text is none."""

    def __init__(self, layer: Layer, rows: Sequence[Row], areas: Mapping[str, BaseGeometry]) -> None:
        self.layer, self._areas = layer, areas
        self.rows: list[Row] = [{name: None if value == "" else value for name, value in row.items()} for row in rows]
        self.places = [world(row[GEOMETRY]) if row[GEOMETRY] is not None else None for row in rows]
        self._overall = {
            field.name: Counter(value for row in rows if (value := row[field.name]) is not None) for field in layer.categories
        }

    def matching(self, filter: Filter) -> list[int]:
        """The numbers of the rows that match."""
        return [number for number in range(len(self.rows)) if self._matches(number, filter)]

    def tile(self, filter: Filter, address: Address, options: Options, shown: int) -> list[Feature]:
        """The features of a tile, of cells that show up to `shown` members."""
        matching = [(number, place) for number in self.matching(filter) if (place := self.places[number])]
        side = 2 ** (32 - address.z)
        cells: dict[tuple[int, int], list[tuple[int, tuple[int, int]]]] = defaultdict(list)
        for number, (x, y) in matching:
            if (x // side, y // side) == (address.x, address.y):
                cells[x * options.grid // side, y * options.grid // side].append((number, (x, y)))
        everything = options.aggregate == "never" or (options.aggregate == "auto" and len(matching) <= self.layer.tiles.budget)
        most = 1 if options.aggregate == "always" else shown
        features = []
        for members in cells.values():
            rows = [self.rows[number] for number, _ in members]
            ids = [feature_id(row[self.layer.id_name]) for row in rows]
            if everything or len(members) <= most:
                for (_, place), row, id in zip(members, rows, ids, strict=True):
                    features.append(Feature(units(place, address), self._told(row, filter), frozenset([id])))
            else:
                mean = sum(x for _, (x, _) in members) // len(rows), sum(y for _, (_, y) in members) // len(rows)
                features.append(Feature(units(mean, address), self._told_of_all(rows, filter), frozenset(ids)))
        return features

    def _matches(self, number: int, filter: Filter) -> bool:
        row, place = self.rows[number], self.places[number]
        if filter.interval is not None:
            assert self.layer.time_field
            instant = row[self.layer.time_field.name]
            start, stop = filter.interval
            if instant is None or (start is not None and instant < start) or (stop is not None and instant >= stop):
                return False
        if any((row[name] or "") not in values for name, values in filter.categories):
            return False
        if filter.bbox is not None and not (place and _in_box(row[GEOMETRY], filter.bbox)):
            return False
        if filter.area is not None and not (place and _relates("intersects", self._areas[filter.area.id], place)):
            return False
        return filter.where is None or _holds(filter.where, row, place)

    def _told(self, row: Row, filter: Filter) -> dict[str, Any]:
        names = self.layer.fields if filter.properties is None else filter.properties
        told = {name: row[name] for name in names} | {"id": row[self.layer.id_name]}
        for name in names:
            if self.layer.fields[name].type == "datetime" and row[name] is not None:
                told[name] = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=row[name])).isoformat()
        return {name: value for name, value in told.items() if value is not None}

    def _told_of_all(self, rows: Sequence[Row], filter: Filter) -> dict[str, Any]:
        names = self.layer.fields if filter.properties is None else filter.properties
        told: dict[str, Any] = {"cluster": True, "point_count": len(rows)}
        for field in (self.layer.fields[name] for name in names):
            values = [row[field.name] for row in rows if row[field.name] is not None]
            if field.role == "category" and values:
                counts, overall = Counter(values), self._overall[field.name]
                told[field.name] = min(counts, key=lambda value: (-counts[value], -overall[value], value))
            elif field.measure and field.type == "integer":
                told[f"sum_{field.name}"] = sum(values)
            elif field.measure:
                told[f"sum_{field.name}"] = sum(round(value * 10_000) for value in values) / 10_000
        return told


def world(point: shapely.Point) -> tuple[int, int]:
    """Web Mercator in 2^32 steps, with Python's own floats."""
    x = (point.x + 180) / 360
    y = 0.5 - math.asinh(math.tan(math.radians(point.y))) / (2 * math.pi)
    return round(x * 2**32) % 2**32, min(max(round(y * 2**32), 0), 2**32 - 1)


def degrees(place: tuple[int, int]) -> tuple[float, float]:
    """Longitude and latitude, to seven decimals."""
    x, y = place
    return round(x * 360 / 2**32 - 180, 7), round(math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * y / 2**32)))), 7)


def feature_id(id: int | str) -> int:
    """Numbers are their own; of a text the first 53 bits of a hash."""
    return id if isinstance(id, int) else int.from_bytes(hashlib.blake2b(id.encode(), digest_size=8).digest(), "little") % 2**53


def units(place: tuple[int, int], address: Address) -> tuple[int, int]:
    x, y = (math.floor(Fraction(axis, 2 ** (32 - address.z)) * 4096) for axis in place)
    return x - address.x * 4096, y - address.y * 4096


def _in_box(point: shapely.Point, bbox: tuple[float, float, float, float]) -> bool:
    """A point on the antimeridian is at 180 and at -180; one beyond the world's square is on its edge."""
    west, south, east, north = bbox
    south, lat, north = (max(min(value, TOP), -TOP) for value in (south, point.y, north))
    if not south <= lat <= north:
        return False
    for lon in (180, -180) if abs(point.x) == 180 else (point.x,):
        if (west <= lon <= east) if west <= east else (lon >= west or lon <= east):
            return True
    return False


def _relates(relation: str, shape: BaseGeometry, place: tuple[int, int]) -> bool:
    lon, lat = degrees(place)
    for point in [shapely.Point(lon, lat)] + [shapely.Point(180, lat)] * (lon == -180):
        if {"intersects": point.intersects, "within": point.within, "contains": point.contains}[relation](shape):
            return True
    return False


def _holds(condition: Condition, row: Row, place: tuple[int, int] | None) -> bool:
    match condition:
        case Constant(holds):
            return holds
        case And(parts):
            return all(_holds(part, row, place) for part in parts)
        case Or(parts):
            return any(_holds(part, row, place) for part in parts)
        case Among(name, values, negated):
            return (row[name] in values) != negated
        case Range(name, start, stop):
            value = row[name]
            return value is not None and (start is None or value >= start) and (stop is None or value < stop)
        case Like(name, pattern, negated):
            expression = "".join({"%": ".*", "_": "."}.get(character, re.escape(character)) for character in pattern)
            return row[name] is not None and bool(re.fullmatch(expression, row[name], re.DOTALL)) != negated
        case Spatial(relation, wkb, negated):
            return place is not None and _relates(relation, shapely.from_wkb(wkb), place) != negated


def decoded(data: bytes, layer: str) -> list[Feature]:
    """What a tile holds, by an independent decoder."""
    tile = mapbox_vector_tile.decode(data, default_options={"y_coord_down": True}) if data else {}
    return [
        Feature(tuple(feature["geometry"]["coordinates"]), feature["properties"], frozenset([feature["id"]]))
        for feature in tile.get(layer, {"features": []})["features"]
    ]


def address_of(place: tuple[int, int], zoom: int) -> Address:
    return Address(zoom, place[0] >> (32 - zoom), place[1] >> (32 - zoom))


def tiles_around(places: Sequence[tuple[int, int] | None], zoom: int) -> Iterator[Address]:
    """The tiles of a zoom that hold one of the places, and those beside them, each once."""
    last = 2**zoom - 1
    own = {address_of(place, zoom) for place in places if place}
    beside = {
        Address(zoom, x, y)
        for tile in own
        for x in range(max(tile.x - 1, 0), min(tile.x + 1, last) + 1)
        for y in range(max(tile.y - 1, 0), min(tile.y + 1, last) + 1)
    }
    yield from sorted(beside, key=lambda tile: (tile.x, tile.y))
