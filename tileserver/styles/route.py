"""Addresses of what a map needs beside its tiles: styles, glyphs, icons."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from tileserver.answers import GZIP_LEVEL, encoding_for, etag, json_answer, not_modified, origin, refuse_parameters
from tileserver.catalog import Layer
from tileserver.errors import BadRequest, NotFound
from tileserver.settings import Settings
from tileserver.snapshot import Live
from tileserver.styles import sprites
from tileserver.styles.classes import Drawn
from tileserver.styles.document import raster_style, style
from tileserver.styles.glyphs import glyph_range
from tileserver.styles.palette import starts

router = APIRouter()

A_DAY = "public, max-age=86400"
"""Glyphs and icons change with the server's version only."""

COMMON = ("all", "sprite")
"""Names of the icons' sheet beside the layers' ids: that of the style of all layers, and the one that ArcGIS asks for."""

_LANGUAGE = re.compile(r"[a-z]{2,3}")
_SPRITE = re.compile(r"([a-z][a-z0-9_]*)(@2x)?\.(json|png)")


@router.api_route("/styles/all.json", methods=["GET", "HEAD"])
async def style_of_all(request: Request) -> Response:
    live: Live = request.app.state.live
    waiting = set(live.waiting())
    shown = [layer for layer in live.all_published() if layer.id not in waiting]
    settings: Settings = request.app.state.settings
    below = basemap_url(settings, origin(request))
    return json_answer(
        request, style(_drawn(live, shown, _asked(request)[0]), origin(request), "All layers", settings.styles, below)
    )


@router.api_route("/styles/{id}.json", methods=["GET", "HEAD"])
async def style_of_one(request: Request, id: str) -> Response:
    live: Live = request.app.state.live
    language, is_flat = _asked(request)
    if (raster := live.catalog.rasters.get(id)) is not None:
        return json_answer(request, raster_style(raster, origin(request), language))
    drawn = [replace(drawn_of(live, live.published(id), language), is_flat=is_flat)]
    settings: Settings = request.app.state.settings
    return json_answer(request, style(drawn, origin(request), drawn[0].wording.title, settings.styles))


@router.api_route("/fonts/{fontstack}/{range}.pbf", methods=["GET", "HEAD"])
async def glyphs_of(request: Request, fontstack: str, range: str) -> Response:
    refuse_parameters(request)
    return glyphs_answer(request, fontstack, range)


@router.api_route("/sprites/{name}", methods=["GET", "HEAD"])
async def sprite(request: Request, name: str) -> Response:
    """One sheet for all layers, at an address for each."""
    refuse_parameters(request)
    return sprite_answer(request, name)


def glyphs_answer(request: Request, fontstack: str, range: str) -> Response:
    """The glyphs of a range of characters; raises NotFound where there is no such font or range."""
    return _file(request, glyph_range(fontstack, range), "application/x-protobuf")


def sprite_answer(request: Request, name: str) -> Response:
    """The icons' sheet or its index: `{id}{@2x}.json` or `.png`; raises NotFound for any other name."""
    live: Live = request.app.state.live
    asked = _SPRITE.fullmatch(name)
    if asked is None or asked[1] not in {*COMMON, *live.catalog, *live.catalog.rasters}:
        raise NotFound("There are no such icons. They are at /sprites/all.json and .png, and with @2x before the suffix.")
    sheet = sprites.sheet(2 if asked[2] else 1)
    if asked[3] == "png":
        return _file(request, sheet.png, "image/png")
    return _file(request, orjson.dumps(sheet.index), "application/json")


def drawn_of(live: Live, layer: Layer, language: str = "") -> Drawn:
    """A layer with what its live snapshot says of its categories, and the colors that are its own in every style.

    Raises:
        Unavailable: there is no snapshot yet.
    """
    return _drawn(live, [layer], language)[0]


def basemap_url(settings: Settings, address: str) -> str:
    """Where the base map is: a style's or an archive's address; empty without one."""
    if not settings.basemap or settings.basemap_origin:
        return settings.basemap
    return f"{address}/basemap.pmtiles"


def _drawn(live: Live, shown: Sequence[Layer], language: str) -> list[Drawn]:
    begin = starts(live.all_published())
    return [Drawn(layer, _values(live, layer), begin[layer.id], language) for layer in shown]


def _values(live: Live, layer: Layer) -> dict[str, list[str]]:
    """As `Drawn` takes them."""
    snapshot = live.snapshot(layer)
    found = {field.name: snapshot.values(field.name) for field in layer.categories}
    return {
        name: [*(value for value, _ in counted), *([""] if sum(count for _, count in counted) < snapshot.rows else [])]
        for name, counted in found.items()
    }


def _asked(request: Request) -> tuple[str, bool]:
    """`lang`, and whether the style is `for=qgis`. Raises BadRequest at other parameters."""
    items = request.query_params.multi_items()
    given = dict(items)
    is_repeated = len(given) < len(items)
    language, client = given.pop("lang", "en"), given.pop("for", "qgis")
    if given or is_repeated or not _LANGUAGE.fullmatch(language) or client != "qgis":
        raise BadRequest("This address takes lang, the code of a language such as es, and for=qgis, a style that QGIS reads whole.")
    return request.query_params.get("lang", ""), "for" in request.query_params


@lru_cache(maxsize=64)
def _compressed(content: bytes) -> bytes:
    return gzip.compress(content, GZIP_LEVEL, mtime=0)


def _file(request: Request, content: bytes, media_type: str) -> Response:
    """What is kept for a day, compressed unless it is a picture."""
    encoding = "identity" if media_type.startswith("image/") else encoding_for(request)
    tag = etag(encoding, hashlib.blake2b(content, digest_size=16).hexdigest())
    headers = {"ETag": tag, "Cache-Control": A_DAY, "Vary": "Accept-Encoding"}
    if not_modified(request, tag):
        return Response(status_code=304, headers=headers)
    if encoding == "gzip":
        headers["Content-Encoding"] = encoding
        content = _compressed(content)
    return Response(content, headers=headers, media_type=media_type)
