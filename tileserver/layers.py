"""What there is: `/layers`, `/layers/{id}`, and how many rows of it match a filter: `/count/{id}`."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from tileserver import filters, times
from tileserver.answers import json_answer, origin, refuse_parameters
from tileserver.catalog import Field, Layer
from tileserver.errors import Unavailable
from tileserver.snapshot import Live, Snapshot, select

router = APIRouter()

DOWNLOADS = ("csv", "geojson")


@router.api_route("/layers", methods=["GET", "HEAD"])
async def all_layers(request: Request) -> Response:
    refuse_parameters(request)
    live: Live = request.app.state.live
    described = []
    for layer in live.catalog.values():
        with suppress(Unavailable):  # what is being prepared is listed when it is there
            described.append(describe(live, layer, origin(request)))
    return json_answer(request, {"layers": described})


@router.api_route("/layers/{id}", methods=["GET", "HEAD"])
async def one_layer(request: Request, id: str) -> Response:
    refuse_parameters(request)
    live: Live = request.app.state.live
    return json_answer(request, describe(live, live.layer(id), origin(request)))


@router.api_route("/count/{id}", methods=["GET", "HEAD"])
async def count(request: Request, id: str) -> Response:
    live: Live = request.app.state.live
    layer = live.layer(id)
    filter = filters.parse([layer], request.query_params.multi_items(), live.complete_through)[layer.id]
    snapshot = live.snapshot(layer)
    counted = await run_in_threadpool(select.count, snapshot, filter)
    body: dict[str, Any] = {
        "count": counted.count,
        "without_position": counted.without_position,
        "revision": snapshot.revision,
    }
    if filter.interval:
        body["datetime"] = filters.interval_text(layer, filter.interval)
    return json_answer(request, body)


def describe(live: Live, layer: Layer, origin: str) -> dict[str, Any]:
    """Everything a client needs to offer a layer: what it is, its fields and their values, where and when, and links."""
    snapshot = live.snapshot(layer)
    span = snapshot.time_range
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
        "fields": [_field(snapshot, field) for field in layer.fields.values()],
        "extent": snapshot.extent,
        "time_range": span and [times.to_text(instant, layer.zone) for instant in span],
        "complete_through": times.to_text(live.complete_through(layer), layer.zone),
        "rows": snapshot.rows,
        "rows_without_position": snapshot.rows - snapshot.positioned,
        "revision": snapshot.revision,
        "minzoom": layer.tiles.minzoom,
        "maxzoom": layer.tiles.maxzoom,
        "detail_zoom": snapshot.detail_zoom,
        "links": _links(layer.id, origin),
    }


def _field(snapshot: Snapshot, field: Field) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": field.name,
        "role": field.role,
        "type": field.type,
        "title": field.title or field.name,
        "unit": field.unit,
        "measure": field.measure,
    }
    entry = snapshot.manifest["columns"][field.name]
    if field.role == "category":
        told["values"] = [
            {"value": value, "label": field.labels.get(value, value), "count": count}
            for value, count in snapshot.values(field.name)
        ]
    elif entry.get("min") is not None:
        zone = snapshot.layer.zone
        for side in ("min", "max"):
            told[side] = times.to_text(entry[side], zone) if field.type == "datetime" else entry[side]
    return told


def _links(id: str, origin: str) -> dict[str, Any]:
    return {
        "self": f"{origin}/layers/{id}",
        "tilejson": f"{origin}/tiles/{id}.json",
        "tiles": f"{origin}/tiles/{id}/{{z}}/{{x}}/{{y}}.mvt",
        "style": f"{origin}/styles/{id}.json",
        "count": f"{origin}/count/{id}",
        "downloads": {format: f"{origin}/downloads/{id}.{format}" for format in DOWNLOADS},
    }
