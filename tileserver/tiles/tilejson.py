"""TileJSON 3.0 of one layer or several: what a client needs to know before it asks for tiles."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import numpy as np

from tileserver import filters
from tileserver.catalog import Field, Layer
from tileserver.filters import Filter
from tileserver.snapshot import Snapshot
from tileserver.snapshot.mercator import WORLD, mercator

MOST_VALUES = 100
"""Values of one attribute told in `tilestats`, as mapbox-geostats does."""

GEOMETRY = {"events": "Point", "places": "Point", "areas": "Polygon", "shapes": "Polygon"}


def tilejson(
    snapshots: Sequence[Snapshot], items: Sequence[tuple[str, str]], asked: Mapping[str, Filter], origin: str
) -> dict[str, Any]:
    """The document; the query goes into its tile URLs, with `last` as the instants that it means now."""
    layers = [snapshot.layer for snapshot in snapshots]
    ids = ",".join(layer.id for layer in layers)
    query = urlencode([*_absolute(layers, items, asked), ("rev", combined([snapshot.revision for snapshot in snapshots]))])
    document: dict[str, Any] = {
        "tilejson": "3.0.0",
        "name": ", ".join(layer.title for layer in layers),
        "description": " ".join(layer.description for layer in layers if layer.description),
        "attribution": ", ".join(dict.fromkeys(layer.attribution for layer in layers if layer.attribution)),
        "version": "1.0.0",
        "scheme": "xyz",
        "tiles": [f"{origin}/tiles/{ids}/{{z}}/{{x}}/{{y}}.mvt?{query}"],
        "minzoom": min(layer.tiles.minzoom for layer in layers),
        "maxzoom": max(layer.tiles.maxzoom for layer in layers),
        "detail_zoom": max(snapshot.detail_zoom for snapshot in snapshots),
        "vector_layers": [entry for layer in layers for entry in _vector_layers(layer)],
        "tilestats": {"layerCount": len(layers), "layers": [_stats(snapshot) for snapshot in snapshots]},
    }
    if extents := [snapshot.extent for snapshot in snapshots if snapshot.extent]:
        document["bounds"] = _around(extents)
        first = _around([snapshot.initial_extent for snapshot in snapshots if snapshot.initial_extent])
        document["center"] = _center(first, document["minzoom"], document["maxzoom"])
    return document


Box = tuple[float, float, float, float]
"""West, south, east, north in degrees."""


def _around(extents: Sequence[Box]) -> Box:
    west, south, east, north = zip(*extents, strict=True)
    return min(west), min(south), max(east), max(north)


def _center(extent: Box, minzoom: int, maxzoom: int) -> tuple[float, float, int]:
    """Where a first view looks, and at which of the zooms an extent is just not wider or higher than a tile."""
    west, south, east, north = extent
    x, y = mercator(np.array([west, east]), np.array([north, south]))
    side = max(x[1] - x[0], y[1] - y[0], 1.0)
    zoom = int(np.log2(WORLD / side))
    return round((west + east) / 2, 7), round((south + north) / 2, 7), min(max(zoom, minzoom), maxzoom)


def combined(revisions: Sequence[str]) -> str:
    """What `rev` says: the revision of one layer, or one name for those of several."""
    return revisions[0] if len(revisions) == 1 else hashlib.blake2b("".join(revisions).encode(), digest_size=8).hexdigest()


def _absolute(layers: Sequence[Layer], items: Sequence[tuple[str, str]], asked: Mapping[str, Filter]) -> list[tuple[str, str]]:
    """The query without `rev`, and each layer's `last` as its own `datetime`."""
    kept = [(name, value) for name, value in items if name != "rev" and name.rpartition(".")[2] != "last"]
    for layer in layers:
        filter = asked[layer.id]
        if filter.relative and filter.interval:
            name = "datetime" if len(layers) == 1 else f"{layer.id}.datetime"
            kept.append((name, filters.interval_text(layer, filter.interval)))
    return kept


def _vector_layers(layer: Layer) -> list[dict[str, Any]]:
    names = {"id": "The id of the row"} | {field.name: _told(field) for field in layer.fields.values()}
    zooms = {"minzoom": layer.tiles.minzoom, "maxzoom": layer.tiles.maxzoom}
    aggregates = {"cluster": "true for several rows drawn as one", "point_count": "How many rows it stands for"}
    aggregates |= {f"sum_{field.name}": f"The sum of {field.title or field.name}" for field in layer.measures}
    entries = [{"id": layer.id, "description": layer.description, "fields": names | aggregates, **zooms}]
    if layer.kind == "areas":
        entries.append({"id": f"{layer.id}_labels", "description": f"{layer.title}: where labels go", "fields": names, **zooms})
    return entries


def _told(field: Field) -> str:
    kind = {"text": "String", "datetime": "String, RFC 3339", "boolean": "Boolean"}.get(field.type, "Number")
    return " ".join(part for part in (field.title or kind, f"({field.unit})" if field.unit else "") if part)


def _stats(snapshot: Snapshot) -> dict[str, Any]:
    attributes = [_attribute(snapshot, field) for field in snapshot.layer.fields.values()]
    return {
        "layer": snapshot.layer.id,
        "count": snapshot.positioned,
        "geometry": GEOMETRY[snapshot.layer.kind],
        "attributeCount": len(attributes),
        "attributes": attributes,
    }


def _attribute(snapshot: Snapshot, field: Field) -> dict[str, Any]:
    kind = {"text": "string", "datetime": "string", "boolean": "boolean"}.get(field.type, "number")
    entry: dict[str, Any] = {"attribute": field.name, "type": kind}
    if field.role == "category":
        values = snapshot.values(field.name)
        entry |= {"count": len(values), "values": [value for value, _ in values[:MOST_VALUES]]}
    elif field.type in ("integer", "number") and snapshot.manifest["columns"][field.name].get("min") is not None:
        entry |= {side: snapshot.manifest["columns"][field.name][side] for side in ("min", "max")}
    return entry
