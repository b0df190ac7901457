"""Layers as ArcGIS and QGIS's ArcGIS connector ask for them: an Esri `VectorTileServer` a layer.

Addresses, names and numbers are Esri's: https://developers.arcgis.com/rest/services-reference/enterprise/vector-tile-service/
What their clients add to an address is ignored, as they expect.
"""

from __future__ import annotations

from dataclasses import replace
from html import escape
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from tileserver import styles, tiles
from tileserver.answers import REVALIDATE, json_answer
from tileserver.errors import BadRequest, ContentTooLarge
from tileserver.settings import Settings
from tileserver.snapshot import Live, Snapshot
from tileserver.snapshot.mercator import WORLD, mercator

router = APIRouter(prefix="/arcgis/rest")

VERSION = 10.91
"""Of ArcGIS Server, whose answers these are like."""

HALF_WORLD = 20_037_508.342787
"""Metres from the middle of the Web Mercator square to its edge."""
COARSEST = (78_271.516964, 295_828_763.795777)
"""(metres a pixel, scale) of level 0, whose one tile is 512 pixels wide."""
MERCATOR = {"wkid": 102100, "latestWkid": 3857}

SOURCE = "esri"

READ = ["GET", "HEAD", "POST"]
MOST_BODY_BYTES = 4_096

HEAD = '<!doctype html><html lang="en"><meta charset="utf-8">'


@router.api_route("/info", methods=READ)
async def info(request: Request) -> Response:
    """What ArcGIS Online asks first: no sign-in is needed."""
    return await _told(request, "ArcGIS REST", {"currentVersion": VERSION, "authInfo": {"isTokenBasedSecurity": False}})


@router.api_route("/services", methods=READ)
async def services(request: Request) -> Response:
    live: Live = request.app.state.live
    waiting = set(live.waiting())
    there = [{"name": layer.id, "type": "VectorTileServer"} for layer in live.all_published() if layer.id not in waiting]
    return await _told(request, "Services", {"currentVersion": VERSION, "folders": [], "services": there})


@router.api_route("/services/{id}/VectorTileServer", methods=READ)
@router.api_route("/services/{id}/VectorTileServer/", methods=READ)
async def service(request: Request, id: str) -> Response:
    live: Live = request.app.state.live
    layer = live.published(id)
    return await _told(request, layer.title, _service(live.snapshot(layer)))


@router.api_route("/services/{id}/VectorTileServer/tile/{z}/{y}/{x}", methods=["GET", "HEAD"])
async def tile(request: Request, id: str, z: str, y: str, x: str) -> Response:
    """Row before column, and one layer alone."""
    live: Live = request.app.state.live
    layer = live.published(id)
    column, dot, suffix = x.partition(".")
    return await tiles.answer(request, layer.id, z, column, f"{y}{dot}{suffix}", items=[])


@router.api_route("/services/{id}/VectorTileServer/resources/styles", methods=READ)
@router.api_route("/services/{id}/VectorTileServer/resources/styles/", methods=READ)
@router.api_route("/services/{id}/VectorTileServer/resources/styles/root.json", methods=READ)
async def root_style(request: Request, id: str) -> Response:
    """The layer's style with addresses relative to its own, as is Esri's custom; no color in it depends on an attribute."""
    live: Live = request.app.state.live
    settings: Settings = request.app.state.settings
    drawn = replace(styles.drawn_of(live, live.published(id)), is_flat=True)
    style = styles.style([drawn], "", drawn.layer.title, settings.styles)
    layers = [{**each, "source": SOURCE} if "source" in each else each for each in style["layers"]]
    relative = {"glyphs": "../fonts/{fontstack}/{range}.pbf", "sprite": "../sprites/sprite"}
    return json_answer(request, {**style, **relative, "sources": {SOURCE: {"type": "vector", "url": "../../"}}, "layers": layers})


@router.api_route("/services/{id}/VectorTileServer/resources/fonts/{fontstack}/{range}.pbf", methods=["GET", "HEAD"])
async def glyphs_of(request: Request, id: str, fontstack: str, range: str) -> Response:
    request.app.state.live.published(id)
    return styles.glyphs_answer(request, fontstack, range)


@router.api_route("/services/{id}/VectorTileServer/resources/sprites/{name}", methods=["GET", "HEAD"])
async def sprite(request: Request, id: str, name: str) -> Response:
    request.app.state.live.published(id)
    return styles.sprite_answer(request, name)


def _service(snapshot: Snapshot) -> dict[str, Any]:
    layer = snapshot.layer
    extent = _extent(snapshot)
    lods = [_lod(level) for level in range(layer.tiles.maxzoom + 1)]
    return {
        "currentVersion": VERSION,
        "name": layer.id,
        "copyrightText": layer.attribution,
        "capabilities": "TilesOnly",
        "type": "indexedVector",
        "defaultStyles": "resources/styles",
        "tiles": ["tile/{z}/{y}/{x}.pbf"],
        "exportTilesAllowed": False,
        "initialExtent": extent,
        "fullExtent": extent,
        "minScale": lods[layer.tiles.minzoom]["scale"],
        "maxScale": lods[-1]["scale"],
        "minLOD": layer.tiles.minzoom,
        "maxLOD": layer.tiles.maxzoom,
        "maxzoom": layer.tiles.maxzoom,  # where QGIS looks; without it, it draws the whole world's tile alone
        "tileInfo": {
            "rows": 512,
            "cols": 512,
            "dpi": 96,
            "format": "pbf",
            "origin": {"x": -HALF_WORLD, "y": HALF_WORLD},
            "spatialReference": MERCATOR,
            "lods": lods,
        },
        "resourceInfo": {"styleVersion": 8, "tileCompression": "gzip"},
    }


def _lod(level: int) -> dict[str, Any]:
    resolution, scale = COARSEST
    return {"level": level, "resolution": resolution / 2**level, "scale": scale / 2**level}


def _extent(snapshot: Snapshot) -> dict[str, Any]:
    """In Web Mercator metres; the whole world for a layer without any position."""
    west, south, east, north = snapshot.extent or (-180, -90, 180, 90)
    x, y = mercator(np.array([west, east]), np.array([south, north]))
    metres = 2 * HALF_WORLD / WORLD
    (left, right), (bottom, top) = (x * metres - HALF_WORLD).tolist(), (HALF_WORLD - y * metres).tolist()
    return {"xmin": left, "ymin": bottom, "xmax": right, "ymax": top, "spatialReference": MERCATOR}


async def _told(request: Request, title: str, body: dict[str, Any]) -> Response:
    """A document in the form that `f` names: `json`, `pjson` (indented), or `html`, which is also meant without it."""
    form = await _form(request)
    if form in ("json", "pjson"):
        return json_answer(request, body, indented=form == "pjson")
    if form != "html":
        raise BadRequest("f takes json, pjson or html.")
    text = orjson.dumps(body, option=orjson.OPT_INDENT_2).decode()
    page = f"{HEAD}<title>{escape(title)}</title><h1>{escape(title)}</h1><pre>{escape(text)}</pre>"
    headers = {"Content-Security-Policy": "default-src 'none'", "Cache-Control": REVALIDATE}
    return Response(page, headers=headers, media_type="text/html")


async def _form(request: Request) -> str:
    given = request.query_params.get("f")
    if given is None and request.method == "POST":
        given = dict(parse_qsl((await _body(request)).decode("latin-1"))).get("f")
    return given or "html"


async def _body(request: Request) -> bytes:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_BODY_BYTES:
            raise ContentTooLarge("The body is longer than 4 kB. This address takes the parameter f alone.")
    return body
