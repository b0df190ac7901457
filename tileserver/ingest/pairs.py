"""Positions as two numbers in one column: "(36.1, -95.9)", "36.1, -95.9", or in the last line, below an address."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from numpy.typing import NDArray

from tileserver.catalog import Layer
from tileserver.ingest.rows import Rows, Shapes, Texts
from tileserver.ingest.sources import Source

Box = tuple[float, float, float, float]
"""West, south, east, north, in degrees."""

_NUMBER = r"[+-]?[0-9]{1,3}(?:\.[0-9]+)?"
_DECIMAL = r"[+-]?[0-9]{1,3}\.[0-9]+"
BARE = rf"^(?P<first>{_DECIMAL})\s*[,; ]\s*(?P<second>{_DECIMAL})$"
IN_BRACKETS = rf"(?s)^(?:.*\n\s*)?\(\s*(?P<first>{_NUMBER})\s*[,; ]\s*(?P<second>{_NUMBER})\s*\)$"
"""Socrata writes `100 MAIN ST`, `CITY, ST` and `(36.1, -95.9)` as three lines."""

WORLD: Box = (-180.0, -90.0, 180.0, 90.0)
_INHABITED: Box = (-180.0, -60.0, 180.0, 80.0)
"""What -77.0, 38.9 is outside of, if its first number is taken as a latitude."""


def pairs_of(texts: Texts) -> NDArray[np.float64]:
    """Shape (n, 2): both numbers as they stand; NaN where no pair stands."""
    found = np.full((len(texts), 2), np.nan)
    for pattern in (BARE, IN_BRACKETS):
        parts = pc.extract_regex(texts, pattern)
        read = parts.is_valid().to_numpy(zero_copy_only=False)
        for axis, name in enumerate(("first", "second")):
            numbers = pc.replace_substring_regex(pc.struct_field(parts, name).filter(pa.array(read)), r"^\+", "")
            found[read, axis] = numbers.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return found


def in_order(read: Callable[[Layer, Source], Iterator[Rows]]) -> Callable[[Layer, Source], Iterator[Rows]]:
    """A reader whose pairs are all in the order that the whole file tells: it is read once more for that, where it has pairs."""

    def in_one_order(layer: Layer, source: Source) -> Iterator[Rows]:
        is_turned: bool | None = None
        for rows in read(layer, source):
            if isinstance(rows.position, Shapes) and rows.position.pairs is not None:
                if is_turned is None:
                    is_turned = has_longitude_first((each.position for each in read(layer, source)), layer.bounds)
                yield replace(rows, position=turned(rows.position)) if is_turned else rows
            else:
                yield rows

    return in_one_order


def has_longitude_first(parts: Iterator[object], bounds: Box) -> bool:
    """Whether more pairs of all parts lie within the bounds with their first number as the longitude.

    Where the bounds tell nothing, the inhabited part of the world does; else the latitude is first, as is usual.
    """
    votes = np.zeros(2, np.int64)
    boxes = (_INHABITED if tuple(bounds) == WORLD else bounds, _INHABITED)
    for part in parts:
        if isinstance(part, Shapes) and part.pairs is not None:
            first, second = shapely.get_y(part.shapes[part.pairs]), shapely.get_x(part.shapes[part.pairs])
            votes += [int(_within(first, second, box).sum()) - int(_within(second, first, box).sum()) for box in boxes]
    return bool((votes[0] or votes[1]) > 0)


def turned(given: Shapes) -> Shapes:
    """With the longitude first in every pair."""
    shapes = given.shapes.copy()
    shapes[given.pairs] = shapely.transform(shapes[given.pairs], lambda xy: xy[:, ::-1])
    return replace(given, shapes=shapes)


def _within(longitude: NDArray[np.float64], latitude: NDArray[np.float64], box: Box) -> NDArray[np.bool_]:
    west, south, east, north = box
    inside = (west <= longitude) & (longitude <= east) & (south <= latitude) & (latitude <= north)
    found: NDArray[np.bool_] = inside & ((longitude != 0) | (latitude != 0))
    return found
