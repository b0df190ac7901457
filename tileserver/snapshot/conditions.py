"""A condition → the rows of a snapshot for which it is true, over whole columns.

What is asked of a category's value is decided once for each distinct value, then looked up by its code.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from tileserver.filters.conditions import Among, And, Condition, Constant, Like, Or, Range, Spatial
from tileserver.snapshot import Snapshot
from tileserver.snapshot.columns import (
    NO_CODE,
    NO_INTEGER,
    BooleanColumn,
    BytesColumn,
    CategoryColumn,
    IntegerColumn,
    NumberColumn,
    Rows,
    TextColumn,
    TimeColumn,
)
from tileserver.snapshot.inside import MARGIN, Region
from tileserver.snapshot.mercator import mercator

Mask = NDArray[np.bool_]

FEW = 4
"""The rows that a condition has left are looked at one by one where they are fewer than one in so many."""


def matches(snapshot: Snapshot, condition: Condition, rows: slice | Rows) -> Mask:
    """For which rows a condition is true, shape (rows,); `rows` is a slice without step, or row numbers."""
    match condition:
        case Constant(holds):
            return np.full(_length(rows), holds)
        case And(parts):
            return _all(snapshot, parts, rows)
        case Or(parts):
            return _any(snapshot, parts, rows)
        case Spatial():
            return _lies(snapshot, condition, rows)
        case Among() | Range() | Like():
            return _holds(snapshot, condition, rows)


def _all(snapshot: Snapshot, parts: tuple[Condition, ...], rows: slice | Rows) -> Mask:
    """The cheap parts first; the others only for the rows that are left, where these are few."""
    first, *others = sorted(parts, key=_cost)
    result = matches(snapshot, first, rows)
    for part in others:
        left = np.flatnonzero(result)
        if len(left) * FEW < len(result):
            numbers = left + rows.start if isinstance(rows, slice) else rows[left]
            result[left] = matches(snapshot, part, numbers)
        else:
            result &= matches(snapshot, part, rows)
    return result


def _any(snapshot: Snapshot, parts: tuple[Condition, ...], rows: slice | Rows) -> Mask:
    result = np.zeros(_length(rows), np.bool_)
    for part in parts:
        result |= matches(snapshot, part, rows)
    return result


def _cost(condition: Condition) -> int:
    match condition:
        case And(parts) | Or(parts):
            return sum(map(_cost, parts))
        case Spatial():
            return 10
        case Like():
            return 5
    return 1


def _length(rows: slice | Rows) -> int:
    return rows.stop - rows.start if isinstance(rows, slice) else len(rows)


# Values


def _holds(snapshot: Snapshot, condition: Among | Range | Like, rows: slice | Rows) -> Mask:
    match snapshot.columns[condition.field]:
        case CategoryColumn(values, codes):
            # The last place is what -1, no value, finds.
            table = _of_texts(pa.concat_arrays([values, pa.array([""], values.type)]), condition)
            looked_up: Mask = table[codes[rows]]
            return looked_up
        case TextColumn(array):
            part = array[rows] if isinstance(rows, slice) else array.take(pa.array(rows))
            return _of_texts(part, condition)
        case IntegerColumn(values) | TimeColumn(values):
            return _of_values(values[rows], condition, values[rows] == NO_INTEGER)
        case NumberColumn(values):
            return _of_values(values[rows], condition, np.isnan(values[rows]))
        case BooleanColumn(values):
            return _of_values(values[rows], condition, values[rows] == NO_CODE)
        case BytesColumn():
            raise TypeError(f"{condition.field} is no field of {snapshot.layer.id}")


def _of_texts(array: pa.Array, condition: Among | Range | Like) -> Mask:
    """Of texts, where an empty one is a missing value."""
    result: Mask
    match condition:
        case Among(_, values, negated):
            wanted = pa.array(["" if value is None else value for value in values], array.type)
            result = _mask(pc.is_in(array, wanted)) != negated
        case Range(_, start, stop):
            result = _mask(pc.not_equal(array, "") if start is None else pc.greater_equal(array, pa.scalar(start, array.type)))
            result &= True if stop is None else _mask(pc.less(array, pa.scalar(stop, array.type)))
        case Like(_, pattern, negated):
            found = _mask(pc.match_substring_regex(array, _expression(pattern)))
            result = (found != negated) & _mask(pc.not_equal(array, ""))
    return result


def _expression(pattern: str) -> str:
    """A pattern of LIKE as a regular expression of RE2, which needs linear time whatever it says.

    Arrow's own `match_like` (26.0) does not find a text that ends with the escaped backslash which follows a leading %.
    """
    parts = [{"%": ".*", "_": "."}.get(part) or re.escape(part[-1]) for part in _PARTS.findall(pattern)]
    begin = "" if parts[0] == ".*" else r"\A"
    end = "" if parts[-1] == ".*" else r"\z"
    return f"(?s){begin}{''.join(parts[not begin : len(parts) - (not end)])}{end}"


_PARTS = re.compile(r"\\.|.", re.DOTALL)


def _of_values(values: NDArray[Any], condition: Among | Range | Like, missing: Mask) -> Mask:
    result: Mask
    match condition:
        case Among(_, wanted, negated):
            known = np.array([value for value in wanted if value is not None], values.dtype)
            result = np.where(missing, None in wanted, values == known[0] if len(known) == 1 else np.isin(values, known)) != negated
        case Range(_, start, stop):
            result = ~missing if start is None else ~missing & (values >= start)
            result &= True if stop is None else values < stop
        case Like():
            raise TypeError(f"{condition.field} holds no text")
    return result


def _mask(array: pa.BooleanArray) -> Mask:
    mask: Mask = array.to_numpy(zero_copy_only=False)
    return mask


# Places


def _lies(snapshot: Snapshot, condition: Spatial, rows: slice | Rows) -> Mask:
    """How rows lie to a geometry, shape (rows,); those without position not at all."""
    numbers = np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows
    placed = numbers < snapshot.positioned
    result = np.zeros(len(numbers), np.bool_)
    asked = numbers[placed]
    result[placed] = _relates(snapshot, condition, asked) != condition.negated
    return result


def _relates(snapshot: Snapshot, condition: Spatial, rows: Rows) -> Mask:
    geometry = _geometry(condition.wkb)
    result: Mask
    if snapshot.layer.is_points and condition.relation != "contains" and geometry.geom_type in ("Polygon", "MultiPolygon"):
        return _region(condition.wkb, condition.relation == "intersects").contains(snapshot.x[rows], snapshot.y[rows])
    near = np.flatnonzero(_near(snapshot, geometry, rows))
    result = np.zeros(len(rows), np.bool_)
    shapes = _shapes(snapshot, rows[near])
    match condition.relation:
        case "intersects":
            result[near] = shapely.intersects(geometry, shapes)
        case "within":
            result[near] = shapely.contains(geometry, shapes)
        case "contains":
            result[near] = shapely.contains(shapes, geometry)
    return result


def _near(snapshot: Snapshot, geometry: BaseGeometry, rows: Rows) -> Mask:
    """Which rows have a box that touches the geometry's, or nearly."""
    west, south, east, north = geometry.bounds
    (left, right), (bottom, top) = mercator(np.array([west, east]), np.array([south, north]))
    near: Mask = (snapshot.east[rows] >= left - MARGIN) & (snapshot.west[rows] <= right + MARGIN)
    near &= (snapshot.south[rows] >= top - MARGIN) & (snapshot.north[rows] <= bottom + MARGIN)
    return near


def _shapes(snapshot: Snapshot, rows: Rows) -> NDArray[np.object_]:
    """The geometries of rows in degrees, shape (k,)."""
    if snapshot.layer.is_points:
        return np.asarray(shapely.points(np.stack(snapshot.degrees(rows), axis=-1)))
    shapes: NDArray[np.object_] = shapely.from_wkb(snapshot.wkb(rows).to_numpy(zero_copy_only=False))
    return shapes


@lru_cache(maxsize=64)
def _geometry(wkb: bytes) -> BaseGeometry:
    geometry = shapely.from_wkb(wkb)
    shapely.prepare(geometry)
    return geometry


@lru_cache(maxsize=64)
def _region(wkb: bytes, boundary: bool) -> Region:
    """Remembered, since rows are asked block by block."""
    return Region(_geometry(wkb), boundary=boundary)
