"""Rows of a snapshot as GeoJSON features (RFC 7946), each already encoded: what downloads and items hold alike."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import shapely

from tileserver.filters import Filter
from tileserver.snapshot import Snapshot, table
from tileserver.snapshot.columns import Rows

MEDIA_TYPE = "application/geo+json"


def features(snapshot: Snapshot, filter: Filter, rows: Rows) -> Iterator[bytes]:
    """A feature for each row, in their order: its id, its geometry or null, the fields that are wanted."""
    columns = table.told(snapshot, filter, rows)
    ids = columns[snapshot.layer.id_name].to_pylist()
    names = table.fields(snapshot.layer, filter)
    values = [columns[name].to_pylist() for name in names]
    properties = (dict(zip(names, each, strict=True)) for each in zip(*values, strict=True)) if names else ({} for _ in ids)
    for id, geometry, own in zip(ids, _geometries(snapshot, rows), properties, strict=True):
        yield orjson.dumps({"type": "Feature", "id": id, "geometry": geometry, "properties": own})


def _geometries(snapshot: Snapshot, rows: Rows) -> Iterator[object]:
    """Rows without position stand after all others."""
    placed = rows[rows < snapshot.positioned]
    if snapshot.layer.is_points:
        for longitude, latitude in zip(*(degrees.tolist() for degrees in snapshot.degrees(placed)), strict=True):
            yield {"type": "Point", "coordinates": [longitude, latitude]}
    else:
        shapes = shapely.from_wkb(snapshot.wkb(placed).to_numpy(zero_copy_only=False))
        for text in shapely.to_geojson(shapes):
            yield orjson.Fragment(text)
    yield from [None] * (len(rows) - len(placed))
