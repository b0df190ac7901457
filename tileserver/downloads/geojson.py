"""Rows as GeoJSON (RFC 7946): one FeatureCollection, a feature a line."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import shapely

from tileserver import times
from tileserver.filters import Filter
from tileserver.snapshot import Snapshot
from tileserver.snapshot.columns import Rows, TimeColumn

MEDIA_TYPE = "application/geo+json"


def write(snapshot: Snapshot, filter: Filter, parts: Iterator[Rows]) -> Iterator[bytes]:
    """The file in pieces, one for each part of the rows."""
    yield b'{"type":"FeatureCollection","features":[\n'
    first = True
    for rows in parts:
        features = b",\n".join(_features(snapshot, filter, rows))
        yield features if first else b",\n" + features
        first = False
    yield b"\n]}\n"


def _features(snapshot: Snapshot, filter: Filter, rows: Rows) -> Iterator[bytes]:
    layer = snapshot.layer
    names = list(layer.fields if filter.properties is None else filter.properties)
    ids = snapshot.columns[layer.id_name].arrow(rows).to_pylist()
    values = [_values(snapshot, name, rows) for name in names]
    properties = (dict(zip(names, each, strict=True)) for each in zip(*values, strict=True)) if names else ({} for _ in ids)
    for id, geometry, fields in zip(ids, _geometries(snapshot, rows), properties, strict=True):
        yield orjson.dumps({"type": "Feature", "id": id, "geometry": geometry, "properties": fields})


def _values(snapshot: Snapshot, name: str, rows: Rows) -> list[object]:
    column = snapshot.columns[name]
    if isinstance(column, TimeColumn):
        return [text or None for text in times.to_texts(column.values[rows], snapshot.layer.zone).tolist()]
    values: list[object] = column.arrow(rows).to_pylist()
    return values


def _geometries(snapshot: Snapshot, rows: Rows) -> Iterator[object]:
    placed = rows[rows < snapshot.positioned]
    if snapshot.layer.is_points:
        for longitude, latitude in zip(*(degrees.tolist() for degrees in snapshot.degrees(placed)), strict=True):
            yield {"type": "Point", "coordinates": [longitude, latitude]}
    else:
        shapes = shapely.from_wkb(snapshot.wkb(placed).to_numpy(zero_copy_only=False))
        for text in shapely.to_geojson(shapes):
            yield orjson.Fragment(text)
    yield from [None] * (len(rows) - len(placed))
