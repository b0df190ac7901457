"""What there is: `/layers`, `/layers/{id}`, and how many rows of it match a filter: `/count/{id}`."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson
from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from tileserver import filters, raster, times
from tileserver.answers import json_answer, origin, refuse_parameters
from tileserver.catalog import Field, Layer, Raster
from tileserver.errors import Unavailable
from tileserver.privacy import may_tell, told_values
from tileserver.snapshot import Live, Snapshot, areas, select
from tileserver.snapshot.select import Count

router = APIRouter()

LEDGER = (
    "at",
    "read",
    "published",
    "unchanged",
    "superseded",
    "excluded",
    "rejected",
    "removed",
    "repaired",
    "kept",
    "without_position",
    "blanked",
    "reasons",
    "joined",
)
"""What of a ledger is public: no values that were withheld, no names of files."""
DOWNLOADS = ("csv", "geojson", "geojsonl", "gpkg", "parquet", "fgb")


@router.api_route("/layers", methods=["GET", "HEAD"])
async def all_layers(request: Request) -> Response:
    refuse_parameters(request)
    live: Live = request.app.state.live
    described, waiting = [], []
    for layer in live.catalog.values():
        try:
            described.append(describe(live, layer, origin(request)))
        except Unavailable as error:
            waiting.append(_waiting(layer, error))
    for each in live.catalog.rasters.values():
        try:
            described.append(await run_in_threadpool(raster.describe, each, request.app.state.settings, origin(request)))
        except Unavailable as error:
            waiting.append(_waiting(each, error))
    return json_answer(request, {"layers": described, "waiting": waiting})


@router.api_route("/layers/{id}", methods=["GET", "HEAD"])
async def one_layer(request: Request, id: str) -> Response:
    refuse_parameters(request)
    live: Live = request.app.state.live
    if each := live.catalog.rasters.get(id):
        return json_answer(request, await run_in_threadpool(raster.describe, each, request.app.state.settings, origin(request)))
    return json_answer(request, describe(live, live.layer(id), origin(request)))


@router.api_route("/count/{id}", methods=["GET", "HEAD"])
async def count(request: Request, id: str) -> Response:
    live: Live = request.app.state.live
    layer = live.layer(id)
    filter = filters.parse([layer], request.query_params.multi_items(), live.complete_through, areas.of(live))[layer.id]
    snapshot = live.snapshot(layer)
    counted = await run_in_threadpool(select.count, snapshot, filter)
    body = {**_told(layer, counted), "revision": snapshot.revision}
    if filter.interval:
        body["datetime"] = filters.interval_text(layer, filter.interval)
    if filter.area:
        body["area"] = {"layer": filter.area.layer, "revision": filter.area.revision}
    return json_answer(request, body)


def _waiting(layer: Layer | Raster, error: Unavailable) -> dict[str, Any]:
    """A layer that cannot be served yet, and why."""
    return {"id": layer.id, "title": layer.title, "detail": str(error)}


def _told(layer: Layer, counted: Count) -> dict[str, Any]:
    """A count as the layer may tell it. How many rows have no position also says how many have one."""
    if not may_tell(layer, counted.count):
        return {"count": None, "without_position": None, "withheld": True, "below": layer.min_count}
    tells_both = may_tell(layer, counted.without_position, counted.positioned)
    return {"count": counted.count, "without_position": counted.without_position if tells_both else None}


def describe(live: Live, layer: Layer, origin: str) -> dict[str, Any]:
    """Everything a client needs to offer a layer: what it is, its fields and their values, where and when, and links."""
    snapshot = live.snapshot(layer)
    return {
        "id": layer.id,
        "title": layer.title,
        "description": layer.description,
        "attribution": layer.attribution,
        "license": layer.license,
        "kind": layer.kind,
        "basemap": layer.basemap,
        "translations": {language: told.model_dump(exclude_none=True) for language, told in layer.translations.items()},
        "timezone": layer.timezone,
        "publish": layer.publish,
        "min_count": layer.min_count,
        "default_filter": layer.default_filter,
        "fields": [_field(snapshot, field) for field in layer.fields.values()],
        **(_measured(snapshot) if layer.shows_rows else _counted(snapshot)),
        "complete_through": times.to_text(live.complete_through(layer), layer.zone),
        "ledger": _ledger(live, layer),
        "revision": snapshot.revision,
        "links": _links(layer, origin),
    }


def _ledger(live: Live, layer: Layer) -> dict[str, Any] | None:
    """What became of the rows of the last ingest, as far as it is for everyone; None without one, and for a layer of counts."""
    if not layer.shows_rows:
        return None
    path = live.folder / layer.id / "ledger.json"
    try:
        status = path.stat()
        ledger = _public_ledger(path, status.st_mtime_ns, status.st_ino)
    except OSError:
        return None
    # How many rows are held back by their kind, day by day, would tell of each of them.
    return ledger | {"read": None, "excluded": None} if layer.privacy.include else ledger


@lru_cache(maxsize=256)
def _public_ledger(path: Path, _changed: int, _inode: int) -> dict[str, Any]:
    """Remembered as long as the file is the same."""
    ledger = orjson.loads(path.read_bytes())
    return {name: ledger.get(name) for name in LEDGER}


def _measured(snapshot: Snapshot) -> dict[str, Any]:
    layer, span = snapshot.layer, snapshot.time_range
    return {
        "extent": snapshot.extent,
        "initial_extent": snapshot.initial_extent,
        "time_range": span and [times.to_text(instant, layer.zone) for instant in span],
        "rows": snapshot.rows,
        "rows_without_position": snapshot.rows - snapshot.positioned,
        "minzoom": layer.tiles.minzoom,
        "maxzoom": layer.tiles.maxzoom,
        "detail_zoom": snapshot.detail_zoom,
    }


def _counted(snapshot: Snapshot) -> dict[str, Any]:
    """The same of a layer of counts, where no value may be that of one row: the declared bounds, and whole days."""
    layer = snapshot.layer
    told = _told(layer, Count(snapshot.rows, snapshot.rows - snapshot.positioned))
    span = snapshot.time_range if told["count"] is not None else None
    return {
        "extent": layer.bounds,
        "time_range": span and [times.to_text(times.day_begin(instant, layer.zone), layer.zone) for instant in span],
        "rows": told["count"],
        "rows_without_position": told["without_position"],
    }


def _field(snapshot: Snapshot, field: Field) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": field.name,
        "role": field.role,
        "type": field.type,
        "title": field.title or field.name,
        "description": field.description,
        "unit": field.unit,
        "measure": field.measure,
        "breaks": field.breaks,
        "per": field.per,
    }
    layer, entry = snapshot.layer, snapshot.manifest["columns"][field.name]
    if field.role == "category":
        counted = snapshot.values(field.name)
        told_counts = told_values(layer, field.name, counted, snapshot.rows)
        rank = {value: number for number, value in enumerate(field.labels)}
        told_counts.sort(key=lambda each: (each[1] is None, rank.get(each[0], len(rank))))  # those withheld stay last
        told["values"] = [
            {
                "value": value,
                "label": field.labels.get(value, value),
                "description": field.descriptions.get(value, ""),
                "count": count,
            }
            for value, count in told_counts
        ]
        if layer.shows_rows:
            told["without_value"] = snapshot.rows - sum(count for _, count in counted)
    elif layer.shows_rows and entry.get("min") is not None:
        for side in ("min", "max"):
            told[side] = times.to_text(entry[side], layer.zone) if field.type == "datetime" else entry[side]
    return told


def _links(layer: Layer, origin: str) -> dict[str, Any]:
    id = layer.id
    always = {"self": f"{origin}/layers/{id}", "count": f"{origin}/count/{id}"}
    if not layer.shows_rows:
        return always
    if layer.is_points:
        always["density"] = f"{origin}/raster/{id}/tilejson.json"
    return always | {
        "tilejson": f"{origin}/tiles/{id}.json",
        "tiles": f"{origin}/tiles/{id}/{{z}}/{{x}}/{{y}}.mvt",
        "style": f"{origin}/styles/{id}.json",
        "items": f"{origin}/ogc/collections/{id}/items",
        "downloads": {format: f"{origin}/downloads/{id}.{format}" for format in DOWNLOADS},
    }
