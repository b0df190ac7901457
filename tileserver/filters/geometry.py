"""Geometry literals of filters: GeoJSON or a box → a checked shape in degrees."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry

from tileserver.errors import BadRequest


def shape(literal: Mapping[str, Any]) -> BaseGeometry:
    """The shape of {"type": …, "coordinates": …} or {"bbox": [west, south, east, north]}, in its normal form.

    Raises:
        BadRequest: it is no such shape, leaves the world, or is a polygon that crosses itself.
    """
    if "bbox" in literal and "type" not in literal:
        return _box(literal["bbox"])
    build = _KINDS.get(literal["type"]) if isinstance(literal.get("type"), str) else None
    if build is None:
        raise _none()
    try:
        built = build(literal.get("coordinates"))
    except (shapely.GEOSException, ValueError, TypeError):  # a line of one point, a ring that ends elsewhere or has three points
        raise _none() from None
    if built.is_empty or not built.is_valid:
        raise BadRequest("filter has a geometry that is empty, or a polygon that crosses itself or a hole that is not in it.")
    return built.normalize()


def _none() -> BadRequest:
    return BadRequest(
        "filter has a geometry that is none. It takes points, lines and polygons, one or several, as WKT in text and as GeoJSON in "
        "JSON, and BBOX(west, south, east, north): two numbers a position, longitude first; rings end where they begin."
    )


def _box(sides: Any) -> BaseGeometry:
    """A box; with west > east the one that crosses the antimeridian."""
    if not isinstance(sides, list) or len(sides) != 4:
        raise _none()
    (west, south), (east, north) = _position(sides[:2]), _position(sides[2:])
    if south > north:
        raise BadRequest("filter has a BBOX whose south is above its north. Its order is west, south, east, north.")
    if west <= east:
        return _flat_box(west, south, east, north)
    halves = [_flat_box(west, south, 180, north), _flat_box(-180, south, east, north)]
    return shapely.union_all(halves).normalize()


def _flat_box(west: float, south: float, east: float, north: float) -> BaseGeometry:
    """A box, which may be a line or a point."""
    return shapely.MultiPoint([(west, south), (east, north), (west, north), (east, south)]).envelope.normalize()


def _position(position: Any) -> tuple[float, float]:
    if not isinstance(position, list) or len(position) != 2 or not all(_is_number(degrees) for degrees in position):
        raise _none()
    lon, lat = (float(degrees) + 0.0 for degrees in position)  # + 0.0 makes -0.0 the same as 0.0
    if not (-180 <= lon <= 180 and -90 <= lat <= 90):
        raise BadRequest("filter has a geometry outside the world. Its positions are longitude and latitude in degrees.")
    return lon, lat


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _many(items: Any, build: Callable[[Any], Any]) -> list[Any]:
    if not isinstance(items, list) or not items:
        raise _none()
    return [build(item) for item in items]


def _line(positions: Any) -> list[tuple[float, float]]:
    return _many(positions, _position)


def _ring(positions: Any) -> list[tuple[float, float]]:
    line = _line(positions)
    if len(line) < 4 or line[0] != line[-1]:
        raise _none()
    return line


def _polygon(rings: Any) -> BaseGeometry:
    shell, *holes = _many(rings, _ring)
    return shapely.Polygon(shell, holes)


_KINDS: Mapping[str, Callable[[Any], BaseGeometry]] = {
    "Point": lambda given: shapely.Point(_position(given)),
    "LineString": lambda given: shapely.LineString(_line(given)),
    "Polygon": _polygon,
    "MultiPoint": lambda given: shapely.MultiPoint(_line(given)),
    "MultiLineString": lambda given: shapely.MultiLineString(_many(given, _line)),
    "MultiPolygon": lambda given: shapely.MultiPolygon(_many(given, _polygon)),
}
