"""Columns of WKB as both stores hold and give them: little-endian, two dimensions, finite, not empty; else null."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError

Coordinates = NDArray[np.float64]
"""x and y, shape (n, 2)."""
Projection = Callable[[Coordinates], Coordinates]
"""To longitude and latitude; what cannot be projected becomes infinite."""

_POINT_HEADER = np.frombuffer(b"\x01\x01\x00\x00\x00", np.uint8)  # little-endian, type 1
_POINT_BYTES = 21
_KINDS = {
    0: "Point",
    1: "LineString",
    3: "Polygon",
    4: "MultiPoint",
    5: "MultiLineString",
    6: "MultiPolygon",
    7: "GeometryCollection",
}


def plain(wkb: pa.Array, *, points: bool, project: Projection | None = None) -> tuple[pa.Array, int]:
    """The column in the plain form, and how many of its geometries are lost: unreadable, or no point where `points` is set.

    An empty geometry, and one with a coordinate that is not finite, is a row without position: null, but not lost. Where
    `points` is set, a multipoint of one point is that point. The usual column, of plain points, is never parsed one by one.
    """
    coordinates = _coordinates(wkb)
    if coordinates is not None:
        if project is None and np.count_nonzero(np.isfinite(coordinates)) == 2 * (len(wkb) - wkb.null_count):
            return wkb, 0  # as it is
        return _points(coordinates if project is None else project(coordinates)), 0
    shapes = shapely.force_2d(shapely.from_wkb(wkb.to_numpy(zero_copy_only=False), on_invalid="fix"))
    if points:
        shapes = _single_points(shapes)
    lost = int(np.count_nonzero(shapely.is_missing(shapes))) - wkb.null_count
    if project is not None:
        shapes = shapely.transform(shapes, project)
    places, rows = shapely.get_coordinates(shapes, return_index=True)
    shapes[rows[~np.isfinite(places).all(axis=1)]] = None
    shapes[shapely.is_empty(shapes)] = None
    return pa.array(shapely.to_wkb(shapes, byte_order=1, include_srid=False), pa.binary()), lost


def projection(authority: str | None, code: int | None, wkt: str | None) -> Projection | None:
    """From the reference system that its authority's code, or else its WKT, describes; None if neither can be used."""
    for text in (f"{authority}:{code}" if authority and code else "", wkt):
        try:
            transformer = Transformer.from_crs(CRS.from_user_input(text or ""), 4326, always_xy=True)
        except CRSError:
            continue
        return lambda places: np.column_stack(transformer.transform(places[:, 0], places[:, 1]))
    return None


def extent(column: pa.ChunkedArray) -> tuple[list[str], list[float] | None]:
    """The kinds of geometry in a plain column, sorted, and its bounds: west, south, east, north; None without any."""
    kinds: set[str] = set()
    bounds = []
    for chunk in filter(len, (chunk.drop_null() for chunk in column.chunks)):
        coordinates = _coordinates(chunk)
        if coordinates is None:
            shapes = shapely.from_wkb(chunk.to_numpy(zero_copy_only=False))
            kinds |= {_KINDS[kind] for kind in np.unique(shapely.get_type_id(shapes)).tolist()}
            bounds.append(shapely.total_bounds(shapes))
        else:
            kinds.add("Point")
            bounds.append(np.concatenate([coordinates.min(axis=0), coordinates.max(axis=0)]))
    if not bounds:
        return [], None
    west, south, east, north = np.array(bounds).T
    return sorted(kinds), [float(west.min()), float(south.min()), float(east.max()), float(north.max())]


def _coordinates(wkb: pa.Array) -> Coordinates | None:
    """The points of a column, NaN where it is null; None if it holds anything but little-endian points of two dimensions."""
    known = wkb.drop_null()
    _, offsets, data = known.buffers()
    starts = np.frombuffer(offsets, np.int32)[known.offset : known.offset + len(known) + 1] if len(known) else np.zeros(1, np.int32)
    if np.any(np.diff(starts) != _POINT_BYTES):
        return None
    coordinates = np.full((len(wkb), 2), np.nan)
    if len(known):
        rows = np.frombuffer(data, np.uint8)[starts[0] : starts[-1]].reshape(-1, _POINT_BYTES)
        if np.any(rows[:, :5] != _POINT_HEADER):
            return None
        coordinates[wkb.is_valid().to_numpy(zero_copy_only=False)] = np.ascontiguousarray(rows[:, 5:]).view("<f8")
    return coordinates


def _points(coordinates: Coordinates) -> pa.Array:
    """WKB points; null where a coordinate is not finite."""
    known = np.isfinite(coordinates[:, 0]) & np.isfinite(coordinates[:, 1])
    rows = np.empty((np.count_nonzero(known), _POINT_BYTES), np.uint8)
    rows[:, :5] = _POINT_HEADER
    rows[:, 5:] = np.ascontiguousarray(coordinates[known], "<f8").view(np.uint8)
    offsets = np.zeros(len(known) + 1, np.int32)
    np.cumsum(known * _POINT_BYTES, out=offsets[1:])
    bitmap = pa.array(known).buffers()[1]
    return pa.Array.from_buffers(pa.binary(), len(known), [bitmap, pa.py_buffer(offsets), pa.py_buffer(rows)])


def _single_points(shapes: NDArray[np.object_]) -> NDArray[np.object_]:
    """Points, also out of multipoints of one; None for any other shape. An empty shape of any kind stays as it is."""
    single = (shapely.get_type_id(shapes) == 4) & (shapely.get_num_geometries(shapes) == 1)
    shapes = np.where(single, shapely.get_geometry(shapes, 0), shapes)
    shapes[(shapely.get_type_id(shapes) != 0) & ~shapely.is_empty(shapes)] = None
    return shapes
