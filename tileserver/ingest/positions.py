"""Positions as files have them → geometries in degrees, checked and mended."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from pyproj.exceptions import ProjError

from tileserver.catalog import Layer
from tileserver.errors import IngestError
from tileserver.ingest.columns import DEGREES, LONLAT
from tileserver.ingest.rows import XY, Rows, Shapes, Texts
from tileserver.ingest.shown import shown
from tileserver.ingest.values import numbers, trimmed
from tileserver.privacy import points_as_wkb

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]
Geometries = NDArray[np.object_]
"""Shape (n,): shapely geometries; None where there is none."""
Reasons = NDArray[np.object_]
"""Shape (n,): why a row cannot be published, in words; the empty text where it can."""

NO_POSITION, AT_ZERO, UNREADABLE = "no position", "position 0,0", "a position that cannot be read"
OUTSIDE_CRS, OUTSIDE_BOUNDS = "outside the coordinate system", "outside the bounds"
WRONG_KIND, BEYOND_REPAIR = "a geometry of another kind than the layer's", "an invalid geometry that cannot be repaired"

MOST_CROSSINGS = 50_000
"""Of the edges of one geometry. GEOS takes about two seconds to mend as many, and longer than in proportion for more."""
_SOME_EDGES = 100

_FARTHEST = np.array([180.0, 90.0])
_ROUNDING = 1e-6
"""Degrees beyond the edge of the world that a projection may add."""

_NO_SHAPE = -1
_POLYGONS = (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)


@dataclass(frozen=True, slots=True)
class Positions:
    """Of n rows."""

    wkb: pa.Array[Any]
    """Shape (n,): geometries in longitude and latitude as stores take them; null where there is none."""
    reasons: Reasons
    unreadable: Mask
    """Shape (n,): where something stands that is no position."""
    repaired: Mask
    """Shape (n,)."""


def positions_of(layer: Layer, rows: Rows) -> Positions:
    """The positions of n rows.

    Without a position, or at 0,0, a row is kept if the layer's position is optional; outside the bounds it never is.

    Raises:
        IngestError: a coordinate system that PROJ does not know.
    """
    return _points(layer, rows) if layer.is_points else _outlines(layer, rows)


def _points(layer: Layer, rows: Rows) -> Positions:
    reasons = _no_reasons(rows)
    x, y, unreadable = _xy(rows, reasons)
    at_zero, missing = (x == 0) & (y == 0), np.isnan(x) | np.isnan(y)
    _blame_absent(layer, reasons, missing, at_zero, unreadable)
    present = ~missing & ~at_zero
    longitude, latitude = _to_degrees(rows, x, y)
    west, south, east, north = layer.bounds
    within = (west <= longitude) & (longitude <= east) & (south <= latitude) & (latitude <= north)
    _blame(reasons, OUTSIDE_CRS, present & ~(np.isfinite(longitude) & np.isfinite(latitude)))
    _blame(reasons, OUTSIDE_BOUNDS, present & ~within)
    sound = present & (reasons == "")
    wkb = points_as_wkb(np.where(sound, longitude, np.nan), np.where(sound, latitude, np.nan))
    return Positions(wkb, reasons, unreadable, np.zeros(len(reasons), np.bool_))


def _xy(rows: Rows, reasons: Reasons) -> tuple[Floats, Floats, Mask]:
    """(x, y, where something stands that is no position), shape (n,) each; NaN where there is none."""
    match rows.position:
        case XY() as given:
            x, x_unreadable = _floats(given.x)
            y, y_unreadable = _floats(given.y)
            return x, y, x_unreadable | y_unreadable
        case Shapes() as given:
            single = shapely.get_num_geometries(given.shapes) == 1
            points = np.where(single, shapely.get_geometry(given.shapes, 0), given.shapes)
            points[shapely.is_empty(points)] = None
            _blame(reasons, WRONG_KIND, ~np.isin(shapely.get_type_id(points), (_NO_SHAPE, shapely.GeometryType.POINT)))
            return shapely.get_x(points), shapely.get_y(points), given.unreadable
    return np.full(len(reasons), np.nan), np.full(len(reasons), np.nan), np.zeros(len(reasons), np.bool_)


def _outlines(layer: Layer, rows: Rows) -> Positions:
    reasons = _no_reasons(rows)
    given = rows.position if isinstance(rows.position, Shapes) else None
    shapes = np.full(len(reasons), None, np.object_) if given is None else shapely.force_2d(given.shapes)
    unreadable = np.zeros(len(reasons), np.bool_) if given is None else given.unreadable
    shapes[shapely.is_empty(shapes)] = None
    at_zero = (shapely.get_x(shapes) == 0) & (shapely.get_y(shapes) == 0)
    _drop(shapes, reasons, WRONG_KIND, ~_fits(layer, shapes) & ~shapely.is_missing(shapes))
    _blame_absent(layer, reasons, shapely.is_missing(shapes), at_zero, unreadable)
    shapes[at_zero] = None
    shapes = shapely.transform(shapes, lambda xy: np.column_stack(_to_degrees(rows, xy[:, 0], xy[:, 1])))
    _drop(shapes, reasons, OUTSIDE_CRS, _beyond_the_globe(shapes))
    shapes = shapely.transform(shapes, lambda xy: np.clip(xy, -_FARTHEST, _FARTHEST))
    repaired = ~shapely.is_missing(shapes) & ~shapely.is_valid(shapes)
    _drop(shapes, reasons, BEYOND_REPAIR, repaired & _tangled(shapes, repaired))
    mended = shapely.make_valid(shapes[repaired], method="structure", keep_collapsed=False)
    mended[shapely.get_dimensions(mended) != shapely.get_dimensions(shapes[repaired])] = None
    shapes[repaired] = mended
    _drop(shapes, reasons, BEYOND_REPAIR, repaired & (shapely.is_missing(shapes) | shapely.is_empty(shapes)))
    _drop(shapes, reasons, OUTSIDE_BOUNDS, ~shapely.is_missing(shapes) & ~shapely.intersects(shapes, shapely.box(*layer.bounds)))
    wkb = pa.array(shapely.to_wkb(shapes, byte_order=1), pa.binary())
    return Positions(wkb, reasons, unreadable, repaired)


def _fits(layer: Layer, shapes: Geometries) -> Mask:
    kinds = shapely.get_type_id(shapes)
    fits: Mask = np.isin(kinds, _POLYGONS) if layer.kind == "areas" else kinds != shapely.GeometryType.GEOMETRYCOLLECTION
    return fits


def _tangled(shapes: Geometries, invalid: Mask) -> Mask:
    """Which of the invalid geometries cross themselves so often that to mend them takes minutes; estimated."""
    found = np.zeros(len(shapes), np.bool_)
    found[invalid] = [_crossings(shape) > MOST_CROSSINGS for shape in shapes[invalid]]
    return found


def _crossings(shape: shapely.Geometry) -> float:
    """About how many pairs of a geometry's edges meet beside those that follow each other, from some edges of all."""
    places = shapely.get_coordinates(shape)
    if len(places) ** 2 <= 2 * MOST_CROSSINGS:
        return 0
    edges: Geometries = np.asarray(shapely.linestrings(np.stack((places[:-1], places[1:]), axis=1)), np.object_)
    some = edges[:: -(-len(edges) // _SOME_EDGES)]
    met = shapely.STRtree(edges).query(some, predicate="intersects").shape[1]
    return float((met / len(some) - 3) * len(edges) / 2)


def _beyond_the_globe(shapes: Geometries) -> Mask:
    places, rows = shapely.get_coordinates(shapes, return_index=True)
    found = np.zeros(len(shapes), np.bool_)
    found[rows[~(np.abs(places) <= _FARTHEST + _ROUNDING).all(axis=1)]] = True
    return found


def _floats(texts: Texts) -> tuple[Floats, Mask]:
    """(values, NaN where there is none; where something stands that is no number)."""
    if pa.types.is_floating(texts.type) or pa.types.is_integer(texts.type):
        return texts.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy(zero_copy_only=False), np.zeros(len(texts), np.bool_)
    texts = trimmed(texts)
    values = numbers(texts).fill_null(np.nan).to_numpy(zero_copy_only=False)
    return values, np.isnan(values) & texts.is_valid().to_numpy(zero_copy_only=False)


def _no_reasons(rows: Rows) -> Reasons:
    return np.full(len(rows.lines), "", np.object_)


def _blame(reasons: Reasons, reason: str, where: Mask) -> None:
    """The first reason that is found for a row is the one it is told."""
    reasons[where & (reasons == "")] = reason


def _blame_absent(layer: Layer, reasons: Reasons, missing: Mask, at_zero: Mask, unreadable: Mask) -> None:
    if layer.position == "required":
        _blame(reasons, UNREADABLE, unreadable)
        _blame(reasons, AT_ZERO, at_zero)
        _blame(reasons, NO_POSITION, missing)


def _drop(shapes: Geometries, reasons: Reasons, reason: str, where: Mask) -> None:
    _blame(reasons, reason, where)
    shapes[where] = None


def _to_degrees(rows: Rows, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """(longitudes, latitudes) of coordinates in the rows' system; infinite where it does not reach, NaN stays NaN.

    Raises:
        IngestError: PROJ does not know the system, or nobody says which it is and it is not degrees.
    """
    crs = rows.position.crs if isinstance(rows.position, XY | Shapes) else LONLAT
    if crs is None:
        _look_like_degrees(rows, x, y)
        return x, y
    if crs.upper() in DEGREES:
        return x, y
    try:
        longitude, latitude = _transformer(crs).transform(x, y)
    except ProjError as error:
        raise IngestError(
            f'{rows.source}: "{shown(crs)}" is not a coordinate system that PROJ can turn into degrees; '
            'name one, such as "EPSG:26951", under [ingest] crs in the layer file'
        ) from error
    return longitude, latitude


MOST_DEGREES = 360
"""A longitude and a latitude in the wrong order, or of more than half a turn, are dirt in a file of degrees; meters are not."""


def _look_like_degrees(rows: Rows, x: Floats, y: Floats) -> None:
    present = np.isfinite(x) & np.isfinite(y) & ((x != 0) | (y != 0))
    far = present & ((np.abs(x) > MOST_DEGREES) | (np.abs(y) > MOST_DEGREES))
    if 2 * far.sum() > present.sum():
        raise IngestError(
            f"{rows.source}: its positions are not longitudes and latitudes, and nothing says what they are; "
            'name their coordinate system, such as "EPSG:26951", under [ingest] crs in the layer file'
        )


@lru_cache(maxsize=16)
def _transformer(crs: str) -> Transformer:
    return Transformer.from_crs(crs, "OGC:CRS84", always_xy=True)
