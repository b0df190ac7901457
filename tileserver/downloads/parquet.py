"""Rows as GeoParquet 1.1: https://geoparquet.org/releases/v1.1.0/

Rows are in the snapshot's order, so those of one row group lie near each other, and a reader that wants a part of the map finds
by the box of each row, whose range the footer tells of each group, which groups it needs not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray

from tileserver.catalog import GEOMETRY, Layer
from tileserver.downloads import arrow
from tileserver.filters import Filter
from tileserver.snapshot import Snapshot
from tileserver.snapshot.columns import Rows

_SIDES = ("xmin", "ymin", "xmax", "ymax")
_BOX = pa.struct([(side, pa.float64()) for side in _SIDES])

_KINDS = ("Point", "LineString", "LinearRing", "Polygon", "MultiPoint", "MultiLineString", "MultiPolygon", "GeometryCollection")
"""GeoParquet's names of shapely's types, in their order; that of a missing shape is -1."""

_TOGETHER = 4_096
"""Geometries that are read at once: meanwhile Python's lock is held."""


def write(path: Path, snapshot: Snapshot, filter: Filter, parts: Iterator[Rows]) -> None:
    """A row group for each part of the rows."""
    layer = snapshot.layer
    columns = arrow.schema(layer, filter)
    box = arrow.free_name(columns.names, "bbox")
    columns = columns.append(pa.field(box, _BOX)).with_metadata(_about(layer))
    kinds: set[str] = set()
    extent = np.array([np.inf, np.inf, -np.inf, -np.inf])
    with pq.ParquetWriter(path, columns, compression="zstd") as file:
        for batch in arrow.batches(snapshot, filter, parts):
            of_these, bounds = _kinds_and_bounds(batch.column(GEOMETRY))
            kinds |= of_these
            extent[:2] = np.fmin(extent[:2], np.fmin.reduce(bounds[:, :2]))
            extent[2:] = np.fmax(extent[2:], np.fmax.reduce(bounds[:, 2:]))
            file.write_batch(batch.append_column(box, _boxes(bounds)).cast(columns), row_group_size=batch.num_rows)
        file.add_key_value_metadata({"geo": orjson.dumps(_geo(kinds, extent, box))})


def _kinds_and_bounds(wkb: pa.Array) -> tuple[set[str], NDArray[np.float64]]:
    """What geometries there are, and the sides of each, shape (k, 4); NaN without position."""
    types: set[int] = set()
    bounds = [np.zeros((0, 4))]
    for start in range(0, len(wkb), _TOGETHER):
        shapes = shapely.from_wkb(wkb.slice(start, _TOGETHER).to_numpy(zero_copy_only=False))
        types |= set(np.unique(shapely.get_type_id(shapes)).tolist())
        bounds.append(shapely.bounds(shapes))
    return {_KINDS[type] for type in types if type >= 0}, np.concatenate(bounds)


def _boxes(bounds: NDArray[np.float64]) -> pa.Array:
    """Shape (k, 4) → a box for each row; null without position."""
    sides = [pa.array(side) for side in bounds.T]
    return pa.StructArray.from_arrays(sides, fields=list(_BOX), mask=pa.array(np.isnan(bounds[:, 0])))


def _geo(kinds: set[str], extent: NDArray[np.float64], box: str) -> dict[str, Any]:
    """The file's metadata; without `crs` the geometry is in longitude and latitude (OGC:CRS84)."""
    column: dict[str, Any] = {
        "encoding": "WKB",
        "geometry_types": sorted(kinds),
        "covering": {"bbox": {side: [box, side] for side in _SIDES}},
    }
    if kinds:
        column["bbox"] = extent.tolist()
    return {"version": "1.1.0", "primary_column": GEOMETRY, "columns": {GEOMETRY: column}}


def _about(layer: Layer) -> dict[str, str]:
    about = {"title": layer.title, "description": layer.description, "attribution": layer.attribution, "license": layer.license}
    return {key: text for key, text in about.items() if text}
