"""A tile's way from its address to its bytes: validate → ETag, 304 → `render.py`: cache → one render → gzip → answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from http import HTTPStatus

from fastapi import APIRouter, Request
from starlette.responses import Response

from tileserver import filters
from tileserver.answers import REVALIDATE, YEAR, encoding_for, immutable, json_answer, not_modified, origin
from tileserver.catalog import Layer
from tileserver.catalog.values import length
from tileserver.errors import BadRequest
from tileserver.filters import Filter
from tileserver.revisions import Current
from tileserver.snapshot import Live, areas
from tileserver.snapshot.detail import GRIDS
from tileserver.snapshot.tile import Options
from tileserver.tiles import render
from tileserver.tiles.address import drawn_at, layers_of, tile_of
from tileserver.tiles.cache import TileCache
from tileserver.tiles.render import Part
from tileserver.tiles.tilejson import combined, tilejson

router = APIRouter()

MVT = "application/vnd.mapbox-vector-tile"


@router.api_route("/tiles/{ids}.json", methods=["GET", "HEAD"])
async def tilejson_of(request: Request, ids: str) -> Response:
    live: Live = request.app.state.live
    layers = layers_of(live, ids)
    items = request.query_params.multi_items()
    _options(items)
    asked = filters.parse(layers, _conditions(items), live.complete_through, areas.of(live))
    snapshots = [live.snapshot(layer) for layer in layers]
    return json_answer(request, tilejson(snapshots, items, asked, origin(request)))


@router.api_route("/tiles/{ids}/{z}/{x}/{y}", methods=["GET", "HEAD"])
async def tile(request: Request, ids: str, z: str, x: str, y: str) -> Response:
    return await answer(request, ids, z, x, y, items=request.query_params.multi_items())


async def answer(request: Request, ids: str, z: str, x: str, y: str, *, items: Sequence[tuple[str, str]]) -> Response:
    """A tile under the parameters `items`, whatever the address calls them."""
    live: Live = request.app.state.live
    address = tile_of(z, x, y)
    layers = layers_of(live, ids)
    drawn = drawn_at(layers, address.z)
    options = _options(items)
    asked = filters.parse(layers, _conditions(items), live.complete_through, areas.of(live))

    encoding = encoding_for(request)
    currents = {layer.id: live.current(layer) for layer in layers}
    content = [(layer.id, currents[layer.id].revision, asked[layer.id].text) for layer in drawn]
    tag = render.tag(encoding, options, content)
    headers = {"ETag": tag, "Vary": "Accept-Encoding", "Cache-Control": _kept_for(layers, currents.values(), items, asked.values())}
    if not_modified(request, tag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)

    cache: TileCache = request.app.state.tile_cache
    parts = [Part(live.snapshot(layer, currents[layer.id]), asked[layer.id], address, options) for layer in drawn]
    made = await render.tile(cache, parts, encoding, request)
    if made.dropped:
        headers["Tile-Detail"] = f"shown={made.shown}, total={made.total}, dropped={made.dropped}"
    if not made.body:
        return Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)
    if encoding == "gzip":
        headers["Content-Encoding"] = encoding
    return Response(made.body, headers=headers, media_type=MVT)


def _options(items: Sequence[tuple[str, str]]) -> Options:
    """`grid` and `aggregate`. Raises BadRequest for values that they do not take."""
    given: dict[str, str] = {}
    for name, value in items:
        if name in _OWN and name in given:
            raise BadRequest(f"{name} takes one value.")
        given[name] = value
    grid, aggregate = given.get("grid", "64"), given.get("aggregate", "auto")
    if grid not in map(str, GRIDS):
        raise BadRequest(f"grid takes one of {', '.join(map(str, GRIDS))}.")
    if "aggregate" in given and aggregate not in ("always", "never"):
        raise BadRequest("aggregate takes always or never.")
    return Options(int(grid), "never" if aggregate == "never" else "always" if aggregate == "always" else "auto")


_OWN = ("grid", "aggregate", "rev")


def _conditions(items: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """What is left for the filters. `rev` only tells which revision a client believes to be live: it is part of no key."""
    return [(name, value) for name, value in items if name not in _OWN]


def _kept_for(
    layers: Iterable[Layer], currents: Iterable[Current], items: Sequence[tuple[str, str]], asked: Iterable[Filter]
) -> str:
    """At an address that names the live revision a year, or the shortest `max_age` of its layers; else until asked again."""
    named = dict(items).get("rev") == combined([current.revision for current in currents])
    if not named or any(filter.moves for filter in asked):
        return REVALIDATE
    return immutable(min([YEAR, *(length(layer.max_age).total_seconds() for layer in layers if layer.max_age)]))
