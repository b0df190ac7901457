"""Rows as GeoPackage and FlatGeobuf, by GDAL, in a process of its own.

GDAL's binding holds Python's lock for seconds where many rows are written or indexed, and meanwhile no tile would be answered.
The process is told by one line of JSON what to write and gets the rows as an Arrow stream; see `ogr.py`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any, Literal

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from numpy.typing import NDArray

from tileserver.catalog import GEOMETRY, Layer
from tileserver.downloads import arrow
from tileserver.downloads.arrow import free_name
from tileserver.filters import Filter
from tileserver.snapshot import Snapshot, select
from tileserver.snapshot.columns import Rows

Driver = Literal["GPKG", "FlatGeobuf"]

WRITER = Path(__file__).with_name("ogr.py")

WRITTEN_AT = "2000-01-01T00:00:00.000Z"
"""What a GeoPackage says of when it was written: always the same, so that the same rows are the same bytes."""

GEOPACKAGE = "1.2"
"""The version of the format: enough for what is written, and readers of some years ago know it."""

UNKNOWN = "Unknown"
_KINDS = (UNKNOWN, "Point", "LineString", "Polygon", "MultiPoint", "MultiLineString", "MultiPolygon", "GeometryCollection")
"""GDAL's names of the types of WKB, in their order; that of several of a kind stands three places after that of one."""
_MULTI: Mapping[str, Callable[..., NDArray[np.object_]]] = {
    "MultiPoint": shapely.multipoints,
    "MultiLineString": shapely.multilinestrings,
    "MultiPolygon": shapely.multipolygons,
}

_OWN = {"FID": "fid", "GEOMETRY_NAME": "geom"}
"""What a GeoPackage calls the columns of its own, where no field is called so."""

_SCANNED = 65_536
"""Geometries whose types are read together."""


def write(path: Path, snapshot: Snapshot, filter: Filter, parts: Iterator[Rows], *, driver: Driver) -> None:
    """Raises RuntimeError, with GDAL's words, if GDAL cannot write the rows."""
    kind = _kind(snapshot)
    columns = _columns(snapshot.layer, filter)
    batches = _batches(snapshot, filter, parts, kind)
    # The index of a FlatGeobuf has no place for a row without position: https://flatgeobuf.org
    indexed = not select.count(snapshot, filter).without_position
    task = _task(path, snapshot.layer, columns, kind, driver, indexed=indexed)
    environment = {**os.environ, "OGR_CURRENT_DATE": WRITTEN_AT}
    command = [sys.executable, "-P", str(WRITER)]
    log = path.with_suffix(".log")
    with log.open("wb") as said, Popen(command, stdin=PIPE, stderr=said, env=environment) as process:  # noqa: S603 - our own file
        try:
            _send(process, task, columns, batches)
        except BrokenPipeError:
            pass  # it has ended, and its log says why
        except BaseException:
            process.kill()
            raise
        if process.wait():
            raise RuntimeError(f"{driver}: {log.read_text(errors='replace')[-2_000:]}")
    log.unlink()


def _send(process: Popen[bytes], task: dict[str, Any], columns: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
    if process.stdin is None:
        raise TypeError("the process has no way in")
    with process.stdin as way_in:
        way_in.write(orjson.dumps(task) + b"\n")
        with pa.ipc.new_stream(way_in, columns) as stream:
            for batch in batches:
                stream.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=columns))


def _task(path: Path, layer: Layer, columns: pa.Schema, kind: str, driver: Driver, *, indexed: bool) -> dict[str, Any]:
    """The arguments of `pyogrio.write_arrow`."""
    if driver == "GPKG":
        own = {"IDENTIFIER": layer.title, **{option: free_name(columns.names, name) for option, name in _OWN.items()}}
    else:
        own = {"TITLE": layer.title, "SPATIAL_INDEX": "YES" if indexed else "NO"}
    options = {key: text for key, text in {**own, "DESCRIPTION": layer.description}.items() if text}
    what = {"layer": layer.id, "geometry_name": columns.names[-1], "geometry_type": kind, "crs": "EPSG:4326"}
    of_file = {"VERSION": GEOPACKAGE} if driver == "GPKG" else {}
    return {"path": str(path), "driver": driver, **what, "layer_options": options, "dataset_options": of_file}


def _columns(layer: Layer, filter: Filter) -> pa.Schema:
    """The columns with titles and descriptions where GDAL looks for them, and with names that differ not in capitals alone."""
    columns: list[pa.Field] = []
    for column in arrow.schema(layer, filter):
        name = free_name((before.name for before in columns), column.name)  # GDAL does not tell capitals from small letters
        columns.append(column.with_name(name).with_metadata(_meaning(column.metadata or {})))
    return pa.schema(columns)


def _meaning(metadata: dict[bytes, bytes]) -> dict[str, str]:
    """GDAL's keys: https://gdal.org/en/stable/doxygen/classOGRLayer.html, CreateFieldFromArrowSchema."""
    title, description, unit = (metadata.get(key, b"").decode() for key in (b"title", b"description", b"unit"))
    comment = " ".join(text for text in (description, f"({unit})" if unit else "") if text)
    told = {"GDAL:OGR:alternative_name": title, "GDAL:OGR:comment": comment}
    return {key: text for key, text in told.items() if text}


def _kind(snapshot: Snapshot) -> str:
    """The one type of a layer's geometries, that of several where one and several occur; Unknown where they differ otherwise."""
    if snapshot.layer.is_points:
        return "Point"
    types: set[int] = set()
    for start in range(0, snapshot.positioned, _SCANNED):
        shapes = snapshot.wkb(np.arange(start, min(start + _SCANNED, snapshot.positioned)))
        types |= {int.from_bytes(head, "little") for head in pc.unique(pc.binary_slice(shapes, 1, 5)).to_pylist()}
    if len(types) == 2 and max(types) - min(types) == 3:
        types = {max(types)}
    return _KINDS[types.pop()] if len(types) == 1 else UNKNOWN


def _batches(snapshot: Snapshot, filter: Filter, parts: Iterator[Rows], kind: str) -> Iterator[pa.RecordBatch]:
    make = _MULTI.get(kind)
    for batch in arrow.batches(snapshot, filter, parts):
        yield batch if make is None else _several(batch, kind, make)


def _several(batch: pa.RecordBatch, kind: str, make: Callable[..., NDArray[np.object_]]) -> pa.RecordBatch:
    """The rows with each shape that stands alone made one of several, which is then the type of all."""
    shapes = shapely.from_wkb(batch.column(GEOMETRY).to_numpy(zero_copy_only=False))
    alone = np.flatnonzero(shapely.get_type_id(shapes) == shapely.GeometryType[kind.removeprefix("Multi").upper()])
    shapes[alone] = make(shapes[alone], indices=np.arange(len(alone)))
    return pa.RecordBatch.from_arrays([*batch.columns[:-1], pa.array(shapely.to_wkb(shapes), pa.binary())], schema=batch.schema)
