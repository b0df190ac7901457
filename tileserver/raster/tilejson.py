"""Where a layer's pictures are, for clients: its TileJSON 3.0, and what `/layers` says of a raster."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from tileserver import filters
from tileserver.catalog import Raster
from tileserver.raster import geotiff, look
from tileserver.raster.asked import Asked, Items
from tileserver.raster.density import TILE, UNIT, Points
from tileserver.raster.geotiff import GeoTiff
from tileserver.settings import Settings


def tilejson(asked: Asked, items: Items, origin: str) -> dict[str, Any]:
    """The document; the query goes into its tile URL, with `last` as the instants that it means now. May read the file."""
    source = asked.source
    layer = asked.layer
    query = urlencode([*_absolute(source, items), ("rev", asked.revision)])
    document: dict[str, Any] = {
        "tilejson": "3.0.0",
        "name": layer.title,
        "description": layer.description,
        "attribution": layer.attribution,
        "version": "1.0.0",
        "scheme": "xyz",
        "tiles": [f"{origin}/raster/{layer.id}/tiles/{{z}}/{{x}}/{{y}}.png?{query}"],
        "tileSize": TILE,
        "minzoom": source.minzoom,
        "maxzoom": source.maxzoom,
        "colormap": asked.colormap,
        **_scale(asked),
    }
    bounds = source.bounds if isinstance(source, Points) else source.facts.bounds
    if bounds:
        west, south, east, north = bounds
        document["bounds"] = list(bounds)
        document["center"] = [round((west + east) / 2, 7), round((south + north) / 2, 7), source.minzoom]
    return document


def describe(raster: Raster, settings: Settings, origin: str) -> dict[str, Any]:
    """Everything a client needs to offer a raster. Reads the file.

    Raises:
        Unavailable: the file cannot be read at the moment.
    """
    tiff = geotiff.current(raster, settings)
    return {
        "id": raster.id,
        "title": raster.title,
        "description": raster.description,
        "attribution": raster.attribution,
        "license": raster.license,
        "kind": "raster",
        "basemap": False,
        "translations": {language: told.model_dump(exclude_none=True) for language, told in raster.translations.items()},
        "fields": [],
        "extent": tiff.facts.bounds,
        "minzoom": tiff.minzoom,
        "maxzoom": tiff.maxzoom,
        "unit": raster.unit,
        "range": tiff.range_of(tiff.facts.shown[0]),
        "colormap": None if tiff.facts.has_palette else raster.colormap,
        "colors": None if tiff.facts.has_palette or len(tiff.facts.shown) != 1 else look.ramp(raster.colormap),
        "revision": tiff.revision,
        "links": _links(raster.id, origin),
    }


def _links(id: str, origin: str) -> dict[str, str]:
    return {
        "self": f"{origin}/layers/{id}",
        "tilejson": f"{origin}/raster/{id}/tilejson.json",
        "tiles": f"{origin}/raster/{id}/tiles/{{z}}/{{x}}/{{y}}.png",
        "statistics": f"{origin}/raster/{id}/statistics",
        "point": f"{origin}/raster/{id}/point/{{lon}},{{lat}}",
    }


def _scale(asked: Asked) -> dict[str, Any]:
    """What the colors mean: the values of the first and the last, for densities at each zoom."""
    source = asked.source
    if isinstance(source, Points):
        tops = [asked.look.ranges[0]] * len(source.tops()) if asked.look.ranges else [(0.0, top) for top in source.tops()]
        return {"unit": UNIT, "ranges": {str(zoom): span for zoom, span in enumerate(tops, source.minzoom)}}
    ranges = asked.ranges()
    return {"unit": source.raster.unit, "range": ranges[0] if ranges else None}


def _absolute(source: GeoTiff | Points, items: Items) -> list[tuple[str, str]]:
    """The query without `rev`, and with `last` as its own `datetime`."""
    kept = [(name, value) for name, value in items if name != "rev"]
    if not isinstance(source, Points) or not source.filter.relative or source.filter.interval is None:
        return kept
    kept = [(name, value) for name, value in kept if name.rpartition(".")[2] != "last"]
    return [*kept, ("datetime", filters.interval_text(source.snapshot.layer, source.filter.interval))]
