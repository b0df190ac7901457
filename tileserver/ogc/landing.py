"""What there is, for machines to find: the landing page, what we conform to, the collections, the description of it all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from tileserver import times
from tileserver.answers import json_answer, origin
from tileserver.catalog import Layer
from tileserver.errors import BadRequest, Unavailable
from tileserver.ogc.openapi import OPENAPI, describe
from tileserver.snapshot import Live, Snapshot, features

router = APIRouter()

CONFORMS_TO = [f"http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/{part}" for part in ("core", "oas30", "geojson")]
CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
GREGORIAN = "http://www.opengis.net/def/uom/ISO-8601/0/Gregorian"

READ = ["GET", "HEAD"]


@router.api_route("/ogc", methods=READ)
@router.api_route("/ogc/", methods=READ)
async def landing(request: Request) -> Response:
    refuse_all_but_json(request)
    home = origin(request)
    body = {
        "title": "tileserver",
        "description": "The layers of this server as OGC API – Features.",
        "links": [
            link(home, "", "self", "This page"),
            link(home, "/api", "service-desc", "The description of this interface", OPENAPI),
            link(home, "/conformance", "conformance", "What this server conforms to"),
            link(home, "/collections", "data", "The layers"),
        ],
    }
    return json_answer(request, body)


@router.api_route("/ogc/conformance", methods=READ)
async def conformance(request: Request) -> Response:
    refuse_all_but_json(request)
    return json_answer(request, {"conformsTo": CONFORMS_TO})


@router.api_route("/ogc/api", methods=READ)
async def api(request: Request) -> Response:
    refuse_all_but_json(request)
    live: Live = request.app.state.live
    return json_answer(request, describe(live.all_published(), f"{origin(request)}/ogc"), OPENAPI)


@router.api_route("/ogc/collections", methods=READ)
async def collections(request: Request) -> Response:
    refuse_all_but_json(request)
    live: Live = request.app.state.live
    home = origin(request)
    links = [link(home, "/collections", "self", "The layers")]
    return json_answer(request, {"links": links, "collections": list(_collections(live, home))})


@router.api_route("/ogc/collections/{id}", methods=READ)
async def collection(request: Request, id: str) -> Response:
    refuse_all_but_json(request)
    live: Live = request.app.state.live
    return json_answer(request, _collection(live.snapshot(live.published(id)), origin(request)))


def refuse_all_but_json(request: Request) -> None:
    """Raises BadRequest for any parameter but `f=json`, which says what is so anyway."""
    items = request.query_params.multi_items()
    if any(name != "f" for name, _ in items):
        raise BadRequest("Unknown parameter. This address takes: f.")
    refuse_other_format(items)


def refuse_other_format(items: list[tuple[str, str]]) -> None:
    """Raises BadRequest unless `f` is absent, or given once with what the answer is."""
    asked = [value for name, value in items if name == "f"]
    if len(asked) > 1 or not set(asked) <= {"json", "geojson"}:
        raise BadRequest("f takes json, once.")


def link(home: str, path: str, rel: str, title: str, type: str = "application/json") -> dict[str, str]:
    """A link to an address below `/ogc`."""
    return {"href": f"{home}/ogc{path}", "rel": rel, "type": type, "title": title}


def _collections(live: Live, home: str) -> Iterator[dict[str, Any]]:
    for layer in live.all_published():
        with suppress(Unavailable):  # what is being prepared is listed when it is there
            yield _collection(live.snapshot(layer), home)


def _collection(snapshot: Snapshot, home: str) -> dict[str, Any]:
    layer = snapshot.layer
    path = f"/collections/{layer.id}"
    about = {"id": layer.id, "title": layer.title, "description": layer.description, "attribution": layer.attribution}
    links = [
        link(home, path, "self", layer.title),
        link(home, f"{path}/items", "items", layer.title, features.MEDIA_TYPE),
    ]
    if layer.license.startswith(("http://", "https://")):
        links.append({"href": layer.license, "rel": "license", "title": "License"})
    return {
        **{key: text for key, text in about.items() if text},
        "extent": _extent(layer, snapshot),
        "itemType": "feature",
        "crs": [CRS84],
        "links": links,
    }


def _extent(layer: Layer, snapshot: Snapshot) -> dict[str, Any]:
    extent: dict[str, Any] = {}
    if snapshot.extent:
        extent["spatial"] = {"bbox": [snapshot.extent], "crs": CRS84}
    if snapshot.time_range:
        span = [times.to_text(instant, layer.zone) for instant in snapshot.time_range]
        extent["temporal"] = {"interval": [span], "trs": GREGORIAN}
    return extent
